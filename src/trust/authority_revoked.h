/* AuthorityRevoked: the sorted list of serials that an authority has taken back.
 *
 * On disk: `revoked`, one serial a line, 32 lower-case hexadecimal digits, sorted, none twice; replaced by
 * one rename. A file that is not exactly so, or is gone, is refused, not guessed at: whoever was shut out
 * must not come in again because a line was damaged.
 *
 * Writers exclude each other by flock on `revoked.lock`, so several programs may revoke at once. A list in
 * memory is not thread-safe while it changes.
 */
#pragma once
#include "base/error.h"
#include "trust/certificate.h"

enum { AUTHORITY_REVOKED_MAX = 1 << 16 };

/* Zero-initialise it; authority_revoked_free() gives the memory back. */
typedef struct AuthorityRevoked {
    char (*serials)[CERTIFICATE_SERIAL_SIZE];
    size_t count;
} AuthorityRevoked;

void authority_revoked_free(AuthorityRevoked *list);
/* An empty file, unless there is one. */
int authority_revoked_create(int dir, Error *error);
/* Put what the file in `dir` says in the place of `list`. */
int authority_revoked_load(int dir, AuthorityRevoked *list, Error *error);
/* Read the file again, put the serials into it, and into `list`: all of them by one durable write, or none.
 * One that is there is a success. */
int authority_revoked_add(int dir, AuthorityRevoked *list, const char *const *serials, size_t count,
                          Error *error);
bool authority_revoked_has(const AuthorityRevoked *list, const char *serial);
