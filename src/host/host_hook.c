/* Hooks: programs that a package brings along, run in its release's folder as the service's user. */
#include "base/json.h"
#include "base/process.h"
#include "host/host_room.h"
#include <string.h>

enum { HOOK_OUTPUT_MAX = 16 * 1024 };

/* Hooks are the new release's: known once it is staged. */
static const ManifestHooks *hooks(const Host *host) { return &host->fresh.hooks; }

bool host_has_hook_prepare(const Host *host) { return hooks(host)->prepare != NULL; }
bool host_has_hook_before_stop(const Host *host) { return hooks(host)->before_stop != NULL; }
bool host_has_hook_after_start(const Host *host) { return hooks(host)->after_start != NULL; }
bool host_has_hook_rollback(const Host *host) {
    return host->ledger.started && hooks(host)->rollback != NULL;
}

static int run_hook(Host *host, const ManifestHook *hook, Error *error) {
    const PlanService *service = &host->spec.plan->service;
    const char **argv = ARENA_ARRAY(host->arena, hook->run.count + 1, const char *);
    memcpy(argv, hook->run.items, hook->run.count * sizeof *argv);
    ProcessSpec spec = {.argv = argv,
                        .directory =
                            arena_printf(host->arena, "%s/releases/%s", service->root, host->spec.version),
                        .user = service->user,
                        .timeout_ms = hook->timeout_ms,
                        .output_max = HOOK_OUTPUT_MAX,
                        .memory_max = PROCESS_HELPER_MEMORY,
                        .cancel = host->cancel};
    ProcessResult result = {0};
    if (process_run(&spec, &result, error) < 0) return -1;
    json_set_integer(host->detail, "exit_status", result.exit_status);
    const char *output = buffer_text(&result.output);
    json_set_text(host->detail, "output", output);
    int code = 0;
    if (result.timed_out)
        code = error_set(error, ERROR_FAILED, "the hook %s did not end in time", host->step);
    else if (result.exit_status != 0)
        code = error_set(error, ERROR_FAILED, "the hook %s ended with status %d: %.*s", host->step,
                         result.exit_status, (int)strcspn(output, "\n"), output);
    buffer_free(&result.output);
    return code;
}

int host_run_hook_prepare(Host *host, Error *error) { return run_hook(host, hooks(host)->prepare, error); }
int host_run_hook_before_stop(Host *host, Error *error) {
    return run_hook(host, hooks(host)->before_stop, error);
}
int host_run_hook_after_start(Host *host, Error *error) {
    return run_hook(host, hooks(host)->after_start, error);
}
int host_run_hook_rollback(Host *host, Error *error) { return run_hook(host, hooks(host)->rollback, error); }
