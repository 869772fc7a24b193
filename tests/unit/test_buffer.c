#include "base/buffer.h"
#include "support/test.h"
#include <string.h>

static void test_is_text_before_and_after_the_first_byte(void **state) {
    (void)state;
    BUFFER_AUTO buffer = {0};
    assert_string_equal(buffer_text(&buffer), "");
    buffer_text_append(&buffer, "a");
    buffer_append(&buffer, "bcd", 2);
    buffer_printf(&buffer, "-%d", 7);
    assert_string_equal(buffer_text(&buffer), "abc-7");
    assert_int_equal(buffer.size, 5);
}

static void test_keeps_any_bytes_through_growth(void **state) {
    (void)state;
    BUFFER_AUTO buffer = {0};
    for (unsigned i = 0; i < 100000; i++) buffer_append(&buffer, &(unsigned char){(unsigned char)i}, 1);
    assert_int_equal(buffer.size, 100000);
    for (unsigned i = 0; i < 100000; i++) assert_int_equal((unsigned char)buffer.data[i], i & 0xFF);
    assert_int_equal(buffer.data[buffer.size], 0);
}

static void test_clears_and_frees_to_an_empty_one(void **state) {
    (void)state;
    BUFFER_AUTO buffer = {0};
    buffer_clear(&buffer);
    buffer_text_append(&buffer, "something");
    buffer_clear(&buffer);
    assert_string_equal(buffer_text(&buffer), "");
    buffer_free(&buffer);
    assert_null(buffer.data);
    assert_int_equal(buffer.capacity, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_text_before_and_after_the_first_byte),
        cmocka_unit_test(test_keeps_any_bytes_through_growth),
        cmocka_unit_test(test_clears_and_frees_to_an_empty_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
