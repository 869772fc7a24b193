/* The hosts that a plan selects, out of the inventory. */
#include "base/json.h"
#include "base/text_map.h"
#include "model/inventory.h"
#include "model/selector.h"
#include <string.h>

typedef struct Expansion {
    Arena *arena;
    const Plan *plan;
    InventoryList known; /* in the order of names */
    TextMap *named;      /* hosts that a row names, and those that one selected: the row */
    PlanHostList hosts;  /* so far */
    size_t capacity;
} Expansion;

static void add(Expansion *expansion, const PlanHost *host) {
    PlanHostList *list = &expansion->hosts;
    if (list->count == expansion->capacity) {
        expansion->capacity = expansion->capacity ? expansion->capacity * 2 : 16;
        PlanHost *grown = ARENA_ARRAY(expansion->arena, expansion->capacity, PlanHost);
        if (list->count) memcpy(grown, list->items, list->count * sizeof *grown);
        list->items = grown;
    }
    list->items[list->count++] = *host;
}

/* The row's pairs, and beneath them those of the inventory that the row does not have. */
static PairList beneath(Arena *arena, const PairList *row, json_t *own) {
    PairList all = {ARENA_ARRAY(arena, row->count + json_object_size(own), Pair), row->count};
    if (row->count) memcpy(all.items, row->items, row->count * sizeof *all.items);
    const char *key;
    json_t *value;
    json_object_foreach(own, key, value) {
        if (pair_find(row, key)) continue;
        all.items[all.count++] =
            (Pair){arena_strdup(arena, key), arena_strdup(arena, json_string_value(value))};
    }
    return all;
}

/* `row` for the host called `name`, which the inventory knows as `host` (NULL: not at all). */
static void add_host(Expansion *expansion, const PlanHost *row, const char *name, const InventoryHost *host) {
    PlanHost own = {.name = name, .root = row->root, .labels = row->labels, .vars = row->vars};
    if (host) {
        own.labels = beneath(expansion->arena, &row->labels, host->labels);
        own.vars = beneath(expansion->arena, &row->vars, host->vars);
    }
    add(expansion, &own);
}

/* Nobody wants a host of the test environment in a plan for production, because both are web servers. */
static bool belongs(const Expansion *expansion, const PlanHost *row, const InventoryHost *host) {
    const char *environment = inventory_environment(host);
    return !environment || pair_find(&row->select, "environment") ||
           strcmp(environment, expansion->plan->environment) == 0;
}

static int add_selected(Expansion *expansion, size_t number, Error *error) {
    const PlanHost *row = &expansion->plan->hosts.items[number];
    bool matched = false;
    for (size_t i = 0; i < expansion->known.count; i++) {
        const InventoryHost *host = expansion->known.items[i];
        if (host->state != INVENTORY_JOINED || !belongs(expansion, row, host) ||
            !inventory_matches(host, &row->select))
            continue;
        matched = true;
        if (text_map_find(expansion->named, host->name)) continue;
        text_map_put(expansion->named, host->name, (void *)row);
        add_host(expansion, row, arena_strdup(expansion->arena, host->name), host);
    }
    if (matched) return 0;
    error_set(error, ERROR_INVALID, "hosts[%d]: no joined host of the environment %s matches %s",
              (int)number + 1, expansion->plan->environment, selector_text(expansion->arena, &row->select));
    return error_hint(error, "see “upkeep hosts” for the labels that they have");
}

static int add_rows(Expansion *expansion, const Inventory *inventory, Error *error) {
    const PlanHostList *rows = &expansion->plan->hosts;
    for (size_t i = 0; i < rows->count; i++)
        if (rows->items[i].name) text_map_put(expansion->named, rows->items[i].name, &rows->items[i]);
    for (size_t i = 0; i < rows->count; i++) {
        const PlanHost *row = &rows->items[i];
        if (row->name)
            add_host(expansion, row, row->name, inventory_host(inventory, row->name));
        else if (add_selected(expansion, i, error) < 0)
            return -1;
    }
    return 0;
}

int inventory_expand(Arena *arena, const Plan *plan, const Inventory *inventory, Plan **out, Error *error) {
    Plan *expanded = ARENA_NEW(arena, Plan);
    *expanded = *plan;
    if (inventory) {
        TEXT_MAP_AUTO named = text_map_new();
        Expansion expansion = {.arena = arena, .plan = plan, .named = named};
        if (plan_selects(plan)) expansion.known = inventory_list(inventory, arena);
        if (add_rows(&expansion, inventory, error) < 0) return -1;
        expanded->hosts = expansion.hosts;
    }
    if (plan_settle(arena, expanded, error) < 0) return -1;
    *out = expanded;
    return 0;
}
