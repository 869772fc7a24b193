#include "base/cleanup.h"
#include "base/json.h"
#include "server/task_board.h"
#include "support/test.h"
#include <errno.h>
#include <string.h>

/* ---- a board whose time the test makes */

typedef struct Room {
    Clock clock; /* first: it is its own */
    int64_t now_ms;
    TaskBoard *board;
    json_t *look, *stop; /* tasks: one that changes nothing, one that does */
} Room;

static int64_t now_ms(Clock *clock) { return ((Room *)clock)->now_ms; }

static int setup(void **state) {
    Room *room = calloc(1, sizeof *room);
    if (!room) return -1;
    *room = (Room){.clock = {now_ms, now_ms}, .now_ms = 1000};
    room->board = task_board_new(&room->clock);
    room->look = task_to_json(&(Task){.kind = TASK_FSCK});
    room->stop = task_to_json(&(Task){.kind = TASK_SERVICE, .root = "/srv", .action = "stop"});
    *state = room;
    return 0;
}

static int teardown(void **state) {
    Room *room = *state;
    task_board_free(room->board);
    json_decref(room->look);
    json_decref(room->stop);
    free(room);
    return 0;
}

static void ask_of(Room *room, const char *host, const json_t *task, char id[static TASK_ID_SIZE]) {
    Error error = {0};
    if (task_board_add(room->board, host, task, id, &error) < 0) fail_msg("%s", error.en);
    task_board_open(room->board, id);
}

static size_t taken(Room *room, const char *host) {
    JSON_AUTO list = task_board_offer(room->board, host);
    task_board_arrived(room->board, host); /* it polls again */
    return json_array_size(list);
}

static int tell(Room *room, const char *host, const char *id, const char *word, ServerTicket *ticket,
                Error *error) {
    json_t *json = NULL;
    bool is_last;
    if (json_parse(word, strlen(word), "word", &json, error) < 0 ||
        task_board_check(json, &is_last, error) < 0) {
        json_decref(json);
        return -1;
    }
    return task_board_tell(room->board, host, id, json, ticket, error);
}

static void assert_state(Room *room, const char *id, const char *wanted) {
    JSON_AUTO now = task_board_look(room->board, "h", id);
    assert_string_equal(json_get_text(now, "state", "gone"), wanted);
}

/* ---- */

static void test_a_task_goes_from_the_person_to_the_host_and_back(void **state) {
    Room *room = *state;
    char id[TASK_ID_SIZE];
    ServerTicket ticket;
    Error error = {0};
    ask_of(room, "h", room->look, id);
    assert_state(room, id, "waiting");
    assert_int_equal(taken(room, "other"), 0);
    JSON_AUTO list = task_board_offer(room->board, "h");
    assert_state(room, id, "waiting");
    task_board_arrived(room->board, "h");
    assert_string_equal(json_get_text(json_array_get(list, 0), "id", ""), id);
    assert_true(json_equal(json_object_get(json_array_get(list, 0), "task"), room->look));
    assert_state(room, id, "running");
    assert_int_equal(
        tell(room, "h", id, "{\"state\": \"done\", \"result\": {\"objects\": 7}}", &ticket, &error), 0);
    JSON_AUTO now = task_board_look(room->board, "h", id);
    assert_string_equal(json_get_text(now, "state", ""), "done");
    assert_int_equal(json_get_integer(json_object_get(now, "result"), "objects", 0), 7);
    assert_int_equal(taken(room, "h"), 0);
}

static void test_a_host_learns_nothing_of_a_task_that_is_not_in_the_journal_yet(void **state) {
    Room *room = *state;
    char id[TASK_ID_SIZE];
    Error error = {0};
    assert_int_equal(task_board_add(room->board, "h", room->look, id, &error), 0);
    assert_int_equal(taken(room, "h"), 0);
    task_board_open(room->board, id);
    assert_int_equal(taken(room, "h"), 1);
}

static void test_until_it_is_answered_a_host_that_asks_again_is_given_it_again(void **state) {
    Room *room = *state;
    char id[TASK_ID_SIZE];
    ask_of(room, "h", room->look, id);
    assert_int_equal(taken(room, "h"), 1);
    assert_int_equal(taken(room, "h"), 1);
}

static void test_what_nobody_comes_for_ends_and_is_given_to_nobody(void **state) {
    Room *room = *state;
    char id[TASK_ID_SIZE];
    ask_of(room, "h", room->look, id);
    room->now_ms += TASK_BOARD_WAIT_MS - 1;
    assert_state(room, id, "waiting");
    room->now_ms++;
    assert_int_equal(taken(room, "h"), 0);
    JSON_AUTO now = task_board_look(room->board, "h", id);
    assert_string_equal(json_get_text(now, "state", ""), "failed");
    assert_non_null(strstr(json_get_text(now, "error", ""), "nothing was done"));
}

/* Its connection had died without a word: it is given no more when it comes back, hours later. */
static void test_what_was_offered_and_did_not_arrive_is_given_up_without_knowing(void **state) {
    Room *room = *state;
    char id[TASK_ID_SIZE];
    ServerTicket ticket;
    Error error = {0};
    ask_of(room, "h", room->stop, id);
    JSON_AUTO list = task_board_offer(room->board, "h");
    assert_int_equal(json_array_size(list), 1);
    room->now_ms += TASK_BOARD_WAIT_MS;
    assert_int_equal(taken(room, "h"), 0);
    JSON_AUTO now = task_board_look(room->board, "h", id);
    assert_string_equal(json_get_text(now, "kind", ""), "attention");
    assert_true(
        task_board_expects(room->board, "h", id)); /* it may have arrived after all, and then it says so */
    assert_int_equal(tell(room, "h", id, "{\"state\": \"done\", \"result\": {}}", &ticket, &error), 0);
    assert_state(room, id, "done");
}

static void test_a_host_that_is_out_is_asked_for_nothing_more(void **state) {
    Room *room = *state;
    char id[TASK_ID_SIZE];
    ask_of(room, "h", room->stop, id);
    task_board_drop(room->board, "h");
    assert_state(room, id, "failed");
    assert_int_equal(taken(room, "h"), 0);
}

static void test_what_has_ended_is_kept_for_a_while(void **state) {
    Room *room = *state;
    char id[TASK_ID_SIZE], next[TASK_ID_SIZE];
    ServerTicket ticket;
    Error error = {0};
    ask_of(room, "h", room->look, id);
    taken(room, "h");
    assert_int_equal(tell(room, "h", id, "{\"state\": \"done\", \"result\": {}}", &ticket, &error), 0);
    room->now_ms += TASK_BOARD_KEEP_MS - 1;
    assert_state(room, id, "done");
    room->now_ms++;
    ask_of(room, "h", room->look, next);
    assert_state(room, id, "gone");
}

static void test_each_word_is_a_new_revision_and_wakes_who_waits_once(void **state) {
    Room *room = *state;
    char id[TASK_ID_SIZE];
    ServerTicket ticket;
    Error error = {0};
    ask_of(room, "h", room->look, id);
    taken(room, "h");
    task_board_park(room->board, "h", id, 77);
    assert_int_equal(
        tell(room, "h", id, "{\"state\": \"running\", \"done\": 1, \"total\": 9}", &ticket, &error), 0);
    assert_int_equal(ticket, 77);
    JSON_AUTO now = task_board_look(room->board, "h", id);
    assert_int_equal(json_get_integer(now, "revision", 0), 2);
    assert_int_equal(json_get_integer(now, "total", 0), 9);
    assert_int_equal(
        tell(room, "h", id, "{\"state\": \"running\", \"done\": 2, \"total\": 9}", &ticket, &error), 0);
    assert_int_equal(ticket, 0);
}

static void test_the_last_word_stands(void **state) {
    Room *room = *state;
    char id[TASK_ID_SIZE];
    ServerTicket ticket;
    Error error = {0};
    ask_of(room, "h", room->stop, id);
    taken(room, "h");
    assert_true(task_board_expects(room->board, "h", id));
    assert_int_equal(tell(room, "h", id, "{\"state\": \"failed\", \"error\": \"no\"}", &ticket, &error), 0);
    assert_false(task_board_expects(room->board, "h", id));
    assert_int_equal(tell(room, "h", id, "{\"state\": \"done\", \"result\": {}}", &ticket, &error), 0);
    assert_state(room, id, "failed");
}

static void test_another_host_can_neither_answer_nor_look(void **state) {
    Room *room = *state;
    char id[TASK_ID_SIZE];
    ServerTicket ticket;
    Error error = {0};
    ask_of(room, "h", room->stop, id);
    taken(room, "h");
    assert_int_equal(tell(room, "i", id, "{\"state\": \"done\", \"result\": {}}", &ticket, &error), -1);
    assert_int_equal(error.number, ENOENT);
    assert_null(task_board_look(room->board, "i", id));
    assert_false(task_board_expects(room->board, "i", id));
    assert_state(room, id, "running");
}

static void test_words_that_make_no_sense_are_refused(void **state) {
    Room *room = *state;
    static const char *const words[] = {"{}", "{\"state\": \"done\"}", "{\"state\": \"waiting\"}",
                                        "{\"state\": \"running\", \"done\": \"much\"}",
                                        "{\"state\": \"failed\"}"};
    ServerTicket ticket;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        Error error = {0};
        assert_int_equal(tell(room, "h", "x", words[i], &ticket, &error), -1);
        assert_int_equal(error.kind, ERROR_INVALID);
    }
}

static void test_a_host_may_not_tell_more_than_a_megabyte(void **state) {
    (void)state;
    bool is_last;
    Error error = {0};
    JSON_AUTO word = json_pack("{s:s, s:{}}", "state", "done", "result");
    assert_int_equal(task_board_check(word, &is_last, &error), 0);
    char *text = malloc(TASK_BOARD_WORD_MAX);
    assert_non_null(text);
    memset(text, 'x', TASK_BOARD_WORD_MAX);
    json_object_set_new(json_object_get(word, "result"), "x", json_stringn(text, TASK_BOARD_WORD_MAX));
    free(text);
    assert_int_equal(task_board_check(word, &is_last, &error), -1);
}

static void test_a_host_is_not_asked_for_more_than_it_may_be(void **state) {
    Room *room = *state;
    char id[TASK_ID_SIZE];
    Error error = {0};
    for (int i = 0; i < TASK_BOARD_HOST_MAX; i++) ask_of(room, "h", room->look, id);
    assert_int_equal(task_board_add(room->board, "h", room->look, id, &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    ask_of(room, "i", room->look, id);
}

static void test_what_has_ended_gives_way_the_oldest_first(void **state) {
    Room *room = *state;
    char ids[TASK_BOARD_PLACES + 1][TASK_ID_SIZE];
    ServerTicket ticket;
    for (int i = 0; i < TASK_BOARD_PLACES; i++) {
        Error error = {0};
        ask_of(room, "h", room->look, ids[i]);
        taken(room, "h");
        room->now_ms++;
        assert_int_equal(tell(room, "h", ids[i], "{\"state\": \"done\", \"result\": {}}", &ticket, &error),
                         0);
    }
    ask_of(room, "h", room->look, ids[TASK_BOARD_PLACES]);
    assert_null(task_board_look(room->board, "h", ids[0]));
    assert_state(room, ids[1], "done");
    assert_state(room, ids[TASK_BOARD_PLACES], "waiting");
}

static void test_a_board_full_of_open_tasks_takes_no_more_until_they_are_silent_for_a_day(void **state) {
    Room *room = *state;
    char id[TASK_ID_SIZE], host[16];
    Error error = {0};
    for (int i = 0; i < TASK_BOARD_PLACES; i++) {
        snprintf(host, sizeof host, "h%d", i);
        ask_of(room, host, room->look, id);
        assert_int_equal(taken(room, host), 1);
    }
    assert_int_equal(task_board_add(room->board, "late", room->look, id, &error), -1);
    room->now_ms += TASK_BOARD_SILENT_MS;
    ask_of(room, "late", room->look, id);
}

#define in_room(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        in_room(test_a_task_goes_from_the_person_to_the_host_and_back),
        in_room(test_a_host_learns_nothing_of_a_task_that_is_not_in_the_journal_yet),
        in_room(test_until_it_is_answered_a_host_that_asks_again_is_given_it_again),
        in_room(test_what_nobody_comes_for_ends_and_is_given_to_nobody),
        in_room(test_what_was_offered_and_did_not_arrive_is_given_up_without_knowing),
        in_room(test_a_host_that_is_out_is_asked_for_nothing_more),
        in_room(test_what_has_ended_is_kept_for_a_while),
        in_room(test_each_word_is_a_new_revision_and_wakes_who_waits_once),
        in_room(test_the_last_word_stands),
        in_room(test_another_host_can_neither_answer_nor_look),
        in_room(test_words_that_make_no_sense_are_refused),
        cmocka_unit_test(test_a_host_may_not_tell_more_than_a_megabyte),
        in_room(test_a_host_is_not_asked_for_more_than_it_may_be),
        in_room(test_what_has_ended_gives_way_the_oldest_first),
        in_room(test_a_board_full_of_open_tasks_takes_no_more_until_they_are_silent_for_a_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
