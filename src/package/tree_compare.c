#include "base/text.h"
#include "package/tree.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

typedef struct Comparison {
    TreeDifference on_difference;
    void *context;
    size_t count;
    bool quick, owners;
} Comparison;

static void differs(Comparison *comparison, const char *path, const char *what) {
    comparison->count++;
    if (comparison->on_difference) comparison->on_difference(comparison->context, path, what);
}

/* The first thing in which the two differ, or NULL. */
static const char *difference(const Comparison *comparison, const TreeEntry *said, const TreeEntry *is) {
    if (said->type != is->type) return TEXT("type");
    if (said->type == TREE_FILE && said->size != is->size) return TEXT("size");
    if (said->type == TREE_FILE && !comparison->quick && !digest_equal(&said->digest, &is->digest))
        return TEXT("content");
    if (said->target && strcmp(said->target, is->target) != 0) return TEXT("target");
    if (said->type == TREE_HARDLINK) return NULL;
    if (said->mode != is->mode) return TEXT("mode");
    if (comparison->owners && (said->uid != is->uid || said->gid != is->gid)) return TEXT("owner");
    if (!comparison->quick && !tree_same_xattrs(said, is)) return TEXT("attributes");
    return NULL;
}

int tree_compare(int dir, const Tree *tree, bool quick, TreeDifference on_difference, void *context,
                 size_t *count_out, Error *error) {
    TREE_AUTO disk = NULL;
    TreeScan options = {.keep_special = true, .foreign_links = true, .quick = quick};
    if (tree_scan(dir, &options, &disk, error) < 0) return -1;
    Comparison comparison = {on_difference, context, 0, quick, geteuid() == 0};
    size_t i = 0, j = 0;
    while (i < tree->count || j < disk->count) {
        const TreeEntry *said = i < tree->count ? &tree->entries[i] : NULL;
        const TreeEntry *is = j < disk->count ? &disk->entries[j] : NULL;
        assert(said || is);
        int order = !said ? 1 : !is ? -1 : strcmp(said->path, is->path);
        if (order < 0) {
            differs(&comparison, said->path, TEXT("missing"));
        } else if (order > 0) {
            differs(&comparison, is->path, TEXT("unexpected"));
        } else {
            const char *what = difference(&comparison, said, is);
            if (what) differs(&comparison, said->path, what);
        }
        i += order <= 0;
        j += order >= 0;
    }
    *count_out = comparison.count;
    return 0;
}
