#include "agent/worker.h"
#include "host/host_lock.h"
#include "support/controlled.h"

typedef struct Room {
    Controlled controlled;
    Home *home;
    Worker *worker;
    char change[CHANGE_ID_SIZE];
} Room;

static void room_open(Room *room, const TestFolder *folder, bool trusts) {
    *room = (Room){0};
    controlled_open(&room->controlled, folder);
    controlled_packages(&room->controlled, true);
    controlled_join(&room->controlled, "h");
    if (trusts) controlled_trust(&room->controlled, "h");
    room->home = controlled_home(&room->controlled, "h", true);
    controlled_change(&room->controlled, "1.0", "", room->change);
}

static void worker_begin(Room *room) {
    WorkerSpec spec = {.home = room->home, .url = room->controlled.url, .change = room->change};
    room->worker = worker_start(&spec);
}

static void room_close(Room *room) {
    if (room->worker) worker_stop(room->worker);
    home_close(room->home);
    controlled_close(&room->controlled);
}

/* What the controller says now; NULL: nothing. */
static json_t *said(const Room *room) {
    JSON_AUTO work = fleet_work(controlled_fleet(&room->controlled), "h");
    return json_incref(json_array_get(json_object_get(work, "work"), 0));
}

static RolloutOutcome outcome(const Room *room) {
    return controlled_look(&room->controlled, room->change).outcome;
}

/* As an agent: what the controller says is given, to the next worker when this one is over. */
static void carry_on(Room *room) {
    for (int i = 0; outcome(room) == OUTCOME_NONE; i++) {
        JSON_AUTO item = said(room);
        if (i == 12000) fail_msg("never ended");
        if (item && !worker_give(room->worker, item)) {
            home_forget_change(room->home, room->change, NULL);
            worker_stop(room->worker);
            worker_begin(room);
        }
        usleep(10000);
    }
}

static void test_a_worker_carries_orders_out_until_it_is_over(void **state) {
    Room room;
    room_open(&room, *state, true);
    worker_begin(&room);
    assert_string_equal(worker_change(room.worker), room.change);
    assert_false(worker_is_over(room.worker));
    carry_on(&room);
    assert_int_equal(outcome(&room), OUTCOME_SUCCEEDED);
    AT_LAST(worker_is_over(room.worker));
    room_close(&room);
}

static void test_who_is_over_takes_nothing_more(void **state) {
    Room room;
    JSON_AUTO nothing = json_object();
    room_open(&room, *state, true);
    worker_begin(&room);
    worker_release(room.worker);
    AT_LAST(worker_is_over(room.worker));
    assert_false(worker_give(room.worker, nothing));
    room_close(&room);
}

static void test_without_a_trusted_key_orders_are_answered_and_the_way_back_is_done(void **state) {
    Room room;
    room_open(&room, *state, false);
    worker_begin(&room);
    carry_on(&room);
    Fleet *fleet = controlled_fleet(&room.controlled);
    assert_true(outcome(&room) != OUTCOME_SUCCEEDED);
    assert_int_equal(fleet_play_count(fleet, "order.failed"), 1);
    assert_false(sample_stands(*state, "root/releases"));
    room_close(&room);
}

static void test_a_worker_goes_on_without_its_controller(void **state) {
    Room room;
    JSON_AUTO item = NULL;
    room_open(&room, *state, true);
    worker_begin(&room);
    AT_LAST((item = said(&room)) != NULL);
    assert_true(worker_give(room.worker, item));
    AT_LAST(sample_stands(*state, "root/releases/1.0"));
    worker_stop(room.worker);
    worker_begin(&room); /* another agent: the document is in its home */
    carry_on(&room);
    assert_int_equal(outcome(&room), OUTCOME_SUCCEEDED);
    room_close(&room);
}

static bool is_order(const json_t *item, const char *kind) {
    return item && strcmp(json_get_text(json_object_get(item, "order"), "kind", ""), kind) == 0;
}

/* It was switched while its controller could not be reached. */
static void test_a_released_worker_is_not_over_while_it_has_something_to_tell(void **state) {
    Room room;
    room_open(&room, *state, true);
    worker_begin(&room);
    for (bool switches = false; !switches; usleep(10000)) {
        JSON_AUTO item = said(&room);
        switches = is_order(item, "switch");
        if (is_order(item, "prepare")) worker_give(room.worker, item);
    }
    JSON_AUTO item = said(&room);
    worker_stop(room.worker);
    WorkerSpec away = {.home = room.home, .url = "https://127.0.0.1:1", .change = room.change};
    room.worker = worker_start(&away);
    assert_true(worker_give(room.worker, item));
    AT_LAST(sample_stands(*state, "root/current"));
    worker_release(room.worker);
    usleep(1000000);
    bool over = worker_is_over(room.worker);
    worker_stop(room.worker);
    worker_begin(&room);
    carry_on(&room); /* and it is all told */
    assert_int_equal(outcome(&room), OUTCOME_SUCCEEDED);
    assert_int_equal(fleet_play_count(controlled_fleet(&room.controlled), "host.reported_late"), 0);
    room_close(&room);
    assert_false(over);
}

static void test_a_host_that_another_has_locked_is_waited_for(void **state) {
    Room room;
    FD_AUTO upkeep = -1;
    FD_AUTO lock = -1;
    char root[SAMPLE_PATH_SIZE], path[SAMPLE_PATH_SIZE];
    JSON_AUTO item = NULL;
    room_open(&room, *state, true);
    sample_path(*state, "root", root);
    sample_path(*state, "root/.upkeep", path);
    assert_done(file_open_dir(path, &upkeep, error));
    assert_done(host_lock_take(upkeep, root, "another", &lock, error));
    worker_begin(&room);
    AT_LAST((item = said(&room)) != NULL);
    assert_true(worker_give(room.worker, item));
    usleep(1500000);
    Fleet *fleet = controlled_fleet(&room.controlled);
    size_t answers = fleet_play_count(fleet, "order.failed") + fleet_play_count(fleet, "order.done");
    close(lock);
    lock = -1;
    carry_on(&room);
    assert_int_equal(outcome(&room), OUTCOME_SUCCEEDED);
    assert_int_equal(answers, 0);
    room_close(&room);
}

static void test_being_given_something_takes_a_release_back(void **state) {
    Room room;
    room_open(&room, *state, true);
    JSON_AUTO item = NULL;
    AT_LAST((item = said(&room)) != NULL);
    for (int i = 0; i < 20; i++) {
        worker_begin(&room);
        worker_release(room.worker);
        bool takes = worker_give(room.worker, item);
        usleep(5000);
        if (takes) assert_false(worker_is_over(room.worker));
        worker_stop(room.worker);
    }
    worker_begin(&room);
    carry_on(&room);
    assert_int_equal(outcome(&room), OUTCOME_SUCCEEDED);
    room_close(&room);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_worker_carries_orders_out_until_it_is_over),
        test_in_folder(test_who_is_over_takes_nothing_more),
        test_in_folder(test_without_a_trusted_key_orders_are_answered_and_the_way_back_is_done),
        test_in_folder(test_a_worker_goes_on_without_its_controller),
        test_in_folder(test_a_released_worker_is_not_over_while_it_has_something_to_tell),
        test_in_folder(test_a_host_that_another_has_locked_is_waited_for),
        test_in_folder(test_being_given_something_takes_a_release_back),
    };
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
