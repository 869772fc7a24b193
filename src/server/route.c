#include "server/route.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const Route *const route_tables[] = {route_agent,   route_change, route_host, route_journal, route_package,
                                     route_session, route_status, route_task, NULL};

enum { PATH_MAX_BYTES = 512, QUOTA_RETRY_MS = 59000 /* an allowance grows slowly */ };

/* ---- finding the row */

/* Does `path` fit the pattern? Its {…} parts are copied into the arena. */
static bool fits(const char *pattern, const char *path, Arena *arena, const char **parameters) {
    size_t count = 0;
    while (*pattern && *path) {
        if (*pattern != '{') {
            if (*pattern++ != *path++) return false;
            continue;
        }
        size_t length = strcspn(path, "/");
        if (length == 0) return false;
        parameters[count++] = arena_strndup(arena, path, length);
        path += length;
        pattern += strcspn(pattern, "}") + 1;
    }
    return !*pattern && !*path;
}

bool controller_route(size_t number, ControllerRoute *out) {
    static const char *const needs[] = {
        [ACCESS_ANYONE] = "anyone",   [ACCESS_HOST] = "host",       [ACCESS_READ] = "read",
        [ACCESS_OPERATE] = "operate", [ACCESS_APPROVE] = "approve", [ACCESS_ADMINISTER] = "administer"};
    for (size_t t = 0; route_tables[t]; t++)
        for (const Route *route = route_tables[t]; route->method; route++) {
            if (number-- > 0) continue;
            *out = (ControllerRoute){route->method, route->pattern, needs[route->need], route->summary};
            return true;
        }
    return false;
}

/* NULL: no such path (*others NULL), or none with that method (*others: those that it has). */
static const Route *find(const char *method, const char *path, Arena *arena, const char **parameters,
                         const char **others) {
    *others = NULL;
    for (size_t t = 0; route_tables[t]; t++)
        for (const Route *route = route_tables[t]; route->method; route++) {
            if (!fits(route->pattern, path, arena, parameters)) continue;
            if (strcmp(route->method, method) == 0) return route;
            *others = *others ? arena_printf(arena, "%s, %s", *others, route->method) : route->method;
        }
    return NULL;
}

/* ---- answers */

void route_answer(RouteCall *call, int status, json_t *json) {
    server_answer_json(call->request, status, json);
    json_decref(json);
}

static int status_of(const Error *error) {
    if (error->number == ENOENT) return 404;
    if (error->number == EBUSY) return 503;
    if (error->number == EDQUOT) return 429;
    switch (error->kind) {
    case ERROR_INVALID: return 400;
    case ERROR_REFUSED: return 409;
    case ERROR_INTERRUPTED: return 503;
    default: return 500;
    }
}

json_t *route_error(const Error *error) {
    json_t *json = json_object();
    json_set_error(json, error);
    return json;
}

static int answer_error(RouteCall *call, int status, const Error *error) {
    json_t *json = route_error(error);
    if (status == 429) {
        char seconds[24];
        snprintf(seconds, sizeof seconds, "%" PRId64, call->access.retry_ms / 1000 + 1);
        server_header(call->request, "Retry-After", seconds);
    }
    if (status == 401) server_header(call->request, "WWW-Authenticate", "Bearer");
    route_answer(call, status, json);
    return status;
}

int route_body(RouteCall *call, json_t **out, Error *error) {
    JSON_AUTO json = NULL;
    if (server_request_body(call->request)->size == 0) {
        *out = json_object();
        return 0;
    }
    if (server_request_json(call->request, &json, error) < 0) return -1;
    if (!json_is_object(json)) return error_set(error, ERROR_INVALID, "the request's body is no JSON object");
    *out = pointer_take(&json);
    return 0;
}

int route_number(RouteCall *call, const char *name, int64_t fallback, int64_t *out, Error *error) {
    const char *text = server_request_parameter(call->request, name);
    char *end = NULL;
    if (!text) {
        *out = fallback;
        return 0;
    }
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9')
        return error_set(error, ERROR_INVALID, "%s must be a number, not %s", name, text);
    *out = number;
    return 0;
}

int route_hold_off(RouteCall *call, Error *error) {
    call->access.status = 429;
    return error_set(error, ERROR_REFUSED, "too many wrong tokens came from your address; wait a moment");
}

const char *route_who(const RouteCall *call) {
    return call->access.person.name[0] ? call->access.person.name : call->access.host;
}

/* ---- one request */

/* What people change, or try to. Hosts' doings have events of their own. Strangers who bring no token, or are
 * made to wait, are nobody: the journal grows no faster than they can guess. */
static void note_use(RouteCall *call, const Route *route, int status, const Error *error) {
    const char *method = server_request_method(call->request);
    if (route->need == ACCESS_HOST || route->need == ACCESS_ANYONE || status == 429) return;
    if (status == 401 && !server_request_header(call->request, "Authorization")) return;
    if (strcmp(method, "GET") == 0 && status != 401 && status != 403) return;
    json_t *event = json_object();
    json_set_text(event, "type", "api.called");
    json_set_text(event, "by", call->access.person.name[0] ? call->access.person.name : NULL);
    json_set_text(event, "address", server_request_peer(call->request)->address);
    json_set_text(event, "method", method);
    json_set_text(event, "path", server_request_path(call->request));
    if (status) json_set_integer(event, "status", status);
    if (status) json_set_text(event, "error", error->en);
    fleet_write(call->controller->fleet, event, NULL);
}

static int carry_out(RouteCall *call, const Route *route, Error *error) {
    if (access_check(call->controller, call->request, route->need, &call->access, error) < 0)
        return answer_error(call, call->access.status, error);
    call->access.status = 0;
    call->access.retry_ms = QUOTA_RETRY_MS;
    if (route->handle(call, error) == 0) return 0;
    return answer_error(call, call->access.status ? call->access.status : status_of(error), error);
}

static int answer_unknown(RouteCall *call, const char *other_methods) {
    Error error = {0};
    if (other_methods) server_header(call->request, "Allow", other_methods);
    error_set(&error, ERROR_INVALID, "there is nothing here: %s", server_request_path(call->request));
    return answer_error(call, other_methods ? 405 : 404, &error);
}

int route_handle(void *context, ServerRequest *request) {
    ARENA_AUTO arena = arena_new();
    RouteCall call = {.controller = context, .request = request, .arena = arena};
    Error error = {0};
    const char *path = server_request_path(request), *others = NULL;
    const Route *route = strlen(path) <= PATH_MAX_BYTES
                             ? find(server_request_method(request), path, arena, call.parameters, &others)
                             : NULL;
    if (!route) {
        answer_unknown(&call, others);
        return 0;
    }
    int status = carry_out(&call, route, &error);
    note_use(&call, route, status, &error);
    if (status >= 500) log_failure(LOG_LEVEL_ERROR, "request.failed", &error, "path", path);
    return 0;
}
