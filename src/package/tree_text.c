/* A tree as text, a JSON object a line, both ways. */
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "package/tree.h"

#include <inttypes.h>
#include <string.h>

static const char *const type_names[] = {"directory", "file", "symlink", "hardlink"};
enum { TYPE_COUNT = sizeof type_names / sizeof *type_names };

/* A JSON string, when `text` is UTF-8. */
static bool append_string(Buffer *out, const char *text) {
    bool plain = true;
    for (const char *at = text; *at && plain; at++)
        plain = *at >= ' ' && *at < 0x7F && *at != '"' && *at != '\\';
    if (plain) {
        buffer_append(out, "\"", 1);
        buffer_text_append(out, text);
        buffer_append(out, "\"", 1);
        return true;
    }
    JSON_AUTO string = json_string(text);
    if (!string) return false;
    FREE_AUTO char *quoted = json_text(string);
    buffer_text_append(out, quoted);
    return true;
}

static void append_name(Buffer *out, const char *key, const char *text) {
    size_t before = out->size;
    buffer_printf(out, "\"%s\":", key);
    if (!append_string(out, text)) {
        out->size = before;
        buffer_printf(out, "\"%s_base64\":\"", key);
        base64_append(out, text, strlen(text));
        buffer_append(out, "\"", 1);
    }
    buffer_append(out, ",", 1);
}

static void append_xattrs(Buffer *out, const TreeEntry *entry) {
    buffer_text_append(out, ",\"xattrs\":{");
    for (uint32_t i = 0; i < entry->xattr_count; i++) {
        if (i > 0) buffer_append(out, ",", 1);
        append_string(out, entry->xattrs[i].name); /* a scan keeps only names that are UTF-8 */
        buffer_text_append(out, ":\"");
        base64_append(out, entry->xattrs[i].value, entry->xattrs[i].size);
        buffer_append(out, "\"", 1);
    }
    buffer_append(out, "}", 1);
}

/* Keys in the order of their names, as all our JSON. */
static void write_line(const TreeEntry *entry, bool sparse, Buffer *out) {
    buffer_append(out, "{", 1);
    if (entry->type == TREE_DIRECTORY || entry->type == TREE_FILE)
        buffer_printf(out, "\"mode\":\"%04o\",", entry->mode);
    if (entry->type != TREE_HARDLINK)
        buffer_printf(out, "\"owner\":\"%" PRIu32 ":%" PRIu32 "\",", (uint32_t)entry->uid,
                      (uint32_t)entry->gid);
    append_name(out, "path", entry->path);
    if (entry->type == TREE_FILE) {
        char digest[DIGEST_TEXT_SIZE];
        digest_to_text(&entry->digest, digest);
        buffer_printf(out, "\"sha256\":\"%s\",\"size\":%" PRIu64 ",", digest, entry->size);
        if (sparse) buffer_text_append(out, "\"sparse\":true,");
    }
    if (entry->target) append_name(out, "target", entry->target);
    buffer_printf(out, "\"type\":\"%s\"", type_names[entry->type]);
    if (entry->xattr_count > 0) append_xattrs(out, entry);
    buffer_append(out, "}", 1);
}

void tree_write_line(const TreeEntry *entry, Buffer *out) { write_line(entry, entry->sparse, out); }

Digest tree_digest(const Tree *tree) {
    DigestStream *stream = digest_stream_new();
    digest_stream_begin(stream);
    BUFFER_AUTO line = {0};
    for (size_t i = 0; i < tree->count; i++) {
        buffer_clear(&line);
        write_line(&tree->entries[i], false, &line);
        buffer_append(&line, "\n", 1);
        digest_stream_add(stream, line.data, line.size);
    }
    Digest digest = digest_stream_end(stream);
    digest_stream_free(stream);
    return digest;
}

/* No empty part, "." or "..", nothing absolute, nothing too long. */
static bool is_safe_path(const char *path) {
    size_t length = strlen(path);
    if (length == 0 || length > TREE_PATH_MAX) return false;
    for (const char *at = path;; at++) {
        size_t part = strcspn(at, "/");
        if (part == 0 || part > 255 || (part == 1 && at[0] == '.') ||
            (part == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += part;
        if (!*at) return true;
    }
}

bool tree_xattr_belongs(const char *name) {
    static const char *const exact[] = {"security.capability", "system.posix_acl_access",
                                        "system.posix_acl_default"};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        if (strcmp(name, exact[i]) == 0) return true;
    return strncmp(name, "user.", 5) == 0 && name[5] && strlen(name) <= 255;
}

/* One line being read: which keys were there decides whether the entry is whole. */
typedef struct Line {
    Tree *tree;
    TreeEntry entry;
    unsigned keys;
} Line;

enum {
    KEY_MODE = 1,
    KEY_OWNER = 2,
    KEY_PATH = 4,
    KEY_SHA256 = 8,
    KEY_SIZE = 16,
    KEY_SPARSE = 32,
    KEY_TARGET = 64,
    KEY_TYPE = 128,
    KEY_XATTRS = 256
};

/* The keys a type must have, and may have besides. */
static const struct {
    unsigned required, allowed;
} type_keys[TYPE_COUNT] = {
    [TREE_DIRECTORY] = {KEY_TYPE | KEY_PATH | KEY_MODE | KEY_OWNER, KEY_XATTRS},
    [TREE_FILE] = {KEY_TYPE | KEY_PATH | KEY_MODE | KEY_OWNER | KEY_SHA256 | KEY_SIZE,
                   KEY_SPARSE | KEY_XATTRS},
    [TREE_SYMLINK] = {KEY_TYPE | KEY_PATH | KEY_OWNER | KEY_TARGET, 0},
    [TREE_HARDLINK] = {KEY_TYPE | KEY_PATH | KEY_TARGET, 0},
};

static bool read_mode(Line *line, const json_t *value) {
    const char *text = json_string_value(value);
    if (!text || strlen(text) != 4 || strspn(text, "01234567") != 4) return false;
    line->entry.mode = (uint16_t)strtoul(text, NULL, 8);
    return true;
}

/* (uid_t)-1 would mean "leave it" to chown. */
static bool read_owner(Line *line, const json_t *value) {
    const char *text = json_string_value(value);
    uint32_t ids[2];
    for (int i = 0; text && i < 2; i++) {
        size_t digits = strspn(text, "0123456789");
        unsigned long long id = digits && digits <= 10 ? strtoull(text, NULL, 10) : UINT64_MAX;
        if (id >= UINT32_MAX || text[digits] != (i == 0 ? ':' : '\0')) return false;
        ids[i] = (uint32_t)id;
        text += digits + 1;
    }
    if (!text) return false;
    line->entry.uid = ids[0];
    line->entry.gid = ids[1];
    return true;
}

static bool read_name(Line *line, const json_t *value, bool encoded, const char **out) {
    const char *text = json_string_value(value);
    if (!text) return false;
    if (!encoded) {
        *out = arena_strdup(line->tree->arena, text);
        return true;
    }
    const uint8_t *bytes;
    size_t size;
    if (strlen(text) > 2 * TREE_PATH_MAX || base64_decode(line->tree->arena, text, &bytes, &size) < 0)
        return false;
    *out = (const char *)bytes;
    return strlen(*out) == size;
}

static bool read_path(Line *line, const json_t *value) {
    return read_name(line, value, false, &line->entry.path);
}
static bool read_path_base64(Line *line, const json_t *value) {
    return read_name(line, value, true, &line->entry.path);
}
static bool read_target(Line *line, const json_t *value) {
    return read_name(line, value, false, &line->entry.target);
}
static bool read_target_base64(Line *line, const json_t *value) {
    return read_name(line, value, true, &line->entry.target);
}

static bool read_sha256(Line *line, const json_t *value) {
    const char *text = json_string_value(value);
    return text && digest_from_text(text, &line->entry.digest);
}

static bool read_size(Line *line, const json_t *value) {
    json_int_t size = json_is_integer(value) ? json_integer_value(value) : -1;
    if (size < 0 || (uint64_t)size > TREE_FILE_SIZE_MAX) return false;
    line->entry.size = (uint64_t)size;
    return true;
}

static bool read_sparse(Line *line, const json_t *value) { return line->entry.sparse = json_is_true(value); }

static bool read_type(Line *line, const json_t *value) {
    const char *text = json_string_value(value);
    for (uint8_t i = 0; text && i < TYPE_COUNT; i++) {
        if (strcmp(text, type_names[i]) != 0) continue;
        line->entry.type = i;
        return true;
    }
    return false;
}

static bool read_xattrs(Line *line, const json_t *value) {
    size_t count = json_object_size(value), total = 0;
    if (count == 0 || count > TREE_XATTRS_MAX) return false;
    TreeXattr *xattrs = ARENA_ARRAY(line->tree->arena, count, TreeXattr);
    const char *name;
    json_t *content;
    json_object_foreach((json_t *)value, name, content) {
        TreeXattr *xattr = &xattrs[line->entry.xattr_count];
        const char *text = json_string_value(content);
        if (!text || !tree_xattr_belongs(name)) return false;
        if (base64_decode(line->tree->arena, text, &xattr->value, &xattr->size) < 0) return false;
        if ((total += xattr->size) > TREE_XATTRS_SIZE_MAX) return false;
        xattr->name = arena_strdup(line->tree->arena, name);
        line->entry.xattr_count++;
    }
    tree_xattrs_sort(xattrs, count);
    line->entry.xattrs = xattrs;
    return true;
}

static const struct {
    const char *name;
    unsigned key;
    bool (*read)(Line *line, const json_t *value);
} key_readers[] = {
    {"mode", KEY_MODE, read_mode},
    {"owner", KEY_OWNER, read_owner},
    {"path", KEY_PATH, read_path},
    {"path_base64", KEY_PATH, read_path_base64},
    {"sha256", KEY_SHA256, read_sha256},
    {"size", KEY_SIZE, read_size},
    {"sparse", KEY_SPARSE, read_sparse},
    {"target", KEY_TARGET, read_target},
    {"target_base64", KEY_TARGET, read_target_base64},
    {"type", KEY_TYPE, read_type},
    {"xattrs", KEY_XATTRS, read_xattrs},
};

static int read_key(Line *line, const char *name, const json_t *value, Error *error) {
    for (size_t i = 0; i < sizeof key_readers / sizeof *key_readers; i++) {
        if (strcmp(key_readers[i].name, name) != 0) continue;
        if ((line->keys & key_readers[i].key) || !key_readers[i].read(line, value)) break;
        line->keys |= key_readers[i].key;
        return 0;
    }
    return error_set(error, ERROR_INVALID, "an entry of the tree has a bad \"%s\"", name);
}

static int check_line(const Line *line, Error *error) {
    const TreeEntry *entry = &line->entry;
    if (!entry->path || !is_safe_path(entry->path))
        return error_set(error, ERROR_INVALID,
                         "an entry of the tree has the path \"%s\", which is not inside it",
                         entry->path ? entry->path : "");
    unsigned required = type_keys[entry->type].required, allowed = type_keys[entry->type].allowed;
    bool is_whole = (line->keys & required) == required && (line->keys & ~(required | allowed)) == 0;
    bool has_target = !entry->target || (entry->target[0] && strlen(entry->target) <= TREE_PATH_MAX);
    if (!is_whole || !has_target)
        return error_set(error, ERROR_INVALID, "%s has not what an entry of its type needs", entry->path);
    const Tree *tree = line->tree;
    if (tree->count > 0 && strcmp(tree->entries[tree->count - 1].path, entry->path) >= 0)
        return error_set(error, ERROR_INVALID, "%s is in the tree twice or out of order", entry->path);
    if (tree->count == TREE_ENTRIES_MAX)
        return error_set(error, ERROR_INVALID, "the tree has more than %d entries", (int)TREE_ENTRIES_MAX);
    return 0;
}

int tree_parse_line(Tree *tree, const char *text, size_t size, Error *error) {
    if (size > TREE_LINE_MAX)
        return error_set(error, ERROR_INVALID, "an entry of the tree is longer than %d bytes",
                         (int)TREE_LINE_MAX);
    JSON_AUTO json = NULL;
    if (json_parse(text, size, "tree", &json, error) < 0) return -1;
    if (!json_is_object(json)) return error_set(error, ERROR_INVALID, "an entry of the tree is no object");
    Line line = {.tree = tree};
    const char *name;
    json_t *value;
    json_object_foreach(json, name, value) {
        if (read_key(&line, name, value, error) < 0) return -1;
    }
    if (check_line(&line, error) < 0) return -1;
    *tree_add(tree) = line.entry;
    return 0;
}
