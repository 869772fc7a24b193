/* CallRoom: what the files of the client share. Private to wire/call*.c. */
#pragma once
#include "wire/call.h"
#include "wire/transfer.h"
#include <openssl/x509.h>

struct CallClient {
    CURL *handle;
    char *base_url, *certificate_pem, *key_pem, *token;
    size_t answer_max;
    X509_STORE *store; /* the CA, or NULL: `pin` holds */
    Digest pin;
    int pin_problem; /* X.509 code of the last chain that did not end in the pinned CA */
};

/* Begin anew on the client's handle: URL, TLS, credentials. *headers is the caller's to free. */
void call_prepare(CallClient *client, const char *path, int64_t timeout_ms, const atomic_bool *cancel,
                  struct curl_slist **headers);
/* "cannot METHOD URL: why". Returns -1. */
int call_error(CallClient *client, CURLcode code, const char *method, const char *path, int64_t timeout_ms,
               Error *error);
int call_error_place(const CallClient *client, const char *method, const char *path, Error *error);

static inline void call_headers_cleanup(struct curl_slist **headers) { curl_slist_free_all(*headers); }
#define CALL_HEADERS_AUTO __attribute__((cleanup(call_headers_cleanup))) struct curl_slist *
