/* The journal as it is stored: whoever reads it here can verify it at home (journal/journal_remote.h). */
#include "base/cleanup.h"
#include "base/json.h"
#include "server/route.h"
#include <pthread.h>
#include <stdlib.h>

enum { ROWS_MOST = 5000, ROWS_BYTES_MOST = 2 << 20 };

typedef struct Collecting {
    json_t *rows;
    size_t bytes;
    int64_t last;
    bool full;
} Collecting;

static int collect(void *context, const JournalRow *row, Error *error) {
    (void)error;
    Collecting *collecting = context;
    char hash[DIGEST_TEXT_SIZE];
    if (json_array_size(collecting->rows) >= ROWS_MOST || collecting->bytes > ROWS_BYTES_MOST)
        collecting->full = true;
    if (collecting->full) return 1;
    json_t *item = json_object();
    digest_to_text(&row->hash, hash);
    json_set_integer(item, "sequence", row->sequence);
    json_set_text(item, "change", row->change);
    json_object_set_new(item, "text", json_stringn(row->text, row->size));
    json_set_text(item, "hash", hash);
    json_array_append_new(collecting->rows, item);
    collecting->bytes += row->size;
    collecting->last = row->sequence;
    return 0;
}

/* {"rows": [{"sequence", "change", "text", "hash"}], "last", "more"}; the next ones by ?after=LAST. */
static int give_rows(RouteCall *call, Error *error) {
    Collecting collecting = {.rows = json_array()};
    const char *change = server_request_parameter(call->request, "change");
    if (route_number(call, "after", 0, &collecting.last, error) < 0 ||
        fleet_rows(call->controller->fleet, collecting.last, change, collect, &collecting, error) < 0) {
        json_decref(collecting.rows);
        return -1;
    }
    json_t *answer = json_object();
    json_object_set_new(answer, "rows", collecting.rows);
    json_set_integer(answer, "last", collecting.last);
    json_set_bool(answer, "more", collecting.full);
    route_answer(call, 200, answer);
    return 0;
}

static int give_head(RouteCall *call, Error *error) {
    int64_t sequence;
    Digest hash;
    char text[DIGEST_TEXT_SIZE];
    if (fleet_head(call->controller->fleet, &sequence, &hash, error) < 0) return -1;
    digest_to_text(&hash, text);
    json_t *answer = json_object();
    json_set_integer(answer, "sequence", sequence);
    json_set_text(answer, "hash", text);
    route_answer(call, 200, answer);
    return 0;
}

/* Reads everything, on a thread of the server: one at a time, so that the others go on serving. */
static int verify(RouteCall *call, Error *error) {
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    int64_t count = 0;
    if (pthread_mutex_trylock(&one_at_a_time) != 0)
        return error_set(error, ERROR_REFUSED, "the journal is being verified already; ask again in a while");
    int result = fleet_verify(call->controller->fleet, &count, error);
    pthread_mutex_unlock(&one_at_a_time);
    if (result < 0) return -1;
    json_t *answer = json_object();
    json_set_integer(answer, "events", count);
    route_answer(call, 200, answer);
    return 0;
}

const Route route_journal[] = {
    {"GET", "/api/v1/journal", ACCESS_READ, give_rows, "Events as they are stored, with their hashes"},
    {"GET", "/api/v1/journal/head", ACCESS_READ, give_head, "The last event's number and hash"},
    {"POST", "/api/v1/journal/verify", ACCESS_READ, verify, "Hold the whole journal against its chain"},
    {0},
};
