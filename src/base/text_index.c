#include "base/text_index.h"
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

/* FNV-1a (Fowler, Noll, Vo), 64 bits. */
static size_t hash(const char *text) {
    uint64_t value = UINT64_C(0xCBF29CE484222325);
    for (; *text; text++) value = (value ^ (unsigned char)*text) * UINT64_C(0x100000001B3);
    return (size_t)(value ^ (value >> 32));
}

/* Where it stands, or would. */
static Slot *slot_of(const TextIndex *index, const char *text) {
    size_t at = hash(text) & index->mask;
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
