#include "model/role.h"
#include "support/test.h"

#include "base/text.h"
#include <string.h>

static void test_each_role_has_its_rights(void **state) {
    (void)state;
    static const bool expected[ROLE_COUNT][RIGHT_COUNT] = {
        /*               read  operate approve administer */
        [ROLE_VIEWER] = {true, false, false, false},
        [ROLE_OPERATOR] = {true, true, false, false},
        [ROLE_APPROVER] = {true, false, true, false},
        [ROLE_ADMIN] = {true, true, true, true},
    };
    for (size_t role = 0; role < ROLE_COUNT; role++)
        for (size_t right = 0; right < RIGHT_COUNT; right++)
            assert_int_equal(role_may((Role)role, (Right)right), expected[role][right]);
}

static void test_what_is_no_role_or_right_may_nothing(void **state) {
    (void)state;
    static const int strange[] = {-1, ROLE_COUNT, 1000, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        assert_false(role_may((Role)strange[i], RIGHT_READ));
        assert_false(role_may(ROLE_ADMIN, (Right)strange[i]));
    }
}

static void test_names_read_back(void **state) {
    (void)state;
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        Role role = (Role)(ROLE_COUNT - 1 - i);
        assert_true(role_from_name(role_name((Role)i), &role));
        assert_int_equal(role, i);
    }
}

static void test_refuses_other_names(void **state) {
    (void)state;
    static const char *const names[] = {"", "Admin", "admin ", " admin", "administrator", "root", "view"};
    Role role = ROLE_APPROVER;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) assert_false(role_from_name(names[i], &role));
    assert_int_equal(role, ROLE_APPROVER);
}

static void test_people_read_them_in_both_languages(void **state) {
    (void)state;
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const char *text = role_text((Role)i);
        assert_string_not_equal(text_in(LANGUAGE_ZH, text), text);
        for (size_t j = 0; j < i; j++) assert_string_not_equal(text, role_text((Role)j));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_role_has_its_rights),
        cmocka_unit_test(test_what_is_no_role_or_right_may_nothing),
        cmocka_unit_test(test_names_read_back),
        cmocka_unit_test(test_refuses_other_names),
        cmocka_unit_test(test_people_read_them_in_both_languages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
