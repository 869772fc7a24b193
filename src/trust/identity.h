/* Identity: a host's own key, the certificate its controller gave it, and the authority it trusts for that.
 *
 * A folder, private to the user who runs the agent:
 *
 *   pending.key     a key that waits for its certificate: PKCS #8 PEM, mode 0600
 *   identity.pem    the key in use, its certificate and the authority's, in this order, mode 0600
 *
 * The pair in use is one file, so that it changes by one rename. Whatever is cut off by a crash, the folder
 * holds a pair that works:
 *
 *   identity_request()   makes pending.key, or takes up the one that is there
 *   identity_accept()    1. checks the certificate against pending.key and the authority
 *                        2. replaces identity.pem             the old pair works until here, the new one
 * after
 *                        3. removes pending.key               left behind, it is known as the key in use
 *
 * Calling order: request, send it, accept the answer; identity_load() at each start and after each accept.
 * Renewal is the same again, with a new key each time. The private half never leaves the host. The two that
 * write are for one process at a time, the agent: it holds its own lock.
 *
 * Units: milliseconds since 1970 UTC; no clock is read in here. Texts are borrowed from the Identity, until
 * identity_free(), which wipes the key. Errors: ERROR_INVALID for what cannot be read, ERROR_REFUSED for what
 * is not ours or not good enough.
 */
#pragma once
#include "base/error.h"
#include "trust/certificate.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Identity Identity; /* the caller's until identity_free() */

/* A request for a certificate (PKCS #10 in PEM; caller frees), for a key made on the spot in the folder
 * `path`, which is made when it is missing. Asked again before the answer was accepted, it is for the same
 * key. */
int identity_request(const char *path, char **pem_out, Error *error);

/* The answer to it. */
typedef struct IdentityAnswer {
    const char *certificate; /* PEM */
    size_t certificate_size;
    const char *authority; /* PEM; NULL: the one in use, which a renewal does not change */
    size_t authority_size;
    const Digest *pin; /* the fingerprint that the join token has; NULL only where `authority` is */
} IdentityAnswer;

/* Durable when it returns. ERROR_REFUSED: a certificate of another key than the pending one, by another
 * authority, not for a host, or not valid at `now_ms`; an authority that is not the pinned one. The same
 * answer again is an error, and changes nothing. */
int identity_accept(const char *path, const IdentityAnswer *answer, int64_t now_ms, Error *error);

/* ENOENT shows in error->number: this host has not joined. A certificate that has expired is loaded all the
 * same: see identity_host(). */
int identity_load(const char *path, Identity **out, Error *error);
void identity_free(Identity *identity); /* NULL is allowed */
static inline void identity_cleanup(Identity **identity) { identity_free(*identity); }
#define IDENTITY_AUTO __attribute__((cleanup(identity_cleanup))) Identity *

const CertificateHost *identity_host(const Identity *identity); /* name, serial, not_after_ms */
/* Two thirds of its life are over. */
bool identity_should_renew(const Identity *identity, int64_t now_ms);

/* For the TLS library. The key is a secret. */
const char *identity_key_pem(const Identity *identity);
const char *identity_certificate_pem(const Identity *identity);
const char *identity_authority_pem(const Identity *identity);
