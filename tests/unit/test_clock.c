#include "base/clock.h"
#include "support/test.h"
#include <string.h>

static void check_text(int64_t ms, const char *expected) {
    char text[CLOCK_TEXT_SIZE];
    clock_to_text(ms, text);
    assert_string_equal(text, expected);
}

static void test_writes_rfc_3339(void **state) {
    (void)state;
    check_text(0, "1970-01-01T00:00:00.000Z");
    check_text(INT64_C(951782400123), "2000-02-29T00:00:00.123Z");
    check_text(-1, "1969-12-31T23:59:59.999Z");
    check_text(INT64_MAX, "0000-00-00T00:00:00.000Z");
    check_text(INT64_MIN, "0000-00-00T00:00:00.000Z");
}

static void test_reads_what_it_writes(void **state) {
    (void)state;
    for (int64_t ms = -100000000000; ms < 4000000000000; ms += 123456789123) {
        char text[CLOCK_TEXT_SIZE];
        int64_t back = 0;
        clock_to_text(ms, text);
        assert_int_equal(clock_from_text(text, &back), 0);
        assert_int_equal(back, ms);
    }
}

static void test_reads_without_milliseconds(void **state) {
    (void)state;
    int64_t ms = 0;
    assert_int_equal(clock_from_text("2000-02-29T00:00:00Z", &ms), 0);
    assert_int_equal(ms, INT64_C(951782400000));
    assert_int_equal(clock_from_text("2000-02-29T00:00:00.5Z", &ms), 0);
    assert_int_equal(ms, INT64_C(951782400500));
}

static void test_refuses_what_is_no_time(void **state) {
    (void)state;
    static const char *const wrong[] = {"",
                                        "Z",
                                        "2000-02-29",
                                        "2000-02-29T00:00:00",
                                        "2000-02-29T00:00:00+01:00",
                                        "2000-02-29 00:00:00Z",
                                        "2001-02-29T00:00:00Z",
                                        "2000-13-01T00:00:00Z",
                                        "2000-01-32T00:00:00Z",
                                        "2000-01-01T24:00:00Z",
                                        "2000-01-01T00:60:00Z",
                                        "2000-01-01T00:00:60Z",
                                        "2000-1-1T0:0:0Z",
                                        " 2000-01-01T00:00:00Z",
                                        "2000-01-01T00:00:00.Z",
                                        "2000-01-01T00:00:00.1234Z",
                                        "2000-01-01T00:00:00Z ",
                                        "2000-01-01T00:00:00.1xZ",
                                        "2000- 1- 1T 0: 0: 0Z",
                                        "+200-01-01T00:00:00Z"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t ms = 77;
        if (clock_from_text(wrong[i], &ms) == 0) fail_msg("takes “%s”", wrong[i]);
        assert_int_equal(ms, 77);
    }
}

static void test_steady_time_does_not_go_back(void **state) {
    (void)state;
    Clock *clock = clock_system();
    int64_t before = clock_steady_ms(clock);
    clock_sleep_ms(20);
    assert_true(clock_steady_ms(clock) >= before + 20);
    clock_sleep_ms(-5);
    assert_true(clock_wall_ms(clock) > INT64_C(1600000000000));
}

static void test_a_false_clock_stands_still_until_it_is_moved(void **state) {
    (void)state;
    ClockFalse clock = clock_false(1000);
    assert_int_equal(clock_wall_ms(&clock.clock), 1000);
    clock.now_ms += 3600000;
    assert_int_equal(clock_wall_ms(&clock.clock), 3601000);
    assert_int_equal(clock_steady_ms(&clock.clock), 3601000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_rfc_3339),
        cmocka_unit_test(test_reads_what_it_writes),
        cmocka_unit_test(test_reads_without_milliseconds),
        cmocka_unit_test(test_refuses_what_is_no_time),
        cmocka_unit_test(test_steady_time_does_not_go_back),
        cmocka_unit_test(test_a_false_clock_stands_still_until_it_is_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
