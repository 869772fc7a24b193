/* The other directions of a schema: to JSON, to the same struct with variables replaced, to JSON Schema. */
#include "base/buffer.h"
#include "base/json.h"
#include "base/quantity.h"
#include "model/schema.h"
#include <stdlib.h>
#include <string.h>

typedef struct ObjectList {
    void *items;
    size_t count;
} ObjectList;

static json_t *encode_amount(const Field *field, const Amount *amount) {
    if (amount->percent) return json_sprintf("%d%%", (int)amount->value);
    if (!(field->amounts & AMOUNT_SIZE)) return json_integer(amount->value);
    return json_sprintf("%" JSON_INTEGER_FORMAT "B", (json_int_t)amount->value);
}

static json_t *encode_strings(const StringList *list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++) json_array_append_new(array, json_string(list->items[i]));
    return array;
}

static json_t *encode_pairs(const PairList *list) {
    json_t *object = json_object();
    for (size_t i = 0; i < list->count; i++)
        json_object_set_new(object, list->items[i].key, json_string(list->items[i].value));
    return object;
}

static json_t *encode_objects(const Schema *schema, const ObjectList *list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, schema_encode(schema, (const char *)list->items + i * schema->size));
    return array;
}

/* NULL where there is nothing to say. */
static json_t *encode_field(const Field *field, const void *value) {
    char text[QUANTITY_TEXT_SIZE];
    switch (field->type) {
    case FIELD_STRING: {
        const char *string = *(const char *const *)value;
        return string ? json_string(string) : NULL;
    }
    case FIELD_INTEGER: return json_integer(*(const int64_t *)value);
    case FIELD_BOOL: return json_boolean(*(const bool *)value);
    case FIELD_DURATION: return json_string(quantity_duration_notation(*(const int64_t *)value, text));
    case FIELD_AMOUNT: {
        const Amount *amount = value;
        return amount->set ? encode_amount(field, amount) : NULL;
    }
    case FIELD_STRINGS: {
        const StringList *list = value;
        return list->count ? encode_strings(list) : NULL;
    }
    case FIELD_PAIRS: {
        const PairList *list = value;
        return list->count ? encode_pairs(list) : NULL;
    }
    case FIELD_OBJECT: return schema_encode(field->schema, value);
    case FIELD_OPTIONAL: {
        const void *object = *(void *const *)value;
        return object ? schema_encode(field->schema, object) : NULL;
    }
    case FIELD_OBJECTS: {
        const ObjectList *list = value;
        return list->count ? encode_objects(field->schema, list) : NULL;
    }
    }
    return NULL;
}

json_t *schema_encode(const Schema *schema, const void *value) {
    json_t *object = json_object();
    for (size_t i = 0; i < schema->field_count; i++) {
        const Field *field = &schema->fields[i];
        json_t *encoded = encode_field(field, (const char *)value + field->offset);
        if (encoded) json_object_set_new(object, field->key, encoded);
    }
    return object;
}

typedef struct Expander {
    Arena *arena;
    SchemaResolve resolve;
    void *context;
    Error *error;
} Expander;

static int expand_string(Expander *expander, const char **text) {
    if (!*text || !strstr(*text, "${")) return 0;
    BUFFER_AUTO out = {0};
    for (const char *at = *text; *at;) {
        const char *open = strstr(at, "${");
        if (!open) {
            buffer_text_append(&out, at);
            break;
        }
        buffer_append(&out, at, (size_t)(open - at));
        const char *close = strchr(open, '}');
        if (!close) return error_set(expander->error, ERROR_INVALID, "“%s”: “${” without “}”", *text);
        const char *name = arena_strndup(expander->arena, open + 2, (size_t)(close - open - 2));
        const char *value = expander->resolve(expander->context, name);
        if (!value)
            return error_set(expander->error, ERROR_INVALID, "“%s”: there is no variable ${%s}", *text, name);
        buffer_text_append(&out, value);
        at = close + 1;
    }
    *text = arena_strdup(expander->arena, buffer_text(&out));
    return 0;
}

static int expand_object(Expander *expander, const Schema *schema, void *value);

static int expand_strings(Expander *expander, StringList *list) {
    const char **items = ARENA_ARRAY(expander->arena, list->count, const char *);
    for (size_t i = 0; i < list->count; i++) {
        items[i] = list->items[i];
        if (expand_string(expander, &items[i]) < 0) return -1;
    }
    list->items = items;
    return 0;
}

static int expand_pairs(Expander *expander, PairList *list) {
    Pair *items = ARENA_ARRAY(expander->arena, list->count, Pair);
    for (size_t i = 0; i < list->count; i++) {
        items[i] = list->items[i];
        if (expand_string(expander, &items[i].value) < 0) return -1;
    }
    list->items = items;
    return 0;
}

static int expand_objects(Expander *expander, const Schema *schema, ObjectList *list) {
    char *items = arena_array(expander->arena, list->count, schema->size);
    if (list->count) memcpy(items, list->items, list->count * schema->size);
    for (size_t i = 0; i < list->count; i++)
        if (expand_object(expander, schema, items + i * schema->size) < 0) return -1;
    list->items = items;
    return 0;
}

static int expand_optional(Expander *expander, const Schema *schema, void **object) {
    if (!*object) return 0;
    void *copy = arena_alloc(expander->arena, schema->size);
    memcpy(copy, *object, schema->size);
    *object = copy;
    return expand_object(expander, schema, copy);
}

static int expand_field(Expander *expander, const Field *field, void *value) {
    switch (field->type) {
    case FIELD_STRING: return expand_string(expander, value);
    case FIELD_STRINGS: return expand_strings(expander, value);
    case FIELD_PAIRS: return expand_pairs(expander, value);
    case FIELD_OBJECT: return expand_object(expander, field->schema, value);
    case FIELD_OPTIONAL: return expand_optional(expander, field->schema, value);
    case FIELD_OBJECTS: return expand_objects(expander, field->schema, value);
    default: return 0;
    }
}

/* `value` is already a copy; what it points to is copied before it is changed. */
static int expand_object(Expander *expander, const Schema *schema, void *value) {
    for (size_t i = 0; i < schema->field_count; i++) {
        const Field *field = &schema->fields[i];
        if (expand_field(expander, field, (char *)value + field->offset) < 0)
            return error_prefix(expander->error, "%s", field->key);
    }
    return 0;
}

int schema_expand(const Schema *schema, Arena *arena, const void *value, SchemaResolve resolve, void *context,
                  void *out, Error *error) {
    Expander expander = {arena, resolve, context, error};
    void *copy = arena_alloc(arena, schema->size);
    memcpy(copy, value, schema->size);
    if (expand_object(&expander, schema, copy) < 0) return -1;
    memcpy(out, copy, schema->size);
    return 0;
}

static json_t *publish_object(const Schema *schema);

static json_t *publish_integer(const Field *field) {
    json_t *integer = json_pack("{s:s, s:I}", "type", "integer", "minimum", (json_int_t)field->minimum);
    if (field->maximum) json_object_set_new(integer, "maximum", json_integer(field->maximum));
    return integer;
}

/* Plain 8080 and 1.10 are text where text is wanted, whatever an editor takes them for. */
static json_t *publish_text(void) { return json_pack("{s:[s,s]}", "type", "string", "number"); }

static json_t *publish_scalar(const Field *field) {
    switch (field->type) {
    case FIELD_INTEGER: return publish_integer(field);
    case FIELD_BOOL: return json_pack("{s:s}", "type", "boolean");
    case FIELD_DURATION: return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9]+(ms|s|m|h|d)$");
    case FIELD_AMOUNT:
        if (field->amounts & AMOUNT_SIZE)
            return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9]+(B|[KMGT]i?B|%)$");
        if (field->amounts == AMOUNT_PERCENT)
            return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9]+%$");
        return json_pack("{s:[{s:s},{s:s,s:s}]}", "anyOf", "type", "integer", "type", "string", "pattern",
                         "^[0-9]+%?$");
    default: break;
    }
    if (!field->pattern && !field->choices) return publish_text();
    json_t *string = json_pack("{s:s}", "type", "string");
    if (field->pattern) json_object_set_new(string, "pattern", json_string(field->pattern));
    if (field->choices) {
        json_t *choices = json_array();
        for (size_t i = 0; field->choices[i]; i++)
            json_array_append_new(choices, json_string(field->choices[i]));
        json_object_set_new(string, "enum", choices);
    }
    return string;
}

static json_t *publish_default(const Field *field) {
    if (field->type == FIELD_BOOL) return json_boolean(strcmp(field->fallback, "true") == 0);
    if (field->type == FIELD_INTEGER || (field->amounts & AMOUNT_COUNT && !strchr(field->fallback, '%')))
        return json_integer(strtoll(field->fallback, NULL, 10));
    return json_string(field->fallback);
}

static json_t *publish_field(const Field *field) {
    json_t *published;
    switch (field->type) {
    case FIELD_STRINGS: published = json_pack("{s:s, s:o}", "type", "array", "items", publish_text()); break;
    case FIELD_PAIRS:
        published = json_pack("{s:s, s:o}", "type", "object", "additionalProperties", publish_text());
        break;
    case FIELD_OBJECT:
    case FIELD_OPTIONAL: published = publish_object(field->schema); break;
    case FIELD_OBJECTS:
        published = json_pack("{s:s, s:o}", "type", "array", "items", publish_object(field->schema));
        break;
    default: published = publish_scalar(field); break;
    }
    if (field->required && (field->type == FIELD_OBJECTS || field->type == FIELD_STRINGS))
        json_object_set_new(published, "minItems", json_integer(1));
    if (field->fallback) json_object_set_new(published, "default", publish_default(field));
    if (field->text) json_object_set_new(published, "description", json_string(field->text));
    return published;
}

static json_t *publish_object(const Schema *schema) {
    json_t *properties = json_object(), *required = json_array();
    for (size_t i = 0; i < schema->field_count; i++) {
        const Field *field = &schema->fields[i];
        json_object_set_new(properties, field->key, publish_field(field));
        if (field->required) json_array_append_new(required, json_string(field->key));
    }
    json_t *object =
        json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties, "additionalProperties", 0);
    if (json_array_size(required))
        json_object_set_new(object, "required", required);
    else
        json_decref(required);
    if (!schema->one_of) return object;
    json_t *choices = json_array();
    for (size_t i = 0; schema->one_of[i]; i++)
        json_array_append_new(choices, json_pack("{s:[s]}", "required", schema->one_of[i]));
    json_object_set_new(object, "oneOf", choices);
    return object;
}

json_t *schema_publish(const Schema *schema, const char *title) {
    json_t *published = publish_object(schema);
    json_object_set_new(published, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    json_object_set_new(published, "title", json_string(title));
    return published;
}
