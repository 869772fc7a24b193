#include "host/check/probe.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"
#include "base/quantity.h"
#include "model/version.h"
#include "wire/http.h"
#include "wire/tcp.h"
#include <stdlib.h>
#include <string.h>

enum { COMMAND_TIMEOUT_MS = 10000, OUTPUT_MAX = 64 << 10 };

/* What a request that did not come to an answer means: the service's fault, unless we could not even ask. */
static void from_error(Observation *out) {
    bool asked = out->detail.kind == ERROR_SYSTEM;
    out->verdict = asked ? VERDICT_FAIL : VERDICT_INCONCLUSIVE;
}

static bool contains(const Buffer *body, const char *text) {
    size_t length = strlen(text);
    return length == 0 || memmem(buffer_text(body), body->size, text, length) != NULL;
}

static void judge_http(const PlanHttp *http, const HttpResponse *response, Observation *out) {
    int status = response->status;
    bool status_right = http->status ? status == http->status : status >= 200 && status < 400;
    if (!status_right && http->status) {
        error_set(&out->detail, ERROR_FAILED, "status %d instead of %d", status, (int)http->status);
    } else if (!status_right) {
        error_set(&out->detail, ERROR_FAILED, "status %d instead of 2xx or 3xx", status);
    } else if (http->body && !contains(&response->body, http->body)) {
        error_set(&out->detail, ERROR_FAILED, "status %d, but the body does not contain \"%s\"", status,
                  http->body);
        if (response->cut)
            error_hint(&out->detail, "only its first %zu bytes were read", response->body.size);
    } else {
        out->verdict = VERDICT_PASS;
        error_set(&out->detail, ERROR_NONE, "status %d", status);
        return;
    }
    out->verdict = VERDICT_FAIL;
}

void probe_http(const PlanHttp *http, const ProbeContext *context, Observation *out) {
    HttpRequest request = {.url = http->url, .timeout_ms = http->timeout_ms, .cancel = context->cancel};
    HTTP_RESPONSE_AUTO response = {0};
    int64_t started_ms = clock_steady_ms(clock_system());
    *out = (Observation){.verdict = VERDICT_INCONCLUSIVE};
    if (http_get(&request, &response, &out->detail) < 0)
        from_error(out);
    else
        judge_http(http, &response, out);
    out->latency_ms = clock_steady_ms(clock_system()) - started_ms;
}

void probe_tcp(const PlanTcp *tcp, const ProbeContext *context, Observation *out) {
    int64_t started_ms = clock_steady_ms(clock_system());
    FD_AUTO fd = -1;
    *out = (Observation){.verdict = VERDICT_INCONCLUSIVE};
    if (tcp_connect(tcp->address, tcp->timeout_ms, context->cancel, &fd, &out->detail) < 0) {
        from_error(out);
    } else {
        out->verdict = VERDICT_PASS;
        error_set(&out->detail, ERROR_NONE, "%s accepts connections", tcp->address);
    }
    out->latency_ms = clock_steady_ms(clock_system()) - started_ms;
}

/* The program ended by itself with status 0: is the version right, where one is asked for? */
static void judge_version(const PlanCommand *command, const char *output, Observation *out) {
    char version[PROBE_VERSION_SIZE];
    if (!command->version) {
        out->verdict = VERDICT_PASS;
        error_set(&out->detail, ERROR_NONE, "%s ended with status 0", command->run.items[0]);
    } else if (version_text_find(output, command->regex, version, &out->detail) < 0) {
        out->verdict = VERDICT_INCONCLUSIVE;
        error_prefix(&out->detail, "%s", command->run.items[0]);
    } else {
        bool in_range = version_in_range(version, command->version);
        out->verdict = in_range ? VERDICT_PASS : VERDICT_FAIL;
        error_set(&out->detail, in_range ? ERROR_NONE : ERROR_FAILED, "%s is version %s, %s needed",
                  command->run.items[0], version, command->version);
    }
}

static void judge_command(const PlanCommand *command, const ProcessSpec *spec, const ProcessResult *result,
                          Observation *out) {
    const char *program = spec->argv[0], *output = buffer_text(&result->output);
    char limit[QUANTITY_TEXT_SIZE];
    out->verdict = VERDICT_FAIL;
    if (spec->cancel && atomic_load(spec->cancel)) {
        out->verdict = VERDICT_INCONCLUSIVE;
        error_set(&out->detail, ERROR_INTERRUPTED, "stopped on request");
    } else if (result->timed_out) {
        error_set(&out->detail, ERROR_FAILED, "%s did not end within %s", program,
                  quantity_duration_text(spec->timeout_ms, limit));
    } else if (result->exit_status != 0) {
        error_set(&out->detail, ERROR_FAILED, "%s ended with status %d: %.*s", program, result->exit_status,
                  (int)strcspn(output, "\n"), output);
    } else {
        judge_version(command, output, out);
    }
}

void probe_command(const PlanCommand *command, const ProbeContext *context, Observation *out) {
    ARENA_AUTO arena = arena_new();
    const char **argv = ARENA_ARRAY(arena, command->run.count + 1, const char *);
    for (size_t i = 0; i < command->run.count; i++) argv[i] = command->run.items[i];
    ProcessSpec spec = {.argv = argv,
                        .directory = context->root,
                        .user = context->user,
                        .timeout_ms = command->timeout_ms > 0 ? command->timeout_ms : COMMAND_TIMEOUT_MS,
                        .output_max = OUTPUT_MAX,
                        .memory_max = PROCESS_HELPER_MEMORY,
                        .cancel = context->cancel};
    ProcessResult result = {0};
    int64_t started_ms = clock_steady_ms(clock_system());
    *out = (Observation){.verdict = VERDICT_INCONCLUSIVE};
    if (command->run.count == 0)
        error_set(&out->detail, ERROR_INVALID, "the plan does not give its command");
    else if (process_run(&spec, &result, &out->detail) == 0)
        judge_command(command, &spec, &result, out);
    buffer_free(&result.output);
    out->latency_ms = clock_steady_ms(clock_system()) - started_ms;
}

void probe_run(const PlanHealth *health, const ProbeContext *context, Observation *out) {
    if (health->http) {
        probe_http(health->http, context, out);
    } else if (health->tcp) {
        probe_tcp(health->tcp, context, out);
    } else if (health->command) {
        probe_command(health->command, context, out);
    } else {
        *out = (Observation){.verdict = VERDICT_INCONCLUSIVE};
        error_set(&out->detail, ERROR_INVALID, "the plan does not say what to look at");
    }
}
