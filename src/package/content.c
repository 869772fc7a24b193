#include "package/content.h"

#include "base/cleanup.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* By digest, then in the order of the tree: qsort_r's context is the tree. */
static int compare_contents(const void *a, const void *b, void *context) {
    const Tree *tree = context;
    uint32_t one = *(const uint32_t *)a, two = *(const uint32_t *)b;
    int order = memcmp(tree->entries[one].digest.bytes, tree->entries[two].digest.bytes, DIGEST_SIZE);
    return order ? order : one < two ? -1 : 1;
}

/* The files that are not empty; the caller frees. */
static uint32_t *list_files(const Tree *tree, size_t *count_out) {
    uint32_t *files = calloc(tree->count + 1, sizeof *files);
    if (!files) abort();
    size_t count = 0;
    for (size_t i = 0; i < tree->count; i++)
        if (tree->entries[i].type == TREE_FILE && tree->entries[i].size > 0) files[count++] = (uint32_t)i;
    *count_out = count;
    return files;
}

/* Chain the entries of one content, and mark those that are not the first. */
static int chain(const Tree *tree, const uint32_t *files, size_t count, uint32_t *next, bool *repeated,
                 Error *error) {
    for (size_t i = 1; i < count; i++) {
        const TreeEntry *previous = &tree->entries[files[i - 1]], *entry = &tree->entries[files[i]];
        if (!digest_equal(&previous->digest, &entry->digest)) continue;
        if (previous->size != entry->size)
            return error_set(error, ERROR_INVALID, "%s and %s are said to have one content and two sizes",
                             previous->path, entry->path);
        next[files[i - 1]] = files[i];
        repeated[files[i]] = true;
    }
    return 0;
}

static void place(Content *content, const bool *repeated) {
    const Tree *tree = content->tree;
    for (size_t i = 0; i < tree->count; i++) {
        const TreeEntry *entry = &tree->entries[i];
        if (entry->type != TREE_FILE || entry->size == 0 || repeated[i]) continue;
        content->pieces[content->count++] = (ContentPiece){content->size, entry->size, (uint32_t)i};
        content->size += entry->size;
    }
}

int content_new(const Tree *tree, Content **out, Error *error) {
    CONTENT_AUTO content = calloc(1, sizeof *content);
    FREE_AUTO bool *repeated = calloc(tree->count + 1, sizeof *repeated);
    size_t count;
    FREE_AUTO uint32_t *files = list_files(tree, &count);
    if (!content || !repeated) abort();
    content->tree = tree;
    content->pieces = calloc(count + 1, sizeof *content->pieces);
    content->next = calloc(tree->count + 1, sizeof *content->next);
    if (!content->pieces || !content->next) abort();
    for (size_t i = 0; i < tree->count; i++) content->next[i] = CONTENT_NONE;
    qsort_r(files, count, sizeof *files, compare_contents, (void *)tree);
    if (chain(tree, files, count, content->next, repeated, error) < 0) return -1;
    place(content, repeated);
    *out = pointer_take(&content);
    return 0;
}

void content_free(Content *content) {
    if (!content) return;
    free(content->pieces);
    free(content->next);
    free(content);
}

size_t content_piece_at(const Content *content, uint64_t offset) {
    assert(offset < content->size);
    size_t low = 0, high = content->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (content->pieces[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}
