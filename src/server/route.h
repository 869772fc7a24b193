/* Route: a row for everything that can be asked of a controller, and what every answer has in common.
 *
 * A handler has read nothing of the request when it is called but who asks; it answers (route_answer…), parks
 * or opens a stream, and returns 0 — or it returns -1 and the error becomes the answer: {"error", "error_zh",
 * "kind"} with a status by the error's kind. Whatever people change or try to change is journaled by the
 * table's walker: "api.called" with who, what and the status.
 */
#pragma once
#include "server/access.h"

enum { ROUTE_PARAMETERS = 2 };

typedef struct RouteCall {
    Controller *controller;
    ServerRequest *request;
    Access access;
    const char *parameters[ROUTE_PARAMETERS]; /* the {…} of the pattern, in order */
    Arena *arena;                             /* of this request */
} RouteCall;

typedef struct Route {
    const char *method;
    const char *pattern; /* "/api/v1/changes/{change}" */
    AccessNeed need;
    int (*handle)(RouteCall *call, Error *error);
    const char *summary; /* for the published description */
} Route;

/* Tables, each ended by a zero row. */
extern const Route route_agent[], route_change[], route_host[], route_journal[], route_package[],
    route_session[], route_status[], route_task[];
extern const Route *const route_tables[]; /* all of them, NULL-ended */

/* A ServerSettings.handle; `context` is the Controller. */
int route_handle(void *context, ServerRequest *request);

void route_answer(RouteCall *call, int status, json_t *json); /* takes `json` over */
/* {"error", "error_zh", "kind"}: a new reference, for whoever answers a parked request. */
json_t *route_error(const Error *error);
/* The body as a JSON object; a new reference. */
int route_body(RouteCall *call, json_t **out, Error *error);
/* A parameter of the query as a number of at least 0. */
int route_number(RouteCall *call, const char *name, int64_t fallback, int64_t *out, Error *error);
/* 429: too many wrong ones came from that address. */
int route_hold_off(RouteCall *call, Error *error);
/* The name of whoever asks, for the journal. */
const char *route_who(const RouteCall *call);
