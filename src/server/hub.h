/* Hub: event streams (text/event-stream) of people who look on, each of one change or of everything.
 *
 * An event is sent as "id: <sequence>", "event: <type>", "data: <JSON>". A stream begins with what the
 * journal has after the sequence number its client names, then goes on live; nothing is sent twice or left
 * out. It ends with its client, the server, or the right to look: hub_review() asks for that of everybody.
 */
#pragma once
#include "base/error.h"
#include "wire/server.h"
#include <jansson.h>
#include <stdbool.h>

typedef struct Hub Hub;

enum { HUB_STREAMS_MAX = 1024, HUB_BACKLOG_MAX = 10000, HUB_BACKLOG_BYTES = 4 << 20 };
/* What a server must keep for one stream (ServerLimits.stream_max): a past, and what happens while it goes.
 */
enum { HUB_STREAM_BYTES = 2 * HUB_BACKLOG_BYTES };

Hub *hub_new(void);
void hub_free(Hub *hub);                       /* NULL is allowed */
void hub_set_server(Hub *hub, Server *server); /* NULL: nobody can be reached */

/* A FleetEventHeard. */
void hub_hear(void *context, int64_t sequence, const json_t *event);

/* Where a stream's past comes from: calls `visit` for each event after `after`. */
typedef struct HubPast {
    int (*read)(void *context, int64_t after, const char *change,
                int (*visit)(void *context, int64_t sequence, const json_t *event, Error *error),
                void *visit_context, Error *error);
    void *context;
} HubPast;

typedef struct HubStream {
    const char *change; /* NULL: of everything */
    const char *bearer; /* who looks: what hub_review() asks for. Copied, and wiped at the end */
    int64_t after;      /* it begins with the next one */
} HubStream;

/* ERROR_REFUSED when there are too many. */
int hub_add(Hub *hub, ServerRequest *request, const HubStream *stream, const HubPast *past, Error *error);

/* Ends the streams of those who may look no longer. `may` is called for each, with the hub's lock held. */
typedef bool (*HubMay)(void *context, const char *bearer);
void hub_review(Hub *hub, HubMay may, void *context);
