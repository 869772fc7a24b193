/* Crowd: people to sign in, in a folder of their own, for the tests of people and of what builds on them. */
#pragma once
#include "support/sample.h"

#include "trust/people.h"

#define NOW_MS        ((int64_t)1800000000000)
#define HOUR_MS       ((int64_t)60 * 60 * 1000)
#define GOOD_PASSWORD "correct horse battery staple"

static inline People *crowd_open(const TestFolder *folder) {
    People *people = NULL;
    assert_done(people_open(folder->path, &people, error));
    return people;
}

static inline void crowd_add(People *people, const char *name, Role role) {
    assert_done(people_add(people, name, role, NOW_MS, error));
}

/* Valid for an hour. */
static inline void crowd_token(People *people, const char *name, char text[static BEARER_TEXT_SIZE]) {
    PeopleTokenRequest request = {.name = name, .label = "laptop", .valid_ms = HOUR_MS};
    assert_done(people_token_make(people, &request, NOW_MS, text, error));
}

static inline Person crowd_find(People *people, const char *name) {
    Person person = {.name = ""};
    assert_done(people_find(people, name, &person, error));
    return person;
}

/* The token must be refused so, with these words. */
static inline void crowd_assert_token(People *people, const char *text, int64_t now_ms,
                                      PeopleVerdict expected, const char *words) {
    Person person = {.name = "untouched"};
    PeopleVerdict verdict = PEOPLE_GOOD;
    Error problem = {0};
    assert_int_equal(people_find_token(people, text, now_ms, &person, NULL, &verdict, &problem), -1);
    assert_int_equal(verdict, expected);
    if (!strstr(problem.en, words)) fail_msg("%s", problem.en);
    assert_string_equal(person.name, "untouched");
}

static inline Person crowd_assert_good(People *people, const char *text, int64_t now_ms) {
    Person person = {.name = ""};
    PeopleVerdict verdict = PEOPLE_UNDECIDED;
    assert_done(people_find_token(people, text, now_ms, &person, NULL, &verdict, error));
    assert_int_equal(verdict, PEOPLE_GOOD);
    return person;
}
