#include "trust/people.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "trust/people_room.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

int people_open(const char *path, People **out, Error *error) {
    FD_AUTO dir = -1;
    PeopleFile *file = NULL;
    if (file_make_dirs(path, 0700, error) < 0 || file_open_dir(path, &dir, error) < 0 ||
        file_check_private(dir, path, error) < 0 || people_file_load(dir, &file, error) < 0)
        return error_prefix(error, "cannot tell who may sign in");
    People *people = calloc(1, sizeof *people);
    if (!people || !(people->path = strdup(path)) || pthread_mutex_init(&people->lock, NULL) != 0) abort();
    people->dir = fd_take(&dir);
    people->file = file;
    *out = people;
    return 0;
}

void people_close(People *people) {
    if (!people) return;
    people_file_free(people->file);
    pthread_mutex_destroy(&people->lock);
    close(people->dir);
    free(people->path);
    free(people);
}

static void keep_uses(const PeopleFile *from, PeopleFile *to) {
    for (size_t i = 0; i < to->count; i++)
        for (size_t j = 0; j < to->records[i].token_count; j++) {
            PersonToken *token = &to->records[i].tokens[j].token;
            PeopleRecord *owner = NULL;
            const PeopleToken *known = people_file_find_token(from, token->id, &owner);
            if (known) token->last_used_ms = known->token.last_used_ms;
        }
}

int people_refresh(People *people, Error *error) {
    PeopleFile *file = NULL;
    if (file_check_private(people->dir, people->path, error) < 0)
        return error_prefix(error, "cannot tell who may sign in");
    if (people_file_is_current(people->dir, people->file)) return 0;
    if (people_file_load(people->dir, &file, error) < 0)
        return error_prefix(error, "cannot tell who may sign in");
    keep_uses(people->file, file);
    people_file_free(people->file);
    people->file = file;
    return 0;
}

/* ---- Signing in ---- */

/* The secret first: nobody learns of a token what its bearer alone may know. */
static PeopleVerdict judge_token(const Bearer *bearer, const PeopleToken *token, const PeopleRecord *owner,
                                 int64_t now_ms) {
    bool is_same = bearer_fits(bearer, token ? &token->hash : NULL);
    if (!token) return PEOPLE_UNKNOWN;
    if (!is_same) return PEOPLE_WRONG;
    if (now_ms >= token->token.expires_ms) return PEOPLE_EXPIRED;
    return owner->person.is_disabled ? PEOPLE_DISABLED : PEOPLE_GOOD;
}

static int refuse_token(PeopleVerdict verdict, const char *id, const char *name, Error *error) {
    switch (verdict) {
    case PEOPLE_UNKNOWN: return error_set(error, ERROR_REFUSED, "there is no sign-in token %s here", id);
    case PEOPLE_WRONG:
        return error_set(error, ERROR_REFUSED, "the secret of the sign-in token %s is wrong", id);
    case PEOPLE_DISABLED:
        error_set(error, ERROR_REFUSED, "the sign-in token %s is of %s, who is disabled", id, name);
        return error_hint(error, "an administrator can enable that person again");
    default:
        error_set(error, ERROR_REFUSED, "the sign-in token %s of %s has expired", id, name);
        return error_hint(error, "make a new one");
    }
}

/* With the lock held. */
static PeopleVerdict find_token(People *people, const Bearer *bearer, int64_t now_ms, Person *out,
                                Error *error) {
    PeopleRecord *owner = NULL;
    if (people_refresh(people, error) < 0) return PEOPLE_UNDECIDED;
    PeopleToken *token = people_file_find_token(people->file, bearer->id, &owner);
    PeopleVerdict verdict = judge_token(bearer, token, owner, now_ms);
    if (verdict == PEOPLE_GOOD) {
        *out = owner->person;
        if (now_ms > token->token.last_used_ms) token->token.last_used_ms = now_ms;
    } else {
        refuse_token(verdict, bearer->id, owner ? owner->person.name : "", error);
    }
    return verdict;
}

int people_find_token(People *people, const char *text, int64_t now_ms, Person *out,
                      char token_id[BEARER_ID_SIZE], PeopleVerdict *verdict, Error *error) {
    BEARER_AUTO bearer = {.id = ""};
    PeopleVerdict found = PEOPLE_MALFORMED;
    if (token_id) token_id[0] = '\0';
    if (bearer_take(text, PEOPLE_TOKEN_PREFIX, '\0', &bearer)) {
        if (token_id) memcpy(token_id, bearer.id, sizeof bearer.id);
        pthread_mutex_lock(&people->lock);
        found = find_token(people, &bearer, now_ms, out, error);
        pthread_mutex_unlock(&people->lock);
    } else {
        error_set(error, ERROR_REFUSED, "that is no sign-in token: one is %d characters and begins with %s",
                  BEARER_TEXT_SIZE - 1, PEOPLE_TOKEN_PREFIX);
        error_hint(error, "copy the whole of it");
    }
    if (verdict) *verdict = found;
    return found == PEOPLE_GOOD ? 0 : -1;
}

/* What is known of a name at one moment; all zero when nobody has it. */
typedef struct Known {
    Person person;
    char password[PASSWORD_HASH_SIZE];
} Known;

static int look_up(People *people, const char *name, Known *out, Error *error) {
    pthread_mutex_lock(&people->lock);
    int result = people_refresh(people, error);
    const PeopleRecord *record = result == 0 ? people_file_find(people->file, name) : NULL;
    *out = (Known){.password = ""};
    if (record) {
        out->person = record->person;
        memcpy(out->password, record->password, sizeof out->password);
    }
    pthread_mutex_unlock(&people->lock);
    return result;
}

/* The name of the unknown is not said: it may be a password that was typed into the wrong field. */
static PeopleVerdict judge_password(const Known *known, bool is_right, Error *error) {
    const Person *person = &known->person;
    if (!person->name[0]) {
        error_set(error, ERROR_REFUSED, "nobody here has the name that was given");
        return PEOPLE_UNKNOWN;
    }
    if (!person->has_password) {
        error_set(error, ERROR_REFUSED, "%s has no password", person->name);
        error_hint(error, "an administrator can set one");
        return PEOPLE_WRONG;
    }
    if (!is_right) {
        error_set(error, ERROR_REFUSED, "the password of %s is wrong", person->name);
        return PEOPLE_WRONG;
    }
    if (!person->is_disabled) return PEOPLE_GOOD;
    error_set(error, ERROR_REFUSED, "%s is disabled", person->name);
    error_hint(error, "an administrator can enable that person again");
    return PEOPLE_DISABLED;
}

static PeopleVerdict check_password(People *people, const char *name, const char *password, Person *out,
                                    Error *error) {
    Known known, still;
    bool is_right = false;
    Error problem = {0};
    if (look_up(people, name, &known, error) < 0) return PEOPLE_UNDECIDED;
    if (password_check(known.person.has_password ? known.password : NULL, password, &is_right, &problem) <
        0) {
        if (error) *error = problem;
        return problem.number == EBUSY ? PEOPLE_BUSY : PEOPLE_UNDECIDED;
    }
    /* That took a while: whoever was shut out meanwhile stays out. */
    if (look_up(people, name, &still, error) < 0) return PEOPLE_UNDECIDED;
    is_right = is_right && strcmp(still.password, known.password) == 0;
    PeopleVerdict verdict = judge_password(&still, is_right, error);
    if (verdict == PEOPLE_GOOD) *out = still.person;
    return verdict;
}

int people_check_password(People *people, const char *name, const char *password, Person *out,
                          PeopleVerdict *verdict, Error *error) {
    PeopleVerdict found = PEOPLE_MALFORMED;
    size_t length = strnlen(password, PASSWORD_MAX + 1);
    if (length > 0 && length <= PASSWORD_MAX)
        found = check_password(people, name, password, out, error);
    else
        error_set(error, ERROR_REFUSED, "that is no password: one has 1 to %d bytes", (int)PASSWORD_MAX);
    if (verdict) *verdict = found;
    return found == PEOPLE_GOOD ? 0 : -1;
}

/* ---- Looking ---- */

static void list(const PeopleFile *file, Arena *arena, PeopleEntry *entries) {
    for (size_t i = 0; i < file->count; i++) {
        const PeopleRecord *record = &file->records[i];
        PersonToken *tokens = ARENA_ARRAY(arena, record->token_count, PersonToken);
        for (size_t j = 0; j < record->token_count; j++) tokens[j] = record->tokens[j].token;
        entries[i] = (PeopleEntry){record->person, tokens, record->token_count};
    }
}

int people_list(People *people, Arena *arena, PeopleEntry **out, size_t *count_out, Error *error) {
    pthread_mutex_lock(&people->lock);
    int result = people_refresh(people, error);
    if (result == 0) {
        PeopleEntry *entries = ARENA_ARRAY(arena, people->file->count, PeopleEntry);
        list(people->file, arena, entries);
        *out = entries;
        *count_out = people->file->count;
    }
    pthread_mutex_unlock(&people->lock);
    return result;
}

void people_refuse_name(const char *name, Error *error) {
    if (certificate_is_host_name(name)) {
        error_set(error, ERROR_INVALID, "there is nobody called %s", name);
        if (error) error->number = ENOENT;
        return;
    }
    error_set(error, ERROR_INVALID,
              "that is no name of a person: 1 to %d letters, digits, “.”, “_”, “+” and “-”",
              PERSON_NAME_SIZE - 1);
    error_hint(error, "begin it with a letter or digit");
}

int people_find(People *people, const char *name, Person *out, Error *error) {
    Known known;
    if (look_up(people, name, &known, error) < 0) return -1;
    if (!known.person.name[0]) {
        people_refuse_name(name, error);
        return -1;
    }
    *out = known.person;
    return 0;
}
