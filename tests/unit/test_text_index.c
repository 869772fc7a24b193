/* Texts find their numbers, many of them, and a second one of the same text does not push out the first. */
#include "base/text_index.h"
#include "support/test.h"

static void test_finds_what_was_added(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    enum { TEXTS = 5000 };
    TextIndex *index = text_index_new(arena, TEXTS);
    for (size_t i = 0; i < TEXTS; i++)
        assert_int_equal(text_index_add(index, arena_printf(arena, "host-%zu", i), i), TEXT_INDEX_NONE);
    for (size_t i = 0; i < TEXTS; i++)
        assert_int_equal(text_index_find(index, arena_printf(arena, "host-%zu", i)), i);
    assert_int_equal(text_index_find(index, "host-5000"), TEXT_INDEX_NONE);
    assert_int_equal(text_index_find(index, ""), TEXT_INDEX_NONE);
}

static void test_the_first_one_stays(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    TextIndex *index = text_index_new(arena, 1);
    char same[] = "web1";
    assert_int_equal(text_index_add(index, "web1", 7), TEXT_INDEX_NONE);
    assert_int_equal(text_index_add(index, same, 8), 7);
    assert_int_equal(text_index_find(index, same), 7);
}

static void test_an_empty_one_finds_nothing(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    assert_int_equal(text_index_find(text_index_new(arena, 0), "web1"), TEXT_INDEX_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_added),
        cmocka_unit_test(test_the_first_one_stays),
        cmocka_unit_test(test_an_empty_one_finds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
