/* Authority: the controller's own certificate authority, which says who is a host of its fleet.
 *
 * A folder, private to the user who runs the controller:
 *
 *   ca.key         its private key: PKCS #8 PEM, ECDSA P-256, mode 0600, not encrypted
 *   ca.crt         its certificate, signed by itself; it signs leaves only (pathlen 0)
 *   revoked        serials taken back (authority_revoked.h), revoked.lock beside it
 *
 * Calling order: authority_create() once; authority_open() at each start; then issue, sign, verify, revoke.
 * Certificates reach back AUTHORITY_SKEW_MS before `now_ms`, for hosts whose clocks are slow, and never end
 * after the authority's own.
 *
 * A server's certificate is not kept: issue a fresh one at each start. Agents pin the authority, not the
 * server. What libcurl and GnuTLS do with it is in their hands, and they only check the chain: ask
 * authority_verify() about each connection's certificate, keep the CertificateHost beside the connection, and
 * on each request look at not_after_ms and authority_is_revoked() again, which cost next to nothing
 * (verifying costs about half a millisecond of CPU).
 *
 * Threads: everything but revoking and reloading may run at once; whoever does one of these keeps the others
 * out. Units: times are milliseconds since 1970 UTC, validities milliseconds; no clock is read in here.
 * Errors: ERROR_INVALID for what cannot be read, ERROR_REFUSED for what is not good enough.
 */
#pragma once
#include "base/digest.h"
#include "base/error.h"
#include "trust/certificate.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AUTHORITY_SKEW_MS = 5 * 60 * 1000,
    AUTHORITY_VALID_MIN_MS = 60 * 1000,
    AUTHORITY_NAMES_MAX = 32, /* of a server */
};
#define AUTHORITY_VALID_MAX_MS ((int64_t)100 * 365 * 24 * 60 * 60 * 1000)

typedef struct Authority Authority; /* the caller's until authority_close() */

/* Make one in the folder `path`, which is made when it is missing, durably. ERROR_REFUSED when one is there.
 * A creation that a crash cut off is taken up again: its key stays, its certificate is made. */
int authority_create(const char *path, int64_t valid_ms, int64_t now_ms, Error *error);
/* ERROR_REFUSED: a folder that others may write, a key that others may read, a certificate of another key, or
 * one that is not valid at `now_ms`. */
int authority_open(const char *path, int64_t now_ms, Authority **out, Error *error);
void authority_close(Authority *authority); /* NULL is allowed */
static inline void authority_cleanup(Authority **authority) { authority_close(*authority); }
#define AUTHORITY_AUTO __attribute__((cleanup(authority_cleanup))) Authority *

const char *authority_certificate(const Authority *authority); /* PEM, for hosts to keep; borrowed */
const Digest *authority_fingerprint(const Authority *authority);
int64_t authority_not_after_ms(const Authority *authority);

/* A server's pair, for the TLS library. */
typedef struct AuthorityServer {
    char *key_pem;         /* PKCS #8 */
    char *certificate_pem; /* the server's, then the authority's */
    int64_t not_after_ms;
} AuthorityServer;
void authority_server_free(AuthorityServer *server); /* zeroed is allowed */
#define AUTHORITY_SERVER_AUTO __attribute__((cleanup(authority_server_free))) AuthorityServer

/* `names`: 1 to AUTHORITY_NAMES_MAX DNS names (the first label may be “*”) and IP addresses, IPv4 or IPv6. */
int authority_issue_server(const Authority *authority, const char *const *names, size_t count,
                           int64_t valid_ms, int64_t now_ms, AuthorityServer *out, Error *error);

/* What is asked for a host: its request (PKCS #10 in PEM), and the name that was granted to it. */
typedef struct AuthorityRequest {
    const char *pem;
    size_t size;
    const char *host; /* certificate_is_host_name(), or ERROR_INVALID */
    int64_t valid_ms;
} AuthorityRequest;

/* Would it be signed? To be asked before the join token is redeemed: a request that will not do shall not
 * cost the host its token. */
int authority_check_request(const Authority *authority, const AuthorityRequest *request, int64_t now_ms,
                            Error *error);
/* Of the request, only the public key is taken, once the signature shows that its sender has the private
 * half: what else it says is ignored. `pem_out`: the certificate, caller frees. `host_out` may be NULL. */
int authority_sign_host(const Authority *authority, const AuthorityRequest *request, int64_t now_ms,
                        char **pem_out, CertificateHost *host_out, Error *error);

/* Whose certificate (PEM or DER) is that? Signed by this authority, valid at `now_ms`, for clients only, not
 * revoked. */
int authority_verify(const Authority *authority, const void *certificate, size_t size, int64_t now_ms,
                     CertificateHost *out, Error *error);

bool authority_is_revoked(const Authority *authority, const char *serial);
size_t authority_revoked_count(const Authority *authority);
/* Durable when it returns. A serial twice is a success. */
int authority_revoke(Authority *authority, const char *serial, Error *error);
/* As many as there are by one durable write: all or none. */
int authority_revoke_all(Authority *authority, const char *const *serials, size_t count, Error *error);
/* Read `revoked` again: another program may have revoked. */
int authority_reload(Authority *authority, Error *error);
