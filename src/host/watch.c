#include "host/watch.h"
#include "base/json.h"
#include "base/quantity.h"
#include "host/check/probe.h"
#include <stdlib.h>
#include <string.h>

enum { LATENCIES_MAX = 512, IDLE_MS = 20 };

typedef struct WatchRow {
    const PlanHealth *health;
    int64_t due_ms;
    int64_t passes_in_row, failures_in_row;
    Error last_failure;
} WatchRow;

struct Watch {
    WatchSpec spec;
    ServiceContext service;
    WatchRow *rows;
    size_t count;
    int64_t begun_ms, status_due_ms;
    int64_t deaths;
    Error death;
    /* since the last summary */
    int64_t passes, failures;
    int64_t latencies_ms[LATENCIES_MAX];
    size_t latency_count;
};

Watch *watch_new(const WatchSpec *spec) {
    Watch *watch = calloc(1, sizeof *watch);
    if (!watch) abort();
    const Plan *plan = spec->plan;
    watch->spec = *spec;
    watch->service =
        (ServiceContext){plan->service.name, plan->service.root, plan->service.user, &plan->service.run};
    watch->count = plan->health.count;
    watch->rows = calloc(watch->count, sizeof *watch->rows);
    if (!watch->rows) abort();
    for (size_t i = 0; i < watch->count; i++) watch->rows[i].health = &plan->health.items[i];
    watch_begin(watch);
    return watch;
}

void watch_free(Watch *watch) {
    if (!watch) return;
    free(watch->rows);
    free(watch);
}

static int64_t now_ms(const Watch *watch) { return clock_steady_ms(watch->spec.clock); }

static bool cancelled(const Watch *watch) { return watch->spec.cancel && atomic_load(watch->spec.cancel); }

void watch_begin(Watch *watch) {
    watch->begun_ms = now_ms(watch);
    watch->status_due_ms = watch->begun_ms;
    for (size_t i = 0; i < watch->count; i++) {
        watch->rows[i].due_ms = watch->begun_ms;
        watch->rows[i].passes_in_row = watch->rows[i].failures_in_row = 0;
    }
}

static int64_t least_fail_after(const Watch *watch) {
    int64_t least = watch->rows[0].health->fail_after;
    for (size_t i = 1; i < watch->count; i++)
        if (watch->rows[i].health->fail_after < least) least = watch->rows[i].health->fail_after;
    return least;
}

static int64_t shortest_every_ms(const Watch *watch) {
    int64_t shortest_ms = watch->rows[0].health->every_ms;
    for (size_t i = 1; i < watch->count; i++)
        if (watch->rows[i].health->every_ms < shortest_ms) shortest_ms = watch->rows[i].health->every_ms;
    return shortest_ms;
}

static void record(Watch *watch, WatchRow *row, const Observation *seen) {
    if (seen->verdict == VERDICT_PASS) {
        row->passes_in_row++;
        row->failures_in_row = 0;
        watch->passes++;
        if (watch->latency_count < LATENCIES_MAX)
            watch->latencies_ms[watch->latency_count++] = seen->latency_ms;
        return;
    }
    row->failures_in_row++;
    row->passes_in_row = 0;
    row->last_failure = seen->detail;
    watch->failures++;
}

static int hint_log(const Watch *watch, Error *error) {
    ARENA_AUTO arena = arena_new();
    const char *log = service_describe_log(&watch->service, arena);
    return log ? error_hint(error, "what it said: %s", log) : -1;
}

/* Is it there at all? A dead one is started again, and its death is a failure of every row. */
static void look_at_service(Watch *watch) {
    ServiceStatus status;
    if (service_status(&watch->service, &status, NULL) < 0 || status.state == SERVICE_RUNNING) return;
    if (status.state == SERVICE_STOPPED && watch->deaths == 0 && !watch->spec.restart) return;
    watch->deaths++;
    if (status.state == SERVICE_DEAD && status.exit_status >= 0)
        error_set(&watch->death, ERROR_FAILED, "the service ended with exit status %d", status.exit_status);
    else
        error_set(&watch->death, ERROR_FAILED, "the service is not running");
    hint_log(watch, &watch->death);
    Observation seen = {.verdict = VERDICT_FAIL, .detail = watch->death};
    for (size_t i = 0; i < watch->count; i++) record(watch, &watch->rows[i], &seen);
    if (watch->spec.restart && watch->deaths < least_fail_after(watch)) service_start(&watch->service, NULL);
}

static void look_at_row(Watch *watch, WatchRow *row) {
    const PlanService *service = &watch->spec.plan->service;
    ProbeContext context = {service->root, service->user, watch->spec.cancel};
    Observation seen;
    probe_run(row->health, &context, &seen);
    if (cancelled(watch)) return;
    record(watch, row, &seen);
    row->due_ms = now_ms(watch) + row->health->every_ms;
}

int64_t watch_look(Watch *watch) {
    int64_t start_ms = now_ms(watch);
    if (start_ms >= watch->status_due_ms) {
        look_at_service(watch);
        watch->status_due_ms = start_ms + shortest_every_ms(watch);
    }
    int64_t next_ms = watch->status_due_ms;
    for (size_t i = 0; i < watch->count && !cancelled(watch); i++) {
        if (watch->rows[i].due_ms <= start_ms) look_at_row(watch, &watch->rows[i]);
        if (watch->rows[i].due_ms < next_ms) next_ms = watch->rows[i].due_ms;
    }
    int64_t wait_ms = next_ms - now_ms(watch);
    return wait_ms > 0 ? wait_ms : 0;
}

Verdict watch_verdict(const Watch *watch) {
    bool seen = false;
    if (watch->deaths >= least_fail_after(watch)) return VERDICT_FAIL;
    for (size_t i = 0; i < watch->count; i++) {
        if (watch->rows[i].failures_in_row >= watch->rows[i].health->fail_after) return VERDICT_FAIL;
        seen |= watch->rows[i].passes_in_row + watch->rows[i].failures_in_row > 0;
    }
    return seen ? VERDICT_PASS : VERDICT_INCONCLUSIVE;
}

/* The row whose failures weigh most, for the words. */
static const WatchRow *worst(const Watch *watch) {
    const WatchRow *worst_row = NULL;
    for (size_t i = 0; i < watch->count; i++)
        if (watch->rows[i].failures_in_row &&
            (!worst_row || watch->rows[i].failures_in_row > worst_row->failures_in_row))
            worst_row = &watch->rows[i];
    return worst_row;
}

static int compare_ms(const void *a, const void *b) {
    int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;
    return one < other ? -1 : one > other;
}

json_t *watch_summary(Watch *watch) {
    json_t *summary = json_object();
    Verdict verdict = watch_verdict(watch);
    if (verdict == VERDICT_PASS && watch->passes + watch->failures == 0) verdict = VERDICT_INCONCLUSIVE;
    json_set_text(summary, "verdict", verdict_text(verdict));
    json_set_integer(summary, "passes", watch->passes);
    json_set_integer(summary, "failures", watch->failures);
    if (watch->deaths) json_set_integer(summary, "deaths", watch->deaths);
    if (watch->latency_count) {
        qsort(watch->latencies_ms, watch->latency_count, sizeof *watch->latencies_ms, compare_ms);
        json_object_set_new(summary, "latency_ms",
                            json_pack("{s:I, s:I, s:I}", "min", (json_int_t)watch->latencies_ms[0], "median",
                                      (json_int_t)watch->latencies_ms[watch->latency_count / 2], "max",
                                      (json_int_t)watch->latencies_ms[watch->latency_count - 1]));
    }
    const WatchRow *row = worst(watch);
    if (row) {
        Error error = row->last_failure;
        error_prefix(&error, "%s", row->health->name);
        json_set_text(summary, "error", error.en);
        json_set_text(summary, "error_zh", error.zh);
    }
    watch->passes = watch->failures = 0;
    watch->latency_count = 0;
    return summary;
}

static int share_of_way(const Watch *watch) {
    int64_t passed = 0, needed = 0;
    for (size_t i = 0; i < watch->count; i++) {
        int64_t wanted = watch->rows[i].health->healthy_after, have = watch->rows[i].passes_in_row;
        passed += have < wanted ? have : wanted;
        needed += wanted;
    }
    return needed ? (int)(passed * 100 / needed) : 0;
}

/* 0 not yet, -1 a deadline has passed. */
static int check_deadlines(const Watch *watch, Error *error) {
    int64_t tried_ms = now_ms(watch) - watch->begun_ms;
    for (size_t i = 0; i < watch->count; i++) {
        const WatchRow *row = &watch->rows[i];
        if (tried_ms < row->health->deadline_ms || row->passes_in_row >= row->health->healthy_after) continue;
        char text[QUANTITY_TEXT_SIZE];
        if (error && row->last_failure.kind != ERROR_NONE)
            *error = row->last_failure;
        else
            error_set(error, ERROR_FAILED, "it did not pass often enough in a row");
        if (error) error->kind = ERROR_FAILED;
        if (watch->deaths == 0) hint_log(watch, error);
        return error_prefix(error, "“%s” did not become healthy within %s", row->health->name,
                            quantity_duration_text(row->health->deadline_ms, text));
    }
    if (watch->deaths < least_fail_after(watch)) return 0;
    if (error) *error = watch->death;
    return error_prefix(error, "the service does not stay up");
}

/* The service itself says which version it is: "answers" is not "answers as the new one". */
static int check_version(const Watch *watch, Error *error) {
    const PlanService *service = &watch->spec.plan->service;
    if (!watch->spec.version || !service->version) return 0;
    char found[PROBE_VERSION_SIZE];
    ProbeContext context = {service->root, service->user, watch->spec.cancel};
    if (probe_version(service->version, &context, found, error) < 0) {
        if (error) error->kind = ERROR_FAILED;
        return error_prefix(error, "cannot learn the running version");
    }
    if (strcmp(found, watch->spec.version) == 0) return 0;
    return error_set(error, ERROR_FAILED, "the running service says it is %s, not %s", found,
                     watch->spec.version);
}

int watch_until_healthy(Watch *watch, void (*tick)(void *context, int percent), void *context, Error *error) {
    int told = -1;
    for (;;) {
        int64_t wait_ms = watch_look(watch);
        if (cancelled(watch)) return error_set(error, ERROR_INTERRUPTED, "cancelled");
        int percent = share_of_way(watch);
        if (tick && percent != told) tick(context, told = percent);
        if (percent == 100) return check_version(watch, error);
        if (check_deadlines(watch, error) < 0) return -1;
        clock_sleep_ms(wait_ms < IDLE_MS ? wait_ms : IDLE_MS);
    }
}
