/* AuthorityPlay: authorities, requests and forged certificates for tests, at a time of their own. */
#pragma once
#include "support/sample.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "trust/authority.h"
#include "trust/certificate.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define PLAY_NOW_MS ((int64_t)1800000000000) /* 2027 */
#define PLAY_DAY_MS ((int64_t)24 * 60 * 60 * 1000)

static inline void play_path(const TestFolder *folder, const char *name, char out[static 128]) {
    snprintf(out, 128, "%s/%s", folder->path, name);
}

/* An authority for ten years in the subfolder `name`. */
static inline Authority *play_authority(const TestFolder *folder, const char *name) {
    char path[128];
    Authority *authority = NULL;
    play_path(folder, name, path);
    assert_done(authority_create(path, 3650 * PLAY_DAY_MS, PLAY_NOW_MS, error));
    assert_done(authority_open(path, PLAY_NOW_MS, &authority, error));
    return authority;
}

/* A file of at most 16 KiB, as text. */
static inline char *play_file(const TestFolder *folder, const char *path) {
    CertificateText text;
    assert_done(certificate_file_read(folder->fd, path, false, &text, error));
    char *copy = strndup(text.data, text.size);
    assert_non_null(copy);
    return copy;
}

static inline EVP_PKEY *play_private_key(const TestFolder *folder, const char *path) {
    FREE_AUTO char *pem = play_file(folder, path);
    EVP_PKEY *key = NULL;
    assert_done(certificate_key_parse(pem, strlen(pem), &key, error));
    return key;
}

static inline EVP_PKEY *play_key(void) {
    EVP_PKEY *key = NULL;
    assert_done(certificate_key_new(&key, error));
    return key;
}

static inline X509 *play_parse(const char *pem) {
    X509 *certificate = NULL;
    assert_done(certificate_parse(pem, strlen(pem), &certificate, error));
    return certificate;
}

static inline char *play_request(EVP_PKEY *key) {
    char *pem = NULL;
    assert_done(certificate_request_text(key, &pem, error));
    return pem;
}

/* A certificate for 90 days. */
static inline char *play_sign(const Authority *authority, const char *request, const char *host) {
    AuthorityRequest asked = {
        .pem = request, .size = strlen(request), .host = host, .valid_ms = 90 * PLAY_DAY_MS};
    char *pem = NULL;
    assert_done(authority_sign_host(authority, &asked, PLAY_NOW_MS, &pem, NULL, error));
    return pem;
}

/* A host's certificate for a key that nobody keeps. */
static inline char *play_host(const Authority *authority, const char *host) {
    CERTIFICATE_KEY_AUTO key = play_key();
    FREE_AUTO char *request = play_request(key);
    return play_sign(authority, request, host);
}

static inline Error play_verify(const Authority *authority, const char *pem, int64_t now_ms,
                                CertificateHost *out) {
    Error problem = {.kind = ERROR_NONE};
    CertificateHost host = {.name = ""};
    authority_verify(authority, pem, strlen(pem), now_ms, &host, &problem);
    if (out) *out = host;
    return problem;
}

#define assert_not_a_host(authority, pem, text)                                                              \
    do {                                                                                                     \
        Error found_ = play_verify(authority, pem, PLAY_NOW_MS, NULL);                                       \
        if (found_.kind != ERROR_REFUSED || !strstr(found_.en, text))                                        \
            fail_msg("kind %d: %s", (int)found_.kind, found_.en);                                            \
        assert_int_equal(ERR_peek_error(), 0);                                                               \
    } while (0)

/* What a forger writes; NULL leaves an extension out. */
typedef struct PlayForgery {
    X509 *issuer; /* NULL: itself */
    EVP_PKEY *key, *signer;
    const char *common_name, *names, *usage, *basic;
} PlayForgery;

static inline void play_extension(X509 *certificate, int nid, const char *value) {
    if (!value) return;
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* PEM of a certificate that is valid at PLAY_NOW_MS; caller frees. */
static inline char *play_forge(const PlayForgery *forgery) {
    CERTIFICATE_AUTO certificate = X509_new();
    assert_non_null(certificate);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 77);
    ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)((PLAY_NOW_MS - PLAY_DAY_MS) / 1000));
    ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)((PLAY_NOW_MS + PLAY_DAY_MS) / 1000));
    X509_set_pubkey(certificate, forgery->key);
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)forgery->common_name, -1,
                               -1, 0);
    X509_set_issuer_name(certificate, forgery->issuer ? X509_get_subject_name(forgery->issuer) : subject);
    play_extension(certificate, NID_basic_constraints, forgery->basic);
    play_extension(certificate, NID_ext_key_usage, forgery->usage);
    play_extension(certificate, NID_subject_alt_name, forgery->names);
    assert_true(X509_sign(certificate, forgery->signer, EVP_sha256()) > 0);
    return certificate_text(certificate);
}
