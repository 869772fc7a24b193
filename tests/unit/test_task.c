#include "base/cleanup.h"
#include "base/json.h"
#include "model/task.h"
#include "support/test.h"
#include <string.h>

static int read_text(const char *text, Task *out, Error *error) {
    static json_t *json; /* what is read borrows from it */
    json_decref(json);
    json = NULL;
    if (!text) return 0;
    if (json_parse(text, strlen(text), "task", &json, error) < 0) fail_msg("%s", error->en);
    return task_from_json(json, out, error);
}

static void assert_refused(const char *text, const char *why) {
    Task task;
    Error error = {0};
    assert_int_equal(read_text(text, &task, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    if (!strstr(error.en, why)) fail_msg("“%s” is not in “%s”", why, error.en);
    read_text(NULL, NULL, NULL);
}

static void test_what_is_written_is_read(void **state) {
    (void)state;
    Task task = {.kind = TASK_RESTORE, .id = "CHG-1-web1-2-final", .only = "data", .look = true}, read;
    Error error = {0};
    JSON_AUTO json = task_to_json(&task);
    assert_int_equal(task_from_json(json, &read, &error), 0);
    assert_int_equal(read.kind, TASK_RESTORE);
    assert_string_equal(read.id, task.id);
    assert_string_equal(read.only, "data");
    assert_null(read.to);
    assert_true(read.look);
}

static void test_a_task_without_what_it_needs_is_refused(void **state) {
    (void)state;
    assert_refused("{\"kind\": \"prove\"}", "“id” is missing");
    assert_refused("{\"kind\": \"service\", \"root\": \"/srv\"}", "“action” is missing");
    assert_refused("{\"kind\": \"loss\", \"change\": \"CHG-1\"}", "“root” is missing");
}

static void test_what_a_kind_does_not_know_is_refused(void **state) {
    (void)state;
    assert_refused("{\"kind\": \"reboot\"}", "none that a host knows");
    assert_refused("{}", "none that a host knows");
    assert_refused("{\"kind\": \"fsck\", \"id\": \"x\"}", "knows no “id”");
    assert_refused("{\"kind\": \"fsck\", \"look\": true}", "knows no “look”");
    assert_refused("{\"kind\": \"service\", \"root\": \"/srv\", \"action\": \"restart\"}",
                   "status, start or stop");
}

static void test_texts_that_are_none_are_refused(void **state) {
    (void)state;
    assert_refused("{\"kind\": \"prove\", \"id\": 7}", "must be a text");
    assert_refused("{\"kind\": \"prove\", \"id\": \"\"}", "must be a text");
    assert_refused("{\"kind\": \"prove\", \"id\": \"a\\u001b[2J\"}", "control characters");
    assert_refused("{\"kind\": \"prove\", \"id\": \"a\\u009b2J\"}", "control characters");
    char text[TASK_TEXT_MAX + 64] = "{\"kind\": \"prove\", \"id\": \"";
    size_t length = strlen(text);
    memset(text + length, 'x', TASK_TEXT_MAX + 1);
    memcpy(text + length + TASK_TEXT_MAX + 1, "\"}", 3);
    assert_refused(text, "must be a text");
}

static void test_only_what_leaves_the_host_another_changes_it(void **state) {
    (void)state;
    assert_true(task_changes(&(Task){.kind = TASK_RESTORE}));
    assert_true(task_changes(&(Task){.kind = TASK_SERVICE, .action = "stop"}));
    assert_false(task_changes(&(Task){.kind = TASK_RESTORE, .look = true}));
    assert_false(task_changes(&(Task){.kind = TASK_SERVICE, .action = "status"}));
    assert_false(task_changes(&(Task){.kind = TASK_PROVE}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_a_task_without_what_it_needs_is_refused),
        cmocka_unit_test(test_what_a_kind_does_not_know_is_refused),
        cmocka_unit_test(test_texts_that_are_none_are_refused),
        cmocka_unit_test(test_only_what_leaves_the_host_another_changes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
