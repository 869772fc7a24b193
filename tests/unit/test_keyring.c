#include "base/cleanup.h"
#include "base/error.h"
#include "support/sample.h"
#include "trust/keyring.h"

typedef struct Ring {
    const TestFolder *folder;
    char path[128];
} Ring;

static Ring ring_of(const TestFolder *folder) {
    Ring ring = {.folder = folder};
    snprintf(ring.path, sizeof ring.path, "%s/trust", folder->path);
    return ring;
}

/* A pair NAME.key and NAME.pub; its id. */
static void make_key(const Ring *ring, const char *name, char id[static KEY_ID_SIZE]) {
    char base[128];
    snprintf(base, sizeof base, "%s/%s", ring->folder->path, name);
    assert_done(key_create(base, id, error));
}

static int add(const Ring *ring, const char *name, Error *error) {
    char path[160], id[KEY_ID_SIZE];
    snprintf(path, sizeof path, "%s/%s", ring->folder->path, name);
    return keyring_add(ring->path, path, id, error);
}

static size_t count(const Ring *ring) {
    ARENA_AUTO arena = arena_new();
    StringList list;
    assert_done(keyring_list(ring->path, arena, &list, error));
    return list.count;
}

static void test_no_folder_is_no_trust(void **state) {
    Ring ring = ring_of(*state);
    assert_int_equal(count(&ring), 0);
    assert_refused(keyring_remove(ring.path, "k", error), ERROR_INVALID, "no key “k”");
}

static void test_keys_are_listed_in_order(void **state) {
    Ring ring = ring_of(*state);
    ARENA_AUTO arena = arena_new();
    StringList list;
    char id[KEY_ID_SIZE], expected[160];
    make_key(&ring, "b", id);
    make_key(&ring, "a", id);
    assert_done(add(&ring, "b.pub", error));
    assert_done(add(&ring, "a.pub", error));
    sample_text(ring.folder->fd, "trust/note.txt", "no key\n");
    sample_text(ring.folder->fd, "trust/.hidden.pub", "no key\n");
    assert_done(keyring_list(ring.path, arena, &list, error));
    assert_int_equal(list.count, 2);
    snprintf(expected, sizeof expected, "%s/a.pub", ring.path);
    assert_string_equal(list.items[0], expected);
}

static void test_adding_says_the_keys_id(void **state) {
    Ring ring = ring_of(*state);
    char made[KEY_ID_SIZE], path[160], id[KEY_ID_SIZE];
    make_key(&ring, "a", made);
    snprintf(path, sizeof path, "%s/a.pub", ring.folder->path);
    assert_done(keyring_add(ring.path, path, id, error));
    assert_string_equal(id, made);
    assert_done(keyring_add(ring.path, path, id, error)); /* the same once more is no harm */
    assert_int_equal(count(&ring), 1);
}

static void test_what_is_no_public_key_is_refused(void **state) {
    Ring ring = ring_of(*state);
    char id[KEY_ID_SIZE];
    make_key(&ring, "a", id);
    sample_text(ring.folder->fd, "n.pub", "no key\n");
    sample_text(ring.folder->fd, ".pub", "no key\n");
    assert_refused(add(&ring, "a.key", error), ERROR_INVALID, "NAME.pub");
    assert_refused(add(&ring, ".pub", error), ERROR_INVALID, "NAME.pub");
    Error problem = {0};
    assert_int_equal(add(&ring, "n.pub", &problem), -1);
    assert_int_equal(add(&ring, "missing.pub", &problem), -1);
    assert_int_equal(count(&ring), 0);
}

static void test_another_key_of_the_same_name_does_not_replace_one(void **state) {
    Ring ring = ring_of(*state);
    char id[KEY_ID_SIZE], path[160];
    assert_int_equal(mkdirat(ring.folder->fd, "other", 0755), 0);
    make_key(&ring, "a", id);
    make_key(&ring, "other/a", id);
    assert_done(add(&ring, "a.pub", error));
    assert_refused(add(&ring, "other/a.pub", error), ERROR_REFUSED, "another key is trusted here as a.pub");
    snprintf(path, sizeof path, "%s", id);
    assert_refused(keyring_remove(ring.path, path, error), ERROR_INVALID, "no key");
}

static void test_a_key_is_removed_by_name_or_id(void **state) {
    Ring ring = ring_of(*state);
    char a[KEY_ID_SIZE], b[KEY_ID_SIZE], c[KEY_ID_SIZE];
    make_key(&ring, "a", a);
    make_key(&ring, "b", b);
    make_key(&ring, "c", c);
    assert_done(add(&ring, "a.pub", error));
    assert_done(add(&ring, "b.pub", error));
    assert_done(add(&ring, "c.pub", error));
    assert_done(keyring_remove(ring.path, "a.pub", error));
    assert_done(keyring_remove(ring.path, "b", error));
    assert_done(keyring_remove(ring.path, c, error));
    assert_int_equal(count(&ring), 0);
}

static void test_removing_by_id_removes_the_key_under_every_name(void **state) {
    Ring ring = ring_of(*state);
    char id[KEY_ID_SIZE];
    make_key(&ring, "a", id);
    assert_done(add(&ring, "a.pub", error));
    assert_int_equal(linkat(ring.folder->fd, "trust/a.pub", ring.folder->fd, "trust/b.pub", 0), 0);
    assert_done(keyring_remove(ring.path, id, error));
    assert_int_equal(count(&ring), 0);
}

static void test_a_folder_that_others_may_write_is_trusted_by_nobody(void **state) {
    Ring ring = ring_of(*state);
    ARENA_AUTO arena = arena_new();
    StringList list;
    char id[KEY_ID_SIZE];
    make_key(&ring, "a", id);
    assert_done(add(&ring, "a.pub", error));
    assert_int_equal(chmod(ring.path, 0777), 0);
    assert_refused(keyring_list(ring.path, arena, &list, error), ERROR_REFUSED, ring.path);
    assert_refused(add(&ring, "a.pub", error), ERROR_REFUSED, ring.path);
}

static void fill(const Ring *ring) {
    char id[KEY_ID_SIZE], name[32];
    make_key(ring, "a", id);
    assert_done(add(ring, "a.pub", error));
    for (int i = 1; i < KEYRING_MAX; i++) {
        snprintf(name, sizeof name, "trust/k%02d.pub", i);
        assert_int_equal(linkat(ring->folder->fd, "trust/a.pub", ring->folder->fd, name, 0), 0);
    }
}

static void test_a_full_ring_takes_no_more(void **state) {
    Ring ring = ring_of(*state);
    char id[KEY_ID_SIZE];
    fill(&ring);
    make_key(&ring, "one-more", id);
    assert_int_equal(count(&ring), KEYRING_MAX);
    assert_refused(add(&ring, "one-more.pub", error), ERROR_REFUSED, "64");
    assert_int_equal(count(&ring), KEYRING_MAX);
}

/* Which of them would count would be the file system's choice. */
static void test_a_ring_with_too_many_keys_is_refused(void **state) {
    Ring ring = ring_of(*state);
    ARENA_AUTO arena = arena_new();
    StringList list;
    fill(&ring);
    sample_text(ring.folder->fd, "trust/z.pub", "one more\n");
    assert_refused(keyring_list(ring.path, arena, &list, error), ERROR_REFUSED, "64");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_no_folder_is_no_trust),
        test_in_folder(test_keys_are_listed_in_order),
        test_in_folder(test_adding_says_the_keys_id),
        test_in_folder(test_what_is_no_public_key_is_refused),
        test_in_folder(test_another_key_of_the_same_name_does_not_replace_one),
        test_in_folder(test_a_key_is_removed_by_name_or_id),
        test_in_folder(test_removing_by_id_removes_the_key_under_every_name),
        test_in_folder(test_a_folder_that_others_may_write_is_trusted_by_nobody),
        test_in_folder(test_a_full_ring_takes_no_more),
        test_in_folder(test_a_ring_with_too_many_keys_is_refused),
    };
    return cmocka_run_group_tests_name("keyring", tests, NULL, NULL);
}
