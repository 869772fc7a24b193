/* Ansible: the hosts of an Ansible inventory, read from its text, INI or YAML, without Ansible.
 *
 *     ansible_read() → hosts with their groups and vars → ansible_to_json() → host.described
 * (model/inventory.h)
 *
 * What counts is what Ansible documents: `all` and `ungrouped`, groups of groups, ranges (web[01:20].example,
 * [a:c], [0:10:2]), vars of groups and hosts. A host has the vars of all its groups, those of a group beneath
 * its parent's, deeper groups over higher ones, then by ansible_group_priority, then by name; its own win.
 * Values are texts as they were written, without quotes: there are no types here.
 *
 * Two things become another's: the groups of a host (and the groups these are in, but `all` and `ungrouped`)
 * are its label `groups`, a sorted list with commas; `ansible_host` is its var `address`, unless it has one.
 *
 * Left out, and counted, is what means nothing outside of Ansible: its own settings (ansible_…), lists and
 * maps, nothing (null), templates ({{ … }}), texts over INVENTORY_VALUE_MAX — and what is called like a
 * secret (…password…, …token…): vars are written in the journal, secrets never are.
 *
 * Refused with ERROR_INVALID, "FILE:LINE: …" or "FILE:LINE:COLUMN: …": what Ansible would not understand; a
 * key of a group in YAML that Ansible passes over with a warning; anchors, aliases and tags (base/node.h), so
 * vaults too; hosts that have no name of Upkeep's (SCHEMA_NAME), so addresses of IPv6; groups with a comma in
 * their name; groups within themselves; and whatever is past the limits below. YAML has at most 1 MiB.
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "model/schema.h"
#include <jansson.h>
#include <stddef.h>

enum {
    ANSIBLE_TEXT_MAX = 16 << 20, /* bytes of INI */
    ANSIBLE_LINE_MAX = 64 << 10,
    ANSIBLE_HOSTS_MAX = 100000,
    ANSIBLE_GROUPS_MAX = 10000,
    ANSIBLE_DEPTH_MAX = 32,      /* groups within groups */
    ANSIBLE_VARS_MAX = 1000,     /* of one group or host */
    ANSIBLE_RANGES_MAX = 8,      /* in one name */
    ANSIBLE_TOTAL_MAX = 4000000, /* names, vars and groups of all hosts together */
};

typedef struct AnsibleHost {
    const char *name;
    StringList groups; /* sorted; without all and ungrouped */
    PairList vars;     /* sorted by key */
} AnsibleHost;

/* How many values were left out, each counted where it stands in the text. */
typedef struct AnsibleLeftOut {
    size_t settings, not_scalar, templates, secrets, too_long;
} AnsibleLeftOut;

typedef struct Ansible {
    AnsibleHost *hosts; /* sorted by name */
    size_t count;
    AnsibleLeftOut left_out;
} Ansible;

/* YAML where the name of `file` ends in .yml, .yaml or .json, else INI. Everything is in the arena. */
int ansible_read(Arena *arena, const char *file, const char *text, size_t size, Ansible *out, Error *error);
int ansible_read_ini(Arena *arena, const char *file, const char *text, size_t size, Ansible *out,
                     Error *error);
int ansible_read_yaml(Arena *arena, const char *file, const char *text, size_t size, Ansible *out,
                      Error *error);

/* {"hosts": [{"name", "labels": {"groups"}, "vars"}], "left_out": {"settings", …}}; a host's `labels` and
 * `vars` are those of host.described. New reference. */
json_t *ansible_to_json(const Ansible *ansible);
