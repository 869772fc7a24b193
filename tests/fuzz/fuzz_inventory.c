/* Any lines as events: what may be written can be folded, what may not changes nothing, and from whatever
 * hosts there are then a plan is expanded and environments are compared. */
#include "base/json.h"
#include "model/drift.h"
#include "model/inventory.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fold(Inventory *inventory, int64_t sequence, const json_t *event) {
    Error checked = {0}, folded = {0};
    size_t before = inventory_count(inventory);
    int allowed = inventory_check(inventory, event, &checked);
    assert(inventory_fold(inventory, sequence, event, &folded) == allowed);
    assert(allowed == 0 || (checked.kind == ERROR_INVALID && folded.kind == ERROR_ATTENTION));
    assert(allowed == 0 || inventory_count(inventory) == before);
}

static void check_host(const Inventory *inventory, const InventoryHost *host) {
    assert(inventory_host(inventory, host->name) == host && schema_is_name(host->name));
    assert(json_object_size(host->labels) <= INVENTORY_PAIRS_MAX);
    assert(json_object_size(host->vars) <= INVENTORY_PAIRS_MAX);
    JSON_AUTO json = inventory_host_to_json(host);
    free(json_text(json));
}

static void check_plan(Arena *arena, const Inventory *inventory) {
    static const char text[] = "upkeep: 1\n"
                               "service: {name: s, root: \"/srv/${host.name}\", run: {systemd: s}}\n"
                               "package: {file: s.upk, trust: [a.pub]}\n"
                               "hosts: [{name: named}, {select: {group: web}}, {select: {role: db}}]\n"
                               "health: [{tcp: {address: \"h:1\"}}]\n";
    Plan *plan = NULL, *expanded = NULL;
    Error error = {0};
    if (plan_read(arena, "f", "/", text, strlen(text), &plan, NULL) < 0) __builtin_trap();
    if (inventory_expand(arena, plan, inventory, &expanded, &error) < 0) {
        assert(!expanded && error.kind == ERROR_INVALID);
        return;
    }
    JSON_AUTO json = plan_to_json(expanded);
    Plan *again = NULL;
    if (plan_from_json(arena, json, &again, NULL) < 0) __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    const char *at = (const char *)data, *end = at + size;
    for (int64_t sequence = 1; at < end; sequence++) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        JSON_AUTO event = NULL;
        size_t length = (size_t)((next ? next : end) - at);
        if (json_parse(at, length, "f", &event, NULL) == 0) fold(inventory, sequence, event);
        at += length + (next != NULL);
    }
    InventoryList list = inventory_list(inventory, arena);
    assert(list.count == inventory_count(inventory));
    for (size_t i = 0; i < list.count; i++) {
        assert(i == 0 || strcmp(list.items[i - 1]->name, list.items[i]->name) < 0);
        check_host(inventory, list.items[i]);
    }
    check_plan(arena, inventory);
    Drift drift = drift_compare(arena, inventory, "test", "production");
    assert((drift.verdict == DRIFT_SAME) <= (drift.count == 0 && drift.hosts[0] && drift.hosts[1]));
    JSON_AUTO json = drift_to_json(&drift);
    free(json_text(json));
    return 0;
}
