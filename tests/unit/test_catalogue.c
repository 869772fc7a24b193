/* The catalogue of a journal, which others write meanwhile. */
#include "journal/journal_sqlite.h"
#include "server/catalogue.h"
#include "support/sample_run.h"
#include <sqlite3.h>

typedef struct Book {
    char path[SAMPLE_PATH_SIZE];
    Journal *journal;
    Catalogue *catalogue;
    SampleRun runs[CATALOGUE_RECENT + 2];
    size_t count;
} Book;

static void book_open(Book *book, const TestFolder *folder, size_t changes) {
    *book = (Book){.count = changes};
    sample_path(folder, "journal.sqlite", book->path);
    assert_done(journal_sqlite_open(book->path, &book->journal, error));
    sample_pack_version(folder, "1.0", true);
    for (size_t i = 0; i < changes; i++) book->runs[i] = sample_run_open(folder, book->journal, "1.0", "");
    assert_done(catalogue_open(book->path, &book->catalogue, error));
}

static void book_close(Book *book) {
    for (size_t i = 0; i < book->count; i++) sample_run_close(&book->runs[i]);
    catalogue_close(book->catalogue);
    journal_close(book->journal);
}

static void say(Book *book, size_t change, const char *type, const char *outcome) {
    JSON_AUTO event = json_pack("{s:s, s:s, s:s, s:s*}", "type", type, "time", "2026-02-03T04:05:06.000Z",
                                "change", book->runs[change].change, "outcome", outcome);
    assert_done(journal_append(book->journal, &event, 1, error));
}

/* Whoever reads an event of the change, all but the last, cannot. */
static void spoil(const Book *book, size_t change) {
    sqlite3 *database = NULL;
    char statement[256];
    snprintf(statement, sizeof statement,
             "UPDATE event SET text = 'spoilt' WHERE change = '%s' AND sequence <"
             " (SELECT max(sequence) FROM event WHERE change = '%s')",
             book->runs[change].change, book->runs[change].change);
    assert_int_equal(sqlite3_open(book->path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, statement, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}

static ChangeList listed(const Book *book, Arena *arena) {
    ChangeList list;
    assert_done(catalogue_list(book->catalogue, NULL, arena, &list, error));
    return list;
}

static int see_state(void *context, const Rollout *rollout, Error *error) {
    (void)error;
    *(RolloutState *)context = rollout->state;
    return 0;
}

static int look(const Book *book, size_t change, RolloutState *state, Error *error) {
    return catalogue_look(book->catalogue, book->runs[change].change, see_state, state, error);
}

static void test_every_change_has_a_line_oldest_first(void **state) {
    Book book;
    ARENA_AUTO arena = arena_new();
    book_open(&book, *state, 2);
    ChangeList list = listed(&book, arena);
    assert_int_equal(list.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(list.items[i].id, book.runs[i].change);
        assert_string_equal(list.items[i].service, "sample");
        assert_string_equal(list.items[i].version, "1.0");
        assert_int_equal(list.items[i].host_count, 1);
        assert_int_equal(list.items[i].state, ROLLOUT_PENDING);
        assert_null(list.items[i].ended);
    }
    book_close(&book);
}

static void test_lines_follow_the_journal_whoever_writes_it(void **state) {
    Book book;
    ARENA_AUTO arena = arena_new();
    book_open(&book, *state, 2);
    say(&book, 0, "rollout.started", NULL);
    assert_int_equal(listed(&book, arena).items[0].state, ROLLOUT_RUNNING);
    say(&book, 0, "rollout.succeeded", NULL);
    say(&book, 0, "change.closed", "succeeded");
    ChangeList list = listed(&book, arena);
    assert_int_equal(list.items[0].outcome, OUTCOME_SUCCEEDED);
    assert_string_equal(list.items[0].ended, "2026-02-03T04:05:06.000Z");
    assert_int_equal(list.items[1].outcome, OUTCOME_NONE);
    say(&book, 0, "control.rollback", NULL);
    list = listed(&book, arena);
    assert_int_equal(list.items[0].state, ROLLOUT_ROLLING_BACK);
    assert_int_equal(list.items[0].outcome, OUTCOME_NONE);
    assert_null(list.items[0].ended);
    book.runs[2] = sample_run_open(*state, book.journal, "1.0", "");
    book.count = 3;
    assert_int_equal(listed(&book, arena).count, 3);
    book_close(&book);
}

static void test_events_that_belong_to_no_change_or_an_unknown_one_are_passed_over(void **state) {
    Book book;
    ARENA_AUTO arena = arena_new();
    book_open(&book, *state, 1);
    JSON_AUTO none = json_pack("{s:s, s:s}", "type", "host.facts", "time", "2026-02-03T04:05:06.000Z");
    JSON_AUTO other = json_pack("{s:s, s:s, s:s}", "type", "host.health", "time", "2026-02-03T04:05:06.000Z",
                                "change", "CHG-1900-0001");
    assert_done(journal_append(book.journal, (json_t *const[]){none, other}, 2, error));
    assert_int_equal(listed(&book, arena).count, 1);
    assert_done(catalogue_check(book.catalogue, book.runs[0].change, error));
    assert_refused(catalogue_check(book.catalogue, "CHG-1900-0001", error), ERROR_INVALID, "CHG-1900-0001");
    book_close(&book);
}

static void test_what_a_line_says_is_not_read_again(void **state) {
    Book book;
    ARENA_AUTO arena = arena_new();
    book_open(&book, *state, 2);
    say(&book, 0, "change.closed", "succeeded");
    assert_int_equal(listed(&book, arena).items[0].outcome, OUTCOME_SUCCEEDED);
    say(&book, 0, "host.reported_late", NULL);
    spoil(&book, 0); /* but for the last event, which is new */
    say(&book, 1, "rollout.started", NULL);
    ChangeList list = listed(&book, arena);
    assert_int_equal(list.items[0].outcome, OUTCOME_SUCCEEDED);
    assert_int_equal(list.items[1].state, ROLLOUT_RUNNING);
    book_close(&book);
}

static void test_what_was_looked_at_is_folded_on_and_not_again(void **state) {
    Book book;
    RolloutState seen;
    book_open(&book, *state, 1);
    assert_done(look(&book, 0, &seen, error));
    assert_int_equal(seen, ROLLOUT_PENDING);
    say(&book, 0, "rollout.started", NULL);
    spoil(&book, 0);
    assert_done(look(&book, 0, &seen, error));
    assert_int_equal(seen, ROLLOUT_RUNNING);
    book_close(&book);
}

static void test_few_folded_changes_are_kept(void **state) {
    Book book;
    RolloutState seen;
    book_open(&book, *state, CATALOGUE_RECENT + 1);
    for (size_t i = 0; i <= CATALOGUE_RECENT; i++) assert_done(look(&book, i, &seen, error));
    for (size_t i = 0; i <= CATALOGUE_RECENT; i++) {
        say(&book, i, "rollout.started", NULL);
        spoil(&book, i);
    }
    for (size_t i = 1; i <= CATALOGUE_RECENT; i++) assert_done(look(&book, i, &seen, error));
    assert_int_equal(look(&book, 0, &seen, NULL), -1); /* it had to be read again */
    for (size_t i = 1; i <= CATALOGUE_RECENT; i++) assert_done(look(&book, i, &seen, error));
    book_close(&book);
}

typedef struct Nearer {
    const Rollout *rollout;
    size_t asked;
} Nearer;

static void tell(void *context, Catalogue *catalogue) {
    Nearer *nearer = context;
    nearer->asked++;
    if (nearer->rollout) catalogue_note(catalogue, nearer->rollout);
}

/* Also where that one is behind by a moment: the next listing asks it again. */
static void test_whoever_has_a_change_folded_is_believed(void **state) {
    Book book;
    Nearer nearer = {NULL, 0};
    CatalogueSource source = {tell, &nearer};
    ChangeList list;
    ARENA_AUTO arena = arena_new();
    Rollout *rollout = NULL;
    book_open(&book, *state, 1);
    assert_done(change_load(book.journal, arena, book.runs[0].change, &rollout, error));
    nearer.rollout = rollout;
    say(&book, 0, "rollout.started", NULL);
    assert_done(catalogue_list(book.catalogue, &source, arena, &list, error));
    assert_int_equal(list.items[0].state, ROLLOUT_PENDING);
    nearer.rollout = NULL; /* it has gone: the journal it is */
    assert_done(catalogue_list(book.catalogue, &source, arena, &list, error));
    assert_int_equal(list.items[0].state, ROLLOUT_RUNNING);
    assert_int_equal(nearer.asked, 2);
    book_close(&book);
}

static void test_looking_at_no_change_is_an_error(void **state) {
    Book book;
    RolloutState seen;
    book_open(&book, *state, 1);
    assert_refused(catalogue_look(book.catalogue, "CHG-1900-0001", see_state, &seen, error), ERROR_INVALID,
                   "CHG-1900-0001");
    book_close(&book);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_every_change_has_a_line_oldest_first),
        test_in_folder(test_lines_follow_the_journal_whoever_writes_it),
        test_in_folder(test_events_that_belong_to_no_change_or_an_unknown_one_are_passed_over),
        test_in_folder(test_what_a_line_says_is_not_read_again),
        test_in_folder(test_what_was_looked_at_is_folded_on_and_not_again),
        test_in_folder(test_few_folded_changes_are_kept),
        test_in_folder(test_whoever_has_a_change_folded_is_believed),
        test_in_folder(test_looking_at_no_change_is_an_error),
    };
    return cmocka_run_group_tests_name("catalogue", tests, NULL, NULL);
}
