/* Planning: holding the target against the tree. Nothing is written here; restore_execute.c does that. */
#include "host/restore_point/restore.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/parallel.h"
#include "host/restore_point/restore_plan.h"
#include "package/parent.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool restore_is_unread(const TreeEntry *entry) {
    static const Digest unread;
    return digest_equal(&entry->digest, &unread);
}

static bool same_metadata(const Restore *restore, const TreeEntry *said, const TreeEntry *is) {
    if (said->mode != is->mode || !tree_same_xattrs(said, is)) return false;
    if (restore->is_root && (said->uid != is->uid || said->gid != is->gid)) return false;
    return said->stamp.modified_ns == 0 || said->stamp.modified_ns == is->stamp.modified_ns;
}

/* May a file with the right content be set right where it stands? Not with root's power where it could be a
 * hard link to a file that the owner of its folder may not touch: only its time is, which harms nobody. */
static bool may_stay(const Restore *restore, const TreeEntry *said, const TreeEntry *is) {
    if (!restore->is_root) return true;
    if (said->uid != is->uid || said->gid != is->gid) return false;
    return said->uid != 0 || (said->mode == is->mode && tree_same_xattrs(said, is));
}

static RestoreAction action_for_content(const Restore *restore, const TreeEntry *said, const TreeEntry *is) {
    if (same_metadata(restore, said, is)) return RESTORE_RIGHT;
    return may_stay(restore, said, is) ? RESTORE_METADATA : RESTORE_WRITE;
}

/* What is to be done for `said`, where `is` stands in its place (NULL: nothing). Content that only reading
 * can tell is RESTORE_READ for now. */
static RestoreAction action_for(const Restore *restore, const TreeEntry *said, const TreeEntry *is) {
    if (said->type == TREE_DIRECTORY) {
        if (!is || is->type != TREE_DIRECTORY) return RESTORE_MAKE;
        return same_metadata(restore, said, is) ? RESTORE_RIGHT : RESTORE_METADATA;
    }
    if (said->type != TREE_FILE) {
        bool same = is && is->type == said->type && strcmp(is->target, said->target) == 0;
        if (said->type == TREE_SYMLINK) same = same && same_metadata(restore, said, is);
        return same ? RESTORE_RIGHT : RESTORE_LINK;
    }
    if (!is || is->type != TREE_FILE || is->size != said->size) return RESTORE_WRITE;
    if (restore_is_unread(is)) return RESTORE_READ;
    if (!digest_equal(&is->digest, &said->digest)) return RESTORE_WRITE;
    return action_for_content(restore, said, is);
}

static void add_removal(Restore *restore, const TreeEntry *found) {
    restore->removals[restore->removal_count++] = (size_t)(found - restore->found->entries);
}

/* A scan without a prefix of its own lists nothing else; what a caller knows may include folders above. */
static bool is_in_scope(const Restore *restore, const TreeEntry *found) {
    return restore->found == restore->scanned || scope_covers(&restore->spec.scope, found->path);
}

/* Both are sorted: one walk through the two. */
static void hold_against(Restore *restore) {
    const Tree *tree = restore->spec.tree, *found = restore->found;
    size_t i = 0, j = 0;
    while (i < tree->count || j < found->count) {
        const TreeEntry *said = i < tree->count ? &tree->entries[i] : NULL;
        const TreeEntry *is = j < found->count ? &found->entries[j] : NULL;
        assert(said || is);
        int order = !said ? 1 : !is ? -1 : strcmp(said->path, is->path);
        if (order <= 0) restore->actions[i] = (uint8_t)action_for(restore, said, order == 0 ? is : NULL);
        bool in_the_way = order == 0 && said->type != is->type &&
                          (said->type == TREE_DIRECTORY || is->type == TREE_DIRECTORY);
        bool foreign = order > 0 && (is->type == TREE_SPECIAL || !is_in_scope(restore, is));
        if (in_the_way || (order > 0 && !foreign)) add_removal(restore, is);
        i += order <= 0;
        j += order >= 0;
    }
}

/* Folders above the scope are ours to make, not to change. */
static int look_above(Restore *restore, Error *error) {
    const Tree *tree = restore->spec.tree;
    for (size_t i = 0; i < tree->count && !restore->spec.scratch; i++) {
        const TreeEntry *entry = &tree->entries[i];
        if (entry->type != TREE_DIRECTORY || scope_covers(&restore->spec.scope, entry->path)) continue;
        FD_AUTO fd = file_open_no_links(restore->dir, entry->path, O_PATH | O_DIRECTORY, 0);
        if (fd < 0 && errno != ENOENT)
            return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", entry->path);
        restore->actions[i] = fd < 0 ? RESTORE_MAKE : RESTORE_RIGHT;
    }
    return 0;
}

/* ---- contents that only reading can tell ---- */

typedef struct Reading {
    Restore *restore;
    size_t *indices;
    size_t count;
    Parent parents[PARALLEL_WORKERS_MAX];
} Reading;

static int read_one(size_t number, unsigned worker, void *context, Error *error) {
    Reading *reading = context;
    Restore *restore = reading->restore;
    size_t index = reading->indices[number];
    const TreeEntry *said = &restore->spec.tree->entries[index];
    const char *name;
    Digest digest;
    int folder = parent_open(&reading->parents[worker], said->path, &name);
    FD_AUTO fd = folder < 0 ? -1 : openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", said->path);
    if (digest_of_fd(fd, &digest, NULL, error) < 0) return error_prefix(error, "cannot read %s", said->path);
    const TreeEntry *is = tree_find(restore->found, said->path);
    bool right = digest_equal(&digest, &said->digest);
    restore->actions[index] = (uint8_t)(right ? action_for_content(restore, said, is) : RESTORE_WRITE);
    return progress_add(restore->spec.progress, 0, error);
}

static int read_unknown(Restore *restore, Error *error) {
    const Tree *tree = restore->spec.tree;
    Reading reading = {.restore = restore, .indices = calloc(tree->count + 1, sizeof(size_t))};
    if (!reading.indices) abort();
    for (size_t i = 0; i < tree->count; i++)
        if (restore->actions[i] == RESTORE_READ) reading.indices[reading.count++] = i;
    for (unsigned i = 0; i < PARALLEL_WORKERS_MAX; i++) parent_init(&reading.parents[i], restore->dir);
    int result = parallel_for(reading.count, parallel_workers(), read_one, &reading, error);
    for (unsigned i = 0; i < PARALLEL_WORKERS_MAX; i++) parent_close(&reading.parents[i]);
    free(reading.indices);
    return result;
}

/* ---- consequences ---- */

static size_t index_of(const Tree *tree, const char *path) {
    const TreeEntry *entry = tree_find(tree, path);
    return entry ? (size_t)(entry - tree->entries) : SIZE_MAX;
}

/* A name of a file that gets a new inode is linked anew. */
static void relink(Restore *restore) {
    const Tree *tree = restore->spec.tree;
    for (size_t i = 0; i < tree->count; i++) {
        if (tree->entries[i].type != TREE_HARDLINK || restore->actions[i] != RESTORE_RIGHT) continue;
        size_t target = index_of(tree, tree->entries[i].target);
        if (target != SIZE_MAX && restore->actions[target] == RESTORE_WRITE)
            restore->actions[i] = RESTORE_LINK;
    }
}

/* A folder whose names change gets another time: put its own back. */
static void touch_folder(Restore *restore, const char *path, size_t *last) {
    const Tree *tree = restore->spec.tree;
    const char *slash = strrchr(path, '/');
    if (!slash) return;
    size_t length = (size_t)(slash - path);
    const char *known = *last != SIZE_MAX ? tree->entries[*last].path : NULL;
    if (!known || strncmp(known, path, length) != 0 || known[length] != '\0') {
        FREE_AUTO char *folder = strndup(path, length);
        if (!folder) abort();
        *last = index_of(tree, folder);
    }
    if (*last == SIZE_MAX || restore->actions[*last] != RESTORE_RIGHT) return;
    if (scope_covers(&restore->spec.scope, tree->entries[*last].path))
        restore->actions[*last] = RESTORE_METADATA;
}

static void touch_folders(Restore *restore) {
    const Tree *tree = restore->spec.tree;
    size_t last = SIZE_MAX;
    for (size_t i = 0; i < tree->count; i++)
        if (restore->actions[i] != RESTORE_RIGHT && restore->actions[i] != RESTORE_METADATA)
            touch_folder(restore, tree->entries[i].path, &last);
    for (size_t i = 0; i < restore->removal_count; i++)
        touch_folder(restore, restore->found->entries[restore->removals[i]].path, &last);
}

static void count_removal(Restore *restore, const TreeEntry *found) {
    restore->counts.removed++;
    if (found->type == TREE_FILE) restore->counts.removed_bytes += found->size;
    if (restore->spec.on_change) restore->spec.on_change(restore->spec.change_context, "remove", found->path);
}

static void count_entry(Restore *restore, const TreeEntry *entry, RestoreAction action) {
    static const char *const names[] = {[RESTORE_WRITE] = "write",
                                        [RESTORE_MAKE] = "make",
                                        [RESTORE_LINK] = "link",
                                        [RESTORE_METADATA] = "metadata"};
    RestoreCounts *counts = &restore->counts;
    if (action == RESTORE_RIGHT) {
        counts->unchanged++;
        return;
    }
    if (action == RESTORE_WRITE) {
        const TreeEntry *is = tree_find(restore->found, entry->path);
        counts->written_files++;
        counts->written_bytes += entry->size;
        if (is && is->type == TREE_FILE) counts->replaced_bytes += is->size;
    } else {
        counts->other++;
    }
    if (restore->spec.on_change)
        restore->spec.on_change(restore->spec.change_context, names[action], entry->path);
}

static void count(Restore *restore) {
    const Tree *tree = restore->spec.tree;
    for (size_t i = 0; i < restore->removal_count; i++)
        count_removal(restore, &restore->found->entries[restore->removals[i]]);
    for (size_t i = 0; i < tree->count; i++)
        count_entry(restore, &tree->entries[i], (RestoreAction)restore->actions[i]);
}

/* ---- the plan ---- */

static int look_around(Restore *restore, Error *error) {
    const RestoreSpec *spec = &restore->spec;
    TreeScan scan = {.prior = spec->tree,
                     .keep_special = true,
                     .stamps = true,
                     .unread = true,
                     .cancel = spec->progress->wish.cancel};
    if (spec->scratch)
        restore->scanned = tree_new();
    else if (!spec->found &&
             scope_scan(restore->dir, &spec->scope, &scan, false, &restore->scanned, error) < 0)
        return -1;
    restore->found = restore->scanned ? restore->scanned : spec->found;
    assert(restore->found);
    restore->actions = calloc(spec->tree->count + 1, 1);
    restore->removals = calloc(restore->found->count + 1, sizeof *restore->removals);
    if (!restore->actions || !restore->removals) abort();
    hold_against(restore);
    return look_above(restore, error);
}

int restore_plan(int dir, const RestoreSpec *spec, Restore **out, Error *error) {
    RESTORE_AUTO restore = calloc(1, sizeof *restore);
    if (!restore) abort();
    restore->dir = dir;
    restore->spec = *spec;
    restore->is_root = geteuid() == 0;
    if (look_around(restore, error) < 0 || read_unknown(restore, error) < 0) return -1;
    relink(restore);
    touch_folders(restore);
    count(restore);
    *out = pointer_take(&restore);
    return 0;
}

const RestoreCounts *restore_counts(const Restore *restore) { return &restore->counts; }

void restore_free(Restore *restore) {
    if (!restore) return;
    tree_free(restore->scanned);
    free(restore->actions);
    free(restore->removals);
    for (unsigned i = 0; i < PARALLEL_WORKERS_MAX; i++) store_room_free(restore->rooms[i]);
    free(restore);
}
