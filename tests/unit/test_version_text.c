#include "host/check/version_text.h"
#include "support/test.h"
#include <string.h>

static void check_found(const char *output, const char *regex, const char *expected) {
    char version[VERSION_TEXT_SIZE];
    Error error = {0};
    if (version_text_find(output, regex, version, &error) < 0) fail_msg("%s: %s", output, error.en);
    assert_string_equal(version, expected);
}

static void check_nothing(const char *output, const char *regex, ErrorKind kind) {
    char version[VERSION_TEXT_SIZE] = "untouched";
    Error error = {0};
    assert_int_equal(version_text_find(output, regex, version, &error), -1);
    assert_int_equal(error.kind, kind);
    assert_string_equal(version, "untouched");
}

static void test_finds_the_first_thing_that_looks_like_one(void **state) {
    (void)state;
    check_found("v18.20.4\n", NULL, "18.20.4");
    check_found("nginx version: nginx/1.22.1\n", NULL, "1.22.1");
    check_nothing("command not found\n", NULL, ERROR_FAILED);
    check_nothing("", NULL, ERROR_FAILED);
}

static void test_a_regex_takes_its_first_group_or_all(void **state) {
    (void)state;
    check_found("Node-RED v4.0.9 on Node v18\n", "RED v([0-9.]+)", "4.0.9");
    check_found("built 7.1\n", "[0-9]\\.[0-9]", "7.1");
    check_found("a  9.1  b", "a(.*)b", "9.1"); /* blanks around it do not count */
    check_nothing("nothing here", "v([0-9]+)", ERROR_FAILED);
    check_nothing("x", "(", ERROR_INVALID);
    check_nothing("x", "x()", ERROR_FAILED);
}

static void test_what_is_no_version_is_refused(void **state) {
    (void)state;
    char version[VERSION_TEXT_SIZE], text[VERSION_TEXT_SIZE + 1];
    memset(text, '1', sizeof text);
    assert_int_equal(version_text_take(text, VERSION_TEXT_SIZE - 1, version, NULL), 0);
    assert_int_equal(version_text_take(text, VERSION_TEXT_SIZE, version, NULL), -1);
    assert_int_equal(version_text_take("1 2", 3, version, NULL), -1);
    assert_int_equal(version_text_take("1\0002", 3, version, NULL), -1);
    assert_int_equal(version_text_take("1\x1b[2J", 5, version, NULL), -1);
    assert_int_equal(version_text_take(" \n", 2, version, NULL), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_the_first_thing_that_looks_like_one),
        cmocka_unit_test(test_a_regex_takes_its_first_group_or_all),
        cmocka_unit_test(test_what_is_no_version_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
