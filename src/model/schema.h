/* Schema: what a document may hold, as tables. One table decodes, checks, encodes, expands variables and
 * publishes itself as JSON Schema, so the five can never disagree.
 *
 * A Schema describes one C struct; each Field is a key, a type and the member's offset. Decoding refuses
 * unknown keys (naming the nearest known one), wrong types and missing required keys, with the line and
 * column where they stand, then writes defaults into what was not said. Decoded values live in the arena
 * given.
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "base/node.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct StringList {
    const char **items;
    size_t count;
} StringList;

typedef struct Pair {
    const char *key, *value;
} Pair;
typedef struct PairList {
    Pair *items;
    size_t count;
} PairList;

/* "1", "10%", "512MiB": a number, a percentage or a size. set == false: nothing was said. */
typedef struct Amount {
    int64_t value;
    bool percent;
    bool set;
} Amount;

const char *pair_find(const PairList *list, const char *key); /* NULL when missing */
