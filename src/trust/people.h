/* People: who may sign in to a controller, by which password and tokens, and in which role (model/role.h).
 *
 * A folder, private to the user who runs the controller:
 *
 *   people.json    the list (people_file.h), mode 0600, replaced by one rename
 *   people.lock    held by whoever changes it
 *
 * A person has at most one password and PERSON_TOKENS_MAX tokens. A token is one word for programs and
 * command lines, “upkp-<id>-<secret>” (bearer.h); it is told once, and kept as a hash. A password is kept as
 * Argon2id (password.h) and should be asked for once a working day: what follows it is a sign-in (sign_in.h).
 * Neither is ever written anywhere else, nor said in an error.
 *
 * Several programs may change the list at once. A People reads it again when it has changed, at each call
 * that looks at it, so what another program did holds from the next call on. A list that is damaged, or that
 * others may write, lets nobody in, and says why, until it is mended.
 *
 * Calling order: people_open(); for each request that brings a token people_find_token(), for each that
 * brings a password people_check_password(), both behind a Throttle; then role_may(). Write each use into the
 * journal: name and token id may stand there, and the verdict. To whoever was refused say no more than that:
 * the error and the verdict are for the journal and the operators. A name that nobody has may be a password
 * typed into the wrong field: do not write it anywhere.
 *
 * Ownership: the caller's arena holds lists; Person and texts are copied out. Units: milliseconds since 1970
 * UTC; no clock is read in here. Threads: everything but closing may be called from any thread at once.
 * Errors: ERROR_REFUSED for whoever is not let in and for what may not be done, ERROR_INVALID for what makes
 * no sense or a damaged list, ERROR_SYSTEM for the machine.
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "model/role.h"
#include "trust/bearer.h"
#include "trust/certificate.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PEOPLE_MAX = 1024,
    PERSON_NAME_SIZE = CERTIFICATE_HOST_SIZE,
    PERSON_LABEL_SIZE = 65,
    PERSON_TOKENS_MAX = 32,
    PEOPLE_TOKEN_VALID_MIN_MS = 1000,
};
#define PEOPLE_TOKEN_PREFIX           "upkp-"
#define PEOPLE_TOKEN_VALID_DEFAULT_MS ((int64_t)90 * 24 * 60 * 60 * 1000)
#define PEOPLE_TOKEN_VALID_MAX_MS     ((int64_t)366 * 24 * 60 * 60 * 1000)

typedef struct Person {
    char name[PERSON_NAME_SIZE];
    /* Random; another one after each change of role or password, and after being disabled or removed and
     * added again. What was signed in under another stamp is no longer. */
    char stamp[BEARER_ID_SIZE];
    Role role;
    bool is_disabled, has_password;
    int64_t created_ms;
} Person;

typedef struct PersonToken {
    char id[BEARER_ID_SIZE];
    char label[PERSON_LABEL_SIZE];
    int64_t created_ms, expires_ms;
    int64_t last_used_ms; /* since this People was opened; 0: not used. In memory only */
} PersonToken;

typedef struct People People; /* the caller's until people_close() */

/* The folder is made, mode 0700, when it is missing. A list that is damaged already is refused here. */
int people_open(const char *path, People **out, Error *error);
void people_close(People *people); /* NULL is allowed */
static inline void people_cleanup(People **people) { people_close(*people); }
#define PEOPLE_AUTO __attribute__((cleanup(people_cleanup))) People *

/* ---- Signing in ---- */

/* Why somebody was not let in. Who does not know the secret learns no more than UNKNOWN or WRONG. */
typedef enum PeopleVerdict {
    PEOPLE_GOOD,
    PEOPLE_MALFORMED, /* no token or password by its form: nothing was looked at */
    PEOPLE_UNKNOWN,   /* no such token or name */
    PEOPLE_WRONG,     /* another secret, another password, or one who has none */
    PEOPLE_EXPIRED,
    PEOPLE_DISABLED,
    PEOPLE_CHANGED,   /* a sign-in (sign_in.h) of somebody who was disabled, removed or changed since */
    PEOPLE_BUSY,      /* too many passwords at once: nothing was looked at (EBUSY in error->number) */
    PEOPLE_UNDECIDED, /* the list or the machine failed: nothing is known, and nobody gets in */
} PeopleVerdict;

/* Whose token is that? Cheap: one SHA-256. `verdict` (may be NULL) is set in every case; `token_id` (may be
 * NULL), for the journal, is "" unless it has the form of a token; `out` is set on success. */
int people_find_token(People *people, const char *text, int64_t now_ms, Person *out,
                      char token_id[BEARER_ID_SIZE], PeopleVerdict *verdict, Error *error);

/* Is that the password of `name`? Costs about 0.2 s of a CPU, whether or not there is such a name. */
int people_check_password(People *people, const char *name, const char *password, Person *out,
                          PeopleVerdict *verdict, Error *error);

/* ---- Looking ---- */

typedef struct PeopleEntry {
    Person person;
    const PersonToken *tokens; /* in the order they were made, expired ones too */
    size_t token_count;
} PeopleEntry;

/* Everybody, in the order they were added; in the arena. */
int people_list(People *people, Arena *arena, PeopleEntry **out, size_t *count_out, Error *error);
/* ERROR_INVALID, and ENOENT in error->number, when there is nobody of that name. */
int people_find(People *people, const char *name, Person *out, Error *error);

/* ---- Changing: durable when they return ---- */

/* As names of hosts: 1 to 64 letters, digits, “.”, “_”, “+” and “-”, beginning with a letter or digit; of two
 * that differ in capitals only, the second is refused. Has neither password nor token yet. */
int people_add(People *people, const char *name, Role role, int64_t now_ms, Error *error);
/* The next three refuse to take away the last administrator who is not disabled. */
int people_remove(People *people, const char *name, Error *error);
int people_set_role(People *people, const char *name, Role role, Error *error);
int people_set_disabled(People *people, const char *name, bool is_disabled, Error *error);
/* NULL: none any more. ERROR_INVALID for one that is too short or too long; may be busy, as
 * people_check_password(). */
int people_set_password(People *people, const char *name, const char *password, Error *error);

typedef struct PeopleTokenRequest {
    const char *name;
    const char *label; /* 1 to 64 printable ASCII characters: what it is for */
    int64_t valid_ms;  /* 0: PEOPLE_TOKEN_VALID_DEFAULT_MS; else 1 s to PEOPLE_TOKEN_VALID_MAX_MS */
} PeopleTokenRequest;

/* `text` is the only place where its secret is: show it once, then wipe it. Where there are
 * PERSON_TOKENS_MAX, those that expired are forgotten first. */
int people_token_make(People *people, const PeopleTokenRequest *request, int64_t now_ms,
                      char text[static BEARER_TEXT_SIZE], Error *error);
/* Of that person; ERROR_INVALID when it is not hers. */
int people_token_remove(People *people, const char *name, const char *id, Error *error);
