#include "base/cleanup.h"
#include "base/file.h"
#include "trust/people_room.h"
#include <assert.h>
#include <string.h>

/* The list as it is on disk, ours alone until it is closed. */
typedef struct Change {
    int lock;
    PeopleFile *file;
} Change;

static void change_cleanup(Change *change) {
    people_file_free(change->file);
    if (change->lock >= 0) close(change->lock);
}
#define CHANGE_AUTO __attribute__((cleanup(change_cleanup))) Change
#define CHANGE_NONE                                                                                          \
    { .lock = -1 }

/* What this process has read may be old, and is not looked at. */
static int begin(const People *people, Change *change, Error *error) {
    if (file_check_private(people->dir, people->path, error) < 0 ||
        people_file_lock(people->dir, &change->lock, error) < 0 ||
        people_file_load(people->dir, &change->file, error) < 0)
        return error_prefix(error, "cannot change who may sign in");
    return 0;
}

static int begin_with(const People *people, const char *name, Change *change, PeopleRecord **record,
                      Error *error) {
    if (begin(people, change, error) < 0) return -1;
    PeopleRecord *found = people_file_find(change->file, name);
    if (!found) {
        people_refuse_name(name, error);
        return -1;
    }
    *record = found;
    return 0;
}

/* The next look, in this process and in others, sees that the file is another one. */
static int end(const People *people, const Change *change, Error *error) {
    if (people_file_save(people->dir, change->file, error) < 0)
        return error_prefix(error, "cannot change who may sign in");
    return 0;
}

/* It is so already; but whoever wrote it may have died before it was durable. */
static int end_unchanged(const People *people, Error *error) { return file_sync_dir(people->dir, error); }

static void new_stamp(Person *person) {
    Bearer bearer;
    bearer_new_id(&bearer);
    memcpy(person->stamp, bearer.id, sizeof person->stamp);
}

static int check_now(int64_t now_ms, Error *error) {
    if (now_ms > 0 && now_ms <= INT64_MAX - PEOPLE_TOKEN_VALID_MAX_MS) return 0;
    return error_set(error, ERROR_INVALID, "the time %lld ms is none for signing in; set the clock",
                     (long long)now_ms);
}

/* ---- Persons ---- */

static int check_new_name(const PeopleFile *file, const char *name, Error *error) {
    if (!certificate_is_host_name(name)) {
        people_refuse_name(name, error);
        return -1;
    }
    const PeopleRecord *alike = people_file_find_alike(file, name);
    if (alike) {
        error_set(error, ERROR_REFUSED, "there is somebody called %s already", alike->person.name);
        return error_hint(error, "choose a name that differs in more than capitals");
    }
    if (file->count < PEOPLE_MAX) return 0;
    error_set(error, ERROR_REFUSED, "there are %d people already", (int)PEOPLE_MAX);
    return error_hint(error, "remove some who need not sign in");
}

int people_add(People *people, const char *name, Role role, int64_t now_ms, Error *error) {
    CHANGE_AUTO change = CHANGE_NONE;
    assert((unsigned)role < ROLE_COUNT);
    if (check_now(now_ms, error) < 0 || begin(people, &change, error) < 0 ||
        check_new_name(change.file, name, error) < 0)
        return -1;
    PeopleRecord *record = &change.file->records[change.file->count++];
    *record = (PeopleRecord){.person = {.role = role, .created_ms = now_ms}};
    memcpy(record->person.name, name, strlen(name) + 1);
    new_stamp(&record->person);
    return end(people, &change, error);
}

static bool is_in_charge(const Person *person) {
    return !person->is_disabled && role_may(person->role, RIGHT_ADMINISTER);
}

/* Would nobody be left to let anybody in again? */
static int check_last(const PeopleFile *file, const PeopleRecord *record, Error *error) {
    if (!is_in_charge(&record->person)) return 0;
    for (size_t i = 0; i < file->count; i++)
        if (&file->records[i] != record && is_in_charge(&file->records[i].person)) return 0;
    error_set(error, ERROR_REFUSED, "%s is the last administrator who may sign in", record->person.name);
    return error_hint(error, "make somebody else an administrator first");
}

int people_remove(People *people, const char *name, Error *error) {
    CHANGE_AUTO change = CHANGE_NONE;
    PeopleRecord *record = NULL;
    if (begin_with(people, name, &change, &record, error) < 0 || check_last(change.file, record, error) < 0)
        return -1;
    size_t at = (size_t)(record - change.file->records);
    memmove(record, record + 1, (change.file->count - at - 1) * sizeof *record);
    change.file->count--;
    return end(people, &change, error);
}

int people_set_role(People *people, const char *name, Role role, Error *error) {
    CHANGE_AUTO change = CHANGE_NONE;
    PeopleRecord *record = NULL;
    assert((unsigned)role < ROLE_COUNT);
    if (begin_with(people, name, &change, &record, error) < 0) return -1;
    if (record->person.role == role) return end_unchanged(people, error);
    if (!role_may(role, RIGHT_ADMINISTER) && check_last(change.file, record, error) < 0) return -1;
    record->person.role = role;
    new_stamp(&record->person);
    return end(people, &change, error);
}

int people_set_disabled(People *people, const char *name, bool is_disabled, Error *error) {
    CHANGE_AUTO change = CHANGE_NONE;
    PeopleRecord *record = NULL;
    if (begin_with(people, name, &change, &record, error) < 0) return -1;
    if (record->person.is_disabled == is_disabled) return end_unchanged(people, error);
    if (is_disabled && check_last(change.file, record, error) < 0) return -1;
    record->person.is_disabled = is_disabled;
    new_stamp(&record->person);
    return end(people, &change, error);
}

int people_set_password(People *people, const char *name, const char *password, Error *error) {
    CHANGE_AUTO change = CHANGE_NONE;
    PeopleRecord *record = NULL;
    char hash[PASSWORD_HASH_SIZE] = "";
    /* Before the lock: it takes its time. */
    if (password && password_hash(password, hash, error) < 0) return -1;
    if (begin_with(people, name, &change, &record, error) < 0) return -1;
    memcpy(record->password, hash, sizeof hash);
    record->person.has_password = password;
    new_stamp(&record->person);
    return end(people, &change, error);
}

/* ---- Tokens ---- */

static int check_request(const PeopleTokenRequest *request, int64_t now_ms, Error *error) {
    if (!bearer_is_label(request->label, PERSON_LABEL_SIZE))
        return error_set(error, ERROR_INVALID, "a sign-in token has a label of 1 to %d plain characters",
                         PERSON_LABEL_SIZE - 1);
    if (request->valid_ms != 0 &&
        (request->valid_ms < PEOPLE_TOKEN_VALID_MIN_MS || request->valid_ms > PEOPLE_TOKEN_VALID_MAX_MS))
        return error_set(error, ERROR_INVALID,
                         "a sign-in token cannot be valid for %lld ms: one second to 366 days",
                         (long long)request->valid_ms);
    return check_now(now_ms, error);
}

static int make_room(PeopleRecord *record, int64_t now_ms, Error *error) {
    if (record->token_count < PERSON_TOKENS_MAX) return 0;
    size_t kept = 0;
    for (size_t i = 0; i < record->token_count; i++)
        if (record->tokens[i].token.expires_ms > now_ms) record->tokens[kept++] = record->tokens[i];
    record->token_count = kept;
    if (kept < PERSON_TOKENS_MAX) return 0;
    error_set(error, ERROR_REFUSED, "%s has %d sign-in tokens already", record->person.name,
              (int)PERSON_TOKENS_MAX);
    return error_hint(error, "remove some that nobody needs");
}

int people_token_make(People *people, const PeopleTokenRequest *request, int64_t now_ms,
                      char text[static BEARER_TEXT_SIZE], Error *error) {
    CHANGE_AUTO change = CHANGE_NONE;
    BEARER_AUTO bearer = {.id = ""};
    PeopleRecord *record = NULL, *other = NULL;
    if (check_request(request, now_ms, error) < 0 ||
        begin_with(people, request->name, &change, &record, error) < 0 ||
        make_room(record, now_ms, error) < 0)
        return -1;
    do bearer_new_id(&bearer);
    while (people_file_find_token(change.file, bearer.id, &other));
    bearer_new_secret(&bearer);
    PeopleToken *token = &record->tokens[record->token_count++];
    int64_t valid_ms = request->valid_ms ? request->valid_ms : PEOPLE_TOKEN_VALID_DEFAULT_MS;
    *token = (PeopleToken){.token = {.created_ms = now_ms, .expires_ms = now_ms + valid_ms},
                           .hash = bearer_hash(&bearer)};
    memcpy(token->token.id, bearer.id, sizeof bearer.id);
    memcpy(token->token.label, request->label, strlen(request->label) + 1);
    if (end(people, &change, error) < 0) return -1;
    bearer_to_text(&bearer, PEOPLE_TOKEN_PREFIX, text);
    return 0;
}

int people_token_remove(People *people, const char *name, const char *id, Error *error) {
    CHANGE_AUTO change = CHANGE_NONE;
    PeopleRecord *record = NULL, *owner = NULL;
    if (begin_with(people, name, &change, &record, error) < 0) return -1;
    PeopleToken *token = bearer_is_id(id) ? people_file_find_token(change.file, id, &owner) : NULL;
    if (!token || owner != record)
        return error_set(error, ERROR_INVALID, "%s has no such sign-in token", record->person.name);
    size_t at = (size_t)(token - record->tokens);
    memmove(token, token + 1, (record->token_count - at - 1) * sizeof *token);
    record->token_count--;
    return end(people, &change, error);
}
