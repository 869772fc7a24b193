/* Simulation of the rollout: the real fold and the real decision under a false clock, with imagined hosts
 * that do well or badly by chance, people who steer at random, and crashes of the engine between any two
 * events — all from one seed.
 *
 *     simulate_rollout [SEEDS [FIRST_SEED]]
 *
 * Before every event it checks the invariants of the design that can be seen from here. What it holds a
 * decision against is what it has seen itself (Imagined), never what the fold says of it:
 *   I1  no host is switched before its restore point is proved, and no such order can be folded
 *   I4  never more hosts taken out of service, or put back, at one time than max_unavailable
 *   I5  while anything is wrong no host is switched, unless its host was left out: no more of a stage than
 *       max_failed, and never put back or skipped when it is well; every rollout ends, or waits for a named
 *       person
 *   I7  whoever reads the journal after a crash decides the same; no order is given or answered twice
 *   I11 no stage passes without a confirmed host, or with one that is neither confirmed nor left out
 *   I11 silence is never a pass: no host is confirmed without a passing report since its soak began, nor
 *       before the soak is over, and nothing goes on while a switched host has been silent for too long
 *   I12 a failed host is not switched again unless a person resumed or retried it; what was given up or left
 *       out is not switched
 *
 * test_mutation.py takes each guard of these out of the model and holds this program to noticing it.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "model/rollout.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HOSTS_MAX = 9,
    STARTS_MAX = 8,
    RETRIES_MAX = 6,
    EVENTS_MAX = 60000,
    STEPS_MAX = 200000,
    START_MS = 1000000000,
    HOUR_MS = 3600 * 1000
};

typedef struct Imagined { /* one host: what will become of it, and what was seen of it */
    bool prepare_fails, switch_fails, sick_in_soak, silent, falls_silent, rollback_fails, never_answers;
    bool dead;            /* like one that never answers, but it does not roll back by itself either */
    int64_t answer_at_ms; /* 0: no order under way */
    int64_t probe_at_ms;
    int64_t report_at_ms;
    /* seen: */
    bool proved;              /* a PREPARE was answered */
    bool on_new;              /* a SWITCH was given, and no rollback was answered since */
    bool watched;             /* a SWITCH was answered, and neither COMMIT nor a rollback since */
    bool wrong;               /* it failed or fell sick, and no person has said to try again */
    bool gone;                /* lost, or rolled back by itself: trying again is not possible */
    bool down;                /* its switch failed, and nothing has mended it since */
    bool sick;                /* a report said so, and nobody has resumed or put it back since */
    bool missing;             /* it was lost, and has not answered since */
    bool failed_out, skipped; /* left out */
    bool retried;             /* a person asked for another try, and it was not prepared for that yet */
    bool confirmed;
    bool order_open;
    OrderKind order;
    int orders, switches;
    bool resumed_since_switch;
    bool passed_since_soak;
    int64_t heard_ms;
} Imagined;

typedef struct World {
    uint64_t seed, state;
    Arena *arena;
    const Plan *plan;
    json_t *journal;
    Rollout *rollout;
    Imagined hosts[HOSTS_MAX];
    int64_t now_ms;
    int64_t soak_ms, soak_until_ms; /* of the last soak */
    int starts_left;                /* each gives orders their time again: for ever would be too often */
    int retries_left;
    bool failing;
    bool given_up; /* a person has aborted it, or asked for a rollback */
    bool held;     /* it waits for a person */
    bool steered;  /* people interfere in this one */
} World;

static _Noreturn void broken(const World *world, const char *why) {
    printf("seed %llu: %s\n", (unsigned long long)world->seed, why);
    for (size_t i = 0; i < json_array_size(world->journal); i++) {
        FREE_AUTO char *text = json_text(json_array_get(world->journal, i));
        printf("  %zu %.300s\n", i + 1, text);
    }
    exit(1);
}

/* SplitMix64 (Steele, Lea, Flood 2014): small, good enough, the same everywhere. */
static uint64_t chance(World *world) {
    uint64_t z = world->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static int64_t up_to(World *world, int64_t limit) { return (int64_t)(chance(world) % (uint64_t)limit); }
static bool one_in(World *world, int64_t n) { return up_to(world, n) == 0; }

/* ---- an imagined plan */

static const char *imagine_max_failed(World *world, Buffer *text, int hosts) {
    if (one_in(world, 2)) return "0";
    if (one_in(world, 2))
        buffer_printf(text, "%d", (int)up_to(world, hosts + 1));
    else
        buffer_printf(text, "%d%%", (int)up_to(world, 101));
    return buffer_text(text);
}

static void write_plan(World *world, Buffer *out, int hosts) {
    BUFFER_AUTO max_failed = {0};
    static const char *const data[] = {"keep-data", "restore-data", "hold"};
    buffer_printf(out,
                  "upkeep: 1\nservice:\n  name: s\n  root: /srv/${host.name}\n  run: {systemd: s.service}\n"
                  "  rollback_confirmed: %s\n"
                  "package: {file: s.upk, trust: [s.pub]}\n"
                  "on_failure: %s\nhosts:\n",
                  data[up_to(world, 3)], one_in(world, 4) ? "hold" : "rollback");
    for (int i = 0; i < hosts; i++) buffer_printf(out, "  - {name: h%d}\n", i);
    buffer_text_append(out, "health: [{tcp: {address: \"127.0.0.1:1\"}}]\nrollout:\n");
    if (one_in(world, 2))
        buffer_printf(out, "  max_unavailable: %d\n", (int)up_to(world, hosts) + 1);
    else
        buffer_printf(out, "  max_unavailable: %d%%\n", (int)up_to(world, 100) + 1);
    buffer_text_append(out, "  stages:\n");
    if (hosts > 1 && one_in(world, 2)) buffer_text_append(out, "    - {name: pilot, hosts: 1, soak: 20s}\n");
    int batch = (int)up_to(world, 100) + 1, soak = (int)up_to(world, 60);
    buffer_printf(out, "    - {name: rest, batch: %d%%, soak: %ds, max_failed: \"%s\"}\n", batch, soak,
                  imagine_max_failed(world, &max_failed, hosts));
}

/* ---- the journal, and a crash that forgets everything else */

static void fold(World *world, json_t *event) {
    Error error;
    if (json_array_size(world->journal) > EVENTS_MAX) broken(world, "I5: it does not end");
    json_array_append(world->journal, event);
    if (rollout_fold(world->rollout, (int64_t)json_array_size(world->journal), event, &error) < 0)
        broken(world, "I7: an event cannot be folded that may come at any moment");
}

static Rollout *replay(const World *world, Arena *arena) {
    Rollout *rollout = NULL;
    Error error;
    if (rollout_open(arena, 1, json_array_get(world->journal, 0), &rollout, &error) < 0)
        broken(world, error.en);
    for (size_t i = 1; i < json_array_size(world->journal); i++)
        if (rollout_fold(rollout, (int64_t)i + 1, json_array_get(world->journal, i), &error) < 0)
            broken(world, error.en);
    return rollout;
}

static void forge(const World *world, Rollout *copy, const RolloutHost *host, const char *type,
                  const char *id, const char *what) {
    Error error;
    JSON_AUTO event = rollout_event(copy, type, world->now_ms);
    json_set_text(event, "host", host->name);
    json_set_text(event, "order", "switch");
    json_set_text(event, "order_id", id);
    if (rollout_fold(copy, copy->sequence + 1, event, &error) == 0) broken(world, what);
}

/* People in other processes write when they like: also between what was decided and its being written. */
static void race(World *world, Rollout *copy, json_t *decided) {
    static const char *const verbs[] = {"control.skip",   "control.retry", "control.pause",
                                        "control.resume", "control.abort", "control.rollback",
                                        "control.skip",   "control.retry"};
    Error error;
    int64_t sequence = copy->sequence;
    JSON_AUTO control = rollout_event(copy, verbs[up_to(world, 8)], world->now_ms);
    json_set_text(control, "host", copy->hosts[up_to(world, (int64_t)copy->host_count)].name);
    if (rollout_fold(copy, ++sequence, control, &error) < 0)
        broken(world, "I7: what a person asked for could not be folded");
    for (size_t i = 0; i < json_array_size(decided); i++)
        if (rollout_fold(copy, ++sequence, json_array_get(decided, i), &error) < 0)
            broken(world, "I7: what a person wrote in between has made the journal unreadable");
}

/* Events that nobody may have written: what cannot be folded cannot have happened. */
static void forge_some(World *world, Rollout *copy) {
    size_t index = (size_t)up_to(world, (int64_t)copy->host_count);
    const RolloutHost *host = &copy->hosts[index];
    const Imagined *imagined = &world->hosts[index];
    if (imagined->order_open) {
        forge(world, copy, host, "order.given", "C/h/99", "I7: a second order was taken beside an open one");
        forge(world, copy, host, "order.done", "C/h/99", "I7: an answer to another order was taken");
        return;
    }
    forge(world, copy, host, "order.done", host->order.id, "I7: an answer was taken twice");
    if (!imagined->proved)
        forge(world, copy, host, "order.given", "C/h/99", "I1: a switch was taken without a proof");
}

/* A new engine: it has seen nothing, so that nobody has passed yet and the soak begins anew. */
static void start_again(World *world) {
    world->starts_left--;
    JSON_AUTO event = rollout_event(world->rollout, "engine.started", world->now_ms);
    fold(world, event);
    world->soak_until_ms = world->now_ms + world->soak_ms;
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        world->hosts[i].passed_since_soak = false;
        world->hosts[i].heard_ms = world->now_ms;
    }
}

static void crash(World *world) {
    ARENA_AUTO arena = arena_new();
    JSON_AUTO before = rollout_decide(world->rollout, world->now_ms);
    Rollout *again = replay(world, arena);
    JSON_AUTO after = rollout_decide(again, world->now_ms);
    if (!json_equal(before, after)) broken(world, "I7: after a crash something else was decided");
    if (one_in(world, 2))
        forge_some(world, again);
    else
        race(world, again, after);
    if (world->starts_left > 0 && one_in(world, 5)) start_again(world);
}

/* ---- invariants at each event that was decided, before it is folded */

static size_t count_rollbacks(const World *world) {
    size_t count = 0;
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        const Imagined *host = &world->hosts[i];
        count += host->order_open && host->order == ORDER_ROLLBACK && host->on_new;
    }
    return count;
}

static bool is_left_out(const Imagined *host) { return host->failed_out || host->skipped; }

static bool is_out(const Imagined *host) {
    bool going = host->order_open && (host->order == ORDER_SWITCH || host->order == ORDER_ROLLBACK);
    return host->down || host->sick || host->missing || (going && host->on_new);
}

/* Hosts that serve nobody because of us, but for `host`: beside a switch also those that are to be put back
 * (nobody knows how well they serve), beside a rollback not those that may stay out for ever. */
static size_t count_out(const World *world, const Imagined *host, bool beside_switch) {
    size_t count = 0;
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        const Imagined *other = &world->hosts[i];
        const RolloutHost *known = &world->rollout->hosts[i];
        bool hopeless = !other->order_open && (other->missing || known->rollback_failed || known->kept);
        bool going = (is_left_out(other) || other->retried) && other->on_new;
        if (other == host) continue;
        count += beside_switch ? is_out(other) || going : is_out(other) && !hopeless;
    }
    return count;
}

/* What the plan says, written down once more: percentages rounded down. */
static size_t failures_allowed(const World *world, size_t stage) {
    const Amount *amount = &world->plan->rollout.stages.items[stage].max_failed;
    size_t members = 0;
    for (size_t i = 0; i < world->rollout->host_count; i++)
        members += world->rollout->hosts[i].stage == stage;
    return amount->percent ? members * (size_t)amount->value / 100 : (size_t)amount->value;
}

static void check_left_out(const World *world, const RolloutHost *known) {
    size_t failed = 0;
    const Imagined *host = &world->hosts[known - world->rollout->hosts];
    for (size_t i = 0; i < world->rollout->host_count; i++)
        failed += world->rollout->hosts[i].stage == known->stage && world->hosts[i].failed_out;
    if (is_left_out(host)) broken(world, "I5: a host was left out twice");
    if (failed >= failures_allowed(world, known->stage))
        broken(world, "I5: more were left out than may fail");
}

static void check_stage_kept(const World *world, size_t stage) {
    for (size_t i = 0; i < world->rollout->host_count; i++)
        if (world->rollout->hosts[i].stage == stage && !is_left_out(&world->hosts[i])) return;
    broken(world, "I11: a stage was left without a host");
}

/* Everybody in it is confirmed or left out, and somebody is confirmed. */
static void check_passed(const World *world, const char *name) {
    bool any = false;
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        const Imagined *host = &world->hosts[i];
        size_t stage = world->rollout->hosts[i].stage;
        if (strcmp(world->plan->rollout.stages.items[stage].name, name) != 0 || is_left_out(host)) continue;
        if (!host->confirmed) broken(world, "I11: a stage passed before each of its hosts was confirmed");
        any = true;
    }
    if (!any) broken(world, "I11: a stage passed without a host");
}

/* With all others when the rollout fails; else alone, while they go on. */
static void check_rollback(const World *world, const Imagined *host, size_t allowed) {
    if (!world->failing && !world->given_up && !is_left_out(host) && !host->retried)
        broken(world, "I5: a host was put back that has its part in it");
    if (host->on_new && !is_out(host) && count_out(world, host, false) >= allowed)
        broken(world, "I4: a host was put back when too many were out of service");
}

static void check_nothing_is_wrong(const World *world) {
    int64_t limit_ms = world->plan->health.items[0].deadline_ms;
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        const Imagined *host = &world->hosts[i];
        if (is_left_out(host) || host->retried) continue;
        if (host->wrong || host->gone) broken(world, "I5: it went on after a failing verdict");
        if (host->watched && !host->order_open && world->now_ms - host->heard_ms > limit_ms)
            broken(world, "I11: it went on though a host was silent");
    }
}

static void check_switch(const World *world, const Imagined *host) {
    size_t allowed = plan_amount_of(&world->plan->rollout.max_unavailable, world->rollout->host_count);
    if (!host->proved) broken(world, "I1: switched before its restore point was proved");
    if (world->failing) broken(world, "I5: switched after a failing verdict");
    if (world->given_up) broken(world, "I12: switched after it was given up");
    if (host->switches > 0 && !host->resumed_since_switch) broken(world, "I12: switched again by itself");
    if (is_left_out(host) || host->retried) broken(world, "I12: switched though it was left out");
    if (!is_out(host) && count_out(world, host, true) >= allowed)
        broken(world, "I4: too many hosts out of service");
    check_nothing_is_wrong(world);
}

static void check_order(const World *world, const json_t *event) {
    const RolloutHost *known = rollout_host(world->rollout, json_get_text(event, "host", NULL));
    const Imagined *host = &world->hosts[known - world->rollout->hosts];
    size_t allowed = plan_amount_of(&world->plan->rollout.max_unavailable, world->rollout->host_count);
    OrderKind kind = ORDER_PREPARE;
    FREE_AUTO char *id = NULL;
    if (asprintf(&id, "%s/%s/%d", world->rollout->change, known->name, host->orders + 1) < 0) abort();
    if (strcmp(id, json_get_text(event, "order_id", "")) != 0)
        broken(world, "I7: an order does not have the next name");
    if (host->order_open) broken(world, "I7: a second order was given beside an open one");
    order_kind_from_text(json_get_text(event, "order", NULL), &kind);
    if (kind == ORDER_SWITCH) check_switch(world, host);
    if (kind == ORDER_ROLLBACK && host->on_new && count_rollbacks(world) >= allowed)
        broken(world, "I4: too many hosts put back at one time");
    if (kind == ORDER_ROLLBACK) check_rollback(world, host, allowed);
    if ((kind == ORDER_CONFIRM || kind == ORDER_COMMIT) && is_left_out(host))
        broken(world, "I5: a host that was left out went on");
    if (kind == ORDER_CONFIRM && !host->passed_since_soak) broken(world, "I11: confirmed without a report");
    if (kind == ORDER_CONFIRM && world->now_ms < world->soak_until_ms)
        broken(world, "I11: confirmed before its soak was over");
    if (kind == ORDER_CONFIRM || kind == ORDER_COMMIT) check_nothing_is_wrong(world);
}

/* Whoever was left out of what went through is named. */
static void check_named(const World *world, const json_t *event) {
    size_t left_out = 0, named = json_array_size(json_object_get(event, "left_out"));
    for (size_t i = 0; i < world->rollout->host_count; i++) left_out += is_left_out(&world->hosts[i]);
    if (!world->failing && !world->given_up && named != left_out)
        broken(world, "I5: a host that was left out is not named");
}

static void check(const World *world, const json_t *event) {
    const char *type = json_get_text(event, "type", "");
    const RolloutHost *known = rollout_host(world->rollout, json_get_text(event, "host", NULL));
    if (strcmp(type, "order.given") == 0) check_order(world, event);
    if (strcmp(type, "stage.passed") == 0 || strcmp(type, "batch.started") == 0)
        check_nothing_is_wrong(world);
    if (strcmp(type, "stage.passed") == 0) check_passed(world, json_get_text(event, "stage", ""));
    if (strcmp(type, "host.left_out") == 0) check_left_out(world, known);
    if (strcmp(type, "change.closed") == 0) check_named(world, event);
    if (strcmp(type, "host.lost") == 0 && !world->hosts[known - world->rollout->hosts].order_open)
        broken(world, "I7: an answer was forgotten");
}

/* ---- what is seen */

static void note_order(World *world, Imagined *host, const json_t *event) {
    order_kind_from_text(json_get_text(event, "order", NULL), &host->order);
    host->order_open = true;
    host->orders++;
    if (host->order == ORDER_SWITCH) {
        host->switches++;
        host->on_new = true;
        host->resumed_since_switch = host->passed_since_soak = host->confirmed = false;
    }
    if (host->order == ORDER_PREPARE) host->retried = false;
    bool first = world->rollout->switch_count == 0; /* later the others' reports would fill the journal */
    if (host->dead &&
        (host->order == ORDER_ROLLBACK || (host->order == ORDER_PREPARE && first && one_in(world, 3))))
        return;
    if ((host->never_answers || host->dead) && host->order == ORDER_SWITCH) return;
    host->answer_at_ms = world->now_ms + 1 + up_to(world, 20000);
    if (host->order == ORDER_SWITCH) host->probe_at_ms = world->now_ms + 1 + up_to(world, 20000);
}

static void note_resume(World *world) {
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        Imagined *host = &world->hosts[i];
        if (world->rollout->state == ROLLOUT_RUNNING) host->heard_ms = world->now_ms;
        if (!world->held || is_left_out(host) || host->retried) continue;
        /* what could not be put back for another try is put back before that all the same */
        host->retried = host->wrong && host->order == ORDER_ROLLBACK;
        host->wrong = host->sick = false;
        host->resumed_since_switch = true;
    }
    world->held = false;
}

static void note(World *world, const json_t *event) {
    const char *type = json_get_text(event, "type", "");
    const RolloutHost *known = rollout_host(world->rollout, json_get_text(event, "host", NULL));
    Imagined *host = known ? &world->hosts[known - world->rollout->hosts] : NULL;
    if (strcmp(type, "rollout.failing") == 0) world->failing = true;
    if (strcmp(type, "rollout.held") == 0) world->held = true;
    if (strcmp(type, "control.abort") == 0 || strcmp(type, "control.rollback") == 0) {
        world->given_up = true;
        world->held = false;
    }
    if (strcmp(type, "stage.soaking") == 0) {
        world->soak_ms = json_get_integer(event, "soak_ms", 0);
        world->soak_until_ms = world->now_ms + world->soak_ms;
        for (size_t i = 0; i < world->rollout->host_count; i++) world->hosts[i].passed_since_soak = false;
    }
    if (strcmp(type, "control.resume") == 0) note_resume(world);
    if (strcmp(type, "order.given") == 0) note_order(world, host, event);
    if (host && strcmp(type, "host.left_out") == 0) {
        host->failed_out = true;
        check_stage_kept(world, known->stage);
    }
    if (host && strcmp(type, "host.lost") == 0) {
        host->gone = host->missing = true;
        if (host->retried) host->retried = false; /* it is a fault again */
        host->order_open = host->watched = false;
    }
}

static void decide(World *world) {
    for (;;) {
        /* The longer the journal, the dearer: seldom enough for the whole to stay linear. */
        if (one_in(world, 20 + (int64_t)json_array_size(world->journal) / 10)) crash(world);
        JSON_AUTO events = rollout_decide(world->rollout, world->now_ms);
        if (json_array_size(events) == 0) return;
        for (size_t i = 0; i < json_array_size(events); i++) {
            check(world, json_array_get(events, i));
            fold(world, json_array_get(events, i));
            note(world, json_array_get(events, i));
        }
    }
}

/* ---- what the hosts do */

static bool fails(const Imagined *imagined, OrderKind kind) {
    return (kind == ORDER_PREPARE && imagined->prepare_fails) ||
           (kind == ORDER_SWITCH && imagined->switch_fails) ||
           (kind == ORDER_ROLLBACK && imagined->rollback_fails);
}

static void note_answer(const World *world, Imagined *host, bool failed) {
    host->order_open = host->missing = false;
    host->wrong |= failed;
    if (host->order == ORDER_SWITCH) host->down = failed;
    if (host->order == ORDER_ROLLBACK && !failed) host->down = host->sick = host->proved = false;
    if (host->order == ORDER_ROLLBACK && failed) host->retried = false;
    if (host->order == ORDER_ROLLBACK && !failed && host->retried) host->wrong = host->gone = false;
    if (host->order == ORDER_CONFIRM) host->confirmed = !failed;
    if (failed) {
        host->watched = false;
        return;
    }
    host->heard_ms = world->now_ms;
    if (host->order == ORDER_PREPARE) host->proved = true;
    if (host->order == ORDER_SWITCH) host->watched = true;
    if (host->order == ORDER_COMMIT || host->order == ORDER_ROLLBACK) host->watched = false;
    if (host->order == ORDER_ROLLBACK) host->on_new = false;
}

static void answer(World *world, size_t index) {
    RolloutHost *host = &world->rollout->hosts[index];
    Imagined *imagined = &world->hosts[index];
    imagined->answer_at_ms = imagined->probe_at_ms = 0;
    if (!imagined->order_open) return;
    bool failed = host->order_cancelled || fails(imagined, imagined->order);
    JSON_AUTO event = rollout_event(world->rollout, failed ? "order.failed" : "order.done", world->now_ms);
    json_set_text(event, "host", host->name);
    json_set_text(event, "order_id", host->order.id);
    if (failed) json_set_text(event, "error", "imagined");
    if (!failed && imagined->order == ORDER_SWITCH) imagined->report_at_ms = world->now_ms + 1;
    if (one_in(world, 3) && imagined->order == ORDER_SWITCH)
        imagined->switch_fails = false; /* mended meanwhile */
    fold(world, event);
    if (host->state == HOST_PENDING && (world->failing || world->given_up))
        broken(world, "I12: what was given up is to begin again");
    note_answer(world, imagined, failed);
}

/* It is being probed: still out of service. */
static void probe(World *world, size_t index) {
    Imagined *imagined = &world->hosts[index];
    imagined->probe_at_ms = 0;
    if (!imagined->order_open || imagined->order != ORDER_SWITCH) return;
    JSON_AUTO event = rollout_event(world->rollout, "step.started", world->now_ms);
    json_set_text(event, "host", world->rollout->hosts[index].name);
    json_set_text(event, "step", "probe");
    fold(world, event);
}

static void report(World *world, size_t index) {
    RolloutHost *host = &world->rollout->hosts[index];
    Imagined *imagined = &world->hosts[index];
    imagined->report_at_ms = world->now_ms + 2000;
    if (imagined->silent || (host->state != HOST_HEALTHY && host->state != HOST_CONFIRMED)) return;
    if (imagined->falls_silent && host->state == HOST_CONFIRMED) return;
    bool sick = imagined->sick_in_soak && one_in(world, 5);
    JSON_AUTO event = rollout_event(world->rollout, "host.health", world->now_ms);
    json_set_text(event, "host", host->name);
    json_set_text(event, "verdict", sick ? "fail" : one_in(world, 20) ? "inconclusive" : "pass");
    imagined->passed_since_soak |= strcmp(json_get_text(event, "verdict", ""), "pass") == 0;
    imagined->heard_ms = world->now_ms;
    imagined->wrong |= sick;
    imagined->sick |= sick; /* as a failing verdict stays */
    imagined->missing = false;
    if (sick) imagined->sick_in_soak = one_in(world, 2);
    fold(world, event);
}

/* Its guard: nobody confirmed it in time. */
static void roll_back_by_itself(World *world, size_t index) {
    RolloutHost *host = &world->rollout->hosts[index];
    Imagined *imagined = &world->hosts[index];
    if (imagined->dead || !host->confirm_by_ms || world->now_ms < host->confirm_by_ms + 5000 ||
        host->state == HOST_ROLLING_BACK)
        return;
    JSON_AUTO event = rollout_event(world->rollout, "host.rolled_back", world->now_ms);
    json_set_text(event, "host", host->name);
    fold(world, event);
    imagined->gone = !imagined->retried;
    imagined->wrong &= !imagined->retried;
    imagined->order_open = imagined->watched = imagined->on_new = false;
    imagined->down = imagined->sick = imagined->missing = imagined->proved = false;
}

static void note_skip(World *world, const RolloutHost *known, Imagined *host) {
    bool well = host->on_new && !host->wrong && !host->gone && !host->retried && !world->held;
    if (known->part != PART_SKIPPED || host->skipped) return; /* it had no effect */
    if (well || (host->confirmed && !host->retried))
        broken(world, "I5: a host was skipped that runs the new version well");
    host->skipped = true;
    host->retried = false;
    check_stage_kept(world, known->stage);
}

static void note_retry(World *world, const RolloutHost *known, Imagined *host, const RolloutHost *before) {
    bool well = !is_left_out(host) && !host->wrong && !host->gone && !world->held;
    if (known->part == before->part && known->state == before->state) return; /* it had no effect */
    if (well) broken(world, "I12: a host was begun again with which nothing was wrong");
    if (world->failing || world->given_up) broken(world, "I12: what was given up was begun again");
    host->failed_out = host->skipped = host->wrong = host->gone = false;
    host->retried = host->resumed_since_switch = true;
    if (known->state == HOST_PENDING) host->proved = false; /* at once: there is nothing to put back */
}

/* One host, and mostly one with which something is wrong. */
static void steer_host(World *world) {
    size_t index = (size_t)up_to(world, (int64_t)world->rollout->host_count);
    for (size_t i = 0; i < world->rollout->host_count && one_in(world, 2); i++)
        if (world->hosts[i].wrong || world->hosts[i].gone) index = i;
    const RolloutHost *known = &world->rollout->hosts[index], before = *known;
    bool skip = one_in(world, 2);
    if (!skip && world->retries_left-- <= 0) return;
    JSON_AUTO event = rollout_event(world->rollout, skip ? "control.skip" : "control.retry", world->now_ms);
    json_set_text(event, "host", known->name);
    fold(world, event);
    if (skip)
        note_skip(world, known, &world->hosts[index]);
    else
        note_retry(world, known, &world->hosts[index], &before);
}

static void steer(World *world) {
    static const char *const verbs[] = {"control.pause",  "control.resume", "control.resume",
                                        "control.resume", "control.abort",  "control.rollback"};
    bool waits = world->rollout->state == ROLLOUT_PAUSED; /* for a person: one comes, sooner or later */
    if (!(waits && one_in(world, 20)) && !(world->steered && one_in(world, 60))) return;
    const char *verb = verbs[waits && !world->rollout->held ? 1 : up_to(world, 6)];
    if (rollout_ended(world->rollout)) return;
    if (one_in(world, 2)) {
        steer_host(world);
        return;
    }
    JSON_AUTO event = rollout_event(world->rollout, verb, world->now_ms);
    json_set_bool(event, "restore_data", one_in(world, 2));
    fold(world, event);
    note(world, event);
    if (!world->failing && !world->given_up) return;
    if (world->rollout->state == ROLLOUT_RUNNING) broken(world, "I12: what was given up runs again");
    if (world->rollout->state == ROLLOUT_PAUSED) broken(world, "I5: a rollback was halted");
}

static void step(World *world) {
    world->now_ms += one_in(world, 200) ? up_to(world, HOUR_MS) : 1 + up_to(world, 2000);
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        Imagined *host = &world->hosts[i];
        if (host->probe_at_ms && world->now_ms >= host->probe_at_ms) probe(world, i);
        if (host->answer_at_ms && world->now_ms >= host->answer_at_ms) answer(world, i);
        if (host->report_at_ms && world->now_ms >= host->report_at_ms) report(world, i);
        roll_back_by_itself(world, i);
    }
    steer(world);
    decide(world);
}

/* ---- the end */

static void check_end(World *world) {
    const Rollout *rollout = world->rollout;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        bool new_version = host->state == HOST_COMMITTED,
             old = host->state == HOST_ROLLED_BACK || host->state == HOST_PENDING;
        bool named = host->rollback_failed || host->kept || host->state == HOST_LOST;
        bool forward = !world->failing && !world->given_up; /* it went through, but for who was left out */
        if (forward && !is_left_out(&world->hosts[i]) ? !new_version : !old && !named)
            broken(world, "I5: a host was left between two versions");
        if (rollout->outcome == OUTCOME_SUCCEEDED && (host->rollback_failed || host->kept))
            broken(world, "I5: a host that needs a person ended as a success");
    }
}

static void imagine(World *world, size_t count) {
    for (size_t i = 0; i < count; i++)
        world->hosts[i] = (Imagined){.prepare_fails = one_in(world, 20),
                                     .switch_fails = one_in(world, 10),
                                     .sick_in_soak = one_in(world, 10),
                                     .silent = one_in(world, 25),
                                     .falls_silent = one_in(world, 25),
                                     .rollback_fails = one_in(world, 15),
                                     .never_answers = one_in(world, 40),
                                     .dead = one_in(world, 100)};
}

static RolloutOutcome simulate(uint64_t seed) {
    ARENA_AUTO arena = arena_new();
    World world = {.seed = seed, .state = seed, .arena = arena, .now_ms = START_MS, .journal = json_array()};
    BUFFER_AUTO text = {0};
    Error error;
    Plan *plan = NULL;
    int hosts = (int)up_to(&world, HOSTS_MAX) + 1;
    write_plan(&world, &text, hosts);
    if (plan_compile(arena, "plan", "/", buffer_text(&text), text.size, &plan, &error) < 0)
        broken(&world, error.en);
    world.plan = plan;
    world.steered = one_in(&world, 3);
    world.retries_left = (int)up_to(&world, RETRIES_MAX + 1);
    world.starts_left = (int)up_to(&world, STARTS_MAX + 1);
    imagine(&world, (size_t)hosts);
    Rollout bare = {.plan = plan, .change = "CHG-1"};
    json_t *opened = rollout_event(&bare, "change.opened", world.now_ms);
    json_object_set_new(opened, "plan", plan_to_json(plan));
    json_array_append_new(world.journal, opened);
    world.rollout = replay(&world, arena);
    decide(&world);
    for (long steps = 0; !rollout_ended(world.rollout); steps++) {
        if (steps > STEPS_MAX) broken(&world, "I5: it is stuck");
        step(&world);
    }
    check_end(&world);
    RolloutOutcome outcome = world.rollout->outcome;
    json_decref(world.journal);
    return outcome;
}

int main(int count, char **words) {
    unsigned long seeds = count > 1                     ? strtoul(words[1], NULL, 10)
                          : getenv("UPKEEP_CHECK_LONG") ? 1000000
                                                        : 3000,
                  first = count > 2 ? strtoul(words[2], NULL, 10) : 1;
    unsigned long ends[OUTCOME_ABORTED + 1] = {0};
    printf("TAP version 13\n1..1\n");
    for (unsigned long seed = first; seed < first + seeds; seed++) ends[simulate(seed)]++;
    for (int i = OUTCOME_SUCCEEDED; i <= OUTCOME_ABORTED; i++) {
        printf("# %s: %lu\n", rollout_outcome_text((RolloutOutcome)i), ends[i]);
        if (seeds >= 1000 && ends[i] == 0) {
            printf("not ok 1 - the simulation never ended as %s: it does not try enough\n",
                   rollout_outcome_text((RolloutOutcome)i));
            return 1;
        }
    }
    printf("ok 1 - %lu rollouts keep their invariants and end\n", seeds);
    return 0;
}
