/* RestorePoint: a backup of named parts of one host, which counts only once it was restored and compared.
 *
 *   take ──> (unproved) ──prove──> proved ──> apply, whole or in part, in place or elsewhere
 *              └─ proof fails: stays unproved; take again with prior = NULL, which trusts no earlier reading
 *
 * Calling order around a switch: take(PREPARE) and prove while the service runs; stop it; take(FINAL, prior =
 * that one) and prove, which reads only what changed; on a rollback take(ASIDE, prior = the final one), then
 * apply the final one. A point is visible only when everything in it is durable; killed before, nothing but
 * temporary files is left, and the same take may simply be made again. Functions lock the store by
 * themselves.
 *
 * What is unchanged is told by stamps (inode, size, times): a file whose status changed since the scan began,
 * or while it was read, is never believed unchanged later. PREPARE first flushes the file system, because
 * stores through a memory map mark a file as changed only once per flush.
 *
 * Every file is opened beneath the root's descriptor and no link is followed. As root, owners and the
 * extended attributes of a tree (package/tree.h) are kept. Sockets, FIFOs and devices are passed over.
 * Several names of one file stay one file within each path of a part.
 */
#pragma once
#include "base/arena.h"
#include "base/digest.h"
#include "base/error.h"
#include "host/restore_point/restore.h"
#include "host/restore_point/store.h"
#include "package/progress.h"
#include "package/tree.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum RestorePointKind {
    RESTORE_POINT_PREPARE, /* the service may be running: a file that changes while it is read is kept as read
                            */
    RESTORE_POINT_FINAL,   /* exact: such a file is an error that names it */
    RESTORE_POINT_ASIDE,   /* what a rollback replaced; exact too */
} RestorePointKind;
const char *restore_point_kind_name(RestorePointKind kind); /* "prepare", "final", "aside" */

enum {
    RESTORE_POINT_ID_MAX = 100, /* letters, digits and . _ - ; no dot first */
    RESTORE_POINT_PARTS_MAX = 64,
    RESTORE_POINT_PATHS_MAX = 256, /* of one part */
};

/* A part: paths relative to the root — files or folders, whole. A missing path is remembered as missing. A
 * path that is a link, or leads through one, is refused: its content would silently stay out. */
typedef struct RestorePointPart {
    const char *name; /* "release", "config", "data": lower-case letters, digits and - */
    const char *const *paths;
    size_t path_count;
    /* Filled by take and load; not in a spec: */
    uint64_t file_count, entry_count, size_bytes;
    Digest tree_digest;   /* of the tree's text */
    Digest stamps_digest; /* of the stamps' bytes */
    Tree *tree;           /* NULL until it is read; paths relative to the root, with the folders above them */
    const bool *fresh;    /* an entry each: not the same in the proved prior point; NULL: nothing is known */
} RestorePointPart;

typedef struct RestorePointProof {
    int64_t time_ms;         /* 0: not proved */
    uint64_t restored_files; /* restored and compared for this proof */
    uint64_t restored_bytes;
    uint64_t known_files; /* not restored: their objects are untouched since an earlier proof */
    bool full;            /* every object was restored */
} RestorePointProof;

typedef struct RestorePoint {
    Arena *arena;                                              /* everything but the trees lives here */
    const char *id, *change, *service, *host, *root, *version; /* change, version: "" when unknown */
    RestorePointKind kind;
    int64_t time_ms;
    RestorePointPart *parts;
    size_t part_count;
    uint64_t stored_objects, stored_bytes; /* what this point added to the store */
    RestorePointProof proof;
    Digest head_digest; /* of its point.json */
    bool sound;         /* restore_point_sound() found it so */
    bool prior_sound;   /* the point it was taken with as prior was */
} RestorePoint;

void restore_point_free(RestorePoint *point); /* NULL is allowed */
static inline void restore_point_cleanup(RestorePoint **point) { restore_point_free(*point); }
#define RESTORE_POINT_AUTO __attribute__((cleanup(restore_point_cleanup), unused)) RestorePoint *
/* NULL when it has no such part. */
RestorePointPart *restore_point_part(const RestorePoint *point, const char *name);

/* What it says of itself, in its file as to people: "id", "change", "service", "host", "root", "version",
 * "kind", "time", "stored_bytes"; of a part "name", "paths", "files". */
void restore_point_describe(const RestorePoint *point, json_t *json);
void restore_point_part_describe(const RestorePointPart *part, json_t *json);

typedef struct RestorePointSpec {
    const char *id;     /* NULL: one is made from time and chance */
    const char *change; /* may be NULL */
    const char *service, *host;
    const char *root;    /* absolute, trusted */
    const char *version; /* of the release that is in place; may be NULL */
    RestorePointKind kind;
    const RestorePointPart *parts;
    size_t part_count;
    RestorePoint *prior; /* of the same root; NULL: read everything */
    size_t *differences; /* not NULL: entries that are not as in `prior` are counted there */
    int64_t now_ms;
    ProgressWish wish;
} RestorePointSpec;

/* What taking and proving needs at most, told by sizes and stamps without reading a file; of `prior`, the
 * trees that are read count. */
typedef struct RestorePointSpace {
    uint64_t store_bytes, store_inodes;
    uint64_t scratch_bytes, scratch_inodes;
} RestorePointSpace;
int restore_point_space(const RestorePointSpec *spec, RestorePointSpace *out, Error *error);

/* Take and make durable. ERROR_REFUSED when a point of that id exists (load it: it is complete). Where
 * differences are counted and there are none, nothing is taken: *out is NULL. Caller frees. */
int restore_point_take(Store *store, const RestorePointSpec *spec, RestorePoint **out, Error *error);

/* Restore into a new folder below `scratch` (made when missing), compare digest by digest, remove it, and
 * record the proof in the point and in the store. An object whose file is untouched since it was proved is
 * not restored again, unless `full`. ERROR_REFUSED when the restored differs, or an object is missing or
 * damaged: then it is proved no more, if it was. */
typedef struct RestorePointProve {
    const char *scratch; /* absolute; NULL: the store's temporary/ */
    bool full;
    int64_t now_ms;
    ProgressWish wish;
} RestorePointProve;
int restore_point_prove(Store *store, RestorePoint *point, const RestorePointProve *options, Error *error);

/* Remove what a proof that was cut off left in the point. Missing is success. */
int restore_point_tidy(Store *store, const char *id, Error *error);

/* Look whether every object of a proved point is untouched since it was proved, and remember it in `point`:
 * what a point taken next inherits from a sound one is not looked at again when that one is proved. For the
 * moment before the service is stopped. Its trees must be read. */
int restore_point_sound(Store *store, RestorePoint *point, Error *error);

typedef enum RestoreMode {
    RESTORE_EXACT, /* the target becomes what the point says: what the point lacks is removed */
    RESTORE_LOOK,  /* only count, and tell `on_change` */
} RestoreMode;

typedef struct RestorePointApply {
    const char *part; /* NULL: all parts */
    const char *only; /* a path in the parts, with what is below it; NULL: everything */
    const char *root; /* absolute, made when missing; NULL: the root the point was taken from */
    RestoreMode mode;
    const RestorePoint *known; /* taken of this root just now: where its trees are there, they tell what
                                  stands in the target, and nobody looks again; NULL: it is looked at */
    RestoreChange on_change;   /* may be NULL */
    void *change_context;
    ProgressWish wish;
} RestorePointApply;

/* Only what differs is written, each file by temporary name and rename. All objects needed are verified
 * before the target is touched: ERROR_REFUSED names the damaged object, a file that needs it, and the point.
 * Idempotent: killed anywhere and called again it ends the same. Durable when it returns 0. `counts` may be
 * NULL. */
int restore_point_apply(Store *store, RestorePoint *point, const RestorePointApply *options,
                        RestoreCounts *counts, Error *error);

/* ERROR_INVALID when there is none of that id. Its trees are read when a function first needs them: a part
 * that is not asked for costs nothing. Caller frees. */
int restore_point_load(Store *store, const char *id, RestorePoint **out, Error *error);
/* Read the trees now that are not read yet: before the service is stopped, not after. ERROR_REFUSED when a
 * file is not what the head says. */
int restore_point_read_trees(Store *store, RestorePoint *point, Error *error);
/* The newest proved point of service and host: the `prior` of the next. NULL when there is none. */
int restore_point_latest(Store *store, const char *service, const char *host, RestorePoint **out,
                         Error *error);

/* Oldest first. A point that cannot be read is left out and counted in `unreadable`. */
typedef struct RestorePointList {
    RestorePoint **points;
    size_t count;
    size_t unreadable;
} RestorePointList;
/* `service`, `host`: NULL for any. */
int restore_point_list(Store *store, const char *service, const char *host, RestorePointList *out,
                       Error *error);
void restore_point_list_free(RestorePointList *list);
#define RESTORE_POINT_LIST_AUTO __attribute__((cleanup(restore_point_list_free))) RestorePointList

/* Remove the point; its objects go with the next restore_point_collect(). Missing is success. */
int restore_point_remove(Store *store, const char *id, Error *error);
/* Remove the objects that no point needs, and what the dead left in temporary/. ERROR_REFUSED while the store
 * is in use, and when a point cannot be read (its objects would go). */
int restore_point_collect(Store *store, uint64_t *freed_bytes, Error *error);

/* Keep the points of the newest `keep` changes of service and host (a point without a change counts as one),
 * remove older ones unless `is_protected` says so, then collect; a store in use is collected next time. */
typedef bool (*RestorePointProtected)(void *context, const RestorePoint *point);
int restore_point_prune(Store *store, const char *service, const char *host, size_t keep,
                        RestorePointProtected is_protected, void *context, size_t *removed, Error *error);

/* Read everything: each object is hashed, each point read and its objects looked for. Each problem is a line
 * for `on_problem`; their number is counts->problems. */
typedef struct RestorePointCheck {
    uint64_t points, objects, bytes, problems;
} RestorePointCheck;
typedef void (*RestorePointProblem)(void *context, const Error *problem);
int restore_point_fsck(Store *store, RestorePointProblem on_problem, void *context, RestorePointCheck *counts,
                       Error *error);
