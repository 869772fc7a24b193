/* What a rollback of one host would lose: looked at, nothing touched. */
#include "base/cleanup.h"
#include "base/file.h"
#include "host/host_room.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int look(const Ledger *ledger, const char *root, HostLoss *out, Error *error) {
    STORE_AUTO store = NULL;
    RESTORE_POINT_AUTO point = NULL;
    RestoreCounts counts = {0};
    HostLoss loss = {0};
    if (!ledger->final_point) {
        *out = loss;
        return 0;
    }
    if (store_open(ledger->store, &store, error) < 0) return -1;
    if (restore_point_load(store, ledger->final_point, &point, error) < 0) return -1;
    RestorePointApply apply = {.root = root, .mode = RESTORE_LOOK};
    if (restore_point_apply(store, point, &apply, &counts, error) < 0) return -1;
    loss.files = counts.written_files + counts.removed;
    loss.bytes = counts.replaced_bytes + counts.removed_bytes;
    clock_to_text(point->time_ms, loss.since);
    *out = loss;
    return 0;
}

static bool is_of(const Ledger *ledger, const char *change) {
    return ledger->change && strcmp(ledger->change, change) == 0;
}

/* The ledger of `change`: the one under way or the one kept as accepted; of another change where there is
 * none. The caller frees it when that is 0. */
static int find_ledger(Arena *arena, const char *root, const char *change, Ledger *out, Error *error) {
    FD_AUTO dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FD_AUTO upkeep = dir < 0 ? -1 : file_open_no_links(dir, ".upkeep", O_RDONLY | O_DIRECTORY, 0);
    if (upkeep < 0) {
        error_set(error, ERROR_INVALID, "%s is no host of Upkeep's", root);
        if (error) error->number = ENOENT;
        return -1;
    }
    if (ledger_load(arena, upkeep, out, error) < 0) return -1;
    if (is_of(out, change)) return 0;
    ledger_free(out);
    return ledger_load_accepted(arena, upkeep, out, error);
}

int host_loss(const char *root, const char *change, HostLoss *out, Error *error) {
    ARENA_AUTO arena = arena_new();
    Ledger ledger;
    if (find_ledger(arena, root, change, &ledger, error) < 0) return -1;
    int result = is_of(&ledger, change)
                     ? look(&ledger, root, out, error)
                     : error_set(error, ERROR_REFUSED, "%s has been upgraded by another change since", root);
    ledger_free(&ledger);
    return result;
}

int host_has_staged(const char *root, const char *change) {
    ARENA_AUTO arena = arena_new();
    Ledger ledger;
    Error error = {0};
    if (find_ledger(arena, root, change, &ledger, &error) < 0) return error.number == ENOENT ? 0 : -1;
    int staged = is_of(&ledger, change) && ledger.staged;
    ledger_free(&ledger);
    return staged;
}

int host_has_trace(const char *root, const char *change) {
    ARENA_AUTO arena = arena_new();
    Ledger ledger;
    Error error = {0};
    if (find_ledger(arena, root, change, &ledger, &error) < 0) return error.number == ENOENT ? 0 : -1;
    int found = is_of(&ledger, change);
    ledger_free(&ledger);
    return found;
}
