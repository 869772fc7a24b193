#include "trust/identity.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#define PENDING_NAME      "pending.key"
#define IDENTITY_NAME     "identity.pem"
#define CERTIFICATE_BEGIN "-----BEGIN CERTIFICATE-----"

struct Identity {
    CertificateHost host;
    EVP_PKEY *key;
    X509 *certificate, *authority;
    char *key_pem, *certificate_pem, *authority_pem;
};

void identity_free(Identity *identity) {
    if (!identity) return;
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
    X509_free(identity->authority);
    certificate_secret_free(identity->key_pem);
    free(identity->certificate_pem);
    free(identity->authority_pem);
    free(identity);
}

static int open_folder(const char *path, bool make, int *out, Error *error) {
    if (make && file_make_dirs(path, 0700, error) < 0) return -1;
    FD_AUTO dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", path);
    if (file_check_private(dir, path, error) < 0) return -1;
    *out = fd_take(&dir);
    return 0;
}

static bool is_pair(X509 *certificate, EVP_PKEY *key) {
    bool is_equal = EVP_PKEY_eq(X509_get0_pubkey(certificate), key) == 1;
    ERR_clear_error();
    return is_equal;
}

/* ---- Loading ---- */

/* The certificate that stands first at `at`, and where it ends. */
static const char *parse_next(const char *at, X509 **out, Error *error) {
    const char *begin = strstr(at, CERTIFICATE_BEGIN);
    if (!begin) {
        error_set(error, ERROR_INVALID, "there are no two certificates in it");
        return NULL;
    }
    if (certificate_parse(begin, strlen(begin), out, error) < 0) return NULL;
    return begin + strlen(CERTIFICATE_BEGIN);
}

static int parse(Identity *identity, const CertificateText *text, Error *error) {
    const char *at = text->data;
    if (certificate_key_parse(text->data, text->size, &identity->key, error) < 0 ||
        !(at = parse_next(at, &identity->certificate, error)) || !parse_next(at, &identity->authority, error))
        return -1;
    if (!is_pair(identity->certificate, identity->key))
        return error_set(error, ERROR_REFUSED, "its key and its certificate are not a pair");
    int64_t before_ms, after_ms;
    if (certificate_times(identity->certificate, &before_ms, &after_ms) < 0)
        return error_set(error, ERROR_INVALID, "there are no two certificates in it");
    /* When it began it was valid: now is the caller's to judge, who may have to say that it has expired. */
    if (certificate_verify_host(identity->authority, identity->certificate, before_ms, &identity->host,
                                error) < 0)
        return -1;
    identity->key_pem = certificate_key_text(identity->key);
    identity->certificate_pem = certificate_text(identity->certificate);
    identity->authority_pem = certificate_text(identity->authority);
    return 0;
}

static int load(int dir, Identity **out, Error *error) {
    CERTIFICATE_TEXT_AUTO text = {.size = 0};
    if (certificate_file_read(dir, IDENTITY_NAME, true, &text, error) < 0) return -1;
    IDENTITY_AUTO identity = calloc(1, sizeof *identity);
    if (!identity) abort();
    if (parse(identity, &text, error) < 0) return error_prefix(error, "cannot use %s", IDENTITY_NAME);
    *out = pointer_take(&identity);
    return 0;
}

int identity_load(const char *path, Identity **out, Error *error) {
    FD_AUTO dir = -1;
    Error problem = {0};
    if (open_folder(path, false, &dir, &problem) == 0 && load(dir, out, &problem) == 0) return 0;
    if (error) *error = problem;
    error_prefix(error, "this host has no identity to use in %s", path);
    if (problem.number == ENOENT) error_hint(error, "let it join its controller with a new token");
    return -1;
}

const CertificateHost *identity_host(const Identity *identity) { return &identity->host; }

bool identity_should_renew(const Identity *identity, int64_t now_ms) {
    int64_t life_ms = identity->host.not_after_ms - identity->host.not_before_ms;
    return now_ms - identity->host.not_before_ms >= life_ms / 3 * 2;
}

const char *identity_key_pem(const Identity *identity) { return identity->key_pem; }

const char *identity_certificate_pem(const Identity *identity) { return identity->certificate_pem; }

const char *identity_authority_pem(const Identity *identity) { return identity->authority_pem; }

/* ---- Requesting ---- */

static int load_pending(int dir, EVP_PKEY **out, Error *error) {
    CERTIFICATE_TEXT_AUTO text = {.size = 0};
    if (certificate_file_read(dir, PENDING_NAME, true, &text, error) < 0) return -1;
    if (certificate_key_parse(text.data, text.size, out, error) < 0)
        return error_prefix(error, "cannot use %s", PENDING_NAME);
    return 0;
}

/* A crash came between switching and removing: what is pending is the key in use, and no new one. */
static bool is_in_use(int dir, EVP_PKEY *key) {
    IDENTITY_AUTO identity = NULL;
    return load(dir, &identity, NULL) == 0 && is_pair(identity->certificate, key);
}

static int drop_pending(int dir, Error *error) {
    if (unlinkat(dir, PENDING_NAME, 0) != 0 && errno != ENOENT)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot remove %s", PENDING_NAME);
    return file_sync_dir(dir, error);
}

static int make_pending(int dir, EVP_PKEY **out, Error *error) {
    CERTIFICATE_KEY_AUTO key = NULL;
    if (certificate_key_new(&key, error) < 0) return -1;
    char *pem = certificate_key_text(key);
    int result = certificate_file_create(dir, PENDING_NAME, pem, strlen(pem), 0600, error);
    certificate_secret_free(pem);
    if (result == 0) *out = pointer_take(&key);
    return result;
}

/* The key that waits, or a new one. */
static int pending_key(int dir, EVP_PKEY **out, Error *error) {
    int there = file_exists(dir, PENDING_NAME, error);
    if (there < 0) return -1;
    if (there) {
        CERTIFICATE_KEY_AUTO key = NULL;
        if (load_pending(dir, &key, error) < 0)
            return error_hint(error, "remove %s, and a new key is made", PENDING_NAME);
        if (!is_in_use(dir, key)) {
            *out = pointer_take(&key);
            return file_sync_dir(dir, error); /* whoever made it may have died before this */
        }
        if (drop_pending(dir, error) < 0) return -1;
    }
    return make_pending(dir, out, error);
}

int identity_request(const char *path, char **pem_out, Error *error) {
    FD_AUTO dir = -1;
    CERTIFICATE_KEY_AUTO key = NULL;
    if (open_folder(path, true, &dir, error) < 0) return -1;
    if (file_replace_tidy(dir, PENDING_NAME, error) < 0 || file_replace_tidy(dir, IDENTITY_NAME, error) < 0 ||
        pending_key(dir, &key, error) < 0)
        return error_prefix(error, "cannot make a key for this host in %s", path);
    return certificate_request_text(key, pem_out, error);
}

/* ---- Accepting ---- */

/* Whoever answered may be anybody: the join token came from the controller by another way. */
static int pinned_authority(const IdentityAnswer *answer, X509 **out, Error *error) {
    CERTIFICATE_AUTO authority = NULL;
    assert(answer->pin);
    if (certificate_parse(answer->authority, answer->authority_size, &authority, error) < 0) return -1;
    Digest digest = certificate_fingerprint(authority);
    if (!digest_equal(&digest, answer->pin)) {
        error_set(error, ERROR_REFUSED, "the controller is not the one that the join token names");
        return error_hint(error, "look whether its address is right and nobody stands in between");
    }
    *out = pointer_take(&authority);
    return 0;
}

/* The authority of the answer, or the one in use. */
static int authority_of(int dir, const IdentityAnswer *answer, X509 **out, Error *error) {
    if (answer->authority) return pinned_authority(answer, out, error);
    IDENTITY_AUTO identity = NULL;
    if (load(dir, &identity, error) < 0) return -1;
    *out = pointer_take(&identity->authority);
    return 0;
}

static int switch_pair(int dir, EVP_PKEY *key, X509 *certificate, X509 *authority, Error *error) {
    char *parts[] = {certificate_key_text(key), certificate_text(certificate), certificate_text(authority)};
    CERTIFICATE_TEXT_AUTO text = {.size = 0};
    bool fits = true;
    for (size_t i = 0; i < 3; i++) {
        size_t length = strlen(parts[i]);
        fits = fits && length <= CERTIFICATE_PEM_MAX - text.size;
        if (fits) memcpy(text.data + text.size, parts[i], length);
        if (fits) text.size += length;
        certificate_secret_free(parts[i]);
    }
    if (!fits)
        return error_set(error, ERROR_INVALID, "the certificate is larger than %d bytes",
                         (int)CERTIFICATE_PEM_MAX);
    return file_replace(dir, IDENTITY_NAME, text.data, text.size, 0600, error);
}

static int accept_in(int dir, const IdentityAnswer *answer, int64_t now_ms, Error *error) {
    CERTIFICATE_KEY_AUTO key = NULL;
    CERTIFICATE_AUTO certificate = NULL;
    CERTIFICATE_AUTO authority = NULL;
    if (load_pending(dir, &key, error) < 0 ||
        certificate_parse(answer->certificate, answer->certificate_size, &certificate, error) < 0 ||
        authority_of(dir, answer, &authority, error) < 0)
        return -1;
    if (!is_pair(certificate, key))
        return error_set(error, ERROR_REFUSED, "the certificate is for another key than the one made here");
    if (certificate_verify_host(authority, certificate, now_ms, NULL, error) < 0 ||
        switch_pair(dir, key, certificate, authority, error) < 0)
        return -1;
    return drop_pending(dir, error);
}

int identity_accept(const char *path, const IdentityAnswer *answer, int64_t now_ms, Error *error) {
    FD_AUTO dir = -1;
    if (open_folder(path, false, &dir, error) < 0) return -1;
    if (accept_in(dir, answer, now_ms, error) < 0)
        return error_prefix(error, "cannot take the certificate for this host");
    return 0;
}
