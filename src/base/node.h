/* Node: a document people or programs wrote — YAML or JSON — as one tree that still knows where each part
 * stood.
 *
 * Scalars keep their text: whether `1880` is a number or a string is for the schema to say (model/schema.h),
 * so `version: 1.10` never turns into 1.1. Nodes live in the arena given to the parser.
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum NodeKind { NODE_SCALAR, NODE_LIST, NODE_MAP } NodeKind;

typedef struct Node Node;
typedef struct NodeEntry {
    const char *key;  /* NULL in lists */
    int line, column; /* of the key; 0 when the document has no lines (JSON) */
    Node *value;
} NodeEntry;

struct Node {
    NodeKind kind;
    bool quoted;      /* a scalar in quotes: certainly a string */
    bool null;        /* a plain scalar that is empty, ~ or null */
    int line, column; /* from 1; 0 when unknown */
    const char *text; /* scalars */
    size_t count;
    NodeEntry *entries; /* lists and maps, in the order written */
};

/* The strict subset of YAML 1.1: one document; no anchors, aliases, tags, merge keys, duplicate or complex
 * keys; UTF-8; at most 1 MiB and 32 levels. Errors are ERROR_INVALID and begin "FILE:LINE:COLUMN: ". */
int node_from_yaml(Arena *arena, const char *file, const char *text, size_t size, Node **out, Error *error);
/* Cannot fail: JSON is already checked. Integers and booleans become plain scalars, strings quoted ones. */
Node *node_from_json(Arena *arena, const json_t *json);

const Node *node_find(const Node *map, const char *key); /* NULL when missing or not a map */
