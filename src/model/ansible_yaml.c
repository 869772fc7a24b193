/* An Ansible inventory in YAML: groups are maps with `hosts`, `children` and `vars`. */
#include "base/node.h"
#include "model/ansible_room.h"
#include <string.h>

static void stand_at(AnsibleReading *reading, int line, int column) {
    reading->line = line;
    reading->column = column;
}

/* NULL where there is nothing in it. */
static int read_map(AnsibleReading *reading, const Node *node, const Node **out) {
    if (node->kind == NODE_MAP || node->null) {
        *out = node->kind == NODE_MAP ? node : NULL;
        return 0;
    }
    stand_at(reading, node->line, node->column);
    error_set(reading->error, ERROR_INVALID, "expected a map of keys and values");
    return ansible_refuse(reading);
}

static const char *value_of(const Node *node) {
    return node->kind == NODE_SCALAR && !node->null ? node->text : NULL;
}

static int read_group_vars(AnsibleReading *reading, AnsibleGroup *group, const Node *node) {
    const Node *map = NULL;
    if (read_map(reading, node, &map) < 0) return -1;
    for (size_t i = 0; map && i < map->count; i++) {
        const NodeEntry *entry = &map->entries[i];
        stand_at(reading, entry->line, entry->column);
        if (ansible_set_group(reading, group, entry->key, value_of(entry->value)) < 0) return -1;
    }
    return 0;
}

static int read_host(AnsibleReading *reading, AnsibleGroup *group, const NodeEntry *host) {
    AnsibleVars vars = {0};
    const Node *map = NULL;
    if (read_map(reading, host->value, &map) < 0) return -1;
    for (size_t i = 0; map && i < map->count; i++) {
        const NodeEntry *entry = &map->entries[i];
        stand_at(reading, entry->line, entry->column);
        if (ansible_set(reading, &vars, entry->key, value_of(entry->value)) < 0) return -1;
    }
    stand_at(reading, host->line, host->column);
    return ansible_add_hosts(reading, group, host->key, &vars);
}

/* A map; one host alone may be just its name. */
static int read_hosts(AnsibleReading *reading, AnsibleGroup *group, const Node *node) {
    const Node *map = NULL;
    const char *name = value_of(node);
    if (name) {
        stand_at(reading, node->line, node->column);
        return ansible_add_hosts(reading, group, name, &(AnsibleVars){0});
    }
    if (read_map(reading, node, &map) < 0) return -1;
    for (size_t i = 0; map && i < map->count; i++)
        if (read_host(reading, group, &map->entries[i]) < 0) return -1;
    return 0;
}

static int read_group(AnsibleReading *reading, AnsibleGroup *parent, const NodeEntry *entry);

static int read_children(AnsibleReading *reading, AnsibleGroup *group, const Node *node) {
    const Node *map = NULL;
    if (read_map(reading, node, &map) < 0) return -1;
    for (size_t i = 0; map && i < map->count; i++)
        if (read_group(reading, group, &map->entries[i]) < 0) return -1;
    return 0;
}

static const struct {
    const char *key;
    int (*read)(AnsibleReading *reading, AnsibleGroup *group, const Node *node);
} parts[] = {{"vars", read_group_vars}, {"hosts", read_hosts}, {"children", read_children}};

static int read_part(AnsibleReading *reading, AnsibleGroup *group, const NodeEntry *entry) {
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strcmp(parts[i].key, entry->key) == 0) return parts[i].read(reading, group, entry->value);
    stand_at(reading, entry->line, entry->column);
    error_set(reading->error, ERROR_INVALID, "“%s” is none of: hosts, children, vars", entry->key);
    return ansible_refuse(reading);
}

/* Recursion ends where base/node.h ends nesting. */
static int read_group(AnsibleReading *reading, AnsibleGroup *parent, const NodeEntry *entry) {
    const Node *map = NULL;
    stand_at(reading, entry->line, entry->column);
    AnsibleGroup *group = ansible_group(reading, entry->key);
    if (!group || (parent && ansible_nest(reading, parent, group) < 0)) return -1;
    if (read_map(reading, entry->value, &map) < 0) return -1;
    for (size_t i = 0; map && i < map->count; i++)
        if (read_part(reading, group, &map->entries[i]) < 0) return -1;
    return 0;
}

static int read_document(AnsibleReading *reading, const Node *root) {
    const Node *map = NULL;
    if (read_map(reading, root, &map) < 0) return -1;
    for (size_t i = 0; map && i < map->count; i++) {
        const NodeEntry *entry = &map->entries[i];
        if (strcmp(entry->key, "plugin") == 0) {
            stand_at(reading, entry->line, entry->column);
            error_set(reading->error, ERROR_INVALID, "a dynamic inventory has no hosts in its text");
            error_hint(reading->error, "import what “ansible-inventory --list --yaml” makes of it");
            return ansible_refuse(reading);
        }
        if (read_group(reading, NULL, entry) < 0) return -1;
    }
    return 0;
}

int ansible_read_yaml(Arena *arena, const char *file, const char *text, size_t size, Ansible *out,
                      Error *error) {
    AnsibleReading reading;
    Node *root = NULL;
    if (node_from_yaml(arena, file, text, size, &root, error) < 0) return -1;
    ansible_begin(&reading, arena, file, error);
    int result = read_document(&reading, root);
    if (result == 0) result = ansible_finish(&reading, out);
    ansible_end(&reading);
    return result;
}
