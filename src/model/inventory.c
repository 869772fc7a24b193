/* The fold: what the events so far say of each host. */
#include "model/inventory.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text_map.h"
#include "model/selector.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct Inventory {
    TextMap *hosts; /* InventoryHost by name, each of its own memory */
    int64_t sequence;
};

/* One event being looked at. */
typedef struct Fold {
    const json_t *event;
    InventoryHost *host; /* NULL while it is only checked and the host is unknown */
    int64_t time_ms;
} Fold;

const char *inventory_state_text(InventoryState state) {
    static const char *const texts[] = {"described", "invited", "joined", "revoked"};
    return texts[state];
}

/* ---- hosts */

static InventoryHost *host_new(const char *name) {
    InventoryHost *host = calloc(1, sizeof *host);
    if (!host || !(host->name = strdup(name)) || !(host->labels = json_object()) ||
        !(host->vars = json_object()))
        abort();
    return host;
}

static void host_free(InventoryHost *host) {
    free((char *)host->name);
    free(host->token_id);
    free(host->serial);
    free(host->address);
    free(host->why);
    json_decref(host->labels);
    json_decref(host->vars);
    json_decref(host->facts);
    free(host);
}

Inventory *inventory_new(void) {
    Inventory *inventory = calloc(1, sizeof *inventory);
    if (!inventory) abort();
    inventory->hosts = text_map_new();
    return inventory;
}

void inventory_free(Inventory *inventory) {
    if (!inventory) return;
    void *host;
    for (size_t cursor = 0; text_map_next(inventory->hosts, &cursor, &host);) host_free(host);
    text_map_free(inventory->hosts);
    free(inventory);
}

int64_t inventory_sequence(const Inventory *inventory) { return inventory->sequence; }

size_t inventory_count(const Inventory *inventory) { return text_map_count(inventory->hosts); }

const InventoryHost *inventory_host(const Inventory *inventory, const char *name) {
    return text_map_find(inventory->hosts, name);
}

static int by_name(const void *a, const void *b) {
    const InventoryHost *const *one = a, *const *other = b;
    return strcmp((*one)->name, (*other)->name);
}

InventoryList inventory_list(const Inventory *inventory, Arena *arena) {
    InventoryList list = {ARENA_ARRAY(arena, inventory_count(inventory), const InventoryHost *), 0};
    void *host;
    for (size_t cursor = 0; text_map_next(inventory->hosts, &cursor, &host);) list.items[list.count++] = host;
    if (list.count) qsort(list.items, list.count, sizeof *list.items, by_name);
    return list;
}

const char *inventory_label(const InventoryHost *host, const char *key) {
    return json_get_text(host->labels, key, NULL);
}

const char *inventory_environment(const InventoryHost *host) { return inventory_label(host, "environment"); }

static const char *label_of(const void *host, const char *key) { return inventory_label(host, key); }

bool inventory_matches(const InventoryHost *host, const PairList *select) {
    return selector_matches(select, label_of, host);
}

static void set_time(json_t *json, const char *key, int64_t time_ms) {
    char text[CLOCK_TEXT_SIZE];
    if (time_ms == 0) return;
    clock_to_text(time_ms, text);
    json_set_text(json, key, text);
}

json_t *inventory_host_to_json(const InventoryHost *host) {
    json_t *json = json_object();
    if (!json) abort();
    json_set_text(json, "name", host->name);
    json_set_text(json, "state", inventory_state_text(host->state));
    json_set_text(json, "token_id", host->token_id);
    set_time(json, "token_expires", host->token_expires_ms);
    set_time(json, "joined", host->joined_ms);
    json_set_text(json, "serial", host->serial);
    set_time(json, "not_after", host->not_after_ms);
    json_set_text(json, "address", host->address);
    json_set_text(json, "why", host->why);
    set_time(json, "facts_time", host->facts_ms);
    if (json_object_size(host->labels)) json_object_set_new(json, "labels", json_copy(host->labels));
    if (json_object_size(host->vars)) json_object_set_new(json, "vars", json_copy(host->vars));
    if (host->facts) json_object_set(json, "facts", host->facts);
    return json;
}

/* ---- may an event be written? */

static int check_text(const json_t *event, const char *key, Error *error) {
    const json_t *value = json_object_get(event, key);
    if (!value || (json_is_string(value) && json_string_length(value) <= INVENTORY_TEXT_MAX)) return 0;
    return error_set(error, ERROR_INVALID, "“%s” must be a text of at most %d bytes", key,
                     INVENTORY_TEXT_MAX);
}

static int check_time(const json_t *event, const char *key, Error *error) {
    const json_t *value = json_object_get(event, key);
    int64_t time_ms;
    if (!value || (json_is_string(value) && clock_from_text(json_string_value(value), &time_ms) == 0))
        return 0;
    return error_set(error, ERROR_INVALID, "“%s” must be a time such as 2026-11-21T20:15:00Z", key);
}

/* `pairs` over those that the host has (NULL: none): each fit, and together not too many. */
static int check_pairs(const json_t *event, const char *key, const json_t *own, Error *error) {
    json_t *pairs = json_object_get(event, key), *value;
    const char *name;
    size_t count = json_object_size(own);
    if (pairs && !json_is_object(pairs))
        return error_set(error, ERROR_INVALID, "“%s” must be a map of texts", key);
    json_object_foreach(pairs, name, value) {
        bool known = json_object_get(own, name) != NULL;
        if (!*name || strlen(name) > INVENTORY_KEY_MAX)
            return error_set(error, ERROR_INVALID, "“%s”: a key has 1 to %d bytes", key, INVENTORY_KEY_MAX);
        if (!json_is_null(value) &&
            (!json_is_string(value) || json_string_length(value) > INVENTORY_VALUE_MAX))
            return error_set(error, ERROR_INVALID,
                             "“%s”: the value of “%s” must be a text of at most %d bytes, or null", key, name,
                             INVENTORY_VALUE_MAX);
        if (json_is_null(value) && known) count--;
        if (!json_is_null(value) && !known) count++;
    }
    if (count > INVENTORY_PAIRS_MAX)
        return error_set(error, ERROR_INVALID, "“%s”: a host has at most %d of them", key,
                         INVENTORY_PAIRS_MAX);
    return 0;
}

static int check_facts(const json_t *event, Error *error) {
    const json_t *facts = json_object_get(event, "facts");
    if (!json_is_object(facts)) return error_set(error, ERROR_INVALID, "“%s” must be a map", "facts");
    if (json_dumpb(facts, NULL, 0, JSON_COMPACT) > INVENTORY_FACTS_MAX)
        return error_set(error, ERROR_INVALID, "“%s” has more than %d bytes", "facts", INVENTORY_FACTS_MAX);
    return 0;
}

/* ---- what each event says */

static void set_text(char **text, const char *value) {
    char *copy = value ? strdup(value) : NULL;
    if (value && !copy) abort();
    free(*text);
    *text = copy;
}

static int64_t time_of(const json_t *event, const char *key) {
    int64_t time_ms = 0;
    clock_from_text(json_get_text(event, key, ""), &time_ms);
    return time_ms;
}

static void merge(json_t *own, json_t *pairs) {
    const char *key;
    json_t *value;
    json_object_foreach(pairs, key, value) {
        if (json_is_null(value))
            json_object_del(own, key);
        else if (json_object_set(own, key, value) != 0)
            abort();
    }
}

static void fold_described(Fold *fold) {
    merge(fold->host->labels, json_object_get(fold->event, "labels"));
    merge(fold->host->vars, json_object_get(fold->event, "vars"));
}

static void fold_invited(Fold *fold) {
    InventoryHost *host = fold->host;
    fold_described(fold);
    if (host->state != INVENTORY_JOINED) host->state = INVENTORY_INVITED;
    set_text(&host->token_id, json_get_text(fold->event, "token_id", NULL));
    host->token_expires_ms = time_of(fold->event, "expires");
}

static void take_certificate(Fold *fold) {
    set_text(&fold->host->serial, json_get_text(fold->event, "serial", NULL));
    fold->host->not_after_ms = time_of(fold->event, "not_after");
}

static void fold_joined(Fold *fold) {
    InventoryHost *host = fold->host;
    fold_described(fold);
    take_certificate(fold);
    host->state = INVENTORY_JOINED;
    host->joined_ms = fold->time_ms;
    host->token_expires_ms = 0; /* a token is used once */
    set_text(&host->token_id, NULL);
    set_text(&host->address, json_get_text(fold->event, "address", NULL));
    set_text(&host->why, NULL);
}

static void fold_renewed(Fold *fold) {
    if (fold->host->state == INVENTORY_JOINED) take_certificate(fold);
}

/* Also when it names an older certificate than the host's last one: whoever revokes wants the host out. */
static void fold_revoked(Fold *fold) {
    InventoryHost *host = fold->host;
    host->state = INVENTORY_REVOKED;
    host->token_expires_ms = 0;
    set_text(&host->token_id, NULL);
    set_text(&host->why, json_get_text(fold->event, "why", NULL));
}

static void fold_facts(Fold *fold) {
    InventoryHost *host = fold->host;
    json_t *facts = json_incref(json_object_get(fold->event, "facts"));
    json_decref(host->facts);
    host->facts = facts;
    host->facts_ms = fold->time_ms;
}

static const struct FoldRow {
    const char *type;
    void (*fold)(Fold *fold); /* NULL: the host is forgotten */
    bool makes;               /* the host, where it is unknown */
} folds[] = {
    {"host.described", fold_described, true},
    {"host.invited", fold_invited, true},
    {"host.joined", fold_joined, true},
    {"host.renewed", fold_renewed, false},
    {"host.revoked", fold_revoked, false},
    {"host.facts", fold_facts, false},
    {"host.removed", NULL, false},
};

static const struct FoldRow *row_of(const json_t *event) {
    const char *type = json_get_text(event, "type", "");
    for (size_t i = 0; i < sizeof folds / sizeof *folds; i++)
        if (strcmp(type, folds[i].type) == 0) return &folds[i];
    return NULL;
}

static int check_parts(const struct FoldRow *row, const Fold *fold, Error *error) {
    static const char *const texts[] = {"token_id", "serial", "address", "why"};
    const json_t *event = fold->event;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (check_text(event, texts[i], error) < 0) return -1;
    if (check_time(event, "expires", error) < 0 || check_time(event, "not_after", error) < 0) return -1;
    if (row->fold == fold_facts) return check_facts(event, error);
    if (check_pairs(event, "labels", fold->host ? fold->host->labels : NULL, error) < 0) return -1;
    return check_pairs(event, "vars", fold->host ? fold->host->vars : NULL, error);
}

/* All that could be wrong with an event of that row; *out is ready to be folded. */
static int prepare(const Inventory *inventory, const struct FoldRow *row, const json_t *event, Fold *out,
                   Error *error) {
    Fold fold = {.event = event};
    const char *name = json_get_text(event, "host", "");
    if (!schema_is_name(name))
        return error_set(
            error, ERROR_INVALID,
            "“%s” is not a name: letters, digits, “.”, “_”, “+” and “-”, beginning with a letter "
            "or digit",
            name);
    if (clock_from_text(json_get_text(event, "time", ""), &fold.time_ms) < 0)
        return error_set(error, ERROR_INVALID, "“%s” must be a time such as 2026-11-21T20:15:00Z", "time");
    fold.host = text_map_find(inventory->hosts, name);
    if (!fold.host && row->makes && inventory_count(inventory) >= INVENTORY_HOSTS_MAX) {
        error_set(error, ERROR_INVALID, "there are %d hosts already, more are not kept", INVENTORY_HOSTS_MAX);
        return error_hint(error, "remove some that are gone");
    }
    if (check_parts(row, &fold, error) < 0) return error_prefix(error, "host %s", name);
    *out = fold;
    return 0;
}

int inventory_check(const Inventory *inventory, const json_t *event, Error *error) {
    Fold fold;
    const struct FoldRow *row = row_of(event);
    return row ? prepare(inventory, row, event, &fold, error) : 0;
}

static void apply(Inventory *inventory, const struct FoldRow *row, Fold *fold) {
    if (!row->fold) {
        if (fold->host) text_map_remove(inventory->hosts, fold->host->name);
        if (fold->host) host_free(fold->host);
        return;
    }
    if (!fold->host && !row->makes) return;
    if (!fold->host) {
        fold->host = host_new(json_get_text(fold->event, "host", ""));
        text_map_put(inventory->hosts, fold->host->name, fold->host);
    }
    row->fold(fold);
}

int inventory_fold(Inventory *inventory, int64_t sequence, const json_t *event, Error *error) {
    Fold fold;
    const struct FoldRow *row = row_of(event);
    if (row && prepare(inventory, row, event, &fold, error) < 0) {
        if (error) error->kind = ERROR_ATTENTION;
        return error_prefix(error, "event %" PRId64, sequence);
    }
    if (row) apply(inventory, row, &fold);
    inventory->sequence = sequence;
    return 0;
}
