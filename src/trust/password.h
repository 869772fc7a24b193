/* Password: hashing and checking one, slowly, so that a stolen list of hashes is worth little.
 *
 * Argon2id (RFC 9106), version 1.3, with 64 MiB, 3 passes, 1 lane, 16 bytes of salt and 32 of hash. OWASP's
 * cheat sheet for password storage asks for 19 MiB and 2 passes at least; RFC 9106 recommends 64 MiB and 3
 * passes where memory is dear. A person signs in once a working day, so the greater cost (about 0.2 s of one
 * CPU) is the better bargain. One lane: a controller has better uses for its other processors.
 *
 * Kept is the usual text, “$argon2id$v=19$m=65536,t=3,p=1$salt$hash”. Other parameters are refused, not
 * obeyed: a hash that asked for gigabytes would take the machine down, and one that is cheaper to check would
 * tell by its speed whose it is. Whoever changes them keeps the old ones beside the new.
 *
 * At most PASSWORD_AT_ONCE_MAX are computed at a time in a process, so a flood of sign-ins takes 128 MiB and
 * no more; one too many is ERROR_REFUSED at once, with errno EBUSY in error->number: try again in a second.
 * Let a Throttle stand before this.
 *
 * A password is any bytes but NUL, as they were typed (UTF-8 is not normalised). It is the caller's to wipe;
 * no error says anything of it. Safe from any thread.
 */
#pragma once
#include "base/error.h"
#include <stdbool.h>

enum {
    PASSWORD_MIN = 12,       /* bytes, for a new one */
    PASSWORD_MAX = 256,      /* bytes: longer ones are not looked at */
    PASSWORD_HASH_SIZE = 98, /* exactly, with NUL */
    PASSWORD_AT_ONCE_MAX = 2,
};

/* ERROR_INVALID for one that is too short or too long. */
int password_hash(const char *password, char out[static PASSWORD_HASH_SIZE], Error *error);
/* Is it that one? `hash` NULL is answered no after the same work: for names that nobody has. What is longer
 * than PASSWORD_MAX, or empty, is answered no without work, whatever the hash. */
int password_check(const char *hash, const char *password, bool *out, Error *error);
/* Of the form above, with these very parameters? */
bool password_is_hash(const char *text);
