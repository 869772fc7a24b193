#include "model/schema.h"
#include "base/json.h"
#include "base/quantity.h"
#include <inttypes.h>
#include <string.h>

/* Lists of structs all have this layout. */
typedef struct ObjectList {
    void *items;
    size_t count;
} ObjectList;

typedef struct Decoder {
    Arena *arena;   /* of what is decoded, and nothing else: it may stay for long */
    Arena *scratch; /* of what only errors want: where something stood */
    const char *file;
    Error *error;
    int absent; /* > 0: within something that was not said */
} Decoder;

const char *pair_find(const PairList *list, const char *key) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].key, key) == 0) return list->items[i].value;
    return NULL;
}

/* Where it was: "FILE:LINE:COLUMN: path: " (JSON has no lines). */
static int located(Decoder *decoder, int line, int column, const char *path) {
    if (*path) error_prefix(decoder->error, "%s", path);
    if (line == 0) return error_prefix(decoder->error, "%s", decoder->file);
    return error_prefix(decoder->error, "%s:%d:%d", decoder->file, line, column);
}

static int at(Decoder *decoder, const Node *node, const char *path) {
    return located(decoder, node->line, node->column, path);
}

static const Field *find_field(const Schema *schema, const char *key) {
    for (size_t i = 0; i < schema->field_count; i++)
        if (strcmp(schema->fields[i].key, key) == 0) return &schema->fields[i];
    return NULL;
}

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein's distance, for words of up to 31 characters. */
static size_t distance(const char *a, const char *b) {
    enum { WORD_MAX = 32 };
    size_t rows = strlen(a), columns = strlen(b), row[WORD_MAX];
    if (rows >= WORD_MAX || columns >= WORD_MAX) return WORD_MAX;
    for (size_t j = 0; j <= columns; j++) row[j] = j;
    for (size_t i = 1; i <= rows; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            size_t above = row[j];
            row[j] = smallest(above + 1, row[j - 1] + 1, corner + (a[i - 1] != b[j - 1]));
            corner = above;
        }
    }
    return row[columns];
}

static int unknown_key(Decoder *decoder, const Schema *schema, const NodeEntry *entry, const char *path) {
    const char *nearest = NULL;
    size_t least = 4;
    for (size_t i = 0; i < schema->field_count; i++) {
        size_t steps = distance(entry->key, schema->fields[i].key);
        if (steps >= least) continue;
        least = steps;
        nearest = schema->fields[i].key;
    }
    error_set(decoder->error, ERROR_INVALID, "unknown key “%s”", entry->key);
    if (nearest) error_hint(decoder->error, "did you mean “%s”?", nearest);
    return located(decoder, entry->line, entry->column, path);
}

static const char *below(Decoder *decoder, const char *path, const char *key) {
    return *path ? arena_printf(decoder->scratch, "%s.%s", path, key) : key;
}

static bool parse_integer(const char *text, int64_t *out) {
    bool negative = *text == '-';
    const char *digit = text + negative;
    if (!*digit || strlen(digit) > 18) return false;
    int64_t value = 0;
    for (; *digit; digit++) {
        if (*digit < '0' || *digit > '9') return false;
        value = value * 10 + (*digit - '0');
    }
    *out = negative ? -value : value;
    return true;
}

static bool parse_amount(const char *text, unsigned notations, Amount *out) {
    char digits[20];
    size_t length = strlen(text);
    Amount amount = {.set = true};
    uint64_t bytes;
    if ((notations & AMOUNT_PERCENT) && length > 1 && length < sizeof digits && text[length - 1] == '%') {
        memcpy(digits, text, length - 1);
        digits[length - 1] = '\0';
        amount.percent = true;
        if (!parse_integer(digits, &amount.value) || amount.value < 0 || amount.value > 100) return false;
    } else if ((notations & AMOUNT_SIZE) && quantity_size_parse(text, &bytes) == 0) {
        amount.value = (int64_t)bytes;
    } else if (!(notations & AMOUNT_COUNT) || !parse_integer(text, &amount.value) || amount.value < 0) {
        return false;
    }
    *out = amount;
    return true;
}

/* The one pattern there is, SCHEMA_NAME, without a regular-expression engine. */
bool schema_is_name(const char *text) {
    size_t length = strlen(text);
    if (length == 0 || length > 64) return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || !strchr("._+-", c))) return false;
    }
    return true;
}

static const char *list_choices(Decoder *decoder, const char *const *choices) {
    const char *text = choices[0];
    for (size_t i = 1; choices[i]; i++) text = arena_printf(decoder->scratch, "%s, %s", text, choices[i]);
    return text;
}

static int decode_string(Decoder *decoder, const Field *field, const Node *node, const char *path,
                         void *target) {
    bool word = !node->quoted && (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0);
    if (node->null || word) {
        error_set(decoder->error, ERROR_INVALID,
                  node->null ? "expected text, found nothing" : "expected text, found %s; put it in quotes",
                  node->text);
        return at(decoder, node, path);
    }
    if (field->pattern && !schema_is_name(node->text)) {
        error_set(
            decoder->error, ERROR_INVALID,
            "“%s” is not a name: letters, digits, “.”, “_”, “+” and “-”, beginning with a letter or digit",
            node->text);
        return at(decoder, node, path);
    }
    for (size_t i = 0; field->choices; i++) {
        if (field->choices[i] && strcmp(field->choices[i], node->text) != 0) continue;
        if (field->choices[i]) break;
        error_set(decoder->error, ERROR_INVALID, "“%s” is none of: %s", node->text,
                  list_choices(decoder, field->choices));
        return at(decoder, node, path);
    }
    *(const char **)target = arena_strdup(decoder->arena, node->text);
    return 0;
}

static int in_bounds(Decoder *decoder, const Field *field, const Node *node, const char *path,
                     int64_t value) {
    bool any = field->minimum == 0 && field->maximum == 0;
    if (value >= field->minimum && (any || value <= field->maximum)) return 0;
    if (any || value < field->minimum)
        error_set(decoder->error, ERROR_INVALID, "“%s” is too small", node->text);
    else
        error_set(decoder->error, ERROR_INVALID, "“%s” is too large", node->text);
    return at(decoder, node, path);
}

/* Says which notations there are. */
static int not_an_amount(Error *error, unsigned amounts, const char *text) {
    if (amounts == (AMOUNT_SIZE | AMOUNT_PERCENT))
        return error_set(error, ERROR_INVALID,
                         "expected a size such as 512MiB or a percentage such as 15%%, found “%s”", text);
    if (amounts == AMOUNT_PERCENT)
        return error_set(error, ERROR_INVALID, "expected a percentage such as 10%%, found “%s”", text);
    return error_set(error, ERROR_INVALID, "expected a number or a percentage such as 25%%, found “%s”",
                     text);
}

static int decode_number(Decoder *decoder, const Field *field, const Node *node, const char *path,
                         void *target) {
    int64_t value = 0;
    switch (field->type) {
    case FIELD_INTEGER:
        if (node->quoted || !parse_integer(node->text, &value)) {
            error_set(decoder->error, ERROR_INVALID, "expected a whole number, found “%s”", node->text);
            return at(decoder, node, path);
        }
        break;
    case FIELD_DURATION:
        if (quantity_duration_parse(node->text, &value) < 0) {
            error_set(decoder->error, ERROR_INVALID,
                      "expected a duration such as 500ms, 30s, 10m, 2h or 1d, found “%s”", node->text);
            return at(decoder, node, path);
        }
        break;
    default: break;
    }
    if (in_bounds(decoder, field, node, path, value) < 0) return -1;
    *(int64_t *)target = value;
    return 0;
}

static int decode_scalar(Decoder *decoder, const Field *field, const Node *node, const char *path,
                         void *target) {
    if (node->kind != NODE_SCALAR) {
        error_set(decoder->error, ERROR_INVALID,
                  node->kind == NODE_LIST ? "expected a single value, found a list"
                                          : "expected a single value, found a map");
        return at(decoder, node, path);
    }
    if (field->type == FIELD_STRING) return decode_string(decoder, field, node, path, target);
    if (field->type == FIELD_INTEGER || field->type == FIELD_DURATION)
        return decode_number(decoder, field, node, path, target);
    if (field->type == FIELD_BOOL) {
        bool yes = strcmp(node->text, "true") == 0, no = strcmp(node->text, "false") == 0;
        if (node->quoted || !(yes || no)) {
            error_set(decoder->error, ERROR_INVALID, "expected true or false, found “%s”", node->text);
            return at(decoder, node, path);
        }
        *(bool *)target = yes;
        return 0;
    }
    Amount amount = {0};
    if (!parse_amount(node->text, field->amounts, &amount)) {
        not_an_amount(decoder->error, field->amounts, node->text);
        return at(decoder, node, path);
    }
    if (in_bounds(decoder, field, node, path, amount.value) < 0) return -1;
    *(Amount *)target = amount;
    return 0;
}

static int expect_kind(Decoder *decoder, const Node *node, NodeKind kind, const char *path) {
    if (node->kind == kind) return 0;
    if (kind == NODE_LIST)
        error_set(decoder->error, ERROR_INVALID, "expected a list");
    else
        error_set(decoder->error, ERROR_INVALID, "expected a map of keys and values");
    return at(decoder, node, path);
}

static int decode_strings(Decoder *decoder, const Field *field, const Node *node, const char *path,
                          StringList *out) {
    if (expect_kind(decoder, node, NODE_LIST, path) < 0) return -1;
    StringList list = {ARENA_ARRAY(decoder->arena, node->count, const char *), node->count};
    Field item = {.type = FIELD_STRING, .pattern = field->pattern};
    for (size_t i = 0; i < node->count; i++)
        if (decode_scalar(decoder, &item, node->entries[i].value, path, &list.items[i]) < 0) return -1;
    *out = list;
    return 0;
}

static int decode_pairs(Decoder *decoder, const Node *node, const char *path, PairList *out) {
    if (expect_kind(decoder, node, NODE_MAP, path) < 0) return -1;
    PairList list = {ARENA_ARRAY(decoder->arena, node->count, Pair), node->count};
    Field item = {.type = FIELD_STRING};
    for (size_t i = 0; i < node->count; i++) {
        list.items[i].key = arena_strdup(decoder->arena, node->entries[i].key);
        if (decode_scalar(decoder, &item, node->entries[i].value, below(decoder, path, node->entries[i].key),
                          &list.items[i].value) < 0)
            return -1;
    }
    *out = list;
    return 0;
}

static int decode_object(Decoder *decoder, const Schema *schema, const Node *node, const char *path,
                         void *out);

static int decode_objects(Decoder *decoder, const Field *field, const Node *node, const char *path,
                          ObjectList *out) {
    if (expect_kind(decoder, node, NODE_LIST, path) < 0) return -1;
    ObjectList list = {arena_array(decoder->arena, node->count, field->schema->size), node->count};
    for (size_t i = 0; i < node->count; i++) {
        char *item = (char *)list.items + i * field->schema->size;
        const char *where = arena_printf(decoder->scratch, "%s[%zu]", path, i + 1);
        if (decode_object(decoder, field->schema, node->entries[i].value, where, item) < 0) return -1;
    }
    *out = list;
    return 0;
}

static int decode_field(Decoder *decoder, const Field *field, const Node *node, const char *path,
                        void *target) {
    switch (field->type) {
    case FIELD_STRINGS: return decode_strings(decoder, field, node, path, target);
    case FIELD_PAIRS: return decode_pairs(decoder, node, path, target);
    case FIELD_OBJECT: return decode_object(decoder, field->schema, node, path, target);
    case FIELD_OBJECTS: return decode_objects(decoder, field, node, path, target);
    case FIELD_OPTIONAL: {
        void *object = arena_alloc(decoder->arena, field->schema->size);
        if (decode_object(decoder, field->schema, node, path, object) < 0) return -1;
        *(void **)target = object;
        return 0;
    }
    default: return decode_scalar(decoder, field, node, path, target);
    }
}

/* What was not said: the default, or — where something must be said — an error. */
static int decode_missing(Decoder *decoder, const Field *field, const Node *map, const char *path,
                          void *target) {
    if (field->required) {
        error_set(decoder->error, ERROR_INVALID, "“%s” is missing", field->key);
        return at(decoder, map, path);
    }
    if (field->type == FIELD_OBJECT) {
        Node empty = {.kind = NODE_MAP, .line = map->line, .column = map->column};
        decoder->absent++;
        int result = decode_object(decoder, field->schema, &empty, below(decoder, path, field->key), target);
        decoder->absent--;
        return result;
    }
    if (!field->fallback) return 0;
    Node node = {.kind = NODE_SCALAR, .text = field->fallback};
    return decode_field(decoder, field, &node, below(decoder, path, field->key), target);
}

static int check_one_of(Decoder *decoder, const Schema *schema, const Node *map, const char *path) {
    if (!schema->one_of || decoder->absent) return 0;
    size_t given = 0;
    for (size_t i = 0; schema->one_of[i]; i++) given += node_find(map, schema->one_of[i]) != NULL;
    if (given == 1) return 0;
    error_set(decoder->error, ERROR_INVALID, "exactly one is needed of: %s",
              list_choices(decoder, schema->one_of));
    return at(decoder, map, path);
}

static int decode_object(Decoder *decoder, const Schema *schema, const Node *node, const char *path,
                         void *out) {
    if (expect_kind(decoder, node, NODE_MAP, path) < 0) return -1;
    for (size_t i = 0; i < node->count; i++) {
        const NodeEntry *entry = &node->entries[i];
        const Field *field = find_field(schema, entry->key);
        if (!field) return unknown_key(decoder, schema, entry, path);
        const char *where = below(decoder, path, field->key);
        if (decode_field(decoder, field, entry->value, where, (char *)out + field->offset) < 0) return -1;
        if (field->required && entry->value->kind != NODE_SCALAR && entry->value->count == 0) {
            error_set(decoder->error, ERROR_INVALID, "must not be empty");
            return at(decoder, entry->value, where);
        }
    }
    if (check_one_of(decoder, schema, node, path) < 0) return -1;
    for (size_t i = 0; i < schema->field_count; i++) {
        const Field *field = &schema->fields[i];
        if (node_find(node, field->key)) continue;
        if (decode_missing(decoder, field, node, path, (char *)out + field->offset) < 0) return -1;
    }
    return 0;
}

int schema_decode(const Schema *schema, Arena *arena, const char *file, const Node *node, void *out,
                  Error *error) {
    ARENA_AUTO scratch = arena_new();
    Decoder decoder = {.arena = arena, .scratch = scratch, .file = file, .error = error};
    return decode_object(&decoder, schema, node, "", out);
}
