#include "base/text_index.h"
#include "base/text_map.h"
#include <assert.h>
#include <string.h>

typedef struct Slot {
    const char *text; /* NULL: free */
    size_t number;
} Slot;

struct TextIndex {
    Slot *slots;
    size_t mask; /* there are mask + 1 of them, a power of two, at least half of them free */
    size_t free_texts;
};

TextIndex *text_index_new(Arena *arena, size_t texts) {
    size_t slots = 4;
    while (slots / 2 < texts) slots *= 2;
    TextIndex *index = ARENA_NEW(arena, TextIndex);
    *index = (TextIndex){ARENA_ARRAY(arena, slots, Slot), slots - 1, texts};
    return index;
}

/* Where it stands, or would. */
static Slot *slot_of(const TextIndex *index, const char *text) {
    size_t at = text_map_hash(text) & index->mask;
    while (index->slots[at].text && strcmp(index->slots[at].text, text) != 0) at = (at + 1) & index->mask;
    return &index->slots[at];
}

size_t text_index_add(TextIndex *index, const char *text, size_t number) {
    Slot *slot = slot_of(index, text);
    if (slot->text) return slot->number;
    assert(index->free_texts > 0);
    index->free_texts--;
    *slot = (Slot){text, number};
    return TEXT_INDEX_NONE;
}

size_t text_index_find(const TextIndex *index, const char *text) {
    const Slot *slot = slot_of(index, text);
    return slot->text ? slot->number : TEXT_INDEX_NONE;
}
