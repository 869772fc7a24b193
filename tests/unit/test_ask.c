#include "cli/ask.h"
#include "support/controlled.h"

/* A desk at a controller, whose hosts have no agents: the tests answer for them. One for all tests, each with
 * hosts of its own: a process keeps its connection. */
typedef struct Room {
    Controlled controlled;
    Cli cli;
} Room;

static Room room;

static int setup(void **state) {
    char fingerprint[DIGEST_TEXT_SIZE];
    if (test_folder_setup(state) < 0) return -1;
    controlled_open(&room.controlled, *state);
    digest_to_text(authority_fingerprint(room.controlled.controller->authority), fingerprint);
    room.cli = (Cli){.server = room.controlled.url};
    setenv("UPKEEP_TOKEN", room.controlled.tokens[ROLE_OPERATOR], 1);
    setenv("UPKEEP_FINGERPRINT", fingerprint, 1);
    return 0;
}

static int teardown(void **state) {
    controlled_close(&room.controlled);
    return test_folder_teardown(state);
}

static Fleet *fleet(void) { return controlled_fleet(&room.controlled); }

static void test_what_is_not_answered_in_time_is_given_up_here(void **state) {
    (void)state;
    Ask asked = {.host = "late", .task = {.kind = TASK_FSCK}};
    controlled_join(&room.controlled, "late");
    ask_all(&room.cli, &asked, 1, 1);
    assert_null(asked.answer);
    assert_non_null(strstr(asked.error.en, "late has not answered yet"));
}

/* As the agent of the host "quick": it answers as soon as it is asked. */
static void *be_quick(void *context) {
    (void)context;
    JSON_AUTO word = json_pack("{s:s, s:{s:i}}", "state", "done", "result", "objects", 7);
    for (int i = 0; i < 1000; i++) {
        JSON_AUTO work = fleet_work(fleet(), "quick");
        const char *id = json_get_text(json_array_get(json_object_get(work, "tasks"), 0), "id", NULL);
        if (id && fleet_tell_task(fleet(), "quick", id, word, NULL) == 0) return NULL;
        usleep(10000);
    }
    return NULL;
}

static void test_one_that_is_silent_hides_no_answer_of_others(void **state) {
    (void)state;
    pthread_t agent;
    Ask asks[] = {{.host = "silent", .task = {.kind = TASK_FSCK}},
                  {.host = "quick", .task = {.kind = TASK_FSCK}}};
    controlled_join(&room.controlled, "silent");
    controlled_join(&room.controlled, "quick");
    assert_int_equal(pthread_create(&agent, NULL, be_quick, NULL), 0);
    ask_all(&room.cli, asks, 2, 1000);
    pthread_join(agent, NULL);
    assert_null(asks[0].answer);
    assert_int_equal(json_get_integer(asks[1].answer, "objects", 0), 7);
    json_decref(asks[1].answer);
}

/* The answer to what was asked before is none to what could not be asked now. */
static void test_an_ask_that_cannot_be_sent_has_no_answer(void **state) {
    (void)state;
    Ask asked = {.host = "sold", .task = {.kind = TASK_FSCK}};
    JSON_AUTO word = json_pack("{s:s, s:{s:i}}", "state", "done", "result", "objects", 7);
    controlled_join(&room.controlled, "sold");
    ask_all(&room.cli, &asked, 1, 1);
    assert_done(fleet_tell_task(fleet(), "sold", asked.id, word, error));
    assert_int_equal(
        controlled_ask(&room.controlled, ROLE_ADMIN, "POST", "/api/v1/hosts/sold/revoke", "{}", NULL), 200);
    ask_all(&room.cli, &asked, 1, 1);
    assert_null(asked.answer);
    assert_non_null(strstr(asked.error.en, "there is no host sold"));
}

static void test_a_store_of_this_machine_is_none_of_a_hosts(void **state) {
    (void)state;
    Ask asked = {.host = "late", .store = "/srv/backups", .task = {.kind = TASK_FSCK}};
    Error problem = {0};
    assert_int_equal(ask(&room.cli, &asked, &problem), -1);
    assert_int_equal(problem.kind, ERROR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_answered_in_time_is_given_up_here),
        cmocka_unit_test(test_one_that_is_silent_hides_no_answer_of_others),
        cmocka_unit_test(test_an_ask_that_cannot_be_sent_has_no_answer),
        cmocka_unit_test(test_a_store_of_this_machine_is_none_of_a_hosts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
