/* Signing in: by token and by password. What changes the list is in test_people_change.c. */
#include "support/crowd.h"
#include "trust/password.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include <argon2.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { ID_AT = 5, SECRET_AT = 16 };

/* ---- The library, with an ear at the door ---- */

static atomic_int verifications;
static void (*during_verification)(void); /* once, before the answer */
static People *during_people;

int argon2id_verify(const char *encoded, const void *password, size_t size) {
    int (*real)(const char *, const void *, size_t) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "argon2id_verify");
    assert_non_null(real);
    atomic_fetch_add(&verifications, 1);
    void (*meanwhile)(void) = during_verification;
    during_verification = NULL;
    if (meanwhile) meanwhile();
    return real(encoded, password, size);
}

static void assert_password(People *people, const char *name, const char *password, PeopleVerdict expected,
                            const char *words) {
    Person person = {.name = "untouched"};
    PeopleVerdict verdict = PEOPLE_GOOD;
    Error problem = {0};
    assert_int_equal(people_check_password(people, name, password, &person, &verdict, &problem), -1);
    assert_int_equal(verdict, expected);
    if (!strstr(problem.en, words)) fail_msg("%s", problem.en);
    assert_string_equal(person.name, "untouched");
    assert_null(strstr(problem.en, GOOD_PASSWORD));
    assert_null(strstr(problem.zh, GOOD_PASSWORD));
}

static void assert_password_good(People *people, const char *name, const char *password) {
    Person person = {.name = ""};
    PeopleVerdict verdict = PEOPLE_UNDECIDED;
    assert_done(people_check_password(people, name, password, &person, &verdict, error));
    assert_int_equal(verdict, PEOPLE_GOOD);
    assert_string_equal(person.name, name);
}

/* ---- Tokens ---- */

static void test_a_token_tells_whose_it_is(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    char text[BEARER_TEXT_SIZE], id[BEARER_ID_SIZE] = "";
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_add(people, "Bob", ROLE_OPERATOR);
    crowd_token(people, "Bob", text);
    assert_memory_equal(text, "upkp-", 5);
    Person person = {.name = ""};
    assert_done(people_find_token(people, text, NOW_MS + 1, &person, id, NULL, error));
    assert_string_equal(person.name, "Bob");
    assert_int_equal(person.role, ROLE_OPERATOR);
    assert_false(person.is_disabled || person.has_password);
    assert_memory_equal(id, text + ID_AT, BEARER_ID_SIZE - 1);
    assert_string_equal(crowd_assert_good(people, text, NOW_MS + 2).name, "Bob"); /* as often as she likes */
}

static void test_a_token_expires(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    char text[BEARER_TEXT_SIZE];
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_token(people, "ada", text);
    crowd_assert_good(people, text, NOW_MS + HOUR_MS - 1);
    crowd_assert_token(people, text, NOW_MS + HOUR_MS, PEOPLE_EXPIRED, "of ada has expired");
    crowd_assert_token(people, text, INT64_MAX, PEOPLE_EXPIRED, "of ada has expired");
}

static void test_a_clock_that_goes_back_lets_nobody_else_in(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    ARENA_AUTO arena = arena_new();
    char text[BEARER_TEXT_SIZE];
    PeopleEntry *list = NULL;
    size_t count = 0;
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_token(people, "ada", text);
    crowd_assert_good(people, text, NOW_MS + 10);
    crowd_assert_good(people, text, 1);
    assert_done(people_list(people, arena, &list, &count, error));
    assert_int_equal(list[0].tokens[0].last_used_ms, NOW_MS + 10); /* the latest there was */
}

static void test_refuses_secrets_that_differ_in_one_character(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    char text[BEARER_TEXT_SIZE], other[BEARER_TEXT_SIZE];
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_token(people, "ada", text);
    for (size_t i = SECRET_AT; i < BEARER_TEXT_SIZE - 1; i++) {
        memcpy(other, text, sizeof other);
        other[i] = other[i] == 'a' ? 'b' : 'a';
        crowd_assert_token(people, other, NOW_MS, PEOPLE_WRONG, "is wrong");
    }
    crowd_assert_good(people, text, NOW_MS);
}

static void test_a_wrong_secret_learns_nothing_more(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    char text[BEARER_TEXT_SIZE], other[BEARER_TEXT_SIZE];
    crowd_add(people, "ada", ROLE_VIEWER);
    crowd_token(people, "ada", text);
    memcpy(other, text, sizeof other);
    other[SECRET_AT] = other[SECRET_AT] == 'a' ? 'b' : 'a';
    crowd_assert_token(people, other, NOW_MS + HOUR_MS, PEOPLE_WRONG, "is wrong"); /* not: expired */
    assert_done(people_set_disabled(people, "ada", true, error));
    crowd_assert_token(people, other, NOW_MS, PEOPLE_WRONG, "is wrong"); /* not: disabled */
    crowd_assert_token(people, text, NOW_MS, PEOPLE_DISABLED, "is of ada, who is disabled");
}

static void test_the_secret_of_another_token_will_not_do(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    char one[BEARER_TEXT_SIZE], two[BEARER_TEXT_SIZE];
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_token(people, "ada", one);
    crowd_token(people, "ada", two);
    memcpy(one + SECRET_AT, two + SECRET_AT, BEARER_SECRET_SIZE - 1);
    crowd_assert_token(people, one, NOW_MS, PEOPLE_WRONG, "is wrong");
}

static void test_refuses_what_is_no_token(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    char text[BEARER_TEXT_SIZE], bad[BEARER_TEXT_SIZE + 1];
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_token(people, "ada", text);
    for (size_t size = 0; size < BEARER_TEXT_SIZE - 1; size++) {
        memcpy(bad, text, size);
        bad[size] = '\0';
        crowd_assert_token(people, bad, NOW_MS, PEOPLE_MALFORMED, "no sign-in token");
    }
    snprintf(bad, sizeof bad, "%sa", text);
    crowd_assert_token(people, bad, NOW_MS, PEOPLE_MALFORMED, "no sign-in token");
    memcpy(bad, text, sizeof text);
    memcpy(bad, "upks-", 5); /* a sign-in is no token */
    crowd_assert_token(people, bad, NOW_MS, PEOPLE_MALFORMED, "no sign-in token");
    text[ID_AT] = text[ID_AT] == 'a' ? 'b' : 'a';
    crowd_assert_token(people, text, NOW_MS, PEOPLE_UNKNOWN, "there is no sign-in token");
}

static void test_tells_no_secret(void **state) {
    TestFolder *folder = *state;
    PEOPLE_AUTO people = crowd_open(folder);
    char text[BEARER_TEXT_SIZE], id[BEARER_ID_SIZE] = "untouched";
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_token(people, "ada", text);
    assert_done(people_set_password(people, "ada", GOOD_PASSWORD, error));
    BUFFER_AUTO store = {0};
    assert_done(file_read(folder->fd, "people.json", 1 << 20, &store, error));
    assert_null(strstr(store.data, text + SECRET_AT));
    assert_null(strstr(store.data, GOOD_PASSWORD));
    Error problem = {0};
    Person person;
    text[BEARER_TEXT_SIZE - 2] = '1'; /* malformed */
    assert_int_equal(people_find_token(people, text, NOW_MS, &person, id, NULL, &problem), -1);
    text[BEARER_TEXT_SIZE - 2] = '\0';
    assert_null(strstr(problem.en, text + SECRET_AT));
    assert_null(strstr(problem.zh, text + SECRET_AT));
    assert_string_equal(id, "");
}

static void test_remembers_the_last_use_while_it_lives(void **state) {
    TestFolder *folder = *state;
    PEOPLE_AUTO people = crowd_open(folder);
    ARENA_AUTO arena = arena_new();
    char one[BEARER_TEXT_SIZE], two[BEARER_TEXT_SIZE];
    PeopleEntry *list = NULL;
    size_t count = 0;
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_token(people, "ada", one);
    crowd_token(people, "ada", two);
    crowd_assert_good(people, two, NOW_MS + 7);
    crowd_add(people, "bob", ROLE_VIEWER); /* reads the list anew */
    assert_done(people_list(people, arena, &list, &count, error));
    assert_int_equal(list[0].tokens[0].last_used_ms, 0);
    assert_int_equal(list[0].tokens[1].last_used_ms, NOW_MS + 7);
    PEOPLE_AUTO other = crowd_open(folder);
    assert_done(people_list(other, arena, &list, &count, error));
    assert_int_equal(list[0].tokens[1].last_used_ms, 0);
}

/* ---- Passwords ---- */

static void test_a_password_lets_in(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    crowd_add(people, "ada", ROLE_ADMIN);
    assert_password(people, "ada", GOOD_PASSWORD, PEOPLE_WRONG, "ada has no password");
    assert_done(people_set_password(people, "ada", GOOD_PASSWORD, error));
    assert_true(crowd_find(people, "ada").has_password);
    assert_password_good(people, "ada", GOOD_PASSWORD);
    assert_password(people, "ada", "correct horse battery staplf", PEOPLE_WRONG, "password of ada is wrong");
    assert_password(people, "ADA", GOOD_PASSWORD, PEOPLE_UNKNOWN, "nobody here");
    assert_done(people_set_password(people, "ada", "another one, of some length", error));
    assert_password(people, "ada", GOOD_PASSWORD, PEOPLE_WRONG, "password of ada is wrong");
    assert_password_good(people, "ada", "another one, of some length");
    assert_done(people_set_password(people, "ada", NULL, error));
    assert_password(people, "ada", "another one, of some length", PEOPLE_WRONG, "ada has no password");
}

static void test_the_password_of_another_will_not_do(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_add(people, "bob", ROLE_ADMIN);
    assert_done(people_set_password(people, "ada", GOOD_PASSWORD, error));
    assert_done(people_set_password(people, "bob", "another one, of some length", error));
    assert_password(people, "bob", GOOD_PASSWORD, PEOPLE_WRONG, "password of bob is wrong");
}

static void test_the_disabled_stay_outside(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    crowd_add(people, "bob", ROLE_OPERATOR);
    assert_done(people_set_password(people, "bob", GOOD_PASSWORD, error));
    assert_done(people_set_disabled(people, "bob", true, error));
    assert_password(people, "bob", GOOD_PASSWORD, PEOPLE_DISABLED, "bob is disabled");
    assert_password(people, "bob", "a wrong one of some length", PEOPLE_WRONG, "is wrong"); /* no more */
    assert_done(people_set_disabled(people, "bob", false, error));
    assert_password_good(people, "bob", GOOD_PASSWORD);
}

static void test_every_name_costs_one_hash(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_add(people, "none", ROLE_VIEWER);
    crowd_add(people, "off", ROLE_VIEWER);
    assert_done(people_set_password(people, "ada", GOOD_PASSWORD, error));
    assert_done(people_set_password(people, "off", GOOD_PASSWORD, error));
    assert_done(people_set_disabled(people, "off", true, error));
    static const char *const names[] = {"ada", "none", "off", "nobody", "", "../x", "a\nb", "%s%n", "\xff"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Person person;
        PeopleVerdict verdict = PEOPLE_GOOD;
        int before = atomic_load(&verifications);
        assert_int_equal(
            people_check_password(people, names[i], "guessed, and wrong", &person, &verdict, NULL), -1);
        assert_int_equal(verdict, i < 3 ? PEOPLE_WRONG : PEOPLE_UNKNOWN);
        assert_int_equal(atomic_load(&verifications), before + 1);
    }
}

static void test_an_unknown_name_is_not_repeated(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    Person person;
    Error problem = {0};
    assert_int_equal(
        people_check_password(people, "hunter2-my-password", GOOD_PASSWORD, &person, NULL, &problem), -1);
    assert_null(strstr(problem.en, "hunter2"));
    assert_null(strstr(problem.zh, "hunter2"));
}

static void test_passwords_past_all_measure_are_not_looked_at(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    char text[PASSWORD_MAX + 2];
    crowd_add(people, "ada", ROLE_ADMIN);
    memset(text, 'x', sizeof text);
    text[PASSWORD_MAX + 1] = '\0';
    int before = atomic_load(&verifications);
    assert_password(people, "ada", text, PEOPLE_MALFORMED, "1 to 256 bytes");
    assert_password(people, "ada", "", PEOPLE_MALFORMED, "1 to 256 bytes");
    assert_int_equal(atomic_load(&verifications), before);
}

static void disable_bob(void) { assert_done(people_set_disabled(during_people, "bob", true, error)); }
static void remove_bob(void) { assert_done(people_remove(during_people, "bob", error)); }
static void change_password_of_bob(void) {
    assert_done(people_set_password(during_people, "bob", "another one, of some length", error));
}
static void demote_bob(void) { assert_done(people_set_role(during_people, "bob", ROLE_VIEWER, error)); }

static void test_who_is_shut_out_meanwhile_stays_out(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    PEOPLE_AUTO other = crowd_open(*state);
    during_people = other; /* as another program */
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_add(people, "bob", ROLE_ADMIN);
    assert_done(people_set_password(people, "bob", GOOD_PASSWORD, error));
    during_verification = demote_bob;
    Person person = {.name = ""};
    assert_done(people_check_password(people, "bob", GOOD_PASSWORD, &person, NULL, error));
    assert_int_equal(person.role, ROLE_VIEWER);
    during_verification = disable_bob;
    assert_password(people, "bob", GOOD_PASSWORD, PEOPLE_DISABLED, "bob is disabled");
    assert_done(people_set_disabled(people, "bob", false, error));
    during_verification = change_password_of_bob;
    assert_password(people, "bob", GOOD_PASSWORD, PEOPLE_WRONG, "is wrong");
    during_verification = remove_bob;
    assert_password(people, "bob", "another one, of some length", PEOPLE_UNKNOWN, "nobody here");
}

/* Two are at it already: this one is the third. */
static void *check_as_well(void *result) {
    Person person;
    PeopleVerdict *verdict = result;
    people_check_password(during_people, "ada", GOOD_PASSWORD, &person, verdict, NULL);
    return NULL;
}

static PeopleVerdict third;
static void check_a_third(void) { check_as_well(&third); }
static void check_a_second(void) {
    PeopleVerdict second = PEOPLE_GOOD;
    during_verification = check_a_third;
    check_as_well(&second);
    assert_int_equal(second, PEOPLE_WRONG);
}

static void test_too_many_at_once_is_busy(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    during_people = people;
    crowd_add(people, "ada", ROLE_ADMIN);
    third = PEOPLE_GOOD;
    during_verification = check_a_second;
    assert_password(people, "ada", GOOD_PASSWORD, PEOPLE_WRONG, "has no password");
    assert_int_equal(third, PEOPLE_BUSY);
    assert_password(people, "ada", GOOD_PASSWORD, PEOPLE_WRONG, "has no password"); /* and room again */
}

/* ---- Lists that cannot be trusted ---- */

static void test_a_damaged_list_lets_nobody_in_until_it_is_mended(void **state) {
    TestFolder *folder = *state;
    PEOPLE_AUTO people = crowd_open(folder);
    char text[BEARER_TEXT_SIZE];
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_token(people, "ada", text);
    assert_done(people_set_password(people, "ada", GOOD_PASSWORD, error));
    BUFFER_AUTO store = {0}, after = {0};
    assert_done(file_read(folder->fd, "people.json", 1 << 20, &store, error));
    crowd_assert_good(people, text, NOW_MS);
    assert_done(file_replace(folder->fd, "people.json", store.data, store.size - 1, 0600, error));
    for (int i = 0; i < 2; i++) { /* and it is not forgotten that it is */
        crowd_assert_token(people, text, NOW_MS, PEOPLE_UNDECIDED, "list of people is damaged");
        assert_password(people, "ada", GOOD_PASSWORD, PEOPLE_UNDECIDED, "list of people is damaged");
        assert_refused(people_add(people, "eve", ROLE_ADMIN, NOW_MS, error), ERROR_INVALID, "is damaged");
    }
    People *none = NULL;
    assert_refused(people_open(folder->path, &none, error), ERROR_INVALID, "is damaged");
    assert_null(none);
    assert_done(file_read(folder->fd, "people.json", 1 << 20, &after, error));
    assert_int_equal(after.size, store.size - 1); /* nobody wrote over it */
    assert_done(file_replace(folder->fd, "people.json", store.data, store.size, 0600, error));
    crowd_assert_good(people, text, NOW_MS);
}

static void test_a_list_that_is_gone_lets_nobody_in(void **state) {
    TestFolder *folder = *state;
    PEOPLE_AUTO people = crowd_open(folder);
    char text[BEARER_TEXT_SIZE];
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_token(people, "ada", text);
    crowd_assert_good(people, text, NOW_MS);
    assert_int_equal(unlinkat(folder->fd, "people.json", 0), 0);
    crowd_assert_token(people, text, NOW_MS, PEOPLE_UNKNOWN, "there is no sign-in token");
}

static void test_others_may_neither_read_nor_write(void **state) {
    TestFolder *folder = *state;
    PEOPLE_AUTO people = crowd_open(folder);
    char text[BEARER_TEXT_SIZE];
    People *none = NULL;
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_token(people, "ada", text);
    static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(fchmodat(folder->fd, "people.json", modes[i], 0), 0);
        crowd_assert_token(people, text, NOW_MS, PEOPLE_UNDECIDED, "read or written by others");
        assert_refused(people_open(folder->path, &none, error), ERROR_REFUSED, "read or written by others");
    }
    assert_int_equal(fchmodat(folder->fd, "people.json", 0600, 0), 0);
    crowd_assert_good(people, text, NOW_MS);
    static const mode_t folders[] = {0777, 0720, 0702};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        assert_int_equal(fchmod(folder->fd, folders[i]), 0);
        crowd_assert_token(people, text, NOW_MS, PEOPLE_UNDECIDED, "written by others");
        assert_refused(people_add(people, "eve", ROLE_ADMIN, NOW_MS, error), ERROR_REFUSED,
                       "written by others");
        assert_refused(people_open(folder->path, &none, error), ERROR_REFUSED, "written by others");
    }
    assert_int_equal(fchmod(folder->fd, 0700), 0);
    crowd_assert_good(people, text, NOW_MS);
}

static void test_a_folder_is_made_for_the_first(void **state) {
    TestFolder *folder = *state;
    PEOPLE_AUTO people = NULL;
    FREE_AUTO char *path = file_join(folder->path, "state/people");
    assert_done(people_open(path, &people, error));
    crowd_add(people, "ada", ROLE_ADMIN);
    struct stat status;
    assert_int_equal(fstatat(folder->fd, "state/people", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(fstatat(folder->fd, "state/people/people.json", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

/* ---- Threads ---- */

enum { SIGNERS = 4, SIGNINGS = 400 };

static char shared_text[BEARER_TEXT_SIZE];

static void *sign_in_often(void *shared) {
    People *people = shared;
    for (int i = 0; i < SIGNINGS; i++) {
        Person person;
        if (people_find_token(people, shared_text, NOW_MS + i, &person, NULL, NULL, NULL) < 0) return NULL;
        if (strcmp(person.name, "ada") != 0) return NULL;
    }
    return shared;
}

static void test_many_threads_sign_in_while_the_list_changes(void **state) {
    PEOPLE_AUTO people = crowd_open(*state);
    PEOPLE_AUTO other = crowd_open(*state);
    pthread_t threads[SIGNERS];
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_token(people, "ada", shared_text);
    for (size_t i = 0; i < SIGNERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_in_often, people), 0);
    for (int i = 0; i < 20; i++) {
        People *writer = i % 2 ? people : other;
        crowd_add(writer, "bob", ROLE_VIEWER);
        assert_done(people_remove(writer, "bob", error));
    }
    for (size_t i = 0; i < SIGNERS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_token_tells_whose_it_is),
        test_in_folder(test_a_token_expires),
        test_in_folder(test_a_clock_that_goes_back_lets_nobody_else_in),
        test_in_folder(test_refuses_secrets_that_differ_in_one_character),
        test_in_folder(test_a_wrong_secret_learns_nothing_more),
        test_in_folder(test_the_secret_of_another_token_will_not_do),
        test_in_folder(test_refuses_what_is_no_token),
        test_in_folder(test_tells_no_secret),
        test_in_folder(test_remembers_the_last_use_while_it_lives),
        test_in_folder(test_a_password_lets_in),
        test_in_folder(test_the_password_of_another_will_not_do),
        test_in_folder(test_the_disabled_stay_outside),
        test_in_folder(test_every_name_costs_one_hash),
        test_in_folder(test_an_unknown_name_is_not_repeated),
        test_in_folder(test_passwords_past_all_measure_are_not_looked_at),
        test_in_folder(test_who_is_shut_out_meanwhile_stays_out),
        test_in_folder(test_too_many_at_once_is_busy),
        test_in_folder(test_a_damaged_list_lets_nobody_in_until_it_is_mended),
        test_in_folder(test_a_list_that_is_gone_lets_nobody_in),
        test_in_folder(test_others_may_neither_read_nor_write),
        test_in_folder(test_a_folder_is_made_for_the_first),
        test_in_folder(test_many_threads_sign_in_while_the_list_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
