#include "trust/token.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "trust/bearer.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORE_NAME "tokens"
#define LOCK_NAME  "tokens.lock"
#define PREFIX     "upk1-"
enum { STORE_SIZE_MAX = 2 << 20, STORE_FORMAT = 1 };

/* A token as it is kept. */
typedef struct Entry {
    Token token;
    Digest hash;
} Entry;

typedef struct Store {
    Entry *entries; /* room for one more */
    size_t count;
} Store;

/* A token as it is told. */
typedef struct Parts {
    Bearer bearer;
    Digest fingerprint;
} Parts;

static void store_cleanup(Store *store) { free(store->entries); }
#define STORE_AUTO __attribute__((cleanup(store_cleanup))) Store
static void parts_cleanup(Parts *parts) { bearer_wipe(&parts->bearer); }
#define PARTS_AUTO __attribute__((cleanup(parts_cleanup))) Parts

/* ---- Text ---- */

static int parse(const char *text, Parts *out, Error *error) {
    const char *at = bearer_take(text, PREFIX, '-', &out->bearer);
    if (at && digest_from_text(at, &out->fingerprint)) return 0;
    error_set(error, ERROR_INVALID, "that is no join token: one is %d characters and begins with upk1-",
              TOKEN_TEXT_SIZE - 1);
    return error_hint(error, "copy the whole of it");
}

int token_parse(const char *text, Digest *fingerprint, Error *error) {
    PARTS_AUTO parts = {.fingerprint = {{0}}};
    if (parse(text, &parts, error) < 0) return -1;
    *fingerprint = parts.fingerprint;
    return 0;
}

/* ---- Store ---- */

static bool is_subject(const char *text) { return bearer_is_label(text, TOKEN_SUBJECT_SIZE); }

static bool decode(const json_t *json, Entry *out) {
    const char *id = json_get_text(json, "id", ""), *subject = json_get_text(json, "subject", "");
    if (!json_is_object(json) || !bearer_is_id(id) || !is_subject(subject) ||
        !digest_from_text(json_get_text(json, "hash", ""), &out->hash))
        return false;
    memcpy(out->token.id, id, TOKEN_ID_SIZE);
    memcpy(out->token.subject, subject, strlen(subject) + 1);
    out->token.expires_ms = json_get_integer(json, "expires_ms", -1);
    /* Damaged, this must not read as “never used”. */
    out->token.used_ms = json_get_integer(json, "used_ms", -1);
    return out->token.expires_ms > 0 && out->token.used_ms >= 0;
}

static json_t *encode(const Entry *entry) {
    char hash[DIGEST_TEXT_SIZE];
    digest_to_text(&entry->hash, hash);
    json_t *json = json_object();
    json_set_text(json, "id", entry->token.id);
    json_set_text(json, "subject", entry->token.subject);
    json_set_text(json, "hash", hash);
    json_set_integer(json, "expires_ms", entry->token.expires_ms);
    json_set_integer(json, "used_ms", entry->token.used_ms);
    return json;
}

static Entry *find(const Store *store, const char *id) {
    for (size_t i = 0; i < store->count; i++)
        if (strcmp(store->entries[i].token.id, id) == 0) return &store->entries[i];
    return NULL;
}

static bool decode_all(const json_t *list, Store *out) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!decode(json_array_get(list, i), &out->entries[i]) ||
            find(out, out->entries[i].token.id)) /* `count` does not hold it yet */
            return false;
        out->count = i + 1;
    }
    return true;
}

static int refuse_store(Error *error) {
    error_set(error, ERROR_INVALID, "the list of join tokens is damaged");
    return error_hint(error, "move the file “%s” away, and make new tokens", STORE_NAME);
}

/* `store` is empty before. */
static int load(int dir, Store *store, Error *error) {
    BUFFER_AUTO text = {0};
    JSON_AUTO json = NULL;
    Error problem = {0};
    bool is_there = file_read(dir, STORE_NAME, STORE_SIZE_MAX, &text, &problem) == 0;
    if (!is_there && problem.number != ENOENT) {
        if (error) *error = problem;
        return -1;
    }
    if (is_there && json_parse(buffer_text(&text), text.size, STORE_NAME, &json, NULL) < 0)
        return refuse_store(error);
    const json_t *list = json_object_get(json, "tokens");
    size_t count = json_array_size(list);
    store->entries = calloc(count + 1, sizeof *store->entries);
    if (!store->entries) abort();
    if (!is_there) return 0;
    if (json_get_integer(json, "format", 0) != STORE_FORMAT || !json_is_array(list) || count > TOKENS_MAX ||
        !decode_all(list, store))
        return refuse_store(error);
    return 0;
}

static int save(int dir, const Store *store, Error *error) {
    JSON_AUTO json = json_object();
    json_t *list = json_array();
    for (size_t i = 0; i < store->count; i++)
        if (json_array_append_new(list, encode(&store->entries[i])) != 0) abort();
    json_set_integer(json, "format", STORE_FORMAT);
    if (json_object_set_new(json, "tokens", list) != 0) abort();
    FREE_AUTO char *text = json_text(json);
    if (file_replace_tidy(dir, STORE_NAME, error) < 0) return -1;
    return file_replace(dir, STORE_NAME, text, strlen(text), 0600, error);
}

/* Until the descriptor is closed nobody else reads or writes. */
static int open_store(int dir, int *lock_out, Store *store, Error *error) {
    if (file_check_private(dir, STORE_NAME, error) < 0) return -1;
    FD_AUTO lock = file_open_locked(dir, LOCK_NAME);
    if (lock < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot lock the list of join tokens");
    if (load(dir, store, error) < 0) return -1;
    *lock_out = fd_take(&lock);
    return 0;
}

/* ---- Making and using ---- */

static int check_request(const TokenRequest *request, int64_t now_ms, Error *error) {
    if (!is_subject(request->subject))
        return error_set(error, ERROR_INVALID,
                         "a join token is for a host's name or a label of 1 to %d plain characters",
                         TOKEN_SUBJECT_SIZE - 1);
    if (request->valid_ms < TOKEN_VALID_MIN_MS || request->valid_ms > TOKEN_VALID_MAX_MS)
        return error_set(error, ERROR_INVALID,
                         "a join token cannot be valid for %lld ms: one second to one year",
                         (long long)request->valid_ms);
    if (now_ms <= 0 || now_ms > INT64_MAX - TOKEN_VALID_MAX_MS)
        return error_set(error, ERROR_INVALID, "the time %lld ms is none for a join token; set the clock",
                         (long long)now_ms);
    return 0;
}

static void forget_expired(Store *store, int64_t now_ms) {
    size_t kept = 0;
    for (size_t i = 0; i < store->count; i++)
        if (store->entries[i].token.expires_ms > now_ms) store->entries[kept++] = store->entries[i];
    store->count = kept;
}

int token_make(int dir, const TokenRequest *request, int64_t now_ms, char text[static TOKEN_TEXT_SIZE],
               Error *error) {
    PARTS_AUTO parts = {.fingerprint = {{0}}};
    STORE_AUTO store = {.count = 0};
    FD_AUTO lock = -1;
    if (check_request(request, now_ms, error) < 0 || open_store(dir, &lock, &store, error) < 0) return -1;
    if (store.count >= TOKENS_MAX) forget_expired(&store, now_ms);
    if (store.count >= TOKENS_MAX) {
        error_set(error, ERROR_REFUSED, "there are %d join tokens already", (int)TOKENS_MAX);
        return error_hint(error, "remove some that nobody needs");
    }
    do bearer_new_id(&parts.bearer);
    while (find(&store, parts.bearer.id));
    bearer_new_secret(&parts.bearer);
    Entry *entry = &store.entries[store.count++];
    *entry = (Entry){.token.expires_ms = now_ms + request->valid_ms, .hash = bearer_hash(&parts.bearer)};
    memcpy(entry->token.id, parts.bearer.id, sizeof parts.bearer.id);
    memcpy(entry->token.subject, request->subject, strlen(request->subject) + 1);
    if (save(dir, &store, error) < 0) return error_prefix(error, "cannot make a join token");
    char fingerprint[DIGEST_TEXT_SIZE];
    digest_to_text(request->fingerprint, fingerprint);
    int length =
        snprintf(text, TOKEN_TEXT_SIZE, PREFIX "%s-%s-%s", parts.bearer.id, parts.bearer.secret, fingerprint);
    assert(length == TOKEN_TEXT_SIZE - 1);
    return 0;
}

/* The secret first: nobody learns of a token what its bearer alone may know. */
static TokenVerdict judge(const Store *store, const Parts *parts, int64_t now_ms) {
    const Entry *entry = find(store, parts->bearer.id);
    bool is_same = bearer_fits(&parts->bearer, entry ? &entry->hash : NULL);
    if (!entry) return TOKEN_UNKNOWN;
    if (!is_same) return TOKEN_WRONG;
    if (entry->token.used_ms) return TOKEN_USED;
    return now_ms >= entry->token.expires_ms ? TOKEN_EXPIRED : TOKEN_GOOD;
}

static int refuse(TokenVerdict verdict, const char *id, Error *error) {
    switch (verdict) {
    case TOKEN_UNKNOWN: error_set(error, ERROR_REFUSED, "there is no join token %s here", id); break;
    case TOKEN_WRONG: error_set(error, ERROR_REFUSED, "the secret of the join token %s is wrong", id); break;
    case TOKEN_USED: error_set(error, ERROR_REFUSED, "the join token %s was used already", id); break;
    default: error_set(error, ERROR_REFUSED, "the join token %s has expired", id); break;
    }
    return error_hint(error, "make a new one");
}

static int redeem(int dir, const Parts *parts, int64_t now_ms, Token *out, TokenVerdict *verdict,
                  Error *error) {
    STORE_AUTO store = {.count = 0};
    FD_AUTO lock = -1;
    if (open_store(dir, &lock, &store, error) < 0) return -1;
    TokenVerdict found = judge(&store, parts, now_ms);
    if (found != TOKEN_GOOD) {
        *verdict = found;
        return refuse(found, parts->bearer.id, error);
    }
    Entry *entry = find(&store, parts->bearer.id);
    entry->token.used_ms = now_ms > 0 ? now_ms : 1;
    if (save(dir, &store, error) < 0)
        return error_prefix(error, "cannot use the join token %s", parts->bearer.id);
    *verdict = TOKEN_GOOD;
    *out = entry->token;
    return 0;
}

int token_redeem(int dir, const char *text, int64_t now_ms, Token *out, TokenVerdict *verdict, Error *error) {
    PARTS_AUTO parts = {.fingerprint = {{0}}};
    TokenVerdict found = TOKEN_MALFORMED;
    int result = parse(text, &parts, error);
    if (result == 0) {
        found = TOKEN_UNDECIDED;
        result = redeem(dir, &parts, now_ms, out, &found, error);
    }
    if (verdict) *verdict = found;
    return result;
}

/* ---- Looking after ---- */

int token_list(int dir, Arena *arena, Token **out, size_t *count_out, Error *error) {
    STORE_AUTO store = {.count = 0};
    FD_AUTO lock = -1;
    if (open_store(dir, &lock, &store, error) < 0) return -1;
    Token *list = ARENA_ARRAY(arena, store.count, Token);
    for (size_t i = 0; i < store.count; i++) list[i] = store.entries[i].token;
    *out = list;
    *count_out = store.count;
    return 0;
}

int token_remove(int dir, const char *id, Error *error) {
    STORE_AUTO store = {.count = 0};
    FD_AUTO lock = -1;
    if (open_store(dir, &lock, &store, error) < 0) return -1;
    Entry *entry = find(&store, id);
    if (!entry) return error_set(error, ERROR_INVALID, "there is no join token %s here", id);
    size_t at = (size_t)(entry - store.entries);
    memmove(entry, entry + 1, (store.count - at - 1) * sizeof *entry);
    store.count--;
    return save(dir, &store, error);
}
