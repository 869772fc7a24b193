#include "trust/sign_in.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct Entry {
    char id[BEARER_ID_SIZE];
    char name[PERSON_NAME_SIZE];
    char stamp[BEARER_ID_SIZE]; /* the person's, at that time */
    Digest hash;
    int64_t made_ms;
    uint64_t number; /* of all that were ever made: the least is the oldest */
} Entry;

struct SignIns {
    People *people;
    pthread_mutex_t lock; /* of what follows; not held while `people` is asked */
    uint64_t made;
    size_t count;
    Entry entries[SIGN_INS_MAX]; /* in no order */
};

SignIns *sign_in_new(People *people) {
    SignIns *sign_ins = calloc(1, sizeof *sign_ins);
    if (!sign_ins || pthread_mutex_init(&sign_ins->lock, NULL) != 0) abort();
    sign_ins->people = people;
    return sign_ins;
}

void sign_in_free(SignIns *sign_ins) {
    if (!sign_ins) return;
    pthread_mutex_destroy(&sign_ins->lock);
    free(sign_ins);
}

static Entry *find(SignIns *sign_ins, const char *id) {
    for (size_t i = 0; i < sign_ins->count; i++)
        if (strcmp(sign_ins->entries[i].id, id) == 0) return &sign_ins->entries[i];
    return NULL;
}

static void drop(SignIns *sign_ins, Entry *entry) {
    assert(entry);
    *entry = sign_ins->entries[--sign_ins->count];
}

/* Of that person, or with NULL of all; how many there are in *count. */
static Entry *oldest_of(SignIns *sign_ins, const char *name, size_t *count) {
    Entry *oldest = NULL;
    *count = 0;
    for (size_t i = 0; i < sign_ins->count; i++) {
        Entry *entry = &sign_ins->entries[i];
        if (name && strcmp(entry->name, name) != 0) continue;
        ++*count;
        if (!oldest || entry->number < oldest->number) oldest = entry;
    }
    return oldest;
}

static void make_room(SignIns *sign_ins, const char *name) {
    size_t count = 0;
    Entry *oldest = oldest_of(sign_ins, name, &count);
    if (count >= SIGN_INS_EACH_MAX) drop(sign_ins, oldest);
    oldest = oldest_of(sign_ins, NULL, &count);
    if (count >= SIGN_INS_MAX) drop(sign_ins, oldest);
}

void sign_in_make(SignIns *sign_ins, const Person *person, int64_t now_ms,
                  char text[static BEARER_TEXT_SIZE]) {
    BEARER_AUTO bearer = {.id = ""};
    assert(person);
    bearer_new_secret(&bearer);
    pthread_mutex_lock(&sign_ins->lock);
    make_room(sign_ins, person->name);
    do bearer_new_id(&bearer);
    while (find(sign_ins, bearer.id));
    Entry *entry = &sign_ins->entries[sign_ins->count++];
    *entry = (Entry){.hash = bearer_hash(&bearer), .made_ms = now_ms, .number = sign_ins->made++};
    memcpy(entry->id, bearer.id, sizeof entry->id);
    memcpy(entry->name, person->name, sizeof entry->name);
    memcpy(entry->stamp, person->stamp, sizeof entry->stamp);
    pthread_mutex_unlock(&sign_ins->lock);
    bearer_to_text(&bearer, SIGN_IN_PREFIX, text);
}

/* No sum that could overflow: both may be any time. */
static bool has_ended(const Entry *entry, int64_t now_ms) {
    return now_ms < entry->made_ms || (uint64_t)now_ms - (uint64_t)entry->made_ms >= SIGN_IN_LIFE_MS;
}

/* The secret first; what has ended goes. */
static PeopleVerdict look_up(SignIns *sign_ins, const Bearer *bearer, int64_t now_ms, Entry *out) {
    PeopleVerdict verdict = PEOPLE_GOOD;
    pthread_mutex_lock(&sign_ins->lock);
    Entry *entry = find(sign_ins, bearer->id);
    if (!bearer_fits(bearer, entry ? &entry->hash : NULL)) {
        verdict = entry ? PEOPLE_WRONG : PEOPLE_UNKNOWN;
    } else if (assert(entry), has_ended(entry, now_ms)) { /* nothing fits an entry that is not there */
        verdict = PEOPLE_EXPIRED;
        drop(sign_ins, entry);
    } else {
        *out = *entry;
    }
    pthread_mutex_unlock(&sign_ins->lock);
    return verdict;
}

static void end(SignIns *sign_ins, const Bearer *bearer) {
    pthread_mutex_lock(&sign_ins->lock);
    Entry *entry = find(sign_ins, bearer->id);
    if (bearer_fits(bearer, entry ? &entry->hash : NULL)) drop(sign_ins, entry);
    pthread_mutex_unlock(&sign_ins->lock);
}

static int refuse(PeopleVerdict verdict, const char *id, Error *error) {
    switch (verdict) {
    case PEOPLE_UNKNOWN: error_set(error, ERROR_REFUSED, "there is no sign-in %s here", id); break;
    case PEOPLE_WRONG: error_set(error, ERROR_REFUSED, "the secret of the sign-in %s is wrong", id); break;
    case PEOPLE_EXPIRED: error_set(error, ERROR_REFUSED, "the sign-in %s has ended", id); break;
    default:
        error_set(error, ERROR_REFUSED, "the sign-in %s has ended: that person was changed since", id);
        break;
    }
    return error_hint(error, "sign in again");
}

/* Is whoever signed in still the same? The error is set only where that is not decided. */
static PeopleVerdict look_at_person(SignIns *sign_ins, const Entry *entry, Person *out, Error *error) {
    Person person;
    Error problem = {0};
    if (people_find(sign_ins->people, entry->name, &person, &problem) < 0) {
        if (problem.number == ENOENT) return PEOPLE_CHANGED;
        if (error) *error = problem;
        return PEOPLE_UNDECIDED; /* it is good again when the list is */
    }
    if (person.is_disabled || strcmp(person.stamp, entry->stamp) != 0) return PEOPLE_CHANGED;
    *out = person;
    return PEOPLE_GOOD;
}

static PeopleVerdict check(SignIns *sign_ins, const Bearer *bearer, int64_t now_ms, Person *out,
                           Error *error) {
    Entry entry;
    PeopleVerdict verdict = look_up(sign_ins, bearer, now_ms, &entry);
    if (verdict == PEOPLE_GOOD) verdict = look_at_person(sign_ins, &entry, out, error);
    if (verdict == PEOPLE_CHANGED) end(sign_ins, bearer);
    if (verdict != PEOPLE_GOOD && verdict != PEOPLE_UNDECIDED) refuse(verdict, bearer->id, error);
    return verdict;
}

int sign_in_check(SignIns *sign_ins, const char *text, int64_t now_ms, Person *out, char id[BEARER_ID_SIZE],
                  PeopleVerdict *verdict, Error *error) {
    BEARER_AUTO bearer = {.id = ""};
    PeopleVerdict found = PEOPLE_MALFORMED;
    bool is_one = bearer_take(text, SIGN_IN_PREFIX, '\0', &bearer);
    if (id) memcpy(id, is_one ? bearer.id : "", is_one ? sizeof bearer.id : 1);
    if (is_one) {
        found = check(sign_ins, &bearer, now_ms, out, error);
    } else {
        error_set(error, ERROR_REFUSED, "that is no sign-in: one is %d characters and begins with %s",
                  BEARER_TEXT_SIZE - 1, SIGN_IN_PREFIX);
        error_hint(error, "sign in again");
    }
    if (verdict) *verdict = found;
    return found == PEOPLE_GOOD ? 0 : -1;
}

void sign_in_end(SignIns *sign_ins, const char *text) {
    BEARER_AUTO bearer = {.id = ""};
    if (bearer_take(text, SIGN_IN_PREFIX, '\0', &bearer)) end(sign_ins, &bearer);
}
