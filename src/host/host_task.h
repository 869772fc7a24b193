/* HostTask: carrying out one task (model/task.h) on this host, outside of any change.
 *
 *   restore_points  {"stores": [path], "points": [{"id", "change", "service", …, "parts"}], "unreadable",
 *                   "unusable"? (why a store cannot be opened)}
 *   prove           the point, as above, with "restored_files" and "restored_bytes"
 *   fsck            {"stores", "objects", "bytes", "points", "problems", "examples": [{"error", "error_zh"}]}
 *   restore         {"restore_point", "change", "root", "proved", "written_files", "written_bytes", …,
 *                   "seen"? (of a look)}
 *   service         {"root", "version", "state", "pid"?}
 *   loss            {"files", "bytes", "since"?}
 *
 * Whoever changes a host takes its lock: ERROR_REFUSED while an upgrade is at work there.
 */
#pragma once
#include "base/error.h"
#include "model/schema.h"
#include "model/task.h"
#include "package/progress.h"

typedef struct HostTaskSpec {
    StringList stores;       /* where restore points may stand; the first that has what is meant is taken */
    const StringList *roots; /* nothing is done elsewhere; NULL: anywhere on this machine */
    int64_t now_ms;          /* wall clock */
    ProgressWish wish;
} HostTaskSpec;

enum { HOST_TASK_EXAMPLES_MAX = 1000 };

/* A new reference in *answer. ENOENT in error->number: there is no store yet. */
int host_task(const HostTaskSpec *spec, const Task *task, json_t **answer, Error *error);
