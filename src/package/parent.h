/* Parent: the folder an entry of a tree stands in, opened once for all neighbours.
 *
 * Entries come sorted, so the next one mostly stands in the same folder; opening by a short name in an open
 * folder is both quicker than walking the whole path and safe: the folder itself was opened beneath `dir`, no
 * links followed. One cursor, one thread.
 */
#pragma once
#include "base/error.h"
#include <stddef.h>

typedef struct Parent {
    int dir; /* the root of the tree; borrowed */
    int fd;  /* the folder last opened, or -1 */
    size_t length;
    char path[4096]; /* its path */
} Parent;

/* `dir` must outlive the cursor. */
void parent_init(Parent *parent, int dir);
/* The folder of `path` (borrowed until the next call) and, in *name, the last part of `path`. -1 with errno
 * set. */
int parent_open(Parent *parent, const char *path, const char **name);
void parent_close(Parent *parent);
