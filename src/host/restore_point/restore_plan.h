/* RestorePlan: what planning decided, for restore_execute.c to carry out; private to the two. */
#pragma once
#include "base/parallel.h"
#include "host/restore_point/restore.h"

typedef enum RestoreAction {
    RESTORE_RIGHT,    /* nothing */
    RESTORE_READ,     /* while planning: only reading can tell */
    RESTORE_METADATA, /* owner, mode, attributes, times */
    RESTORE_WRITE,    /* a file's content, then its metadata */
    RESTORE_MAKE,     /* a folder, then its metadata */
    RESTORE_LINK,     /* a symbolic or hard link */
} RestoreAction;

struct Restore {
    int dir;
    RestoreSpec spec;
    bool is_root;
    const Tree *found; /* what stands in the scope, and perhaps folders above it */
    Tree *scanned;     /* the same, where it is ours to free */
    uint8_t *actions;  /* RestoreAction, one for each entry of spec.tree */
    size_t *removals;  /* indices of `found`, parents before children */
    size_t removal_count;
    RestoreCounts counts;
    StoreRoom *rooms[PARALLEL_WORKERS_MAX]; /* made when first used */
};

/* An unread scan leaves the digest of a file that it does not know zero. */
bool restore_is_unread(const TreeEntry *entry);
