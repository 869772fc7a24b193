#include "base/clock.h"
#include "base/process.h"
#include "base/quantity.h"
#include "host/service/service_driver.h"
#include <string.h>

/* The user's own commands. Exit status 0 of `status` means running, any other one means stopped; nothing
 * tells DEAD from STOPPED here. */

enum { OUTPUT_MAX = 64 << 10, TIMEOUT_MS = 60000, POLL_MS = 100 };

static bool drives(const PlanRun *run) { return run->commands != NULL; }

static int64_t timeout_of(const PlanCommands *commands) {
    return commands->timeout_ms > 0 ? commands->timeout_ms : TIMEOUT_MS;
}

/* The last line that is not empty, without its newline: where programs say what went wrong. */
static const char *last_line(const Buffer *output, char line[static 256]) {
    const char *text = buffer_text(output), *end = text + strlen(text);
    while (end > text && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' ')) end--;
    const char *start = end;
    while (start > text && start[-1] != '\n') start--;
    size_t length = (size_t)(end - start) < 255 ? (size_t)(end - start) : 255;
    memcpy(line, start, length);
    line[length] = '\0';
    return line;
}

/* Run one of the three; a bad exit status is for the caller. */
static int run(const ServiceContext *context, const StringList *command, ProcessResult *out, Error *error) {
    ARENA_AUTO arena = arena_new();
    int64_t timeout_ms = timeout_of(context->run->commands);
    if (command->count == 0) return error_set(error, ERROR_INVALID, "the plan does not give its command");
    ProcessSpec spec = {.argv = service_command_argv(command, arena),
                        .directory = context->root,
                        .user = context->user,
                        .timeout_ms = timeout_ms,
                        .output_max = OUTPUT_MAX};
    ProcessResult result = {0};
    if (process_run(&spec, &result, error) < 0) return -1;
    if (result.timed_out) {
        char limit[QUANTITY_TEXT_SIZE];
        buffer_free(&result.output);
        return error_set(error, ERROR_SYSTEM, "%s did not end within %s",
                         service_command_text(command, arena), quantity_duration_text(timeout_ms, limit));
    }
    *out = result;
    return 0;
}

/* The same, where only exit status 0 will do. */
static int run_well(const ServiceContext *context, const StringList *command, Error *error) {
    ProcessResult result = {0};
    if (run(context, command, &result, error) < 0) return -1;
    int code = 0;
    if (result.exit_status != 0) {
        ARENA_AUTO arena = arena_new();
        char line[256];
        code = error_set(error, ERROR_SYSTEM, "%s ended with status %d: %s",
                         service_command_text(command, arena), result.exit_status,
                         last_line(&result.output, line));
    }
    buffer_free(&result.output);
    return code;
}

static int status(const ServiceContext *context, ServiceStatus *out, Error *error) {
    ProcessResult result = {0};
    if (run(context, &context->run->commands->status, &result, error) < 0) return -1;
    out->state = result.exit_status == 0 ? SERVICE_RUNNING : SERVICE_STOPPED;
    buffer_free(&result.output);
    return 0;
}

static int start(const ServiceContext *context, Error *error) {
    ServiceStatus now = {0};
    if (status(context, &now, error) < 0) return -1;
    if (now.state == SERVICE_RUNNING) return 0;
    return run_well(context, &context->run->commands->start, error);
}

static int stop(const ServiceContext *context, ServiceEnd *out, Error *error) {
    Clock *clock = clock_system();
    int64_t started_ms = clock_steady_ms(clock), limit_ms = timeout_of(context->run->commands);
    ServiceStatus now = {0};
    if (status(context, &now, error) < 0) return -1;
    out->was_running = now.state == SERVICE_RUNNING;
    if (!out->was_running) return 0;
    if (run_well(context, &context->run->commands->stop, error) < 0) return -1;
    for (;;) {
        if (status(context, &now, error) < 0) return -1;
        out->duration_ms = clock_steady_ms(clock) - started_ms;
        if (now.state != SERVICE_RUNNING) return 0;
        if (out->duration_ms >= 2 * limit_ms)
            return error_set(error, ERROR_SYSTEM, "its status command still says that it runs");
        clock_sleep_ms(POLL_MS);
    }
}

static const char *describe_start(const ServiceContext *context, Arena *arena) {
    return service_command_text(&context->run->commands->start, arena);
}

static const char *describe_stop(const ServiceContext *context, Arena *arena) {
    return service_command_text(&context->run->commands->stop, arena);
}

const ServiceDriver service_driver_commands = {drives,         start,         stop, status,
                                               describe_start, describe_stop, NULL};
