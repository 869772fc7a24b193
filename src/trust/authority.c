#include "trust/authority.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/random.h"
#include "trust/authority_revoked.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_NAME         "ca.key"
#define CERTIFICATE_NAME "ca.crt"
enum { SERIAL_BYTES = 16, DNS_NAME_MAX = 253, DNS_LABEL_MAX = 63 };
#define TIME_MAX_MS                                                                                          \
    ((int64_t)9000 * 365 * 24 * 60 * 60 * 1000) /* before the year 9999, the last in X.509                   \
                                                 */

static void names_cleanup(GENERAL_NAMES **names) { GENERAL_NAMES_free(*names); }
#define NAMES_AUTO __attribute__((cleanup(names_cleanup))) GENERAL_NAMES *

struct Authority {
    int dir;
    EVP_PKEY *key;
    X509 *certificate;
    char *certificate_pem;
    Digest fingerprint;
    int64_t not_before_ms, not_after_ms;
    AuthorityRevoked revoked;
};

/* ---- Making certificates ---- */

/* What a certificate is to say. */
typedef struct Form {
    EVP_PKEY *public;        /* whose it is */
    const char *common_name; /* at most 64 bytes */
    GENERAL_NAMES *names;    /* NULL: none; borrowed */
    const char *const *extensions;
    X509 *issuer; /* NULL: it signs itself */
    EVP_PKEY *signer;
    int64_t not_before_ms, not_after_ms;
} Form;

/* Pairs of name and value, as OpenSSL writes them; all are fixed texts, nothing from outside gets in here. */
static const char *const authority_extensions[] = {"basicConstraints",
                                                   "critical,CA:TRUE,pathlen:0",
                                                   "keyUsage",
                                                   "critical,keyCertSign,cRLSign",
                                                   "subjectKeyIdentifier",
                                                   "hash",
                                                   NULL};
static const char *const server_extensions[] = {"basicConstraints",
                                                "critical,CA:FALSE",
                                                "keyUsage",
                                                "critical,digitalSignature",
                                                "extendedKeyUsage",
                                                "serverAuth",
                                                "subjectKeyIdentifier",
                                                "hash",
                                                "authorityKeyIdentifier",
                                                "keyid:always",
                                                NULL};
static const char *const host_extensions[] = {"basicConstraints",
                                              "critical,CA:FALSE",
                                              "keyUsage",
                                              "critical,digitalSignature",
                                              "extendedKeyUsage",
                                              "critical,clientAuth",
                                              "subjectKeyIdentifier",
                                              "hash",
                                              "authorityKeyIdentifier",
                                              "keyid:always",
                                              NULL};

static bool add_extensions(X509 *certificate, const Form *form) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, form->issuer ? form->issuer : certificate, certificate, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&context);
    for (const char *const *pair = form->extensions; *pair; pair += 2) {
        X509_EXTENSION *extension = X509V3_EXT_nconf(NULL, &context, pair[0], pair[1]);
        bool is_added = extension && X509_add_ext(certificate, extension, -1) == 1;
        X509_EXTENSION_free(extension);
        if (!is_added) return false;
    }
    return !form->names ||
           X509_add1_ext_i2d(certificate, NID_subject_alt_name, form->names, 0, X509V3_ADD_DEFAULT) == 1;
}

static bool set_serial(X509 *certificate) {
    uint8_t bytes[SERIAL_BYTES];
    random_bytes(bytes, sizeof bytes);
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool is_set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return is_set;
}

static bool fill(X509 *certificate, const Form *form) {
    X509_NAME *subject = X509_get_subject_name(certificate);
    const unsigned char *name = (const unsigned char *)form->common_name;
    return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
           ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)(form->not_before_ms / 1000)) &&
           ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)(form->not_after_ms / 1000)) &&
           X509_set_pubkey(certificate, form->public) == 1 &&
           X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC, name, -1, -1, 0) == 1 &&
           X509_set_issuer_name(certificate, form->issuer ? X509_get_subject_name(form->issuer) : subject) ==
               1 &&
           add_extensions(certificate, form) && X509_sign(certificate, form->signer, EVP_sha256()) > 0;
}

static int make(const Form *form, X509 **out, Error *error) {
    X509 *certificate = X509_new();
    if (!certificate) abort();
    bool is_made = fill(certificate, form);
    ERR_clear_error();
    if (!is_made) {
        X509_free(certificate);
        return error_set(error, ERROR_SYSTEM, "cannot make a certificate: OpenSSL refuses");
    }
    *out = certificate;
    return 0;
}

/* X.509 has no shorter unit; the end is not cut short. */
static int64_t whole_seconds(int64_t ms) { return (ms + 999) / 1000 * 1000; }

static int check_times(int64_t valid_ms, int64_t now_ms, Error *error) {
    if (valid_ms < AUTHORITY_VALID_MIN_MS || valid_ms > AUTHORITY_VALID_MAX_MS)
        return error_set(error, ERROR_INVALID,
                         "a certificate cannot be valid for %lld ms: one minute to one hundred years",
                         (long long)valid_ms);
    if (now_ms < AUTHORITY_SKEW_MS || now_ms > TIME_MAX_MS - AUTHORITY_VALID_MAX_MS)
        return error_set(error, ERROR_INVALID, "the time %lld ms is none for a certificate; set the clock",
                         (long long)now_ms);
    return 0;
}

static int check_now(const Authority *authority, int64_t now_ms, Error *error) {
    if (now_ms < authority->not_before_ms) {
        error_set(error, ERROR_REFUSED, "the authority's own certificate is not valid yet");
        return error_hint(error, "set the clock");
    }
    if (now_ms < authority->not_after_ms) return 0;
    error_set(error, ERROR_REFUSED, "the authority's own certificate has expired");
    return error_hint(error, "make a new authority, and let the hosts join again");
}

/* Within the authority's own time. */
static int make_leaf(const Authority *authority, Form *form, int64_t valid_ms, int64_t now_ms, X509 **out,
                     Error *error) {
    if (check_times(valid_ms, now_ms, error) < 0) return -1;
    if (check_now(authority, now_ms, error) < 0) return -1;
    form->issuer = authority->certificate;
    form->signer = authority->key;
    form->not_before_ms = now_ms - AUTHORITY_SKEW_MS;
    if (form->not_before_ms < authority->not_before_ms) form->not_before_ms = authority->not_before_ms;
    form->not_after_ms = whole_seconds(now_ms + valid_ms);
    if (form->not_after_ms > authority->not_after_ms) form->not_after_ms = authority->not_after_ms;
    return make(form, out, error);
}

/* ---- Creating and opening ---- */

static int open_folder(const char *path, int *out, Error *error) {
    FD_AUTO dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", path);
    if (file_check_private(dir, path, error) < 0) return -1;
    *out = fd_take(&dir);
    return 0;
}

static int load_key(int dir, EVP_PKEY **out, Error *error) {
    CERTIFICATE_TEXT_AUTO text = {.size = 0};
    if (certificate_file_read(dir, KEY_NAME, true, &text, error) < 0) return -1;
    if (certificate_key_parse(text.data, text.size, out, error) < 0)
        return error_prefix(error, "cannot use %s", KEY_NAME);
    return 0;
}

/* The key first, the certificate last: where that is, the creation is complete. */
static int create_key(int dir, EVP_PKEY **out, Error *error) {
    CERTIFICATE_KEY_AUTO key = NULL;
    int there = file_exists(dir, KEY_NAME, error);
    if (there < 0) return -1;
    if (there) return load_key(dir, out, error);
    if (certificate_key_new(&key, error) < 0) return -1;
    char *pem = certificate_key_text(key);
    int result = certificate_file_create(dir, KEY_NAME, pem, strlen(pem), 0600, error);
    certificate_secret_free(pem);
    if (result == 0) *out = pointer_take(&key);
    return result;
}

static int create_in(int dir, int64_t valid_ms, int64_t now_ms, Error *error) {
    CERTIFICATE_KEY_AUTO key = NULL;
    CERTIFICATE_AUTO certificate = NULL;
    char mark[9], name[64];
    if (file_replace_tidy(dir, KEY_NAME, error) < 0 || file_replace_tidy(dir, CERTIFICATE_NAME, error) < 0 ||
        create_key(dir, &key, error) < 0 || authority_revoked_create(dir, error) < 0)
        return -1;
    random_name(mark, sizeof mark); /* people see two authorities apart */
    snprintf(name, sizeof name, "Upkeep authority %s", mark);
    Form form = {.public = key,
                 .common_name = name,
                 .extensions = authority_extensions,
                 .signer = key,
                 .not_before_ms = now_ms - AUTHORITY_SKEW_MS,
                 .not_after_ms = whole_seconds(now_ms + valid_ms)};
    if (make(&form, &certificate, error) < 0) return -1;
    FREE_AUTO char *pem = certificate_text(certificate);
    return certificate_file_create(dir, CERTIFICATE_NAME, pem, strlen(pem), 0644, error);
}

int authority_create(const char *path, int64_t valid_ms, int64_t now_ms, Error *error) {
    FD_AUTO dir = -1;
    if (check_times(valid_ms, now_ms, error) < 0 || file_make_dirs(path, 0700, error) < 0 ||
        open_folder(path, &dir, error) < 0)
        return -1;
    int there = file_exists(dir, CERTIFICATE_NAME, error);
    if (there < 0) return -1;
    if (there)
        return error_set(error, ERROR_REFUSED, "there is an authority in %s already; choose another folder",
                         path);
    if (create_in(dir, valid_ms, now_ms, error) < 0)
        return error_prefix(error, "cannot make an authority in %s", path);
    return 0;
}

void authority_close(Authority *authority) {
    if (!authority) return;
    if (authority->dir >= 0) close(authority->dir);
    EVP_PKEY_free(authority->key);
    X509_free(authority->certificate);
    free(authority->certificate_pem);
    authority_revoked_free(&authority->revoked);
    free(authority);
}

static int check_own(const Authority *authority, int64_t now_ms, Error *error) {
    X509 *certificate = authority->certificate;
    bool is_pair = EVP_PKEY_eq(X509_get0_pubkey(certificate), authority->key) == 1;
    bool is_authority = X509_check_ca(certificate) == 1 && X509_self_signed(certificate, 1) == 1;
    ERR_clear_error();
    if (!is_pair) {
        error_set(error, ERROR_REFUSED, "%s is not the certificate of %s", CERTIFICATE_NAME, KEY_NAME);
        return error_hint(error, "put both back from the same backup");
    }
    if (!is_authority)
        return error_set(error, ERROR_REFUSED, "%s is no authority's certificate", CERTIFICATE_NAME);
    return check_now(authority, now_ms, error);
}

static int load(Authority *authority, const char *path, int64_t now_ms, Error *error) {
    CERTIFICATE_TEXT_AUTO text = {.size = 0};
    if (open_folder(path, &authority->dir, error) < 0 ||
        load_key(authority->dir, &authority->key, error) < 0 ||
        certificate_file_read(authority->dir, CERTIFICATE_NAME, false, &text, error) < 0)
        return -1;
    if (certificate_parse(text.data, text.size, &authority->certificate, error) < 0)
        return error_prefix(error, "cannot use %s", CERTIFICATE_NAME);
    if (certificate_times(authority->certificate, &authority->not_before_ms, &authority->not_after_ms) < 0)
        return error_set(error, ERROR_REFUSED, "%s is no authority's certificate", CERTIFICATE_NAME);
    authority->certificate_pem = certificate_text(authority->certificate);
    authority->fingerprint = certificate_fingerprint(authority->certificate);
    if (check_own(authority, now_ms, error) < 0) return -1;
    return authority_revoked_load(authority->dir, &authority->revoked, error);
}

int authority_open(const char *path, int64_t now_ms, Authority **out, Error *error) {
    AUTHORITY_AUTO authority = calloc(1, sizeof *authority);
    if (!authority) abort();
    authority->dir = -1;
    if (load(authority, path, now_ms, error) < 0)
        return error_prefix(error, "cannot open the authority in %s", path);
    *out = pointer_take(&authority);
    return 0;
}

const char *authority_certificate(const Authority *authority) { return authority->certificate_pem; }

const Digest *authority_fingerprint(const Authority *authority) { return &authority->fingerprint; }

int64_t authority_not_after_ms(const Authority *authority) { return authority->not_after_ms; }

/* ---- Servers ---- */

/* RFC 1123 names, and RFC 6125's wildcard as the whole first label. */
static bool is_dns_name(const char *name) {
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-";
    if (strnlen(name, DNS_NAME_MAX + 1) > DNS_NAME_MAX) return false;
    const char *at = strncmp(name, "*.", 2) == 0 ? name + 2 : name;
    for (;;) {
        size_t length = strspn(at, letters);
        if (length == 0 || length > DNS_LABEL_MAX || at[0] == '-' || at[length - 1] == '-') return false;
        if (at[length] == '\0') return strspn(at, "0123456789") < length; /* else half an address */
        if (at[length] != '.') return false;
        at += length + 1;
    }
}

/* Takes `value` over, and aborts without memory. */
static void push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value) {
    GENERAL_NAME *name = GENERAL_NAME_new();
    if (!name || !value) abort();
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) <= 0) abort();
}

static void push_text(GENERAL_NAMES *names, int type, const char *text) {
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    if (!value || ASN1_STRING_set(value, text, -1) != 1) abort();
    push_name(names, type, value);
}

static int server_names(const char *const *list, size_t count, GENERAL_NAMES *names, Error *error) {
    if (count == 0 || count > AUTHORITY_NAMES_MAX)
        return error_set(error, ERROR_INVALID, "a server's certificate is for 1 to %d names, not %zu",
                         (int)AUTHORITY_NAMES_MAX, count);
    for (size_t i = 0; i < count; i++) {
        ASN1_OCTET_STRING *address = a2i_IPADDRESS(list[i]);
        ERR_clear_error();
        if (address)
            push_name(names, GEN_IPADD, address);
        else if (is_dns_name(list[i]))
            push_text(names, GEN_DNS, list[i]);
        else
            return error_set(error, ERROR_INVALID, "“%s” is neither a DNS name nor an IP address", list[i]);
    }
    return 0;
}

void authority_server_free(AuthorityServer *server) {
    certificate_secret_free(server->key_pem);
    free(server->certificate_pem);
    *server = (AuthorityServer){0};
}

int authority_issue_server(const Authority *authority, const char *const *names, size_t count,
                           int64_t valid_ms, int64_t now_ms, AuthorityServer *out, Error *error) {
    NAMES_AUTO alternatives = GENERAL_NAMES_new();
    CERTIFICATE_KEY_AUTO key = NULL;
    CERTIFICATE_AUTO certificate = NULL;
    if (!alternatives) abort();
    if (server_names(names, count, alternatives, error) < 0 || certificate_key_new(&key, error) < 0)
        return -1;
    Form form = {.public = key,
                 .common_name = "Upkeep controller", /* a name may be longer than a common name */
                 .names = alternatives,
                 .extensions = server_extensions};
    if (make_leaf(authority, &form, valid_ms, now_ms, &certificate, error) < 0) return -1;
    FREE_AUTO char *own = certificate_text(certificate);
    Buffer chain = {0};
    buffer_printf(&chain, "%s%s", own, authority->certificate_pem);
    *out = (AuthorityServer){.key_pem = certificate_key_text(key),
                             .certificate_pem = chain.data,
                             .not_after_ms = form.not_after_ms};
    return 0;
}

/* ---- Hosts ---- */

/* What can be wrong with it, short of signing it. */
static int request_key(const Authority *authority, const AuthorityRequest *request, int64_t now_ms,
                       EVP_PKEY **out, Error *error) {
    CERTIFICATE_KEY_AUTO key = NULL;
    if (!certificate_is_host_name(request->host))
        return error_set(
            error, ERROR_INVALID,
            "“%s” is not a name: letters, digits, “.”, “_”, “+” and “-”, beginning with a letter or digit",
            request->host);
    if (check_times(request->valid_ms, now_ms, error) < 0 || check_now(authority, now_ms, error) < 0 ||
        certificate_request_key(request->pem, request->size, &key, error) < 0)
        return -1;
    if (EVP_PKEY_eq(key, authority->key) == 1)
        return error_set(error, ERROR_REFUSED, "the request for a certificate has the authority's own key");
    *out = pointer_take(&key);
    return 0;
}

int authority_check_request(const Authority *authority, const AuthorityRequest *request, int64_t now_ms,
                            Error *error) {
    CERTIFICATE_KEY_AUTO key = NULL;
    return request_key(authority, request, now_ms, &key, error);
}

int authority_sign_host(const Authority *authority, const AuthorityRequest *request, int64_t now_ms,
                        char **pem_out, CertificateHost *host_out, Error *error) {
    NAMES_AUTO names = GENERAL_NAMES_new();
    CERTIFICATE_AUTO certificate = NULL;
    CERTIFICATE_KEY_AUTO key = NULL;
    char uri[32 + CERTIFICATE_HOST_SIZE];
    if (!names) abort();
    if (request_key(authority, request, now_ms, &key, error) < 0) return -1;
    snprintf(uri, sizeof uri, "upkeep://host/%s", request->host);
    push_text(names, GEN_DNS, request->host);
    push_text(names, GEN_URI, uri);
    Form form = {.public = key, .common_name = request->host, .names = names, .extensions = host_extensions};
    if (make_leaf(authority, &form, request->valid_ms, now_ms, &certificate, error) < 0) return -1;
    CertificateHost host;
    if (certificate_verify_host(authority->certificate, certificate, now_ms, &host, error) < 0)
        return error_prefix(error, "cannot use the certificate just made for %s", request->host);
    *pem_out = certificate_text(certificate);
    if (host_out) *host_out = host;
    return 0;
}

int authority_verify(const Authority *authority, const void *certificate, size_t size, int64_t now_ms,
                     CertificateHost *out, Error *error) {
    CERTIFICATE_AUTO presented = NULL;
    CertificateHost host;
    if (certificate_parse(certificate, size, &presented, error) < 0 ||
        certificate_verify_host(authority->certificate, presented, now_ms, &host, error) < 0)
        return -1;
    if (authority_is_revoked(authority, host.serial)) {
        error_set(error, ERROR_REFUSED, "the certificate %s of %s is revoked", host.serial, host.name);
        return error_hint(error, "let the host join again with a new token");
    }
    *out = host;
    return 0;
}

/* ---- Revoking ---- */

bool authority_is_revoked(const Authority *authority, const char *serial) {
    return authority_revoked_has(&authority->revoked, serial);
}

size_t authority_revoked_count(const Authority *authority) { return authority->revoked.count; }

int authority_revoke(Authority *authority, const char *serial, Error *error) {
    return authority_revoke_all(authority, &serial, 1, error);
}

int authority_revoke_all(Authority *authority, const char *const *serials, size_t count, Error *error) {
    return authority_revoked_add(authority->dir, &authority->revoked, serials, count, error);
}

int authority_reload(Authority *authority, Error *error) {
    return authority_revoked_load(authority->dir, &authority->revoked, error);
}
