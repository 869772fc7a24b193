#include "server/parking.h"
#include "support/test.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static void test_a_poll_is_taken_once(void **state) {
    (void)state;
    Parking *parking = parking_new();
    assert_int_equal(parking_take_poll(parking, "h"), 0);
    parking_put_poll(parking, "h", 7);
    assert_int_equal(parking_take_poll(parking, "other"), 0);
    assert_int_equal(parking_take_poll(parking, "h"), 7);
    assert_int_equal(parking_take_poll(parking, "h"), 0);
    parking_free(parking);
}

static void test_a_newer_poll_takes_the_place_of_an_older_one(void **state) {
    (void)state;
    Parking *parking = parking_new();
    parking_put_poll(parking, "h", 7);
    parking_put_poll(parking, "h", 8);
    assert_int_equal(parking_take_poll(parking, "h"), 8);
    assert_int_equal(parking_take_poll(parking, "h"), 0);
    parking_free(parking);
}

static void test_reports_are_taken_up_to_the_number_that_was_heard(void **state) {
    (void)state;
    Parking *parking = parking_new();
    ServerTicket out[PARKING_REPORTS_MAX];
    parking_put_report(parking, "h", "C1", 3, 30);
    parking_put_report(parking, "h", "C1", 5, 50);
    parking_put_report(parking, "h", "C2", 1, 10);
    parking_put_report(parking, "i", "C1", 1, 11);
    assert_int_equal(parking_take_reports(parking, "h", "C1", 2, out), 0);
    assert_int_equal(parking_take_reports(parking, "h", "C1", 4, out), 1);
    assert_int_equal(out[0], 30);
    assert_int_equal(parking_take_reports(parking, "h", "C1", 4, out), 0);
    assert_int_equal(parking_take_reports(parking, "h", "C2", 9, out), 1);
    assert_int_equal(out[0], 10);
    assert_int_equal(parking_take_reports(parking, "h", "C1", 5, out), 1);
    assert_int_equal(out[0], 50);
    assert_int_equal(parking_take_reports(parking, "i", "C1", 5, out), 1);
    assert_int_equal(parking_take_reports(parking, "nobody", "C1", 5, out), 0);
    parking_free(parking);
}

static void test_the_oldest_report_gives_way(void **state) {
    (void)state;
    Parking *parking = parking_new();
    ServerTicket out[PARKING_REPORTS_MAX];
    bool first = false;
    for (int i = 1; i <= PARKING_REPORTS_MAX + 1; i++)
        parking_put_report(parking, "h", "C1", i, (ServerTicket)i);
    assert_int_equal(parking_take_reports(parking, "h", "C1", 100, out), PARKING_REPORTS_MAX);
    for (int i = 0; i < PARKING_REPORTS_MAX; i++) first |= out[i] == 1;
    assert_false(first);
    parking_free(parking);
}

static void test_changes_with_long_names_are_told_apart(void **state) {
    (void)state;
    Parking *parking = parking_new();
    ServerTicket out[PARKING_REPORTS_MAX];
    char a[65], b[65];
    memset(a, 'c', 64), a[64] = '\0';
    memcpy(b, a, 65), b[63] = 'd';
    parking_put_report(parking, "h", a, 1, 1);
    assert_int_equal(parking_take_reports(parking, "h", b, 1, out), 0);
    assert_int_equal(parking_take_reports(parking, "h", a, 1, out), 1);
    parking_free(parking);
}

/* ---- any thread */

typedef struct Crowd {
    Parking *parking;
    atomic_ullong next, taken;
    atomic_bool end;
} Crowd;

enum { POLLS = 20000 };

static void *put_polls(void *context) {
    Crowd *crowd = context;
    for (int i = 0; i < POLLS; i++) {
        char host[16];
        snprintf(host, sizeof host, "h%d", i % 50);
        parking_put_poll(crowd->parking, host, atomic_fetch_add(&crowd->next, 1) + 1);
        if (parking_take_poll(crowd->parking, host)) atomic_fetch_add(&crowd->taken, 1);
    }
    return NULL;
}

static void *take_polls(void *context) {
    Crowd *crowd = context;
    while (!atomic_load(&crowd->end))
        for (int i = 0; i < 50; i++) {
            char host[16];
            snprintf(host, sizeof host, "h%d", i);
            if (parking_take_poll(crowd->parking, host)) atomic_fetch_add(&crowd->taken, 1);
        }
    return NULL;
}

static void test_many_threads_may_park_and_wake(void **state) {
    (void)state;
    Crowd crowd = {.parking = parking_new()};
    pthread_t putting, taking;
    assert_int_equal(pthread_create(&taking, NULL, take_polls, &crowd), 0);
    assert_int_equal(pthread_create(&putting, NULL, put_polls, &crowd), 0);
    pthread_join(putting, NULL);
    atomic_store(&crowd.end, true);
    pthread_join(taking, NULL);
    assert_int_equal(atomic_load(&crowd.taken), POLLS); /* each once, none lost */
    parking_free(crowd.parking);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_poll_is_taken_once),
        cmocka_unit_test(test_a_newer_poll_takes_the_place_of_an_older_one),
        cmocka_unit_test(test_reports_are_taken_up_to_the_number_that_was_heard),
        cmocka_unit_test(test_the_oldest_report_gives_way),
        cmocka_unit_test(test_changes_with_long_names_are_told_apart),
        cmocka_unit_test(test_many_threads_may_park_and_wake),
    };
    return cmocka_run_group_tests_name("parking", tests, NULL, NULL);
}
