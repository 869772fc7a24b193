/* Certificates: authorities and identities made on the spot, as PEM texts in memory. */
#pragma once
#include "support/test.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>

typedef struct Authority {
    EVP_PKEY *key;
    X509 *certificate;
    char *pem;
} Authority;

typedef struct Identity {
    char *pem, *key_pem; /* pem: one's own certificate, then the authority's */
    X509 *certificate;
} Identity;

/* A test_identity as it shall be; zero: a client's, valid now. */
typedef struct IdentityWish {
    const char *names;      /* as OpenSSL writes them: "IP:127.0.0.1"; NULL: none */
    const char *purpose;    /* "serverAuth"; NULL: "clientAuth" */
    long from_s, to_s;      /* from now; both 0: a day back and a day on */
    bool without_authority; /* pem holds only one's own */
} IdentityWish;

static inline void authority_extend(X509 *certificate, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static inline X509 *authority_certificate(EVP_PKEY *key, const char *name, long from_s, long to_s) {
    static long serial = 1;
    X509 *certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), to_s);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    return certificate;
}

/* What was written to `bio`, which is freed. Caller frees. */
static inline char *authority_text(BIO *bio) {
    char *bytes;
    long size = BIO_get_mem_data(bio, &bytes);
    char *text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    memcpy(text, bytes, (size_t)size); /* they do not end in NUL */
    BIO_free(bio);
    return text;
}

static inline void authority_make(Authority *out, const char *name) {
    out->key = EVP_EC_gen("P-256");
    out->certificate = authority_certificate(out->key, name, -86400, 86400);
    X509_set_issuer_name(out->certificate, X509_get_subject_name(out->certificate));
    authority_extend(out->certificate, out->certificate, NID_basic_constraints, "critical,CA:TRUE");
    authority_extend(out->certificate, out->certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
    authority_extend(out->certificate, out->certificate, NID_subject_key_identifier, "hash");
    assert_true(X509_sign(out->certificate, out->key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, out->certificate);
    out->pem = authority_text(bio);
}

static inline void authority_free(Authority *authority) {
    EVP_PKEY_free(authority->key);
    X509_free(authority->certificate);
    free(authority->pem);
}

static inline void identity_make(Identity *out, const Authority *by, IdentityWish wish) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!wish.from_s && !wish.to_s) wish.from_s = -86400, wish.to_s = 86400;
    X509 *certificate = authority_certificate(key, "somebody", wish.from_s, wish.to_s);
    X509_set_issuer_name(certificate, X509_get_subject_name(by->certificate));
    authority_extend(certificate, by->certificate, NID_basic_constraints, "CA:FALSE");
    authority_extend(certificate, by->certificate, NID_authority_key_identifier, "keyid");
    authority_extend(certificate, by->certificate, NID_ext_key_usage,
                     wish.purpose ? wish.purpose : "clientAuth");
    if (wish.names) authority_extend(certificate, by->certificate, NID_subject_alt_name, wish.names);
    assert_true(X509_sign(certificate, by->key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate);
    if (!wish.without_authority) PEM_write_bio_X509(bio, by->certificate);
    out->pem = authority_text(bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    out->key_pem = authority_text(bio);
    out->certificate = certificate;
    EVP_PKEY_free(key);
}

static inline void identity_free(Identity *identity) {
    X509_free(identity->certificate);
    free(identity->pem);
    free(identity->key_pem);
}
