#include "base/cleanup.h"
#include "base/file.h"
#include "host/restore_point/store.h"
#include "support/sample.h"

enum { LARGE = 3 << 20 };

static Store *open_store(const TestFolder *folder) {
    char path[128];
    Store *store = NULL;
    snprintf(path, sizeof path, "%s/store", folder->path);
    assert_done(store_open(path, &store, error));
    return store;
}

static StorePut put(Store *store, const TestFolder *folder, const char *name) {
    StoreRoom *room = store_room_new();
    StorePut result = {0};
    FD_AUTO fd = openat(folder->fd, name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_done(store_put(store, room, fd, NULL, &result, error));
    store_room_free(room);
    return result;
}

static int get(Store *store, const StorePut *object, int fd, Error *error) {
    StoreRoom *room = store_room_new();
    StoreGet wish = {.digest = &object->digest, .size = object->size, .fd = fd, .sparse = true};
    int result = store_get(store, room, &wish, error);
    store_room_free(room);
    return result;
}

static void object_path(const StorePut *object, const char *suffix, char path[static 128]) {
    char text[DIGEST_TEXT_SIZE];
    digest_to_text(&object->digest, text);
    snprintf(path, 128, "store/objects/%.2s/%s%s", text, text + 2, suffix);
}

static void flip_byte(const TestFolder *folder, const char *path, off_t offset) {
    uint8_t byte;
    FD_AUTO fd = openat(folder->fd, path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
}

/* Put it, get it back, compare. */
static void assert_round_trip(Store *store, const TestFolder *folder, const char *name) {
    StorePut object = put(store, folder, name);
    FD_AUTO fd = openat(folder->fd, "back", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_done(get(store, &object, fd, error));
    Digest digest;
    uint64_t size;
    assert_done(digest_of_fd(fd, &digest, &size, error));
    assert_true(digest_equal(&digest, &object.digest));
    assert_int_equal(size, object.size);
    assert_done(get(store, &object, -1, error));
}

static void test_gives_back_contents_of_every_size(void **state) {
    static const size_t sizes[] = {0, 1, 4096, 4097, 100000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, LARGE};
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *same = calloc(1, sizes[i] + 1);
        memset(same, 'x', sizes[i]);
        sample_write(folder->fd, "same", same, sizes[i]);
        free(same);
        assert_round_trip(store, folder, "same");
        sample_noise(folder->fd, "noise", sizes[i], i + 1);
        assert_round_trip(store, folder, "noise");
    }
}

static void test_keeps_holes(void **state) {
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    struct stat status;
    sample_sparse(folder->fd, "sparse", 64 << 20, "end");
    assert_round_trip(store, folder, "sparse");
    assert_int_equal(fstatat(folder->fd, "back", &status, 0), 0);
    assert_int_equal(status.st_size, 64 << 20);
    assert_true(status.st_blocks * 512 < 1 << 20);
}

static void test_keeps_a_content_once(void **state) {
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    sample_text(folder->fd, "a", "the same");
    sample_text(folder->fd, "b", "the same");
    StorePut a = put(store, folder, "a"), b = put(store, folder, "b");
    assert_true(a.stored);
    assert_false(b.stored);
    assert_int_equal(b.stored_bytes, 0);
    assert_true(digest_equal(&a.digest, &b.digest));
}

static void test_an_object_is_what_standard_tools_expect(void **state) {
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    char path[128];
    sample_text(folder->fd, "small", "plain");
    StorePut small = put(store, folder, "small");
    object_path(&small, "", path);
    BUFFER_AUTO plain = {0};
    assert_done(file_read(folder->fd, path, 100, &plain, error));
    assert_string_equal(buffer_text(&plain), "plain");
    sample_sparse(folder->fd, "large", 100000, "end");
    StorePut large = put(store, folder, "large");
    object_path(&large, ".zst", path);
    struct stat status;
    assert_int_equal(fstatat(folder->fd, path, &status, 0), 0);
    assert_true(status.st_size < 4096);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void test_a_flipped_byte_is_found_unless_it_says_nothing(void **state) {
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    char path[128];
    sample_sparse(folder->fd, "file", 20000, "some text that compresses with the zeros before it");
    StorePut object = put(store, folder, "file");
    object_path(&object, ".zst", path);
    struct stat status;
    assert_int_equal(fstatat(folder->fd, path, &status, 0), 0);
    size_t harmless = 0; /* zstd leaves a bit of its frame header unused */
    for (off_t at = 0; at < status.st_size; at++) {
        Error error = {0};
        flip_byte(folder, path, at);
        if (get(store, &object, -1, &error) == 0)
            harmless++;
        else
            assert_non_null(strstr(error.en, "is damaged"));
        flip_byte(folder, path, at);
    }
    assert_true(harmless <= 1);
    assert_done(get(store, &object, -1, error));
}

static void test_a_truncated_or_longer_object_is_found(void **state) {
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    char path[128];
    sample_noise(folder->fd, "file", 3000, 1);
    StorePut object = put(store, folder, "file");
    object_path(&object, "", path);
    FD_AUTO fd = openat(folder->fd, path, O_RDWR | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 2999), 0);
    assert_refused(get(store, &object, -1, error), ERROR_REFUSED, "is damaged");
    assert_int_equal(ftruncate(fd, 3001), 0);
    assert_refused(get(store, &object, -1, error), ERROR_REFUSED, "is damaged");
}

static void test_a_missing_object_is_named(void **state) {
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    char path[128];
    sample_text(folder->fd, "file", "x");
    StorePut object = put(store, folder, "file");
    object_path(&object, "", path);
    assert_int_equal(unlinkat(folder->fd, path, 0), 0);
    assert_refused(get(store, &object, -1, error), ERROR_REFUSED, "is missing");
    assert_refused(get(store, &object, -1, error), ERROR_REFUSED, path);
}

static void test_a_damaged_object_is_replaced_when_its_content_comes_again(void **state) {
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    char path[128];
    sample_sparse(folder->fd, "file", 100000, "end");
    StorePut object = put(store, folder, "file");
    object_path(&object, ".zst", path);
    flip_byte(folder, path, 10);
    assert_true(put(store, folder, "file").stored);
    assert_done(get(store, &object, -1, error));
    assert_false(put(store, folder, "file").stored);
}

static void test_a_proof_holds_until_the_objects_file_changes(void **state) {
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    char path[128];
    sample_text(folder->fd, "file", "proved");
    StorePut object = put(store, folder, "file");
    assert_false(store_is_proved(store, &object.digest));
    StoreProof proof = {.digest = object.digest};
    assert_done(store_stamp(store, &object.digest, &proof.stamp, error));
    assert_done(store_add_proofs(store, &proof, 1, error));
    assert_true(store_is_proved(store, &object.digest));
    STORE_AUTO again = open_store(folder);
    assert_true(store_is_proved(again, &object.digest));
    object_path(&object, "", path);
    flip_byte(folder, path, 0);
    assert_false(store_is_proved(again, &object.digest));
    assert_int_equal(unlinkat(folder->fd, path, 0), 0);
    assert_false(store_is_proved(again, &object.digest));
}

static void test_half_a_proof_at_the_end_is_written_over(void **state) {
    TestFolder *folder = *state;
    StoreProof first = {.stamp = {1, 2, 3, 4}}, second = {.stamp = {5, 6, 7, -8}};
    memset(first.digest.bytes, 1, DIGEST_SIZE);
    memset(second.digest.bytes, 2, DIGEST_SIZE);
    assert_done(store_proofs_append(folder->fd, "log", &first, 1, error));
    FD_AUTO fd = openat(folder->fd, "log", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "half", 4), 4);
    assert_done(store_proofs_append(folder->fd, "log", &second, 1, error));
    StoreProofs proofs = {0};
    assert_done(store_proofs_load(&proofs, folder->fd, "log", error));
    assert_int_equal(proofs.count, 2);
    assert_true(store_stamp_equal(store_proofs_find(&proofs, &first.digest), &first.stamp));
    assert_true(store_stamp_equal(store_proofs_find(&proofs, &second.digest), &second.stamp));
    store_proofs_free(&proofs);
}

static void test_a_flipped_byte_in_the_proofs_costs_one_proof_only(void **state) {
    TestFolder *folder = *state;
    StoreProof all[3] = {{.stamp.inode = 1}, {.stamp.inode = 2}, {.stamp.inode = 3}};
    for (uint8_t i = 0; i < 3; i++) memset(all[i].digest.bytes, i + 1, DIGEST_SIZE);
    assert_done(store_proofs_replace(folder->fd, "log", all, 3, error));
    flip_byte(folder, "log", 16 + 72 + 33);
    StoreProofs proofs = {0};
    assert_done(store_proofs_load(&proofs, folder->fd, "log", error));
    assert_int_equal(proofs.count, 2);
    assert_null(store_proofs_find(&proofs, &all[1].digest));
    store_proofs_free(&proofs);
}

static void test_many_proofs_are_all_found(void **state) {
    (void)state;
    enum { MANY = 5000 };
    StoreProofs proofs = {0};
    for (uint32_t i = 0; i < MANY; i++) {
        StoreProof proof = {.digest = digest_of(&i, sizeof i), .stamp.inode = i + 1};
        store_proofs_put(&proofs, &proof);
    }
    assert_int_equal(proofs.count, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        Digest digest = digest_of(&i, sizeof i);
        assert_int_equal(store_proofs_find(&proofs, &digest)->inode, i + 1);
    }
    store_proofs_free(&proofs);
}

static void test_folders_and_files_are_for_the_owner_alone(void **state) {
    static const char *const folders[] = {"store", "store/objects", "store/objects/ff", "store/points",
                                          "store/temporary"};
    TestFolder *folder = *state;
    struct stat status;
    STORE_AUTO store = open_store(folder);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        assert_int_equal(fstatat(folder->fd, folders[i], &status, 0), 0);
        assert_int_equal(status.st_mode & 07777, 0700);
    }
}

static void test_a_folder_with_other_files_is_no_store(void **state) {
    TestFolder *folder = *state;
    char path[128];
    Store *store = NULL;
    assert_int_equal(mkdirat(folder->fd, "store", 0755), 0);
    sample_text(folder->fd, "store/thesis.tex", "");
    snprintf(path, sizeof path, "%s/store", folder->path);
    assert_refused(store_open(path, &store, error), ERROR_INVALID, "thesis.tex");
    assert_null(store);
}

static void test_a_store_that_others_may_write_is_refused(void **state) {
    TestFolder *folder = *state;
    char path[128];
    Store *store = NULL;
    snprintf(path, sizeof path, "%s/planted", folder->path);
    assert_done(store_open(path, &store, error));
    store_close(store);
    assert_int_equal(chmod(path, 0777), 0);
    assert_refused(store_open(path, &store, error), ERROR_REFUSED, "may be written by others");
}

static void test_another_format_is_refused(void **state) {
    TestFolder *folder = *state;
    char path[128];
    Store *store = open_store(folder);
    store_close(store);
    store = NULL;
    sample_text(folder->fd, "store/format", "upkeep-store 2\n");
    snprintf(path, sizeof path, "%s/store", folder->path);
    assert_refused(store_open(path, &store, error), ERROR_INVALID, "format");
    assert_null(store);
}

static void test_exclusive_is_refused_while_shared_is_held_and_not_after(void **state) {
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    int one = -1, two = -1, three = -1;
    assert_done(store_lock(store, STORE_SHARED, &one, error));
    assert_done(store_lock(store, STORE_SHARED, &two, error));
    assert_refused(store_lock(store, STORE_EXCLUSIVE, &three, error), ERROR_REFUSED, "in use");
    close(one);
    assert_refused(store_lock(store, STORE_EXCLUSIVE, &three, error), ERROR_REFUSED, "in use");
    close(two);
    assert_done(store_lock(store, STORE_EXCLUSIVE, &three, error));
    close(three);
}

static bool needs_none(void *context, const Digest *digest) { return digest_equal(context, digest); }
static int refresh_nothing(void *context, Error *error) {
    (void)context, (void)error;
    return 0;
}

static void test_sweeps_what_is_not_needed(void **state) {
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    sample_text(folder->fd, "a", "needed");
    sample_text(folder->fd, "b", "not needed");
    StorePut a = put(store, folder, "a"), b = put(store, folder, "b");
    uint64_t freed = 0;
    StoreSweep sweep = {needs_none, refresh_nothing, &a.digest};
    assert_done(store_sweep(store, &sweep, &freed, error));
    assert_int_equal(freed, strlen("not needed"));
    assert_done(get(store, &a, -1, error));
    assert_refused(get(store, &b, -1, error), ERROR_REFUSED, "is missing");
}

static void test_tidying_removes_leftovers(void **state) {
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    sample_text(folder->fd, "store/temporary/abcdefgh-1", "half an object");
    assert_int_equal(mkdirat(folder->fd, "store/temporary/dead-x", 0700), 0);
    sample_text(folder->fd, "store/temporary/dead-x/y", "");
    sample_text(folder->fd, "store/.proofs.abcd2345~", "half of it");
    assert_done(store_tidy(store, error));
    assert_int_equal(file_exists(folder->fd, "store/temporary/abcdefgh-1", NULL), 0);
    assert_int_equal(file_exists(folder->fd, "store/temporary/dead-x", NULL), 0);
    assert_int_equal(file_exists(folder->fd, "store/.proofs.abcd2345~", NULL), 0);
}

static void test_forgets_stale_proofs(void **state) {
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    sample_text(folder->fd, "a", "a");
    StorePut object = put(store, folder, "a");
    StoreProof proofs[2] = {{.digest = object.digest}, {.stamp.inode = 77}};
    assert_done(store_stamp(store, &object.digest, &proofs[0].stamp, error));
    assert_done(store_add_proofs(store, proofs, 2, error));
    assert_done(store_forget_proofs(store, error));
    struct stat status;
    assert_int_equal(fstatat(folder->fd, "store/proofs", &status, 0), 0);
    assert_int_equal(status.st_size, 16 + 72);
    assert_true(store_is_proved(store, &object.digest));
}

static void test_stops_when_cancelled(void **state) {
    TestFolder *folder = *state;
    STORE_AUTO store = open_store(folder);
    StoreRoom *room = store_room_new();
    atomic_bool cancel = true;
    StorePut result;
    sample_text(folder->fd, "a", "a");
    FD_AUTO fd = openat(folder->fd, "a", O_RDONLY | O_CLOEXEC);
    assert_refused(store_put(store, room, fd, &cancel, &result, error), ERROR_INTERRUPTED, "");
    store_room_free(room);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_gives_back_contents_of_every_size),
        test_in_folder(test_keeps_holes),
        test_in_folder(test_keeps_a_content_once),
        test_in_folder(test_an_object_is_what_standard_tools_expect),
        test_in_folder(test_a_flipped_byte_is_found_unless_it_says_nothing),
        test_in_folder(test_a_truncated_or_longer_object_is_found),
        test_in_folder(test_a_missing_object_is_named),
        test_in_folder(test_a_damaged_object_is_replaced_when_its_content_comes_again),
        test_in_folder(test_a_proof_holds_until_the_objects_file_changes),
        test_in_folder(test_half_a_proof_at_the_end_is_written_over),
        test_in_folder(test_a_flipped_byte_in_the_proofs_costs_one_proof_only),
        cmocka_unit_test(test_many_proofs_are_all_found),
        test_in_folder(test_folders_and_files_are_for_the_owner_alone),
        test_in_folder(test_a_folder_with_other_files_is_no_store),
        test_in_folder(test_a_store_that_others_may_write_is_refused),
        test_in_folder(test_another_format_is_refused),
        test_in_folder(test_exclusive_is_refused_while_shared_is_held_and_not_after),
        test_in_folder(test_sweeps_what_is_not_needed),
        test_in_folder(test_tidying_removes_leftovers),
        test_in_folder(test_forgets_stale_proofs),
        test_in_folder(test_stops_when_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
