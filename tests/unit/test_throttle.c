#include "base/throttle.h"
#include "support/test.h"

#include <pthread.h>
#include <string.h>

enum { BURST = 5, INTERVAL_MS = 1000 };
#define START_MS ((int64_t)1800000000000)

static Throttle *made(size_t keys) {
    return throttle_new(&(ThrottleRule){.burst = BURST, .interval_ms = INTERVAL_MS, .keys = keys});
}

/* How many tries in a row are allowed at that time. */
static int tries(Throttle *throttle, const char *key, int64_t now_ms) {
    int count = 0;
    while (count < 1000 && throttle_allow(throttle, key, now_ms, NULL)) count++;
    return count;
}

static int64_t wait_of(Throttle *throttle, const char *key, int64_t now_ms) {
    int64_t wait_ms = -1;
    assert_false(throttle_allow(throttle, key, now_ms, &wait_ms));
    return wait_ms;
}

static void test_so_many_at_once_and_then_one_by_one(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = made(100);
    assert_int_equal(tries(throttle, "a", START_MS), BURST);
    assert_int_equal(tries(throttle, "a", START_MS + INTERVAL_MS - 1), 0);
    assert_int_equal(tries(throttle, "a", START_MS + INTERVAL_MS), 1);
    assert_int_equal(tries(throttle, "a", START_MS + 3 * INTERVAL_MS), 2);
    assert_int_equal(tries(throttle, "a", START_MS + 100 * INTERVAL_MS), BURST); /* no more than the bucket */
}

static void test_says_how_long_to_wait(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = made(100);
    int64_t wait_ms = -1;
    assert_true(throttle_allow(throttle, "a", START_MS, &wait_ms));
    assert_int_equal(wait_ms, 0);
    tries(throttle, "a", START_MS);
    wait_ms = wait_of(throttle, "a", START_MS + 300);
    assert_int_equal(wait_ms, INTERVAL_MS - 300);
    assert_false(throttle_allow(throttle, "a", START_MS + 300 + wait_ms - 1, NULL));
    assert_true(throttle_allow(throttle, "a", START_MS + 300 + wait_ms, NULL));
}

static void test_a_refused_try_costs_nothing(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = made(100);
    tries(throttle, "a", START_MS);
    for (int i = 0; i < 1000; i++) assert_int_equal(wait_of(throttle, "a", START_MS), INTERVAL_MS);
    assert_true(throttle_allow(throttle, "a", START_MS + INTERVAL_MS, NULL));
}

static void test_keys_do_not_touch_each_other(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = made(100);
    tries(throttle, "a", START_MS);
    assert_int_equal(tries(throttle, "b", START_MS), BURST);
    assert_int_equal(tries(throttle, "", START_MS), BURST);
    assert_int_equal(tries(throttle, "a ", START_MS), BURST);
    assert_int_equal(tries(throttle, "a", START_MS), 0);
}

static void test_failures_cost_more(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = made(100);
    assert_true(throttle_allow(throttle, "a", START_MS, NULL));
    throttle_charge(throttle, "a", BURST - 1, START_MS);
    assert_int_equal(wait_of(throttle, "a", START_MS), INTERVAL_MS);
    throttle_charge(throttle, "a", 2, START_MS); /* owed */
    assert_int_equal(wait_of(throttle, "a", START_MS), 3 * INTERVAL_MS);
    throttle_charge(throttle, "b", 1, START_MS); /* the first that is heard of it */
    assert_int_equal(tries(throttle, "b", START_MS), BURST - 1);
    throttle_charge(throttle, "b", 0, START_MS + INTERVAL_MS);
    assert_int_equal(tries(throttle, "b", START_MS + INTERVAL_MS), 1);
}

static void test_nobody_is_locked_out_for_good(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = made(100);
    for (int i = 0; i < 1000; i++) throttle_charge(throttle, "a", INT32_MAX, START_MS);
    int64_t wait_ms = wait_of(throttle, "a", START_MS);
    assert_int_equal(wait_ms, (BURST + 1) * INTERVAL_MS);
    assert_true(throttle_allow(throttle, "a", START_MS + wait_ms, NULL));
}

static void test_time_that_goes_back_stands_still(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = made(100);
    tries(throttle, "a", START_MS);
    assert_int_equal(wait_of(throttle, "a", START_MS - 1), INTERVAL_MS); /* frees nobody */
    assert_int_equal(wait_of(throttle, "a", 5), INTERVAL_MS);
    assert_true(throttle_allow(throttle, "a", 5 + INTERVAL_MS, NULL)); /* and holds nobody off */
    assert_int_equal(tries(throttle, "b", START_MS), BURST);
    assert_int_equal(tries(throttle, "b", 5), 0);
    assert_int_equal(tries(throttle, "b", 5 + 2 * INTERVAL_MS), 2);
}

static void test_any_time_will_do(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = made(100);
    static const int64_t times[] = {INT64_MIN, INT64_MAX, 0, -1, INT64_MAX, INT64_MIN, 1, START_MS};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        int count = tries(throttle, "a", times[i]);
        assert_true(count >= 0 && count <= BURST);
        throttle_charge(throttle, "a", 1, times[i]);
    }
    assert_int_equal(tries(throttle, "a", START_MS + 100 * INTERVAL_MS), BURST);
}

static void test_a_flood_of_keys_locks_nobody_out(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = made(64);
    char key[32];
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "flood-%d", i);
        assert_int_equal(tries(throttle, key, START_MS), BURST);
        throttle_charge(throttle, key, 2 * BURST, START_MS);
    }
    assert_int_equal(tries(throttle, "honest", START_MS), BURST);
}

static void test_a_flood_of_keys_frees_nobody_who_is_held_off(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = made(64);
    char key[32];
    tries(throttle, "guesser", START_MS);
    throttle_charge(throttle, "guesser", BURST, START_MS);
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "flood-%d", i);
        assert_true(throttle_allow(throttle, key, START_MS, NULL));
    }
    assert_int_equal(wait_of(throttle, "guesser", START_MS), (BURST + 1) * INTERVAL_MS);
}

static void test_with_one_row_the_least_in_debt_makes_place(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = made(1);
    char key[2] = "a";
    for (int i = 0; i < THROTTLE_PLACES; i++) { /* a owes most, h least */
        key[0] = (char)('a' + i);
        throttle_charge(throttle, key, BURST + THROTTLE_PLACES - i, START_MS);
    }
    assert_int_equal(tries(throttle, "new", START_MS), BURST);
    for (int i = 0; i < THROTTLE_PLACES - 1; i++) {
        key[0] = (char)('a' + i);
        assert_int_equal(tries(throttle, key, START_MS), 0);
    }
    assert_int_equal(tries(throttle, "h", START_MS), BURST); /* forgotten */
}

static void test_only_the_beginning_of_a_long_key_counts(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = made(100);
    enum { LONG = 1 << 20 };
    char *key = malloc(LONG + 1);
    assert_non_null(key);
    memset(key, 'k', LONG);
    key[LONG] = '\0';
    assert_int_equal(tries(throttle, key, START_MS), BURST);
    key[THROTTLE_KEY_MAX] = 'x';
    assert_int_equal(tries(throttle, key, START_MS), 0);
    key[THROTTLE_KEY_MAX - 1] = 'x';
    assert_int_equal(tries(throttle, key, START_MS), BURST);
    free(key);
}

static void test_the_largest_rule_does_not_overflow(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = throttle_new(
        &(ThrottleRule){.burst = THROTTLE_BURST_MAX, .interval_ms = THROTTLE_INTERVAL_MAX_MS, .keys = 1});
    for (int i = 0; i < 10; i++) throttle_charge(throttle, "a", INT32_MAX, START_MS);
    assert_int_equal(wait_of(throttle, "a", START_MS), (THROTTLE_BURST_MAX + 1) * THROTTLE_INTERVAL_MAX_MS);
}

enum { THREADS = 4, EACH = 500 };

static void *try_often(void *shared) {
    size_t allowed = 0;
    for (int i = 0; i < EACH; i++) allowed += throttle_allow(shared, "a", START_MS, NULL);
    return (void *)allowed; /* NOLINT(performance-no-int-to-ptr) */
}

static void test_threads_share_the_bucket(void **state) {
    (void)state;
    THROTTLE_AUTO throttle = throttle_new(&(ThrottleRule){.burst = 700, .interval_ms = 1, .keys = 10});
    pthread_t threads[THREADS];
    size_t allowed = 0;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, try_often, throttle), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        allowed += (size_t)result;
    }
    assert_int_equal(allowed, 700);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_so_many_at_once_and_then_one_by_one),
        cmocka_unit_test(test_says_how_long_to_wait),
        cmocka_unit_test(test_a_refused_try_costs_nothing),
        cmocka_unit_test(test_keys_do_not_touch_each_other),
        cmocka_unit_test(test_failures_cost_more),
        cmocka_unit_test(test_nobody_is_locked_out_for_good),
        cmocka_unit_test(test_time_that_goes_back_stands_still),
        cmocka_unit_test(test_any_time_will_do),
        cmocka_unit_test(test_a_flood_of_keys_locks_nobody_out),
        cmocka_unit_test(test_a_flood_of_keys_frees_nobody_who_is_held_off),
        cmocka_unit_test(test_with_one_row_the_least_in_debt_makes_place),
        cmocka_unit_test(test_only_the_beginning_of_a_long_key_counts),
        cmocka_unit_test(test_the_largest_rule_does_not_overflow),
        cmocka_unit_test(test_threads_share_the_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
