#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "package/package.h"
#include "support/sample_package.h"

/* ---- Bytes that are not those that were signed ---- */

/* A small package "p.upk" of two files, one of them twice, a link and a folder; its bytes. */
static void make_small(const TestFolder *folder, Buffer *bytes) {
    FD_AUTO from = sample_folder(folder, "from");
    assert_int_equal(mkdirat(from, "d", 0755), 0);
    sample_text(from, "d/a", "some text, some text, some text\n");
    sample_text(from, "d/b", "some text, some text, some text\n");
    sample_text(from, "c", "other text\n");
    assert_int_equal(symlinkat("d/a", from, "l"), 0);
    sample_pack(folder, "from", "p.upk");
    assert_done(file_read(folder->fd, "p.upk", 1 << 20, bytes, error));
}

static bool installs_what_was_signed(const TestFolder *folder, const Digest *digest) {
    Package *package = NULL;
    if (sample_open(folder, "p.upk", &package, NULL) < 0) return false;
    assert_true(digest_equal(&package->digest, digest)); /* whoever opens it, opens that manifest */
    int to = sample_folder(folder, "to");
    bool is_installed =
        package_verify(package, NULL, NULL) == 0 && install_tree(package, to, NULL, NULL) == 0;
    size_t differences = 0;
    if (is_installed)
        assert_done(tree_compare(to, package->manifest->tree, false, NULL, NULL, &differences, error));
    assert_int_equal(differences, 0);
    close(to);
    package_close(package);
    assert_done(file_remove_tree(folder->fd, "to", error));
    return is_installed;
}

static Digest digest_of_small(const TestFolder *folder) {
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    return package->digest;
}

/* Every byte, flipped in two ways. */
static void test_a_flipped_byte_anywhere_is_refused(void **state) {
    TestFolder *folder = *state;
    BUFFER_AUTO bytes = {0};
    make_small(folder, &bytes);
    Digest digest = digest_of_small(folder);
    FD_AUTO fd = openat(folder->fd, "p.upk", O_WRONLY | O_CLOEXEC);
    static const uint8_t masks[] = {0x01, 0xff};
    for (size_t i = 0; i < bytes.size; i++) {
        for (size_t j = 0; j < sizeof masks; j++) {
            uint8_t flipped = (uint8_t)bytes.data[i] ^ masks[j];
            assert_int_equal(pwrite(fd, &flipped, 1, (off_t)i), 1);
            if (installs_what_was_signed(folder, &digest)) fail_msg("byte %zu is not looked at", i);
        }
        assert_int_equal(pwrite(fd, &bytes.data[i], 1, (off_t)i), 1);
    }
    assert_true(installs_what_was_signed(folder, &digest));
}

static void test_a_cut_at_every_length_is_refused(void **state) {
    TestFolder *folder = *state;
    BUFFER_AUTO bytes = {0};
    make_small(folder, &bytes);
    for (size_t size = bytes.size; size-- > 0;) {
        char path[SAMPLE_PATH_SIZE];
        sample_path(folder, "p.upk", path);
        assert_int_equal(truncate(path, (off_t)size), 0);
        Package *none = NULL;
        Error said = {0};
        if (sample_open(folder, "p.upk", &none, &said) == 0) fail_msg("opens the first %zu bytes", size);
        if (said.kind != ERROR_INVALID) fail_msg("%zu bytes: %s", size, said.en);
    }
}

static void test_refuses_what_follows_the_end(void **state) {
    TestFolder *folder = *state;
    BUFFER_AUTO bytes = {0};
    make_small(folder, &bytes);
    buffer_append(&bytes, "more", 4);
    sample_write(folder->fd, "p.upk", bytes.data, bytes.size);
    Package *none = NULL;
    assert_refused(sample_open(folder, "p.upk", &none, error), ERROR_INVALID, "no whole package");
}

static void test_a_frame_is_read_from_the_file_that_was_opened(void **state) {
    TestFolder *folder = *state;
    BUFFER_AUTO bytes = {0};
    make_small(folder, &bytes);
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    assert_int_equal(unlinkat(folder->fd, "p.upk", 0), 0);
    sample_text(folder->fd, "p.upk", "another file under the same name");
    assert_done(package_verify(package, NULL, error));
}

static void test_refuses_bytes_changed_after_it_was_opened(void **state) {
    TestFolder *folder = *state;
    BUFFER_AUTO bytes = {0};
    make_small(folder, &bytes);
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    FD_AUTO fd = openat(folder->fd, "p.upk", O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "\xff", 1, (off_t)package->offsets[0] + 9), 1);
    assert_refused(package_verify(package, NULL, error), ERROR_INVALID, "not those that were signed");
    FD_AUTO to = sample_folder(folder, "to");
    assert_refused(install_tree(package, to, NULL, error), ERROR_INVALID, "not those that were signed");
}

/* ---- Who signed ---- */

static void test_refuses_the_unsigned(void **state) {
    TestFolder *folder = *state;
    static const char text[] = "{}\n";
    int out = openat(folder->fd, "p.upk", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    EnvelopeWriter *writer = NULL;
    assert_done(envelope_writer_new(out, &writer, error));
    assert_done(envelope_write_head(writer, text, 3, "{\"signatures\":[]}\n", 18, error));
    assert_done(envelope_writer_end(writer, error));
    envelope_writer_free(writer);
    close(out);
    key_free(sample_key(folder, "k"));
    Package *none = NULL;
    assert_refused(sample_open(folder, "p.upk", &none, error), ERROR_INVALID, "it is not signed");
}

static void test_refuses_strangers(void **state) {
    TestFolder *folder = *state;
    BUFFER_AUTO bytes = {0};
    make_small(folder, &bytes);
    key_free(sample_key(folder, "other"));
    TRUST_AUTO trust = sample_trust(folder, "other");
    KEY_AUTO key = sample_key(folder, "k");
    char path[SAMPLE_PATH_SIZE];
    sample_path(folder, "p.upk", path);
    Package *none = NULL;
    assert_refused(package_open(path, trust, &none, error), ERROR_INVALID, key_id(key));
}

static void test_one_signature_more(void **state) {
    TestFolder *folder = *state;
    BUFFER_AUTO bytes = {0};
    make_small(folder, &bytes);
    Digest digest = digest_of_small(folder);
    char path[SAMPLE_PATH_SIZE], one[SAMPLE_PATH_SIZE], two[SAMPLE_PATH_SIZE];
    sample_path(folder, "p.upk", path);
    sample_path(folder, "k.pub", one);
    sample_path(folder, "k2.pub", two);
    KEY_AUTO second = sample_key(folder, "k2");
    const char *paths[] = {one, two};
    TRUST_AUTO both = NULL;
    assert_done(trust_load(paths, 2, 2, &both, error));
    Package *none = NULL;
    assert_refused(package_open(path, both, &none, error), ERROR_INVALID, "1 of the 2 signatures");
    size_t count = 0;
    assert_done(package_sign(path, second, NULL, &count, error));
    assert_int_equal(count, 2);
    PACKAGE_AUTO package = NULL;
    assert_done(package_open(path, both, &package, error));
    assert_true(digest_equal(&package->digest, &digest)); /* the same package */
    assert_done(package_verify(package, NULL, error));
    assert_done(package_sign(path, second, NULL, &count, error));
    assert_int_equal(count, 2); /* once more is no more */
}

static void test_does_not_sign_what_does_not_verify(void **state) {
    TestFolder *folder = *state;
    BUFFER_AUTO bytes = {0};
    make_small(folder, &bytes);
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    FD_AUTO fd = openat(folder->fd, "p.upk", O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "\xff", 1, (off_t)package->offsets[0] + 9), 1);
    char path[SAMPLE_PATH_SIZE];
    sample_path(folder, "p.upk", path);
    KEY_AUTO second = sample_key(folder, "k2");
    size_t count = 0;
    assert_refused(package_sign(path, second, NULL, &count, error), ERROR_INVALID,
                   "not those that were signed");
}

/* ---- What a trusted key should never have signed ---- */

#define EMPTY_DIGEST "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HEAD                                                                                                 \
    "{\"content_size\":0,\"service\":\"s\",\"upkeep_package\":1,\"version\":\"1\",\"frames\":[\n],"          \
    "\"entries\":[\n"
#define DIRECTORY(path) "{\"mode\":\"0755\",\"owner\":\"0:0\",\"path\":\"" path "\",\"type\":\"directory\"}"
#define EMPTY_FILE(path)                                                                                     \
    "{\"mode\":\"0644\",\"owner\":\"0:0\",\"path\":\"" path "\",\"sha256\":\"" EMPTY_DIGEST                  \
    "\",\"size\":0,\"type\":\"file\"}"
#define LINK(path, target)                                                                                   \
    "{\"owner\":\"0:0\",\"path\":\"" path "\",\"target\":\"" target "\",\"type\":\"symlink\"}"
#define HARD_LINK(path, target) "{\"path\":\"" path "\",\"target\":\"" target "\",\"type\":\"hardlink\"}"

static void test_refuses_what_a_tree_may_not_hold(void **state) {
    TestFolder *folder = *state;
    static const struct {
        const char *entries, *says;
    } cases[] = {
        {EMPTY_FILE("../x"), "not inside it"},
        {EMPTY_FILE("/etc/x"), "not inside it"},
        {EMPTY_FILE("a/../../x"), "not inside it"},
        {"{\"mode\":\"0644\",\"owner\":\"0:0\",\"path\":\"d\",\"type\":\"device\"}", "bad \"type\""},
        {LINK("l", "/etc/passwd"), "leads out of the tree"},
        {LINK("l", "../x"), "leads out of the tree"},
        {LINK("d", ".") ",\n" LINK("l", "d/.."), "leads out of the tree"},
        {EMPTY_FILE("a") ",\n" EMPTY_FILE("a"), "twice or out of order"},
        {EMPTY_FILE("b") ",\n" EMPTY_FILE("a"), "twice or out of order"},
        {DIRECTORY("d") ",\n" LINK("l", "d") ",\n" EMPTY_FILE("l/a"), "l/a stands in l"},
        {EMPTY_FILE("a") ",\n" EMPTY_FILE("a/b"), "a/b stands in a"},
        {EMPTY_FILE("a/b"), "a/b stands in a"},
        {LINK("a", "x") ",\n" HARD_LINK("b", "a"), "b is a hard link to a"},
        {DIRECTORY("a") ",\n" HARD_LINK("b", "a"), "b is a hard link to a"},
        {HARD_LINK("b", "/etc/passwd"), "b is a hard link to /etc/passwd"},
        {"{\"mode\":\"0644\",\"owner\":\"0:0\",\"path\":\"a\",\"sha256\":\"" EMPTY_DIGEST
         "\",\"size\":1099511627776,\"sparse\":true,\"type\":\"file\"}",
         "bad \"size\""},
        {"{\"mode\":\"0644\",\"owner\":\"0:0\",\"path\":\"a\",\"sha256\":\"" EMPTY_DIGEST
         "\",\"size\":5,\"type\":\"file\"}",
         "content_size is not the size"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        BUFFER_AUTO manifest = {0};
        buffer_printf(&manifest, "%s%s\n]}\n", HEAD, cases[i].entries);
        sample_forge(folder, "p.upk", manifest.data, manifest.size, NULL, NULL, 0);
        Package *none = NULL;
        assert_refused(sample_open(folder, "p.upk", &none, error), ERROR_INVALID, cases[i].says);
    }
    static const char fine[] = HEAD DIRECTORY("d") ",\n" EMPTY_FILE("d/a") ",\n" LINK("l", "d/a") "\n]}\n";
    sample_forge(folder, "p.upk", fine, sizeof fine - 1, NULL, NULL, 0);
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
}

/* One file "a" of `size` bytes said to have `digest`, in one frame whose bytes are `frame`. */
static void forge_one_file(const TestFolder *folder, uint32_t size, const Digest *digest, const void *frame,
                           uint32_t bytes) {
    TREE_AUTO tree = tree_new();
    *tree_add(tree) =
        (TreeEntry){.path = "a", .type = TREE_FILE, .mode = 0644, .size = size, .digest = *digest};
    Frame said = {size, bytes, digest_of(frame, bytes)};
    ManifestHead head = {.upkeep_package = 1, .service = "s", .version = "1", .content_size = size};
    BUFFER_AUTO manifest = {0};
    manifest_write(&head, &said, 1, tree, &manifest);
    const void *frames[] = {frame};
    sample_forge(folder, "p.upk", manifest.data, manifest.size, frames, &bytes, 1);
}

static void test_refuses_a_bomb(void **state) {
    TestFolder *folder = *state;
    FREE_AUTO uint8_t *zeros = calloc(1, FRAME_SIZE);
    FREE_AUTO uint8_t *bytes = malloc(FRAME_BYTES_MAX);
    FrameEncoder *encoder = frame_encoder_new(9);
    Frame frame;
    assert_done(frame_encode(encoder, zeros, FRAME_SIZE, bytes, &frame, error));
    frame_encoder_free(encoder);
    Digest digest = digest_of(zeros, 10);
    forge_one_file(folder, 10, &digest, bytes, frame.bytes);
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    assert_refused(package_verify(package, NULL, error), ERROR_INVALID, "not one zstd frame of 10 bytes");
    FD_AUTO to = sample_folder(folder, "to");
    assert_refused(install_tree(package, to, NULL, error), ERROR_INVALID, "not one zstd frame of 10 bytes");
}

static void test_refuses_a_file_that_is_not_what_its_digest_says(void **state) {
    TestFolder *folder = *state;
    FREE_AUTO uint8_t *bytes = malloc(FRAME_BYTES_MAX);
    FrameEncoder *encoder = frame_encoder_new(9);
    Frame frame;
    assert_done(frame_encode(encoder, "0123456789", 10, bytes, &frame, error));
    frame_encoder_free(encoder);
    Digest digest = digest_of("another ten", 10);
    forge_one_file(folder, 10, &digest, bytes, frame.bytes);
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    assert_refused(package_verify(package, NULL, error), ERROR_INVALID,
                   "a has not the content that was signed");
    FD_AUTO to = sample_folder(folder, "to");
    assert_refused(install_tree(package, to, NULL, error), ERROR_SYSTEM, "a is not what was written");
}

static void test_verifies_files_that_cross_frames(void **state) {
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    sample_noise(from, "a", 3 << 20, 1);
    sample_noise(from, "b", 13 << 20, 2); /* begins in frame 0, ends in frame 3 */
    sample_noise(from, "c", 1, 3);
    sample_noise(from, "d", 8 << 20, 4);
    sample_pack(folder, "from", "p.upk");
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    assert_done(package_verify(package, NULL, error));
    static const char *const crossing[] = {"b", "d"};
    for (size_t i = 0; i < 2; i++) {
        TreeEntry *entry = tree_find(package->manifest->tree, crossing[i]);
        entry->digest.bytes[0] ^= 1;
        assert_refused(package_verify(package, NULL, error), ERROR_INVALID,
                       "has not the content that was signed");
        entry->digest.bytes[0] ^= 1;
    }
}

/* ---- Envelopes that are none ---- */

static void test_refuses_members_that_claim_to_be_huge(void **state) {
    TestFolder *folder = *state;
    BUFFER_AUTO bytes = {0};
    make_small(folder, &bytes);
    char *header = bytes.data; /* ustar: the size is 11 octal digits at 124, the sum of the header 6 at 148 */
    memcpy(header + 124, "17777777777", 11);
    memset(header + 148, ' ', 8);
    unsigned sum = 0;
    for (size_t i = 0; i < 512; i++) sum += (uint8_t)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    sample_write(folder->fd, "p.upk", bytes.data, bytes.size);
    Package *none = NULL;
    assert_refused(sample_open(folder, "p.upk", &none, error), ERROR_INVALID, "no whole package");
    char path[SAMPLE_PATH_SIZE];
    sample_path(folder, "p.upk", path);
    assert_int_equal(truncate(path, (off_t)16 << 30), 0); /* and now it is as large as it claims */
    assert_refused(sample_open(folder, "p.upk", &none, error), ERROR_INVALID, "manifest.json is larger than");
}

static void test_refuses_what_is_no_package(void **state) {
    TestFolder *folder = *state;
    key_free(sample_key(folder, "k"));
    sample_text(folder->fd, "p.upk", "");
    Package *none = NULL;
    assert_refused(sample_open(folder, "p.upk", &none, error), ERROR_INVALID, "no whole package");
    sample_noise(folder->fd, "p.upk", 100000, 1);
    assert_refused(sample_open(folder, "p.upk", &none, error), ERROR_INVALID, "no whole package");
    assert_refused(sample_open(folder, "missing", &none, error), ERROR_SYSTEM, "cannot open it");
    assert_int_equal(mkfifoat(folder->fd, "pipe", 0600), 0);
    assert_refused(sample_open(folder, "pipe", &none, error), ERROR_INVALID, "no regular file");
    assert_refused(sample_open(folder, ".", &none, error), ERROR_INVALID, "no regular file");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_flipped_byte_anywhere_is_refused),
        test_in_folder(test_a_cut_at_every_length_is_refused),
        test_in_folder(test_refuses_what_follows_the_end),
        test_in_folder(test_a_frame_is_read_from_the_file_that_was_opened),
        test_in_folder(test_refuses_bytes_changed_after_it_was_opened),
        test_in_folder(test_refuses_the_unsigned),
        test_in_folder(test_refuses_strangers),
        test_in_folder(test_one_signature_more),
        test_in_folder(test_does_not_sign_what_does_not_verify),
        test_in_folder(test_refuses_what_a_tree_may_not_hold),
        test_in_folder(test_refuses_a_bomb),
        test_in_folder(test_refuses_a_file_that_is_not_what_its_digest_says),
        test_in_folder(test_verifies_files_that_cross_frames),
        test_in_folder(test_refuses_members_that_claim_to_be_huge),
        test_in_folder(test_refuses_what_is_no_package),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
