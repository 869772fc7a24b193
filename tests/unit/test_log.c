#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "support/test.h"
#include <pthread.h>
#include <string.h>

/* Standard error, kept in a file meanwhile. */
typedef struct Caught {
    int before, file;
} Caught;

static Caught catch_begin(const TestFolder *folder) {
    Caught caught = {dup(STDERR_FILENO), openat(folder->fd, "log", O_RDWR | O_CREAT | O_APPEND, 0600)};
    assert_true(caught.before >= 0 && caught.file >= 0);
    dup2(caught.file, STDERR_FILENO);
    return caught;
}

static Buffer catch_end(Caught *caught) {
    Buffer text = {0};
    char bytes[4096];
    ssize_t got;
    dup2(caught->before, STDERR_FILENO);
    close(caught->before);
    lseek(caught->file, 0, SEEK_SET);
    while ((got = read(caught->file, bytes, sizeof bytes)) > 0) buffer_append(&text, bytes, (size_t)got);
    close(caught->file);
    return text;
}

static Buffer say(const TestFolder *folder, bool as_json, LogLevel least, LogLevel level, json_t *fields) {
    Caught caught = catch_begin(folder);
    log_begin(as_json, least);
    log_event(level, "order.taken", fields);
    return catch_end(&caught);
}

static void test_a_line_has_time_level_event_and_fields(void **state) {
    int64_t time_ms;
    Buffer text =
        say(*state, false, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, json_pack("{s:s,s:i}", "change", "C", "n", 7));
    char *line = text.data;
    char *space = strchr(line, ' ');
    assert_non_null(space);
    *space = '\0';
    assert_int_equal(clock_from_text(line, &time_ms), 0);
    assert_string_equal(space + 1, "warning order.taken change=C n=7\n");
    buffer_free(&text);
}

static void test_values_whose_end_could_not_be_seen_are_quoted(void **state) {
    Buffer text = say(*state, false, LOG_LEVEL_INFO, LOG_LEVEL_INFO,
                      json_pack("{s:s,s:s,s:s}", "a", "two words", "b", "", "c", "x=\"y\""));
    assert_non_null(strstr(text.data, " a=\"two words\" b=\"\" c=\"x=\\\"y\\\"\"\n"));
    buffer_free(&text);
}

static void test_no_value_can_forge_a_line_or_steer_a_terminal(void **state) {
    Buffer text = say(*state, false, LOG_LEVEL_INFO, LOG_LEVEL_INFO,
                      json_pack("{s:s,s:s}", "a", "x\ny", "b", "\x1b[2J\r\a"));
    size_t lines = 0;
    for (size_t i = 0; i < text.size; i++) {
        lines += text.data[i] == '\n';
        assert_true(text.data[i] == '\n' || (unsigned char)text.data[i] >= ' ');
    }
    assert_int_equal(lines, 1);
    buffer_free(&text);
}

static void test_what_is_below_the_level_is_not_written(void **state) {
    Buffer text = say(*state, false, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, json_pack("{s:s}", "change", "C"));
    assert_int_equal(text.size, 0);
    buffer_free(&text);
}

static void test_as_json_a_line_is_an_object(void **state) {
    JSON_AUTO row = NULL;
    Error error = {0};
    Buffer text = say(*state, true, LOG_LEVEL_DEBUG, LOG_LEVEL_DEBUG,
                      json_pack("{s:s,s:s}", "change", "C\n\"", "level", "forged"));
    assert_int_equal(json_parse(buffer_text(&text), text.size, "log", &row, &error), 0);
    assert_string_equal(json_get_text(row, "event", ""), "order.taken");
    assert_string_equal(json_get_text(row, "level", ""), "debug");
    assert_string_equal(json_get_text(row, "change", ""), "C\n\"");
    assert_non_null(json_get_text(row, "time", NULL));
    buffer_free(&text);
}

static void test_a_failure_says_what_went_wrong(void **state) {
    Error error = {0};
    Caught caught = catch_begin(*state);
    log_begin(false, LOG_LEVEL_INFO);
    error_set(&error, ERROR_SYSTEM, "%s", "the disk is full");
    log_failure(LOG_LEVEL_ERROR, "engine.failed", &error, "change", "C");
    log_failure(LOG_LEVEL_ERROR, "engine.failed", &error, NULL, NULL);
    log_text(LOG_LEVEL_INFO, "change.begun", "change", "C");
    Buffer text = catch_end(&caught);
    assert_non_null(strstr(text.data, "error engine.failed change=C error=\"the disk is full\"\n"));
    assert_non_null(strstr(text.data, "error engine.failed error=\"the disk is full\"\n"));
    assert_non_null(strstr(text.data, "info change.begun change=C\n"));
    buffer_free(&text);
}

enum { LINES = 500, THREADS = 4 };

static void *say_much(void *argument) {
    for (int i = 0; i < LINES; i++) log_text(LOG_LEVEL_INFO, "x.y", "who", argument);
    return NULL;
}

static void test_lines_of_many_threads_come_whole(void **state) {
    pthread_t threads[THREADS];
    char names[THREADS][11] = {"aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc", "dddddddddd"};
    int whole = 0;
    Caught caught = catch_begin(*state);
    log_begin(false, LOG_LEVEL_INFO);
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, say_much, names[i]);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    Buffer text = catch_end(&caught);
    for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        char *value = strstr(line, " info x.y who=");
        if (value && strlen(value) == strlen(" info x.y who=aaaaaaaaaa")) whole++;
    }
    assert_int_equal(whole, LINES * THREADS);
    buffer_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_line_has_time_level_event_and_fields),
        test_in_folder(test_values_whose_end_could_not_be_seen_are_quoted),
        test_in_folder(test_no_value_can_forge_a_line_or_steer_a_terminal),
        test_in_folder(test_what_is_below_the_level_is_not_written),
        test_in_folder(test_as_json_a_line_is_an_object),
        test_in_folder(test_a_failure_says_what_went_wrong),
        test_in_folder(test_lines_of_many_threads_come_whole),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
