#include "model/selector.h"
#include <string.h>

static bool list_has(const char *list, const char *word) {
    size_t length = strlen(word);
    while (*list) {
        list += strspn(list, " ,");
        size_t end = strcspn(list, ","), used = end;
        while (used > 0 && list[used - 1] == ' ') used--;
        if (used == length && length > 0 && strncmp(list, word, length) == 0) return true;
        list += end;
    }
    return false;
}

static bool pair_matches(const Pair *pair, SelectorLabel label, const void *host) {
    const char *value = label(host, pair->key);
    if (value && strcmp(value, pair->value) == 0) return true;
    if (strcmp(pair->key, "group") != 0) return false;
    const char *groups = label(host, "groups");
    return groups && list_has(groups, pair->value);
}

bool selector_matches(const PairList *select, SelectorLabel label, const void *host) {
    for (size_t i = 0; i < select->count; i++)
        if (!pair_matches(&select->items[i], label, host)) return false;
    return true;
}

const char *selector_text(Arena *arena, const PairList *select) {
    const char *text = "";
    for (size_t i = 0; i < select->count; i++)
        text = arena_printf(arena, "%s%s%s=%s", text, i ? ", " : "", select->items[i].key,
                            select->items[i].value);
    return text;
}
