/* Token: what lets a host join a fleet, once, until it expires.
 *
 *   upk1-<id>-<secret>-<fingerprint>       one word to carry from the controller to the host by hand
 *
 * id and secret as bearer.h has them. fingerprint: SHA-256 of the authority's certificate (DER), so that the
 * host knows its controller at first sight.
 *
 * The controller keeps `tokens` (mode 0600, JSON, replaced by one rename) in a folder of its own: id, SHA-256
 * of id and secret, whom it is for, until when, and when it was used. Calls exclude each other by flock on
 * `tokens.lock`, so threads and programs may share the folder; nothing is kept in memory. A folder that
 * others may write is refused.
 *
 * Calling order: token_make(); on the host token_parse(), to pin the controller; back on the controller
 * token_redeem(), and only when it succeeds sign. A token is marked used durably before redeeming returns 0:
 * a crash right after that loses the token, never the "once". Tell the bearer of a refused token no more than
 * that it is refused: the reason is for the journal.
 *
 * Ownership: the caller's arena holds lists. Units: milliseconds since 1970 UTC; no clock is read in here.
 * Errors: ERROR_REFUSED for a token that will not do, ERROR_INVALID for what is none.
 */
#pragma once
#include "base/arena.h"
#include "base/digest.h"
#include "base/error.h"
#include "trust/bearer.h"
#include <stddef.h>
#include <stdint.h>

enum {
    TOKENS_MAX = 4096,
    TOKEN_ID_SIZE = BEARER_ID_SIZE,
    TOKEN_SECRET_SIZE = BEARER_SECRET_SIZE,
    TOKEN_TEXT_SIZE = 5 + TOKEN_ID_SIZE + TOKEN_SECRET_SIZE + DIGEST_TEXT_SIZE,
    TOKEN_SUBJECT_SIZE = 129,
    TOKEN_VALID_MIN_MS = 1000,
};
#define TOKEN_VALID_MAX_MS ((int64_t)366 * 24 * 60 * 60 * 1000)

typedef struct Token {
    char id[TOKEN_ID_SIZE];
    char subject[TOKEN_SUBJECT_SIZE]; /* the name of a host, or a label: for whoever redeems to obey */
    int64_t expires_ms;
    int64_t used_ms; /* 0: not used */
} Token;

/* What a token is to be for. */
typedef struct TokenRequest {
    const char *subject;       /* 1 to 128 printable ASCII characters */
    const Digest *fingerprint; /* authority_fingerprint() */
    int64_t valid_ms;          /* TOKEN_VALID_MIN_MS to TOKEN_VALID_MAX_MS */
} TokenRequest;

/* Make one and remember its hash in the folder `dir`, durably. `text` is the only place where its secret is:
 * show it once, then wipe it. Where there are TOKENS_MAX, those that expired are forgotten first. */
int token_make(int dir, const TokenRequest *request, int64_t now_ms, char text[static TOKEN_TEXT_SIZE],
               Error *error);

/* Is it one by its form, and which authority does it name? For the host; proves nothing. */
int token_parse(const char *text, Digest *fingerprint, Error *error);

/* Why a token was refused. Who does not know the secret learns no more than TOKEN_WRONG. */
typedef enum TokenVerdict {
    TOKEN_GOOD,
    TOKEN_MALFORMED,
    TOKEN_UNKNOWN, /* no such id: never made, removed, or long expired */
    TOKEN_WRONG,   /* a known id with another secret */
    TOKEN_USED,
    TOKEN_EXPIRED,
    TOKEN_UNDECIDED, /* the store failed: nothing is known, and nobody gets in */
} TokenVerdict;

/* Use it up. `verdict` (may be NULL) is set in every case, `out` on success. */
int token_redeem(int dir, const char *text, int64_t now_ms, Token *out, TokenVerdict *verdict, Error *error);

/* All there are, in the order they were made. */
int token_list(int dir, Arena *arena, Token **out, size_t *count_out, Error *error);
/* ERROR_INVALID when there is none of that id. */
int token_remove(int dir, const char *id, Error *error);
