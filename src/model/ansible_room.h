/* AnsibleReading: groups, hosts and vars while an inventory is read, shared by the two notations. Private to
 * model/ansible*.c.
 *
 * Calling order: ansible_begin, then as the text says ansible_group, ansible_nest, ansible_set and
 * ansible_add_hosts, then ansible_finish (or only ansible_end, after an error). Whoever calls sets `line` and
 * `column` first: errors begin with them. Everything but the two maps is in the arena.
 */
#pragma once
#include "base/text_map.h"
#include "model/ansible.h"

typedef struct AnsibleVars {
    Pair *items; /* value NULL: it is left out, and hides those of parents */
    size_t count, capacity;
} AnsibleVars;

typedef struct AnsibleGroup AnsibleGroup;
typedef struct AnsibleGroups {
    AnsibleGroup **items;
    size_t count, capacity;
} AnsibleGroups;

struct AnsibleGroup {
    const char *name;
    AnsibleVars vars;
    AnsibleGroups parents; /* without `all`, which everything is in */
    int64_t priority;
    int depth;      /* of the longest way from `all`; 0: not counted yet (or `all`) */
    bool counting;  /* its depth: whoever meets it now stands in a circle */
    bool defined;   /* and not only mentioned */
    size_t visitor; /* the number of the host that has met it last, from 1 */
    int line, column;
};

typedef struct AnsibleMember { /* a host */
    const char *name;
    AnsibleVars vars;
    AnsibleGroups groups; /* that it stands in */
} AnsibleMember;

typedef struct AnsibleReading {
    Arena *arena;
    const char *file;
    int line, column; /* where we are; column 0: only lines */
    TextMap *groups, *members;
    AnsibleGroup *all, *ungrouped;
    size_t total; /* towards ANSIBLE_TOTAL_MAX */
    AnsibleLeftOut left_out;
    Error *error;
} AnsibleReading;

void ansible_begin(AnsibleReading *reading, Arena *arena, const char *file, Error *error);
void ansible_end(AnsibleReading *reading);
/* Sort out depths, and what each host has. */
int ansible_finish(AnsibleReading *reading, Ansible *out);

/* Say where, before what was just refused; -1. */
int ansible_refuse(AnsibleReading *reading);
/* The group of that name, made when it is new; NULL after an error. */
AnsibleGroup *ansible_group(AnsibleReading *reading, const char *name);
int ansible_nest(AnsibleReading *reading, AnsibleGroup *parent, AnsibleGroup *child);
/* `value` NULL: it is no scalar. */
int ansible_set(AnsibleReading *reading, AnsibleVars *vars, const char *key, const char *value);
int ansible_set_group(AnsibleReading *reading, AnsibleGroup *group, const char *key, const char *value);
/* Every host that `pattern` names, with these vars over those it has. */
int ansible_add_hosts(AnsibleReading *reading, AnsibleGroup *group, const char *pattern,
                      const AnsibleVars *vars);
