#include "report/story.h"
#include "base/clock.h"
#include "base/json.h"
#include "engine/change.h"
#include <inttypes.h>
#include <string.h>

/* ---- reading */

static int keep_event(void *context, int64_t sequence, const json_t *event, Error *error) {
    Story *story = context;
    json_t *kept = json_copy((json_t *)event);
    (void)error;
    json_set_integer(kept, "sequence", sequence);
    json_array_append_new(story->events, kept);
    if (!story->first_sequence) story->first_sequence = sequence;
    story->last_sequence = sequence;
    return 0;
}

static int note_hash(void *context, const JournalRow *row, Error *error) {
    Story *story = context;
    (void)error;
    if (row->sequence == story->last_sequence) story->last_hash = row->hash;
    return 0;
}

static int read_chain(Journal *journal, Story *story, Error *error) {
    int64_t last = 0;
    story->chain_whole = journal_verify(journal, &story->journal_count, &story->chain_error) == 0;
    if (journal_head(journal, &last, &story->journal_head, error) < 0) return -1;
    if (!story->chain_whole) story->journal_count = last;
    return journal_rows(journal, 0, NULL, note_hash, story, error);
}

static int64_t time_of(const json_t *event) {
    int64_t time_ms = 0;
    return clock_from_text(json_get_text(event, "time", ""), &time_ms) < 0 ? 0 : time_ms;
}

static const char *type_of(const json_t *event) { return json_get_text(event, "type", ""); }

static bool is_type(const json_t *event, const char *type) { return strcmp(type_of(event), type) == 0; }

static bool equal(const char *a, const char *b) { return a && b && strcmp(a, b) == 0; }

/* ---- steps and orders */

typedef struct Reading {
    Story *story;
    const char *by; /* whose engine runs */
} Reading;

/* The last step or order of that id which has no end yet. */
static StoryStep *open_step(Story *story, const json_t *event) {
    for (size_t i = story->step_count; i-- > 0;) {
        StoryStep *step = &story->steps[i];
        if (step->result == STORY_OPEN && equal(step->order_id, json_get_text(event, "order_id", NULL)) &&
            equal(step->step, json_get_text(event, "step", NULL)) &&
            equal(step->host, json_get_text(event, "host", NULL)))
            return step;
    }
    return NULL;
}

static StoryOrder *open_order(Story *story, const json_t *event) {
    for (size_t i = story->order_count; i-- > 0;)
        if (story->orders[i].result == STORY_OPEN &&
            equal(story->orders[i].id, json_get_text(event, "order_id", NULL)))
            return &story->orders[i];
    return NULL;
}

static void read_step_started(Reading *reading, const json_t *event) {
    Story *story = reading->story;
    StoryStep *before = open_step(story, event);
    if (before) before->result = STORY_CUT;
    story->steps[story->step_count++] = (StoryStep){.host = json_get_text(event, "host", ""),
                                                    .step = json_get_text(event, "step", ""),
                                                    .order = json_get_text(event, "order", ""),
                                                    .order_id = json_get_text(event, "order_id", ""),
                                                    .command = json_get_text(event, "command", NULL),
                                                    .by = reading->by,
                                                    .start_ms = time_of(event),
                                                    .duration_ms = -1};
}

static void read_step_ended(Reading *reading, const json_t *event) {
    StoryStep *step = open_step(reading->story, event);
    if (!step) return;
    step->end_ms = time_of(event);
    step->duration_ms = json_get_integer(event, "duration_ms", -1);
    step->result = is_type(event, "step.done") ? STORY_DONE : STORY_FAILED;
    step->detail = json_object_get(event, "detail");
    step->error = json_get_text(event, "error", NULL);
    step->error_zh = json_get_text(event, "error_zh", step->error);
}

static void read_order_given(Reading *reading, const json_t *event) {
    Story *story = reading->story;
    story->orders[story->order_count++] =
        (StoryOrder){.host = json_get_text(event, "host", ""),
                     .order = json_get_text(event, "order", ""),
                     .id = json_get_text(event, "order_id", ""),
                     .given_ms = time_of(event),
                     .restore_data = json_get_bool(event, "restore_data", false)};
}

static void read_order_ended(Reading *reading, const json_t *event) {
    StoryOrder *order = open_order(reading->story, event);
    if (!order) return;
    order->ended_ms = time_of(event);
    order->result = is_type(event, "order.done") ? STORY_DONE : STORY_FAILED;
    order->error = json_get_text(event, "error", NULL);
    order->error_zh = json_get_text(event, "error_zh", order->error);
}

/* ---- health */

static void add_health(Story *story, const char *host, StoryWhen when, int64_t time_ms,
                       const json_t *summary) {
    const json_t *latency = json_object_get(summary, "latency_ms");
    const char *error = json_get_text(summary, "error", NULL);
    if (!json_is_object(summary)) return;
    story->health[story->health_count++] =
        (StoryHealth){.host = host,
                      .when = when,
                      .time_ms = time_ms,
                      .verdict = json_get_text(summary, "verdict", "inconclusive"),
                      .passes = json_get_integer(summary, "passes", 0),
                      .failures = json_get_integer(summary, "failures", 0),
                      .deaths = json_get_integer(summary, "deaths", 0),
                      .timed = json_is_object(latency),
                      .min_ms = json_get_integer(latency, "min", 0),
                      .median_ms = json_get_integer(latency, "median", 0),
                      .max_ms = json_get_integer(latency, "max", 0),
                      .error = error,
                      .error_zh = json_get_text(summary, "error_zh", error)};
}

static void read_health(Reading *reading, const json_t *event) {
    add_health(reading->story, json_get_text(event, "host", ""), STORY_WATCH, time_of(event), event);
}

static void read_step_health(Reading *reading, const json_t *event) {
    const json_t *summary = json_object_get(json_object_get(event, "detail"), "health");
    bool before = equal(json_get_text(event, "step", NULL), "check");
    bool back = equal(json_get_text(event, "order", NULL), "rollback");
    add_health(reading->story, json_get_text(event, "host", ""),
               before ? STORY_BEFORE
               : back ? STORY_BACK
                      : STORY_PROBE,
               time_of(event), summary);
}

/* ---- when the service was not available */

static StoryOutage *open_outage(Story *story, const char *host) {
    for (size_t i = story->outage_count; i-- > 0;)
        if (strcmp(story->outages[i].host, host) == 0 && !story->outages[i].to_ms) return &story->outages[i];
    return NULL;
}

/* A stop that found nothing running began nothing. Only the switch's says so: where the service did not run
 * before the change, the rollback's stop ends nothing that anybody used. */
static bool stopped_something(const Story *story, const StoryStep *stop) {
    for (const StoryStep *step = story->steps; step <= stop; step++)
        if (strcmp(step->host, stop->host) == 0 && strcmp(step->step, "stop") == 0 &&
            !json_get_bool(step->detail, "was_running", true))
            return false;
    return true;
}

static void find_outages(Story *story) {
    for (size_t i = 0; i < story->step_count; i++) {
        const StoryStep *step = &story->steps[i];
        StoryOutage *open = open_outage(story, step->host);
        if (strcmp(step->step, "stop") == 0 && !open && step->result != STORY_CUT &&
            stopped_something(story, step))
            story->outages[story->outage_count++] = (StoryOutage){step->host, step->start_ms, 0};
        if (strcmp(step->step, "probe") == 0 && open && step->result == STORY_DONE)
            open->to_ms = step->end_ms;
    }
}

static void sum_outages(Story *story) {
    for (size_t i = 0; i < story->outage_count; i++) {
        const StoryOutage *outage = &story->outages[i];
        StoryHost *host = story_host(story, outage->host);
        if (!host) continue;
        host->outage_count++;
        if (!outage->to_ms)
            host->outage_ms = -1;
        else if (host->outage_ms >= 0)
            host->outage_ms += outage->to_ms - outage->from_ms;
    }
}

/* ---- all of it */

static void read_closed(Reading *reading, const json_t *event) { reading->story->closed_ms = time_of(event); }

/* Rolled back after it was over: it goes on. */
static void read_rollback(Reading *reading, const json_t *event) {
    (void)event;
    reading->story->closed_ms = 0;
}

static void read_started(Reading *reading, const json_t *event) {
    if (!reading->story->started_ms) reading->story->started_ms = time_of(event);
}

static void read_engine(Reading *reading, const json_t *event) {
    reading->by = json_get_text(event, "by", NULL);
}

static const struct {
    const char *type;
    void (*read)(Reading *reading, const json_t *event);
} readers[] = {
    {"engine.started", read_engine},    {"rollout.started", read_started},
    {"order.given", read_order_given},  {"order.done", read_order_ended},
    {"order.failed", read_order_ended}, {"step.started", read_step_started},
    {"step.done", read_step_ended},     {"step.failed", read_step_ended},
    {"step.done", read_step_health},    {"step.failed", read_step_health},
    {"host.health", read_health},       {"control.rollback", read_rollback},
    {"change.closed", read_closed},
};

static void read_events(Story *story) {
    Reading reading = {.story = story};
    size_t index;
    json_t *event;
    json_array_foreach(story->events, index, event) {
        for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
            if (is_type(event, readers[i].type)) readers[i].read(&reading, event);
        story->last_ms = time_of(event);
    }
}

static void read_hosts(Story *story) {
    story->hosts = ARENA_ARRAY(story->arena, story->rollout->host_count, StoryHost);
    for (size_t i = 0; i < story->rollout->host_count; i++) {
        StoryHost *host = &story->hosts[i];
        host->name = story->rollout->hosts[i].name;
        host->state = &story->rollout->hosts[i];
        for (size_t s = 0; s < story->step_count; s++)
            if (strcmp(story->steps[s].host, host->name) == 0 && strcmp(story->steps[s].step, "check") == 0)
                host->old_version = json_get_text(story->steps[s].detail, "old_version", host->old_version);
    }
}

int story_read(Journal *journal, Arena *arena, const char *id, Story *out, Error *error) {
    Story story = {.arena = arena, .events = json_array()};
    if (change_load(journal, arena, id, &story.rollout, error) < 0 ||
        journal_read(journal, 0, id, keep_event, &story, error) < 0 ||
        read_chain(journal, &story, error) < 0) {
        json_decref(story.events);
        return -1;
    }
    size_t count = json_array_size(story.events);
    story.opened = json_array_get(story.events, 0);
    story.opened_ms = time_of(story.opened);
    story.steps = ARENA_ARRAY(arena, count, StoryStep);
    story.orders = ARENA_ARRAY(arena, count, StoryOrder);
    story.health = ARENA_ARRAY(arena, count, StoryHealth);
    story.outages = ARENA_ARRAY(arena, count, StoryOutage);
    read_events(&story);
    read_hosts(&story);
    find_outages(&story);
    sum_outages(&story);
    *out = story;
    return 0;
}

void story_free(Story *story) {
    json_decref(story->events);
    story->events = NULL;
}

StoryHost *story_host(const Story *story, const char *name) {
    for (size_t i = 0; name && i < story->rollout->host_count; i++)
        if (strcmp(story->hosts[i].name, name) == 0) return &story->hosts[i];
    return NULL;
}

const StoryStep *story_failed_step(const Story *story, const char *host) {
    for (size_t i = story->step_count; host && i-- > 0;)
        if (story->steps[i].result == STORY_FAILED && strcmp(story->steps[i].host, host) == 0 &&
            strcmp(story->steps[i].order, "rollback") != 0)
            return &story->steps[i];
    return NULL;
}
