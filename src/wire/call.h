/* Call: a client's side of one server: JSON calls and downloads over HTTPS, with a client certificate.
 *
 * A CallClient keeps its connection between calls. It belongs to one thread at a time. Where the server
 * closed a kept connection just then, the request is sent again on a new one: what it asks for may happen
 * twice.
 *
 * Whom it trusts is said exactly once, and the system's CAs never count: `ca_pem`, or, for the first contact,
 * `ca_fingerprint`, the SHA-256 of the CA's certificate (DER). With the latter the server has to send that CA
 * in its chain, and only a chain that ends in it is accepted. The name or address in the URL must stand in
 * the server's certificate in both cases.
 *
 * Errors: as in wire/http.h: ERROR_SYSTEM for a network or a server that fails us, ERROR_INVALID for settings
 * that cannot be used, ERROR_INTERRUPTED after `cancel`. Any status is a success of call(). Keys, tokens and
 * bodies do not appear in errors; a path appears without its query. From the first use on the process
 * ignores SIGPIPE.
 */
#pragma once
#include "base/error.h"
#include "base/json.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct CallClient CallClient;

typedef struct CallSettings {
    const char *base_url; /* "https://host:port"; http:// only for loopback addresses */
    const char *ca_pem;
    const char *ca_fingerprint;  /* 64 lower-case hexadecimal digits; instead of ca_pem */
    const char *certificate_pem; /* ours, with key_pem; NULL: none is shown */
    const char *key_pem;
    const char *token; /* sent as "Authorization: Bearer …"; may be NULL */
    size_t answer_max; /* bytes of an answer; 0: CALL_ANSWER_MAX. More is an error */
} CallSettings;

enum { CALL_ANSWER_MAX = 4 << 20, CALL_TIMEOUT_MS = 10000, CALL_ETAG_SIZE = 160 };

/* Everything is copied. Free with call_client_free; NULL is allowed there. */
int call_client_new(const CallSettings *settings, CallClient **out, Error *error);
void call_client_free(CallClient *client);
static inline void call_client_cleanup(CallClient **client) { call_client_free(*client); }
#define CALL_CLIENT_AUTO __attribute__((cleanup(call_client_cleanup))) CallClient *

/* What a CA's `ca_fingerprint` is. */
int call_fingerprint(const char *ca_pem, char out[static DIGEST_TEXT_SIZE], Error *error);

/* One exchange: `path` begins with "/" and is encoded already; `body` may be NULL; `timeout_ms` 0:
 * CALL_TIMEOUT_MS, for all of it. *answer is a new reference, or NULL where the answer is no JSON: that is an
 * error only if the status is 2xx and a body came. */
int call(CallClient *client, const char *method, const char *path, const json_t *body, int64_t timeout_ms,
         const atomic_bool *cancel, int *status, json_t **answer, Error *error);

/* The same with a body of bytes. */
int call_bytes(CallClient *client, const char *method, const char *path, const void *bytes, size_t size,
               int64_t timeout_ms, int *status, json_t **answer, Error *error);

/* Carry on a download. `fd` holds what came so far (its size says how much) of the file whose strong ETag is
 * `etag`; with another or no ETag it begins anew, at byte 0. 0: it is whole. -1: what came stays in `fd`, and
 * calling again with the same structure goes on there (`status` says what the server answered, 0: nothing).
 */
typedef struct CallDownload {
    const char *path;
    int fd; /* regular, open for reading and writing; not fsynced */
    uint64_t size_max;
    int64_t stall_ms; /* this long without a byte is a failure; 0: CALL_TIMEOUT_MS. In whole seconds */
    const atomic_bool *cancel; /* may be NULL */
    char etag[CALL_ETAG_SIZE]; /* in: "" at first. Out: as soon as an answer begins, failures included */
    int status;                /* out */
    uint64_t resumed_at;       /* out: bytes that were there and did not have to come again */
} CallDownload;
int call_download(CallClient *client, CallDownload *download, Error *error);
