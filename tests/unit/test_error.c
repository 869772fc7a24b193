#include "base/error.h"
#include "support/test.h"
#include <errno.h>
#include <string.h>

static void test_reads_from_the_outside_in(void **state) {
    (void)state;
    Error error = {0};
    assert_int_equal(error_set(&error, ERROR_REFUSED, "the disk is full"), -1);
    assert_int_equal(error_prefix(&error, "cannot stage %s %d", "node-red", 4), -1);
    assert_int_equal(error_hint(&error, "free %s", "space"), -1);
    assert_string_equal(error.en, "cannot stage node-red 4: the disk is full; free space");
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_int_equal(error.number, 0);
}

static void test_names_the_errno(void **state) {
    (void)state;
    Error error = {0};
    error_errno(&error, ERROR_SYSTEM, ENOSPC, "cannot write %s", "x");
    assert_string_equal(error.en, "cannot write x: No space left on device");
    assert_int_equal(error.number, ENOSPC);
    error_errno(&error, ERROR_SYSTEM, 99999, "cannot write %s", "x");
    assert_string_equal(error.en, "cannot write x: unknown error");
}

static void test_a_second_error_takes_the_place_of_the_first(void **state) {
    (void)state;
    Error error = {0};
    error_errno(&error, ERROR_SYSTEM, ENOSPC, "first");
    error_set(&error, ERROR_INVALID, "second");
    assert_string_equal(error.en, "second");
    assert_int_equal(error.number, 0);
}

static void test_is_cut_not_overrun(void **state) {
    (void)state;
    char long_text[3 * ERROR_TEXT_MAX];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    Error error = {0};
    error_set(&error, ERROR_SYSTEM, "%s", long_text);
    for (int i = 0; i < 3; i++) {
        error_prefix(&error, "%s", long_text);
        error_hint(&error, "%s", long_text);
    }
    assert_int_equal(strnlen(error.en, ERROR_TEXT_MAX), ERROR_TEXT_MAX - 1);
    assert_int_equal(strnlen(error.zh, ERROR_TEXT_MAX), ERROR_TEXT_MAX - 1);
}

static void test_is_cut_between_characters(void **state) {
    (void)state;
    Error error = {0};
    for (size_t lead = 0; lead < 4; lead++) {
        char text[ERROR_TEXT_MAX + 64] = "aaaa";
        for (size_t at = lead; at + 3 < sizeof text; at += 3) memcpy(text + at, "本", 4);
        error_set(&error, ERROR_SYSTEM, "%s", text);
        error_prefix(&error, "%s", "b");
        size_t length = strlen(error.en), whole = 3 + lead;
        assert_true(length >= ERROR_TEXT_MAX - 5);
        assert_int_equal((length - whole) % 3, 0);
    }
}

static void test_commands_no_terminal(void **state) {
    (void)state;
    Error error;
    error_set(&error, ERROR_INVALID, "%s is bad",
              "a\033[2J\rb\x7f\xc2\x9b"
              "c \xe5\x8d\x87");
    assert_string_equal(error.en, "a?[2J?b???c \xe5\x8d\x87 is bad");
    error_prefix(&error, "%s", "x\033");
    assert_string_equal(error.en, "x?: a?[2J?b???c \xe5\x8d\x87 is bad");
}

static void test_nobody_needs_to_care(void **state) {
    (void)state;
    assert_int_equal(error_set(NULL, ERROR_SYSTEM, "x"), -1);
    assert_int_equal(error_errno(NULL, ERROR_SYSTEM, EIO, "x"), -1);
    assert_int_equal(error_prefix(NULL, "x"), -1);
    assert_int_equal(error_hint(NULL, "x"), -1);
}

static void test_kinds_have_the_promised_exit_status(void **state) {
    (void)state;
    static const int expected[] = {
        [ERROR_NONE] = 0,   [ERROR_SYSTEM] = 1,    [ERROR_INVALID] = 2,      [ERROR_REFUSED] = 3,
        [ERROR_FAILED] = 4, [ERROR_ATTENTION] = 5, [ERROR_INTERRUPTED] = 130};
    for (int kind = ERROR_NONE; kind <= ERROR_INTERRUPTED; kind++)
        assert_int_equal(error_exit_status((ErrorKind)kind), expected[kind]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_from_the_outside_in),
        cmocka_unit_test(test_names_the_errno),
        cmocka_unit_test(test_a_second_error_takes_the_place_of_the_first),
        cmocka_unit_test(test_is_cut_not_overrun),
        cmocka_unit_test(test_is_cut_between_characters),
        cmocka_unit_test(test_commands_no_terminal),
        cmocka_unit_test(test_nobody_needs_to_care),
        cmocka_unit_test(test_kinds_have_the_promised_exit_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
