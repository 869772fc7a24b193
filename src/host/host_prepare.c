/* The steps of PREPARE: outside the window, while the service runs on untouched. */
#include "base/cleanup.h"
#include "base/json.h"
#include "host/host_room.h"
#include "host/preflight.h"
#include "package/install.h"
#include "package/package.h"
#include <string.h>
#include <unistd.h>

/* The package this change was opened with, and no other: its digest says so. */
static int open_package(const Host *host, Package **out, Error *error) {
    const PlanPackage *plan = &host->spec.plan->package;
    TRUST_AUTO trust = NULL;
    Package *package = NULL;
    char digest[DIGEST_TEXT_SIZE];
    if (trust_load(plan->trust.items, plan->trust.count, plan->signatures, &trust, error) < 0) return -1;
    if (package_open(plan->file, trust, &package, error) < 0) return -1;
    digest_to_text(&package->digest, digest);
    if (strcmp(digest, host->spec.package_digest) != 0 ||
        strcmp(package->manifest->head.version, host->spec.version) != 0) {
        package_close(package);
        error_set(error, ERROR_REFUSED, "%s is not the package that this change was opened with", plan->file);
        return error_hint(error, "put that one back, or abort this change and open another");
    }
    *out = package;
    return 0;
}

/* ---- fetch */

static bool needs_fetch(const Host *host) { return host->spec.fetch.fetch != NULL; }

static const char *describe_fetch(const Host *host) {
    return arena_printf(host->arena, "-> %s", host->spec.plan->package.file);
}

static int run_fetch(Host *host, Error *error) {
    ProgressWish wish = {host_progress, host, host->cancel};
    return host->spec.fetch.fetch(host->spec.fetch.context, &wish, error);
}

/* ---- check */

typedef struct Checking {
    json_t *results;
    Error refusal;
} Checking;

static void note_result(void *context, const char *name, const Observation *result) {
    Checking *checking = context;
    json_t *row = json_object();
    json_set_text(row, "name", name);
    json_set_text(row, "verdict", verdict_text(result->verdict));
    if (result->detail.en[0]) {
        json_set_text(row, "found", result->detail.en);
        json_set_text(row, "found_zh", result->detail.zh);
    }
    json_array_append_new(checking->results, row);
    if (result->verdict == VERDICT_PASS) return;
    if (checking->refusal.kind == ERROR_NONE)
        checking->refusal = result->detail;
    else
        error_hint(&checking->refusal, "%s", result->detail.en);
    checking->refusal.kind = ERROR_REFUSED;
}

/* How healthy the old version is, before anything is touched: what the report compares with afterwards. */
static void note_health_before(Host *host) {
    if (!host_has_old(host)) return;
    Plan plan = *host->old.plan;
    plan.service.root = host->spec.plan->service.root;
    WatchSpec spec = {.plan = &plan, .clock = host->spec.clock, .cancel = host->cancel};
    WATCH_AUTO watch = watch_new(&spec);
    watch_look(watch);
    json_object_set_new(host->detail, "health", watch_summary(watch));
}

static int run_check(Host *host, Error *error) {
    PACKAGE_AUTO package = NULL;
    Checking checking = {.results = json_array()};
    size_t refusals = 0;
    json_object_set_new(host->detail, "checks", checking.results);
    if (open_package(host, &package, error) < 0) return -1;
    PreflightSpec spec = {.plan = host->spec.plan,
                          .package = package,
                          .store = host->spec.store,
                          .clock = host->spec.clock,
                          .cancel = host->cancel};
    if (preflight_run(&spec, note_result, &checking, &refusals, error) < 0) return -1;
    json_set_text(host->detail, "old_version", host_has_old(host) ? host->old.version : ""); /* "": none */
    note_health_before(host);
    if (refusals == 0) return 0;
    if (error) *error = checking.refusal;
    return -1;
}

/* ---- stage */

static const char *describe_stage(const Host *host) {
    return arena_printf(host->arena, "%s -> releases/%s", host->spec.plan->package.file, host->spec.version);
}

/* It is there already, from this package and undamaged: nothing needs to be written. */
static bool is_installed(Host *host) {
    Release release;
    size_t differences = 0;
    const char *first;
    char digest[DIGEST_TEXT_SIZE];
    if (release_exists(host->root, host->spec.version, NULL) != 1) return false;
    if (release_load(host->root, host->spec.version, host->arena, &release, NULL) < 0) return false;
    digest_to_text(&release.package, digest);
    if (strcmp(digest, host->spec.package_digest) != 0) return false;
    return release_drift(host->root, host->spec.version, host->arena, &differences, &first, NULL) == 0 &&
           differences == 0;
}

static int remember_release(Host *host, const Package *package, Error *error) {
    Release release = {.version = host->spec.version,
                       .package = package->digest,
                       .installed_ms = clock_wall_ms(host->spec.clock),
                       .change = host->spec.change,
                       .plan = (Plan *)host->spec.plan,
                       .hooks = package->manifest->head.hooks};
    if (release_remember(host->root, &release, package->manifest->tree, error) < 0) return -1;
    return release_load(host->root, release.version, host->arena, &host->fresh, error);
}

static int run_stage(Host *host, Error *error) {
    PACKAGE_AUTO package = NULL;
    if (open_package(host, &package, error) < 0) return -1;
    if (is_installed(host)) {
        json_set_bool(host->detail, "already_installed", true);
        return remember_release(host, package, error); /* it will be run as this plan says */
    }
    host->ledger.staged = true;
    if (ledger_save(&host->ledger, error) < 0) return -1;
    if (release_remove(host->root, host->spec.version, error) < 0) return -1; /* a damaged one of that name */
    FD_AUTO dir = -1;
    ProgressWish wish = {host_progress, host, host->cancel};
    if (release_stage_begin(host->root, host->spec.version, &dir, error) < 0) return -1;
    if (install_tree(package, dir, &wish, error) < 0) return -1;
    if (remember_release(host, package, error) < 0) return -1;
    json_set_integer(host->detail, "files", (int64_t)package->manifest->tree->count);
    json_set_integer(host->detail, "bytes", (int64_t)package->manifest->tree->total_size);
    return release_stage_end(host->root, host->spec.version, error);
}

/* ---- back up, and prove it */

static bool has_anything(const Host *host) {
    RestorePointPart parts[PARTS_MAX];
    return host_parts(host, true, parts) > 0;
}

static void note_point(Host *host, const RestorePoint *point) {
    uint64_t files = 0, bytes = 0;
    for (size_t i = 0; i < point->part_count; i++) {
        files += point->parts[i].file_count;
        bytes += point->parts[i].size_bytes;
    }
    json_set_text(host->detail, "restore_point", point->id);
    json_set_text(host->detail, "digest", host_point_digest(host, point));
    json_set_integer(host->detail, "files", (int64_t)files);
    json_set_integer(host->detail, "bytes", (int64_t)bytes);
    json_set_integer(host->detail, "stored_bytes", (int64_t)point->stored_bytes);
}

static void note_proof(Host *host, const RestorePoint *point) {
    json_set_integer(host->detail, "restored_files", (int64_t)point->proof.restored_files);
    json_set_integer(host->detail, "restored_bytes", (int64_t)point->proof.restored_bytes);
    json_set_integer(host->detail, "known_files", (int64_t)point->proof.known_files);
}

/* Taken already by an attempt that was cut off after it became visible: it is complete. */
static int take(Store *store, const RestorePointSpec *spec, RestorePoint **out, Error *error) {
    if (restore_point_load(store, spec->id, out, NULL) == 0) return 0;
    return restore_point_take(store, spec, out, error);
}

static int prove(Host *host, Store *store, RestorePoint *point, Error *error) {
    RestorePointProve options = {.now_ms = clock_wall_ms(host->spec.clock),

                                 .wish = {host_progress, host, host->cancel}};
    return restore_point_prove(store, point, &options, error);
}

/* An id that no point has: one that an attempt left which was cut off may no longer be what stands there. */
static const char *unused_id(const Host *host, Store *store, const char *id) {
    const char *candidate = id;
    for (int i = 2;; i++) {
        RESTORE_POINT_AUTO point = NULL;
        if (restore_point_load(store, candidate, &point, NULL) < 0) return candidate;
        restore_point_tidy(store, candidate, NULL);
        candidate = arena_printf(host->arena, "%s-%d", id, i);
    }
}

/* What a proof finds broken is taken once more, from the files that are still there, trusting no earlier
 * reading. */
int host_take_and_prove(Host *host, Store *store, const RestorePointSpec *wanted, RestorePoint **out,
                        Error *error) {
    RestorePoint *point = NULL;
    RestorePointSpec spec = *wanted;
    spec.id = unused_id(host, store, wanted->id);
    if (restore_point_take(store, &spec, &point, error) < 0) return -1;
    if (!point) {
        *out = NULL;
        return 0;
    }
    if (prove(host, store, point, error) < 0) {
        bool damaged = error && error->kind == ERROR_REFUSED;
        restore_point_free(point);
        spec.prior = NULL;
        spec.differences = NULL;
        spec.id = unused_id(host, store, arena_printf(host->arena, "%s-again", wanted->id));
        if (!damaged || restore_point_take(store, &spec, &point, error) < 0) return -1;
        json_set_text(host->detail, "taken_again", spec.id);
        if (prove(host, store, point, error) < 0) {
            restore_point_free(point);
            return -1;
        }
    }
    note_point(host, point);
    note_proof(host, point);
    *out = point;
    return 0;
}

static int run_back_up(Host *host, Error *error) {
    RestorePointPart parts[PARTS_MAX];
    size_t count = host_parts(host, true, parts);
    STORE_AUTO store = NULL;
    RESTORE_POINT_AUTO prior = NULL;
    RESTORE_POINT_AUTO point = NULL;
    host->ledger.store = host->spec.store;
    if (store_open(host->spec.store, &store, error) < 0) return -1;
    restore_point_latest(store, host->spec.plan->service.name, host->spec.plan->hosts.items[0].name, &prior,
                         NULL);
    RestorePointSpec spec = host_point_spec(host, RESTORE_POINT_PREPARE, parts, count);
    spec.prior = prior;
    if (take(store, &spec, &point, error) < 0) return -1;
    host->ledger.prepare_point = arena_strdup(host->arena, point->id);
    host->ledger.prepare_digest = host_point_digest(host, point);
    note_point(host, point);
    return 0;
}

static bool has_point(const Host *host) { return host->ledger.prepare_point != NULL; }

static int run_prove(Host *host, Error *error) {
    STORE_AUTO store = NULL;
    RESTORE_POINT_AUTO point = NULL;
    if (store_open(host->ledger.store, &store, error) < 0) return -1;
    if (restore_point_load(store, host->ledger.prepare_point, &point, error) < 0) return -1;
    if (prove(host, store, point, error) < 0) return -1;
    json_set_text(host->detail, "restore_point", point->id);
    note_proof(host, point);
    return 0;
}

const HostStep host_steps_prepare[] = {
    {"fetch", needs_fetch, describe_fetch, NULL, run_fetch},
    {"check", NULL, NULL, NULL, run_check},
    {"stage", NULL, describe_stage, NULL, run_stage},
    {"back_up", has_anything, NULL, NULL, run_back_up},
    {"prove", has_point, NULL, NULL, run_prove},
    {"prepare_hook", host_has_hook_prepare, NULL, NULL, host_run_hook_prepare},
    {0},
};
