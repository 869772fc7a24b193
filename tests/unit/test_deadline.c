#include "host/deadline.h"
#include "support/test.h"

/* Two times that go their own ways. */
typedef struct Apart {
    Clock clock;
    int64_t wall_ms, steady_ms;
} Apart;

static int64_t wall_of(Clock *clock) { return ((Apart *)clock)->wall_ms; }
static int64_t steady_of(Clock *clock) { return ((Apart *)clock)->steady_ms; }

static Apart apart(void) { return (Apart){{wall_of, steady_of}, 1000000, 500}; }

static void test_time_left_is_counted_by_the_steady_clock(void **state) {
    (void)state;
    Apart apart_ = apart();
    Deadline deadline = {0};
    assert_int_equal(deadline_left_ms(&deadline, 1000100, 0, &apart_.clock), 100);
    apart_.steady_ms += 40;
    assert_int_equal(deadline_left_ms(&deadline, 1000100, 0, &apart_.clock), 60);
    apart_.steady_ms += 70;
    assert_int_equal(deadline_left_ms(&deadline, 1000100, 0, &apart_.clock), -10);
}

static void test_a_wall_clock_that_is_set_neither_hurries_nor_delays(void **state) {
    (void)state;
    Apart apart_ = apart();
    Deadline deadline = {0};
    deadline_left_ms(&deadline, 1000100, 0, &apart_.clock);
    apart_.wall_ms += 3600000;
    assert_int_equal(deadline_left_ms(&deadline, 1000100, 0, &apart_.clock), 100);
    apart_.wall_ms -= 2 * 3600000;
    assert_int_equal(deadline_left_ms(&deadline, 1000100, 0, &apart_.clock), 100);
}

static void test_another_moment_is_learnt_anew(void **state) {
    (void)state;
    Apart apart_ = apart();
    Deadline deadline = {0};
    deadline_left_ms(&deadline, 1000100, 0, &apart_.clock);
    apart_.wall_ms += 50, apart_.steady_ms += 50;
    assert_int_equal(deadline_left_ms(&deadline, 1000300, 0, &apart_.clock), 250);
}

static void test_a_wall_clock_that_lies_when_it_is_learnt_delays_by_what_was_given_at_most(void **state) {
    (void)state;
    Apart apart_ = apart();
    Deadline deadline = {0};
    apart_.wall_ms = 0; /* it came up in 1970 */
    assert_int_equal(deadline_left_ms(&deadline, 1000100, 900, &apart_.clock), 900);
    apart_.steady_ms += 900;
    assert_int_equal(deadline_left_ms(&deadline, 1000100, 900, &apart_.clock), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_left_is_counted_by_the_steady_clock),
        cmocka_unit_test(test_a_wall_clock_that_is_set_neither_hurries_nor_delays),
        cmocka_unit_test(test_another_moment_is_learnt_anew),
        cmocka_unit_test(test_a_wall_clock_that_lies_when_it_is_learnt_delays_by_what_was_given_at_most),
    };
    return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
