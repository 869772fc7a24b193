/* Restore: making what is on disk exactly what a tree says, from the contents in a store.
 *
 *   restore_plan ──> look at the counts ──> restore_verify ──> restore_execute
 *
 * Planning only reads: what stands in the target is held against the tree, by stamp, else by digest.
 * Verifying reads every object that will be needed, so that a damaged one is found before anything is
 * touched. Executing removes what the tree lacks (which also makes room), makes folders, writes each file
 * under a temporary name beside its place and renames it, makes links, and sets owners, modes, attributes and
 * times last. Killed anywhere, planned and executed again, it ends the same.
 */
#pragma once
#include "base/error.h"
#include "host/restore_point/scope.h"
#include "host/restore_point/store.h"
#include "package/progress.h"
#include "package/tree.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a restore does to its target, or would do. */
typedef struct RestoreCounts {
    uint64_t written_files, written_bytes;  /* content that differs or is missing */
    uint64_t removed;                       /* entries that the tree does not have, or of another type */
    uint64_t replaced_bytes, removed_bytes; /* what stood in the target and goes */
    uint64_t other;                         /* folders and links made, metadata set right */
    uint64_t unchanged;                     /* entries found right */
} RestoreCounts;

/* `what`: "write", "remove", "make", "link" or "metadata". Called while planning, in the caller's thread. */
typedef void (*RestoreChange)(void *context, const char *what, const char *path);

typedef struct RestoreSpec {
    Store *store;
    const Tree *tree; /* finished, of unread or stamped scans; must outlive the restore */
    /* What the tree speaks for: what stands there and is not in the tree is removed; folders above are made
     * where they are missing and else left alone. */
    Scope scope;
    const Tree *found; /* what stands there, when a scan with stamps has just told; must outlive the restore.
                          NULL: it is scanned */
    bool scratch;      /* the target is empty and ours alone: no temporary names, nothing made durable */
    RestoreChange on_change; /* may be NULL */
    void *change_context;
    Progress *progress; /* begun and ended by the caller: written bytes are added, and its wish is heeded */
} RestoreSpec;

typedef struct Restore Restore;

/* `dir`, and the strings and arrays of `spec`, must outlive it. Caller frees. */
int restore_plan(int dir, const RestoreSpec *spec, Restore **out, Error *error);
const RestoreCounts *restore_counts(const Restore *restore);
/* ERROR_REFUSED names the damaged or missing object and a file that needs it. */
int restore_verify(Restore *restore, Error *error);
/* Durable when it returns 0 (unless scratch). ERROR_REFUSED before anything is touched when there is too
 * little space. */
int restore_execute(Restore *restore, Error *error);
void restore_free(Restore *restore); /* NULL is allowed */
static inline void restore_cleanup(Restore **restore) { restore_free(*restore); }
#define RESTORE_AUTO __attribute__((cleanup(restore_cleanup))) Restore *
