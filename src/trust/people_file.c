#include "trust/people_file.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_NAME "people.json"
#define LOCK_NAME "people.lock"
enum { FILE_FORMAT = 1, FILE_SIZE_MAX = 12 << 20, PERSON_MEMBERS = 7, TOKEN_MEMBERS = 5 };

static PeopleFile *file_new(size_t people, size_t tokens) {
    Arena *arena = arena_new();
    PeopleFile *file = ARENA_NEW(arena, PeopleFile);
    file->arena = arena;
    file->records = ARENA_ARRAY(arena, people + 1, PeopleRecord);
    file->names = text_index_new(arena, people);
    file->tokens = text_index_new(arena, tokens);
    file->fd = -1;
    return file;
}

void people_file_free(PeopleFile *file) {
    if (!file) return;
    if (file->fd >= 0) close(file->fd);
    arena_free(file->arena);
}

/* ---- Reading ---- */

/* In small letters: `out` has PERSON_NAME_SIZE bytes. */
static void fold(const char *name, char *out) {
    size_t length = strnlen(name, PERSON_NAME_SIZE - 1);
    for (size_t i = 0; i < length; i++)
        out[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
    out[length] = '\0';
}

static bool decode_token(const json_t *json, PeopleToken *out) {
    const char *id = json_get_text(json, "id", ""), *label = json_get_text(json, "label", "");
    if (json_object_size(json) != TOKEN_MEMBERS || !bearer_is_id(id) ||
        !bearer_is_label(label, PERSON_LABEL_SIZE) ||
        !digest_from_text(json_get_text(json, "hash", ""), &out->hash))
        return false;
    PersonToken *token = &out->token;
    memcpy(token->id, id, strlen(id) + 1);
    memcpy(token->label, label, strlen(label) + 1);
    token->created_ms = json_get_integer(json, "created_ms", -1);
    token->expires_ms = json_get_integer(json, "expires_ms", -1);
    return token->created_ms > 0 && token->expires_ms > token->created_ms &&
           token->expires_ms - token->created_ms <= PEOPLE_TOKEN_VALID_MAX_MS;
}

/* Of its tokens only the number: they are for decode_tokens(). */
static bool decode_person(const json_t *json, PeopleRecord *out) {
    const char *name = json_get_text(json, "name", ""), *stamp = json_get_text(json, "stamp", "");
    const char *password = json_get_text(json, "password", "?");
    const json_t *disabled = json_object_get(json, "disabled"), *tokens = json_object_get(json, "tokens");
    Person *person = &out->person;
    if (json_object_size(json) != PERSON_MEMBERS || !certificate_is_host_name(name) || !bearer_is_id(stamp) ||
        !json_is_boolean(disabled) || (*password && !password_is_hash(password)) || !json_is_array(tokens) ||
        json_array_size(tokens) > PERSON_TOKENS_MAX ||
        !role_from_name(json_get_text(json, "role", ""), &person->role))
        return false;
    memcpy(person->name, name, strlen(name) + 1);
    memcpy(person->stamp, stamp, strlen(stamp) + 1);
    memcpy(out->password, password, strlen(password) + 1);
    person->has_password = *password;
    person->is_disabled = json_is_true(disabled);
    person->created_ms = json_get_integer(json, "created_ms", -1);
    return person->created_ms > 0;
}

static bool decode_tokens(const json_t *list, PeopleFile *file, size_t person) {
    PeopleRecord *record = &file->records[person];
    for (size_t i = 0; i < json_array_size(list); i++) {
        PeopleToken *token = &record->tokens[i];
        if (!decode_token(json_array_get(list, i), token) ||
            text_index_add(file->tokens, token->token.id, person * PERSON_TOKENS_MAX + i) != TEXT_INDEX_NONE)
            return false;
        record->token_count = i + 1;
    }
    return true;
}

static bool decode_all(const json_t *list, PeopleFile *file) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *json = json_array_get(list, i);
        PeopleRecord *record = &file->records[i];
        char *folded = arena_alloc(file->arena, PERSON_NAME_SIZE);
        if (!decode_person(json, record)) return false;
        fold(record->person.name, folded);
        if (text_index_add(file->names, folded, i) != TEXT_INDEX_NONE ||
            !decode_tokens(json_object_get(json, "tokens"), file, i))
            return false;
        file->count = i + 1;
    }
    return true;
}

static int refuse(Error *error) {
    error_set(error, ERROR_INVALID, "the list of people is damaged");
    return error_hint(error, "put the file “%s” back from a backup", FILE_NAME);
}

int people_file_parse(const char *text, size_t size, PeopleFile **out, Error *error) {
    JSON_AUTO json = NULL;
    if (json_parse(text, size, FILE_NAME, &json, NULL) < 0) return refuse(error);
    const json_t *list = json_object_get(json, "people");
    if (json_object_size(json) != 2 || json_get_integer(json, "format", 0) != FILE_FORMAT ||
        !json_is_array(list) || json_array_size(list) > PEOPLE_MAX)
        return refuse(error);
    size_t tokens = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        tokens += json_array_size(json_object_get(json_array_get(list, i), "tokens"));
    PEOPLE_FILE_AUTO file = file_new(json_array_size(list), tokens);
    if (!decode_all(list, file)) return refuse(error);
    *out = pointer_take(&file);
    return 0;
}

/* A regular file that nobody else may read or write. */
static int check_mode(const struct stat *status, Error *error) {
    bool is_ours = status->st_uid == 0 || status->st_uid == geteuid();
    if (is_ours && S_ISREG(status->st_mode) && !(status->st_mode & (S_IRWXG | S_IRWXO))) return 0;
    error_set(error, ERROR_REFUSED, "%s may be read or written by others than the user who runs Upkeep",
              FILE_NAME);
    return error_hint(error, "make that user its owner, and its mode 0600");
}

int people_file_load(int dir, PeopleFile **out, Error *error) {
    BUFFER_AUTO text = {0};
    struct stat status;
    FD_AUTO fd = file_open_no_links(dir, FILE_NAME, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0 && errno == ENOENT) {
        *out = file_new(0, 0);
        return 0;
    }
    /* Its state first: what is written into it while it is read shows at the next look. */
    if (fd < 0 || fstat(fd, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", FILE_NAME);
    PeopleFile *file = NULL;
    if (check_mode(&status, error) < 0 || file_read_fd(fd, FILE_NAME, FILE_SIZE_MAX, &text, error) < 0 ||
        people_file_parse(buffer_text(&text), text.size, &file, error) < 0)
        return -1;
    file->fd = fd_take(&fd);
    file->device = status.st_dev;
    file->inode = status.st_ino;
    file->size = status.st_size;
    file->modified = status.st_mtim;
    file->changed = status.st_ctim;
    *out = file;
    return 0;
}

static bool is_same_time(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool people_file_is_current(int dir, const PeopleFile *file) {
    struct stat status;
    if (fstatat(dir, FILE_NAME, &status, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT && file->fd < 0;
    return file->fd >= 0 && status.st_dev == file->device && status.st_ino == file->inode &&
           status.st_size == file->size && is_same_time(&status.st_mtim, &file->modified) &&
           is_same_time(&status.st_ctim, &file->changed);
}

/* ---- Writing ---- */

static json_t *encode_token(const PeopleToken *token) {
    char hash[DIGEST_TEXT_SIZE];
    digest_to_text(&token->hash, hash);
    json_t *json = json_object();
    json_set_text(json, "id", token->token.id);
    json_set_text(json, "label", token->token.label);
    json_set_text(json, "hash", hash);
    json_set_integer(json, "created_ms", token->token.created_ms);
    json_set_integer(json, "expires_ms", token->token.expires_ms);
    return json;
}

static json_t *encode_person(const PeopleRecord *record) {
    json_t *json = json_object(), *tokens = json_array();
    json_set_text(json, "name", record->person.name);
    json_set_text(json, "role", role_name(record->person.role));
    json_set_text(json, "stamp", record->person.stamp);
    json_set_integer(json, "created_ms", record->person.created_ms);
    json_set_bool(json, "disabled", record->person.is_disabled);
    json_set_text(json, "password", record->password);
    for (size_t i = 0; i < record->token_count; i++)
        if (json_array_append_new(tokens, encode_token(&record->tokens[i])) != 0) abort();
    if (json_object_set_new(json, "tokens", tokens) != 0) abort();
    return json;
}

char *people_file_text(const PeopleFile *file) {
    JSON_AUTO json = json_object();
    json_t *list = json_array();
    for (size_t i = 0; i < file->count; i++)
        if (json_array_append_new(list, encode_person(&file->records[i])) != 0) abort();
    json_set_integer(json, "format", FILE_FORMAT);
    if (json_object_set_new(json, "people", list) != 0) abort();
    return json_text(json);
}

int people_file_save(int dir, const PeopleFile *file, Error *error) {
    FREE_AUTO char *text = people_file_text(file);
    if (file_replace_tidy(dir, FILE_NAME, error) < 0) return -1;
    return file_replace(dir, FILE_NAME, text, strlen(text), 0600, error);
}

int people_file_lock(int dir, int *lock_out, Error *error) {
    int lock = file_open_locked(dir, LOCK_NAME);
    if (lock < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot lock the list of people");
    *lock_out = lock;
    return 0;
}

/* ---- Looking up ---- */

PeopleRecord *people_file_find_alike(const PeopleFile *file, const char *name) {
    char folded[PERSON_NAME_SIZE];
    if (!certificate_is_host_name(name)) return NULL;
    fold(name, folded);
    size_t at = text_index_find(file->names, folded);
    return at == TEXT_INDEX_NONE ? NULL : &file->records[at];
}

PeopleRecord *people_file_find(const PeopleFile *file, const char *name) {
    PeopleRecord *record = people_file_find_alike(file, name);
    return record && strcmp(record->person.name, name) == 0 ? record : NULL;
}

PeopleToken *people_file_find_token(const PeopleFile *file, const char *id, PeopleRecord **owner) {
    size_t at = text_index_find(file->tokens, id);
    if (at == TEXT_INDEX_NONE) return NULL;
    *owner = &file->records[at / PERSON_TOKENS_MAX];
    return &(*owner)->tokens[at % PERSON_TOKENS_MAX];
}
