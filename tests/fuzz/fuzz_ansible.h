/* What an inventory that was read promises, for both notations. */
#pragma once
#include "base/json.h"
#include "model/ansible.h"
#include "model/inventory.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

/* An imported host can always be described: its name and vars are within the limits of the inventory. */
static inline void fuzz_ansible_describe(const json_t *host) {
    INVENTORY_AUTO inventory = inventory_new();
    JSON_AUTO event = json_pack("{s:s, s:s, s:O, s:O, s:O}", "type", "host.described", "time",
                                "2026-11-21T20:00:00Z", "host", json_object_get(host, "name"), "labels",
                                json_object_get(host, "labels"), "vars", json_object_get(host, "vars"));
    const char *groups = json_get_text(json_object_get(host, "labels"), "groups", "");
    bool fits = strlen(groups) <= INVENTORY_VALUE_MAX &&
                json_object_size(json_object_get(host, "vars")) <= INVENTORY_PAIRS_MAX;
    assert(event && (!fits || inventory_fold(inventory, 1, event, NULL) == 0));
}

static inline void fuzz_ansible_check(const Ansible *ansible) {
    assert(ansible->count <= ANSIBLE_HOSTS_MAX);
    for (size_t i = 0; i < ansible->count; i++) {
        const AnsibleHost *host = &ansible->hosts[i];
        assert(schema_is_name(host->name));
        assert(i == 0 || strcmp(ansible->hosts[i - 1].name, host->name) < 0);
        for (size_t j = 0; j < host->groups.count; j++)
            assert(!strchr(host->groups.items[j], ',') &&
                   (j == 0 || strcmp(host->groups.items[j - 1], host->groups.items[j]) < 0));
        for (size_t j = 0; j < host->vars.count; j++)
            assert(host->vars.items[j].value && strncmp(host->vars.items[j].key, "ansible_", 8) != 0 &&
                   (j == 0 || strcmp(host->vars.items[j - 1].key, host->vars.items[j].key) < 0));
    }
    JSON_AUTO json = ansible_to_json(ansible);
    for (size_t i = 0; i < ansible->count && i < 20; i++)
        fuzz_ansible_describe(json_array_get(json_object_get(json, "hosts"), i));
}
