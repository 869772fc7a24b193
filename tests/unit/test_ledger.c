#include "base/file.h"
#include "host/ledger.h"
#include "support/test.h"
#include <string.h>

typedef struct Room {
    Arena *arena;
    Ledger ledger;
} Room;

static Room open_in(const TestFolder *folder) {
    Room room = {.arena = arena_new()};
    Error error = {0};
    if (ledger_load(room.arena, folder->fd, &room.ledger, &error) < 0) fail_msg("%s", error.en);
    return room;
}

static void close_room(Room *room) {
    ledger_free(&room->ledger);
    arena_free(room->arena);
}

static Order order(const char *id, OrderKind kind) {
    Order made = {.kind = kind};
    snprintf(made.id, sizeof made.id, "%s", id);
    return made;
}

static void test_a_missing_ledger_is_an_empty_one(void **state) {
    Room room = open_in(*state);
    assert_null(room.ledger.change);
    assert_false(room.ledger.order_open);
    close_room(&room);
}

static void test_what_was_saved_is_there_after_a_crash(void **state) {
    Room room = open_in(*state);
    Order prepare = order("C/h/1", ORDER_PREPARE);
    ledger_begin(&room.ledger, "C", "1.0", "2.0");
    ledger_take(&room.ledger, &prepare);
    ledger_step_mark(&room.ledger, "check");
    room.ledger.step = "stage";
    room.ledger.staged = true;
    room.ledger.confirm_by_ms = 12345;
    room.ledger.confirm_given_ms = 678;
    json_array_append_new(room.ledger.unheard, json_string("an event"));
    assert_int_equal(ledger_save(&room.ledger, NULL), 0);
    close_room(&room);
    room = open_in(*state);
    assert_string_equal(room.ledger.change, "C");
    assert_string_equal(room.ledger.old_version, "1.0");
    assert_string_equal(room.ledger.step, "stage");
    assert_true(room.ledger.staged && room.ledger.order_open);
    assert_int_equal(room.ledger.confirm_by_ms, 12345);
    assert_int_equal(room.ledger.confirm_given_ms, 678);
    assert_int_equal(json_array_size(room.ledger.unheard), 1);
    assert_true(ledger_step_done(&room.ledger, "check"));
    assert_false(ledger_step_done(&room.ledger, "stage"));
    close_room(&room);
}

static void test_the_last_accepted_change_is_kept_beside_the_next(void **state) {
    Room room = open_in(*state);
    Ledger accepted;
    assert_int_equal(ledger_load_accepted(room.arena, room.ledger.dir, &accepted, NULL), 0);
    assert_null(accepted.change);
    ledger_free(&accepted);
    ledger_begin(&room.ledger, "C", "1.0", "2.0");
    room.ledger.committed = true;
    assert_int_equal(ledger_keep_accepted(&room.ledger, NULL), 0);
    ledger_begin(&room.ledger, "D", "2.0", "3.0");
    assert_int_equal(ledger_save(&room.ledger, NULL), 0);
    assert_int_equal(ledger_load_accepted(room.arena, room.ledger.dir, &accepted, NULL), 0);
    assert_string_equal(accepted.change, "C");
    assert_true(accepted.committed);
    ledger_free(&accepted);
    close_room(&room);
}

static void test_what_a_live_host_is_asked_stands_in_a_ledger_of_its_own(void **state) {
    Room room = open_in(*state);
    Ledger live;
    ledger_begin(&room.ledger, "C", "1.0", "2.0");
    assert_int_equal(ledger_save(&room.ledger, NULL), 0);
    assert_int_equal(ledger_load_live(room.arena, room.ledger.dir, &live, NULL), 0);
    assert_null(live.change);
    ledger_begin(&live, "D", "2.0", "3.0");
    live.drained = live.admitted = true;
    assert_int_equal(ledger_save(&live, NULL), 0);
    ledger_free(&live);
    close_room(&room);
    room = open_in(*state);
    assert_string_equal(room.ledger.change, "C");
    assert_int_equal(ledger_load_live(room.arena, room.ledger.dir, &live, NULL), 0);
    assert_string_equal(live.change, "D");
    assert_true(live.drained && live.admitted);
    ledger_free(&live);
    close_room(&room);
}

static void test_the_same_order_again_keeps_its_steps_and_another_begins_anew(void **state) {
    Room room = open_in(*state);
    Order one = order("C/h/1", ORDER_PREPARE), two = order("C/h/2", ORDER_SWITCH);
    ledger_begin(&room.ledger, "C", NULL, "1");
    ledger_take(&room.ledger, &one);
    ledger_step_mark(&room.ledger, "check");
    ledger_take(&room.ledger, &one);
    assert_true(ledger_step_done(&room.ledger, "check"));
    ledger_take(&room.ledger, &two);
    assert_false(ledger_step_done(&room.ledger, "check"));
    close_room(&room);
}

static void test_answers_are_kept_with_their_errors(void **state) {
    Room room = open_in(*state);
    Order one = order("C/h/1", ORDER_PREPARE), two = order("C/h/2", ORDER_SWITCH);
    Error failure;
    error_set(&failure, ERROR_REFUSED, "%s", "no");
    ledger_begin(&room.ledger, "C", NULL, "1");
    ledger_take(&room.ledger, &one);
    ledger_close(&room.ledger, NULL);
    ledger_take(&room.ledger, &two);
    ledger_close(&room.ledger, &failure);
    assert_int_equal(ledger_save(&room.ledger, NULL), 0);
    close_room(&room);
    room = open_in(*state);
    assert_true(json_is_true(json_object_get(ledger_answer(&room.ledger, "C/h/1"), "done")));
    assert_string_equal(json_string_value(json_object_get(ledger_answer(&room.ledger, "C/h/2"), "error")),
                        "no");
    assert_null(ledger_answer(&room.ledger, "C/h/3"));
    close_room(&room);
}

static void test_another_change_forgets_the_last_one(void **state) {
    Room room = open_in(*state);
    Order one = order("C/h/1", ORDER_PREPARE);
    ledger_begin(&room.ledger, "C", "1", "2");
    ledger_take(&room.ledger, &one);
    ledger_close(&room.ledger, NULL);
    room.ledger.final_point = "p";
    ledger_begin(&room.ledger, "D", "2", "3");
    assert_null(room.ledger.final_point);
    assert_null(ledger_answer(&room.ledger, "C/h/1"));
    close_room(&room);
}

static void test_the_same_change_begun_again_keeps_only_its_answers(void **state) {
    Room room = open_in(*state);
    Order prepare = order("C/h/1", ORDER_PREPARE);
    ledger_begin(&room.ledger, "C", "1.0", "2.0");
    ledger_take(&room.ledger, &prepare);
    room.ledger.prepare_point = "P";
    room.ledger.stopped = room.ledger.rolled_back = true;
    ledger_close(&room.ledger, NULL);
    ledger_begin_again(&room.ledger, "1.0");
    assert_string_equal(room.ledger.change, "C");
    assert_string_equal(room.ledger.old_version, "1.0");
    assert_string_equal(room.ledger.new_version, "2.0");
    assert_false(room.ledger.rolled_back || room.ledger.stopped);
    assert_null(room.ledger.prepare_point);
    assert_non_null(ledger_answer(&room.ledger, "C/h/1")); /* no order is carried out twice */
    close_room(&room);
}

static void test_a_damaged_ledger_is_an_error_and_never_an_empty_one(void **state) {
    const TestFolder *folder = *state;
    static const char *const damaged[] = {"", "{", "[]", "{\"format\":99}"};
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        int fd = openat(folder->fd, "ledger.json", O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, damaged[i], strlen(damaged[i])), (ssize_t)strlen(damaged[i]));
        close(fd);
        Arena *arena = arena_new();
        Ledger ledger;
        Error error = {0};
        assert_int_equal(ledger_load(arena, folder->fd, &ledger, &error), -1);
        assert_non_null(strstr(error.en, "ledger"));
        arena_free(arena);
    }
}

static void test_a_ledger_with_steps_that_are_none_is_refused(void **state) {
    const TestFolder *folder = *state;
    ARENA_AUTO arena = arena_new();
    Ledger ledger;
    Error error = {0};
    static const char text[] = "{\"format\":1,\"steps\":[7]}";
    assert_int_equal(file_replace(folder->fd, "ledger.json", text, strlen(text), 0600, &error), 0);
    assert_int_equal(ledger_load(arena, folder->fd, &ledger, &error), -1);
    assert_int_equal(error.kind, ERROR_ATTENTION);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_missing_ledger_is_an_empty_one),
        test_in_folder(test_a_ledger_with_steps_that_are_none_is_refused),
        test_in_folder(test_what_was_saved_is_there_after_a_crash),
        test_in_folder(test_the_last_accepted_change_is_kept_beside_the_next),
        test_in_folder(test_what_a_live_host_is_asked_stands_in_a_ledger_of_its_own),
        test_in_folder(test_the_same_order_again_keeps_its_steps_and_another_begins_anew),
        test_in_folder(test_answers_are_kept_with_their_errors),
        test_in_folder(test_another_change_forgets_the_last_one),
        test_in_folder(test_the_same_change_begun_again_keeps_only_its_answers),
        test_in_folder(test_a_damaged_ledger_is_an_error_and_never_an_empty_one),
    };
    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
