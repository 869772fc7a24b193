#include "base/digest.h"
#include "support/test.h"
#include <errno.h>
#include <string.h>

/* FIPS 180-4, example "abc" */
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void test_is_sha_256(void **state) {
    (void)state;
    char text[DIGEST_TEXT_SIZE];
    Digest digest = digest_of("abc", 3);
    digest_to_text(&digest, text);
    assert_string_equal(text, ABC);
}

static void test_parts_give_the_same_as_the_whole(void **state) {
    (void)state;
    DigestStream *stream = digest_stream_new();
    for (int round = 0; round < 2; round++) {
        digest_stream_begin(stream);
        digest_stream_add(stream, "a", 1);
        digest_stream_add(stream, "bc", 2);
        Digest parts = digest_stream_end(stream), whole = digest_of("abc", 3);
        assert_true(digest_equal(&parts, &whole));
    }
    digest_stream_free(stream);
    digest_stream_free(NULL);
}

static void test_zeros_count_as_written_ones(void **state) {
    (void)state;
    enum { SIZE = 200 * 1024 + 1 };
    char *zeros = calloc(1, SIZE);
    DigestStream *stream = digest_stream_new();
    digest_stream_begin(stream);
    digest_stream_add_zeros(stream, SIZE);
    Digest skipped = digest_stream_end(stream), written = digest_of(zeros, SIZE);
    assert_true(digest_equal(&skipped, &written));
    digest_stream_free(stream);
    free(zeros);
}

static void test_reads_a_whole_file_wherever_its_offset_is(void **state) {
    TestFolder *folder = *state;
    int fd = openat(folder->fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char block[3000];
    memset(block, 'x', sizeof block);
    DigestStream *stream = digest_stream_new();
    digest_stream_begin(stream);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(write(fd, block, sizeof block), sizeof block);
        digest_stream_add(stream, block, sizeof block);
    }
    Digest expected = digest_stream_end(stream), got;
    digest_stream_free(stream);
    uint64_t size = 0;
    assert_int_equal(digest_of_fd(fd, &got, &size, NULL), 0);
    assert_true(digest_equal(&expected, &got));
    assert_int_equal(size, 300000);
    close(fd);
}

static void test_says_why_it_cannot_read(void **state) {
    TestFolder *folder = *state;
    Digest got;
    Error error = {0};
    assert_int_equal(digest_of_fd(folder->fd, &got, NULL, &error), -1);
    assert_int_equal(error.number, EISDIR);
}

static void test_text_is_64_lower_case_digits_only(void **state) {
    (void)state;
    Digest digest, expected = digest_of("abc", 3);
    assert_true(digest_from_text(ABC, &digest));
    assert_true(digest_equal(&digest, &expected));
    char text[80] = ABC;
    text[5] = 'A';
    assert_false(digest_from_text(text, &digest));
    assert_false(digest_from_text(ABC "0", &digest));
    assert_false(digest_from_text("", &digest));
    text[5] = 'g';
    assert_false(digest_from_text(text, &digest));
    text[63] = '\0';
    assert_false(digest_from_text(text, &digest));
    assert_true(digest_equal(&digest, &expected));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_sha_256),
        cmocka_unit_test(test_parts_give_the_same_as_the_whole),
        cmocka_unit_test(test_zeros_count_as_written_ones),
        test_in_folder(test_reads_a_whole_file_wherever_its_offset_is),
        test_in_folder(test_says_why_it_cannot_read),
        cmocka_unit_test(test_text_is_64_lower_case_digits_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
