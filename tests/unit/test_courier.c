#include "agent/courier.h"
#include "support/controlled.h"

typedef struct Room {
    Controlled controlled;
    Identity *identity;
    Courier *courier;
    atomic_bool cancel;
} Room;

static void room_open(Room *room, const TestFolder *folder) {
    *room = (Room){0};
    controlled_open(&room->controlled, folder);
    controlled_join(&room->controlled, "h");
    room->identity = controlled_identity(&room->controlled, "h");
    assert_done(courier_new(room->controlled.url, room->identity, &room->cancel, &room->courier, error));
}

static void room_close(Room *room) {
    courier_free(room->courier);
    identity_free(room->identity);
    controlled_close(&room->controlled);
}

static void test_pauses_double_up_to_a_minute_and_differ(void **state) {
    (void)state;
    int64_t expected = COURIER_PAUSE_LEAST_MS;
    for (int failures = 1; failures < 40; failures++) {
        for (int i = 0; i < 50; i++)
            assert_in_range(courier_pause_ms(failures), expected / 2, expected / 2 + expected);
        expected = expected * 2 > COURIER_PAUSE_MOST_MS ? COURIER_PAUSE_MOST_MS : expected * 2;
    }
    int64_t first = courier_pause_ms(20);
    int same = 0;
    for (int i = 0; i < 20; i++) same += courier_pause_ms(20) == first;
    assert_true(same < 20);
}

static void test_work_is_brought(void **state) {
    Room room;
    JSON_AUTO work = NULL;
    room_open(&room, *state);
    assert_done(courier_work(room.courier, NULL, 50000, &work, error));
    assert_true(json_is_array(json_object_get(work, "work")));
    assert_non_null(json_get_text(work, "seen", NULL));
    room_close(&room);
}

static void test_nothing_new_is_no_answer(void **state) {
    Room room;
    JSON_AUTO work = NULL;
    json_t *again = NULL;
    room_open(&room, *state);
    assert_done(courier_work(room.courier, NULL, 0, &work, error));
    assert_done(courier_work(room.courier, json_get_text(work, "seen", ""), 200, &again, error));
    assert_null(again);
    room_close(&room);
}

static void *cancel_soon(void *context) {
    usleep(200000);
    atomic_store((atomic_bool *)context, true);
    return NULL;
}

static void test_waiting_ends_early_when_cancelled(void **state) {
    Room room;
    pthread_t thread;
    JSON_AUTO work = NULL;
    json_t *again = NULL;
    room_open(&room, *state);
    assert_done(courier_work(room.courier, NULL, 0, &work, error));
    pthread_create(&thread, NULL, cancel_soon, &room.cancel);
    assert_refused(courier_work(room.courier, json_get_text(work, "seen", ""), 50000, &again, error),
                   ERROR_INTERRUPTED, "");
    pthread_join(thread, NULL);
    room_close(&room);
}

static void test_who_is_no_longer_known_must_join(void **state) {
    Room room;
    json_t *work = NULL;
    Error problem = {0};
    room_open(&room, *state);
    controlled_ask(&room.controlled, ROLE_ADMIN, "POST", "/api/v1/hosts/h/revoke", "{}", NULL);
    assert_int_equal(courier_work(room.courier, NULL, 0, &work, &problem), -1);
    assert_true(courier_must_join(&problem));
    problem = (Error){0};
    assert_int_equal(courier_package(room.courier, "nothing", 1, room.controlled.state.fd, &problem), -1);
    room_close(&room);
}

static void test_other_refusals_do_not_mend_by_joining(void **state) {
    Room room;
    json_t *document = NULL;
    Error problem = {0};
    room_open(&room, *state);
    JSON_AUTO facts = json_array();
    assert_int_equal(courier_document(room.courier, "CHG-1900-0001", &document, &problem), -1);
    assert_int_equal(problem.kind, ERROR_REFUSED);
    assert_false(courier_must_join(&problem));
    assert_refused(courier_facts(room.courier, facts, error), ERROR_REFUSED, "the controller refuses");
    room_close(&room);
}

static void test_a_controller_that_is_away_is_the_networks_fault(void **state) {
    Room room;
    json_t *work = NULL;
    Error problem = {0};
    room_open(&room, *state);
    controlled_stop(&room.controlled);
    assert_int_equal(courier_work(room.courier, NULL, 0, &work, &problem), -1);
    assert_int_equal(problem.kind, ERROR_SYSTEM);
    assert_false(courier_must_join(&problem));
    controlled_begin(&room.controlled);
    room_close(&room);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pauses_double_up_to_a_minute_and_differ),
        test_in_folder(test_work_is_brought),
        test_in_folder(test_nothing_new_is_no_answer),
        test_in_folder(test_waiting_ends_early_when_cancelled),
        test_in_folder(test_who_is_no_longer_known_must_join),
        test_in_folder(test_other_refusals_do_not_mend_by_joining),
        test_in_folder(test_a_controller_that_is_away_is_the_networks_fault),
    };
    return cmocka_run_group_tests_name("courier", tests, NULL, NULL);
}
