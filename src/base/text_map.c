#include "base/text_map.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct Slot {
    const char *key; /* NULL: free */
    void *value;
    size_t hash;
} Slot;

struct TextMap {
    Slot *slots;
    size_t mask; /* there are mask + 1 of them, a power of two, at least half of them free */
    size_t count;
};

size_t text_map_hash(const char *text) {
    uint64_t value = UINT64_C(0xCBF29CE484222325);
    for (; *text; text++) value = (value ^ (unsigned char)*text) * UINT64_C(0x100000001B3);
    return (size_t)(value ^ (value >> 32));
}

static Slot *slots_new(size_t count) {
    Slot *slots = calloc(count, sizeof *slots);
    if (!slots) abort();
    return slots;
}

TextMap *text_map_new(void) {
    enum { SLOTS_FIRST = 8 };
    TextMap *map = malloc(sizeof *map);
    if (!map) abort();
    *map = (TextMap){.slots = slots_new(SLOTS_FIRST), .mask = SLOTS_FIRST - 1};
    return map;
}

void text_map_free(TextMap *map) {
    if (!map) return;
    free(map->slots);
    free(map);
}

/* Where it stands, or would. */
static Slot *slot_of(const TextMap *map, const char *key, size_t hash) {
    size_t at = hash & map->mask;
    while (map->slots[at].key && (map->slots[at].hash != hash || strcmp(map->slots[at].key, key) != 0))
        at = (at + 1) & map->mask;
    return &map->slots[at];
}

void *text_map_find(const TextMap *map, const char *key) {
    return slot_of(map, key, text_map_hash(key))->value;
}

static void grow(TextMap *map) {
    TextMap larger = {
        .slots = slots_new((map->mask + 1) * 2), .mask = map->mask * 2 + 1, .count = map->count};
    for (size_t i = 0; i <= map->mask; i++)
        if (map->slots[i].key) *slot_of(&larger, map->slots[i].key, map->slots[i].hash) = map->slots[i];
    free(map->slots);
    *map = larger;
}

void text_map_put(TextMap *map, const char *key, void *value) {
    assert(value);
    size_t hash = text_map_hash(key);
    Slot *slot = slot_of(map, key, hash);
    if (slot->key) {
        slot->value = value;
        return;
    }
    *slot = (Slot){key, value, hash};
    map->count++;
    if (map->count * 2 > map->mask) grow(map);
}

/* A gap would end searches too early: what stands behind it and was pushed there moves up. */
static void close_gap(TextMap *map, size_t gap) {
    for (size_t at = (gap + 1) & map->mask; map->slots[at].key; at = (at + 1) & map->mask) {
        size_t wanted = map->slots[at].hash & map->mask;
        if (((at - wanted) & map->mask) < ((at - gap) & map->mask)) continue;
        map->slots[gap] = map->slots[at];
        gap = at;
    }
    map->slots[gap] = (Slot){0};
}

void *text_map_remove(TextMap *map, const char *key) {
    Slot *slot = slot_of(map, key, text_map_hash(key));
    if (!slot->key) return NULL;
    void *value = slot->value;
    map->count--;
    close_gap(map, (size_t)(slot - map->slots));
    return value;
}

size_t text_map_count(const TextMap *map) { return map->count; }

bool text_map_next(const TextMap *map, size_t *cursor, void **value) {
    while (*cursor <= map->mask) {
        const Slot *slot = &map->slots[(*cursor)++];
        if (!slot->key) continue;
        *value = slot->value;
        return true;
    }
    return false;
}
