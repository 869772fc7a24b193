#include "base/parallel.h"
#include "support/test.h"
#include <stdatomic.h>
#include <string.h>

enum { COUNT = 10000 };

typedef struct Seen {
    atomic_int times[COUNT];
    atomic_uint workers;
    atomic_size_t calls;
    size_t fail_at;
} Seen;

static int look(size_t index, unsigned worker, void *context, Error *error) {
    Seen *seen = context;
    atomic_fetch_add(&seen->times[index], 1);
    atomic_fetch_or(&seen->workers, 1u << worker);
    atomic_fetch_add(&seen->calls, 1);
    if (index == seen->fail_at) return error_set(error, ERROR_INVALID, "number %zu is bad", index);
    return 0;
}

static void test_does_each_index_once(void **state) {
    (void)state;
    static const unsigned workers[] = {0, 1, 2, 5, 1000};
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
        static Seen seen;
        memset(&seen, 0, sizeof seen);
        seen.fail_at = COUNT;
        assert_int_equal(parallel_for(COUNT, workers[i], look, &seen, NULL), 0);
        for (size_t j = 0; j < COUNT; j++) assert_int_equal(atomic_load(&seen.times[j]), 1);
        if (workers[i] <= 1) assert_int_equal(atomic_load(&seen.workers), 1);
        assert_int_equal(atomic_load(&seen.workers) >> PARALLEL_WORKERS_MAX, 0);
    }
}

static void test_the_first_failure_is_the_one_returned(void **state) {
    (void)state;
    static Seen seen;
    memset(&seen, 0, sizeof seen);
    seen.fail_at = 10;
    Error error = {0};
    assert_int_equal(parallel_for(COUNT, 2, look, &seen, &error), -1);
    assert_string_equal(error.en, "number 10 is bad");
    assert_int_equal(parallel_for(COUNT, 2, look, &seen, NULL), -1);
}

static void test_a_failure_stops_the_handing_out(void **state) {
    (void)state;
    static Seen seen;
    memset(&seen, 0, sizeof seen);
    seen.fail_at = 10;
    assert_int_equal(parallel_for(COUNT, 1, look, &seen, NULL), -1);
    assert_int_equal(atomic_load(&seen.calls), 11);
}

static void test_nothing_to_do_is_done(void **state) {
    (void)state;
    assert_int_equal(parallel_for(0, 4, look, NULL, NULL), 0);
    assert_in_range(parallel_workers(), 1, PARALLEL_WORKERS_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_does_each_index_once),
        cmocka_unit_test(test_the_first_failure_is_the_one_returned),
        cmocka_unit_test(test_a_failure_stops_the_handing_out),
        cmocka_unit_test(test_nothing_to_do_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
