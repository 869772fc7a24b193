/* TextIndex: the number that goes with a text, found without looking at all of them.
 *
 * Made for a known number of texts, which are borrowed: they must outlive the index. It lives in the arena
 * given. Each text counts once, with the number it was first added with.
 */
#pragma once
#include "base/arena.h"
#include <stddef.h>
#include <stdint.h>

#define TEXT_INDEX_NONE SIZE_MAX

typedef struct TextIndex TextIndex;

/* For at most `texts` of them; more abort. */
TextIndex *text_index_new(Arena *arena, size_t texts);
/* The number it has already, or TEXT_INDEX_NONE: then it has `number` from now on. */
size_t text_index_add(TextIndex *index, const char *text, size_t number);
/* TEXT_INDEX_NONE when it was never added. */
size_t text_index_find(const TextIndex *index, const char *text);
