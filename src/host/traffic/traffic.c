#include "base/buffer.h"
#include "base/command.h"
#include "base/process.h"
#include "base/quantity.h"
#include "host/traffic/traffic_driver.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { LOOK_MS = 100, OUTPUT_MAX = 64 << 10 };

static const TrafficDriver *const drivers[] = {
    &traffic_driver_haproxy,
    &traffic_driver_nginx,
    &traffic_driver_commands,
};

/* The plan has been checked: there is one. */
static const TrafficDriver *driver_of(const TrafficContext *context) {
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (drivers[i]->drives(context->traffic)) return drivers[i];
    return NULL;
}

static const TrafficDriver *find_driver(const TrafficContext *context, Error *error) {
    const TrafficDriver *driver = driver_of(context);
    if (!driver)
        error_set(error, ERROR_INVALID, "the plan does not say which balancer has the host %s",
                  context->host);
    return driver;
}

static TrafficContext with_last(const TrafficContext *context) {
    TrafficContext own = *context;
    own.last |= context->traffic->last_server && strcmp(context->traffic->last_server, "drain") == 0;
    if (!own.clock) own.clock = clock_system();
    return own;
}

int traffic_check(const TrafficContext *context, Error *error) {
    TrafficContext own = with_last(context);
    const TrafficDriver *driver = find_driver(&own, error);
    if (driver && driver->check(&own, error) == 0) return 0;
    return error_prefix(error, "cannot take %s out of traffic", context->host);
}

int traffic_drain(const TrafficContext *context, TrafficEnd *out, Error *error) {
    TrafficContext own = with_last(context);
    TrafficEnd end = {.unit = "connections", .before = TRAFFIC_UNKNOWN, .left = TRAFFIC_UNKNOWN};
    int64_t begun_ms = clock_steady_ms(own.clock);
    const TrafficDriver *driver = find_driver(&own, error);
    if (!driver || driver->drain(&own, &end, error) < 0)
        return error_prefix(error, "cannot take %s out of traffic", context->host);
    end.duration_ms = clock_steady_ms(own.clock) - begun_ms;
    if (out) *out = end;
    return 0;
}

int traffic_readmit(const TrafficContext *context, Error *error) {
    TrafficContext own = with_last(context);
    const TrafficDriver *driver = find_driver(&own, error);
    if (driver && driver->readmit(&own, error) == 0) return 0;
    return error_prefix(error, "cannot put %s back into traffic", context->host);
}

int traffic_weight(const TrafficContext *context, int percent, Error *error) {
    assert(percent >= 1 && percent <= 100);
    TrafficContext own = with_last(context);
    const TrafficDriver *driver = find_driver(&own, error);
    if (driver && driver->weight(&own, percent, error) == 0) return 0;
    return error_prefix(error, "cannot set the weight of %s to %d%%", context->host, percent);
}

const char *traffic_describe(const TrafficContext *context, TrafficAction action, Arena *arena) {
    const TrafficDriver *driver = driver_of(context);
    return driver ? driver->describe(context, action, arena) : "";
}

/* ---- what drivers share */

int traffic_wait(const TrafficContext *context, int64_t limit_ms, TrafficLook look, void *looker,
                 int64_t *last, Error *error) {
    int64_t begun_ms = clock_steady_ms(context->clock);
    for (;;) {
        int64_t left = look(looker, error);
        if (left < 0) return -1;
        *last = left;
        if (left == 0) return 0;
        int64_t over_ms = begun_ms + limit_ms - clock_steady_ms(context->clock);
        if (over_ms <= 0) return 1;
        if (context->cancel && atomic_load(context->cancel))
            return error_set(error, ERROR_INTERRUPTED, "cancelled");
        clock_sleep_ms(over_ms < LOOK_MS ? over_ms : LOOK_MS);
    }
}

int64_t traffic_look_nothing(void *looker, Error *error) {
    (void)looker, (void)error;
    return 1;
}

int traffic_refuse_last(Error *error) {
    error_set(error, ERROR_REFUSED, "nobody else serves: without it every request would fail");
    return error_hint(error, "bring another server back first, or say “last_server: drain” under “traffic”");
}

int traffic_check_share(int64_t whole, int percent, Error *error) {
    if (percent == 0 || whole * percent >= 100) return 0;
    error_set(error, ERROR_INVALID, "%d%% of its weight %lld is less than 1", percent, (long long)whole);
    return error_hint(error, "give every server of that balancer a weight of 100");
}

static void take_first_line(const Buffer *output, char *line) {
    const char *text = buffer_text(output);
    snprintf(line, TRAFFIC_LINE_SIZE, "%.*s", (int)strcspn(text, "\r\n"), text);
}

/* The last two lines that are not empty, as one: where programs say what went wrong. */
static void take_last_lines(const Buffer *output, char *line) {
    const char *text = buffer_text(output), *end = text + strlen(text);
    while (end > text && strchr("\r\n ", end[-1])) end--;
    const char *start = end;
    for (int newlines = 0; start > text; start--) {
        newlines += start[-1] == '\n';
        if (newlines == 2) break;
    }
    snprintf(line, TRAFFIC_LINE_SIZE, "%.*s", (int)(end - start), start);
    for (char *at = line; *at; at++)
        if ((unsigned char)*at < ' ') *at = ' ';
}

static int judge(const ProcessResult *result, const char *command, int64_t timeout_ms, Error *error) {
    char line[TRAFFIC_LINE_SIZE], limit[QUANTITY_TEXT_SIZE];
    if (result->timed_out)
        return error_set(error, ERROR_SYSTEM, "%s did not end within %s", command,
                         quantity_duration_text(timeout_ms, limit));
    if (result->exit_status == 0) return 0;
    take_last_lines(&result->output, line);
    return error_set(error, ERROR_SYSTEM, "%s ended with status %d: %s", command, result->exit_status, line);
}

int traffic_run(const TrafficContext *context, const StringList *command, const char *extra,
                int64_t timeout_ms, char *first_line, Error *error) {
    ARENA_AUTO arena = arena_new();
    const char **argv = ARENA_ARRAY(arena, command->count + 1, const char *);
    memcpy(argv, command->items, command->count * sizeof *argv);
    const char *added[] = {arena_printf(arena, "UPKEEP_HOST=%s", context->host),
                           arena_printf(arena, "UPKEEP_SERVICE=%s", context->service), extra, NULL};
    char **env = process_env(NULL, added, error);
    if (!env) return -1;
    ProcessSpec spec = {.argv = argv,
                        .env = (const char *const *)env,
                        .directory = context->root,
                        .timeout_ms = timeout_ms,
                        .output_max = OUTPUT_MAX,
                        .memory_max = PROCESS_HELPER_MEMORY,
                        .cancel = context->cancel};
    ProcessResult result = {0};
    int code = process_run(&spec, &result, error);
    bool cancelled = context->cancel && atomic_load(context->cancel);
    if (code == 0) {
        code = cancelled
                   ? error_set(error, ERROR_INTERRUPTED, "cancelled")
                   : judge(&result, command_text(command->items, command->count, arena), timeout_ms, error);
        if (code == 0 && first_line) take_first_line(&result.output, first_line);
        buffer_free(&result.output);
    }
    process_env_free(env);
    return code;
}
