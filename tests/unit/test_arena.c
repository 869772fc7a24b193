#include "base/arena.h"
#include "support/test.h"
#include <stdalign.h>
#include <string.h>

static void test_gives_zeroed_aligned_memory(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    for (size_t size = 0; size < 5000; size = size * 3 + 1) {
        unsigned char *bytes = arena_alloc(arena, size);
        assert_int_equal((uintptr_t)bytes % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++) assert_int_equal(bytes[i], 0);
        memset(bytes, 0xFF, size);
    }
}

static void test_large_and_small_pieces_do_not_overlap(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    enum { COUNT = 300 };
    unsigned char *pieces[COUNT];
    size_t sizes[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = i % 7 == 0 ? 20000 + i * 100 : i;
        pieces[i] = arena_alloc(arena, sizes[i]);
        memset(pieces[i], (int)(i & 0xFF), sizes[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < sizes[i]; j++) assert_int_equal(pieces[i][j], i & 0xFF);
}

static void test_copies_and_formats_text(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    assert_string_equal(arena_strdup(arena, "upkeep"), "upkeep");
    assert_null(arena_strdup(arena, NULL));
    assert_string_equal(arena_strndup(arena, "upkeep", 2), "up");
    assert_string_equal(arena_printf(arena, "%s-%05d", "x", 42), "x-00042");
    char *long_text = arena_printf(arena, "%0100000d", 1);
    assert_int_equal(strlen(long_text), 100000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_zeroed_aligned_memory),
        cmocka_unit_test(test_large_and_small_pieces_do_not_overlap),
        cmocka_unit_test(test_copies_and_formats_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
