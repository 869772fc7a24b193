#include "agent/outbox.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "support/test.h"
#include <string.h>

static Outbox *open_in(const TestFolder *folder, const char *change) {
    Outbox *outbox = NULL;
    Error error = {0};
    if (outbox_open(folder->fd, change, 0, &outbox, &error) < 0) fail_msg("%s", error.en);
    return outbox;
}

static void put(Outbox *outbox, const char *type) {
    Error error = {0};
    if (outbox_put(outbox, json_pack("{s:s}", "type", type), &error) < 0) fail_msg("%s", error.en);
}

/* "1:a 2:b": what would be sent. */
static const char *waiting(const Outbox *outbox, size_t max) {
    static char text[4096];
    size_t index, used = 0;
    json_t *report;
    JSON_AUTO reports = outbox_reports(outbox, max);
    text[0] = '\0';
    json_array_foreach(reports, index, report) {
        int length = snprintf(text + used, sizeof text - used, "%s%d:%s", index ? " " : "",
                              (int)json_get_integer(report, "number", 0),
                              json_get_text(json_object_get(report, "event"), "type", "?"));
        assert_true(length > 0 && (size_t)length < sizeof text - used);
        used += (size_t)length;
    }
    return text;
}

static void write_file(const TestFolder *folder, const char *text) {
    assert_int_equal(file_replace(folder->fd, "outbox", text, strlen(text), 0600, NULL), 0);
}

static void test_reports_are_numbered_and_come_oldest_first(void **state) {
    Outbox *outbox = open_in(*state, "C");
    assert_int_equal(outbox_count(outbox), 0);
    put(outbox, "a");
    put(outbox, "b");
    put(outbox, "c");
    assert_string_equal(waiting(outbox, 10), "1:a 2:b 3:c");
    assert_string_equal(waiting(outbox, 2), "1:a 2:b");
    outbox_close(outbox);
}

static void test_what_was_put_is_there_after_a_crash(void **state) {
    Outbox *outbox = open_in(*state, "C");
    put(outbox, "a");
    put(outbox, "b");
    Outbox *after = open_in(*state, "C"); /* the first one was not closed: as after a kill -9 */
    assert_string_equal(waiting(after, 10), "1:a 2:b");
    put(after, "c");
    assert_string_equal(waiting(after, 10), "1:a 2:b 3:c");
    outbox_close(after);
    outbox_close(outbox);
}

static void test_what_was_heard_is_forgotten_and_numbers_go_on(void **state) {
    Outbox *outbox = open_in(*state, "C");
    put(outbox, "a");
    put(outbox, "b");
    assert_int_equal(outbox_heard(outbox, 1, NULL), 0);
    assert_string_equal(waiting(outbox, 10), "2:b");
    assert_int_equal(outbox_heard(outbox, 1, NULL), 0); /* an old answer, once more */
    assert_int_equal(outbox_heard(outbox, 2, NULL), 0);
    put(outbox, "c");
    assert_string_equal(waiting(outbox, 10), "3:c");
    outbox_close(outbox);
}

static void test_numbers_go_on_after_everything_was_heard_and_it_was_opened_again(void **state) {
    Outbox *outbox = open_in(*state, "C");
    char long_text[1024];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    for (int i = 1; i <= 200; i++) { /* enough for the file to be written anew on the way */
        put(outbox, long_text);
        assert_int_equal(outbox_heard(outbox, i, NULL), 0);
    }
    outbox_close(outbox);
    struct stat status;
    assert_int_equal(fstatat(((TestFolder *)*state)->fd, "outbox", &status, 0), 0);
    assert_true(status.st_size < 100000);
    outbox = open_in(*state, "C");
    put(outbox, "next");
    JSON_AUTO reports = outbox_reports(outbox, 1000);
    json_t *last = json_array_get(reports, json_array_size(reports) - 1);
    assert_int_equal(json_get_integer(last, "number", 0), 201);
    outbox_close(outbox);
}

static void test_another_change_begins_anew(void **state) {
    Outbox *outbox = open_in(*state, "C");
    put(outbox, "a");
    outbox_close(outbox);
    outbox = open_in(*state, "D");
    assert_int_equal(outbox_count(outbox), 0);
    put(outbox, "b");
    assert_string_equal(waiting(outbox, 10), "1:b");
    outbox_close(outbox);
}

static void test_a_last_line_that_was_cut_off_never_was(void **state) {
    static const char whole[] = "{\"change\":\"C\",\"heard\":4,\"outbox\":1}\n"
                                "{\"event\":{\"type\":\"a\"},\"number\":5}\n";
    static const char last[] = "{\"event\":{\"type\":\"b\"},\"number\":6}";
    char text[256];
    for (size_t length = 0; length < sizeof last; length++) { /* all of it, but for its newline, too */
        snprintf(text, sizeof text, "%s%.*s", whole, (int)length, last);
        write_file(*state, text);
        Outbox *outbox = open_in(*state, "C");
        assert_string_equal(waiting(outbox, 10), "5:a");
        put(outbox, "c");
        assert_string_equal(waiting(outbox, 10), "5:a 6:c");
        outbox_close(outbox);
    }
}

static void test_a_damaged_one_needs_a_person(void **state) {
    static const char *const texts[] = {
        "nonsense\n",
        "{}\n",
        "{\"change\":\"C\",\"outbox\":2}\n",
        "{\"change\":\"C\",\"outbox\":1}\n{\"event\":{},\"number\":2}\n",
        "{\"change\":\"C\",\"outbox\":1}\n{\"number\":1}\n",
        "{\"change\":\"C\",\"outbox\":1}\n{\"event\":{},\"number\":1}\n{\"event\":{},\"number\":1}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        Outbox *outbox = NULL;
        Error error = {0};
        write_file(*state, texts[i]);
        assert_int_equal(outbox_open(((TestFolder *)*state)->fd, "C", 0, &outbox, &error), -1);
        assert_int_equal(error.kind, ERROR_ATTENTION);
    }
}

static void test_a_controller_that_heard_more_than_was_said_is_refused(void **state) {
    Outbox *outbox = open_in(*state, "C");
    Error error = {0};
    put(outbox, "a");
    assert_int_equal(outbox_heard(outbox, 2, &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_string_equal(waiting(outbox, 10), "1:a");
    outbox_close(outbox);
}

static void test_how_old_a_report_is_is_said_unless_another_agent_put_it(void **state) {
    Outbox *outbox = open_in(*state, "C");
    put(outbox, "host.health");
    clock_sleep_ms(30);
    JSON_AUTO fresh = outbox_reports(outbox, 1);
    int64_t age_ms = json_get_integer(json_array_get(fresh, 0), "age_ms", -1);
    if (age_ms < 30 || age_ms >= OUTBOX_AGE_UNKNOWN_MS) fail_msg("%d ms old", (int)age_ms);
    outbox_close(outbox);
    outbox = open_in(*state, "C");
    JSON_AUTO found = outbox_reports(outbox, 1);
    assert_true(json_get_integer(json_array_get(found, 0), "age_ms", -1) == OUTBOX_AGE_UNKNOWN_MS);
    outbox_close(outbox);
}

static void test_a_new_outbox_goes_on_after_what_was_heard_before(void **state) {
    Outbox *outbox = NULL;
    assert_int_equal(outbox_open(((TestFolder *)*state)->fd, "C", 26, &outbox, NULL), 0);
    assert_int_equal(outbox_put(outbox, json_pack("{s:s}", "type", "order.done"), NULL), 0);
    JSON_AUTO reports = outbox_reports(outbox, 10);
    assert_int_equal(json_get_integer(json_array_get(reports, 0), "number", 0), 27);
    assert_int_equal(outbox_heard(outbox, 27, NULL), 0);
    assert_int_equal(outbox_count(outbox), 0);
    outbox_close(outbox);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_reports_are_numbered_and_come_oldest_first),
        test_in_folder(test_what_was_put_is_there_after_a_crash),
        test_in_folder(test_what_was_heard_is_forgotten_and_numbers_go_on),
        test_in_folder(test_numbers_go_on_after_everything_was_heard_and_it_was_opened_again),
        test_in_folder(test_another_change_begins_anew),
        test_in_folder(test_a_last_line_that_was_cut_off_never_was),
        test_in_folder(test_a_damaged_one_needs_a_person),
        test_in_folder(test_a_controller_that_heard_more_than_was_said_is_refused),
        test_in_folder(test_how_old_a_report_is_is_said_unless_another_agent_put_it),
        test_in_folder(test_a_new_outbox_goes_on_after_what_was_heard_before),
    };
    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
