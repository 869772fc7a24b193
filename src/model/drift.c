#include "model/drift.h"
#include "base/json.h"
#include "base/quantity.h"
#include "base/text.h"
#include "base/text_map.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *drift_verdict_text(DriftVerdict verdict) {
    static const char *const texts[] = {TEXT("same"), TEXT("differs"), TEXT("inconclusive")};
    return texts[verdict];
}

const char *drift_kind_text(DriftKind kind) {
    static const char *const texts[] = {TEXT("known"), TEXT("absent"), TEXT("unknown"), TEXT("others")};
    return texts[kind];
}

/* ---- collecting: what each host says, by key */

typedef enum Measure { MEASURE_TEXT, MEASURE_COUNT, MEASURE_BYTES } Measure;

typedef struct Collected {
    const char *key;
    Measure measure;
    DriftSide sides[2];
    size_t capacity[2];
} Collected;

typedef struct Collection {
    Arena *arena;
    TextMap *by_key; /* Collected */
    int side;        /* whose host is looked at */
} Collection;

static Collected *collected(Collection *collection, const char *key, Measure measure) {
    Collected *found = text_map_find(collection->by_key, key);
    if (found) return found;
    found = ARENA_NEW(collection->arena, Collected);
    found->key = arena_strdup(collection->arena, key);
    found->measure = measure;
    text_map_put(collection->by_key, found->key, found);
    return found;
}

static DriftValue *add_value(Collection *collection, Collected *to, DriftKind kind, const char *text) {
    DriftSide *side = &to->sides[collection->side];
    size_t *capacity = &to->capacity[collection->side];
    if (side->count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 4;
        DriftValue *grown = ARENA_ARRAY(collection->arena, *capacity, DriftValue);
        if (side->count) memcpy(grown, side->values, side->count * sizeof *grown);
        side->values = grown;
    }
    side->values[side->count] = (DriftValue){.kind = kind, .text = arena_strdup(collection->arena, text)};
    return &side->values[side->count++];
}

/* One more host has this. */
static DriftValue *count_value(Collection *collection, Collected *to, DriftKind kind, const char *text) {
    DriftSide *side = &to->sides[collection->side];
    for (size_t i = 0; i < side->count; i++) {
        DriftValue *value = &side->values[i];
        if (value->kind != kind || (kind == DRIFT_KNOWN && strcmp(value->text, text) != 0)) continue;
        value->hosts++;
        return value;
    }
    if (kind == DRIFT_KNOWN && side->count >= DRIFT_VALUES_MAX)
        return count_value(collection, to, DRIFT_OTHERS, "others");
    DriftValue *value = add_value(collection, to, kind, kind == DRIFT_KNOWN ? text : drift_kind_text(kind));
    value->hosts = 1;
    return value;
}

static void see_text(Collection *collection, const char *key, const json_t *value) {
    const char *text = json_string_value(value);
    bool known = text && *text && strlen(text) <= DRIFT_TEXT_MAX;
    count_value(collection, collected(collection, key, MEASURE_TEXT), known ? DRIFT_KNOWN : DRIFT_UNKNOWN,
                known ? text : "");
}

/* All numbers of a side are one value, which grows with them. */
static void see_number(Collection *collection, const char *key, Measure measure, const json_t *value) {
    Collected *to = collected(collection, key, measure);
    int64_t number = json_integer_value(value);
    if (number <= 0) {
        count_value(collection, to, DRIFT_UNKNOWN, "");
        return;
    }
    DriftValue *range = count_value(collection, to, DRIFT_KNOWN, "");
    if (range->hosts == 1 || number < range->least) range->least = number;
    if (number > range->most) range->most = number;
}

static const char *below(Collection *collection, const char *place, const char *name) {
    return arena_printf(collection->arena, "%s.%s", place, name);
}

static void see_tools(Collection *collection, json_t *tools) {
    const char *name;
    json_t *version;
    size_t seen = 0;
    json_object_foreach(tools, name, version) {
        if (seen++ == DRIFT_KEYS_MAX) break;
        if (strlen(name) <= DRIFT_TEXT_MAX) see_text(collection, below(collection, "tools", name), version);
    }
}

static void see_disks(Collection *collection, const json_t *disks) {
    for (size_t i = 0; i < json_array_size(disks) && i < DRIFT_KEYS_MAX; i++) {
        const json_t *disk = json_array_get(disks, i);
        const char *path = json_get_text(disk, "path", "");
        if (*path && strlen(path) <= DRIFT_TEXT_MAX)
            see_number(collection, below(collection, "disks", path), MEASURE_BYTES,
                       json_object_get(disk, "total_bytes"));
    }
}

static void see_releases(Collection *collection, const json_t *releases) {
    for (size_t i = 0; i < json_array_size(releases) && i < DRIFT_KEYS_MAX; i++) {
        const json_t *release = json_array_get(releases, i);
        const char *service = json_get_text(release, "service", NULL);
        bool known = service && strlen(service) <= DRIFT_TEXT_MAX;
        see_text(collection, known ? below(collection, "releases", service) : "releases",
                 json_object_get(release, "version"));
    }
}

static void see_host(Collection *collection, const json_t *facts) {
    const json_t *os = json_object_get(facts, "os");
    see_text(collection, "os.id", json_object_get(os, "id"));
    see_text(collection, "os.version", json_object_get(os, "version"));
    see_text(collection, "kernel", json_object_get(facts, "kernel"));
    see_text(collection, "architecture", json_object_get(facts, "architecture"));
    see_number(collection, "cpu.cores", MEASURE_COUNT,
               json_object_get(json_object_get(facts, "cpu"), "cores"));
    see_number(collection, "memory.total_bytes", MEASURE_BYTES,
               json_object_get(json_object_get(facts, "memory"), "total_bytes"));
    see_disks(collection, json_object_get(facts, "disks"));
    see_tools(collection, json_object_get(facts, "tools"));
    see_releases(collection, json_object_get(facts, "releases"));
}

/* ---- comparing */

static bool has(const DriftSide *side, DriftKind kind) {
    for (size_t i = 0; i < side->count; i++)
        if (side->values[i].kind == kind) return true;
    return false;
}

static const DriftValue *find_known(const DriftSide *side, const char *text) {
    for (size_t i = 0; i < side->count; i++)
        if (side->values[i].kind == DRIFT_KNOWN && strcmp(side->values[i].text, text) == 0)
            return &side->values[i];
    return NULL;
}

/* Is each known value of `one` there on the other side? */
static bool covers(const DriftSide *other, const DriftSide *one) {
    for (size_t i = 0; i < one->count; i++)
        if (one->values[i].kind == DRIFT_KNOWN && !find_known(other, one->values[i].text)) return false;
    return true;
}

static bool close_to(int64_t a, int64_t b) {
    int64_t larger = a > b ? a : b, smaller = a > b ? b : a;
    return larger - smaller <= larger / 10;
}

/* What both sides know is compared; what one of them has and the other lacks altogether differs. */
static bool known_difference(const Collected *row) {
    const DriftSide *one = &row->sides[0], *other = &row->sides[1];
    if (has(one, DRIFT_ABSENT) != has(other, DRIFT_ABSENT)) return true;
    if (has(one, DRIFT_OTHERS) || has(other, DRIFT_OTHERS)) return true;
    if (!has(one, DRIFT_KNOWN) || !has(other, DRIFT_KNOWN)) return false;
    if (row->measure == MEASURE_TEXT) return !covers(one, other) || !covers(other, one);
    const DriftValue *a = find_known(one, ""), *b = find_known(other, "");
    return !close_to(a->least, b->least) || !close_to(a->most, b->most);
}

static bool unknown(const Collected *row) {
    return has(&row->sides[0], DRIFT_UNKNOWN) || has(&row->sides[1], DRIFT_UNKNOWN);
}

static int frequent_first(const void *a, const void *b) {
    const DriftValue *one = a, *other = b;
    if (one->hosts != other->hosts) return one->hosts > other->hosts ? -1 : 1;
    return strcmp(one->text, other->text);
}

static const char *number_text(Arena *arena, Measure measure, int64_t number) {
    char text[QUANTITY_TEXT_SIZE];
    if (measure == MEASURE_COUNT) return arena_printf(arena, "%" PRId64, number);
    return arena_strdup(arena, quantity_size_text((uint64_t)number, text));
}

static const char *range_text(Arena *arena, Measure measure, const DriftValue *range) {
    const char *least = number_text(arena, measure, range->least);
    const char *most = number_text(arena, measure, range->most);
    return strcmp(least, most) == 0 ? least : arena_printf(arena, "%s–%s", least, most);
}

static DriftRow row_of(Arena *arena, const Collected *from) {
    DriftRow row = {.key = from->key, .number = from->measure != MEASURE_TEXT};
    for (int side = 0; side < 2; side++) {
        row.sides[side] = from->sides[side];
        for (size_t i = 0; row.number && i < row.sides[side].count; i++) {
            DriftValue *value = &row.sides[side].values[i];
            if (value->kind == DRIFT_KNOWN) value->text = range_text(arena, from->measure, value);
        }
        qsort(row.sides[side].values, row.sides[side].count, sizeof(DriftValue), frequent_first);
    }
    return row;
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const DriftRow *)a)->key, ((const DriftRow *)b)->key);
}

/* Nobody on one side has it: that is a value too. */
static void add_absent(Collection *collection, Collected *row, const Drift *drift) {
    for (collection->side = 0; collection->side < 2; collection->side++)
        if (row->sides[collection->side].count == 0)
            add_value(collection, row, DRIFT_ABSENT, drift_kind_text(DRIFT_ABSENT))->hosts =
                drift->hosts[collection->side] - drift->silent[collection->side];
}

static void compare(Collection *collection, Drift *drift) {
    drift->rows = ARENA_ARRAY(collection->arena, text_map_count(collection->by_key), DriftRow);
    bool differs = false;
    void *each;
    for (size_t cursor = 0; text_map_next(collection->by_key, &cursor, &each);) {
        Collected *row = each;
        add_absent(collection, row, drift);
        bool known = known_difference(row);
        differs |= known;
        if (known || unknown(row)) drift->rows[drift->count++] = row_of(collection->arena, row);
    }
    drift->compared = text_map_count(collection->by_key);
    if (drift->count) qsort(drift->rows, drift->count, sizeof *drift->rows, by_key);
    drift->verdict = differs ? DRIFT_DIFFERS : drift->count ? DRIFT_INCONCLUSIVE : DRIFT_SAME;
}

/* ---- hosts */

static bool belongs(const InventoryHost *host, const char *environment) {
    const char *own = inventory_environment(host);
    return host->state == INVENTORY_JOINED && own && strcmp(own, environment) == 0;
}

/* Which hosts there are, and whether they have reported. */
static void look_at_hosts(Collection *collection, const InventoryList *hosts, Drift *drift) {
    for (size_t i = 0; i < hosts->count; i++)
        for (int side = 0; side < 2; side++) {
            const InventoryHost *host = hosts->items[i];
            if (!belongs(host, drift->environments[side])) continue;
            collection->side = side;
            drift->hosts[side]++;
            if (!host->facts) drift->silent[side]++;
            json_t *reported = host->facts ? json_string("reported") : NULL;
            see_text(collection, "facts", reported);
            json_decref(reported);
        }
}

Drift drift_compare(Arena *arena, const Inventory *inventory, const char *environment, const char *other) {
    Drift drift = {.environments = {arena_strdup(arena, environment), arena_strdup(arena, other)}};
    TEXT_MAP_AUTO by_key = text_map_new();
    Collection collection = {.arena = arena, .by_key = by_key};
    InventoryList hosts = inventory_list(inventory, arena);
    look_at_hosts(&collection, &hosts, &drift);
    bool both = drift.hosts[0] > drift.silent[0] && drift.hosts[1] > drift.silent[1];
    for (size_t i = 0; both && i < hosts.count; i++)
        for (collection.side = 0; collection.side < 2; collection.side++)
            if (hosts.items[i]->facts && belongs(hosts.items[i], drift.environments[collection.side]))
                see_host(&collection, hosts.items[i]->facts);
    compare(&collection, &drift);
    if (!both) drift.verdict = DRIFT_INCONCLUSIVE;
    return drift;
}

/* ---- JSON */

static json_t *side_to_json(const DriftSide *side, bool number) {
    json_t *values = json_array();
    for (size_t i = 0; i < side->count; i++) {
        const DriftValue *value = &side->values[i];
        json_t *json = json_object();
        json_set_text(json, "kind", drift_kind_text(value->kind));
        if (value->kind == DRIFT_KNOWN) json_set_text(json, "value", value->text);
        if (value->kind == DRIFT_KNOWN && number) json_set_integer(json, "least", value->least);
        if (value->kind == DRIFT_KNOWN && number) json_set_integer(json, "most", value->most);
        json_set_integer(json, "hosts", (int64_t)value->hosts);
        json_array_append_new(values, json);
    }
    return values;
}

static json_t *text_json(const char *text) { return json_safe_string(text, strlen(text)); }

json_t *drift_to_json(const Drift *drift) {
    json_t *rows = json_array();
    for (size_t i = 0; i < drift->count; i++) {
        const DriftRow *row = &drift->rows[i];
        json_array_append_new(rows, json_pack("{s:s, s:[o,o]}", "key", row->key, "sides",
                                              side_to_json(&row->sides[0], row->number),
                                              side_to_json(&row->sides[1], row->number)));
    }
    json_t *json = json_pack(
        "{s:[o,o], s:[I,I], s:[I,I], s:I, s:s, s:o}", "environments", text_json(drift->environments[0]),
        text_json(drift->environments[1]), "hosts", (json_int_t)drift->hosts[0], (json_int_t)drift->hosts[1],
        "silent", (json_int_t)drift->silent[0], (json_int_t)drift->silent[1], "compared",
        (json_int_t)drift->compared, "verdict", drift_verdict_text(drift->verdict), "rows", rows);
    if (!json) abort();
    return json;
}
