/* What a rollback of one host would lose: looked at, nothing touched. */
#include "base/cleanup.h"
#include "base/file.h"
#include "host/host_room.h"
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

int host_loss(const char *root, const char *change, HostLoss *out, Error *error) {
    ARENA_AUTO arena = arena_new();
    FD_AUTO dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FD_AUTO upkeep = dir < 0 ? -1 : file_open_no_links(dir, ".upkeep", O_RDONLY | O_DIRECTORY, 0);
    Ledger ledger;
    if (upkeep < 0) return error_set(error, ERROR_INVALID, "%s is no host of Upkeep's", root);
    if (ledger_load(arena, upkeep, &ledger, error) < 0) return -1;
    if (!is_of(&ledger, change)) {
        ledger_free(&ledger);
        if (ledger_load_accepted(arena, upkeep, &ledger, error) < 0) return -1;
    }
    int result = is_of(&ledger, change)
                     ? look(&ledger, root, out, error)
                     : error_set(error, ERROR_REFUSED, "%s has been upgraded by another change since", root);
    ledger_free(&ledger);
    return result;
}
