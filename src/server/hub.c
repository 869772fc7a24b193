#include "server/hub.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct Listener {
    ServerTicket ticket;
    char *change; /* NULL: everything */
    char *bearer; /* who looks */
    int64_t past; /* up to there it was sent what the journal had */
} Listener;

struct Hub {
    pthread_mutex_t lock;
    Server *server;
    Listener listeners[HUB_STREAMS_MAX];
    size_t count;
    int64_t latest; /* the last event that was heard live */
};

Hub *hub_new(void) {
    Hub *hub = calloc(1, sizeof *hub);
    if (!hub) abort();
    pthread_mutex_init(&hub->lock, NULL);
    return hub;
}

static void listener_free(Listener *listener) {
    free(listener->change);
    if (listener->bearer) explicit_bzero(listener->bearer, strlen(listener->bearer));
    free(listener->bearer);
}

/* With the lock held. The last one takes its place: go through them from the end. */
static void drop(Hub *hub, size_t index) {
    listener_free(&hub->listeners[index]);
    hub->listeners[index] = hub->listeners[--hub->count];
}

void hub_free(Hub *hub) {
    if (!hub) return;
    for (size_t i = 0; i < hub->count; i++) listener_free(&hub->listeners[i]);
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}

void hub_set_server(Hub *hub, Server *server) {
    pthread_mutex_lock(&hub->lock);
    hub->server = server;
    pthread_mutex_unlock(&hub->lock);
}

static void append_event(Buffer *out, int64_t sequence, const json_t *event) {
    FREE_AUTO char *text = json_text(event);
    buffer_printf(out, "id: %lld\nevent: %s\ndata: %s\n\n", (long long)sequence,
                  json_get_text(event, "type", "event"), text);
}

static bool concerns(const char *wanted, const json_t *event) {
    return !wanted || strcmp(json_get_text(event, "change", ""), wanted) == 0;
}

void hub_hear(void *context, int64_t sequence, const json_t *event) {
    Hub *hub = context;
    pthread_mutex_lock(&hub->lock);
    if (sequence > hub->latest) hub->latest = sequence;
    if (hub->count > 0 && hub->server) {
        BUFFER_AUTO text = {0};
        append_event(&text, sequence, event);
        for (size_t i = hub->count; i-- > 0;) {
            Listener *listener = &hub->listeners[i];
            if (sequence <= listener->past || !concerns(listener->change, event)) continue;
            if (!server_stream_push(hub->server, listener->ticket, buffer_text(&text))) drop(hub, i);
        }
    }
    pthread_mutex_unlock(&hub->lock);
}

/* ---- the past of a new stream */

typedef struct Backlog {
    Buffer text;
    int64_t last;
    size_t count;
} Backlog;

static int add_past(void *context, int64_t sequence, const json_t *event, Error *error) {
    Backlog *backlog = context;
    if (++backlog->count > HUB_BACKLOG_MAX || backlog->text.size > HUB_BACKLOG_BYTES)
        return error_set(error, ERROR_REFUSED, "that is more of the past than a stream takes; begin later");
    append_event(&backlog->text, sequence, event);
    backlog->last = sequence;
    return 0;
}

static int64_t latest(Hub *hub) {
    pthread_mutex_lock(&hub->lock);
    int64_t sequence = hub->latest;
    pthread_mutex_unlock(&hub->lock);
    return sequence;
}

/* Read until nothing was heard while reading: what comes from then on comes live. With the lock held when it
 * returns 0. */
static int catch_up(Hub *hub, const char *change, Backlog *backlog, const HubPast *past, Error *error) {
    for (;;) {
        int64_t known = latest(hub);
        if (past->read(past->context, backlog->last, change, add_past, backlog, error) < 0) return -1;
        pthread_mutex_lock(&hub->lock);
        if (hub->latest == known) return 0;
        pthread_mutex_unlock(&hub->lock);
    }
}

/* Those whose clients have gone, and to whom nothing was said since. With the lock held. */
static void drop_gone(Hub *hub) {
    for (size_t i = hub->count; i-- > 0;) {
        if (hub->server && server_stream_push(hub->server, hub->listeners[i].ticket, "")) continue;
        drop(hub, i);
    }
}

void hub_review(Hub *hub, HubMay may, void *context) {
    pthread_mutex_lock(&hub->lock);
    for (size_t i = hub->server ? hub->count : 0; i-- > 0;) {
        if (may(context, hub->listeners[i].bearer)) continue;
        server_stream_end(hub->server, hub->listeners[i].ticket);
        drop(hub, i);
    }
    pthread_mutex_unlock(&hub->lock);
}

int hub_add(Hub *hub, ServerRequest *request, const HubStream *stream, const HubPast *past, Error *error) {
    Server *server = server_request_server(request); /* the hub's may be another already, or none yet */
    Listener listener = {.change = stream->change ? strdup(stream->change) : NULL,
                         .bearer = strdup(stream->bearer)};
    Backlog backlog = {.last = stream->after};
    int result = catch_up(hub, stream->change, &backlog, past, error);
    if (result == 0) {
        listener.past = backlog.last;
        if (hub->count == HUB_STREAMS_MAX) drop_gone(hub);
        if (hub->count == HUB_STREAMS_MAX)
            result = error_set(error, ERROR_REFUSED, "%d streams are open already", (int)HUB_STREAMS_MAX);
        else
            result = server_stream_open(request, &listener.ticket, error);
        if (result == 0) {
            server_stream_push(server, listener.ticket, buffer_text(&backlog.text));
            hub->listeners[hub->count++] = listener;
            listener = (Listener){0};
        }
        pthread_mutex_unlock(&hub->lock);
    }
    buffer_free(&backlog.text);
    listener_free(&listener);
    return result;
}
