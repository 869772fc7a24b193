/* Texts find their values while others come and go. */
#include "base/arena.h"
#include "base/text_map.h"
#include "support/test.h"

static void test_finds_what_was_put(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    TEXT_MAP_AUTO map = text_map_new();
    enum { TEXTS = 20000 };
    int *numbers = ARENA_ARRAY(arena, TEXTS, int);
    for (int i = 0; i < TEXTS; i++) text_map_put(map, arena_printf(arena, "host-%d", i), &numbers[i]);
    assert_int_equal(text_map_count(map), TEXTS);
    for (int i = 0; i < TEXTS; i++)
        assert_ptr_equal(text_map_find(map, arena_printf(arena, "host-%d", i)), &numbers[i]);
    assert_null(text_map_find(map, "host-20000"));
    assert_null(text_map_find(map, ""));
}

static void test_a_second_value_replaces_the_first(void **state) {
    (void)state;
    TEXT_MAP_AUTO map = text_map_new();
    int one, other;
    char same[] = "web1";
    text_map_put(map, "web1", &one);
    text_map_put(map, same, &other);
    assert_int_equal(text_map_count(map), 1);
    assert_ptr_equal(text_map_find(map, "web1"), &other);
}

/* Whatever is removed, in whatever order, the others are still found: gaps are closed. */
static void test_forgets_only_what_is_removed(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    enum { TEXTS = 509 };
    for (size_t step = 1; step < 30; step++) {
        TEXT_MAP_AUTO map = text_map_new();
        const char *names[TEXTS];
        for (size_t i = 0; i < TEXTS; i++) {
            names[i] = arena_printf(arena, "%zu-%zu", step, i);
            text_map_put(map, names[i], &names[i]);
        }
        for (size_t i = 0; i < TEXTS / 2; i++) /* TEXTS is a prime: each is met once */
            assert_ptr_equal(text_map_remove(map, names[i * step % TEXTS]), &names[i * step % TEXTS]);
        assert_int_equal(text_map_count(map), TEXTS - TEXTS / 2);
        for (size_t i = 0; i < TEXTS; i++) {
            size_t at = i * step % TEXTS;
            assert_ptr_equal(text_map_find(map, names[at]), i < TEXTS / 2 ? NULL : &names[at]);
        }
        assert_null(text_map_remove(map, names[0]));
    }
}

static void test_gives_each_value_once(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    TEXT_MAP_AUTO map = text_map_new();
    enum { TEXTS = 100 };
    int seen[TEXTS] = {0};
    for (size_t i = 0; i < TEXTS; i++) text_map_put(map, arena_printf(arena, "%zu", i), &seen[i]);
    void *value;
    for (size_t cursor = 0; text_map_next(map, &cursor, &value);) ++*(int *)value;
    for (size_t i = 0; i < TEXTS; i++) assert_int_equal(seen[i], 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_put),
        cmocka_unit_test(test_a_second_value_replaces_the_first),
        cmocka_unit_test(test_forgets_only_what_is_removed),
        cmocka_unit_test(test_gives_each_value_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
