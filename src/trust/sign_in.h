/* SignIn: what follows a right password for a while, so that it need not be sent again with each request.
 *
 *     upks-<id>-<secret>                 (bearer.h) for a browser's cookie or a program's header
 *
 * Kept in memory only, as hashes: who starts the controller anew asks everybody to sign in again. One lasts
 * SIGN_IN_LIFE_MS, and ends at once when its person is disabled, removed or given another role or password,
 * whichever program did it: each check looks the person up again (the stamp in people.h).
 *
 * There are at most SIGN_INS_MAX, of one person at most SIGN_INS_EACH_MAX: then the oldest makes place. So
 * nobody, with a right password, pushes all others out.
 *
 * Calling order: sign_in_new(); after people_check_password() sign_in_make(); for each request
 * sign_in_check(); sign_in_end() for whoever leaves; sign_in_free() before people_close(). Journal them by
 * id, never by text.
 *
 * Ownership: the People is borrowed; the text made is the caller's to hand over and wipe. Units: milliseconds
 * of a clock that never goes back (clock_steady_ms()); a sign-in from a later time than now has ended.
 * Threads: everything but freeing may be called from any thread at once. A check costs some ten microseconds.
 */
#pragma once
#include "trust/people.h"

enum { SIGN_INS_MAX = 4096, SIGN_INS_EACH_MAX = 32, SIGN_IN_LIFE_MS = 12 * 60 * 60 * 1000 };
#define SIGN_IN_PREFIX "upks-"

typedef struct SignIns SignIns; /* the caller's until sign_in_free() */

SignIns *sign_in_new(People *people);
void sign_in_free(SignIns *sign_ins); /* NULL is allowed */
static inline void sign_in_cleanup(SignIns **sign_ins) { sign_in_free(*sign_ins); }
#define SIGN_IN_AUTO __attribute__((cleanup(sign_in_cleanup))) SignIns *

/* `person` is as people_check_password() has just given it. */
void sign_in_make(SignIns *sign_ins, const Person *person, int64_t now_ms,
                  char text[static BEARER_TEXT_SIZE]);

/* Whose is that? As people_find_token(): `verdict` (may be NULL) and `id` (may be NULL) are set in every
 * case, `out`, as the person is now, on success. Who was refused signs in again. */
int sign_in_check(SignIns *sign_ins, const char *text, int64_t now_ms, Person *out, char id[BEARER_ID_SIZE],
                  PeopleVerdict *verdict, Error *error);
/* One that is none, or has ended, is left as it is. */
void sign_in_end(SignIns *sign_ins, const char *text);
