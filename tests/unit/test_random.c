#include "base/random.h"
#include "support/test.h"
#include <string.h>

static void test_names_are_letters_and_digits_of_the_size_asked(void **state) {
    (void)state;
    for (size_t size = 1; size < 40; size++) {
        char name[40];
        random_name(name, size);
        assert_int_equal(strlen(name), size - 1);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789"), size - 1);
    }
}

static void test_no_two_names_are_alike(void **state) {
    (void)state;
    enum { COUNT = 500 };
    char names[COUNT][17];
    for (size_t i = 0; i < COUNT; i++) {
        random_name(names[i], sizeof names[i]);
        for (size_t j = 0; j < i; j++) assert_string_not_equal(names[i], names[j]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_letters_and_digits_of_the_size_asked),
        cmocka_unit_test(test_no_two_names_are_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
