/* Certificate: what authority and identity share of X.509 (RFC 5280): keys, PEM read within limits, files
 * that appear whole, times, and the names of hosts.
 *
 * Keys for TLS are ECDSA P-256, named curve; any other is refused. A host's certificate carries its name
 * three times, and all must agree: common name, subjectAltName DNS:<name>, and URI:upkeep://host/<name>. A
 * serial is 128 random bits, as text always 32 lower-case hexadecimal digits.
 *
 * Ownership: OpenSSL objects given out are the caller's; the …_AUTO macros free them. Texts given out are
 * malloc()ed. Times are milliseconds since 1970 UTC; X.509 keeps whole seconds. Errors: ERROR_INVALID for
 * what cannot be read, ERROR_REFUSED for what can be read and is not good enough, ERROR_SYSTEM for the
 * machine; no error tells a secret. OpenSSL's own queue of errors is empty again when a function returns.
 */
#pragma once
#include "base/digest.h"
#include "base/error.h"
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    CERTIFICATE_PEM_MAX = 16 << 10, /* bytes of any PEM or DER input */
    CERTIFICATE_HOST_SIZE = 65,     /* with NUL: X.520 allows a common name 64 */
    CERTIFICATE_SERIAL_SIZE = 33,   /* with NUL */
};

static inline void certificate_key_cleanup(EVP_PKEY **key) { EVP_PKEY_free(*key); }
static inline void certificate_x509_cleanup(X509 **certificate) { X509_free(*certificate); }
#define CERTIFICATE_KEY_AUTO __attribute__((cleanup(certificate_key_cleanup))) EVP_PKEY *
#define CERTIFICATE_AUTO     __attribute__((cleanup(certificate_x509_cleanup))) X509 *

/* The text of a file that may hold a private key: wiped when it goes. */
typedef struct CertificateText {
    size_t size;
    char data[CERTIFICATE_PEM_MAX + 1]; /* with NUL */
} CertificateText;
void certificate_text_cleanup(CertificateText *text);
#define CERTIFICATE_TEXT_AUTO __attribute__((cleanup(certificate_text_cleanup))) CertificateText
/* Wipe and free a malloc()ed text; NULL is allowed. */
void certificate_secret_free(char *text);

/* What a host's certificate says. */
typedef struct CertificateHost {
    char name[CERTIFICATE_HOST_SIZE];
    char serial[CERTIFICATE_SERIAL_SIZE];
    int64_t not_before_ms, not_after_ms;
} CertificateHost;

/* ---- Names ---- */

/* As names in plans: 1 to 64 letters, digits, “.”, “_”, “+” and “-”, beginning with a letter or digit. */
bool certificate_is_host_name(const char *name);
/* 32 lower-case hexadecimal digits. */
bool certificate_is_serial(const char *text);

/* ---- Keys ---- */

int certificate_key_new(EVP_PKEY **out, Error *error);
/* P-256 on the named curve, and a point on it? */
int certificate_key_check(EVP_PKEY *key, Error *error);
/* The first private key in the text. */
int certificate_key_parse(const char *pem, size_t size, EVP_PKEY **out, Error *error);
/* PKCS #8 PEM, not encrypted: caller frees with certificate_secret_free(). Never NULL. */
char *certificate_key_text(EVP_PKEY *key);
/* PEM of a request for a certificate, signed by `key`. It names nobody: the controller does. Caller frees. */
int certificate_request_text(EVP_PKEY *key, char **out, Error *error);

/* The public key of a request in PEM that is signed by that very key: its sender has the private half. All
 * else in it is ignored. */
int certificate_request_key(const char *pem, size_t size, EVP_PKEY **out, Error *error);

/* ---- Certificates ---- */

/* PEM (the first certificate in it) or DER (nothing behind it). */
int certificate_parse(const void *bytes, size_t size, X509 **out, Error *error);
/* PEM; caller frees. Never NULL. */
char *certificate_text(X509 *certificate);
/* SHA-256 of its DER: what a join token pins. */
Digest certificate_fingerprint(X509 *certificate);
/* -1 when it has one that is negative or longer than 128 bits: none of ours has. */
int certificate_serial(X509 *certificate, char out[static CERTIFICATE_SERIAL_SIZE]);
int certificate_times(X509 *certificate, int64_t *not_before_ms, int64_t *not_after_ms);
/* Is it the certificate of a host, signed by `authority`, for clients only, and valid at `now_ms`? Revocation
 * is not looked at. `out` may be NULL. */
int certificate_verify_host(X509 *authority, X509 *certificate, int64_t now_ms, CertificateHost *out,
                            Error *error);

/* ---- Files ---- */

/* A regular file `name` in `dir`, no link followed. With `private`, one that others may read, or that is
 * neither ours nor root's, is refused. ENOENT shows in error->number. */
int certificate_file_read(int dir, const char *name, bool private, CertificateText *out, Error *error);
/* Make `name` in `dir`, whole and durable at once; one that is there is ERROR_REFUSED and stays. */
int certificate_file_create(int dir, const char *name, const void *bytes, size_t size, mode_t mode,
                            Error *error);
