#include "wire/call.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "wire/call_room.h"
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

static Digest certificate_digest(X509 *certificate) {
    unsigned char *bytes = NULL;
    int size = i2d_X509(certificate, &bytes);
    if (size < 0) abort();
    Digest digest = digest_of(bytes, (size_t)size);
    OPENSSL_free(bytes);
    return digest;
}

/* The first certificate of a PEM text, or NULL. */
static X509 *certificate_of(const char *pem) {
    BIO *bio = BIO_new_mem_buf(pem, -1);
    if (!bio) abort();
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return certificate;
}

static X509_STORE *store_of(X509 *certificate) {
    X509_STORE *store = X509_STORE_new();
    if (!store || !X509_STORE_add_cert(store, certificate)) abort();
    return store;
}

/* All the certificates of a PEM text: while a CA is being replaced there are two. NULL when there is none. */
static X509_STORE *store_of_pem(const char *pem) {
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509_STORE *store = NULL;
    X509 *certificate;
    if (!bio) abort();
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        if (!store)
            store = store_of(certificate);
        else if (!X509_STORE_add_cert(store, certificate))
            abort();
        X509_free(certificate);
    }
    BIO_free(bio);
    ERR_clear_error();
    return store;
}

int call_fingerprint(const char *ca_pem, char out[static DIGEST_TEXT_SIZE], Error *error) {
    X509 *certificate = certificate_of(ca_pem);
    if (!certificate) return error_set(error, ERROR_INVALID, "the CA's certificate cannot be read");
    Digest digest = certificate_digest(certificate);
    X509_free(certificate);
    digest_to_text(&digest, out);
    return 0;
}

/* The chain the server sent, against the one pinned CA in it. Having that very certificate as the only trust
 * anchor leaves everything else (signatures, dates, purposes) to OpenSSL's own verification. */
static int verify_pinned(X509_STORE_CTX *given, void *context) {
    CallClient *client = context;
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(given);
    int verdict = X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN; /* a CA, but not the one */
    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *candidate = sk_X509_value(chain, i);
        Digest digest = certificate_digest(candidate);
        if (!digest_equal(&digest, &client->pin)) continue;
        X509_STORE *store = store_of(candidate);
        X509_STORE_CTX *own = X509_STORE_CTX_new();
        if (!own || !X509_STORE_CTX_init(own, store, X509_STORE_CTX_get0_cert(given), chain) ||
            !X509_STORE_CTX_set_default(own, "ssl_server"))
            abort();
        X509_verify_cert(own);
        verdict = X509_STORE_CTX_get_error(own);
        X509_STORE_CTX_free(own);
        X509_STORE_free(store);
        break;
    }
    client->pin_problem = verdict;
    X509_STORE_CTX_set_error(given, verdict);
    return verdict == X509_V_OK;
}

/* libcurl has filled the context with its own idea of trust (the system's CAs); ours replaces it. */
static CURLcode on_tls(CURL *handle, void *tls, void *context) {
    (void)handle;
    CallClient *client = context;
    if (client->store)
        SSL_CTX_set1_cert_store(tls, client->store);
    else
        SSL_CTX_set_cert_verify_callback(tls, verify_pinned, client);
    return CURLE_OK;
}

static bool starts(const char *text, const char *start) { return strncmp(text, start, strlen(start)) == 0; }

static int settings_check(const CallSettings *settings, Digest *pin, X509_STORE **ca, Error *error) {
    const char *url = settings->base_url;
    bool is_tls = starts(url, "https://");
    bool is_local = starts(url, "http://127.0.0.1:") || starts(url, "http://[::1]:");
    const char *host = is_tls || is_local ? strstr(url, "://") + 3 : "";
    if (!*host || strpbrk(host, "/?#@\\ "))
        return error_set(error, ERROR_INVALID, "%s is not of the form https://HOST:PORT", url);
    if (is_tls && !settings->ca_pem == !settings->ca_fingerprint)
        return error_set(error, ERROR_INVALID, "either the CA's certificate or its fingerprint is needed");
    if (!settings->certificate_pem != !settings->key_pem)
        return error_set(error, ERROR_INVALID, "a client certificate and its key belong together");
    if (is_tls && settings->ca_fingerprint && !digest_from_text(settings->ca_fingerprint, pin))
        return error_set(error, ERROR_INVALID, "a fingerprint has 64 lower-case hexadecimal digits");
    if (is_tls && settings->ca_pem && !(*ca = store_of_pem(settings->ca_pem)))
        return error_set(error, ERROR_INVALID, "the CA's certificate cannot be read");
    return 0;
}

static char *copy_of(const char *text) {
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy) abort();
    return copy;
}

int call_client_new(const CallSettings *settings, CallClient **out, Error *error) {
    Digest pin = {0};
    X509_STORE *ca = NULL;
    if (settings_check(settings, &pin, &ca, error) < 0) return -1;
    CallClient *client = calloc(1, sizeof *client);
    if (!client) abort();
    client->pin = pin;
    client->store = ca;
    client->base_url = copy_of(settings->base_url);
    client->certificate_pem = copy_of(settings->certificate_pem);
    client->key_pem = copy_of(settings->key_pem);
    client->token = copy_of(settings->token);
    client->answer_max = settings->answer_max ? settings->answer_max : CALL_ANSWER_MAX;
    client->handle = transfer_new(CALL_TIMEOUT_MS, NULL);
    *out = client;
    return 0;
}

static void free_secret(char *text) {
    if (text) OPENSSL_cleanse(text, strlen(text));
    free(text);
}

void call_client_free(CallClient *client) {
    if (!client) return;
    curl_easy_cleanup(client->handle);
    X509_STORE_free(client->store);
    free(client->base_url);
    free(client->certificate_pem);
    free_secret(client->key_pem);
    free_secret(client->token);
    free(client);
}

static struct curl_blob blob_of(char *text) {
    return (struct curl_blob){.data = text, .len = strlen(text), .flags = CURL_BLOB_NOCOPY};
}

static void header_add(struct curl_slist **headers, const char *text) {
    struct curl_slist *longer = curl_slist_append(*headers, text);
    if (!longer) abort();
    *headers = longer;
}

void call_prepare(CallClient *client, const char *path, int64_t timeout_ms, const atomic_bool *cancel,
                  struct curl_slist **headers) {
    CURL *handle = client->handle;
    BUFFER_AUTO url = {0};
    buffer_printf(&url, "%s%s", client->base_url, path);
    client->pin_problem = 0;
    transfer_reset(handle, timeout_ms, cancel);
    curl_easy_setopt(handle, CURLOPT_URL, buffer_text(&url));
    curl_easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(handle, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(handle, CURLOPT_SSL_CTX_FUNCTION, on_tls);
    curl_easy_setopt(handle, CURLOPT_SSL_CTX_DATA, client);
    if (client->certificate_pem) {
        struct curl_blob certificate = blob_of(client->certificate_pem), key = blob_of(client->key_pem);
        curl_easy_setopt(handle, CURLOPT_SSLCERT_BLOB, &certificate);
        curl_easy_setopt(handle, CURLOPT_SSLKEY_BLOB, &key);
    }
    header_add(headers, "Expect:"); /* one round trip less; a refusal comes in time anyway */
    if (client->token) {
        BUFFER_AUTO authorization = {0};
        buffer_printf(&authorization, "Authorization: Bearer %s", client->token);
        header_add(headers, buffer_text(&authorization));
    }
}

int call_error_place(const CallClient *client, const char *method, const char *path, Error *error) {
    return error_prefix(error, "cannot %s %s%.*s", method, client->base_url, (int)strcspn(path, "?"), path);
}

int call_error(CallClient *client, CURLcode code, const char *method, const char *path, int64_t timeout_ms,
               Error *error) {
    if (client->pin_problem)
        error_set(error, ERROR_SYSTEM,
                  "the server's certificate is not from the CA with this fingerprint (X.509 code %d)",
                  client->pin_problem);
    else
        transfer_error(client->handle, code, timeout_ms, error);
    return call_error_place(client, method, path, error);
}

typedef struct Answer {
    Buffer body;
    size_t body_max, header_bytes;
    bool too_large;
} Answer;

static size_t on_header(char *bytes, size_t one, size_t size, void *context) {
    (void)bytes, (void)one;
    Answer *answer = context;
    answer->header_bytes += size;
    return answer->header_bytes <= 64 << 10 ? size : 0; /* 0: CURLE_WRITE_ERROR */
}

static size_t on_body(char *bytes, size_t one, size_t size, void *context) {
    (void)one;
    Answer *answer = context;
    answer->too_large = size > answer->body_max - answer->body.size;
    if (answer->too_large) return 0;
    buffer_append(&answer->body, bytes, size);
    return size;
}

static int answer_json(CURL *handle, const Buffer *body, int status, json_t **out, Error *error) {
    const char *type = NULL;
    curl_easy_getinfo(handle, CURLINFO_CONTENT_TYPE, &type);
    *out = NULL;
    if (body->size == 0) return 0;
    if (type && starts(type, "application/json") &&
        json_parse(body->data, body->size, "the answer", out, error) == 0)
        return 0;
    if (status / 100 != 2) return 0; /* from a proxy, say: the status tells enough */
    return error_set(error, ERROR_SYSTEM, "the answer is not JSON");
}

typedef struct CallBody {
    const void *bytes; /* NULL: none */
    size_t size;
    const char *type; /* a header's line */
} CallBody;

static int exchange(CallClient *client, const char *method, const char *path, const CallBody *body,
                    int64_t timeout_ms, const atomic_bool *cancel, int *status, json_t **answer,
                    Error *error) {
    CURL *handle = client->handle;
    CALL_HEADERS_AUTO headers = NULL;
    if (timeout_ms <= 0) timeout_ms = CALL_TIMEOUT_MS;
    Answer came = {.body_max = client->answer_max};
    call_prepare(client, path, timeout_ms, cancel, &headers);
    if (body->bytes) {
        header_add(&headers, body->type);
        curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->size);
        curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body->bytes);
    }
    curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, &came);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &came);
    CURLcode code = curl_easy_perform(handle);
    long got = 0;
    json_t *json = NULL;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &got);
    int result = -1;
    if (came.too_large) {
        error_set(error, ERROR_SYSTEM, "the answer is larger than %zu bytes", client->answer_max);
        call_error_place(client, method, path, error);
    } else if (code != CURLE_OK) {
        call_error(client, code, method, path, timeout_ms, error);
    } else if ((result = answer_json(handle, &came.body, (int)got, &json, error)) < 0) {
        call_error_place(client, method, path, error);
    }
    buffer_free(&came.body);
    if (result < 0) return -1;
    *status = (int)got;
    *answer = json;
    return 0;
}

int call(CallClient *client, const char *method, const char *path, const json_t *body, int64_t timeout_ms,
         const atomic_bool *cancel, int *status, json_t **answer, Error *error) {
    FREE_AUTO char *text = body ? json_text(body) : NULL;
    CallBody sent = {text, text ? strlen(text) : 0, "Content-Type: application/json"};
    return exchange(client, method, path, &sent, timeout_ms, cancel, status, answer, error);
}

int call_bytes(CallClient *client, const char *method, const char *path, const void *bytes, size_t size,
               int64_t timeout_ms, int *status, json_t **answer, Error *error) {
    CallBody sent = {bytes, size, "Content-Type: application/octet-stream"};
    return exchange(client, method, path, &sent, timeout_ms, NULL, status, answer, error);
}
