#include "host/restore_point/restore_point_file.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW_SIZE = 64 << 10, STAMP_SIZE = 24, STAMPS_HEADER_SIZE = 16, FORMAT = 1, FILE_NAME_SIZE = 128 };
static const char stamps_header[STAMPS_HEADER_SIZE] = "upkeep-stamps 1\n";
static const char *const kind_names[] = {"prepare", "final", "aside"};
enum { KIND_COUNT = sizeof kind_names / sizeof *kind_names };

const char *restore_point_kind_name(RestorePointKind kind) { return kind_names[kind]; }

static bool is_made_of(const char *text, const char *allowed, size_t limit) {
    size_t length = strlen(text);
    return length > 0 && length <= limit && strspn(text, allowed) == length;
}

bool restore_point_id_valid(const char *id) {
    return is_made_of(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-",
                      RESTORE_POINT_ID_MAX) &&
           id[0] != '.';
}

bool restore_point_name_valid(const char *name) {
    return is_made_of(name, "abcdefghijklmnopqrstuvwxyz0123456789-", RESTORE_POINT_NAME_MAX);
}

/* ---- the head ---- */

static void set_digest(json_t *object, const char *key, const Digest *digest) {
    char text[DIGEST_TEXT_SIZE];
    digest_to_text(digest, text);
    json_set_text(object, key, text);
}

void restore_point_part_describe(const RestorePointPart *part, json_t *json) {
    json_t *paths = json_array();
    for (size_t i = 0; i < part->path_count; i++) json_array_append_new(paths, json_string(part->paths[i]));
    json_object_set_new(json, "paths", paths);
    json_set_text(json, "name", part->name);
    json_set_integer(json, "files", (int64_t)part->file_count);
}

void restore_point_describe(const RestorePoint *point, json_t *json) {
    json_set_text(json, "id", point->id);
    json_set_text(json, "change", point->change);
    json_set_text(json, "service", point->service);
    json_set_text(json, "host", point->host);
    json_set_text(json, "root", point->root);
    json_set_text(json, "version", point->version);
    json_set_text(json, "kind", restore_point_kind_name(point->kind));
    json_set_time(json, "time", point->time_ms);
    json_set_integer(json, "stored_bytes", (int64_t)point->stored_bytes);
}

static json_t *part_to_json(const RestorePointPart *part) {
    json_t *json = json_object();
    restore_point_part_describe(part, json);
    json_set_integer(json, "entries", (int64_t)part->entry_count);
    json_set_integer(json, "size", (int64_t)part->size_bytes);
    set_digest(json, "tree", &part->tree_digest);
    set_digest(json, "stamps", &part->stamps_digest);
    return json;
}

char *restore_point_head_text(const RestorePoint *point) {
    JSON_AUTO json = json_object();
    json_t *parts = json_array();
    for (size_t i = 0; i < point->part_count; i++)
        json_array_append_new(parts, part_to_json(&point->parts[i]));
    json_object_set_new(json, "parts", parts);
    json_set_integer(json, "restore_point", FORMAT);
    restore_point_describe(point, json);
    json_set_integer(json, "stored_objects", (int64_t)point->stored_objects);
    return json_text(json);
}

/* Reading one document: the first thing missing or wrong is remembered. */
typedef struct Reader {
    Arena *arena;
    const json_t *json;
    const char *bad;
} Reader;

static const char *read_text(Reader *reader, const char *key) {
    const char *text = json_get_text(reader->json, key, NULL);
    if (!text) reader->bad = key;
    return arena_strdup(reader->arena, text ? text : "");
}

static uint64_t read_number(Reader *reader, const char *key) {
    int64_t number = json_get_integer(reader->json, key, -1);
    if (number < 0) reader->bad = key;
    return number < 0 ? 0 : (uint64_t)number;
}

static int64_t read_time(Reader *reader, const char *key) {
    int64_t time_ms = 0;
    if (clock_from_text(json_get_text(reader->json, key, ""), &time_ms) < 0) reader->bad = key;
    return time_ms;
}

static Digest read_digest(Reader *reader, const char *key) {
    Digest digest = {0};
    if (!digest_from_text(json_get_text(reader->json, key, ""), &digest)) reader->bad = key;
    return digest;
}

static RestorePointKind read_kind(Reader *reader) {
    const char *name = json_get_text(reader->json, "kind", "");
    for (unsigned i = 0; i < KIND_COUNT; i++)
        if (strcmp(kind_names[i], name) == 0) return (RestorePointKind)i;
    reader->bad = "kind";
    return RESTORE_POINT_PREPARE;
}

static void read_paths(Reader *reader, RestorePointPart *part) {
    const json_t *paths = json_object_get(reader->json, "paths");
    size_t count = json_array_size(paths);
    if (!json_is_array(paths) || count > RESTORE_POINT_PATHS_MAX) {
        reader->bad = "paths";
        return;
    }
    const char **texts = ARENA_ARRAY(reader->arena, count + 1, const char *);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(paths, i));
        if (!text) reader->bad = "paths";
        texts[i] = arena_strdup(reader->arena, text ? text : "");
    }
    part->paths = texts;
    part->path_count = count;
    if (scope_check(&(Scope){part->paths, part->path_count}, NULL) < 0) reader->bad = "paths";
}

static void read_part(Reader *reader, const json_t *json, RestorePointPart *part) {
    Reader inner = {reader->arena, json, NULL};
    part->name = read_text(&inner, "name");
    part->entry_count = read_number(&inner, "entries");
    part->file_count = read_number(&inner, "files");
    part->size_bytes = read_number(&inner, "size");
    part->tree_digest = read_digest(&inner, "tree");
    part->stamps_digest = read_digest(&inner, "stamps");
    read_paths(&inner, part);
    if (!restore_point_name_valid(part->name)) inner.bad = "name";
    if (inner.bad) reader->bad = inner.bad;
}

static void read_parts(Reader *reader, RestorePoint *point) {
    const json_t *parts = json_object_get(reader->json, "parts");
    size_t count = json_array_size(parts);
    if (!json_is_array(parts) || count > RESTORE_POINT_PARTS_MAX) {
        reader->bad = "parts";
        return;
    }
    point->parts = ARENA_ARRAY(reader->arena, count + 1, RestorePointPart);
    for (size_t i = 0; i < count; i++) {
        read_part(reader, json_array_get(parts, i), &point->parts[i]);
        if (restore_point_part(point, point->parts[i].name)) reader->bad = "parts"; /* twice */
        point->part_count++;
    }
}

static void read_head(Reader *reader, RestorePoint *point) {
    point->id = read_text(reader, "id");
    point->change = read_text(reader, "change");
    point->service = read_text(reader, "service");
    point->host = read_text(reader, "host");
    point->root = read_text(reader, "root");
    point->version = read_text(reader, "version");
    point->kind = read_kind(reader);
    point->time_ms = read_time(reader, "time");
    point->stored_objects = read_number(reader, "stored_objects");
    point->stored_bytes = read_number(reader, "stored_bytes");
    read_parts(reader, point);
    if (!restore_point_id_valid(point->id)) reader->bad = "id";
    if (point->root[0] != '/') reader->bad = "root";
    if (json_get_integer(reader->json, "restore_point", 0) != FORMAT) reader->bad = "restore_point";
}

int restore_point_head_parse(const char *text, size_t size, RestorePoint **out, Error *error) {
    JSON_AUTO json = NULL;
    if (size > RESTORE_POINT_HEAD_MAX)
        return error_set(error, ERROR_INVALID, "%s is larger than %zu bytes", "point.json",
                         (size_t)RESTORE_POINT_HEAD_MAX);
    if (json_parse(text, size, "point.json", &json, error) < 0) return -1;
    Arena *arena = arena_new();
    RESTORE_POINT_AUTO point = ARENA_NEW(arena, RestorePoint);
    point->arena = arena;
    Reader reader = {arena, json, NULL};
    read_head(&reader, point);
    if (reader.bad)
        return error_set(error, ERROR_INVALID, "%s has a bad or missing “%s”", "point.json", reader.bad);
    point->head_digest = digest_of(text, size);
    *out = pointer_take(&point);
    return 0;
}

/* ---- the proof ---- */

int restore_point_write_proof(Store *store, const RestorePoint *point, Error *error) {
    JSON_AUTO json = json_object();
    set_digest(json, "head", &point->head_digest);
    json_set_time(json, "time", point->proof.time_ms);
    json_set_integer(json, "restored_files", (int64_t)point->proof.restored_files);
    json_set_integer(json, "restored_bytes", (int64_t)point->proof.restored_bytes);
    json_set_integer(json, "known_files", (int64_t)point->proof.known_files);
    json_set_bool(json, "full", point->proof.full);
    FREE_AUTO char *text = json_text(json);
    FD_AUTO dir = file_open_no_links(store_points_dir(store), point->id, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot read the restore point %s", point->id);
    if (file_replace_tidy(dir, "proof.json", error) < 0) return -1;
    return file_replace(dir, "proof.json", text, strlen(text), 0600, error);
}

int restore_point_proof_parse(const char *text, size_t size, const Digest *head, RestorePointProof *out,
                              Error *error) {
    JSON_AUTO json = NULL;
    if (json_parse(text, size, "proof.json", &json, error) < 0) return -1;
    Reader reader = {NULL, json, NULL};
    RestorePointProof proof = {.time_ms = read_time(&reader, "time"),
                               .restored_files = read_number(&reader, "restored_files"),
                               .restored_bytes = read_number(&reader, "restored_bytes"),
                               .known_files = read_number(&reader, "known_files"),
                               .full = json_get_bool(json, "full", false)};
    Digest proved = read_digest(&reader, "head");
    if (reader.bad)
        return error_set(error, ERROR_INVALID, "%s has a bad or missing “%s”", "proof.json", reader.bad);
    if (!digest_equal(&proved, head)) return 1;
    *out = proof;
    return 0;
}

static int read_proof(int dir, RestorePoint *point, Error *error) {
    BUFFER_AUTO text = {0};
    Error reading = {0};
    if (file_read(dir, "proof.json", RESTORE_POINT_HEAD_MAX, &text, &reading) < 0) {
        if (reading.number == ENOENT) return 0;
        if (error) *error = reading;
        return -1;
    }
    int result =
        restore_point_proof_parse(buffer_text(&text), text.size, &point->head_digest, &point->proof, error);
    return result < 0 ? -1 : 0;
}

int restore_point_load(Store *store, const char *id, RestorePoint **out, Error *error) {
    if (!restore_point_id_valid(id))
        return error_set(error, ERROR_INVALID, "“%s” is no id of a restore point", id);
    FD_AUTO dir = file_open_no_links(store_points_dir(store), id, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0 && errno == ENOENT) {
        error_errno(error, ERROR_INVALID, ENOENT, "there is no restore point %s in %s", id,
                    store_path(store));
        return error_hint(error, "“upkeep restore-points” lists those that are");
    }
    if (dir < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot read the restore point %s", id);
    BUFFER_AUTO text = {0};
    RESTORE_POINT_AUTO point = NULL;
    if (file_read(dir, "point.json", RESTORE_POINT_HEAD_MAX, &text, error) < 0 ||
        restore_point_head_parse(buffer_text(&text), text.size, &point, error) < 0 ||
        read_proof(dir, point, error) < 0)
        return error_prefix(error, "cannot read the restore point %s", id);
    if (strcmp(point->id, id) != 0)
        return error_set(error, ERROR_INVALID, "the folder of the restore point %s holds another: %s", id,
                         point->id);
    *out = pointer_take(&point);
    return 0;
}

/* ---- trees: reading ---- */

/* Hand each line of `window` to the tree; what is behind the last newline stays. */
static int take_lines(Tree *tree, Buffer *window, Error *error) {
    size_t start = 0;
    for (char *end;
         start < window->size && (end = memchr(window->data + start, '\n', window->size - start));) {
        size_t size = (size_t)(end - window->data) - start;
        if (tree_parse_line(tree, window->data + start, size, error) < 0) return -1;
        start += size + 1;
    }
    memmove(window->data, window->data + start, window->size - start);
    window->size -= start;
    if (window->size > TREE_LINE_MAX)
        return error_set(error, ERROR_INVALID, "an entry of the tree is longer than %d bytes",
                         (int)TREE_LINE_MAX);
    return 0;
}

static int read_lines(int fd, Tree *tree, DigestStream *stream, Error *error) {
    BUFFER_AUTO window = {0};
    FREE_AUTO char *bytes = malloc(WINDOW_SIZE);
    if (!bytes) abort();
    digest_stream_begin(stream);
    for (;;) {
        ssize_t got = read(fd, bytes, WINDOW_SIZE);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot read");
        if (got == 0) break;
        digest_stream_add(stream, bytes, (size_t)got);
        buffer_append(&window, bytes, (size_t)got);
        if (take_lines(tree, &window, error) < 0) return -1;
    }
    if (window.size > 0) return error_set(error, ERROR_INVALID, "it is cut off");
    return 0;
}

static int open_part_file(int dir, const char *part, const char *suffix, char name[static FILE_NAME_SIZE],
                          Error *error) {
    snprintf(name, FILE_NAME_SIZE, "%s.%s", part, suffix);
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", name);
    return fd;
}

static int not_what_it_says(const char *name, Error *error) {
    return error_set(error, ERROR_REFUSED, "%s is damaged: its digest is not the one in point.json", name);
}

static int read_entries(int dir, const RestorePointPart *part, Tree *tree, Error *error) {
    char name[FILE_NAME_SIZE];
    FD_AUTO fd = open_part_file(dir, part->name, "tree", name, error);
    if (fd < 0) return -1;
    DigestStream *stream = digest_stream_new();
    int result = read_lines(fd, tree, stream, error);
    Digest digest = {0};
    if (result == 0) digest = digest_stream_end(stream);
    digest_stream_free(stream);
    if (result < 0) return error_prefix(error, "cannot read %s", name);
    if (!digest_equal(&digest, &part->tree_digest)) return not_what_it_says(name, error);
    return tree_finish(tree, error);
}

static int64_t get_number(const char *at) {
    uint64_t number;
    memcpy(&number, at, sizeof number);
    return (int64_t)le64toh(number);
}

static int read_stamps(int dir, const RestorePointPart *part, Tree *tree, Error *error) {
    char name[FILE_NAME_SIZE];
    snprintf(name, sizeof name, "%s.stamps", part->name);
    BUFFER_AUTO bytes = {0};
    size_t expected = STAMPS_HEADER_SIZE + tree->count * STAMP_SIZE;
    if (file_read(dir, name, expected, &bytes, error) < 0) return -1;
    Digest digest = digest_of(buffer_text(&bytes), bytes.size);
    if (bytes.size != expected || !digest_equal(&digest, &part->stamps_digest))
        return not_what_it_says(name, error);
    const char *at = bytes.data + STAMPS_HEADER_SIZE;
    for (size_t i = 0; i < tree->count; i++, at += STAMP_SIZE)
        tree->entries[i].stamp =
            (TreeStamp){(uint64_t)get_number(at), get_number(at + 8), get_number(at + 16)};
    return 0;
}

int restore_point_read_tree(Store *store, const RestorePoint *point, RestorePointPart *part, Error *error) {
    if (part->tree) return 0;
    FD_AUTO dir = file_open_no_links(store_points_dir(store), point->id, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot read the restore point %s", point->id);
    TREE_AUTO tree = tree_new();
    tree->foreign_links = true;
    if (read_entries(dir, part, tree, error) < 0 || read_stamps(dir, part, tree, error) < 0)
        return error_prefix(error, "cannot read the restore point %s", point->id);
    part->tree = pointer_take(&tree);
    return 0;
}

/* ---- trees: writing ---- */

/* A file that is written in windows, hashed on the way. */
typedef struct Writing {
    int fd;
    DigestStream *stream;
    Buffer window;
} Writing;

static int flush(Writing *writing, Error *error) {
    digest_stream_add(writing->stream, buffer_text(&writing->window), writing->window.size);
    int result = file_write_all(writing->fd, buffer_text(&writing->window), writing->window.size, error);
    buffer_clear(&writing->window);
    return result;
}

static int write_lines(Writing *writing, const Tree *tree, Error *error) {
    for (size_t i = 0; i < tree->count; i++) {
        tree_write_line(&tree->entries[i], &writing->window);
        buffer_append(&writing->window, "\n", 1);
        if (writing->window.size >= WINDOW_SIZE && flush(writing, error) < 0) return -1;
    }
    return 0;
}

static void put_number(Buffer *out, uint64_t number) {
    number = htole64(number);
    buffer_append(out, &number, sizeof number);
}

static int write_stamps(Writing *writing, const Tree *tree, Error *error) {
    buffer_append(&writing->window, stamps_header, sizeof stamps_header);
    for (size_t i = 0; i < tree->count; i++) {
        const TreeStamp *stamp = &tree->entries[i].stamp;
        put_number(&writing->window, stamp->inode);
        put_number(&writing->window, (uint64_t)stamp->modified_ns);
        put_number(&writing->window, (uint64_t)stamp->changed_ns);
        if (writing->window.size >= WINDOW_SIZE && flush(writing, error) < 0) return -1;
    }
    return 0;
}

typedef int (*Writer)(Writing *writing, const Tree *tree, Error *error);

static int write_file(int dir, const char *name, Writer write, const Tree *tree, Digest *digest,
                      Error *error) {
    FD_AUTO fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot create %s", name);
    Writing writing = {.fd = fd, .stream = digest_stream_new()};
    digest_stream_begin(writing.stream);
    int result = write(&writing, tree, error);
    if (result == 0) result = flush(&writing, error);
    if (result == 0) *digest = digest_stream_end(writing.stream);
    digest_stream_free(writing.stream);
    buffer_free(&writing.window);
    if (result == 0 && fsync(fd) != 0)
        result = error_errno(error, ERROR_SYSTEM, errno, "cannot make durable");
    if (close(fd_take(&fd)) != 0 && result == 0)
        result = error_errno(error, ERROR_SYSTEM, errno, "cannot close");
    return result < 0 ? error_prefix(error, "cannot write %s", name) : 0;
}

/* Not every file system has links: writing the file again does as well. */
static bool link_file(int dir, const char *name, const RestorePointReuse *reuse) {
    return reuse && linkat(reuse->dir, name, dir, name, 0) == 0;
}

int restore_point_write_part(int dir, RestorePointPart *part, const RestorePointReuse *reuse, Error *error) {
    char name[FILE_NAME_SIZE];
    snprintf(name, sizeof name, "%s.tree", part->name);
    if (reuse && reuse->same_tree && link_file(dir, name, reuse))
        part->tree_digest = reuse->part->tree_digest;
    else if (write_file(dir, name, write_lines, part->tree, &part->tree_digest, error) < 0)
        return -1;
    snprintf(name, sizeof name, "%s.stamps", part->name);
    if (reuse && reuse->same_stamps && link_file(dir, name, reuse))
        part->stamps_digest = reuse->part->stamps_digest;
    else if (write_file(dir, name, write_stamps, part->tree, &part->stamps_digest, error) < 0)
        return -1;
    return 0;
}
