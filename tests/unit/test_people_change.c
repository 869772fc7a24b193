/* Changing who may sign in: rules, limits, several writers, crashes. */
#include "support/crowd.h"
#include "trust/people_room.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

static size_t everybody(People *people, Arena *arena, PeopleEntry **out) {
    size_t count = 0;
    assert_done(people_list(people, arena, out, &count, error));
    return count;
}

/* ---- Names ---- */

static void test_names_are_plain_and_short(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    char longest[PERSON_NAME_SIZE + 1];
    memset(longest, 'x', sizeof longest);
    longest[PERSON_NAME_SIZE] = '\0';
    const char *const bad[] = {"",     "-a", ".a",           "a b", "a/b",  "a\nb",
                               "a\"b", "%s", "\xe4\xb8\xbb", "a@b", longest};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_refused(people_add(people, bad[i], ROLE_VIEWER, NOW_MS, error), ERROR_INVALID,
                       "no name of a person");
        assert_refused(people_remove(people, bad[i], error), ERROR_INVALID, "no name of a person");
    }
    crowd_add(people, longest + 1, ROLE_VIEWER);
    crowd_add(people, "a", ROLE_VIEWER);
    crowd_add(people, "7.b_c+d-e", ROLE_VIEWER);
    assert_string_equal(crowd_find(people, longest + 1).name, longest + 1);
}

static void test_nobody_is_there_twice_or_looks_alike(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    crowd_add(people, "Ada", ROLE_VIEWER);
    assert_refused(people_add(people, "Ada", ROLE_ADMIN, NOW_MS, error), ERROR_REFUSED, "called Ada already");
    assert_refused(people_add(people, "aDA", ROLE_ADMIN, NOW_MS, error), ERROR_REFUSED, "called Ada already");
    Person person = {.name = "untouched"};
    assert_refused(people_find(people, "ada", &person, error), ERROR_INVALID, "nobody called ada");
    assert_string_equal(person.name, "untouched");
    assert_int_equal(crowd_find(people, "Ada").role, ROLE_VIEWER);
}

static void test_what_is_not_there_cannot_be_changed(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    char text[BEARER_TEXT_SIZE] = "untouched";
    PeopleTokenRequest request = {.name = "eve", .label = "x"};
    assert_refused(people_remove(people, "eve", error), ERROR_INVALID, "nobody called eve");
    assert_refused(people_set_role(people, "eve", ROLE_ADMIN, error), ERROR_INVALID, "nobody called eve");
    assert_refused(people_set_disabled(people, "eve", true, error), ERROR_INVALID, "nobody called eve");
    assert_refused(people_set_password(people, "eve", NULL, error), ERROR_INVALID, "nobody called eve");
    assert_refused(people_token_make(people, &request, NOW_MS, text, error), ERROR_INVALID,
                   "nobody called eve");
    assert_refused(people_token_remove(people, "eve", "abcdefghij", error), ERROR_INVALID,
                   "nobody called eve");
    assert_string_equal(text, "untouched");
}

static void test_times_past_all_measure_are_refused(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    static const int64_t times[] = {INT64_MIN, -1, 0, INT64_MAX};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        assert_refused(people_add(people, "ada", ROLE_ADMIN, times[i], error), ERROR_INVALID,
                       "set the clock");
}

/* ---- The last administrator ---- */

static void test_the_last_administrator_stays(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    crowd_add(people, "bob", ROLE_OPERATOR); /* before there is any: the first need not be one */
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_add(people, "eve", ROLE_ADMIN);
    assert_done(people_set_disabled(people, "eve", true, error)); /* and does not count any more */
    static const Role lower[] = {ROLE_VIEWER, ROLE_OPERATOR, ROLE_APPROVER};
    for (size_t i = 0; i < sizeof lower / sizeof *lower; i++)
        assert_refused(people_set_role(people, "ada", lower[i], error), ERROR_REFUSED, "last administrator");
    assert_refused(people_remove(people, "ada", error), ERROR_REFUSED, "last administrator");
    assert_refused(people_set_disabled(people, "ada", true, error), ERROR_REFUSED, "last administrator");
    assert_done(people_set_role(people, "ada", ROLE_ADMIN, error)); /* as it is */
    assert_int_equal(crowd_find(people, "ada").role, ROLE_ADMIN);
    assert_done(people_remove(people, "eve", error)); /* disabled, so no loss */
    assert_done(people_remove(people, "bob", error));
}

static void test_another_administrator_may_take_over(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_add(people, "eve", ROLE_VIEWER);
    assert_done(people_set_role(people, "eve", ROLE_ADMIN, error));
    assert_done(people_set_role(people, "ada", ROLE_VIEWER, error));
    assert_refused(people_remove(people, "eve", error), ERROR_REFUSED, "last administrator");
    assert_done(people_remove(people, "ada", error));
}

/* ---- Stamps ---- */

static void test_a_stamp_changes_with_what_a_sign_in_stands_for(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    char text[BEARER_TEXT_SIZE];
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_add(people, "bob", ROLE_OPERATOR);
    Person before = crowd_find(people, "bob");
    assert_string_not_equal(before.stamp, crowd_find(people, "ada").stamp);
    crowd_token(people, "bob", text);
    assert_done(people_set_role(people, "bob", ROLE_OPERATOR, error));
    assert_done(people_set_disabled(people, "bob", false, error));
    assert_string_equal(crowd_find(people, "bob").stamp, before.stamp); /* nothing has changed */
    assert_done(people_set_role(people, "bob", ROLE_VIEWER, error));
    Person after = crowd_find(people, "bob");
    assert_string_not_equal(after.stamp, before.stamp);
    assert_done(people_set_disabled(people, "bob", true, error));
    assert_done(people_set_disabled(people, "bob", false, error));
    before = crowd_find(people, "bob");
    assert_string_not_equal(after.stamp, before.stamp);
    assert_done(people_set_password(people, "bob", NULL, error));
    after = crowd_find(people, "bob");
    assert_string_not_equal(after.stamp, before.stamp);
    assert_done(people_remove(people, "bob", error));
    crowd_add(people, "bob", ROLE_VIEWER);
    assert_string_not_equal(after.stamp, crowd_find(people, "bob").stamp);
}

/* ---- Tokens ---- */

static void test_lists_in_the_order_they_came(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    ARENA_AUTO arena = arena_new();
    char text[BEARER_TEXT_SIZE];
    PeopleEntry *list = NULL;
    assert_int_equal(everybody(people, arena, &list), 0);
    crowd_add(people, "bob", ROLE_OPERATOR);
    crowd_add(people, "ada", ROLE_ADMIN);
    PeopleTokenRequest request = {.name = "ada", .label = "CI \"main\" \\ %s"};
    assert_done(people_token_make(people, &request, NOW_MS, text, error));
    crowd_token(people, "ada", text);
    assert_int_equal(everybody(people, arena, &list), 2);
    assert_string_equal(list[0].person.name, "bob");
    assert_int_equal(list[0].token_count, 0);
    assert_string_equal(list[1].person.name, "ada");
    assert_int_equal(list[1].person.created_ms, NOW_MS);
    assert_int_equal(list[1].token_count, 2);
    assert_string_equal(list[1].tokens[0].label, "CI \"main\" \\ %s");
    assert_int_equal(list[1].tokens[0].created_ms, NOW_MS);
    assert_int_equal(list[1].tokens[0].expires_ms, NOW_MS + PEOPLE_TOKEN_VALID_DEFAULT_MS);
    assert_int_equal(list[1].tokens[1].expires_ms, NOW_MS + HOUR_MS);
}

static void test_a_removed_token_is_good_no_more(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    ARENA_AUTO arena = arena_new();
    char texts[3][BEARER_TEXT_SIZE], id[BEARER_ID_SIZE] = "";
    PeopleEntry *list = NULL;
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_add(people, "bob", ROLE_ADMIN);
    for (size_t i = 0; i < 3; i++) crowd_token(people, "ada", texts[i]);
    memcpy(id, texts[1] + 5, BEARER_ID_SIZE - 1);
    assert_refused(people_token_remove(people, "bob", id, error), ERROR_INVALID, "no such sign-in token");
    assert_refused(people_token_remove(people, "ada", "nonsense\n", error), ERROR_INVALID, "no such sign-in");
    crowd_assert_good(people, texts[1], NOW_MS);
    assert_done(people_token_remove(people, "ada", id, error));
    crowd_assert_token(people, texts[1], NOW_MS, PEOPLE_UNKNOWN, "there is no sign-in token");
    assert_refused(people_token_remove(people, "ada", id, error), ERROR_INVALID, "no such sign-in token");
    crowd_assert_good(people, texts[0], NOW_MS);
    crowd_assert_good(people, texts[2], NOW_MS);
    everybody(people, arena, &list);
    assert_int_equal(list[0].token_count, 2);
}

static void test_a_removed_person_takes_her_tokens_along(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    char text[BEARER_TEXT_SIZE], other[BEARER_TEXT_SIZE];
    crowd_add(people, "bob", ROLE_ADMIN);
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_token(people, "bob", text);
    crowd_token(people, "ada", other);
    assert_done(people_remove(people, "bob", error));
    crowd_assert_token(people, text, NOW_MS, PEOPLE_UNKNOWN, "there is no sign-in token");
    crowd_add(people, "bob", ROLE_ADMIN);
    crowd_assert_token(people, text, NOW_MS, PEOPLE_UNKNOWN, "there is no sign-in token");
    assert_string_equal(crowd_assert_good(people, other, NOW_MS).name, "ada");
}

static void test_requests_past_all_measure_are_refused(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    char text[BEARER_TEXT_SIZE] = "untouched", longest[PERSON_LABEL_SIZE + 1];
    memset(longest, 'x', sizeof longest);
    longest[PERSON_LABEL_SIZE] = '\0';
    crowd_add(people, "ada", ROLE_ADMIN);
    const char *const labels[] = {"", "a\nb", "\x1b[2J", "\xe4\xb8\xbb", longest};
    PeopleTokenRequest request = {.name = "ada"};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        request.label = labels[i];
        assert_refused(people_token_make(people, &request, NOW_MS, text, error), ERROR_INVALID, "plain char");
    }
    static const int64_t validities[] = {INT64_MIN, -1, 1, 999, PEOPLE_TOKEN_VALID_MAX_MS + 1, INT64_MAX};
    request.label = longest + 1;
    for (size_t i = 0; i < sizeof validities / sizeof *validities; i++) {
        request.valid_ms = validities[i];
        assert_refused(people_token_make(people, &request, NOW_MS, text, error), ERROR_INVALID, "valid for");
    }
    request.valid_ms = PEOPLE_TOKEN_VALID_MAX_MS;
    assert_refused(people_token_make(people, &request, 0, text, error), ERROR_INVALID, "set the clock");
    assert_refused(people_token_make(people, &request, INT64_MAX, text, error), ERROR_INVALID,
                   "set the clock");
    assert_string_equal(text, "untouched");
    assert_done(people_token_make(people, &request, NOW_MS, text, error));
    crowd_assert_good(people, text, NOW_MS + PEOPLE_TOKEN_VALID_MAX_MS - 1);
}

static void test_a_person_has_so_many_tokens(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    char texts[PERSON_TOKENS_MAX][BEARER_TEXT_SIZE], text[BEARER_TEXT_SIZE];
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_add(people, "bob", ROLE_ADMIN);
    for (size_t i = 0; i < PERSON_TOKENS_MAX; i++) crowd_token(people, "ada", texts[i]);
    PeopleTokenRequest request = {.name = "ada", .label = "one too many"};
    assert_refused(people_token_make(people, &request, NOW_MS, text, error), ERROR_REFUSED,
                   "ada has 32 sign-in tokens already");
    crowd_token(people, "bob", text); /* others are not touched by that */
    crowd_assert_good(people, texts[PERSON_TOKENS_MAX - 1], NOW_MS);
    assert_done(people_token_make(people, &request, NOW_MS + HOUR_MS, text, error)); /* those expired go */
    crowd_assert_good(people, text, NOW_MS + HOUR_MS);
    crowd_assert_token(people, texts[0], NOW_MS + HOUR_MS, PEOPLE_UNKNOWN, "there is no sign-in token");
}

/* ---- Limits ---- */

static void test_there_are_so_many_people(void **state) {
    TestFolder *folder = *state;
    PEOPLE_AUTO people = crowd_open(folder);
    PEOPLE_FILE_AUTO file = NULL;
    crowd_add(people, "ada", ROLE_ADMIN);
    assert_done(people_file_load(folder->fd, &file, error));
    PeopleRecord *records = ARENA_ARRAY(file->arena, PEOPLE_MAX, PeopleRecord);
    for (size_t i = 0; i < PEOPLE_MAX; i++) {
        records[i] = file->records[0];
        if (i) snprintf(records[i].person.name, sizeof records[i].person.name, "p%zu", i);
    }
    file->records = records;
    file->count = PEOPLE_MAX;
    assert_done(people_file_save(folder->fd, file, error));
    assert_refused(people_add(people, "bob", ROLE_VIEWER, NOW_MS, error), ERROR_REFUSED,
                   "1024 people already");
    assert_done(people_remove(people, "p512", error));
    crowd_add(people, "bob", ROLE_VIEWER);
    ARENA_AUTO arena = arena_new();
    PeopleEntry *list = NULL;
    assert_int_equal(everybody(people, arena, &list), PEOPLE_MAX);
    assert_string_equal(list[512].person.name, "p513");
    assert_string_equal(list[PEOPLE_MAX - 1].person.name, "bob");
}

/* ---- Several programs ---- */

static void test_what_another_program_did_holds_from_the_next_call_on(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    PEOPLE_AUTO other = crowd_open(*state);
    char text[BEARER_TEXT_SIZE];
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_add(other, "bob", ROLE_OPERATOR);
    crowd_token(other, "bob", text);
    for (int i = 0; i < 50; i++) { /* within one tick of the file system's clock */
        Role role = i % 2 ? ROLE_OPERATOR : ROLE_APPROVER;
        assert_done(people_set_role(other, "bob", role, error));
        assert_int_equal(crowd_assert_good(people, text, NOW_MS).role, role);
    }
    assert_done(people_set_disabled(other, "bob", true, error));
    crowd_assert_token(people, text, NOW_MS, PEOPLE_DISABLED, "disabled");
    assert_done(people_remove(other, "bob", error));
    crowd_assert_token(people, text, NOW_MS, PEOPLE_UNKNOWN, "there is no sign-in token");
}

enum { WRITERS = 4, WRITINGS = 12 };

static void test_several_writers_lose_nothing(void **state) {
    TestFolder *folder = *state;
    pid_t children[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] > 0) continue;
        People *people = NULL;
        int failures = people_open(folder->path, &people, NULL) < 0;
        for (int j = 0; !failures && j < WRITINGS; j++) {
            char name[PERSON_NAME_SIZE];
            snprintf(name, sizeof name, "p%d-%d", i, j);
            failures += people_add(people, name, ROLE_ADMIN, NOW_MS, NULL) < 0;
        }
        _exit(failures);
    }
    for (int i = 0; i < WRITERS; i++) {
        int status = 0;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    PEOPLE_AUTO people = crowd_open(folder);
    ARENA_AUTO arena = arena_new();
    PeopleEntry *list = NULL;
    assert_int_equal(everybody(people, arena, &list), WRITERS * WRITINGS);
}

/* Each takes the other for the one who stays. */
static void test_two_administrators_cannot_remove_each_other(void **state) {
    TestFolder *folder = *state;
    PEOPLE_AUTO people = crowd_open(folder);
    static const char *const names[] = {"ada", "eve"};
    for (int round = 0; round < 10; round++) {
        pid_t children[2];
        int removed = 0;
        for (int i = 0; i < 2; i++)
            if (people_add(people, names[i], ROLE_ADMIN, NOW_MS, NULL) < 0) crowd_find(people, names[i]);
        for (int i = 0; i < 2; i++) {
            children[i] = fork();
            assert_true(children[i] >= 0);
            if (children[i] > 0) continue;
            People *own = NULL;
            _exit(people_open(folder->path, &own, NULL) == 0 && people_remove(own, names[i], NULL) == 0);
        }
        for (int i = 0; i < 2; i++) {
            int status = 0;
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_true(WIFEXITED(status));
            removed += WEXITSTATUS(status);
        }
        assert_int_equal(removed, 1);
    }
}

/* ---- Crashes ---- */

static void test_a_crash_between_lock_and_rename_changes_nothing(void **state) {
    TestFolder *folder = *state;
    PEOPLE_AUTO people = crowd_open(folder);
    crowd_add(people, "ada", ROLE_ADMIN);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* dies with the lock and a list half written */
        int lock = -1;
        PeopleFile *file = NULL;
        if (people_file_lock(folder->fd, &lock, NULL) < 0 || people_file_load(folder->fd, &file, NULL) < 0)
            _exit(1);
        sample_text(folder->fd, ".people.json.abcdefgh~", "{\"format\":1,\"peo");
        kill(getpid(), SIGKILL);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_string_equal(crowd_find(people, "ada").name, "ada");
    crowd_add(people, "bob", ROLE_VIEWER); /* nobody holds the lock any more */
    assert_int_equal(faccessat(folder->fd, ".people.json.abcdefgh~", F_OK, 0), -1);
}

static void test_what_cannot_be_written_has_not_happened(void **state) {
    TestFolder *folder = *state;
    PEOPLE_AUTO people = crowd_open(folder);
    crowd_add(people, "ada", ROLE_ADMIN);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* a limit stands for a full disk */
        struct rlimit limit = {.rlim_cur = 8, .rlim_max = 8};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        char text[BEARER_TEXT_SIZE] = "untouched";
        PeopleTokenRequest request = {.name = "ada", .label = "x"};
        bool is_refused = people_token_make(people, &request, NOW_MS, text, NULL) < 0 &&
                          people_add(people, "bob", ROLE_VIEWER, NOW_MS, NULL) < 0;
        _exit(is_refused && strcmp(text, "untouched") == 0 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ARENA_AUTO arena = arena_new();
    PeopleEntry *list = NULL;
    assert_int_equal(everybody(people, arena, &list), 1);
    assert_int_equal(list[0].token_count, 0);
}

static void test_killed_at_any_moment_nothing_told_is_forgotten(void **state) {
    TestFolder *folder = *state;
    PEOPLE_AUTO people = crowd_open(folder);
    for (int round = 0; round < 10; round++) {
        int pipes[2];
        char name[PERSON_NAME_SIZE];
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (int i = 0; i < WRITINGS; i++) {
                snprintf(name, sizeof name, "r%d-%d", round, i);
                if (people_add(people, name, ROLE_ADMIN, NOW_MS, NULL) < 0 || write(pipes[1], "x", 1) != 1)
                    break;
            }
            _exit(0);
        }
        usleep((useconds_t)(round * 371)); /* any moment will do */
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        close(pipes[1]);
        char told[WRITINGS];
        ssize_t count = read(pipes[0], told, sizeof told);
        close(pipes[0]);
        for (ssize_t i = 0; i < count; i++) {
            snprintf(name, sizeof name, "r%d-%zd", round, i);
            assert_string_equal(crowd_find(people, name).name, name);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_names_are_plain_and_short),
        test_in_folder(test_nobody_is_there_twice_or_looks_alike),
        test_in_folder(test_what_is_not_there_cannot_be_changed),
        test_in_folder(test_times_past_all_measure_are_refused),
        test_in_folder(test_the_last_administrator_stays),
        test_in_folder(test_another_administrator_may_take_over),
        test_in_folder(test_a_stamp_changes_with_what_a_sign_in_stands_for),
        test_in_folder(test_lists_in_the_order_they_came),
        test_in_folder(test_a_removed_token_is_good_no_more),
        test_in_folder(test_a_removed_person_takes_her_tokens_along),
        test_in_folder(test_requests_past_all_measure_are_refused),
        test_in_folder(test_a_person_has_so_many_tokens),
        test_in_folder(test_there_are_so_many_people),
        test_in_folder(test_what_another_program_did_holds_from_the_next_call_on),
        test_in_folder(test_several_writers_lose_nothing),
        test_in_folder(test_two_administrators_cannot_remove_each_other),
        test_in_folder(test_a_crash_between_lock_and_rename_changes_nothing),
        test_in_folder(test_what_cannot_be_written_has_not_happened),
        test_in_folder(test_killed_at_any_moment_nothing_told_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
