#include "support/sample.h"
#include "trust/key.h"

static void path_in(const TestFolder *folder, const char *name, char out[static 128]) {
    snprintf(out, 128, "%s/%s", folder->path, name);
}

static void create(const TestFolder *folder, const char *name, char id[static KEY_ID_SIZE]) {
    char path[128];
    path_in(folder, name, path);
    assert_done(key_create(path, id, error));
}

static void test_makes_a_pair_that_signs_and_verifies(void **state) {
    TestFolder *folder = *state;
    char id[KEY_ID_SIZE], path[128];
    create(folder, "release", id);
    KEY_AUTO private = NULL;
    KEY_AUTO public = NULL;
    path_in(folder, "release.key", path);
    assert_done(key_load_private(path, &private, error));
    path_in(folder, "release.pub", path);
    assert_done(key_load_public(path, &public, error));
    assert_string_equal(key_id(private), id);
    assert_string_equal(key_id(public), id);
    assert_int_equal(strlen(id), 16);
    assert_true(key_equal(private, public));
    uint8_t signature[KEY_SIGNATURE_SIZE], again[KEY_SIGNATURE_SIZE];
    assert_done(key_sign(private, "text", 4, signature, error));
    assert_done(key_sign(private, "text", 4, again, error));
    assert_memory_equal(signature, again, sizeof signature);
    assert_true(key_verifies(public, "text", 4, signature));
    assert_false(key_verifies(public, "Text", 4, signature));
    signature[10] ^= 1;
    assert_false(key_verifies(public, "text", 4, signature));
}

static void test_private_file_is_for_its_owner_alone(void **state) {
    TestFolder *folder = *state;
    char id[KEY_ID_SIZE], path[128];
    mode_t mask = umask(0);
    create(folder, "k", id);
    umask(mask);
    struct stat status;
    assert_int_equal(fstatat(folder->fd, "k.key", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    Key *none = NULL;
    path_in(folder, "k.key", path);
    static const mode_t open_modes[] = {0640, 0604, 0620, 0666, 0610};
    for (size_t i = 0; i < sizeof open_modes / sizeof *open_modes; i++) {
        assert_int_equal(fchmodat(folder->fd, "k.key", open_modes[i], 0), 0);
        assert_refused(key_load_private(path, &none, error), ERROR_REFUSED, "chmod 600");
    }
}

static void test_never_overwrites(void **state) {
    TestFolder *folder = *state;
    char id[KEY_ID_SIZE], path[128];
    path_in(folder, "k", path);
    sample_text(folder->fd, "k.pub", "mine");
    assert_refused(key_create(path, id, error), ERROR_REFUSED, "k.pub exists already");
    assert_int_equal(faccessat(folder->fd, "k.key", F_OK, 0), -1);
    assert_int_equal(unlinkat(folder->fd, "k.pub", 0), 0);
    sample_text(folder->fd, "k.key", "mine");
    assert_refused(key_create(path, id, error), ERROR_REFUSED, "k.key exists already");
    assert_int_equal(faccessat(folder->fd, "k.pub", F_OK, 0), -1); /* nothing half made is left */
}

static void test_refuses_what_is_no_ed25519_key(void **state) {
    TestFolder *folder = *state;
    char id[KEY_ID_SIZE], path[128];
    create(folder, "k", id);
    Key *none = NULL;
    path_in(folder, "k.key", path);
    assert_refused(key_load_public(path, &none, error), ERROR_INVALID, "no Ed25519 public key");
    path_in(folder, "k.pub", path);
    assert_int_equal(fchmodat(folder->fd, "k.pub", 0600, 0), 0);
    assert_refused(key_load_private(path, &none, error), ERROR_INVALID, "no Ed25519 private key");
    sample_text(folder->fd, "x", "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n");
    path_in(folder, "x", path);
    assert_refused(key_load_public(path, &none, error), ERROR_INVALID, "no Ed25519 public key");
    sample_text(folder->fd, "p256",
                "-----BEGIN PUBLIC KEY-----\n"
                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n"
                "6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n"
                "-----END PUBLIC KEY-----\n");
    path_in(folder, "p256", path);
    assert_refused(key_load_public(path, &none, error), ERROR_INVALID, "no Ed25519 public key");
    assert_refused(key_load_public(folder->path, &none, error), ERROR_SYSTEM, "cannot read the key");
    path_in(folder, "missing", path);
    assert_refused(key_load_public(path, &none, error), ERROR_SYSTEM, "cannot open the key");
}

static void test_a_public_half_cannot_sign(void **state) {
    TestFolder *folder = *state;
    char id[KEY_ID_SIZE], path[128];
    create(folder, "k", id);
    KEY_AUTO public = NULL;
    path_in(folder, "k.pub", path);
    assert_done(key_load_public(path, &public, error));
    uint8_t signature[KEY_SIGNATURE_SIZE];
    assert_refused(key_sign(public, "x", 1, signature, error), ERROR_INVALID, "no private half");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_makes_a_pair_that_signs_and_verifies),
        test_in_folder(test_private_file_is_for_its_owner_alone),
        test_in_folder(test_never_overwrites),
        test_in_folder(test_refuses_what_is_no_ed25519_key),
        test_in_folder(test_a_public_half_cannot_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
