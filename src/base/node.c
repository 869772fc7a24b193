#include "base/node.h"
#include "base/buffer.h"
#include <inttypes.h>
#include <string.h>
#include <yaml.h>

enum { TEXT_MAX = 1024 * 1024, DEPTH_MAX = 32, KEYS_MAX = 10000 };

typedef struct Reader {
    Arena *arena;
    const char *file;
    yaml_parser_t parser;
    Error *error;
} Reader;

/* Say where: "FILE:LINE:COLUMN: " before what was just refused. */
static int at(Reader *reader, yaml_mark_t mark) {
    return error_prefix(reader->error, "%s:%zu:%zu", reader->file, mark.line + 1, mark.column + 1);
}

static int next(Reader *reader, yaml_event_t *event) {
    if (yaml_parser_parse(&reader->parser, event)) return 0;
    const char *problem = reader->parser.problem;
    error_set(reader->error, ERROR_INVALID, "not valid YAML: %s", problem ? problem : "unreadable");
    return at(reader, reader->parser.problem_mark);
}

static Node *node_new(Reader *reader, NodeKind kind, yaml_mark_t mark) {
    Node *node = ARENA_NEW(reader->arena, Node);
    node->kind = kind;
    node->line = (int)mark.line + 1;
    node->column = (int)mark.column + 1;
    return node;
}

static bool plain_null(const char *text) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++)
        if (strcmp(text, nulls[i]) == 0) return true;
    return false;
}

static int read_scalar(Reader *reader, const yaml_event_t *event, Node **out) {
    const char *text = (const char *)event->data.scalar.value;
    if (event->data.scalar.anchor || event->data.scalar.tag) {
        error_set(reader->error, ERROR_INVALID, "anchors and tags are not allowed here");
        return at(reader, event->start_mark);
    }
    if (strlen(text) != event->data.scalar.length) {
        error_set(reader->error, ERROR_INVALID, "a NUL character is not allowed here");
        return at(reader, event->start_mark);
    }
    Node *node = node_new(reader, NODE_SCALAR, event->start_mark);
    node->text = arena_strdup(reader->arena, text);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->null = !node->quoted && plain_null(text);
    *out = node;
    return 0;
}

static void append(Reader *reader, Node *node, size_t *capacity, NodeEntry entry) {
    if (node->count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 8;
        NodeEntry *grown = ARENA_ARRAY(reader->arena, *capacity, NodeEntry);
        if (node->count) memcpy(grown, node->entries, node->count * sizeof *grown);
        node->entries = grown;
    }
    node->entries[node->count++] = entry;
}

static int read_node(Reader *reader, const yaml_event_t *event, int depth, Node **out);

/* The key of a map's next entry, already parsed as `event`. */
static int read_key(Reader *reader, const Node *map, const yaml_event_t *event, NodeEntry *entry) {
    Node *key = NULL;
    if (event->type != YAML_SCALAR_EVENT) {
        error_set(reader->error, ERROR_INVALID, "a key must be plain text");
        return at(reader, event->start_mark);
    }
    if (map->count == KEYS_MAX) { /* each is compared with all before it */
        error_set(reader->error, ERROR_INVALID, "more than %d keys in one map", KEYS_MAX);
        return at(reader, event->start_mark);
    }
    if (read_scalar(reader, event, &key) < 0) return -1;
    if (!key->quoted && strcmp(key->text, "<<") == 0) {
        error_set(reader->error, ERROR_INVALID, "merge keys are not allowed here");
        return at(reader, event->start_mark);
    }
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->entries[i].key, key->text) != 0) continue;
        error_set(reader->error, ERROR_INVALID, "“%s” is given twice; first in line %d", key->text,
                  map->entries[i].line);
        return at(reader, event->start_mark);
    }
    *entry = (NodeEntry){.key = key->text, .line = key->line, .column = key->column};
    return 0;
}

static int read_collection(Reader *reader, const yaml_event_t *opening, int depth, Node **out) {
    bool map = opening->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *anchor =
        map ? opening->data.mapping_start.anchor : opening->data.sequence_start.anchor;
    const yaml_char_t *tag = map ? opening->data.mapping_start.tag : opening->data.sequence_start.tag;
    if (anchor || tag) {
        error_set(reader->error, ERROR_INVALID, "anchors and tags are not allowed here");
        return at(reader, opening->start_mark);
    }
    if (depth >= DEPTH_MAX) {
        error_set(reader->error, ERROR_INVALID, "nested deeper than %d levels", DEPTH_MAX);
        return at(reader, opening->start_mark);
    }
    Node *node = node_new(reader, map ? NODE_MAP : NODE_LIST, opening->start_mark);
    size_t capacity = 0;
    for (;;) {
        NodeEntry entry = {0};
        yaml_event_t event;
        if (next(reader, &event) < 0) return -1;
        bool end = event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
        int result = 0;
        if (!end && map) {
            result = read_key(reader, node, &event, &entry);
            yaml_event_delete(&event);
            if (result == 0) result = next(reader, &event);
            if (result < 0) return -1;
        }
        if (!end) result = read_node(reader, &event, depth + 1, &entry.value);
        yaml_event_delete(&event);
        if (result < 0) return -1;
        if (end) break;
        append(reader, node, &capacity, entry);
    }
    *out = node;
    return 0;
}

static int read_node(Reader *reader, const yaml_event_t *event, int depth, Node **out) {
    switch (event->type) {
    case YAML_SCALAR_EVENT: return read_scalar(reader, event, out);
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT: return read_collection(reader, event, depth, out);
    default:
        error_set(reader->error, ERROR_INVALID, "aliases are not allowed here");
        return at(reader, event->start_mark);
    }
}

/* Stream start, document start, the root, document end, stream end — and nothing after it. */
static int read_document(Reader *reader, Node **out) {
    static const yaml_event_type_t around[] = {YAML_STREAM_START_EVENT, YAML_DOCUMENT_START_EVENT,
                                               YAML_NO_EVENT /* the root */, YAML_DOCUMENT_END_EVENT,
                                               YAML_STREAM_END_EVENT};
    for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
        yaml_event_t event;
        if (next(reader, &event) < 0) return -1;
        int result = 0;
        if (around[i] == YAML_NO_EVENT) {
            result = read_node(reader, &event, 0, out);
        } else if (event.type != around[i]) {
            if (event.type == YAML_STREAM_END_EVENT)
                error_set(reader->error, ERROR_INVALID, "the document is empty");
            else
                error_set(reader->error, ERROR_INVALID, "only one document is allowed");
            result = at(reader, event.start_mark);
        }
        yaml_event_delete(&event);
        if (result < 0) return -1;
    }
    return 0;
}

int node_from_yaml(Arena *arena, const char *file, const char *text, size_t size, Node **out, Error *error) {
    if (size > TEXT_MAX) return error_set(error, ERROR_INVALID, "%s is larger than %d bytes", file, TEXT_MAX);
    Reader reader = {.arena = arena, .file = file, .error = error};
    if (!yaml_parser_initialize(&reader.parser)) abort();
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
    Node *root = NULL;
    int result = read_document(&reader, &root);
    yaml_parser_delete(&reader.parser);
    if (result < 0) return -1;
    *out = root;
    return 0;
}

static Node *scalar_from_json(Arena *arena, const json_t *json, Node *node) {
    switch (json_typeof(json)) {
    case JSON_STRING:
        node->quoted = true;
        node->text = arena_strdup(arena, json_string_value(json));
        break;
    case JSON_INTEGER:
        node->text = arena_printf(arena, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
        break;
    case JSON_REAL: node->text = arena_printf(arena, "%.17g", json_real_value(json)); break;
    case JSON_TRUE: node->text = "true"; break;
    case JSON_FALSE: node->text = "false"; break;
    default:
        node->text = "";
        node->null = true;
        break;
    }
    return node;
}

Node *node_from_json(Arena *arena, const json_t *json) {
    Node *node = ARENA_NEW(arena, Node);
    if (json_is_array(json)) {
        node->kind = NODE_LIST;
        node->count = json_array_size(json);
        node->entries = ARENA_ARRAY(arena, node->count, NodeEntry);
        for (size_t i = 0; i < node->count; i++)
            node->entries[i].value = node_from_json(arena, json_array_get(json, i));
        return node;
    }
    if (!json_is_object(json)) return scalar_from_json(arena, json, node);
    node->kind = NODE_MAP;
    node->entries = ARENA_ARRAY(arena, json_object_size(json), NodeEntry);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value) {
        NodeEntry *entry = &node->entries[node->count++];
        entry->key = arena_strdup(arena, key);
        entry->value = node_from_json(arena, value);
    }
    return node;
}

const Node *node_find(const Node *map, const char *key) {
    if (!map || map->kind != NODE_MAP) return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (strcmp(map->entries[i].key, key) == 0) return map->entries[i].value;
    return NULL;
}
