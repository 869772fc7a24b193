#include "model/version.h"
#include "support/test.h"
#include <string.h>

static void test_parts_are_compared_as_numbers(void **state) {
    (void)state;
    assert_true(version_compare("1.10", "1.9") > 0);
    assert_true(version_compare("3.1.15", "4.0.9") < 0);
    assert_true(version_compare("20250101", "99999999999999999999") < 0);
}

static void test_missing_parts_are_zero(void **state) {
    (void)state;
    assert_int_equal(version_compare("1", "1.0.0"), 0);
    assert_int_equal(version_compare("v1.2", "1.2"), 0);
}

/* The order that Semantic Versioning 2.0.0 gives in clause 11. */
static void test_prereleases_come_before_their_release_in_the_stated_order(void **state) {
    (void)state;
    static const char *const ordered[] = {"1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta",
                                          "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",       "1.0.0"};
    for (size_t i = 1; i < sizeof ordered / sizeof *ordered; i++) {
        assert_true(version_compare(ordered[i - 1], ordered[i]) < 0);
        assert_true(version_compare(ordered[i], ordered[i - 1]) > 0);
    }
}

static void test_build_metadata_does_not_count(void **state) {
    (void)state;
    assert_int_equal(version_compare("1.0.0+a", "1.0.0+b"), 0);
}

static void test_every_comparison_of_a_range_must_hold(void **state) {
    (void)state;
    assert_true(version_in_range("3.1.15", ">=3.1 <4"));
    assert_false(version_in_range("4.0.0", ">=3.1 <4"));
    assert_false(version_in_range("3.0.9", ">=3.1 <4"));
    assert_false(version_in_range("2.0.3", ">=2 !=2.0.3"));
    assert_true(version_in_range("2.0.1", "2.0.1"));
}

static void test_below_a_release_leaves_out_its_prereleases(void **state) {
    (void)state;
    assert_false(version_in_range("23.0.0-rc.1", ">=18 <23"));
    assert_true(version_in_range("22.9.0-rc.1", ">=18 <23"));
}

static void test_what_is_no_range_holds_nothing(void **state) {
    (void)state;
    static const char *const bad[] = {"", "  ", ">=", "abc", ">= <2", "~1.2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(version_range_valid(bad[i]));
        assert_false(version_in_range("1", bad[i]));
    }
}

static void test_finds_a_version_in_what_programs_print(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"v20.20.2\n", "20.20.2"},
                                           {"git version 2.39.5", "2.39.5"},
                                           {"psql (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "15.18"},
                                           {"nginx version: nginx/1.22.1", "1.22.1"},
                                           {"tool 7", "7"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char found[64];
        assert_true(version_find(cases[i][0], found, sizeof found));
        assert_string_equal(found, cases[i][1]);
    }
}

static void test_finds_nothing_where_nothing_is(void **state) {
    (void)state;
    char found[64];
    assert_false(version_find("no version here", found, sizeof found));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_are_compared_as_numbers),
        cmocka_unit_test(test_missing_parts_are_zero),
        cmocka_unit_test(test_prereleases_come_before_their_release_in_the_stated_order),
        cmocka_unit_test(test_build_metadata_does_not_count),
        cmocka_unit_test(test_every_comparison_of_a_range_must_hold),
        cmocka_unit_test(test_below_a_release_leaves_out_its_prereleases),
        cmocka_unit_test(test_what_is_no_range_holds_nothing),
        cmocka_unit_test(test_finds_a_version_in_what_programs_print),
        cmocka_unit_test(test_finds_nothing_where_nothing_is),
    };
    return cmocka_run_group_tests_name("version", tests, NULL, NULL);
}
