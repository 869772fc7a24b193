#include "host/preflight.h"
#include "base/cleanup.h"
#include "base/process.h"
#include "base/quantity.h"
#include "host/check/check.h"
#include "host/check/facts.h"
#include "host/parts.h"
#include "host/release.h"
#include "host/service/service.h"
#include "host/traffic/traffic.h"
#include "model/version.h"
#include "package/install.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_SIZE = 4096 };

typedef struct Preflight {
    const PreflightSpec *spec;
    const Manifest *manifest;
    Arena *arena;
    int root;    /* -1: not there yet */
    Release old; /* `version` NULL: nothing is installed */
    PreflightResult on_result;
    void *context;
    size_t refusals;
} Preflight;

static void tell(Preflight *preflight, const char *name, const Observation *result) {
    preflight->refusals += result->verdict != VERDICT_PASS;
    preflight->on_result(preflight->context, name, result);
}

/* A result whose detail stands in `result` already: a failure when `fine` is false. */
static void judge(Preflight *preflight, const char *name, bool fine, Observation *result) {
    result->verdict = fine ? VERDICT_PASS : VERDICT_FAIL;
    result->detail.kind = fine ? ERROR_NONE : ERROR_REFUSED;
    tell(preflight, name, result);
}

/* ---- the plan's own checks, and the package's */

static pid_t running_pid(const Preflight *preflight) {
    if (!preflight->old.version) return 0;
    const PlanService *service = &preflight->old.plan->service;
    ServiceContext context = {service->name, preflight->spec->plan->service.root, service->user,
                              &service->run};
    ServiceStatus status;
    return service_status(&context, &status, NULL) == 0 && status.state == SERVICE_RUNNING ? status.pid : 0;
}

static CheckContext check_context(const Preflight *preflight) {
    const PlanService *service = &preflight->spec->plan->service;
    return (CheckContext){.root = preflight->root >= 0 ? service->root : "/",
                          .user = service->user,
                          .service_pid = running_pid(preflight),
                          .clock = preflight->spec->clock,
                          .cancel = preflight->spec->cancel};
}

static void run_checks(Preflight *preflight) {
    const PlanCheckList *checks = &preflight->spec->plan->preflight;
    CheckContext context = check_context(preflight);
    for (size_t i = 0; i < checks->count; i++) {
        Observation result = {0};
        check_run(&checks->items[i], &context, &result);
        tell(preflight, checks->items[i].name, &result);
    }
}

static bool architecture_matches(const char *wanted, const char *have) {
    static const char *const same[][2] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        if (strcmp(wanted, same[i][0]) == 0) wanted = same[i][1];
        if (strcmp(have, same[i][0]) == 0) have = same[i][1];
    }
    return strcmp(wanted, have) == 0;
}

static void check_architecture(Preflight *preflight) {
    const StringList *wanted = &preflight->manifest->head.compatibility.architecture;
    if (wanted->count == 0) return;
    Facts facts;
    bool found = false;
    facts_read(&facts);
    for (size_t i = 0; i < wanted->count; i++)
        found |= architecture_matches(wanted->items[i], facts.architecture);
    Observation result = {0};
    error_set(&result.detail, ERROR_NONE, "architecture: this is %s; the package is for %s%s",
              facts.architecture, wanted->items[0], wanted->count > 1 ? " …" : "");
    judge(preflight, "package architecture", found, &result);
}

/* Any one of the systems it names will do. */
static void check_package_os(Preflight *preflight) {
    const ManifestOsList *systems = &preflight->manifest->head.compatibility.os;
    CheckContext context = check_context(preflight);
    Observation result = {0};
    for (size_t i = 0; i < systems->count; i++) {
        PlanCheck check = {.name = "package os", .os = &systems->items[i]};
        check_run(&check, &context, &result);
        if (result.verdict == VERDICT_PASS) break;
    }
    if (systems->count) tell(preflight, "package os", &result);
}

static void check_compatibility(Preflight *preflight) {
    const ManifestCompatibility *wanted = &preflight->manifest->head.compatibility;
    CheckContext context = check_context(preflight);
    check_package_os(preflight);
    check_architecture(preflight);
    if (wanted->kernel) {
        PlanKernel kernel = {wanted->kernel};
        PlanCheck check = {.name = "package kernel", .kernel = &kernel};
        Observation result = {0};
        check_run(&check, &context, &result);
        tell(preflight, check.name, &result);
    }
    for (size_t i = 0; i < wanted->commands.count; i++) {
        PlanCheck check = {.name = "package command", .command = &wanted->commands.items[i]};
        Observation result = {0};
        check_run(&check, &context, &result);
        tell(preflight, check.name, &result);
    }
}

/* ---- what will be started: nobody should learn in the window that it cannot be */

static void check_user(Preflight *preflight) {
    ProcessUser user;
    Observation result = {0};
    if (!preflight->spec->plan->service.user) return;
    bool fine = process_user_find(preflight->spec->plan->service.user, &user, &result.detail) == 0;
    if (fine)
        error_set(&result.detail, ERROR_NONE, "service: it will run as %s, uid %d", user.name, (int)user.uid);
    judge(preflight, "service user", fine, &result);
}

static bool is_in_path(Arena *arena, const char *path, const char *program) {
    for (const char *at = path;; at++) {
        size_t length = strcspn(at, ":");
        const char *file = arena_printf(arena, "%.*s/%s", (int)length, at, program);
        if (length > 0 && access(file, X_OK) == 0) return true;
        at += length;
        if (*at == '\0') return false;
    }
}

/* A program named without a folder is looked for in the PATH that the service will have. */
static bool is_found(Preflight *preflight, const PlanProcess *process) {
    const char **extra = ARENA_ARRAY(preflight->arena, process->env.count + 1, const char *);
    for (size_t i = 0; i < process->env.count; i++)
        extra[i] =
            arena_printf(preflight->arena, "%s=%s", process->env.items[i].key, process->env.items[i].value);
    char **env = process_env(preflight->spec->plan->service.user, extra, NULL);
    bool found = !env; /* no such user: that was said already */
    for (char **entry = env; entry && *entry; entry++)
        if (strncmp(*entry, "PATH=", 5) == 0)
            found = is_in_path(preflight->arena, *entry + 5, process->command.items[0]);
    process_env_free(env);
    return found;
}

/* Is it in the package, as far as its list of files tells? What a link leads to is not followed. */
static bool is_packed(const Tree *tree, Arena *arena, const char *path) {
    if (strstr(path, "./") || strstr(path, "//") || tree_find(tree, path)) return true;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        const TreeEntry *above = tree_find(tree, arena_strndup(arena, path, (size_t)(slash - path)));
        if (above && above->type == TREE_SYMLINK) return true;
    }
    return false;
}

/* Beneath the root it may come with the release or the data: "current/…" is looked for in the package. */
static const char *beneath_root(const Preflight *preflight, const char *program) {
    const char *root = preflight->spec->plan->service.root;
    size_t length = strlen(root);
    if (program[0] != '/') return program;
    return strncmp(program, root, length) == 0 && program[length] == '/' ? program + length + 1 : NULL;
}

static void check_program(Preflight *preflight) {
    const PlanProcess *process = preflight->spec->plan->service.run.process;
    Observation result = {0};
    if (!process || process->command.count == 0) return;
    const char *program = process->command.items[0], *beneath = beneath_root(preflight, program);
    bool in_release = beneath && strncmp(beneath, "current/", strlen("current/")) == 0, fine = true;
    if (in_release)
        fine = is_packed(preflight->manifest->tree, preflight->arena, beneath + strlen("current/"));
    else if (!beneath)
        fine = access(program, X_OK) == 0;
    else if (!strchr(program, '/'))
        fine = is_found(preflight, process);
    if (fine) return;
    if (in_release)
        error_set(&result.detail, ERROR_NONE, "service: its program %s is not in the package", program);
    else
        error_set(&result.detail, ERROR_NONE, "service: its program %s is not on this host", program);
    judge(preflight, "service program", false, &result);
}

/* Nobody should learn in the window that its balancer does not answer, or does not know it. */
static void check_traffic(Preflight *preflight) {
    const Plan *plan = preflight->spec->plan;
    Observation result = {0};
    if (!plan->traffic) return;
    TrafficContext context = {.traffic = plan->traffic,
                              .host = plan->hosts.items[0].name,
                              .service = plan->service.name,
                              .root = preflight->root >= 0 ? plan->service.root : "/",
                              .percent = plan_host_weight(plan),
                              .last = !preflight->old.version, /* nothing of it is in traffic yet */
                              .clock = preflight->spec->clock,
                              .cancel = preflight->spec->cancel};
    bool idle = plan_is_blue_green(plan); /* then it is asked to be out already */
    bool fine =
        (idle ? traffic_check_out(&context, &result.detail) : traffic_check(&context, &result.detail)) == 0;
    if (fine && idle)
        error_set(&result.detail, ERROR_NONE, "its balancer knows it, and sends it nothing");
    else if (fine)
        error_set(&result.detail, ERROR_NONE, "its balancer knows it, and can take it out of traffic");
    error_prefix(&result.detail, "traffic");
    judge(preflight, "traffic", fine, &result);
}

/* ---- versions */

static void check_range(Preflight *preflight, const char *name, const char *range) {
    if (!range || !preflight->old.version) return;
    Observation result = {0};
    error_set(&result.detail, ERROR_NONE, "version: %s is installed; %s can upgrade %s",
              preflight->old.version, preflight->manifest->head.version, range);
    judge(preflight, name, version_in_range(preflight->old.version, range), &result);
}

static void check_versions(Preflight *preflight) {
    const char *new_version = preflight->manifest->head.version, *old = preflight->old.version;
    check_range(preflight, "plan from", preflight->spec->plan->package.from);
    check_range(preflight, "package from", preflight->manifest->head.compatibility.from);
    if (!old) return;
    Observation result = {0};
    int order = version_compare(new_version, old);
    bool other_package = strcmp(new_version, old) == 0 &&
                         !digest_equal(&preflight->old.package, &preflight->spec->package->digest);
    if (other_package) {
        error_set(&result.detail, ERROR_NONE, "version: %s is installed already, from another package", old);
        error_hint(&result.detail, "give the new one another version");
        judge(preflight, "version", false, &result);
    } else if (order < 0 && !preflight->spec->plan->package.downgrade) {
        error_set(&result.detail, ERROR_NONE, "version: %s is lower than %s, which is installed", new_version,
                  old);
        error_hint(&result.detail, "say “downgrade: true” under “package” if that is meant");
        judge(preflight, "version", false, &result);
    } else {
        error_set(&result.detail, ERROR_NONE, "version: %s → %s", old, new_version);
        judge(preflight, "version", true, &result);
    }
}

/* ---- room */

typedef struct Need {
    const char *path;
    uint64_t bytes, inodes;
} Need;

static dev_t device_of(const char *path) {
    FactsDisk disk;
    struct stat status;
    if (facts_disk(path, &disk, NULL) < 0 || stat(disk.path, &status) != 0) return 0;
    return status.st_dev;
}

typedef enum Room { ROOM_BOTH, ROOM_RELEASE, ROOM_RESTORE_POINT } Room;

/* What others will take there is needed as well; what this one needs is taken from now on. */
static Need with_taken(PreflightTaken *taken, const Need *need) {
    Need sum = *need;
    dev_t device = device_of(need->path);
    size_t i = 0;
    if (!taken || device == 0) return sum;
    while (i < taken->count && taken->disks[i].device != device) i++;
    if (i == sizeof taken->disks / sizeof *taken->disks) return sum;
    if (i == taken->count) taken->disks[taken->count++].device = device;
    sum.bytes = taken->disks[i].bytes += need->bytes;
    sum.inodes = taken->disks[i].inodes += need->inodes;
    return sum;
}

static void check_need(Preflight *preflight, Room room, const Need *own) {
    static const char *const names[] = {[ROOM_BOTH] = "space",
                                        [ROOM_RELEASE] = "space release",
                                        [ROOM_RESTORE_POINT] = "space restore point"};
    const char *name = names[room];
    FactsDisk disk;
    Observation result = {0};
    Need sum = with_taken(preflight->spec->taken, own), *need = &sum;
    char free_text[QUANTITY_TEXT_SIZE], need_text[QUANTITY_TEXT_SIZE];
    if (facts_disk(need->path, &disk, &result.detail) < 0) {
        judge(preflight, name, false, &result);
        return;
    }
    bool bytes_fit = disk.free >= need->bytes,
         inodes_fit = disk.inodes == 0 || disk.inodes_free >= need->inodes;
    quantity_size_text(disk.free, free_text);
    quantity_size_text(need->bytes, need_text);
    if (bytes_fit && !inodes_fit)
        error_set(&result.detail, ERROR_NONE, "%s has %" PRIu64 " inodes free, %" PRIu64 " needed", disk.path,
                  disk.inodes_free, need->inodes);
    else
        error_set(&result.detail, ERROR_NONE, "%s has %s free, %s needed", disk.path, free_text, need_text);
    error_prefix(&result.detail, room == ROOM_BOTH      ? "space for release and restore point"
                                 : room == ROOM_RELEASE ? "space for the release"
                                                        : "space for the restore point");
    if (need->bytes > own->bytes)
        error_hint(&result.detail, "the hosts before it on this file system included");
    if (!bytes_fit || !inodes_fit)
        error_hint(&result.detail, "free space, or choose another place in the plan");
    judge(preflight, name, bytes_fit && inodes_fit, &result);
}

static int need_of_restore_point(Preflight *preflight, Need *need, Error *error) {
    RestorePointPart parts[PARTS_MAX];
    STORE_AUTO store = NULL;
    RESTORE_POINT_AUTO prior = NULL;
    const Plan *plan = preflight->spec->plan;
    size_t count = preflight->root < 0
                       ? 0
                       : parts_of_service(preflight->arena, &plan->service, preflight->old.version, parts);
    RestorePointSpec spec = {.service = plan->service.name,
                             .host = plan->hosts.items[0].name,
                             .root = plan->service.root,
                             .parts = parts,
                             .part_count = count,
                             .wish = {.cancel = preflight->spec->cancel}};
    RestorePointSpace space = {0};
    if (access(preflight->spec->store, F_OK) == 0 && store_open(preflight->spec->store, &store, NULL) == 0)
        restore_point_latest(store, spec.service, spec.host, &prior, NULL);
    spec.prior = prior;
    if (spec.part_count && restore_point_space(&spec, &space, error) < 0) return -1;
    *need = (Need){preflight->spec->store, space.store_bytes + space.scratch_bytes,
                   space.store_inodes + space.scratch_inodes};
    return 0;
}

static int check_room(Preflight *preflight, Error *error) {
    InstallSpace space = install_space(preflight->manifest->tree, BLOCK_SIZE);
    Need release = {preflight->spec->plan->service.root, space.bytes, space.inodes};
    Need restore_point = {0};
    if (need_of_restore_point(preflight, &restore_point, error) < 0) return -1;
    if (device_of(release.path) == device_of(restore_point.path)) { /* one file system must hold both */
        release.bytes += restore_point.bytes;
        release.inodes += restore_point.inodes;
        check_need(preflight, ROOM_BOTH, &release);
        return 0;
    }
    check_need(preflight, ROOM_RELEASE, &release);
    check_need(preflight, ROOM_RESTORE_POINT, &restore_point);
    return 0;
}

/* ---- drift: is what is installed still what was installed? */

static int check_drift(Preflight *preflight, Error *error) {
    if (!preflight->old.version) return 0;
    size_t differences = 0;
    const char *first = "";
    Observation result = {0};
    if (release_drift(preflight->root, preflight->old.version, preflight->arena, &differences, &first,
                      error) < 0)
        return -1;
    if (differences == 0) {
        error_set(&result.detail, ERROR_NONE, "release %s: every file is as it was installed",
                  preflight->old.version);
    } else {
        error_set(&result.detail, ERROR_NONE, "release %s: %zu differences from what was installed: %s",
                  preflight->old.version, differences, first);
        error_hint(&result.detail, "put them back, or move what the service writes to shared/");
    }
    judge(preflight, "drift", differences == 0, &result);
    return 0;
}

/* ---- all of it */

static int open_root(Preflight *preflight, Error *error) {
    const char *path = preflight->spec->plan->service.root;
    preflight->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (preflight->root < 0 && errno == ENOENT) return 0;
    if (preflight->root < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", path);
    char current[RELEASE_VERSION_SIZE];
    if (release_current(preflight->root, current, error) < 0) return -1;
    return *current ? release_load(preflight->root, current, preflight->arena, &preflight->old, error) : 0;
}

static int run_all(Preflight *preflight, Error *error) {
    if (open_root(preflight, error) < 0) return -1;
    run_checks(preflight);
    check_compatibility(preflight);
    check_user(preflight);
    check_program(preflight);
    check_traffic(preflight);
    check_versions(preflight);
    if (check_room(preflight, error) < 0) return -1;
    return check_drift(preflight, error);
}

int preflight_run(const PreflightSpec *spec, PreflightResult on_result, void *context, size_t *refusals,
                  Error *error) {
    Preflight preflight = {.spec = spec,
                           .manifest = spec->package->manifest,
                           .arena = arena_new(),
                           .root = -1,
                           .on_result = on_result,
                           .context = context};
    int result = run_all(&preflight, error);
    if (preflight.root >= 0) close(preflight.root);
    arena_free(preflight.arena);
    if (result < 0) return -1;
    *refusals = preflight.refusals;
    return 0;
}
