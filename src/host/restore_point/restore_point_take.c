/* Taking a restore point: scan, store what is new, make durable, publish by one rename. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/random.h"
#include "host/restore_point/digest_list.h"
#include "host/restore_point/restore_point_file.h"
#include "package/parent.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 32,       /* files a worker takes at a time: neighbours share their folder */
    ATTEMPTS_MAX = 4, /* at an exact reading of what should stand still */
    RANDOM_SIZE = 7,
    BLOCK_SIZE = 4096, /* for estimates */
    ENTRY_SIZE = 512,  /* likewise: of an entry's line and stamp */
};

typedef struct Taking {
    Store *store;
    const RestorePointSpec *spec;
    RestorePoint *point;
    int root;
    int prior_dir; /* points/<prior>/ while the prior point is still what was loaded; else -1 */
    StoreRoom *rooms[PARALLEL_WORKERS_MAX];
    Progress progress;
    pthread_mutex_t guard; /* of what follows */
    DigestList unsettled;  /* objects that are not known to be durable */
    uint64_t stored_objects, stored_bytes;
} Taking;

/* ---- the spec ---- */

static int check_part(const RestorePointSpec *spec, size_t index, Error *error) {
    const RestorePointPart *part = &spec->parts[index];
    if (!restore_point_name_valid(part->name))
        return error_set(error, ERROR_INVALID, "“%s” is no name of a part of a restore point", part->name);
    for (size_t i = 0; i < index; i++) assert(strcmp(spec->parts[i].name, part->name) != 0);
    if (part->path_count > RESTORE_POINT_PATHS_MAX)
        return error_set(error, ERROR_INVALID, "the part %s has more than %d paths", part->name,
                         (int)RESTORE_POINT_PATHS_MAX);
    return scope_check(&(Scope){part->paths, part->path_count}, error);
}

static int check_spec(const RestorePointSpec *spec, Error *error) {
    if (spec->id && !restore_point_id_valid(spec->id))
        return error_set(error, ERROR_INVALID, "“%s” is no id of a restore point", spec->id);
    JSON_AUTO utf8 = json_string(spec->root);
    if (!utf8 || spec->root[0] != '/')
        return error_set(error, ERROR_INVALID, "the root “%s” is no absolute path in UTF-8", spec->root);
    assert(spec->part_count <= RESTORE_POINT_PARTS_MAX);
    for (size_t i = 0; i < spec->part_count; i++)
        if (check_part(spec, i, error) < 0) return -1;
    return 0;
}

/* "final-20261121T201500Z-x7k2qd": readable, and unique enough to be refused when it is not. */
static const char *make_id(Arena *arena, const RestorePointSpec *spec) {
    char time[CLOCK_TEXT_SIZE], digits[CLOCK_TEXT_SIZE], chance[RANDOM_SIZE];
    clock_to_text(spec->now_ms, time);
    size_t length = 0;
    for (const char *at = time; *at && *at != '.'; at++)
        if (*at != '-' && *at != ':') digits[length++] = *at;
    digits[length] = '\0';
    random_name(chance, sizeof chance);
    return arena_printf(arena, "%s-%sZ-%s", restore_point_kind_name(spec->kind), digits, chance);
}

static void copy_part(Arena *arena, const RestorePointPart *from, RestorePointPart *to) {
    const char **paths = ARENA_ARRAY(arena, from->path_count + 1, const char *);
    for (size_t i = 0; i < from->path_count; i++) paths[i] = arena_strdup(arena, from->paths[i]);
    *to = (RestorePointPart){
        .name = arena_strdup(arena, from->name), .paths = paths, .path_count = from->path_count};
}

static RestorePoint *new_point(const RestorePointSpec *spec) {
    Arena *arena = arena_new();
    RestorePoint *point = ARENA_NEW(arena, RestorePoint);
    point->arena = arena;
    point->id = spec->id ? arena_strdup(arena, spec->id) : make_id(arena, spec);
    point->change = arena_strdup(arena, spec->change ? spec->change : "");
    point->service = arena_strdup(arena, spec->service);
    point->host = arena_strdup(arena, spec->host);
    point->root = arena_strdup(arena, spec->root);
    point->version = arena_strdup(arena, spec->version ? spec->version : "");
    point->kind = spec->kind;
    point->time_ms = spec->now_ms;
    point->parts = ARENA_ARRAY(arena, spec->part_count + 1, RestorePointPart);
    point->part_count = spec->part_count;
    for (size_t i = 0; i < spec->part_count; i++) copy_part(arena, &spec->parts[i], &point->parts[i]);
    return point;
}

/* ---- reading files into the store ---- */

typedef struct Reading {
    Taking *taking;
    Tree *tree;
    size_t *indices; /* of the files to read */
    bool *gone;      /* one for each entry */
    size_t count;
    atomic_size_t moved; /* files that changed between the scan and the end of their reading */
    _Atomic(const char *) mover;
    Parent parents[PARALLEL_WORKERS_MAX];
} Reading;

static bool is_unread(const TreeEntry *entry) {
    static const Digest unread;
    return digest_equal(&entry->digest, &unread);
}

static TreeStamp stamp_of(const struct stat *status) {
    return (TreeStamp){status->st_ino, (int64_t)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec,
                       (int64_t)status->st_ctim.tv_sec * 1000000000 + status->st_ctim.tv_nsec};
}

static bool same_stamp(const TreeStamp *a, const TreeStamp *b) {
    return a->inode == b->inode && a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}

static void note_moved(Reading *reading, const TreeEntry *entry) {
    atomic_fetch_add(&reading->moved, 1);
    atomic_store(&reading->mover, entry->path);
}

static void note_put(Taking *taking, const StorePut *put) {
    if (put->settled) return;
    pthread_mutex_lock(&taking->guard);
    digest_list_add(&taking->unsettled, &put->digest);
    taking->stored_objects += put->stored;
    taking->stored_bytes += put->stored_bytes;
    pthread_mutex_unlock(&taking->guard);
}

/* 1 when it is no longer there, or no longer a file. */
static int open_file(Parent *parent, const TreeEntry *entry, int *out, struct stat *status, Error *error) {
    const char *name;
    int folder = parent_open(parent, entry->path, &name);
    FD_AUTO fd = folder < 0 ? -1 : openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENXIO)) return 1;
    if (fd < 0 || fstat(fd, status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", entry->path);
    if (!S_ISREG(status->st_mode)) return 1;
    *out = fd_take(&fd);
    return 0;
}

/* Store the content and make the entry say what was stored. */
static int store_file(Reading *reading, size_t index, unsigned worker, Error *error) {
    Taking *taking = reading->taking;
    TreeEntry *entry = &reading->tree->entries[index];
    if (!is_unread(entry) && store_is_proved(taking->store, &entry->digest)) return 0;
    struct stat before, after;
    StorePut put;
    FD_AUTO fd = -1;
    int result = open_file(&reading->parents[worker], entry, &fd, &before, error);
    if (result < 0) return -1;
    if (result == 1) {
        reading->gone[index] = true;
        note_moved(reading, entry);
        return 0;
    }
    if (!taking->rooms[worker]) taking->rooms[worker] = store_room_new();
    if (store_put(taking->store, taking->rooms[worker], fd, taking->spec->wish.cancel, &put, error) < 0)
        return error_prefix(error, "cannot back up %s", entry->path);
    if (fstat(fd, &after) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot look at %s", entry->path);
    note_put(taking, &put);
    TreeStamp stamp = stamp_of(&after);
    entry->digest = put.digest;
    if (!same_stamp(&stamp, &entry->stamp) || put.size != entry->size) {
        entry->stamp = (TreeStamp){stamp.inode, stamp.modified_ns, 0};
        entry->size = put.size;
        entry->mode = after.st_mode & 07777;
        entry->uid = after.st_uid;
        entry->gid = after.st_gid;
        note_moved(reading, entry);
    }
    return progress_add(&taking->progress, put.size, error);
}

static int store_batch(size_t number, unsigned worker, void *context, Error *error) {
    Reading *reading = context;
    for (size_t i = number * BATCH; i < reading->count && i < (number + 1) * BATCH; i++)
        if (store_file(reading, reading->indices[i], worker, error) < 0) return -1;
    return 0;
}

/* Drop the entries that went while we read, and further names of files that did. */
static int drop_gone(Reading *reading, Error *error) {
    Tree *tree = reading->tree;
    for (size_t i = 0; i < tree->count; i++) {
        if (tree->entries[i].type != TREE_HARDLINK) continue;
        const TreeEntry *target = tree_find(tree, tree->entries[i].target);
        if (target && reading->gone[target - tree->entries]) reading->gone[i] = true;
    }
    size_t kept = 0;
    for (size_t i = 0; i < tree->count; i++)
        if (!reading->gone[i]) tree->entries[kept++] = tree->entries[i];
    tree->count = kept;
    return tree_finish(tree, error); /* sizes may have changed */
}

/* Objects inherited from a prior point are leaned on as they are only inside the window; before it, one that
 * is missing or looks other than when it was proved is stored again, so that a damaged store heals. */
static bool trusts_prior(const Taking *taking) {
    return taking->prior_dir >= 0 && taking->spec->kind != RESTORE_POINT_PREPARE;
}

static int read_files(Taking *taking, Tree *tree, Reading *reading, Error *error) {
    *reading = (Reading){.taking = taking, .tree = tree};
    reading->indices = calloc(tree->count + 1, sizeof *reading->indices);
    reading->gone = calloc(tree->count + 1, sizeof *reading->gone);
    if (!reading->indices || !reading->gone) abort();
    for (size_t i = 0; i < tree->count; i++) {
        const TreeEntry *entry = &tree->entries[i];
        if (entry->type != TREE_FILE) continue;
        if (is_unread(entry) || !trusts_prior(taking)) reading->indices[reading->count++] = i;
        if (is_unread(entry)) taking->progress.total += entry->size;
    }
    for (unsigned i = 0; i < PARALLEL_WORKERS_MAX; i++) parent_init(&reading->parents[i], taking->root);
    int result =
        parallel_for((reading->count + BATCH - 1) / BATCH, parallel_workers(), store_batch, reading, error);
    for (unsigned i = 0; i < PARALLEL_WORKERS_MAX; i++) parent_close(&reading->parents[i]);
    if (result == 0 && atomic_load(&reading->moved) > 0) result = drop_gone(reading, error);
    free(reading->indices);
    free(reading->gone);
    return result;
}

/* ---- one part ---- */

/* The kernel stamps files with this clock: a change from now on gets this time or a later one. */
static int64_t file_clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What changed since just before the scan may change again within the same tick of that clock, or through a
 * memory map that is already dirty, without showing it. */
static void doubt_recent(Tree *tree, int64_t scan_ns) {
    for (size_t i = 0; i < tree->count; i++) {
        TreeStamp *stamp = &tree->entries[i].stamp;
        if (stamp->changed_ns >= scan_ns) stamp->changed_ns = 0;
        if (stamp->modified_ns == 0) stamp->modified_ns = 1; /* 1970 itself; 0 means unknown */
    }
}

static int scan_part(Taking *taking, const Scope *scope, const Tree *prior, Tree **out, int64_t *scan_ns,
                     Error *error) {
    *scan_ns = file_clock_ns();
    if (taking->spec->kind == RESTORE_POINT_PREPARE && scope_sync(taking->root, scope, error) < 0) return -1;
    TreeScan scan = {.prior = prior,
                     .skip_special = true,
                     .stamps = true,
                     .unread = true,
                     .cancel = taking->spec->wish.cancel};
    TREE_AUTO tree = NULL;
    if (scope_scan(taking->root, scope, &scan, true, &tree, error) < 0) return -1;
    if (taking->spec->kind != RESTORE_POINT_ASIDE && scope_refuse_links(scope, tree, error) < 0) return -1;
    *out = pointer_take(&tree);
    return 0;
}

/* NULL when the prior point has no such part, or it cannot be read: then everything is read anew. */
static const Tree *prior_tree(Store *store, const RestorePointSpec *spec, const char *name) {
    RestorePointPart *part = spec->prior ? restore_point_part(spec->prior, name) : NULL;
    return part && restore_point_read_tree(store, spec->prior, part, NULL) == 0 ? part->tree : NULL;
}

/* Read until nothing moves — or, while the service may be running, once. */
static int take_part(Taking *taking, RestorePointPart *part, Error *error) {
    const Scope scope = {part->paths, part->path_count};
    const Tree *prior = prior_tree(taking->store, taking->spec, part->name);
    TREE_AUTO tree = NULL;
    const char *mover = NULL;
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        TREE_AUTO now = NULL;
        Reading reading;
        int64_t scan_ns;
        if (scan_part(taking, &scope, tree ? tree : prior, &now, &scan_ns, error) < 0 ||
            read_files(taking, now, &reading, error) < 0)
            return -1;
        doubt_recent(now, scan_ns);
        tree_free(tree);
        tree = pointer_take(&now);
        mover = atomic_load(&reading.mover);
        if (!mover || taking->spec->kind == RESTORE_POINT_PREPARE) {
            part->tree = pointer_take(&tree);
            return 0;
        }
    }
    error_set(error, ERROR_REFUSED, "%s changes while it is read", mover);
    return error_hint(error, "stop what writes to it, then try again");
}

/* ---- what is the same as in the prior point ---- */

static bool same_entry(const TreeEntry *a, const TreeEntry *b) {
    return a->type == b->type && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
           a->size == b->size && a->sparse == b->sparse && digest_equal(&a->digest, &b->digest) &&
           !a->target == !b->target && (!a->target || strcmp(a->target, b->target) == 0) &&
           tree_same_xattrs(a, b);
}

/* Mark what is fresh, and tell which files of the prior point may be linked. */
static RestorePointReuse hold_against_prior(Taking *taking, RestorePointPart *part,
                                            const RestorePointPart *prior) {
    const Tree *now = part->tree, *then = prior->tree;
    RestorePointReuse reuse = {taking->prior_dir, prior, now->count == then->count,
                               now->count == then->count};
    bool *fresh = ARENA_ARRAY(taking->point->arena, now->count + 1, bool);
    size_t j = 0;
    for (size_t i = 0; i < now->count; i++) {
        while (j < then->count && strcmp(then->entries[j].path, now->entries[i].path) < 0) j++;
        bool there = j < then->count && strcmp(then->entries[j].path, now->entries[i].path) == 0;
        fresh[i] = !there || !same_entry(&now->entries[i], &then->entries[j]);
        if (fresh[i]) reuse.same_tree = reuse.same_stamps = false;
        if (there && !same_stamp(&now->entries[i].stamp, &then->entries[j].stamp)) reuse.same_stamps = false;
    }
    if (taking->spec->prior->proof.time_ms != 0) part->fresh = fresh;
    taking->point->prior_sound = taking->spec->prior->sound;
    return reuse;
}

static bool same_now(const TreeEntry *a, const TreeEntry *b) {
    bool timed = a->type == TREE_FILE || a->type == TREE_DIRECTORY || a->type == TREE_SYMLINK;
    return same_entry(a, b) && (!timed || a->stamp.modified_ns == b->stamp.modified_ns);
}

/* Both are sorted: one walk through the two. The folders above are not this part's. */
static size_t count_differences(const RestorePointPart *part, const Tree *then) {
    const Scope scope = {part->paths, part->path_count};
    const Tree *now = part->tree;
    size_t count = 0, i = 0, j = 0;
    while (i < now->count || j < then->count) {
        const TreeEntry *is = i < now->count ? &now->entries[i] : NULL;
        const TreeEntry *was = j < then->count ? &then->entries[j] : NULL;
        int order = !is ? 1 : !was ? -1 : strcmp(is->path, was->path);
        i += order <= 0;
        j += order >= 0;
        const TreeEntry *entry = order > 0 ? was : is;
        assert(entry);
        if (order == 0 && was && same_now(entry, was)) continue;
        count += scope_covers(&scope, entry->path);
    }
    return count;
}

static void count_all_differences(const Taking *taking) {
    static const Tree nothing;
    size_t count = 0;
    for (size_t i = 0; i < taking->point->part_count; i++) {
        const RestorePointPart *part = &taking->point->parts[i];
        const Tree *prior = prior_tree(taking->store, taking->spec, part->name);
        count += count_differences(part, prior ? prior : &nothing);
    }
    *taking->spec->differences = count;
}

static int write_part(Taking *taking, int dir, RestorePointPart *part, Error *error) {
    part->entry_count = part->tree->count;
    part->size_bytes = part->tree->total_size;
    for (size_t i = 0; i < part->tree->count; i++)
        part->file_count += part->tree->entries[i].type == TREE_FILE;
    const RestorePointPart *prior =
        taking->prior_dir >= 0 ? restore_point_part(taking->spec->prior, part->name) : NULL;
    if (!prior || !prior->tree) return restore_point_write_part(dir, part, NULL, error);
    RestorePointReuse reuse = hold_against_prior(taking, part, prior);
    return restore_point_write_part(dir, part, &reuse, error);
}

/* ---- publishing ---- */

static int write_head(Taking *taking, int dir, Error *error) {
    taking->point->stored_objects = taking->stored_objects;
    taking->point->stored_bytes = taking->stored_bytes;
    FREE_AUTO char *text = restore_point_head_text(taking->point);
    taking->point->head_digest = digest_of(text, strlen(text));
    return file_replace(dir, "point.json", text, strlen(text), 0600, error);
}

static int write_files(Taking *taking, const char *name, Error *error) {
    FD_AUTO dir = -1;
    if (file_open_dir_beneath(store_temporary_dir(taking->store), name, 0700, &dir, error) < 0) return -1;
    for (size_t i = 0; i < taking->point->part_count; i++)
        if (write_part(taking, dir, &taking->point->parts[i], error) < 0) return -1;
    return write_head(taking, dir, error);
}

static int refuse_existing(const char *id, Error *error) {
    return error_set(error, ERROR_REFUSED, "there is a restore point %s already", id);
}

/* Visible from one moment to the next, when all it needs is durable. */
static int publish(Taking *taking, Error *error) {
    Store *store = taking->store;
    char name[STORE_NAME_SIZE];
    store_temporary_name(store, name);
    digest_list_settle(&taking->unsettled);
    int result = store_sync(store, taking->unsettled.items, taking->unsettled.count, error);
    if (result == 0) result = write_files(taking, name, error);
    if (result == 0 && renameat2(store_temporary_dir(store), name, store_points_dir(store), taking->point->id,
                                 RENAME_NOREPLACE) != 0)
        result = errno == EEXIST ? refuse_existing(taking->point->id, error)
                                 : error_errno(error, ERROR_SYSTEM, errno, "cannot rename");
    if (result == 0) return file_sync_dir(store_points_dir(store), error);
    file_remove_tree(store_temporary_dir(store), name, NULL);
    return -1;
}

/* ---- taking ---- */

/* The prior point protects its objects from being collected — if it is still there, and the one we think. */
static int open_prior(Store *store, const RestorePoint *prior) {
    RESTORE_POINT_AUTO now = NULL;
    if (!prior || restore_point_load(store, prior->id, &now, NULL) < 0 ||
        !digest_equal(&now->head_digest, &prior->head_digest))
        return -1;
    return file_open_no_links(store_points_dir(store), prior->id, O_RDONLY | O_DIRECTORY, 0);
}

static int take(Taking *taking, Error *error) {
    RestorePoint *point = taking->point;
    int exists = file_exists(store_points_dir(taking->store), point->id, error);
    if (exists < 0) return -1;
    if (exists) return refuse_existing(point->id, error);
    for (size_t i = 0; i < point->part_count; i++)
        if (take_part(taking, &point->parts[i], error) < 0) return -1;
    if (taking->spec->differences) count_all_differences(taking);
    if (taking->spec->differences && *taking->spec->differences == 0) return 0;
    if (publish(taking, error) < 0) return -1;
    progress_end(&taking->progress);
    return 0;
}

int restore_point_take(Store *store, const RestorePointSpec *spec, RestorePoint **out, Error *error) {
    if (check_spec(spec, error) < 0) return -1;
    FD_AUTO lock = -1;
    if (store_lock(store, STORE_SHARED, &lock, error) < 0) return -1;
    FD_AUTO root = open(spec->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", spec->root);
    FD_AUTO prior_dir = open_prior(store, spec->prior);
    RESTORE_POINT_AUTO point = new_point(spec);
    Taking taking = {.store = store, .spec = spec, .point = point, .root = root, .prior_dir = prior_dir};
    pthread_mutex_init(&taking.guard, NULL);
    progress_begin(&taking.progress, &spec->wish, 0);
    int result = take(&taking, error);
    for (unsigned i = 0; i < PARALLEL_WORKERS_MAX; i++) store_room_free(taking.rooms[i]);
    digest_list_free(&taking.unsettled);
    pthread_mutex_destroy(&taking.guard);
    if (result < 0)
        return error_prefix(error, "cannot take the restore point %s of %s", point->id, spec->root);
    *out = spec->differences && *spec->differences == 0 ? NULL : pointer_take(&point);
    return 0;
}

/* ---- space ---- */

static uint64_t blocks_bytes(uint64_t size) { return (size + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE; }

static int add_space(int root, const RestorePointSpec *spec, const RestorePointPart *part,
                     RestorePointSpace *space, Error *error) {
    const Scope scope = {part->paths, part->path_count};
    TREE_AUTO tree = NULL;
    const RestorePointPart *prior = spec->prior ? restore_point_part(spec->prior, part->name) : NULL;
    TreeScan scan = {.prior = prior ? prior->tree : NULL,
                     .skip_special = true,
                     .unread = true,
                     .cancel = spec->wish.cancel};
    if (scope_scan(root, &scope, &scan, false, &tree, error) < 0) return -1;
    space->store_bytes += tree->count * ENTRY_SIZE;
    space->scratch_inodes += tree->count;
    for (size_t i = 0; i < tree->count; i++) {
        const TreeEntry *entry = &tree->entries[i];
        if (entry->type != TREE_FILE || !is_unread(entry)) continue;
        space->store_inodes++;
        space->store_bytes += blocks_bytes(entry->size);
        if (!entry->sparse) space->scratch_bytes += blocks_bytes(entry->size);
    }
    return 0;
}

int restore_point_space(const RestorePointSpec *spec, RestorePointSpace *out, Error *error) {
    RestorePointSpace space = {0};
    FD_AUTO root = open(spec->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", spec->root);
    for (size_t i = 0; i < spec->part_count; i++)
        if (check_part(spec, i, error) < 0 || add_space(root, spec, &spec->parts[i], &space, error) < 0)
            return -1;
    *out = space;
    return 0;
}
