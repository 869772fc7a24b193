#include "agent/courier.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/random.h"
#include "wire/call.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ERRAND_MS = 30000, STALL_MS = 30000, UNKNOWN_HERE = ENOKEY };

struct Courier {
    CallClient *client;
    const atomic_bool *cancel;
};

int courier_new(const char *url, const Identity *identity, const atomic_bool *cancel, Courier **out,
                Error *error) {
    CallSettings settings = {.base_url = url,
                             .ca_pem = identity_authority_pem(identity),
                             .certificate_pem = identity_certificate_pem(identity),
                             .key_pem = identity_key_pem(identity),
                             .answer_max = 16 << 20};
    CallClient *client = NULL;
    if (call_client_new(&settings, &client, error) < 0) return -1;
    Courier *courier = calloc(1, sizeof *courier);
    if (!courier) abort();
    *courier = (Courier){client, cancel};
    *out = courier;
    return 0;
}

int courier_open(const Home *home, const char *url, const atomic_bool *cancel, Courier **out, Error *error) {
    ARENA_AUTO arena = arena_new();
    IDENTITY_AUTO identity = NULL;
    if (identity_load(home_path(home, arena, "identity"), &identity, error) < 0) return -1;
    return courier_new(url, identity, cancel, out, error);
}

void courier_free(Courier *courier) {
    if (!courier) return;
    call_client_free(courier->client);
    free(courier);
}

int64_t courier_pause_ms(int failures) {
    int64_t pause_ms = COURIER_PAUSE_LEAST_MS;
    uint32_t chance;
    for (int i = 1; i < failures && pause_ms < COURIER_PAUSE_MOST_MS; i++) pause_ms *= 2;
    if (pause_ms > COURIER_PAUSE_MOST_MS) pause_ms = COURIER_PAUSE_MOST_MS;
    random_bytes(&chance, sizeof chance);
    return pause_ms / 2 + (int64_t)(chance % (uint64_t)pause_ms);
}

bool courier_must_join(const Error *error) { return error->number == UNKNOWN_HERE; }

/* What the controller says when it says no: {"error": text}. */
static int refused(int status, const json_t *answer, const char *path, Error *error) {
    const char *why = json_get_text(answer, "error", NULL);
    if (why) /* its own trouble passes; what it refuses it refuses again */
        error_set(error, status >= 500 ? ERROR_SYSTEM : ERROR_REFUSED, "the controller refuses: %s", why);
    else
        error_set(error, ERROR_SYSTEM, "the controller answers %d to %.*s", status, (int)strcspn(path, "?"),
                  path);
    if (error && status == 401) error->number = UNKNOWN_HERE;
    if (error && status == 429) error->number = EDQUOT;
    return -1;
}

static int errand(CallClient *client, const char *method, const char *path, const json_t *body,
                  int64_t timeout_ms, const atomic_bool *cancel, json_t **out, Error *error) {
    int status = 0;
    JSON_AUTO answer = NULL;
    if (call(client, method, path, body, timeout_ms, cancel, &status, &answer, error) < 0) return -1;
    if (status / 100 != 2) return refused(status, answer, path, error);
    if (out) *out = pointer_take(&answer);
    return 0;
}

int courier_join(const CourierInvitation *invitation, const char *request_pem, json_t **out, Error *error) {
    CALL_CLIENT_AUTO client = NULL;
    CallSettings settings = {.base_url = invitation->url, .ca_fingerprint = invitation->fingerprint};
    JSON_AUTO body = json_object();
    if (call_client_new(&settings, &client, error) < 0) return -1;
    json_set_text(body, "token", invitation->token);
    json_set_text(body, "request", request_pem);
    return errand(client, "POST", "/agent/v1/join", body, ERRAND_MS, NULL, out, error);
}

int courier_work(Courier *courier, const char *seen, int64_t wait_ms, json_t **out, Error *error) {
    FREE_AUTO char *path = NULL;
    if (asprintf(&path, "/agent/v1/work?wait_ms=%" PRId64 "%s%s", wait_ms, seen ? "&seen=" : "",
                 seen ? seen : "") < 0)
        abort();
    return errand(courier->client, "GET", path, NULL, wait_ms + ERRAND_MS, courier->cancel, out, error);
}

int courier_report(Courier *courier, const char *change, const json_t *reports, json_t **out, Error *error) {
    FREE_AUTO char *path = NULL;
    JSON_AUTO body = json_object();
    json_object_set(body, "reports", (json_t *)reports);
    if (asprintf(&path, "/agent/v1/changes/%s/reports", change) < 0) abort();
    return errand(courier->client, "POST", path, body, ERRAND_MS, courier->cancel, out, error);
}

int courier_document(Courier *courier, const char *change, json_t **out, Error *error) {
    FREE_AUTO char *path = NULL;
    if (asprintf(&path, "/agent/v1/changes/%s", change) < 0) abort();
    if (errand(courier->client, "GET", path, NULL, ERRAND_MS, courier->cancel, out, error) < 0) return -1;
    if (*out) return 0;
    return error_set(error, ERROR_SYSTEM, "the controller's answer makes no sense");
}

int courier_facts(Courier *courier, const json_t *facts, Error *error) {
    JSON_AUTO body = json_object();
    json_object_set(body, "facts", (json_t *)facts);
    return errand(courier->client, "POST", "/agent/v1/facts", body, ERRAND_MS, courier->cancel, NULL, error);
}

int courier_task(Courier *courier, const char *id, const json_t *word, Error *error) {
    FREE_AUTO char *path = NULL;
    if (asprintf(&path, "/agent/v1/tasks/%s", id) < 0) abort();
    return errand(courier->client, "POST", path, word, ERRAND_MS, courier->cancel, NULL, error);
}

int courier_renew(Courier *courier, const char *request_pem, json_t **out, Error *error) {
    JSON_AUTO body = json_object();
    json_set_text(body, "request", request_pem);
    return errand(courier->client, "POST", "/agent/v1/renew", body, ERRAND_MS, courier->cancel, out, error);
}

int courier_package(Courier *courier, const char *sha256, uint64_t size, int fd, Error *error) {
    FREE_AUTO char *path = NULL;
    if (asprintf(&path, "/agent/v1/packages/%s", sha256) < 0) abort();
    CallDownload download = {
        .path = path, .fd = fd, .size_max = size, .stall_ms = STALL_MS, .cancel = courier->cancel};
    snprintf(download.etag, sizeof download.etag, "\"%s\"",
             sha256); /* the name is the content's: it never changes */
    if (call_download(courier->client, &download, error) == 0) return 0;
    if (error && download.status == 401) error->number = UNKNOWN_HERE;
    if (error && download.status == 404) error->number = ENOENT;
    return -1;
}
