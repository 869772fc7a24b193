#include "host/restore_point/digest_list.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 64 };

void digest_list_add(DigestList *list, const Digest *digest) {
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : CAPACITY_MIN;
        list->items = reallocarray(list->items, list->capacity, sizeof *list->items);
        if (!list->items) abort();
    }
    list->items[list->count++] = *digest;
}

static int compare(const void *a, const void *b) { return memcmp(a, b, DIGEST_SIZE); }

void digest_list_settle(DigestList *list) {
    if (list->sorted == list->count) return;
    qsort(list->items, list->count, sizeof *list->items, compare);
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (kept == 0 || !digest_equal(&list->items[kept - 1], &list->items[i]))
            list->items[kept++] = list->items[i];
    list->count = list->sorted = kept;
}

bool digest_list_has(const DigestList *list, const Digest *digest) {
    assert(list->sorted == list->count);
    return list->count > 0 && bsearch(digest, list->items, list->count, sizeof *list->items, compare);
}

void digest_list_free(DigestList *list) {
    free(list->items);
    *list = (DigestList){0};
}
