/* Tasks: what people ask of one host outside of any change, and what it answers. */
#include "base/cleanup.h"
#include "base/json.h"
#include "server/route.h"
#include <errno.h>

enum { WAIT_MOST_MS = 60000 };

static int ask(RouteCall *call, Error *error) {
    JSON_AUTO body = NULL;
    Task task;
    char id[TASK_ID_SIZE];
    if (route_body(call, &body, error) < 0 || task_from_json(body, &task, error) < 0) return -1;
    FleetTask asked = {.host = call->parameters[0], .by = route_who(call), .task = body};
    if (fleet_ask(call->controller->fleet, &asked, id, error) < 0) return -1;
    json_t *answer = json_object();
    json_set_text(answer, "task", id);
    json_set_text(answer, "host", asked.host);
    route_answer(call, 201, answer);
    return 0;
}

static int look(RouteCall *call, Error *error) {
    Fleet *fleet = call->controller->fleet;
    const char *host = call->parameters[0], *id = call->parameters[1];
    int64_t revision, wait_ms;
    ServerTicket ticket;
    if (route_number(call, "revision", 0, &revision, error) < 0 ||
        route_number(call, "wait_ms", 0, &wait_ms, error) < 0)
        return -1;
    json_t *now = fleet_task(fleet, host, id);
    if (!now) {
        error_set(error, ERROR_INVALID, "no such task of %s is known here", host);
        error->number = ENOENT;
        return error_hint(error, "a controller that was started again has forgotten them: ask once more");
    }
    if (wait_ms == 0 || json_get_integer(now, "revision", 0) > revision) {
        route_answer(call, 200, now);
        return 0;
    }
    json_decref(now);
    if (wait_ms > WAIT_MOST_MS) wait_ms = WAIT_MOST_MS;
    if (server_park(call->request, wait_ms, 204, &ticket, error) < 0) return -1;
    fleet_park_task(fleet, host, id, revision, ticket);
    return 0;
}

const Route route_task[] = {
    {"POST", "/api/v1/hosts/{host}/tasks", ACCESS_OPERATE, ask,
     "Ask a host to look at its restore points, to put files back, to start or stop a service"},
    {"GET", "/api/v1/hosts/{host}/tasks/{task}", ACCESS_OPERATE, look,
     "How it stands; parked until there is something newer than `revision`"},
    {0},
};
