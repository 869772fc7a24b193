/* Hub: event streams (text/event-stream) of people who look on, each of one change or of everything.
 *
 * An event is sent as "id: <sequence>", "event: <type>", "data: <JSON>". A stream begins with what the
 * journal has after the sequence number its client names, then goes on live; nothing is sent twice or left
 * out.
 */
#pragma once
#include "base/error.h"
#include "wire/server.h"
#include <jansson.h>

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

/* Begin a stream of `change` (NULL: of everything) after `after`. ERROR_REFUSED when there are too many. */
int hub_add(Hub *hub, ServerRequest *request, const char *change, int64_t after, const HubPast *past,
            Error *error);
