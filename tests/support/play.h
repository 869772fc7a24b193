/* Play: a change that happens without hosts — the model decides, the test answers as hosts would, and a
 * journal in memory has it all. For what reads journals afterwards. */
#pragma once
#include "base/cleanup.h"
#include "base/json.h"
#include "engine/change.h"
#include "engine/engine.h"
#include "journal/journal_memory.h"
#include "support/test.h"
#include <string.h>

typedef struct Play {
    Clock clock; /* first: it is its own */
    int64_t now_ms;
    Arena *arena;
    Journal *journal;
    Rollout *rollout;
    char id[CHANGE_ID_SIZE];
    const char *sick;       /* the host whose new version does not become healthy, or NULL */
    const char *sick_error; /* what it says */
    const char *stubborn;   /* the host whose rollback fails, or NULL */
    const char *refusing;   /* the host whose check says no, or NULL */
    const char *plan;       /* instead of play_plan, or NULL */
    bool first;             /* nothing was installed before */
} Play;

static inline int64_t play_wall_ms(Clock *clock) { return ((Play *)clock)->now_ms; }

static const char play_plan[] = "upkeep: 1\n"
                                "change: {title: Notes 2}\n"
                                "service:\n"
                                "  name: notes\n"
                                "  root: /srv/${host.name}\n"
                                "  run: {process: {command: [notes, --port, \"1\"]}}\n"
                                "  data: [shared/data]\n"
                                "package: {file: notes.upk, trust: [a.pub]}\n"
                                "hosts: [{name: h1}, {name: h2}]\n"
                                "rollout:\n"
                                "  stages: [{name: s1, hosts: 1, soak: 3s}, {name: s2}]\n"
                                "health: [{name: p1, http: {url: \"http://127.0.0.1:1/\"}}]\n";

static inline void play_catch_up(Play *play);

static inline void play_append(Play *play, json_t *event) {
    Error error = {0};
    if (journal_append(play->journal, &event, 1, &error) < 0) fail_msg("%s", error.en);
    json_decref(event);
    play_catch_up(play);
}

static inline int play_take(void *context, int64_t sequence, const json_t *event, Error *error) {
    return rollout_fold(((Play *)context)->rollout, sequence, event, error);
}

static inline void play_catch_up(Play *play) {
    Error error = {0};
    if (journal_read(play->journal, play->rollout->sequence, play->id, play_take, play, &error) < 0)
        fail_msg("%s", error.en);
}

/* `more` is what follows play_plan. */
static inline void play_open(Play *play, const char *more) {
    Error error = {0};
    Plan *plan = NULL;
    Digest package = digest_of("package", 7);
    play->clock = (Clock){play_wall_ms, play_wall_ms};
    play->now_ms = 1790000000000;
    play->arena = arena_new();
    play->journal = journal_memory_new();
    char *text = arena_printf(play->arena, "%s%s", play->plan ? play->plan : play_plan, more);
    if (plan_compile(play->arena, "p.yaml", "/tmp", text, strlen(text), &plan, &error) < 0)
        fail_msg("%s", error.en);
    ChangeOpening opening = {.plan = plan,
                             .plan_file = "p.yaml",
                             .version = "2.0",
                             .package = &package,
                             .by = "ann@desk",
                             .clock = &play->clock};
    if (change_open(play->journal, &opening, play->id, &error) < 0 ||
        change_load(play->journal, play->arena, play->id, &play->rollout, &error) < 0)
        fail_msg("%s", error.en);
    json_t *started = rollout_event(play->rollout, "engine.started", play->now_ms);
    json_set_text(started, "by", "bob@desk");
    play_append(play, started);
}

static inline void play_close(Play *play) {
    journal_close(play->journal);
    arena_free(play->arena);
}

static inline json_t *play_event(Play *play, const char *type, const char *host, const Order *order) {
    json_t *event = rollout_event(play->rollout, type, play->now_ms);
    json_set_text(event, "host", host);
    json_set_text(event, "order", order_kind_text(order->kind));
    json_set_text(event, "order_id", order->id);
    return event;
}

static inline void play_error(json_t *event, const char *error) {
    if (!error) return;
    json_set_text(event, "error", error);
    json_set_text(event, "error_zh", "出错了");
}

/* One step from beginning to end; `detail` is JSON, or NULL. */
static inline void play_step(Play *play, const char *host, const Order *order, const char *step,
                             const char *detail, const char *error) {
    json_t *event = play_event(play, "step.started", host, order);
    json_set_text(event, "step", step);
    if (strcmp(step, "start") == 0) json_set_text(event, "command", "notes --port 1 | tee `log`");
    play_append(play, event);
    play->now_ms += 200;
    event = play_event(play, error ? "step.failed" : "step.done", host, order);
    json_set_text(event, "step", step);
    json_set_integer(event, "duration_ms", 200);
    if (detail) json_object_set_new(event, "detail", json_loads(detail, 0, NULL));
    play_error(event, error);
    play_append(play, event);
}

#define PLAY_HEALTH                                                                                          \
    "{\"health\":{\"verdict\":\"pass\",\"passes\":3,\"failures\":0,\"latency_ms\":{\"min\":1,\"median\":2,"  \
    "\"max\":9}}}"

/* NULL, or why the order failed. */
static inline const char *play_carry_out(Play *play, const char *host, const Order *order) {
    bool sick = play->sick && strcmp(play->sick, host) == 0;
    bool stubborn = play->stubborn && strcmp(play->stubborn, host) == 0;
    bool refusing = play->refusing && strcmp(play->refusing, host) == 0;
    bool switched = rollout_host(play->rollout, host)->switched;
    const char *sick_error = play->sick_error ? play->sick_error : "status 500";
    switch (order->kind) {
    case ORDER_PREPARE:
        play_step(
            play, host, order, "check",
            play->first
                ? "{\"old_version\":\"\"}"
                : "{\"old_version\":\"1.0\",\"checks\":[{\"name\":\"disk\",\"verdict\":\"pass\",\"found\":"
                  "\"9 GiB\",\"found_zh\":\"九\"}],\"health\":{\"verdict\":\"pass\",\"passes\":1,"
                  "\"failures\":0,\"latency_ms\":{\"min\":4,\"median\":4,\"max\":4}}}",
            refusing ? "no room" : NULL);
        if (refusing) return "no room";
        play_step(play, host, order, "stage", "{\"files\":7,\"bytes\":2048,\"weather\":\"fine\"}", NULL);
        if (play->first) return NULL;
        play_step(play, host, order, "back_up", "{\"restore_point\":\"PP\",\"files\":11,\"bytes\":4096}",
                  NULL);
        play_step(play, host, order, "prove",
                  "{\"restore_point\":\"PP\",\"restored_files\":10,\"known_files\":1}", NULL);
        return NULL;
    case ORDER_SWITCH:
        play_step(play, host, order, "stop",
                  play->first ? "{\"was_running\":false}" : "{\"was_running\":true}", NULL);
        play_step(play, host, order, "final_copy",
                  "{\"restore_point\":\"PF\",\"files\":2,\"bytes\":9,\"restored_files\":2}", NULL);
        play_step(play, host, order, "start", NULL, NULL);
        play_step(play, host, order, "probe",
                  sick ? "{\"health\":{\"verdict\":\"fail\",\"passes\":0,\"failures\":20}}" : PLAY_HEALTH,
                  sick ? sick_error : NULL);
        return sick ? sick_error : NULL;
    case ORDER_ROLLBACK:
        if (!switched) {
            play_step(play, host, order, "finish", NULL, NULL);
            return NULL;
        }
        play_step(play, host, order, "stop", NULL, NULL);
        play_step(play, host, order, "set_aside",
                  "{\"changed\":1,\"restore_point\":\"PA\",\"files\":1,\"bytes\":5}", NULL);
        play_step(play, host, order, "restore",
                  "{\"restore_point\":\"PF\",\"set_aside\":\"PA\",\"written_files\":1,\"written_bytes\":5,"
                  "\"removed\":0}",
                  NULL);
        if (play->first) return NULL;
        play_step(play, host, order, "probe", stubborn ? NULL : PLAY_HEALTH,
                  stubborn ? "it stays dead" : NULL);
        return stubborn ? "it stays dead" : NULL;
    case ORDER_CONFIRM: play_step(play, host, order, "confirm", NULL, NULL); return NULL;
    case ORDER_COMMIT: play_step(play, host, order, "commit", "{\"removed_releases\":1}", NULL); return NULL;
    }
    return NULL;
}

/* The open orders, one after the other. */
static inline bool play_answer(Play *play) {
    bool any = false;
    for (size_t i = 0; i < play->rollout->host_count; i++) {
        const RolloutHost *host = &play->rollout->hosts[i];
        if (!host->order_open) continue;
        Order order = host->order;
        const char *error = play_carry_out(play, host->name, &order);
        json_t *event = play_event(play, error ? "order.failed" : "order.done", host->name, &order);
        play_error(event, error);
        play_append(play, event);
        any = true;
    }
    return any;
}

static inline void play_watch(Play *play, const char *verdict) {
    play->now_ms += 1000;
    for (size_t i = 0; i < play->rollout->host_count; i++) {
        const RolloutHost *host = &play->rollout->hosts[i];
        if (host->state != HOST_HEALTHY && host->state != HOST_CONFIRMED) continue;
        json_t *event = rollout_event(play->rollout, "host.health", play->now_ms);
        json_set_text(event, "host", host->name);
        json_set_text(event, "verdict", verdict);
        json_set_integer(event, "passes", 5);
        json_set_integer(event, "failures", 0);
        json_object_set_new(event, "latency_ms", json_pack("{s:i,s:i,s:i}", "min", 1, "median", 3, "max", 8));
        play_append(play, event);
    }
}

/* Until it ends, waits for a person, or `rounds` are over. */
static inline void play_run(Play *play, int rounds) {
    for (int i = 0; i < rounds && !rollout_ended(play->rollout); i++) {
        json_t *events = rollout_decide(play->rollout, play->now_ms), *event;
        size_t index, count = json_array_size(events);
        json_array_foreach(events, index, event) play_append(play, json_incref(event));
        json_decref(events);
        if (!play_answer(play) && count == 0) play_watch(play, "pass");
    }
}

/* What a person asks for. */
static inline void play_control(Play *play, const char *verb, const char *why) {
    Error error = {0};
    play->now_ms += 500;
    if (engine_control(play->journal, play->rollout, verb, "eve@desk", why, NULL, &play->clock, &error) < 0)
        fail_msg("%s", error.en);
    play_catch_up(play);
}
