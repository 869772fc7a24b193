/* The steps of ROLLBACK: the same way back, from wherever the change has come to. */
#include "base/json.h"
#include "host/host_room.h"
#include <string.h>

static bool was_touched(const Host *host) { return host->ledger.stopped; }

/* ---- stop whichever version may be running */

static const char *describe_stop(const Host *host) {
    ServiceContext service = host_service_new(host);
    return service_describe_stop(&service, host->arena);
}

/* From here on it is between two versions, and stays there if this fails: whoever watches a switched host
 * would start the new one again, over data that is about to be put back. */
static void intend_stop(Host *host) { host->ledger.switched = false; }

static int run_stop(Host *host, Error *error) {
    ServiceEnd end = {0};
    ServiceContext service = host_service_new(host);
    if (service_stop(&service, &end, error) < 0) return -1;
    json_set_bool(host->detail, "killed", end.killed);
    if (host->ledger.started || !host_has_old(host)) return 0;
    service = host_service_old(host); /* the old one: its stop was cut off, or something since failed */
    return service_stop(&service, NULL, error);
}

/* ---- data: what the new version wrote is kept aside, then the exact copy goes back */

static bool restores_data(const Host *host) {
    return host->order->restore_data && host->ledger.final_point && host->ledger.started;
}

static int hint_keep_data(const Host *host, Error *error) {
    return error_hint(error,
                      "the data was left as it is; “upkeep rollback %s --keep-data” goes back without it",
                      host->spec.change);
}

/* Before the new version stops: what is known of the data is read while somebody may still be served. */
static int run_ready(Host *host, Error *error) {
    if (host_read_point(host, host->ledger.final_point, host->ledger.final_digest, error) < 0)
        return hint_keep_data(host, error);
    return restore_point_sound(host->store, host->point, error);
}

/* Only what the new version has changed is worth a restore point of its own. */
static int run_set_aside(Host *host, Error *error) {
    RestorePointPart parts[PARTS_MAX];
    size_t count = host_parts(host, false, parts), changed = 0;
    if (host_read_point(host, host->ledger.final_point, host->ledger.final_digest, error) < 0) return -1;
    RestorePointSpec spec = host_point_spec(host, RESTORE_POINT_ASIDE, parts, count);
    spec.prior = host->point;
    spec.differences = &changed;
    spec.version = host->spec.version;
    if (host_take_and_prove(host, host->store, &spec, &host->aside, error) < 0) return -1;
    json_set_integer(host->detail, "changed", (int64_t)changed);
    if (host->aside) host->ledger.aside_point = arena_strdup(host->arena, host->aside->id);
    return 0;
}

static int run_restore(Host *host, Error *error) {
    RestoreCounts counts = {0};
    if (host_read_point(host, host->ledger.final_point, host->ledger.final_digest, error) < 0) return -1;
    RestorePointApply apply = {
        .mode = RESTORE_EXACT, .known = host->aside, .wish = {host_progress, host, NULL}};
    if (restore_point_apply(host->store, host->point, &apply, &counts, error) < 0)
        return hint_keep_data(host, error);
    json_set_text(host->detail, "restore_point", host->ledger.final_point);
    json_set_text(host->detail, "set_aside", host->ledger.aside_point);
    json_set_integer(host->detail, "written_files", (int64_t)counts.written_files);
    json_set_integer(host->detail, "written_bytes", (int64_t)counts.written_bytes);
    json_set_integer(host->detail, "removed", (int64_t)counts.removed);
    return 0;
}

/* ---- the old release, the way it was installed to be run */

static bool was_activated(const Host *host) { return host->ledger.activated; }

static const char *describe_activate(const Host *host) {
    return host_has_old(host) ? arena_printf(host->arena, "current -> releases/%s", host->old.version)
                              : arena_printf(host->arena, "rm current");
}

static int run_activate(Host *host, Error *error) {
    return release_activate(host->root, host_has_old(host) ? host->old.version : NULL, error);
}

static bool starts_old(const Host *host) {
    return was_touched(host) && host_has_old(host) && host->ledger.was_running;
}

static const char *describe_start(const Host *host) {
    ServiceContext service = host_service_old(host);
    return service_describe_start(&service, host->arena);
}

static int run_start(Host *host, Error *error) {
    ServiceContext service = host_service_old(host);
    return service_start(&service, error);
}

static int run_probe(Host *host, Error *error) {
    Plan plan = *host->old.plan;
    plan.service.root = host->spec.plan->service.root;
    WatchSpec spec = {
        .plan = &plan, .version = host->old.version, .restart = true, .clock = host->spec.clock};
    WATCH_AUTO watch = watch_new(&spec);
    int result = watch_until_healthy(watch, host_percent, host, error);
    JSON_AUTO summary = watch_summary(watch);
    json_object_set(host->detail, "health", summary);
    if (result == 0) return 0;
    error->kind = ERROR_ATTENTION;
    error_prefix(error, "the old version %s does not become healthy", host->old.version);
    if (host->ledger.final_point && !host->order->restore_data)
        return error_hint(error,
                          "the data was kept; “upkeep rollback %s --restore-data” puts back the copy %s",
                          host->spec.change, host->ledger.final_point);
    return error_hint(error, "look at its log; once it is mended, “upkeep rollback %s” goes on",
                      host->spec.change);
}

/* ---- discard the release that this change brought, unless it was accepted once */

static bool discards(const Host *host) {
    return host->ledger.staged && (!host->ledger.confirmed || !host_has_old(host));
}

static int run_discard(Host *host, Error *error) {
    if (release_remove(host->root, host->spec.version, error) < 0) return -1;
    host->ledger.staged = false;
    return 0;
}

/* What was cut off half-written goes as well, where that is possible now. */
static int run_finish(Host *host, Error *error) {
    (void)error;
    STORE_AUTO store = NULL;
    if (host->ledger.store && store_open(host->ledger.store, &store, NULL) == 0) store_tidy(store, NULL);
    host->ledger.rolled_back = true;
    host->ledger.confirm_by_ms = 0;
    return 0;
}

const HostStep host_steps_rollback[] = {
    {"ready", restores_data, NULL, NULL, run_ready},
    {"drain", host_drains_back, host_describe_drain, host_intend_drain_back, host_run_drain_back},
    {"stop", was_touched, describe_stop, intend_stop, run_stop},
    {"rollback_hook", host_has_hook_rollback, NULL, NULL, host_run_hook_rollback},
    {"set_aside", restores_data, NULL, NULL, run_set_aside},
    {"restore", restores_data, NULL, NULL, run_restore},
    {"activate", was_activated, describe_activate, NULL, run_activate},
    {"start", starts_old, describe_start, NULL, run_start},
    {"probe", starts_old, NULL, NULL, run_probe},
    {"readmit", host_readmits_old, host_describe_readmit_old, NULL, host_run_readmit_old},
    {"discard", discards, NULL, NULL, run_discard},
    {"finish", NULL, NULL, NULL, run_finish},
    {0},
};
