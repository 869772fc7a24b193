/* Selector: which hosts are meant, by their labels. All that it names must match exactly:
 *
 *     select: {role: web, region: east}
 *
 * One key is not a label's: `group`. A host is in a group when its label `group` is just that, or its label
 * `groups`, a list with commas between ("web, europe"), has it. Imported inventories tell groups this way.
 * A selector that names nothing matches every host.
 */
#pragma once
#include "model/schema.h"

/* The label `key` of `host`, or NULL. */
typedef const char *(*SelectorLabel)(const void *host, const char *key);

bool selector_matches(const PairList *select, SelectorLabel label, const void *host);
/* "region=east, role=web", as it was written; in the arena. */
const char *selector_text(Arena *arena, const PairList *select);
