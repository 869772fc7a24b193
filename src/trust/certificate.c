#include "trust/certificate.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/random.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define HOST_URI "upkeep://host/"
enum { SERIAL_BYTES = 16, SUFFIX_SIZE = 9 };

static void bio_cleanup(BIO **bio) { BIO_free(*bio); }
#define BIO_AUTO __attribute__((cleanup(bio_cleanup))) BIO *
static void names_cleanup(GENERAL_NAMES **names) { GENERAL_NAMES_free(*names); }
#define NAMES_AUTO __attribute__((cleanup(names_cleanup))) GENERAL_NAMES *
static void bignum_cleanup(BIGNUM **number) { BN_free(*number); }
#define BIGNUM_AUTO __attribute__((cleanup(bignum_cleanup))) BIGNUM *
static void request_cleanup(X509_REQ **request) { X509_REQ_free(*request); }
#define REQUEST_AUTO __attribute__((cleanup(request_cleanup))) X509_REQ *
static void key_context_cleanup(EVP_PKEY_CTX **context) { EVP_PKEY_CTX_free(*context); }
#define KEY_CONTEXT_AUTO __attribute__((cleanup(key_context_cleanup))) EVP_PKEY_CTX *
static void store_cleanup(X509_STORE **store) { X509_STORE_free(*store); }
#define X509_STORE_AUTO __attribute__((cleanup(store_cleanup))) X509_STORE *
static void context_cleanup(X509_STORE_CTX **context) { X509_STORE_CTX_free(*context); }
#define CONTEXT_AUTO __attribute__((cleanup(context_cleanup))) X509_STORE_CTX *

void certificate_text_cleanup(CertificateText *text) { OPENSSL_cleanse(text, sizeof *text); }

void certificate_secret_free(char *text) {
    if (text) OPENSSL_cleanse(text, strlen(text));
    free(text);
}

/* Nobody may be there to be asked for a passphrase: OpenSSL would ask on the terminal. */
static int no_passphrase(char *text, int size, int writing, void *context) {
    (void)text, (void)size, (void)writing, (void)context;
    return -1;
}

/* Nothing may come as NULL. */
static BIO *reader_of(const void *bytes, size_t size) {
    BIO *bio = BIO_new_mem_buf(size ? bytes : "", (int)size);
    if (!bio) abort();
    return bio;
}

/* ---- Names ---- */

bool certificate_is_host_name(const char *name) {
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._+-";
    size_t length = strnlen(name, CERTIFICATE_HOST_SIZE);
    return length > 0 && length < CERTIFICATE_HOST_SIZE && strspn(name, letters) == length &&
           !strchr("._+-", name[0]);
}

bool certificate_is_serial(const char *text) {
    size_t length = strnlen(text, CERTIFICATE_SERIAL_SIZE);
    return length == CERTIFICATE_SERIAL_SIZE - 1 && strspn(text, "0123456789abcdef") == length;
}

/* ---- Keys ---- */

int certificate_key_new(EVP_PKEY **out, Error *error) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    ERR_clear_error();
    if (!key) return error_set(error, ERROR_SYSTEM, "cannot make a P-256 key: OpenSSL refuses");
    *out = key;
    return 0;
}

static bool is_p256(EVP_PKEY *key) {
    char group[32] = "", encoding[32] = "";
    KEY_CONTEXT_AUTO context = NULL;
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || EVP_PKEY_get_bits(key) != 256) return false;
    if (EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1 || strcmp(group, "prime256v1") != 0)
        return false;
    /* Parameters spelled out can be those of P-256 but for one (CVE-2020-0601). */
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof encoding, NULL) !=
            1 ||
        strcmp(encoding, OSSL_PKEY_EC_ENCODING_GROUP) != 0)
        return false;
    context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (!context) abort();
    return EVP_PKEY_public_check_quick(context) == 1; /* the cofactor is 1: a point on the curve will do */
}

int certificate_key_check(EVP_PKEY *key, Error *error) {
    bool is_good = key && is_p256(key);
    ERR_clear_error();
    if (is_good) return 0;
    return error_set(error, ERROR_REFUSED, "the key is of another kind than ECDSA P-256 on the named curve");
}

int certificate_key_parse(const char *pem, size_t size, EVP_PKEY **out, Error *error) {
    BIO_AUTO bio = reader_of(pem, size > CERTIFICATE_PEM_MAX ? 0 : size);
    CERTIFICATE_KEY_AUTO key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    ERR_clear_error();
    if (!key)
        return error_set(error, ERROR_INVALID, "there is no private key in PEM without a passphrase in it");
    if (certificate_key_check(key, error) < 0) return -1;
    *out = pointer_take(&key);
    return 0;
}

/* The content of a memory BIO as a text of its own. */
static char *text_of(BIO *bio) {
    char *bytes;
    long size = BIO_get_mem_data(bio, &bytes);
    char *text = malloc((size_t)size + 1);
    if (!text) abort();
    memcpy(text, bytes, (size_t)size);
    text[size] = '\0';
    return text;
}

char *certificate_key_text(EVP_PKEY *key) {
    BIO_AUTO bio = BIO_new(BIO_s_secmem());
    if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        abort(); /* only without memory */
    return text_of(bio);
}

int certificate_request_text(EVP_PKEY *key, char **out, Error *error) {
    REQUEST_AUTO request = X509_REQ_new();
    BIO_AUTO bio = BIO_new(BIO_s_mem());
    if (!request || !bio) abort();
    bool is_made = X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
                   X509_REQ_set_pubkey(request, key) == 1 && X509_REQ_sign(request, key, EVP_sha256()) > 0 &&
                   PEM_write_bio_X509_REQ(bio, request) == 1;
    ERR_clear_error();
    if (!is_made)
        return error_set(error, ERROR_SYSTEM, "cannot make a request for a certificate: OpenSSL refuses");
    *out = text_of(bio);
    return 0;
}

int certificate_request_key(const char *pem, size_t size, EVP_PKEY **out, Error *error) {
    if (size > CERTIFICATE_PEM_MAX)
        return error_set(error, ERROR_INVALID, "the request for a certificate is larger than %d bytes",
                         (int)CERTIFICATE_PEM_MAX);
    BIO_AUTO bio = reader_of(pem, size);
    REQUEST_AUTO request = PEM_read_bio_X509_REQ(bio, NULL, no_passphrase, NULL);
    ERR_clear_error();
    if (!request)
        return error_set(error, ERROR_INVALID, "what was sent is no request for a certificate in PEM");
    CERTIFICATE_KEY_AUTO key = X509_REQ_get_pubkey(request);
    if (certificate_key_check(key, error) < 0)
        return error_prefix(error, "cannot use the request for a certificate");
    bool is_signed = X509_REQ_verify(request, key) == 1;
    ERR_clear_error();
    if (!is_signed)
        return error_set(error, ERROR_REFUSED,
                         "the request for a certificate is not signed by the key that is in it");
    *out = pointer_take(&key);
    return 0;
}

/* ---- Certificates ---- */

static X509 *parse_der(const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    X509 *certificate = d2i_X509(NULL, &at, (long)size);
    if (certificate && at == (const unsigned char *)bytes + size) return certificate;
    X509_free(certificate);
    return NULL;
}

static X509 *parse_pem(const void *bytes, size_t size) {
    BIO_AUTO bio = reader_of(bytes, size);
    return PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
}

int certificate_parse(const void *bytes, size_t size, X509 **out, Error *error) {
    enum { DER_SEQUENCE = 0x30 };
    if (size > CERTIFICATE_PEM_MAX)
        return error_set(error, ERROR_INVALID, "the certificate is larger than %d bytes",
                         (int)CERTIFICATE_PEM_MAX);
    bool is_der = size > 0 && *(const unsigned char *)bytes == DER_SEQUENCE;
    X509 *certificate = size == 0 ? NULL : is_der ? parse_der(bytes, size) : parse_pem(bytes, size);
    ERR_clear_error();
    if (!certificate) return error_set(error, ERROR_INVALID, "that is no certificate in PEM or DER");
    *out = certificate;
    return 0;
}

char *certificate_text(X509 *certificate) {
    BIO_AUTO bio = BIO_new(BIO_s_mem());
    if (!bio || PEM_write_bio_X509(bio, certificate) != 1) abort(); /* only without memory */
    return text_of(bio);
}

Digest certificate_fingerprint(X509 *certificate) {
    Digest digest;
    unsigned size = 0;
    if (X509_digest(certificate, EVP_sha256(), digest.bytes, &size) != 1 || size != DIGEST_SIZE) abort();
    return digest;
}

int certificate_serial(X509 *certificate, char out[static CERTIFICATE_SERIAL_SIZE]) {
    uint8_t bytes[SERIAL_BYTES];
    BIGNUM_AUTO number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    bool is_ours =
        number && !BN_is_negative(number) && BN_bn2binpad(number, bytes, SERIAL_BYTES) == SERIAL_BYTES;
    ERR_clear_error();
    if (!is_ours) return -1;
    for (size_t i = 0; i < SERIAL_BYTES; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

static int time_ms(const ASN1_TIME *time, int64_t *out_ms) {
    struct tm parts;
    if (ASN1_TIME_to_tm(time, &parts) != 1) return -1;
    *out_ms = (int64_t)timegm(&parts) * 1000;
    return 0;
}

int certificate_times(X509 *certificate, int64_t *not_before_ms, int64_t *not_after_ms) {
    int64_t before = 0, after = 0;
    bool is_read = time_ms(X509_get0_notBefore(certificate), &before) == 0 &&
                   time_ms(X509_get0_notAfter(certificate), &after) == 0;
    ERR_clear_error();
    if (!is_read) return -1;
    *not_before_ms = before;
    *not_after_ms = after;
    return 0;
}

/* Copy a name out of ASN.1: only one of the strict charset, so no NUL hides what comes behind it. */
static bool take_name(const ASN1_STRING *string, const char *prefix, char out[static CERTIFICATE_HOST_SIZE]) {
    const char *bytes = (const char *)ASN1_STRING_get0_data(string);
    int length = ASN1_STRING_length(string), skip = (int)strlen(prefix);
    if (length <= skip || length - skip >= CERTIFICATE_HOST_SIZE || memcmp(bytes, prefix, (size_t)skip) != 0)
        return false;
    memcpy(out, bytes + skip, (size_t)(length - skip));
    out[length - skip] = '\0';
    return strlen(out) == (size_t)(length - skip) && certificate_is_host_name(out);
}

/* The host it is for: said by common name, DNS and URI alike, and nothing else is said. */
static bool take_host(X509 *certificate, char out[static CERTIFICATE_HOST_SIZE]) {
    char common[CERTIFICATE_HOST_SIZE], dns[CERTIFICATE_HOST_SIZE], uri[CERTIFICATE_HOST_SIZE];
    const X509_NAME *subject = X509_get_subject_name(certificate);
    if (X509_NAME_entry_count(subject) != 1 || X509_NAME_get_index_by_NID(subject, NID_commonName, -1) != 0 ||
        !take_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, 0)), "", common))
        return false;
    NAMES_AUTO names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    if (!names || sk_GENERAL_NAME_num(names) != 2) return false;
    const GENERAL_NAME *first = sk_GENERAL_NAME_value(names, 0), *second = sk_GENERAL_NAME_value(names, 1);
    if (first->type != GEN_DNS || second->type != GEN_URI || !take_name(first->d.dNSName, "", dns) ||
        !take_name(second->d.uniformResourceIdentifier, HOST_URI, uri))
        return false;
    if (strcmp(common, dns) != 0 || strcmp(common, uri) != 0) return false;
    memcpy(out, common, sizeof common);
    return true;
}

/* 0, or why OpenSSL does not accept it. */
static int chain_problem(X509 *authority, X509 *certificate, int64_t now_ms) {
    X509_STORE_AUTO store = X509_STORE_new();
    CONTEXT_AUTO context = X509_STORE_CTX_new();
    if (!store || !context || X509_STORE_add_cert(store, authority) != 1 ||
        X509_STORE_CTX_init(context, store, certificate, NULL) != 1)
        abort();
    X509_VERIFY_PARAM *parameters = X509_STORE_CTX_get0_param(context);
    if (X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_SSL_CLIENT) != 1) abort();
    X509_VERIFY_PARAM_set_time(parameters, (time_t)(now_ms / 1000));
    X509_VERIFY_PARAM_set_depth(parameters, 0); /* nothing between the authority and the host */
    bool is_good = X509_verify_cert(context) == 1;
    int problem = X509_STORE_CTX_get_error(context);
    ERR_clear_error();
    return is_good ? 0 : problem ? problem : X509_V_ERR_UNSPECIFIED;
}

static int refuse_chain(int problem, Error *error) {
    switch (problem) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        error_set(error, ERROR_REFUSED, "the certificate has expired");
        return error_hint(error, "look at both clocks, or let the host join again with a new token");
    case X509_V_ERR_CERT_NOT_YET_VALID:
        error_set(error, ERROR_REFUSED, "the certificate is not valid yet");
        return error_hint(error, "look at both clocks");
    case X509_V_ERR_INVALID_PURPOSE:
        return error_set(error, ERROR_REFUSED, "the certificate is not for a client");
    default:
        error_set(error, ERROR_REFUSED, "the certificate is not signed by this authority");
        return error_hint(error, "let the host join this controller with a new token");
    }
}

int certificate_verify_host(X509 *authority, X509 *certificate, int64_t now_ms, CertificateHost *out,
                            Error *error) {
    CertificateHost host = {.not_before_ms = 0};
    int problem = chain_problem(authority, certificate, now_ms);
    if (problem) return refuse_chain(problem, error);
    /* OpenSSL takes a certificate that says no purpose for one for every purpose. */
    bool is_host = X509_check_ca(certificate) == 0 &&
                   X509_get_extended_key_usage(certificate) == XKU_SSL_CLIENT &&
                   take_host(certificate, host.name) && certificate_serial(certificate, host.serial) == 0 &&
                   certificate_times(certificate, &host.not_before_ms, &host.not_after_ms) == 0;
    ERR_clear_error();
    if (!is_host) return error_set(error, ERROR_REFUSED, "the certificate is not one of a host");
    if (certificate_key_check(X509_get0_pubkey(certificate), error) < 0) return -1;
    if (out) *out = host;
    return 0;
}

/* ---- Files ---- */

static int read_bounded(int fd, CertificateText *out) {
    for (out->size = 0; out->size < sizeof out->data;) {
        ssize_t got = read(fd, out->data + out->size, sizeof out->data - out->size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) {
            out->data[out->size] = '\0';
            return 0;
        }
        out->size += (size_t)got;
    }
    errno = EFBIG;
    return -1;
}

int certificate_file_read(int dir, const char *name, bool private, CertificateText *out, Error *error) {
    FD_AUTO fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", name);
    bool is_file = S_ISREG(status.st_mode);
    if (private && is_file && (status.st_mode & 077) != 0)
        return error_set(
            error, ERROR_REFUSED,
            "the private key %s can be read by others (mode %04o); make it yours alone: chmod 600 %s", name,
            (unsigned)(status.st_mode & 07777), name);
    if (private && is_file && status.st_uid != 0 && status.st_uid != geteuid())
        return error_set(error, ERROR_REFUSED,
                         "the private key %s belongs to another user than the one who runs Upkeep", name);
    CERTIFICATE_TEXT_AUTO text = {.size = 0};
    if (!is_file) errno = EINVAL;
    if (!is_file || read_bounded(fd, &text) < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot read %s", name);
    *out = text;
    return 0;
}

static int write_synced(int dir, const char *temporary, const void *bytes, size_t size, mode_t mode,
                        Error *error) {
    FD_AUTO fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot create");
    if (fchmod(fd, mode) != 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot set the mode");
    if (file_write_all(fd, bytes, size, error) < 0) return -1;
    if (fsync(fd) != 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot make durable");
    if (close(fd_take(&fd)) != 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot close");
    return 0;
}

int certificate_file_create(int dir, const char *name, const void *bytes, size_t size, mode_t mode,
                            Error *error) {
    char suffix[SUFFIX_SIZE], temporary[NAME_MAX + 1];
    random_name(suffix, sizeof suffix);
    /* Named as file_replace() does, so that file_replace_tidy() knows what a crash leaves. */
    snprintf(temporary, sizeof temporary, ".%.200s.%s~", name, suffix);
    if (write_synced(dir, temporary, bytes, size, mode, error) < 0) {
        unlinkat(dir, temporary, 0);
        return error_prefix(error, "cannot write %s", name);
    }
    /* link, for rename would take the place of what is there. */
    int number = linkat(dir, temporary, dir, name, 0) == 0 ? 0 : errno;
    unlinkat(dir, temporary, 0);
    if (number == EEXIST)
        return error_set(error, ERROR_REFUSED, "%s exists already; choose another name, or remove it", name);
    if (number) return error_errno(error, ERROR_SYSTEM, number, "cannot write %s", name);
    return file_sync_dir(dir, error);
}
