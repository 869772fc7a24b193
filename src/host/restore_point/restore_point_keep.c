/* Keeping the store: which points stay, which objects they need, and whether all of it is whole. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/parallel.h"
#include "host/restore_point/digest_list.h"
#include "host/restore_point/restore_point_file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- which points there are ---- */

typedef struct IdList {
    Arena *arena;
    const char **ids;
    size_t count;
} IdList;

static bool id_list_has(const IdList *list, const char *id) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->ids[i], id) == 0) return true;
    return false;
}

static void id_list_add(IdList *list, const char *id) {
    list->ids = reallocarray(list->ids, list->count + 1, sizeof *list->ids);
    if (!list->ids) abort();
    list->ids[list->count++] = arena_strdup(list->arena, id);
}

typedef int (*PointVisit)(void *context, const char *id, Error *error);

static int each_point(Store *store, PointVisit visit, void *context, Error *error) {
    int again = openat(store_points_dir(store), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = again < 0 ? NULL : fdopendir(again);
    if (!listing) {
        if (again >= 0) close(again);
        return error_errno(error, ERROR_SYSTEM, errno, "cannot list the folder %s", "points");
    }
    int result = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(listing));)
        if (restore_point_id_valid(entry->d_name)) result = visit(context, entry->d_name, error);
    closedir(listing);
    return result;
}

/* ---- collecting ---- */

typedef struct Collecting {
    Store *store;
    IdList marked;
    DigestList needed;
} Collecting;

/* A point that goes meanwhile needs nothing; one that cannot be read may need anything. */
static int mark(void *context, const char *id, Error *error) {
    Collecting *collecting = context;
    if (id_list_has(&collecting->marked, id)) return 0;
    RESTORE_POINT_AUTO point = NULL;
    Error reading = {0};
    if (restore_point_load(collecting->store, id, &point, &reading) < 0 ||
        restore_point_read_trees(collecting->store, point, &reading) < 0) {
        if (reading.number == ENOENT && file_exists(store_points_dir(collecting->store), id, NULL) == 0)
            return 0;
        if (error) *error = reading;
        error_prefix(error, "nothing was removed from %s", store_path(collecting->store));
        return error_hint(error, "remove that restore point or mend it");
    }
    for (size_t i = 0; i < point->part_count; i++) {
        const Tree *tree = point->parts[i].tree;
        for (size_t j = 0; j < tree->count; j++)
            if (tree->entries[j].type == TREE_FILE)
                digest_list_add(&collecting->needed, &tree->entries[j].digest);
    }
    digest_list_settle(&collecting->needed);
    id_list_add(&collecting->marked, id);
    return 0;
}

static int mark_all(void *context, Error *error) {
    Collecting *collecting = context;
    return each_point(collecting->store, mark, collecting, error);
}

static bool is_needed(void *context, const Digest *digest) {
    Collecting *collecting = context;
    return digest_list_has(&collecting->needed, digest);
}

int restore_point_collect(Store *store, uint64_t *freed_bytes, Error *error) {
    ARENA_AUTO arena = arena_new();
    Collecting collecting = {.store = store, .marked.arena = arena};
    /* Most is marked before the lock is taken, to hold it briefly. */
    int result = mark_all(&collecting, error);
    StoreSweep sweep = {is_needed, mark_all, &collecting};
    if (result == 0) result = store_sweep(store, &sweep, freed_bytes, error);
    if (result == 0) result = store_forget_proofs(store, error);
    if (result == 0) result = store_tidy(store, error);
    free(collecting.marked.ids);
    digest_list_free(&collecting.needed);
    return result;
}

/* ---- pruning ---- */

/* What one change left counts once. */
static const char *group_of(const RestorePoint *point) {
    return point->change[0] ? point->change : point->id;
}

int restore_point_prune(Store *store, const char *service, const char *host, size_t keep,
                        RestorePointProtected is_protected, void *context, size_t *removed, Error *error) {
    RESTORE_POINT_LIST_AUTO list = {0};
    if (restore_point_list(store, service, host, &list, error) < 0) return -1;
    ARENA_AUTO arena = arena_new();
    IdList kept = {.arena = arena};
    size_t count = 0;
    int result = 0;
    for (size_t i = list.count; i > 0 && result == 0; i--) {
        const RestorePoint *point = list.points[i - 1];
        const char *group = group_of(point);
        if (!id_list_has(&kept, group) && kept.count < keep) id_list_add(&kept, group);
        if (id_list_has(&kept, group) || (is_protected && is_protected(context, point))) continue;
        result = restore_point_remove(store, point->id, error);
        count += result == 0;
    }
    free(kept.ids);
    if (result < 0) return -1;
    if (removed) *removed = count;
    Error tidying = {0}; /* without a point to remove there may still be what a crash has left */
    result = count ? restore_point_collect(store, NULL, &tidying) : store_tidy(store, &tidying);
    if (result == 0 || tidying.kind == ERROR_REFUSED) return 0;
    if (error) *error = tidying;
    return -1;
}

/* ---- checking ---- */

typedef struct Checking {
    Store *store;
    RestorePointProblem on_problem;
    void *context;
    RestorePointCheck counts;
    DigestList present, damaged;
    StoreRoom *rooms[PARALLEL_WORKERS_MAX];
    pthread_mutex_t guard; /* of the counts, of `damaged`, and of telling problems */
} Checking;

static void tell(Checking *checking, const Error *problem) {
    checking->counts.problems++;
    if (checking->on_problem) checking->on_problem(checking->context, problem);
}

static int note_object(void *context, const Digest *digest, uint64_t stored_bytes, Error *error) {
    (void)error;
    Checking *checking = context;
    digest_list_add(&checking->present, digest);
    checking->counts.bytes += stored_bytes;
    return 0;
}

static int check_object(size_t index, unsigned worker, void *context, Error *error) {
    (void)error;
    Checking *checking = context;
    const Digest *digest = &checking->present.items[index];
    if (!checking->rooms[worker]) checking->rooms[worker] = store_room_new();
    Error problem = {0};
    StoreGet get = {.digest = digest, .size = STORE_ANY_SIZE, .fd = -1};
    if (store_get(checking->store, checking->rooms[worker], &get, &problem) == 0) return 0;
    pthread_mutex_lock(&checking->guard);
    digest_list_add(&checking->damaged, digest);
    tell(checking, &problem);
    pthread_mutex_unlock(&checking->guard);
    return 0;
}

static void check_entry(Checking *checking, const char *id, const TreeEntry *entry) {
    if (entry->type != TREE_FILE) return;
    if (digest_list_has(&checking->present, &entry->digest) &&
        !digest_list_has(&checking->damaged, &entry->digest))
        return;
    char object[DIGEST_TEXT_SIZE];
    digest_to_text(&entry->digest, object);
    Error problem = {0};
    error_set(&problem, ERROR_REFUSED,
              "the restore point %s cannot give back %s: its object %s is damaged or missing", id,
              entry->path, object);
    tell(checking, &problem);
}

static int check_point(void *context, const char *id, Error *error) {
    (void)error;
    Checking *checking = context;
    RESTORE_POINT_AUTO point = NULL;
    Error problem = {0};
    checking->counts.points++;
    if (restore_point_load(checking->store, id, &point, &problem) < 0 ||
        restore_point_read_trees(checking->store, point, &problem) < 0) {
        tell(checking, &problem);
        return 0;
    }
    for (size_t i = 0; i < point->part_count; i++)
        for (size_t j = 0; j < point->parts[i].tree->count; j++)
            check_entry(checking, id, &point->parts[i].tree->entries[j]);
    return 0;
}

static int check(Checking *checking, Error *error) {
    if (store_each(checking->store, note_object, checking, error) < 0) return -1;
    digest_list_settle(&checking->present);
    checking->counts.objects = checking->present.count;
    if (parallel_for(checking->present.count, parallel_workers(), check_object, checking, error) < 0)
        return -1;
    digest_list_settle(&checking->damaged);
    return each_point(checking->store, check_point, checking, error);
}

int restore_point_fsck(Store *store, RestorePointProblem on_problem, void *context, RestorePointCheck *counts,
                       Error *error) {
    FD_AUTO lock = -1;
    if (store_lock(store, STORE_SHARED, &lock, error) < 0) return -1;
    Checking checking = {.store = store, .on_problem = on_problem, .context = context};
    pthread_mutex_init(&checking.guard, NULL);
    int result = check(&checking, error);
    for (unsigned i = 0; i < PARALLEL_WORKERS_MAX; i++) store_room_free(checking.rooms[i]);
    pthread_mutex_destroy(&checking.guard);
    digest_list_free(&checking.present);
    digest_list_free(&checking.damaged);
    if (result < 0) return -1;
    *counts = checking.counts;
    return 0;
}
