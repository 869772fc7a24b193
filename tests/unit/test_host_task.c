#include "base/json.h"
#include "host/host_task.h"
#include "support/restore_room.h"
#include <errno.h>
#include <sys/file.h>

/* The task, on a host that knows of the room's root alone; the answer, or NULL. */
static json_t *do_task(Room *room, const Task *task, Error *error) {
    json_t *answer = NULL;
    const char *stores[] = {"/nowhere", room->store_path}, *roots[] = {room->root_path};
    StringList known = {roots, 1};
    HostTaskSpec spec = {.stores = {stores, 2}, .roots = &known, .now_ms = room->now_ms};
    *error = (Error){0};
    return host_task(&spec, task, &answer, error) < 0 ? NULL : answer;
}

static void test_points_are_listed_with_the_store_they_stand_in(void **state) {
    Room *room = *state;
    Error error;
    restore_point_free(take(room, "one", RESTORE_POINT_FINAL));
    JSON_AUTO answer = do_task(room, &(Task){.kind = TASK_RESTORE_POINTS}, &error);
    const json_t *point = json_array_get(json_object_get(answer, "points"), 0);
    assert_string_equal(json_get_text(point, "id", ""), "one");
    assert_string_equal(json_get_text(point, "store", ""), room->store_path);
    assert_null(json_object_get(point, "proved"));
    JSON_AUTO others = do_task(room, &(Task){.kind = TASK_RESTORE_POINTS, .service = "other"}, &error);
    assert_int_equal(json_array_size(json_object_get(others, "points")), 0);
}

static void test_a_point_is_proved_by_its_id(void **state) {
    Room *room = *state;
    Error error;
    restore_point_free(take(room, "one", RESTORE_POINT_FINAL));
    JSON_AUTO answer = do_task(room, &(Task){.kind = TASK_PROVE, .id = "one"}, &error);
    assert_true(json_get_integer(answer, "restored_files", 0) > 0);
    assert_non_null(json_object_get(answer, "proved"));
    assert_null(do_task(room, &(Task){.kind = TASK_PROVE, .id = "two"}, &error));
    assert_int_equal(error.kind, ERROR_INVALID);
}

static void assert_settings(const Room *room, const char *wanted) {
    BUFFER_AUTO text = {0};
    assert_done(file_read(room->root, "shared/settings.js", 100, &text, error));
    assert_string_equal(buffer_text(&text), wanted);
}

static void test_looking_at_a_restore_touches_nothing_and_restoring_does(void **state) {
    Room *room = *state;
    Error error;
    Task task = {.kind = TASK_RESTORE, .id = "one", .only = "config", .look = true};
    restore_point_free(take(room, "one", RESTORE_POINT_FINAL));
    sample_text(room->root, "shared/settings.js", "changed\n");
    JSON_AUTO look = do_task(room, &task, &error);
    assert_int_equal(json_get_integer(look, "written_files", 0), 1);
    assert_settings(room, "changed\n");
    task.look = false;
    JSON_AUTO done = do_task(room, &task, &error);
    assert_string_equal(json_get_text(done, "root", ""), room->root_path);
    assert_settings(room, "module.exports = {}\n");
}

static void test_what_changed_since_it_was_looked_at_is_not_restored(void **state) {
    Room *room = *state;
    Error error;
    Task task = {.kind = TASK_RESTORE, .id = "one", .only = "config", .look = true};
    restore_point_free(take(room, "one", RESTORE_POINT_FINAL));
    sample_text(room->root, "shared/settings.js", "changed\n");
    JSON_AUTO look = do_task(room, &task, &error);
    task.look = false;
    task.seen = json_get_text(look, "seen", NULL);
    assert_non_null(task.seen);
    sample_text(room->root, "shared/settings.js", "changed once more\n");
    assert_null(do_task(room, &task, &error));
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_settings(room, "changed once more\n");
    sample_text(room->root, "shared/settings.js", "changed\n");
    JSON_AUTO done = do_task(room, &task, &error);
    assert_non_null(done);
    assert_settings(room, "module.exports = {}\n");
}

static void test_a_store_that_cannot_be_opened_hides_no_other(void **state) {
    Room *room = *state;
    json_t *answer = NULL;
    Error error = {0};
    char broken[96];
    restore_point_free(take(room, "one", RESTORE_POINT_FINAL));
    snprintf(broken, sizeof broken, "%s/broken", room->folder->path);
    assert_int_equal(mkdir(broken, 0700), 0);
    sample_text(room->folder->fd, "broken/format", "of another program\n");
    const char *stores[] = {broken, room->store_path};
    HostTaskSpec spec = {.stores = {stores, 2}};
    assert_int_equal(host_task(&spec, &(Task){.kind = TASK_RESTORE_POINTS}, &answer, &error), 0);
    assert_int_equal(json_array_size(json_object_get(answer, "points")), 1);
    assert_true(json_get_error(json_object_get(answer, "unusable"), &error));
    json_decref(answer);
}

static void test_a_restore_waits_for_no_upgrade_but_is_refused(void **state) {
    Room *room = *state;
    Error error;
    restore_point_free(take(room, "one", RESTORE_POINT_FINAL));
    assert_int_equal(mkdirat(room->root, ".upkeep", 0700), 0);
    FD_AUTO lock = openat(room->root, ".upkeep/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_null(do_task(room, &(Task){.kind = TASK_RESTORE, .id = "one"}, &error));
    assert_int_equal(error.kind, ERROR_REFUSED);
}

static void test_nothing_is_done_where_no_change_was(void **state) {
    Room *room = *state;
    Error error;
    restore_point_free(take(room, "one", RESTORE_POINT_FINAL));
    const Task tasks[] = {{.kind = TASK_SERVICE, .root = "/srv/other", .action = "stop"},
                          {.kind = TASK_LOSS, .root = "/srv/other", .change = "CHG-1"},
                          {.kind = TASK_RESTORE, .id = "one", .to = "/tmp/elsewhere"}};
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        assert_null(do_task(room, &tasks[i], &error));
        assert_int_equal(error.kind, ERROR_REFUSED);
    }
}

static void test_a_damaged_object_is_a_problem_with_an_example(void **state) {
    Room *room = *state;
    Error error;
    char object[128];
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_FINAL);
    JSON_AUTO before = do_task(room, &(Task){.kind = TASK_FSCK}, &error);
    assert_int_equal(json_get_integer(before, "problems", -1), 0);
    object_of(point, "shared/data/lib-a", object);
    flip_byte(room->folder->fd, object);
    JSON_AUTO after = do_task(room, &(Task){.kind = TASK_FSCK}, &error);
    assert_true(json_get_integer(after, "problems", 0) > 0);
    assert_true(json_array_size(json_object_get(after, "examples")) > 0);
}

static void test_a_host_without_a_store_says_so(void **state) {
    (void)state;
    json_t *answer = NULL;
    const char *stores[] = {"/nowhere"};
    HostTaskSpec spec = {.stores = {stores, 1}};
    Error error = {0};
    assert_int_equal(host_task(&spec, &(Task){.kind = TASK_FSCK}, &answer, &error), -1);
    assert_int_equal(error.number, ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        in_room(test_points_are_listed_with_the_store_they_stand_in),
        in_room(test_a_point_is_proved_by_its_id),
        in_room(test_looking_at_a_restore_touches_nothing_and_restoring_does),
        in_room(test_what_changed_since_it_was_looked_at_is_not_restored),
        in_room(test_a_store_that_cannot_be_opened_hides_no_other),
        in_room(test_a_restore_waits_for_no_upgrade_but_is_refused),
        in_room(test_nothing_is_done_where_no_change_was),
        in_room(test_a_damaged_object_is_a_problem_with_an_example),
        cmocka_unit_test(test_a_host_without_a_store_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
