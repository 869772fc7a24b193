#include "base/quantity.h"
#include "support/test.h"
#include <string.h>

static void test_reads_durations(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {{"0s", 0},
                {"500ms", 500},
                {"30s", 30000},
                {"10m", 600000},
                {"2h", 7200000},
                {"1d", 86400000},
                {"9223372036854775807ms", INT64_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ms = -1;
        assert_int_equal(quantity_duration_parse(rows[i].text, &ms), 0);
        assert_int_equal(ms, rows[i].ms);
    }
}

static void test_reads_sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } rows[] = {{"4096B", 4096},
                {"10KiB", 10240},
                {"512MiB", 512u << 20},
                {"2GiB", UINT64_C(2) << 30},
                {"1TiB", UINT64_C(1) << 40},
                {"3KB", 3000},
                {"3MB", 3000000},
                {"3GB", UINT64_C(3000000000)},
                {"3TB", UINT64_C(3000000000000)}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t bytes = 0;
        assert_int_equal(quantity_size_parse(rows[i].text, &bytes), 0);
        assert_int_equal(bytes, rows[i].bytes);
    }
}

static void test_refuses_what_is_none(void **state) {
    (void)state;
    static const char *const wrong[] = {"",
                                        "s",
                                        "10",
                                        "-1s",
                                        "+1s",
                                        "1.5h",
                                        "1 s",
                                        " 1s",
                                        "1s ",
                                        "1h30m",
                                        "1S",
                                        "1min",
                                        "0x1s",
                                        "1e3s",
                                        "99999999999999999999ms",
                                        "9223372036854775808ms",
                                        "106751991168d"};
    static const char *const wrong_sizes[] = {
        "", "B", "10", "-1B", "1.5GiB", "1 B", "1kib", "1K", "9007199254740992KiB", "99999999999999999999B"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t ms = 77;
        assert_int_equal(quantity_duration_parse(wrong[i], &ms), -1);
        assert_int_equal(ms, 77);
    }
    for (size_t i = 0; i < sizeof wrong_sizes / sizeof *wrong_sizes; i++) {
        uint64_t bytes = 77;
        assert_int_equal(quantity_size_parse(wrong_sizes[i], &bytes), -1);
        assert_int_equal(bytes, 77);
    }
}

static void test_writes_for_reading(void **state) {
    (void)state;
    char text[QUANTITY_TEXT_SIZE];
    assert_string_equal(quantity_size_text(0, text), "0 B");
    assert_string_equal(quantity_size_text(1023, text), "1023 B");
    assert_string_equal(quantity_size_text(1288490189, text), "1.2 GiB");
    assert_string_equal(quantity_size_text(UINT64_MAX, text), "16.0 EiB");
    assert_string_equal(quantity_duration_text(950, text), "950 ms");
    assert_string_equal(quantity_duration_text(1500, text), "1.5 s");
    assert_string_equal(quantity_duration_text(125000, text), "2 min 5 s");
    assert_string_equal(quantity_duration_text(7260000, text), "2 h 1 min");
    assert_true(strlen(quantity_duration_text(INT64_MAX, text)) < QUANTITY_TEXT_SIZE);
}

/* Never "1024 KiB" where "1.0 MiB" is meant, nor "10.0 s" beside "10 s". */
static void test_rounds_up_into_the_next_unit(void **state) {
    (void)state;
    char text[QUANTITY_TEXT_SIZE];
    assert_string_equal(quantity_size_text(1024 * 1024 - 1, text), "1.0 MiB");
    assert_string_equal(quantity_size_text(100 * 1024 - 1, text), "100 KiB");
    assert_string_equal(quantity_duration_text(9999, text), "10 s");
    assert_string_equal(quantity_duration_text(59900, text), "1 min 0 s");
}

static void test_notation_reads_back(void **state) {
    (void)state;
    char text[QUANTITY_TEXT_SIZE];
    assert_string_equal(quantity_duration_notation(600000, text), "10m");
    assert_string_equal(quantity_duration_notation(1500, text), "1500ms");
    for (int64_t ms = 0; ms < INT64_MAX / 7; ms = ms * 7 + 1000) {
        int64_t back = -1;
        assert_int_equal(quantity_duration_parse(quantity_duration_notation(ms, text), &back), 0);
        assert_int_equal(back, ms);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_durations),
        cmocka_unit_test(test_reads_sizes),
        cmocka_unit_test(test_refuses_what_is_none),
        cmocka_unit_test(test_writes_for_reading),
        cmocka_unit_test(test_rounds_up_into_the_next_unit),
        cmocka_unit_test(test_notation_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
