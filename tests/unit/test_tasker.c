#include "agent/tasker.h"
#include "support/controlled.h"

typedef struct Room {
    Controlled controlled;
    Home *home;
    TaskerSpec spec;
    Tasker *tasker;
} Room;

static void room_open(Room *room, const TestFolder *folder) {
    *room = (Room){0};
    controlled_open(&room->controlled, folder);
    controlled_join(&room->controlled, "h");
    room->home = controlled_home(&room->controlled, "h", true);
    room->spec = (TaskerSpec){room->home, room->controlled.url};
    room->tasker = tasker_start(&room->spec);
}

static void room_close(Room *room) {
    if (room->tasker) tasker_stop(room->tasker);
    home_close(room->home);
    controlled_close(&room->controlled);
}

static void ask_for(Room *room, const Task *task, char id[static TASK_ID_SIZE]) {
    JSON_AUTO json = task_to_json(task);
    FleetTask asked = {"h", "ann", json};
    assert_done(fleet_ask(controlled_fleet(&room->controlled), &asked, id, error));
}

static json_t *given(Room *room) {
    JSON_AUTO work = fleet_work(controlled_fleet(&room->controlled), "h");
    return json_incref(json_object_get(work, "tasks"));
}

static json_t *ended(Room *room, const char *id) {
    JSON_AUTO now = fleet_task(controlled_fleet(&room->controlled), "h", id);
    const char *state = json_get_text(now, "state", "");
    return strcmp(state, "done") == 0 || strcmp(state, "failed") == 0 ? json_incref(now) : NULL;
}

static void test_a_task_is_carried_out_and_its_answer_told(void **state) {
    Room room;
    char id[TASK_ID_SIZE];
    json_t *end = NULL;
    room_open(&room, *state);
    assert_done(home_note_places(room.home, "/srv/none-here", NULL, error));
    ask_for(&room, &(Task){.kind = TASK_SERVICE, .root = "/srv/none-here", .action = "status"}, id);
    JSON_AUTO tasks = given(&room);
    tasker_give(room.tasker, tasks);
    AT_LAST((end = ended(&room, id)) != NULL);
    assert_non_null(strstr(json_get_text(end, "error", ""), "no host of Upkeep's"));
    json_decref(end);
    room_close(&room);
}

static void test_a_root_that_no_change_noted_is_refused(void **state) {
    Room room;
    char id[TASK_ID_SIZE];
    json_t *end = NULL;
    room_open(&room, *state);
    ask_for(&room, &(Task){.kind = TASK_SERVICE, .root = "/srv/other", .action = "stop"}, id);
    JSON_AUTO tasks = given(&room);
    tasker_give(room.tasker, tasks);
    AT_LAST((end = ended(&room, id)) != NULL);
    assert_string_equal(json_get_text(end, "kind", ""), "refused");
    json_decref(end);
    room_close(&room);
}

static void test_a_task_given_twice_is_done_once(void **state) {
    Room room;
    char id[TASK_ID_SIZE], next[TASK_ID_SIZE];
    json_t *end = NULL;
    room_open(&room, *state);
    ask_for(&room, &(Task){.kind = TASK_SERVICE, .root = "/srv/other", .action = "stop"}, id);
    JSON_AUTO tasks = given(&room);
    for (int i = 0; i < 3; i++) tasker_give(room.tasker, tasks);
    AT_LAST((end = ended(&room, id)) != NULL);
    json_decref(end);
    for (int i = 0; i < 3; i++) tasker_give(room.tasker, tasks); /* an old answer that came late */
    ask_for(&room, &(Task){.kind = TASK_FSCK}, next);
    JSON_AUTO more = given(&room);
    tasker_give(room.tasker, more);
    AT_LAST((end = ended(&room, next)) != NULL);
    json_decref(end);
    assert_int_equal(fleet_play_count(controlled_fleet(&room.controlled), "task.ended"), 1);
    room_close(&room);
}

static void test_names_that_could_not_be_the_controllers_are_passed_over(void **state) {
    Room room;
    char id[TASK_ID_SIZE];
    json_t *end = NULL;
    room_open(&room, *state);
    ask_for(&room, &(Task){.kind = TASK_FSCK}, id);
    JSON_AUTO tasks = given(&room);
    json_array_insert_new(tasks, 0, json_pack("{s:s}", "id", "../../changes/x/reports"));
    json_array_insert_new(tasks, 0, json_pack("{s:i}", "id", 7));
    tasker_give(room.tasker, tasks);
    AT_LAST((end = ended(&room, id)) != NULL);
    json_decref(end);
    room_close(&room);
}

/* It was killed in the middle of it; people may have gone on from there. */
static void test_what_was_begun_by_an_agent_before_is_not_begun_again(void **state) {
    Room room;
    char id[TASK_ID_SIZE];
    json_t *end = NULL;
    room_open(&room, *state);
    ask_for(&room, &(Task){.kind = TASK_SERVICE, .root = "/srv/other", .action = "stop"}, id);
    assert_done(home_note_task(room.home, id, error));
    JSON_AUTO tasks = given(&room);
    tasker_give(room.tasker, tasks);
    AT_LAST((end = ended(&room, id)) != NULL);
    assert_string_equal(json_get_text(end, "kind", ""), "attention");
    assert_non_null(strstr(json_get_text(end, "error", ""), "how far it came is not known"));
    json_decref(end);
    room_close(&room);
}

static void test_what_a_host_was_asked_to_change_is_noted_before_it_begins(void **state) {
    Room room;
    char id[TASK_ID_SIZE], look[TASK_ID_SIZE];
    json_t *end = NULL;
    ARENA_AUTO arena = arena_new();
    room_open(&room, *state);
    ask_for(&room, &(Task){.kind = TASK_SERVICE, .root = "/srv/other", .action = "stop"}, id);
    ask_for(&room, &(Task){.kind = TASK_FSCK}, look);
    JSON_AUTO tasks = given(&room);
    tasker_give(room.tasker, tasks);
    AT_LAST((end = ended(&room, look)) != NULL);
    json_decref(end);
    assert_string_equal(home_task(room.home, arena), id);
    room_close(&room);
}

static void test_it_stops_while_the_controller_is_away(void **state) {
    Room room;
    char id[TASK_ID_SIZE];
    room_open(&room, *state);
    ask_for(&room, &(Task){.kind = TASK_FSCK}, id);
    JSON_AUTO tasks = given(&room);
    controlled_stop(&room.controlled);
    tasker_give(room.tasker, tasks);
    usleep(200000);
    tasker_stop(room.tasker);
    room.tasker = NULL;
    controlled_begin(&room.controlled);
    room_close(&room);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_task_is_carried_out_and_its_answer_told),
        test_in_folder(test_a_root_that_no_change_noted_is_refused),
        test_in_folder(test_a_task_given_twice_is_done_once),
        test_in_folder(test_names_that_could_not_be_the_controllers_are_passed_over),
        test_in_folder(test_what_was_begun_by_an_agent_before_is_not_begun_again),
        test_in_folder(test_what_a_host_was_asked_to_change_is_noted_before_it_begins),
        test_in_folder(test_it_stops_while_the_controller_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
