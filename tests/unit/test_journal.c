#include "base/cleanup.h"
#include "base/json.h"
#include "journal/journal.h"
#include "journal/journal_memory.h"
#include "journal/journal_sqlite.h"
#include "support/test.h"
#include <sqlite3.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static json_t *event(const char *type, const char *change) {
    json_t *made = json_object();
    json_set_text(made, "type", type);
    json_set_text(made, "time", "2026-01-01T00:00:00.000Z");
    json_set_text(made, "change", change);
    return made;
}

static void append(Journal *journal, const char *type, const char *change) {
    Error error;
    JSON_AUTO made = event(type, change);
    assert_int_equal(journal_append(journal, &made, 1, &error), 0);
}

static Journal *open_in(const TestFolder *folder) {
    Journal *journal = NULL;
    Error error;
    FREE_AUTO char *path = NULL;
    assert_true(asprintf(&path, "%s/journal.sqlite", folder->path) > 0);
    if (journal_sqlite_open(path, &journal, &error) < 0) fail_msg("%s", error.en);
    return journal;
}

/* What somebody with an editor would do to the file. */
static void tamper(const TestFolder *folder, const char *statement) {
    sqlite3 *database = NULL;
    FREE_AUTO char *path = NULL;
    assert_true(asprintf(&path, "%s/journal.sqlite", folder->path) > 0);
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, statement, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}

static int count_events(void *context, int64_t sequence, const json_t *seen, Error *error) {
    (void)sequence, (void)seen, (void)error;
    ++*(int *)context;
    return 0;
}

static int count(Journal *journal, int64_t after, const char *change) {
    int events = 0;
    Error error;
    assert_int_equal(journal_read(journal, after, change, count_events, &events, &error), 0);
    return events;
}

static void fill(Journal *journal) {
    append(journal, "one", "A");
    append(journal, "two", "B");
    append(journal, "three", "A");
}

static void test_reads_what_was_appended_by_change_and_from_a_number_on(void **state) {
    JOURNAL_AUTO journal = open_in(*state);
    fill(journal);
    assert_int_equal(count(journal, 0, NULL), 3);
    assert_int_equal(count(journal, 0, "A"), 2);
    assert_int_equal(count(journal, 1, "A"), 1);
    assert_int_equal(count(journal, 3, NULL), 0);
}

static void test_lasts_when_it_is_closed_and_opened_again(void **state) {
    Journal *journal = open_in(*state);
    fill(journal);
    journal_close(journal);
    journal = open_in(*state);
    assert_int_equal(count(journal, 0, NULL), 3);
    journal_close(journal);
}

static void test_a_whole_chain_verifies(void **state) {
    JOURNAL_AUTO journal = open_in(*state);
    int64_t events = 0;
    Error error;
    fill(journal);
    assert_int_equal(journal_verify(journal, &events, &error), 0);
    assert_int_equal(events, 3);
}

static void expect_detected(const TestFolder *folder, const char *statement, const char *words) {
    Journal *journal = open_in(folder);
    int64_t events = 0;
    Error error = {0};
    fill(journal);
    journal_close(journal);
    tamper(folder, statement);
    journal = open_in(folder);
    assert_int_equal(journal_verify(journal, &events, &error), -1);
    assert_int_equal(error.kind, ERROR_ATTENTION);
    assert_non_null(strstr(error.en, words));
    journal_close(journal);
}

static void test_an_altered_event_is_detected(void **state) {
    expect_detected(*state, "UPDATE event SET text = replace(text, 'two', 'owt') WHERE sequence = 2",
                    "event 2 is not");
}

static void test_a_removed_event_is_detected(void **state) {
    expect_detected(*state, "DELETE FROM event WHERE sequence = 2", "event 2 is missing");
}

/* The chain itself does not hold the numbers. */
static void test_a_gap_in_the_numbers_is_detected(void **state) {
    expect_detected(*state, "UPDATE event SET sequence = 7 WHERE sequence = 3", "event 3 is missing");
}

static void test_two_events_that_changed_places_are_detected(void **state) {
    expect_detected(*state,
                    "UPDATE event SET sequence = 9 WHERE sequence = 1;"
                    "UPDATE event SET sequence = 1 WHERE sequence = 2;"
                    "UPDATE event SET sequence = 2 WHERE sequence = 9",
                    "event 1 is not");
}

static void test_an_event_filed_under_another_change_is_detected(void **state) {
    expect_detected(*state, "UPDATE event SET change = 'B' WHERE sequence = 3", "another change");
}

static void test_a_cut_off_end_shows_in_the_head(void **state) {
    Journal *journal = open_in(*state);
    Digest before, after;
    int64_t sequence = 0;
    fill(journal);
    assert_int_equal(journal_head(journal, &sequence, &before, NULL), 0);
    journal_close(journal);
    tamper(*state, "DELETE FROM event WHERE sequence = 3");
    journal = open_in(*state);
    assert_int_equal(journal_head(journal, &sequence, &after, NULL), 0);
    assert_int_equal(sequence, 2);
    assert_false(digest_equal(&before, &after));
    journal_close(journal);
}

static void test_two_writers_make_one_chain(void **state) {
    JOURNAL_AUTO one = open_in(*state);
    JOURNAL_AUTO other = open_in(*state);
    int64_t events = 0;
    Error error;
    for (int i = 0; i < 20; i++) append(i % 2 ? one : other, "turn", "A");
    assert_int_equal(journal_verify(one, &events, &error), 0);
    assert_int_equal(events, 20);
}

static void test_a_batch_that_fails_half_way_leaves_nothing(void **state) {
    JOURNAL_AUTO journal = open_in(*state);
    json_t *both[] = {event("four", "A"), event("five", "A")};
    int64_t events = 0;
    Error error = {0};
    fill(journal);
    tamper(*state, "CREATE TRIGGER full BEFORE INSERT ON event WHEN new.sequence = 5"
                   " BEGIN SELECT RAISE(ABORT, 'no room'); END");
    assert_int_equal(journal_append(journal, both, 2, &error), -1);
    assert_int_equal(count(journal, 0, NULL), 3);
    tamper(*state, "DROP TRIGGER full");
    assert_int_equal(journal_append(journal, both, 2, &error), 0);
    assert_int_equal(journal_verify(journal, &events, &error), 0);
    assert_int_equal(events, 5);
    json_decref(both[0]), json_decref(both[1]);
}

static void expect_unless(Journal *journal, int64_t after, bool expected) {
    bool written = !expected;
    JSON_AUTO made = event("decided", "A");
    assert_int_equal(journal_append_unless(journal, after, "A", &made, 1, &written, NULL), 0);
    assert_int_equal(written, expected);
}

static void test_what_was_chosen_before_something_new_came_is_not_written(void **state) {
    JOURNAL_AUTO memory = journal_memory_new();
    JOURNAL_AUTO sqlite = open_in(*state);
    Journal *journals[] = {memory, sqlite};
    for (size_t i = 0; i < 2; i++) {
        fill(journals[i]);
        expect_unless(journals[i], 2, false); /* the third one is of A */
        assert_int_equal(count(journals[i], 0, NULL), 3);
        append(journals[i], "four", "B"); /* another change's: no matter */
        expect_unless(journals[i], 3, true);
        assert_int_equal(count(journals[i], 0, "A"), 3);
    }
}

static void test_a_newer_format_is_refused(void **state) {
    const TestFolder *folder = *state;
    Error error = {0};
    Journal *journal = open_in(folder);
    FREE_AUTO char *path = NULL;
    journal_close(journal);
    tamper(folder, "PRAGMA user_version = 99");
    assert_true(asprintf(&path, "%s/journal.sqlite", folder->path) > 0);
    assert_int_equal(journal_sqlite_open(path, &journal, &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
}

/* Another program, begun now, that looks at the journal when it is told to: how many events it sees. SQLite
 * must not be carried across a fork, so it is begun before anything is open here. */
typedef struct Onlooker {
    pid_t pid;
    int go;
} Onlooker;

static Onlooker begin_onlooker(const TestFolder *folder) {
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        ssize_t got = read(ends[0], &byte, 1);
        Journal *journal = open_in(folder);
        int events = count(journal, 0, NULL);
        journal_close(journal);
        _exit(got == 1 ? events : 255);
    }
    close(ends[0]);
    return (Onlooker){pid, ends[1]};
}

static int let_look(const Onlooker *onlooker) {
    int status = 0;
    assert_int_equal(write(onlooker->go, "", 1), 1);
    close(onlooker->go);
    assert_int_equal(waitpid(onlooker->pid, &status, 0), onlooker->pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A controller has the journal open several times. Whoever looked at it from outside, and left, once took the
 * write-ahead log along: what was written from then on was lost. */
static void test_onlookers_lose_nothing_of_a_process_that_has_it_open_twice(void **state) {
    const TestFolder *folder = *state;
    Onlooker first = begin_onlooker(folder), second = begin_onlooker(folder);
    Journal *one = open_in(folder);
    append(one, "one", "A");
    Journal *other = open_in(folder);
    append(other, "two", "A");
    assert_int_equal(let_look(&first), 2);
    append(one, "three", "A");
    append(other, "four", "A");
    assert_int_equal(let_look(&second), 4);
    assert_int_equal(count(one, 0, NULL), 4);
    journal_close(other);
    journal_close(one);
}

static void test_a_link_is_no_journal(void **state) {
    const TestFolder *folder = *state;
    Journal *journal = NULL;
    Error error = {0};
    FREE_AUTO char *path = NULL;
    assert_true(asprintf(&path, "%s/journal.sqlite", folder->path) > 0);
    assert_int_equal(symlink("elsewhere", path), 0);
    assert_int_equal(journal_sqlite_open(path, &journal, &error), -1);
    assert_non_null(strstr(error.en, "cannot open the journal"));
}

static void test_memory_and_sqlite_make_the_same_chain(void **state) {
    JOURNAL_AUTO memory = journal_memory_new();
    JOURNAL_AUTO sqlite = open_in(*state);
    Digest one, other;
    int64_t sequence = 0;
    fill(memory);
    fill(sqlite);
    assert_int_equal(journal_head(memory, &sequence, &one, NULL), 0);
    assert_int_equal(journal_head(sqlite, &sequence, &other, NULL), 0);
    assert_true(digest_equal(&one, &other));
}

static void test_a_brief_one_forgets_what_was_read_and_goes_on_with_the_chain(void **state) {
    (void)state;
    JOURNAL_AUTO brief = journal_memory_new_brief();
    JOURNAL_AUTO whole = journal_memory_new();
    Digest one, other;
    int64_t sequence = 0, same = 0;
    Error error;
    fill(brief), fill(whole);
    assert_int_equal(count(brief, 0, "A"), 2);
    assert_int_equal(count(brief, 2, NULL), 1);
    assert_int_equal(count(brief, 0, NULL), 1);
    assert_int_equal(count(brief, 3, NULL), 0);
    fill(brief), fill(whole);
    assert_int_equal(count(brief, 3, "A"), 2);
    assert_int_equal(journal_head(brief, &sequence, &one, &error), 0);
    assert_int_equal(journal_head(whole, &same, &other, &error), 0);
    assert_int_equal(sequence, same);
    assert_true(digest_equal(&one, &other));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_reads_what_was_appended_by_change_and_from_a_number_on),
        test_in_folder(test_lasts_when_it_is_closed_and_opened_again),
        test_in_folder(test_a_whole_chain_verifies),
        test_in_folder(test_an_altered_event_is_detected),
        test_in_folder(test_a_removed_event_is_detected),
        test_in_folder(test_a_gap_in_the_numbers_is_detected),
        test_in_folder(test_two_events_that_changed_places_are_detected),
        test_in_folder(test_an_event_filed_under_another_change_is_detected),
        test_in_folder(test_a_cut_off_end_shows_in_the_head),
        test_in_folder(test_two_writers_make_one_chain),
        test_in_folder(test_onlookers_lose_nothing_of_a_process_that_has_it_open_twice),
        test_in_folder(test_a_link_is_no_journal),
        test_in_folder(test_a_batch_that_fails_half_way_leaves_nothing),
        test_in_folder(test_what_was_chosen_before_something_new_came_is_not_written),
        test_in_folder(test_a_newer_format_is_refused),
        test_in_folder(test_memory_and_sqlite_make_the_same_chain),
        cmocka_unit_test(test_a_brief_one_forgets_what_was_read_and_goes_on_with_the_chain),
    };
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
