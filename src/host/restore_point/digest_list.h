/* DigestList: many digests, sorted and each once, to look them up. Zero-initialise it. */
#pragma once
#include "base/digest.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct DigestList {
    Digest *items;
    size_t count, capacity;
    size_t sorted; /* the first so many are in order and each there once */
} DigestList;

void digest_list_add(DigestList *list, const Digest *digest);
/* Sort and drop what is there twice; do it after adding and before looking up. */
void digest_list_settle(DigestList *list);
bool digest_list_has(const DigestList *list, const Digest *digest);
void digest_list_free(DigestList *list);
#define DIGEST_LIST_AUTO __attribute__((cleanup(digest_list_free))) DigestList
