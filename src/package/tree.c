#include "package/tree.h"

#include <stdlib.h>
#include <string.h>

Tree *tree_new(void) {
    Arena *arena = arena_new();
    Tree *tree = ARENA_NEW(arena, Tree);
    tree->arena = arena;
    return tree;
}

void tree_free(Tree *tree) {
    if (!tree) return;
    free(tree->entries);
    arena_free(tree->arena);
}

TreeEntry *tree_add(Tree *tree) {
    if (tree->count == tree->capacity) {
        tree->capacity = tree->capacity ? tree->capacity * 2 : 64;
        tree->entries = reallocarray(tree->entries, tree->capacity, sizeof *tree->entries);
        if (!tree->entries) abort();
    }
    TreeEntry *entry = &tree->entries[tree->count++];
    *entry = (TreeEntry){0};
    return entry;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const TreeXattr *)a)->name, ((const TreeXattr *)b)->name);
}

void tree_xattrs_sort(TreeXattr *xattrs, size_t count) {
    qsort(xattrs, count, sizeof *xattrs, compare_names);
}

bool tree_same_xattrs(const TreeEntry *a, const TreeEntry *b) {
    if (a->xattr_count != b->xattr_count) return false;
    for (uint32_t i = 0; i < a->xattr_count; i++) {
        const TreeXattr *one = &a->xattrs[i], *two = &b->xattrs[i];
        if (one->size != two->size || strcmp(one->name, two->name) != 0) return false;
        if (one->size > 0 && memcmp(one->value, two->value, one->size) != 0) return false;
    }
    return true;
}

/* The first `length` bytes of `path` as a path of their own. */
static TreeEntry *find_part(const Tree *tree, const char *path, size_t length) {
    size_t low = 0, high = tree->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *candidate = tree->entries[middle].path;
        int order = strncmp(candidate, path, length);
        if (order == 0 && candidate[length] != '\0') order = 1;
        if (order == 0) return &tree->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

TreeEntry *tree_find(const Tree *tree, const char *path) { return find_part(tree, path, strlen(path)); }

static int compare_paths(const void *a, const void *b) {
    return strcmp(((const TreeEntry *)a)->path, ((const TreeEntry *)b)->path);
}

static void sort(Tree *tree) {
    for (size_t i = 1; i < tree->count; i++) {
        if (compare_paths(&tree->entries[i - 1], &tree->entries[i]) <= 0) continue;
        qsort(tree->entries, tree->count, sizeof *tree->entries, compare_paths);
        return;
    }
}

/* *folder remembers the last folder found: neighbours mostly share it. */
static int check_folder(const Tree *tree, const TreeEntry *entry, const TreeEntry **folder, Error *error) {
    const char *slash = strrchr(entry->path, '/');
    if (!slash) return 0;
    size_t length = (size_t)(slash - entry->path);
    const TreeEntry *found = *folder;
    if (!found || strncmp(found->path, entry->path, length) != 0 || found->path[length] != '\0')
        found = find_part(tree, entry->path, length);
    if (!found && tree->foreign_links) return 0;
    if (!found || found->type != TREE_DIRECTORY)
        return error_set(error, ERROR_INVALID, "%s stands in %.*s, which is no folder of the tree",
                         entry->path, (int)length, entry->path);
    *folder = found;
    return 0;
}

/* Where a link leads, walked as the kernel would: `at` is the folder reached, `rest` what is still to walk.
 */
typedef struct LinkWalk {
    char at[TREE_PATH_MAX + 1];
    size_t at_length;
    char rest[2 * TREE_PATH_MAX + 2];
} LinkWalk;

enum { LINK_STEPS_MAX = 256 };

/* Put `text` and a slash before what is still to walk. */
static bool walk_insert(LinkWalk *walk, const char *text) {
    size_t length = strlen(text), rest_length = strlen(walk->rest);
    if (length + 1 + rest_length + 1 > sizeof walk->rest) return false;
    memmove(walk->rest + length + 1, walk->rest, rest_length + 1);
    memcpy(walk->rest, text, length);
    walk->rest[length] = '/';
    return true;
}

static bool walk_up(LinkWalk *walk) {
    if (walk->at_length == 0) return false;
    while (walk->at_length > 0 && walk->at[walk->at_length - 1] != '/') walk->at_length--;
    if (walk->at_length > 0) walk->at_length--;
    return true;
}

static bool walk_down(const Tree *tree, LinkWalk *walk, const char *name, size_t length) {
    size_t before = walk->at_length;
    if (before + 1 + length > TREE_PATH_MAX) return false;
    if (before > 0) walk->at[walk->at_length++] = '/';
    memcpy(walk->at + walk->at_length, name, length);
    walk->at_length += length;
    const TreeEntry *entry = find_part(tree, walk->at, walk->at_length);
    if (!entry || entry->type != TREE_SYMLINK) return true;
    walk->at_length = before;
    return entry->target[0] != '/' && walk_insert(walk, entry->target);
}

/* False too for a link that takes too many steps: loops lead nowhere. */
static bool link_stays_inside(const Tree *tree, const TreeEntry *link) {
    LinkWalk walk = {.rest = ""};
    const char *slash = strrchr(link->path, '/');
    walk.at_length = slash ? (size_t)(slash - link->path) : 0;
    memcpy(walk.at, link->path, walk.at_length);
    if (link->target[0] == '/' || !walk_insert(&walk, link->target)) return false;
    for (int steps = 0; walk.rest[0]; steps++) {
        char name[TREE_PATH_MAX + 1];
        size_t length = strcspn(walk.rest, "/");
        if (steps == LINK_STEPS_MAX || length > TREE_PATH_MAX) return false;
        memcpy(name, walk.rest, length);
        name[length] = '\0';
        memmove(walk.rest, walk.rest + length + 1, strlen(walk.rest + length + 1) + 1);
        if (length == 0 || strcmp(name, ".") == 0) continue;
        if (strcmp(name, "..") == 0 ? !walk_up(&walk) : !walk_down(tree, &walk, name, length)) return false;
    }
    return true;
}

static int check_links(const Tree *tree, const TreeEntry *entry, Error *error) {
    if (entry->type == TREE_HARDLINK) {
        const TreeEntry *target = tree_find(tree, entry->target);
        if (!target || target >= entry || target->type != TREE_FILE)
            return error_set(error, ERROR_INVALID,
                             "%s is a hard link to %s, which is no earlier file of the tree", entry->path,
                             entry->target);
    }
    if (entry->type == TREE_SYMLINK && !tree->foreign_links && !link_stays_inside(tree, entry))
        return error_set(error, ERROR_INVALID, "%s is a link to %s, which leads out of the tree or nowhere",
                         entry->path, entry->target);
    return 0;
}

int tree_finish(Tree *tree, Error *error) {
    if (tree->count > TREE_ENTRIES_MAX)
        return error_set(error, ERROR_INVALID, "the tree has more than %d entries", (int)TREE_ENTRIES_MAX);
    sort(tree);
    uint64_t total = 0;
    const TreeEntry *folder = NULL;
    for (size_t i = 0; i < tree->count; i++) {
        const TreeEntry *entry = &tree->entries[i];
        if (i > 0 && strcmp(entry[-1].path, entry->path) == 0)
            return error_set(error, ERROR_INVALID, "%s is in the tree twice", entry->path);
        if (check_folder(tree, entry, &folder, error) < 0) return -1;
        if (check_links(tree, entry, error) < 0) return -1;
        if (entry->type != TREE_FILE) continue;
        if (entry->size > TREE_FILE_SIZE_MAX || (total += entry->size) > TREE_TOTAL_SIZE_MAX)
            return error_set(error, ERROR_INVALID,
                             "%s makes the tree too large: a file may have %d GiB, all %d GiB", entry->path,
                             (int)(TREE_FILE_SIZE_MAX >> 30), (int)(TREE_TOTAL_SIZE_MAX >> 30));
    }
    tree->total_size = total;
    return 0;
}
