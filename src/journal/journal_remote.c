#include "journal/journal_remote.h"
#include "base/cleanup.h"
#include "base/json.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_TIMEOUT_MS = 60000 };

typedef struct Remote {
    CallClient *client;
} Remote;

static int refused(int status, const char *path, const json_t *answer, Error *error) {
    if (!json_get_error(answer, error))
        return error_set(error, ERROR_SYSTEM, "the controller answers %d to %.*s", status,
                         (int)strcspn(path, "?"), path);
    if (error && status == 404) error->number = ENOENT;
    return -1;
}

int journal_remote_call(CallClient *client, const char *method, const char *path, const json_t *body,
                        int64_t timeout_ms, json_t **answer, Error *error) {
    int status = 0;
    JSON_AUTO got = NULL;
    if (call(client, method, path, body, timeout_ms, NULL, &status, &got, error) < 0) return -1;
    if (status / 100 != 2) return refused(status, path, got, error);
    if (answer) *answer = pointer_take(&got);
    return 0;
}

/* ---- reading */

static int visit_row(const json_t *item, JournalRowVisit visit, void *context, Error *error) {
    const json_t *text = json_object_get(item, "text");
    JournalRow row = {.sequence = json_get_integer(item, "sequence", 0),
                      .change = json_get_text(item, "change", ""),
                      .text = json_string_value(text),
                      .size = json_string_length(text)};
    if (!row.text || !digest_from_text(json_get_text(item, "hash", ""), &row.hash))
        return error_set(error, ERROR_SYSTEM, "the controller's answer makes no sense");
    return visit(context, &row, error);
}

static int remote_read(void *self, int64_t after, const char *change, JournalRowVisit visit, void *context,
                       Error *error) {
    Remote *remote = self;
    for (bool more = true; more;) {
        FREE_AUTO char *path = NULL;
        JSON_AUTO answer = NULL;
        size_t index;
        json_t *item;
        if (asprintf(&path, "/api/v1/journal?after=%" PRId64 "%s%s", after, change ? "&change=" : "",
                     change ? change : "") < 0)
            abort();
        if (journal_remote_call(remote->client, "GET", path, NULL, PAGE_TIMEOUT_MS, &answer, error) < 0)
            return -1;
        json_array_foreach(json_object_get(answer, "rows"), index, item) {
            int result = visit_row(item, visit, context, error);
            if (result != 0) return result;
        }
        int64_t last = json_get_integer(answer, "last", after);
        more = json_get_bool(answer, "more", false) && last > after;
        after = last;
    }
    return 0;
}

static int remote_last(void *self, int64_t *sequence, Digest *hash, Error *error) {
    Remote *remote = self;
    JSON_AUTO answer = NULL;
    if (journal_remote_call(remote->client, "GET", "/api/v1/journal/head", NULL, 0, &answer, error) < 0)
        return -1;
    if (!digest_from_text(json_get_text(answer, "hash", ""), hash))
        return error_set(error, ERROR_SYSTEM, "the controller's answer makes no sense");
    *sequence = json_get_integer(answer, "sequence", 0);
    return 0;
}

/* ---- what is the controller's alone */

static int refuse(Error *error) {
    return error_set(error, ERROR_REFUSED, "only the controller itself writes to its journal");
}

static int remote_begin(void *self, Error *error) {
    (void)self;
    return refuse(error);
}

static void remote_cancel(void *self) { (void)self; }

static int remote_insert(void *self, const JournalRow *row, Error *error) {
    (void)self, (void)row;
    return refuse(error);
}

static const JournalDriver remote_driver = {.begin = remote_begin,
                                            .commit = remote_begin,
                                            .cancel = remote_cancel,
                                            .last = remote_last,
                                            .insert = remote_insert,
                                            .read = remote_read,
                                            .close = free};

Journal *journal_remote_new(CallClient *client) {
    Remote *remote = calloc(1, sizeof *remote);
    if (!remote) abort();
    remote->client = client;
    return journal_new(&remote_driver, remote);
}
