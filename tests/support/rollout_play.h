/* Rollout play: a rollout of a plan's text, everything that was folded into it, and a clock that stands until
 * it is moved. The arena is the case's: end it with arena_free(at.arena). */
#pragma once
#include "base/clock.h"
#include "base/json.h"
#include "model/rollout.h"
#include "support/test.h"
#include <string.h>

enum { START_MS = 1000000 };

typedef struct Case {
    Arena *arena;
    Rollout *rollout;
    int64_t now_ms, sequence;
} Case;

/* The plan is `text` and, behind it, `more`. */
static inline Case case_begin(const char *text, const char *more) {
    Case made = {.arena = arena_new(), .now_ms = START_MS, .sequence = 1};
    Plan *plan = NULL;
    Error error = {0};
    const char *whole = arena_printf(made.arena, "%s%s", text, more);
    if (plan_compile(made.arena, "p", "/", whole, strlen(whole), &plan, &error) < 0) fail_msg("%s", error.en);
    Rollout bare = {.plan = plan, .change = "C"};
    JSON_AUTO opened = rollout_event(&bare, "change.opened", made.now_ms);
    json_object_set_new(opened, "plan", plan_to_json(plan));
    if (rollout_open(made.arena, 1, opened, &made.rollout, &error) < 0) fail_msg("%s", error.en);
    return made;
}

static inline void fold(Case *at, json_t *event) {
    Error error = {0};
    if (rollout_fold(at->rollout, ++at->sequence, event, &error) < 0) fail_msg("%s", error.en);
}

static inline void happen(Case *at, const char *type, const char *host) {
    JSON_AUTO event = rollout_event(at->rollout, type, at->now_ms);
    const RolloutHost *known = rollout_host(at->rollout, host);
    json_set_text(event, "host", host);
    if (known) json_set_text(event, "order_id", known->order.id);
    fold(at, event);
}

static inline void report_aged(Case *at, const char *host, const char *verdict, int64_t age_ms) {
    JSON_AUTO event = rollout_event(at->rollout, "host.health", at->now_ms);
    json_set_text(event, "host", host);
    json_set_text(event, "verdict", verdict);
    json_set_integer(event, "age_ms", age_ms);
    fold(at, event);
}

static inline void report(Case *at, const char *host, const char *verdict) {
    report_aged(at, host, verdict, 0);
}

/* Decide until nothing is decided; the types, each behind a blank. */
static inline const char *decide(Case *at) {
    const char *said = "";
    for (;;) {
        JSON_AUTO events = rollout_decide(at->rollout, at->now_ms);
        if (json_array_size(events) == 0) return said;
        size_t index;
        json_t *event;
        json_array_foreach(events, index, event) {
            fold(at, event);
            said = arena_printf(at->arena, "%s %s%s%s%s%s", said, json_get_text(event, "type", ""),
                                json_object_get(event, "order") ? ":" : "", json_get_text(event, "order", ""),
                                json_object_get(event, "host") ? ":" : "", json_get_text(event, "host", ""));
        }
    }
}
