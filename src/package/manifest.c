#include "package/manifest.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "model/version.h"
#include "package/manifest_schema.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DETAILS_SIZE_MAX = 1 << 20, FRAME_LINE_MAX = 256 };

static const char head_end[] = ",\"frames\":[", frames_end[] = "],\"entries\":[", entries_end[] = "]}";

/* ---- What is said about compatibility must mean something ---- */

static int check_range(const char *range, const char *where, Error *error) {
    if (!range || version_range_valid(range)) return 0;
    return error_set(error, ERROR_INVALID, "%s: “%s” is no range of versions, such as >=3.1 <4", where,
                     range);
}

static int check_meaning(const ManifestHead *head, Error *error) {
    const ManifestCompatibility *needs = &head->compatibility;
    if (check_range(needs->from, "compatibility.from", error) < 0) return -1;
    if (check_range(needs->kernel, "compatibility.kernel", error) < 0) return -1;
    for (size_t i = 0; i < needs->os.count; i++)
        if (check_range(needs->os.items[i].version, "compatibility.os", error) < 0) return -1;
    for (size_t i = 0; i < needs->commands.count; i++)
        if (check_range(needs->commands.items[i].version, "compatibility.commands", error) < 0) return -1;
    if (head->migrations.count > 0)
        return error_set(error, ERROR_INVALID,
                         "the package has migrations, which this version of Upkeep cannot carry "
                         "out; use a newer one");
    return 0;
}

int manifest_read_details(Arena *arena, const char *path, ManifestHead *head, Error *error) {
    BUFFER_AUTO text = {0};
    Node *node = NULL;
    if (file_read(AT_FDCWD, path, DETAILS_SIZE_MAX, &text, error) < 0) return -1;
    if (node_from_yaml(arena, path, buffer_text(&text), text.size, &node, error) < 0) return -1;
    ManifestHead read = {0};
    if (schema_decode(&manifest_details_schema_table, arena, path, node, &read, error) < 0) return -1;
    if (check_meaning(&read, error) < 0) return error_prefix(error, "%s", path);
    *head = read;
    return 0;
}

json_t *manifest_details_schema(void) {
    return schema_publish(&manifest_details_schema_table, "What an Upkeep package says of itself");
}

/* ---- Writing ---- */

json_t *manifest_head_json(const ManifestHead *head) {
    json_t *json = schema_encode(&manifest_head_schema, head);
    if (json_object_set_new(json, "migrations", json_array()) != 0) abort();
    return json;
}

int manifest_check_head(const ManifestHead *head, Error *error) {
    ARENA_AUTO arena = arena_new();
    ManifestHead complete = *head, read = {0};
    complete.upkeep_package = MANIFEST_FORMAT;
    JSON_AUTO json = manifest_head_json(&complete);
    const Node *node = node_from_json(arena, json);
    if (schema_decode(&manifest_head_schema, arena, "manifest.json", node, &read, error) < 0) return -1;
    return check_meaning(&read, error);
}

static void write_head(const ManifestHead *head, Buffer *out) {
    JSON_AUTO json = manifest_head_json(head);
    FREE_AUTO char *text = json_text(json);
    buffer_append(out, text, strlen(text) - 1); /* its brace is closed by entries_end */
    buffer_printf(out, "%s\n", head_end);
}

static void write_frame(const Frame *frame, Buffer *out) {
    char digest[DIGEST_TEXT_SIZE];
    digest_to_text(&frame->digest, digest);
    buffer_printf(out, "{\"bytes\":%" PRIu32 ",\"sha256\":\"%s\",\"size\":%" PRIu32 "}", frame->bytes, digest,
                  frame->size);
}

void manifest_write(const ManifestHead *head, const Frame *frames, size_t frame_count, const Tree *tree,
                    Buffer *out) {
    write_head(head, out);
    for (size_t i = 0; i < frame_count; i++) {
        write_frame(&frames[i], out);
        buffer_text_append(out, i + 1 < frame_count ? ",\n" : "\n");
    }
    buffer_printf(out, "%s\n", frames_end);
    for (size_t i = 0; i < tree->count; i++) {
        tree_write_line(&tree->entries[i], out);
        buffer_text_append(out, i + 1 < tree->count ? ",\n" : "\n");
    }
    buffer_printf(out, "%s\n", entries_end);
}

/* ---- Reading ---- */

typedef struct Line {
    const char *text;
    size_t size;
} Line;

typedef struct Reader {
    const char *at, *end;
} Reader;

/* False at the end, or when the last line is not ended. */
static bool next_line(Reader *reader, Line *out) {
    const char *newline = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
    if (!newline) return false;
    *out = (Line){reader->at, (size_t)(newline - reader->at)};
    reader->at = newline + 1;
    return true;
}

static bool line_is(const Line *line, const char *text) {
    return line->size == strlen(text) && memcmp(line->text, text, line->size) == 0;
}

static int misformed(Error *error) {
    return error_set(error, ERROR_INVALID, "the manifest is not laid out as one; it was cut or altered");
}

static int read_head(Manifest *manifest, Reader *reader, Error *error) {
    Line line;
    size_t tail = sizeof head_end - 1;
    if (!next_line(reader, &line) || line.size < tail || line.size > MANIFEST_HEAD_MAX ||
        memcmp(line.text + line.size - tail, head_end, tail) != 0)
        return misformed(error);
    BUFFER_AUTO text = {0};
    buffer_append(&text, line.text, line.size - tail);
    buffer_append(&text, "}", 1);
    JSON_AUTO json = NULL;
    if (json_parse(text.data, text.size, "manifest.json", &json, error) < 0) return -1;
    int64_t format = json_get_integer(json, "upkeep_package", 0);
    if (format > MANIFEST_FORMAT)
        return error_set(
            error, ERROR_INVALID,
            "the package has format %lld, this version of Upkeep reads up to %d; use a newer one",
            (long long)format, (int)MANIFEST_FORMAT);
    Node *node = node_from_json(manifest->arena, json);
    if (schema_decode(&manifest_head_schema, manifest->arena, "manifest.json", node, &manifest->head, error) <
        0)
        return -1;
    return check_meaning(&manifest->head, error);
}

/* Cut the comma off; every line of a list but the last has one. */
static int check_comma(Line *line, const Reader *reader, const char *list_end, Error *error) {
    size_t tail = strlen(list_end);
    bool is_last = (size_t)(reader->end - reader->at) > tail && memcmp(reader->at, list_end, tail) == 0 &&
                   reader->at[tail] == '\n';
    bool has_comma = line->size > 0 && line->text[line->size - 1] == ',';
    if (has_comma == is_last) return misformed(error);
    line->size -= has_comma;
    return 0;
}

static int parse_frame(const Line *line, uint32_t size, Frame *out, Error *error) {
    JSON_AUTO json = NULL;
    if (line->size > FRAME_LINE_MAX) return misformed(error);
    if (json_parse(line->text, line->size, "manifest.json", &json, error) < 0) return -1;
    Frame frame = {.size = size};
    int64_t bytes = json_get_integer(json, "bytes", 0);
    if (json_object_size(json) != 3 || json_get_integer(json, "size", 0) != (int64_t)size || bytes < 1 ||
        bytes > FRAME_BYTES_MAX || !digest_from_text(json_get_text(json, "sha256", ""), &frame.digest))
        return error_set(error, ERROR_INVALID, "the manifest's frames are not those that its content needs");
    frame.bytes = (uint32_t)bytes;
    *out = frame;
    return 0;
}

static int read_frames(Manifest *manifest, Reader *reader, Error *error) {
    uint64_t content_size = (uint64_t)manifest->head.content_size;
    uint64_t expected = content_frame_count(content_size);
    if (expected > (uint64_t)(reader->end - reader->at)) return misformed(error); /* each takes a line */
    manifest->frames = ARENA_ARRAY(manifest->arena, expected, Frame);
    for (Line line; next_line(reader, &line);) {
        if (line_is(&line, frames_end)) {
            if (manifest->frame_count == expected) return 0;
            break;
        }
        if (check_comma(&line, reader, frames_end, error) < 0) return -1;
        if (manifest->frame_count == expected) break;
        uint32_t size = content_frame_size(content_size, manifest->frame_count);
        if (parse_frame(&line, size, &manifest->frames[manifest->frame_count], error) < 0) return -1;
        manifest->frame_count++;
    }
    return error_set(error, ERROR_INVALID, "the manifest's frames are not those that its content needs");
}

static int read_entries(Manifest *manifest, Reader *reader, Error *error) {
    for (Line line; next_line(reader, &line);) {
        if (line_is(&line, entries_end)) {
            if (reader->at != reader->end) break;
            return tree_finish(manifest->tree, error);
        }
        if (check_comma(&line, reader, entries_end, error) < 0) return -1;
        if (tree_parse_line(manifest->tree, line.text, line.size, error) < 0) return -1;
    }
    return misformed(error);
}

static int check_content(const Manifest *manifest, Error *error) {
    CONTENT_AUTO content = NULL;
    if (content_new(manifest->tree, &content, error) < 0) return -1;
    if (content->size != (uint64_t)manifest->head.content_size)
        return error_set(error, ERROR_INVALID, "the manifest's content_size is not the size of its files");
    return 0;
}

int manifest_parse(const char *text, size_t size, Manifest **out, Error *error) {
    if (size > MANIFEST_SIZE_MAX)
        return error_set(error, ERROR_INVALID, "the manifest is larger than %d MiB",
                         (int)(MANIFEST_SIZE_MAX >> 20));
    MANIFEST_AUTO manifest = calloc(1, sizeof *manifest);
    if (!manifest) abort();
    manifest->arena = arena_new();
    manifest->tree = tree_new();
    Reader reader = {text, text + size};
    if (read_head(manifest, &reader, error) < 0) return -1;
    if (read_frames(manifest, &reader, error) < 0) return -1;
    if (read_entries(manifest, &reader, error) < 0) return -1;
    if (check_content(manifest, error) < 0) return -1;
    *out = pointer_take(&manifest);
    return 0;
}

void manifest_free(Manifest *manifest) {
    if (!manifest) return;
    arena_free(manifest->arena);
    tree_free(manifest->tree);
    free(manifest);
}
