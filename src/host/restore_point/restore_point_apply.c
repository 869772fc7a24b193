/* Applying a restore point: plan every part, verify every object, and only then touch the target. */
#include "base/cleanup.h"
#include "base/file.h"
#include "host/restore_point/restore_point_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One part, or the piece of it that was asked for. */
typedef struct Piece {
    Scope scope;
    Tree tree;         /* entries are owned here, their strings by the part */
    const Tree *known; /* what stands in the target, or NULL */
    Restore *restore;
} Piece;

typedef struct Applying {
    Store *store;
    RestorePoint *point;
    const RestorePointApply *options;
    Arena *arena;
    int dir;
    bool is_missing; /* the target, when only looking */
    Piece pieces[RESTORE_POINT_PARTS_MAX];
    size_t piece_count;
    Progress progress;
} Applying;

/* What of the part's scope lies in `only`, or holds it. */
static Scope narrow(Arena *arena, const RestorePointPart *part, const char *only) {
    const Scope all = {part->paths, part->path_count};
    if (!only) return all;
    const char **paths = ARENA_ARRAY(arena, part->path_count + 1, const char *);
    size_t count = 0;
    if (scope_covers(&all, only)) paths[count++] = only;
    for (size_t i = 0; i < part->path_count; i++)
        if (strcmp(part->paths[i], only) != 0 && scope_covers(&(Scope){&only, 1}, part->paths[i]))
            paths[count++] = part->paths[i];
    return (Scope){paths, count};
}

static bool is_above(const Scope *scope, const TreeEntry *entry) {
    if (entry->type != TREE_DIRECTORY) return false;
    for (size_t i = 0; i < scope->count; i++)
        if (scope_covers(&(Scope){&entry->path, 1}, scope->paths[i])) return true;
    return false;
}

/* A name whose file is not asked for becomes a file of its own. */
static TreeEntry keep_entry(const Tree *tree, const Scope *scope, const TreeEntry *entry) {
    if (entry->type != TREE_HARDLINK || scope_covers(scope, entry->target)) return *entry;
    const TreeEntry *target = tree_find(tree, entry->target);
    TreeEntry file = target ? *target : *entry;
    file.path = entry->path;
    return file;
}

static int add_piece(Applying *applying, RestorePointPart *part, Error *error) {
    Piece *piece = &applying->pieces[applying->piece_count];
    piece->scope = narrow(applying->arena, part, applying->options->only);
    if (piece->scope.count == 0) return 0;
    if (restore_point_read_tree(applying->store, applying->point, part, error) < 0) return -1;
    const RestorePoint *known = applying->options->known;
    const RestorePointPart *same = known ? restore_point_part(known, part->name) : NULL;
    piece->known = same ? same->tree : NULL;
    piece->tree = (Tree){.foreign_links = true, .entries = calloc(part->tree->count + 1, sizeof(TreeEntry))};
    if (!piece->tree.entries) abort();
    applying->piece_count++;
    for (size_t i = 0; i < part->tree->count; i++) {
        const TreeEntry *entry = &part->tree->entries[i];
        if (!scope_covers(&piece->scope, entry->path) && !is_above(&piece->scope, entry)) continue;
        piece->tree.entries[piece->tree.count++] = keep_entry(part->tree, &piece->scope, entry);
        if (entry->type == TREE_FILE) piece->tree.total_size += entry->size;
    }
    return 0;
}

static int choose(Applying *applying, Error *error) {
    const RestorePointApply *options = applying->options;
    RestorePoint *point = applying->point;
    if (options->part && !restore_point_part(point, options->part))
        return error_set(error, ERROR_INVALID, "it has no part %s", options->part);
    for (size_t i = 0; i < point->part_count; i++) {
        if (options->part && strcmp(options->part, point->parts[i].name) != 0) continue;
        if (add_piece(applying, &point->parts[i], error) < 0) return -1;
    }
    if (applying->piece_count == 0 && options->only)
        return error_set(error, ERROR_INVALID, "%s is in none of its parts", options->only);
    return 0;
}

static int plan(Applying *applying, Error *error) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < applying->piece_count; i++) {
        Piece *piece = &applying->pieces[i];
        RestoreSpec spec = {.store = applying->store,
                            .tree = &piece->tree,
                            .scope = piece->scope,
                            .found = piece->known,
                            .scratch = applying->is_missing,
                            .on_change = applying->options->on_change,
                            .change_context = applying->options->change_context,
                            .progress = &applying->progress};
        if (restore_plan(applying->dir, &spec, &piece->restore, error) < 0) return -1;
        bytes += restore_counts(piece->restore)->written_bytes;
    }
    applying->progress.total = bytes;
    return 0;
}

static void add_counts(RestoreCounts *sum, const RestoreCounts *counts) {
    sum->written_files += counts->written_files;
    sum->written_bytes += counts->written_bytes;
    sum->removed += counts->removed;
    sum->replaced_bytes += counts->replaced_bytes;
    sum->removed_bytes += counts->removed_bytes;
    sum->other += counts->other;
    sum->unchanged += counts->unchanged;
}

static int apply(Applying *applying, Error *error) {
    if (choose(applying, error) < 0 || plan(applying, error) < 0) return -1;
    if (applying->options->mode == RESTORE_LOOK) return 0;
    for (size_t i = 0; i < applying->piece_count; i++)
        if (restore_verify(applying->pieces[i].restore, error) < 0) return -1;
    for (size_t i = 0; i < applying->piece_count; i++)
        if (restore_execute(applying->pieces[i].restore, error) < 0) return -1;
    progress_end(&applying->progress);
    return 0;
}

static int open_target(Applying *applying, const char *root, Error *error) {
    if (applying->options->mode == RESTORE_EXACT) return file_open_dir(root, &applying->dir, error);
    applying->dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    applying->is_missing = applying->dir < 0 && errno == ENOENT;
    if (applying->dir >= 0 || applying->is_missing) return 0;
    return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", root);
}

int restore_point_apply(Store *store, RestorePoint *point, const RestorePointApply *options,
                        RestoreCounts *counts, Error *error) {
    const char *root = options->root ? options->root : point->root;
    FD_AUTO lock = -1;
    ARENA_AUTO arena = arena_new();
    if (store_lock(store, STORE_SHARED, &lock, error) < 0) return -1;
    Applying applying = {.store = store, .point = point, .options = options, .arena = arena, .dir = -1};
    progress_begin(&applying.progress, &options->wish, 0);
    int result = open_target(&applying, root, error);
    if (result == 0) result = apply(&applying, error);
    RestoreCounts sum = {0};
    for (size_t i = 0; i < applying.piece_count; i++) {
        if (applying.pieces[i].restore) add_counts(&sum, restore_counts(applying.pieces[i].restore));
        restore_free(applying.pieces[i].restore);
        free(applying.pieces[i].tree.entries);
    }
    if (applying.dir >= 0) close(applying.dir);
    if (result < 0)
        return error_prefix(error, "cannot restore from the restore point %s to %s", point->id, root);
    if (counts) *counts = sum;
    return 0;
}
