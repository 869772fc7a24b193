/* TextMap: what goes with a text, found without looking at all of them. It grows as it must, and forgets what
 * is removed (base/text_index.h is smaller, for a number of texts that is known and stays).
 *
 * Keys and values are borrowed: a key must stand still until it is removed. The map's own memory is given
 * back by text_map_free().
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef struct TextMap TextMap;

TextMap *text_map_new(void);
void text_map_free(TextMap *map); /* NULL is allowed */

void *text_map_find(const TextMap *map, const char *key); /* NULL when it is not there */
/* `value` is not NULL. Where the key is there already, its value is replaced; the old key stays. */
void text_map_put(TextMap *map, const char *key, void *value);
void *text_map_remove(TextMap *map, const char *key); /* what was there, or NULL */
size_t text_map_count(const TextMap *map);
/* One after the other in no order; begin with *cursor = 0, and change nothing meanwhile. false: no more. */
bool text_map_next(const TextMap *map, size_t *cursor, void **value);

/* FNV-1a (Fowler, Noll, Vo), folded to a size_t. */
size_t text_map_hash(const char *text);

static inline void text_map_cleanup(TextMap **map) { text_map_free(*map); }
#define TEXT_MAP_AUTO __attribute__((cleanup(text_map_cleanup))) TextMap *
