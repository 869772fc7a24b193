#include "support/crowd.h"
#include "trust/sign_in.h"

#include "base/cleanup.h"
#include "base/file.h"
#include <pthread.h>
#include <string.h>

enum { ID_AT = 5, SECRET_AT = 16 };

static void make(SignIns *sign_ins, People *people, const char *name, int64_t now_ms,
                 char text[static BEARER_TEXT_SIZE]) {
    Person person = crowd_find(people, name);
    sign_in_make(sign_ins, &person, now_ms, text);
}

static bool is_good(SignIns *sign_ins, const char *text, int64_t now_ms) {
    Person person;
    return sign_in_check(sign_ins, text, now_ms, &person, NULL, NULL, NULL) == 0;
}

static void assert_good(SignIns *sign_ins, const char *text, int64_t now_ms, const char *name) {
    Person person = {.name = ""};
    PeopleVerdict verdict = PEOPLE_UNDECIDED;
    char id[BEARER_ID_SIZE] = "";
    assert_done(sign_in_check(sign_ins, text, now_ms, &person, id, &verdict, error));
    assert_int_equal(verdict, PEOPLE_GOOD);
    assert_string_equal(person.name, name);
    assert_memory_equal(id, text + ID_AT, BEARER_ID_SIZE - 1);
}

static void assert_bad(SignIns *sign_ins, const char *text, int64_t now_ms, PeopleVerdict expected,
                       const char *words) {
    Person person = {.name = "untouched"};
    PeopleVerdict verdict = PEOPLE_GOOD;
    Error problem = {0};
    assert_int_equal(sign_in_check(sign_ins, text, now_ms, &person, NULL, &verdict, &problem), -1);
    assert_int_equal(verdict, expected);
    if (!strstr(problem.en, words)) fail_msg("%s", problem.en);
    assert_string_equal(person.name, "untouched");
}

/* Somebody of each kind. */
static People *crowd(void **state) {
    People *people = crowd_open(*state);
    crowd_add(people, "ada", ROLE_ADMIN);
    crowd_add(people, "bob", ROLE_OPERATOR);
    return people;
}

static void test_lasts_for_its_life(void **state) {
    PEOPLE_AUTO people = crowd(state);
    SIGN_IN_AUTO sign_ins = sign_in_new(people);
    char text[BEARER_TEXT_SIZE];
    make(sign_ins, people, "bob", 1000, text);
    assert_memory_equal(text, "upks-", 5);
    assert_good(sign_ins, text, 1000, "bob");
    assert_good(sign_ins, text, 1000 + SIGN_IN_LIFE_MS - 1, "bob");
    assert_bad(sign_ins, text, 1000 + SIGN_IN_LIFE_MS, PEOPLE_EXPIRED, "has ended");
    assert_bad(sign_ins, text, 1001, PEOPLE_UNKNOWN, "there is no sign-in"); /* no time brings it back */
}

static void test_a_time_before_it_was_made_ends_it(void **state) {
    PEOPLE_AUTO people = crowd(state);
    SIGN_IN_AUTO sign_ins = sign_in_new(people);
    char text[BEARER_TEXT_SIZE];
    static const int64_t times[] = {999, 0, -1, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        make(sign_ins, people, "bob", 1000, text);
        assert_bad(sign_ins, text, times[i], PEOPLE_EXPIRED, "has ended");
    }
    make(sign_ins, people, "bob", INT64_MIN, text);
    assert_bad(sign_ins, text, INT64_MAX, PEOPLE_EXPIRED, "has ended");
}

static void test_refuses_secrets_that_differ_in_one_character(void **state) {
    PEOPLE_AUTO people = crowd(state);
    SIGN_IN_AUTO sign_ins = sign_in_new(people);
    char text[BEARER_TEXT_SIZE], other[BEARER_TEXT_SIZE];
    make(sign_ins, people, "bob", 1000, text);
    for (size_t i = SECRET_AT; i < BEARER_TEXT_SIZE - 1; i++) {
        memcpy(other, text, sizeof other);
        other[i] = other[i] == 'a' ? 'b' : 'a';
        assert_bad(sign_ins, other, 1000, PEOPLE_WRONG, "is wrong");
        sign_in_end(sign_ins, other);                                     /* nor can it end it */
        assert_bad(sign_ins, other, INT64_MAX, PEOPLE_WRONG, "is wrong"); /* or learn that it has ended */
    }
    assert_good(sign_ins, text, 1000, "bob");
}

static void test_refuses_what_is_none(void **state) {
    PEOPLE_AUTO people = crowd(state);
    SIGN_IN_AUTO sign_ins = sign_in_new(people);
    char text[BEARER_TEXT_SIZE], bad[BEARER_TEXT_SIZE + 1];
    make(sign_ins, people, "bob", 1000, text);
    for (size_t size = 0; size < BEARER_TEXT_SIZE - 1; size++) {
        memcpy(bad, text, size);
        bad[size] = '\0';
        assert_bad(sign_ins, bad, 1000, PEOPLE_MALFORMED, "that is no sign-in");
        sign_in_end(sign_ins, bad);
    }
    snprintf(bad, sizeof bad, "%sa", text);
    assert_bad(sign_ins, bad, 1000, PEOPLE_MALFORMED, "that is no sign-in");
    memcpy(bad, text, sizeof text);
    memcpy(bad, "upkp-", 5); /* a token is no sign-in */
    assert_bad(sign_ins, bad, 1000, PEOPLE_MALFORMED, "that is no sign-in");
    bad[0] = '\0';
    char id[BEARER_ID_SIZE] = "untouched";
    Person person;
    assert_int_equal(sign_in_check(sign_ins, bad, 1000, &person, id, NULL, NULL), -1);
    assert_string_equal(id, "");
    assert_good(sign_ins, text, 1000, "bob");
}

static void test_whoever_leaves_is_gone(void **state) {
    PEOPLE_AUTO people = crowd(state);
    SIGN_IN_AUTO sign_ins = sign_in_new(people);
    char one[BEARER_TEXT_SIZE], two[BEARER_TEXT_SIZE];
    make(sign_ins, people, "bob", 1000, one);
    make(sign_ins, people, "bob", 1000, two);
    sign_in_end(sign_ins, one);
    sign_in_end(sign_ins, one);
    assert_bad(sign_ins, one, 1000, PEOPLE_UNKNOWN, "there is no sign-in");
    assert_good(sign_ins, two, 1000, "bob");
}

/* ---- Persons who change ---- */

static void demote(People *people) { assert_done(people_set_role(people, "bob", ROLE_VIEWER, error)); }
static void promote(People *people) { assert_done(people_set_role(people, "bob", ROLE_ADMIN, error)); }
static void disable(People *people) { assert_done(people_set_disabled(people, "bob", true, error)); }
static void disable_for_a_moment(People *people) {
    assert_done(people_set_disabled(people, "bob", true, error));
    assert_done(people_set_disabled(people, "bob", false, error));
}
static void drop(People *people) { assert_done(people_remove(people, "bob", error)); }
static void drop_and_add_again(People *people) {
    assert_done(people_remove(people, "bob", error));
    crowd_add(people, "bob", ROLE_OPERATOR);
}
static void change_password(People *people) {
    assert_done(people_set_password(people, "bob", GOOD_PASSWORD, error));
}

static void test_ends_at_once_with_what_it_stands_for(void **state) {
    TestFolder *folder = *state;
    static void (*const changes[])(People *) = {
        demote, promote, disable, disable_for_a_moment, drop, drop_and_add_again, change_password};
    PEOPLE_AUTO people = crowd_open(folder);
    PEOPLE_AUTO elsewhere = crowd_open(folder); /* another program */
    SIGN_IN_AUTO sign_ins = sign_in_new(people);
    crowd_add(people, "ada", ROLE_ADMIN);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char text[BEARER_TEXT_SIZE], ada[BEARER_TEXT_SIZE];
        people_remove(people, "bob", NULL);
        crowd_add(people, "bob", ROLE_OPERATOR);
        make(sign_ins, people, "bob", 1000, text);
        make(sign_ins, people, "ada", 1000, ada);
        assert_good(sign_ins, text, 1000, "bob");
        changes[i](elsewhere);
        assert_bad(sign_ins, text, 1001, PEOPLE_CHANGED, "was changed since");
        assert_bad(sign_ins, text, 1001, PEOPLE_UNKNOWN, "there is no sign-in"); /* and for good */
        assert_good(sign_ins, ada, 1001, "ada");
    }
}

static void test_a_person_who_was_disabled_meanwhile_cannot_begin(void **state) {
    PEOPLE_AUTO people = crowd(state);
    SIGN_IN_AUTO sign_ins = sign_in_new(people);
    char text[BEARER_TEXT_SIZE];
    Person bob = crowd_find(people, "bob");
    assert_done(people_set_disabled(people, "bob", true, error));
    sign_in_make(sign_ins, &bob, 1000, text); /* between the check of the password and this */
    assert_bad(sign_ins, text, 1000, PEOPLE_CHANGED, "was changed since");
    bob = crowd_find(people, "bob");
    sign_in_make(sign_ins, &bob, 1000, text);
    assert_bad(sign_ins, text, 1000, PEOPLE_CHANGED, "was changed since");
}

static void test_a_damaged_list_ends_nothing_and_lets_nobody_in(void **state) {
    TestFolder *folder = *state;
    PEOPLE_AUTO people = crowd(state);
    SIGN_IN_AUTO sign_ins = sign_in_new(people);
    char text[BEARER_TEXT_SIZE];
    BUFFER_AUTO store = {0};
    make(sign_ins, people, "bob", 1000, text);
    assert_done(file_read(folder->fd, "people.json", 1 << 20, &store, error));
    assert_done(file_replace(folder->fd, "people.json", "{", 1, 0600, error));
    assert_bad(sign_ins, text, 1000, PEOPLE_UNDECIDED, "list of people is damaged");
    assert_done(file_replace(folder->fd, "people.json", store.data, store.size, 0600, error));
    assert_good(sign_ins, text, 1000, "bob");
}

static void test_a_token_does_not_end_a_sign_in(void **state) {
    PEOPLE_AUTO people = crowd(state);
    SIGN_IN_AUTO sign_ins = sign_in_new(people);
    char text[BEARER_TEXT_SIZE], token[BEARER_TEXT_SIZE];
    make(sign_ins, people, "bob", 1000, text);
    crowd_token(people, "bob", token);
    assert_good(sign_ins, text, 1000, "bob");
    assert_bad(sign_ins, token, 1000, PEOPLE_MALFORMED, "that is no sign-in");
}

/* ---- Limits ---- */

static void test_one_person_has_so_many(void **state) {
    PEOPLE_AUTO people = crowd(state);
    SIGN_IN_AUTO sign_ins = sign_in_new(people);
    char ada[BEARER_TEXT_SIZE], texts[SIGN_INS_EACH_MAX + 2][BEARER_TEXT_SIZE];
    make(sign_ins, people, "ada", 1000, ada);
    for (size_t i = 0; i < SIGN_INS_EACH_MAX + 2; i++) make(sign_ins, people, "bob", 1000, texts[i]);
    for (size_t i = 0; i < SIGN_INS_EACH_MAX + 2; i++)
        assert_int_equal(is_good(sign_ins, texts[i], 1000), i >= 2); /* the oldest are gone */
    assert_good(sign_ins, ada, 1000, "ada");
}

static void test_a_flood_takes_no_more_memory(void **state) {
    PEOPLE_AUTO people = crowd(state);
    SIGN_IN_AUTO sign_ins = sign_in_new(people);
    char first[BEARER_TEXT_SIZE], second[BEARER_TEXT_SIZE], text[BEARER_TEXT_SIZE];
    make(sign_ins, people, "ada", 1000, first);
    make(sign_ins, people, "bob", 1000, second);
    for (int i = 0; i < SIGN_INS_MAX - 1; i++) { /* all of others */
        Person other = {.stamp = "abcdefghij"};
        snprintf(other.name, sizeof other.name, "p%d", i);
        sign_in_make(sign_ins, &other, 1000, text);
    }
    assert_bad(sign_ins, first, 1000, PEOPLE_UNKNOWN, "there is no sign-in");
    assert_good(sign_ins, second, 1000, "bob");
    make(sign_ins, people, "ada", 1000, first);
    assert_bad(sign_ins, second, 1000, PEOPLE_UNKNOWN, "there is no sign-in");
    assert_good(sign_ins, first, 1000, "ada");
}

/* ---- Threads ---- */

enum { SIGNERS = 4, SIGNINGS = 200 };

typedef struct Shared {
    SignIns *sign_ins;
    Person person;
} Shared;

static void *come_and_go(void *argument) {
    const Shared *shared = argument;
    for (int i = 0; i < SIGNINGS; i++) {
        char text[BEARER_TEXT_SIZE];
        sign_in_make(shared->sign_ins, &shared->person, 1000, text);
        if (!is_good(shared->sign_ins, text, 1000)) return NULL;
        sign_in_end(shared->sign_ins, text);
        if (is_good(shared->sign_ins, text, 1000)) return NULL;
    }
    return argument;
}

static void test_many_threads_come_and_go(void **state) {
    PEOPLE_AUTO people = crowd(state);
    SIGN_IN_AUTO sign_ins = sign_in_new(people);
    Shared shared = {sign_ins, crowd_find(people, "bob")};
    pthread_t threads[SIGNERS];
    for (size_t i = 0; i < SIGNERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &shared), 0);
    for (size_t i = 0; i < SIGNERS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_lasts_for_its_life),
        test_in_folder(test_a_time_before_it_was_made_ends_it),
        test_in_folder(test_refuses_secrets_that_differ_in_one_character),
        test_in_folder(test_refuses_what_is_none),
        test_in_folder(test_whoever_leaves_is_gone),
        test_in_folder(test_ends_at_once_with_what_it_stands_for),
        test_in_folder(test_a_person_who_was_disabled_meanwhile_cannot_begin),
        test_in_folder(test_a_damaged_list_ends_nothing_and_lets_nobody_in),
        test_in_folder(test_a_token_does_not_end_a_sign_in),
        test_in_folder(test_one_person_has_so_many),
        test_in_folder(test_a_flood_takes_no_more_memory),
        test_in_folder(test_many_threads_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
