/* RestoreRoom: a host with data and configuration, and a store beside it, for tests of restore points. */
#pragma once
#include "base/cleanup.h"
#include "base/file.h"
#include "host/restore_point/restore_point.h"
#include "support/sample.h"

/* A host with a folder of data and a file of configuration, and a store beside it. */
typedef struct Room {
    TestFolder *folder;
    char root_path[96], store_path[96];
    int root;
    Store *store;
    RestorePoint *prior;
    int64_t now_ms;
} Room;

static const char *const data_paths[] = {"shared/data"};
static const char *const config_paths[] = {"shared/settings.js"};
static const RestorePointPart parts[] = {
    {.name = "data", .paths = data_paths, .path_count = 1},
    {.name = "config", .paths = config_paths, .path_count = 1},
};
enum { SAMPLE_AND_ABOVE = SAMPLE_ENTRIES + 2 }; /* shared, shared/data */

static inline int setup(void **state) {
    Room *room = calloc(1, sizeof *room);
    if (!room || test_folder_setup(state) < 0) return -1;
    room->folder = *state;
    room->now_ms = 1700000000000;
    snprintf(room->root_path, sizeof room->root_path, "%s/root", room->folder->path);
    snprintf(room->store_path, sizeof room->store_path, "%s/store", room->folder->path);
    if (mkdir(room->root_path, 0755) < 0) return -1;
    room->root = open(room->root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (mkdirat(room->root, "shared", 0755) < 0 || mkdirat(room->root, "shared/data", 0750) < 0) return -1;
    FD_AUTO data = openat(room->root, "shared/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sample_make(data);
    sample_text(room->root, "shared/settings.js", "module.exports = {}\n");
    *state = room;
    return store_open(room->store_path, &room->store, NULL);
}

static inline int teardown(void **state) {
    Room *room = *state;
    TestFolder *folder = room->folder;
    store_close(room->store);
    close(room->root);
    free(room);
    *state = folder;
    return test_folder_teardown(state);
}

#define in_room(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static inline RestorePointSpec spec_of(Room *room, const char *id, RestorePointKind kind) {
    room->now_ms += 1000;
    return (RestorePointSpec){.id = id,
                              .service = "svc",
                              .host = "h1",
                              .root = room->root_path,
                              .version = "1.0",
                              .kind = kind,
                              .parts = parts,
                              .part_count = 2,
                              .prior = room->prior,
                              .now_ms = room->now_ms};
}

static inline RestorePoint *take(Room *room, const char *id, RestorePointKind kind) {
    RestorePointSpec spec = spec_of(room, id, kind);
    RestorePoint *point = NULL;
    assert_done(restore_point_take(room->store, &spec, &point, error));
    return point;
}

static inline int prove(Room *room, RestorePoint *point, bool full, Error *error) {
    RestorePointProve options = {.full = full, .now_ms = 1700000000000};
    return restore_point_prove(room->store, point, &options, error);
}

static inline int apply(Room *room, RestorePoint *point, const char *root, RestoreCounts *counts,
                        Error *error) {
    RestorePointApply options = {.root = root};
    return restore_point_apply(room->store, point, &options, counts, error);
}

static inline Tree *scan_data(int root) {
    Tree *tree = NULL;
    TreeScan options = {.prefix = "shared/data", .foreign_links = true, .stamps = true, .keep_special = true};
    assert_done(tree_scan(root, &options, &tree, error));
    return tree;
}

/* `root`/shared/data is what `expected` says, times included. */
static inline void assert_data_is(int root, const Tree *expected) {
    TREE_AUTO now = scan_data(root);
    assert_int_equal(now->count, expected->count);
    for (size_t i = 0; i < now->count; i++) {
        const TreeEntry *a = &now->entries[i], *b = &expected->entries[i];
        BUFFER_AUTO one = {0};
        BUFFER_AUTO two = {0};
        tree_write_line(a, &one);
        tree_write_line(b, &two);
        assert_string_equal(buffer_text(&one), buffer_text(&two));
        if (a->type != TREE_HARDLINK && a->stamp.modified_ns != b->stamp.modified_ns)
            fail_msg("time of %s: %lld, not %lld", a->path, (long long)a->stamp.modified_ns,
                     (long long)b->stamp.modified_ns);
    }
}

static inline void object_path(const Digest *digest, const char *suffix, char path[static 128]) {
    char text[DIGEST_TEXT_SIZE];
    digest_to_text(digest, text);
    snprintf(path, 128, "store/objects/%.2s/%s%s", text, text + 2, suffix);
}

/* The object of one file of the point, which is small and hence plain. */
static inline void object_of(const RestorePoint *point, const char *file, char path[static 128]) {
    const TreeEntry *entry = tree_find(restore_point_part(point, "data")->tree, file);
    assert_non_null(entry);
    object_path(&entry->digest, "", path);
}

/* Another byte under the old times and size: only reading tells (or the change time, which nobody can set).
 */
static inline void flip_byte(int dir, const char *path) {
    struct stat status;
    uint8_t byte;
    FD_AUTO fd = openat(dir, path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(pread(fd, &byte, 1, 0), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 0), 1);
    assert_int_equal(futimens(fd, (struct timespec[]){status.st_atim, status.st_mtim}), 0);
}

/* Make the proofs believe the object as it is now, as if its stamps had been forged. */
static inline void forge_proof(Room *room, const Digest *digest) {
    StoreProof proof = {.digest = *digest};
    assert_done(store_stamp(room->store, digest, &proof.stamp, error));
    assert_done(store_add_proofs(room->store, &proof, 1, error));
}
