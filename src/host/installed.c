#include "host/installed.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "host/host_lock.h"
#include "host/ledger.h"
#include <errno.h>
#include <fcntl.h>

/* Between the stop and the verdict of a switch the service is the change's to start and stop. */
static int check_settled(Arena *arena, int upkeep, Error *error) {
    Ledger ledger;
    if (ledger_load(arena, upkeep, &ledger, error) < 0) return -1;
    bool at_it =
        ledger.order_open && (ledger.order.kind == ORDER_SWITCH || ledger.order.kind == ORDER_ROLLBACK);
    bool open = at_it || (ledger.stopped && !ledger.switched && !ledger.committed && !ledger.rolled_back);
    if (open) {
        error_set(error, ERROR_REFUSED, "the change %s is not finished here", ledger.change);
        if (ledger.order.kind == ORDER_ROLLBACK)
            error_hint(error, "finish it with “upkeep rollback %s”", ledger.change);
        else
            error_hint(error, "finish it with “upkeep resume %s” or “upkeep abort %s”", ledger.change,
                       ledger.change);
    }
    ledger_free(&ledger);
    return open ? -1 : 0;
}

static int lock(const char *root, int upkeep, Arena *arena, int *out, Error *error) {
    if (file_check_private(upkeep, root, error) < 0 ||
        host_lock_take(upkeep, root, "upkeep service", out, error) < 0)
        return -1;
    return check_settled(arena, upkeep, error);
}

static int act(const ServiceContext *service, InstalledAction action, Error *error) {
    if (action == INSTALLED_START) return service_start(service, error);
    return action == INSTALLED_STOP ? service_stop(service, NULL, error) : 0;
}

int installed_act(const char *root, InstalledAction action, Installed *out, Error *error) {
    ARENA_AUTO arena = arena_new();
    Installed found = {0};
    Release release;
    FD_AUTO dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FD_AUTO upkeep = dir < 0 ? -1 : file_open_no_links(dir, ".upkeep", O_RDONLY | O_DIRECTORY, 0);
    if (upkeep < 0 && errno != ENOENT && errno != ENOTDIR)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", root);
    if (upkeep < 0) return error_set(error, ERROR_INVALID, "%s is no host of Upkeep's", root);
    FD_AUTO held = -1;
    if (action != INSTALLED_LOOK && lock(root, upkeep, arena, &held, error) < 0) return -1;
    if (release_current(dir, found.version, error) < 0) return -1;
    if (!*found.version) return error_set(error, ERROR_INVALID, "nothing is installed in %s", root);
    if (release_load(dir, found.version, arena, &release, error) < 0) return -1;
    const PlanService *plan = &release.plan->service;
    ServiceContext service = {plan->name, root, plan->user, &plan->run};
    if (act(&service, action, error) < 0) return -1;
    if (service_status(&service, &found.status, error) < 0) return -1;
    if (out) *out = found;
    return 0;
}
