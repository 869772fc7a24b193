#include "base/cleanup.h"
#include "base/json.h"
#include "base/process.h"
#include "host/check/json_pointer.h"
#include "host/check/probe.h"
#include "wire/http.h"
#include <inttypes.h>
#include <stdio.h>

enum { TIMEOUT_MS = 10000, OUTPUT_MAX = 64 << 10 };

static int from_json(const PlanVersionProbe *probe, const Buffer *body,
                     char version[static PROBE_VERSION_SIZE], Error *error) {
    JSON_AUTO json = NULL;
    const char *pointer = probe->json ? probe->json : "";
    if (json_parse(buffer_text(body), body->size, "the answer", &json, error) < 0) return -1;
    const json_t *value = json_pointer_find(json, pointer);
    if (json_is_string(value))
        return version_text_take(json_string_value(value), json_string_length(value), version, error);
    if (!json_is_integer(value))
        return error_set(error, ERROR_FAILED, "the answer has no text at %s", pointer);
    snprintf(version, PROBE_VERSION_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return 0;
}

static int ask_http(const PlanVersionProbe *probe, const ProbeContext *context,
                    char version[static PROBE_VERSION_SIZE], Error *error) {
    HttpRequest request = {.url = probe->http, .timeout_ms = probe->timeout_ms, .cancel = context->cancel};
    HTTP_RESPONSE_AUTO response = {0};
    if (http_get(&request, &response, error) < 0) return -1;
    if (response.status != 200)
        return error_set(error, ERROR_FAILED, "status %d instead of %d", response.status, 200);
    return from_json(probe, &response.body, version, error);
}

static int ask_command(const PlanVersionProbe *probe, const ProbeContext *context,
                       char version[static PROBE_VERSION_SIZE], Error *error) {
    ARENA_AUTO arena = arena_new();
    const char **argv = ARENA_ARRAY(arena, probe->command.count + 1, const char *);
    for (size_t i = 0; i < probe->command.count; i++) argv[i] = probe->command.items[i];
    ProcessSpec spec = {.argv = argv,
                        .directory = context->root,
                        .user = context->user,
                        .timeout_ms = probe->timeout_ms > 0 ? probe->timeout_ms : TIMEOUT_MS,
                        .output_max = OUTPUT_MAX,
                        .memory_max = PROCESS_HELPER_MEMORY,
                        .cancel = context->cancel};
    ProcessResult result = {0};
    if (process_run(&spec, &result, error) < 0) return -1;
    int code = 0;
    if (result.timed_out || result.exit_status != 0)
        code = error_set(error, ERROR_FAILED, "%s ended with status %d", argv[0], result.exit_status);
    if (code == 0) code = version_text_find(buffer_text(&result.output), probe->regex, version, error);
    buffer_free(&result.output);
    return code;
}

int probe_version(const PlanVersionProbe *probe, const ProbeContext *context,
                  char version[static PROBE_VERSION_SIZE], Error *error) {
    int code;
    if (probe->http)
        code = ask_http(probe, context, version, error);
    else if (probe->command.count)
        code = ask_command(probe, context, version, error);
    else
        code = error_set(error, ERROR_INVALID, "the plan does not say what to look at");
    return code < 0 ? error_prefix(error, "cannot learn which version runs") : 0;
}
