/* The steps of SWITCH, CONFIRM and COMMIT: inside the window. */
#include "base/json.h"
#include "host/guard.h"
#include "host/host_room.h"
#include <string.h>

/* ---- arm the dead man's switch */

static bool is_armed(const Host *host) {
    return host->spec.guard && strcmp(host->spec.plan->on_failure, "hold") != 0;
}

static void intend_arm(Host *host) {
    host->ledger.confirm_given_ms = host->spec.plan->rollout.confirm_deadline_ms;
    host->ledger.confirm_by_ms = clock_wall_ms(host->spec.clock) + host->ledger.confirm_given_ms;
}

static int run_arm(Host *host, Error *error) {
    char time[CLOCK_TEXT_SIZE];
    clock_to_text(host->ledger.confirm_by_ms, time);
    json_set_text(host->detail, "confirm_by", time);
    return guard_ensure(host->upkeep, host->spec.guard, error);
}

/* ---- stop */

static const char *describe_stop(const Host *host) {
    if (!host_has_old(host)) return NULL;
    ServiceContext service = host_service_old(host);
    return service_describe_stop(&service, host->arena);
}

/* Whether it ran is remembered together with the intent: whoever puts things back then knows both or neither.
 * Once: a second attempt finds it stopped by the first. */
static void intend_stop(Host *host) {
    host->ledger.stopped = true;
    if (!host_has_old(host) || host->ledger.activated || host->ledger.was_running) return;
    ServiceContext service = host_service_old(host);
    ServiceStatus status;
    host->ledger.was_running = service_status(&service, &status, NULL) < 0 || status.state != SERVICE_STOPPED;
}

static int run_stop(Host *host, Error *error) {
    if (!host_has_old(host) ||
        host->ledger.activated) { /* nothing of ours runs, or the new one does: tried again */
        ServiceContext service = host_service_new(host);
        json_set_bool(host->detail, "was_running", false);
        return service_stop(&service, NULL, error);
    }
    ServiceContext service = host_service_old(host);
    ServiceEnd end = {0};
    if (service_stop(&service, &end, error) < 0) return -1;
    json_set_bool(host->detail, "was_running", end.was_running);
    json_set_bool(host->detail, "killed", end.killed);
    if (end.exit_status >= 0) json_set_integer(host->detail, "exit_status", end.exit_status);
    return 0;
}

/* ---- the final, exact copy */

static bool needs_final_copy(const Host *host) {
    RestorePointPart parts[PARTS_MAX];
    return !host->ledger.final_point && host_parts(host, false, parts) > 0;
}

/* Before the service stops: reading what is known of its data takes time that nobody should miss it for. */
static int run_ready(Host *host, Error *error) {
    if (host_read_point(host, host->ledger.prepare_point, host->ledger.prepare_digest, error) < 0) return -1;
    return host->point ? restore_point_sound(host->store, host->point, error) : 0;
}

static int run_final_copy(Host *host, Error *error) {
    RestorePointPart parts[PARTS_MAX];
    size_t count = host_parts(host, false, parts);
    RESTORE_POINT_AUTO point = NULL;
    if (host_read_point(host, host->ledger.prepare_point, host->ledger.prepare_digest, error) < 0) return -1;
    RestorePointSpec spec = host_point_spec(host, RESTORE_POINT_FINAL, parts, count);
    spec.prior = host->point;
    if (host_take_and_prove(host, host->store, &spec, &point, error) < 0) return -1;
    host->ledger.final_point = arena_strdup(host->arena, point->id);
    host->ledger.final_digest = host_point_digest(host, point);
    return 0;
}

/* ---- activate, start, probe */

static void intend_activate(Host *host) { host->ledger.activated = true; }

static const char *describe_activate(const Host *host) {
    return arena_printf(host->arena, "current -> releases/%s", host->spec.version);
}

static int run_activate(Host *host, Error *error) {
    return release_activate(host->root, host->spec.version, error);
}

static void intend_start(Host *host) { host->ledger.started = true; }

static const char *describe_start(const Host *host) {
    ServiceContext service = host_service_new(host);
    return service_describe_start(&service, host->arena);
}

static int run_start(Host *host, Error *error) {
    ServiceContext service = host_service_new(host);
    return service_start(&service, error);
}

static int run_probe(Host *host, Error *error) {
    WatchSpec spec = {.plan = host->spec.plan,
                      .version = host->spec.version,
                      .restart = true,
                      .clock = host->spec.clock,
                      .cancel = host->cancel};
    WATCH_AUTO watch = watch_new(&spec);
    int result = watch_until_healthy(watch, host_percent, host, error);
    JSON_AUTO summary = watch_summary(watch);
    json_object_set(host->detail, "health", summary);
    if (result == 0) host->ledger.switched = true;
    return result;
}

const HostStep host_steps_switch[] = {
    {"ready", needs_final_copy, NULL, NULL, run_ready},
    {"arm", is_armed, NULL, intend_arm, run_arm},
    {"check_out", host_is_idle, NULL, NULL, host_run_check_out},
    {"before_stop", host_has_hook_before_stop, NULL, NULL, host_run_hook_before_stop},
    {"drain", host_drains, host_describe_drain, NULL, host_run_drain},
    {"stop", NULL, describe_stop, intend_stop, run_stop},
    {"final_copy", needs_final_copy, NULL, NULL, run_final_copy},
    {"activate", NULL, describe_activate, intend_activate, run_activate},
    {"start", NULL, describe_start, intend_start, run_start},
    {"after_start", host_has_hook_after_start, NULL, NULL, host_run_hook_after_start},
    {"probe", NULL, NULL, NULL, run_probe},
    {"readmit", host_comes_back, host_describe_readmit, NULL, host_run_readmit},
    {0},
};

/* ---- confirm */

static int run_confirm(Host *host, Error *error) {
    if (host->ledger.rolled_back)
        return error_set(error, ERROR_FAILED, "it heard no confirmation in time and rolled back by itself");
    host->ledger.confirmed = true;
    host->ledger.confirm_by_ms = 0;
    return 0;
}

const HostStep host_steps_confirm[] = {
    {"weight", host_has_weight, host_describe_weight, NULL, host_run_weight},
    {"confirm", NULL, NULL, NULL, run_confirm},
    {0},
};

/* ---- commit: what is no longer needed goes */

static bool is_of_this_change(void *context, const RestorePoint *point) {
    const Host *host = context;
    return strcmp(point->change, host->spec.change) == 0;
}

static bool is_needed(const Host *host, const char *version) {
    return strcmp(version, host->spec.version) == 0 ||
           (host_has_old(host) && strcmp(version, host->old.version) == 0);
}

static int prune_releases(Host *host, size_t *removed, Error *error) {
    ReleaseList releases;
    size_t kept = 0;
    if (release_list(host->root, host->arena, &releases, error) < 0) return -1;
    for (size_t i = 0; i < releases.count; i++) kept += is_needed(host, releases.versions[i]);
    for (size_t i = 0; i < releases.count; i++) { /* the newest first */
        const char *version = releases.versions[i];
        if (is_needed(host, version) || kept++ < (size_t)host->spec.plan->service.keep_releases) continue;
        if (release_remove(host->root, version, error) < 0) return -1;
        (*removed)++;
    }
    return 0;
}

/* The upgrade is accepted whatever happens here: what could not be cleaned up is evidence, not a failure. */
static int run_commit(Host *host, Error *error) {
    (void)error;
    Error problem = {0};
    size_t releases = 0, points = 0;
    STORE_AUTO store = NULL;
    const PlanRestorePoint *kept = &host->spec.plan->restore_point;
    int result = prune_releases(host, &releases, &problem);
    if (result == 0 && host->ledger.store) result = store_open(host->ledger.store, &store, &problem);
    if (result == 0 && store)
        result =
            restore_point_prune(store, host->spec.plan->service.name, host->spec.plan->hosts.items[0].name,
                                (size_t)kept->keep, is_of_this_change, host, &points, &problem);
    json_set_integer(host->detail, "removed_releases", (int64_t)releases);
    json_set_integer(host->detail, "removed_restore_points", (int64_t)points);
    if (result < 0) json_set_text(host->detail, "warning", problem.en);
    host->ledger.committed = true;
    return 0;
}

const HostStep host_steps_commit[] = {
    {"commit", NULL, NULL, NULL, run_commit},
    {0},
};
