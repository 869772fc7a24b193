/* Schema: what a document may hold, as tables. One table decodes, checks, encodes, expands variables and
 * publishes itself as JSON Schema, so the five can never disagree.
 *
 * A Schema describes one C struct; each Field is a key, a type and the member's offset. Decoding refuses
 * unknown keys (naming the nearest known one), wrong types and missing required keys, with the line and
 * column where they stand, then writes defaults into what was not said. Decoded values live in the arena
 * given.
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "base/node.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct StringList {
    const char **items;
    size_t count;
} StringList;

typedef struct Pair {
    const char *key, *value;
} Pair;
typedef struct PairList {
    Pair *items;
    size_t count;
} PairList;

/* "1", "10%", "512MiB": a number, a percentage or a size. set == false: nothing was said. */
typedef struct Amount {
    int64_t value;
    bool percent;
    bool set;
} Amount;

const char *pair_find(const PairList *list, const char *key); /* NULL when missing */

typedef enum FieldType {
    FIELD_STRING,   /* const char * */
    FIELD_INTEGER,  /* int64_t */
    FIELD_BOOL,     /* bool */
    FIELD_DURATION, /* int64_t, milliseconds */
    FIELD_AMOUNT,   /* Amount; Field.amounts says which notations */
    FIELD_STRINGS,  /* StringList */
    FIELD_PAIRS,    /* PairList */
    FIELD_OBJECT,   /* a struct in place; missing in the document: all of its defaults */
    FIELD_OPTIONAL, /* a pointer to a struct; missing in the document: NULL */
    FIELD_OBJECTS,  /* {items, count}: a list of structs */
} FieldType;

enum { AMOUNT_COUNT = 1, AMOUNT_PERCENT = 2, AMOUNT_SIZE = 4 };

typedef struct Schema Schema;

typedef struct Field {
    const char *key;
    FieldType type;
    size_t offset;
    const Schema *schema;       /* of OBJECT, OPTIONAL, OBJECTS */
    const char *fallback;       /* the default, as it would be written; NULL: zero */
    bool required;              /* for lists: and not empty */
    int64_t minimum, maximum;   /* of numbers, durations and plain amounts; both 0: any not negative */
    const char *const *choices; /* of strings; NULL-ended */
    unsigned amounts;           /* AMOUNT_… */
    const char *pattern;        /* SCHEMA_NAME … for strings, or NULL */
    const char *text;           /* what it is, for the published schema */
} Field;

/* Letters, digits, ".", "_", "-"; begins with a letter or digit; at most 64: safe in a path. */
#define SCHEMA_NAME "^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$"
bool schema_is_name(const char *text);

struct Schema {
    const char *name;
    size_t size; /* of the struct */
    const Field *fields;
    size_t field_count;
    const char *const *one_of; /* NULL-ended: exactly one of these keys must be given; NULL: no such rule */
};

#define SCHEMA(name_, Type, fields_, one_of_)                                                                \
    {                                                                                                        \
        .name = (name_), .size = sizeof(Type), .fields = (fields_),                                          \
        .field_count = sizeof(fields_) / sizeof *(fields_), .one_of = (one_of_)                              \
    }

/* Decode `node` into the zeroed struct `out`, whose texts and lists are the arena's: nothing of `node` is
 * needed afterwards. `file` begins each error: "FILE:LINE:COLUMN: ". ERROR_INVALID. */
int schema_decode(const Schema *schema, Arena *arena, const char *file, const Node *node, void *out,
                  Error *error);

/* The canonical document of a decoded struct, defaults and all; schema_decode reads it back. New reference.
 */
json_t *schema_encode(const Schema *schema, const void *value);

/* Copy `value` into `out` with each ${NAME} in its strings replaced. `resolve` gives the text of a name, or
 * NULL when there is none: that is ERROR_INVALID, naming where it stood. Pairs keys are not expanded. */
typedef const char *(*SchemaResolve)(void *context, const char *name);
int schema_expand(const Schema *schema, Arena *arena, const void *value, SchemaResolve resolve, void *context,
                  void *out, Error *error);

/* JSON Schema (draft 2020-12) for editors. New reference. */
json_t *schema_publish(const Schema *schema, const char *title);
