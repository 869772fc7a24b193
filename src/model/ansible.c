/* What the groups and vars of an inventory mean for each host. */
#include "model/ansible.h"
#include "base/json.h"
#include "model/ansible_room.h"
#include "model/inventory.h"
#include <stdlib.h>
#include <string.h>

/* ---- reading */

void ansible_begin(AnsibleReading *reading, Arena *arena, const char *file, Error *error) {
    *reading = (AnsibleReading){.arena = arena, .file = file, .error = error};
    reading->groups = text_map_new();
    reading->members = text_map_new();
    reading->all = ansible_group(reading, "all");
    reading->ungrouped = ansible_group(reading, "ungrouped");
    reading->all->defined = reading->ungrouped->defined = true;
}

void ansible_end(AnsibleReading *reading) {
    text_map_free(reading->groups);
    text_map_free(reading->members);
}

int ansible_refuse(AnsibleReading *reading) {
    if (reading->column == 0) return error_prefix(reading->error, "%s:%d", reading->file, reading->line);
    return error_prefix(reading->error, "%s:%d:%d", reading->file, reading->line, reading->column);
}

/* So much more is kept for hosts: a few bytes of ranges could ask for all memory. */
static int count_total(AnsibleReading *reading, size_t more) {
    reading->total += more;
    if (reading->total <= ANSIBLE_TOTAL_MAX) return 0;
    error_set(reading->error, ERROR_INVALID, "names, vars and groups of the hosts are more than %d together",
              ANSIBLE_TOTAL_MAX);
    error_hint(reading->error, "import the inventory in parts");
    return ansible_refuse(reading);
}

AnsibleGroup *ansible_group(AnsibleReading *reading, const char *name) {
    AnsibleGroup *group = text_map_find(reading->groups, name);
    if (group) return group;
    if (!*name || strchr(name, ',') || strlen(name) > INVENTORY_KEY_MAX) {
        error_set(reading->error, ERROR_INVALID, "“%s” cannot be a group: 1 to %d bytes, and no comma", name,
                  INVENTORY_KEY_MAX);
        ansible_refuse(reading);
        return NULL;
    }
    if (text_map_count(reading->groups) >= ANSIBLE_GROUPS_MAX) {
        error_set(reading->error, ERROR_INVALID, "more than %d groups", ANSIBLE_GROUPS_MAX);
        ansible_refuse(reading);
        return NULL;
    }
    group = ARENA_NEW(reading->arena, AnsibleGroup);
    group->name = arena_strdup(reading->arena, name);
    group->priority = 1;
    group->line = reading->line;
    group->column = reading->column;
    text_map_put(reading->groups, group->name, group);
    return group;
}

static bool has_group(const AnsibleGroups *groups, const AnsibleGroup *group) {
    for (size_t i = groups->count; i > 0; i--) /* the last ones are the likely ones */
        if (groups->items[i - 1] == group) return true;
    return false;
}

static void add_group(Arena *arena, AnsibleGroups *groups, AnsibleGroup *group) {
    if (groups->count == groups->capacity) {
        groups->capacity = groups->capacity ? groups->capacity * 2 : 2;
        AnsibleGroup **grown = ARENA_ARRAY(arena, groups->capacity, AnsibleGroup *);
        if (groups->count) memcpy(grown, groups->items, groups->count * sizeof *grown);
        groups->items = grown;
    }
    groups->items[groups->count++] = group;
}

int ansible_nest(AnsibleReading *reading, AnsibleGroup *parent, AnsibleGroup *child) {
    if (child == reading->all) {
        error_set(reading->error, ERROR_INVALID, "the group %s is within itself", child->name);
        return ansible_refuse(reading);
    }
    if (parent != reading->all && !has_group(&child->parents, parent))
        add_group(reading->arena, &child->parents, parent);
    return 0;
}

/* ---- vars */

static bool is_secret(const char *key) {
    static const char *const words[] = {"password",    "passwd",  "passphrase", "secret",    "token",
                                        "private_key", "api_key", "apikey",     "credential"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasestr(key, words[i])) return true;
    return false;
}

/* What Upkeep can have of it: NULL where it is left out, which is counted. */
static const char *usable(AnsibleLeftOut *left_out, const char *key, const char *value) {
    size_t *counter = NULL;
    if (strncmp(key, "ansible_", 8) == 0 && strcmp(key, "ansible_host") != 0)
        counter = &left_out->settings;
    else if (is_secret(key))
        counter = &left_out->secrets;
    else if (!value)
        counter = &left_out->not_scalar;
    else if (strstr(value, "{{") || strstr(value, "{%"))
        counter = &left_out->templates;
    else if (strlen(value) > INVENTORY_VALUE_MAX || strlen(key) > INVENTORY_KEY_MAX)
        counter = &left_out->too_long;
    if (!counter) return value;
    ++*counter;
    return NULL;
}

static int put(AnsibleReading *reading, AnsibleVars *vars, const Pair *pair) {
    for (size_t i = 0; i < vars->count; i++) {
        if (strcmp(vars->items[i].key, pair->key) != 0) continue;
        vars->items[i].value = pair->value;
        return 0;
    }
    if (vars->count >= ANSIBLE_VARS_MAX) {
        error_set(reading->error, ERROR_INVALID, "more than %d vars of one host or group", ANSIBLE_VARS_MAX);
        return ansible_refuse(reading);
    }
    if (vars->count == vars->capacity) {
        vars->capacity = vars->capacity ? vars->capacity * 2 : 4;
        Pair *grown = ARENA_ARRAY(reading->arena, vars->capacity, Pair);
        if (vars->count) memcpy(grown, vars->items, vars->count * sizeof *grown);
        vars->items = grown;
    }
    vars->items[vars->count++] = *pair;
    return 0;
}

int ansible_set(AnsibleReading *reading, AnsibleVars *vars, const char *key, const char *value) {
    if (!*key) {
        error_set(reading->error, ERROR_INVALID, "a var without a name");
        return ansible_refuse(reading);
    }
    Pair pair = {arena_strdup(reading->arena, key),
                 arena_strdup(reading->arena, usable(&reading->left_out, key, value))};
    return put(reading, vars, &pair);
}

int ansible_set_group(AnsibleReading *reading, AnsibleGroup *group, const char *key, const char *value) {
    if (value && strcmp(key, "ansible_group_priority") == 0) group->priority = strtoll(value, NULL, 10);
    return ansible_set(reading, &group->vars, key, value);
}

/* ---- hosts */

typedef struct Adding {
    AnsibleReading *reading;
    AnsibleGroup *group;
    const AnsibleVars *vars;
} Adding;

static AnsibleMember *member_of(AnsibleReading *reading, const char *name) {
    AnsibleMember *member = text_map_find(reading->members, name);
    if (member) return member;
    if (!schema_is_name(name)) {
        error_set(
            reading->error, ERROR_INVALID,
            "“%s” is not a name: letters, digits, “.”, “_”, “+” and “-”, beginning with a letter or digit",
            name);
        ansible_refuse(reading);
        return NULL;
    }
    if (text_map_count(reading->members) >= ANSIBLE_HOSTS_MAX) {
        error_set(reading->error, ERROR_INVALID, "more than %d hosts", ANSIBLE_HOSTS_MAX);
        ansible_refuse(reading);
        return NULL;
    }
    member = ARENA_NEW(reading->arena, AnsibleMember);
    member->name = arena_strdup(reading->arena, name);
    text_map_put(reading->members, member->name, member);
    return member;
}

static int add_host(const Adding *adding, const char *name) {
    AnsibleReading *reading = adding->reading;
    if (count_total(reading, 1 + adding->vars->count) < 0) return -1;
    AnsibleMember *member = member_of(reading, name);
    if (!member) return -1;
    if (!has_group(&member->groups, adding->group)) add_group(reading->arena, &member->groups, adding->group);
    for (size_t i = 0; i < adding->vars->count; i++)
        if (put(reading, &member->vars, &adding->vars->items[i]) < 0) return -1;
    return 0;
}

/* One range of a name: "[01:20:2]", "[a:c]". */
typedef struct Range {
    long first, last, step;
    int width;         /* of numbers that are filled up with zeros */
    bool letters;      /* a … z A … Z, by their place in `alphabet` */
    size_t begin, end; /* where it stands in the name: at "[", behind "]" */
} Range;

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

static bool parse_number(const char *text, long *out) {
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 9 || text[length]) return false;
    *out = strtol(text, NULL, 10);
    return true;
}

static bool parse_letter(const char *text, long *out) {
    const char *at = *text && !text[1] ? strchr(alphabet, *text) : NULL;
    if (at) *out = at - alphabet;
    return at != NULL;
}

/* "FIRST:LAST" or "FIRST:LAST:STEP", as Ansible takes it; FIRST may be left out and is 0 then. */
static bool parse_range(char *text, Range *range) {
    const char *first = strsep(&text, ":"), *last = strsep(&text, ":"), *step = text;
    range->step = 1;
    if (!last || (step && (!parse_number(step, &range->step) || range->step < 1))) return false;
    if (!*first) first = "0";
    if (parse_letter(first, &range->first) && parse_letter(last, &range->last))
        range->letters = true;
    else if (!parse_number(first, &range->first) || !parse_number(last, &range->last))
        return false;
    size_t width = strlen(first);
    bool filled = !range->letters && *first == '0' && width > 1;
    if (filled && strlen(last) != width) return false;
    range->width = filled ? (int)width : 0;
    return range->first <= range->last;
}

/* The first range in `name`: 1 there is one, 0 none, -1 it is no good. */
static int find_range(AnsibleReading *reading, const char *name, Range *out) {
    Range range = {.begin = strcspn(name, "[")};
    if (!name[range.begin] && !strchr(name, ']')) return 0;
    size_t inside = strcspn(name + range.begin, "]");
    char *text = name[range.begin]
                     ? arena_strndup(reading->arena, name + range.begin + 1, inside ? inside - 1 : 0)
                     : NULL;
    range.end = range.begin + inside + 1;
    if (!text || !name[range.begin + inside] || !parse_range(text, &range)) {
        error_set(reading->error, ERROR_INVALID, "“%s” has no range such as [01:20] or [a:c]", name);
        return ansible_refuse(reading);
    }
    *out = range;
    return 1;
}

static int expand(const Adding *adding, const char *name, int ranges) {
    AnsibleReading *reading = adding->reading;
    Range range = {0};
    int found = find_range(reading, name, &range);
    if (found <= 0) return found < 0 ? -1 : add_host(adding, name);
    if (ranges == ANSIBLE_RANGES_MAX) {
        error_set(reading->error, ERROR_INVALID, "more than %d ranges in one name", ANSIBLE_RANGES_MAX);
        return ansible_refuse(reading);
    }
    for (long i = range.first; i <= range.last; i += range.step) {
        ARENA_AUTO own = arena_new();
        const char *middle =
            range.letters ? arena_printf(own, "%c", alphabet[i]) : arena_printf(own, "%0*ld", range.width, i);
        const char *one = arena_printf(own, "%.*s%s%s", (int)range.begin, name, middle, name + range.end);
        if (expand(adding, one, ranges + 1) < 0) return -1;
    }
    return 0;
}

int ansible_add_hosts(AnsibleReading *reading, AnsibleGroup *group, const char *pattern,
                      const AnsibleVars *vars) {
    Adding adding = {reading, group, vars};
    const char *port = strrchr(pattern, ':'), *bracket = strrchr(pattern, ']');
    long number;
    if (port && port > bracket && port != pattern && parse_number(port + 1, &number)) {
        reading->left_out.settings++; /* it is ansible_port */
        pattern = arena_strndup(reading->arena, pattern, (size_t)(port - pattern));
    }
    return expand(&adding, pattern, 0);
}

/* ---- what it means */

/* Of the longest way down from `all`. Recursion ends at the limit. */
static int count_depth(AnsibleReading *reading, AnsibleGroup *group, int above) {
    if (group->depth > 0 || group == reading->all) return 0;
    reading->line = group->line;
    reading->column = group->column;
    if (group->counting || above >= ANSIBLE_DEPTH_MAX) {
        if (group->counting)
            error_set(reading->error, ERROR_INVALID, "the group %s is within itself", group->name);
        else
            error_set(reading->error, ERROR_INVALID, "groups are nested deeper than %d levels",
                      ANSIBLE_DEPTH_MAX);
        return ansible_refuse(reading);
    }
    int depth = 1;
    group->counting = true;
    for (size_t i = 0; i < group->parents.count; i++) {
        AnsibleGroup *parent = group->parents.items[i];
        if (count_depth(reading, parent, above + 1) < 0) return -1;
        if (parent->depth >= depth) depth = parent->depth + 1;
    }
    group->counting = false;
    group->depth = depth;
    if (depth <= ANSIBLE_DEPTH_MAX) return 0;
    error_set(reading->error, ERROR_INVALID, "groups are nested deeper than %d levels", ANSIBLE_DEPTH_MAX);
    return ansible_refuse(reading);
}

static int count_depths(AnsibleReading *reading) {
    void *each;
    for (size_t cursor = 0; text_map_next(reading->groups, &cursor, &each);)
        if (count_depth(reading, each, 0) < 0) return -1;
    return 0;
}

/* `group` and all that it is in, each once for the host with that number. */
static void gather(Arena *arena, AnsibleGroup *group, size_t visitor, AnsibleGroups *out) {
    if (group->visitor == visitor) return;
    group->visitor = visitor;
    add_group(arena, out, group);
    for (size_t i = 0; i < group->parents.count; i++) gather(arena, group->parents.items[i], visitor, out);
}

/* Later ones win: Ansible's sort_groups(). */
static int weaker_first(const void *a, const void *b) {
    const AnsibleGroup *one = *(AnsibleGroup *const *)a, *other = *(AnsibleGroup *const *)b;
    if (one->depth != other->depth) return one->depth < other->depth ? -1 : 1;
    if (one->priority != other->priority) return one->priority < other->priority ? -1 : 1;
    return strcmp(one->name, other->name);
}

static void overlay(TextMap *found, const AnsibleVars *vars) {
    for (size_t i = 0; i < vars->count; i++) text_map_put(found, vars->items[i].key, &vars->items[i]);
}

static int by_pair_key(const void *a, const void *b) {
    return strcmp(((const Pair *)a)->key, ((const Pair *)b)->key);
}

static PairList vars_of(Arena *arena, const AnsibleGroups *groups, const AnsibleVars *own) {
    TEXT_MAP_AUTO found = text_map_new();
    for (size_t i = 0; i < groups->count; i++) overlay(found, &groups->items[i]->vars);
    overlay(found, own);
    PairList vars = {ARENA_ARRAY(arena, text_map_count(found), Pair), 0};
    const Pair *address = text_map_find(found, "address");
    void *each;
    for (size_t cursor = 0; text_map_next(found, &cursor, &each);) {
        Pair pair = *(Pair *)each;
        bool host = strcmp(pair.key, "ansible_host") == 0;
        if (!pair.value || (host && address)) continue;
        if (host) pair.key = "address";
        vars.items[vars.count++] = pair;
    }
    if (vars.count) qsort(vars.items, vars.count, sizeof *vars.items, by_pair_key);
    return vars;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static StringList group_names(AnsibleReading *reading, const AnsibleGroups *groups) {
    StringList names = {ARENA_ARRAY(reading->arena, groups->count, const char *), 0};
    for (size_t i = 0; i < groups->count; i++)
        if (groups->items[i] != reading->all && groups->items[i] != reading->ungrouped)
            names.items[names.count++] = groups->items[i]->name;
    if (names.count) qsort(names.items, names.count, sizeof *names.items, by_text);
    return names;
}

/* A host that is in no other group is in `ungrouped`, whatever was said; and everybody is in `all`. */
static int finish_host(AnsibleReading *reading, const AnsibleMember *member, size_t number,
                       AnsibleHost *out) {
    ARENA_AUTO own = arena_new();
    AnsibleGroups groups = {0};
    for (size_t i = 0; i < member->groups.count; i++)
        if (member->groups.items[i] != reading->all && member->groups.items[i] != reading->ungrouped)
            gather(own, member->groups.items[i], number, &groups);
    if (groups.count == 0) gather(own, reading->ungrouped, number, &groups);
    gather(own, reading->all, number, &groups);
    if (groups.count) qsort(groups.items, groups.count, sizeof(AnsibleGroup *), weaker_first);
    *out = (AnsibleHost){.name = member->name,
                         .groups = group_names(reading, &groups),
                         .vars = vars_of(reading->arena, &groups, &member->vars)};
    return count_total(reading, out->groups.count + out->vars.count);
}

static int by_host_name(const void *a, const void *b) {
    return strcmp(((const AnsibleHost *)a)->name, ((const AnsibleHost *)b)->name);
}

int ansible_finish(AnsibleReading *reading, Ansible *out) {
    Ansible ansible = {.left_out = reading->left_out};
    if (count_depths(reading) < 0) return -1;
    ansible.hosts = ARENA_ARRAY(reading->arena, text_map_count(reading->members), AnsibleHost);
    void *each;
    for (size_t cursor = 0; text_map_next(reading->members, &cursor, &each);) {
        if (finish_host(reading, each, ansible.count + 1, &ansible.hosts[ansible.count]) < 0) return -1;
        ansible.count++;
    }
    if (ansible.count) qsort(ansible.hosts, ansible.count, sizeof *ansible.hosts, by_host_name);
    *out = ansible;
    return 0;
}

int ansible_read(Arena *arena, const char *file, const char *text, size_t size, Ansible *out, Error *error) {
    static const char *const endings[] = {".yml", ".yaml", ".json"};
    size_t length = strlen(file);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t end = strlen(endings[i]);
        if (length > end && strcmp(file + length - end, endings[i]) == 0)
            return ansible_read_yaml(arena, file, text, size, out, error);
    }
    return ansible_read_ini(arena, file, text, size, out, error);
}

/* ---- JSON */

static json_t *host_to_json(const AnsibleHost *host) {
    BUFFER_AUTO groups = {0};
    for (size_t i = 0; i < host->groups.count; i++)
        buffer_printf(&groups, "%s%s", i ? "," : "", host->groups.items[i]);
    json_t *json = json_object(), *labels = json_object(), *vars = json_object();
    if (groups.size) json_set_text(labels, "groups", buffer_text(&groups));
    for (size_t i = 0; i < host->vars.count; i++)
        json_set_text(vars, host->vars.items[i].key, host->vars.items[i].value);
    json_set_text(json, "name", host->name);
    if (json_object_set_new(json, "labels", labels) != 0 || json_object_set_new(json, "vars", vars) != 0)
        abort();
    return json;
}

json_t *ansible_to_json(const Ansible *ansible) {
    const AnsibleLeftOut *left_out = &ansible->left_out;
    json_t *hosts = json_array();
    for (size_t i = 0; i < ansible->count; i++)
        if (json_array_append_new(hosts, host_to_json(&ansible->hosts[i])) != 0) abort();
    json_t *json = json_pack("{s:o, s:{s:I, s:I, s:I, s:I, s:I}}", "hosts", hosts, "left_out", "settings",
                             (json_int_t)left_out->settings, "not_scalar", (json_int_t)left_out->not_scalar,
                             "templates", (json_int_t)left_out->templates, "secrets",
                             (json_int_t)left_out->secrets, "too_long", (json_int_t)left_out->too_long);
    if (!json) abort();
    return json;
}
