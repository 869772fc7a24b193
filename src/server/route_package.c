/* Packages: uploads piece by piece, publishing, the list. */
#include "base/cleanup.h"
#include "base/json.h"
#include "server/route.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PUBLISH_WAIT_MS = 30 * 60 * 1000 };

static json_t *package_json(const DepotPackage *package) {
    json_t *row = json_object();
    json_set_text(row, "sha256", package->sha256);
    json_set_integer(row, "size", (int64_t)package->size);
    json_set_text(row, "name", package->name);
    json_set_text(row, "service", package->service);
    json_set_text(row, "version", package->version);
    json_set_text(row, "digest", package->digest);
    json_set_text(row, "published", package->published);
    return row;
}

static int list_packages(RouteCall *call, Error *error) {
    (void)error;
    DepotList list = depot_list(fleet_depot(call->controller->fleet), call->arena);
    json_t *answer = json_object(), *rows = json_array();
    for (size_t i = 0; i < list.count; i++) json_array_append_new(rows, package_json(&list.items[i]));
    json_object_set_new(answer, "packages", rows);
    route_answer(call, 200, answer);
    return 0;
}

/* {"published": bool, "offset": next byte} */
static int answer_upload(RouteCall *call, Error *error) {
    Depot *depot = fleet_depot(call->controller->fleet);
    DepotPackage package;
    uint64_t size = 0;
    bool published = depot_find(depot, call->arena, call->parameters[0], &package, NULL) == 0;
    if (depot_upload_size(depot, call->parameters[0], &size, error) < 0) return -1;
    json_t *answer = json_object();
    json_set_bool(answer, "published", published);
    json_set_integer(answer, "offset", (int64_t)size);
    route_answer(call, 200, answer);
    return 0;
}

static int take_piece(RouteCall *call, Error *error) {
    const Buffer *body = server_request_body(call->request);
    int64_t offset;
    if (route_number(call, "offset", 0, &offset, error) < 0 ||
        depot_upload(fleet_depot(call->controller->fleet), call->parameters[0], (uint64_t)offset, body->data,
                     body->size, error) < 0)
        return -1;
    return answer_upload(call, error);
}

/* ---- publishing takes as long as reading the package: a thread does it while the request is parked */

typedef struct Publishing {
    Controller *controller;
    Server *server;
    ServerTicket ticket;
    char sha256[DIGEST_TEXT_SIZE];
    char name[DEPOT_NAME_SIZE], by[PERSON_NAME_SIZE];
} Publishing;

static int publish_now(const Publishing *publishing, Error *error) {
    json_t *event = NULL;
    Fleet *fleet = publishing->controller->fleet;
    if (depot_publish(fleet_depot(fleet), publishing->sha256, publishing->name, &event, error) < 0) return -1;
    json_set_text(event, "by", publishing->by);
    return fleet_write(fleet, event, error);
}

static void *publish_in_thread(void *argument) {
    Publishing *publishing = argument;
    Error error = {0};
    BUFFER_AUTO body = {0};
    int status = 201;
    JSON_AUTO answer = NULL;
    if (publish_now(publishing, &error) < 0) {
        answer = route_error(&error);
        status = error.kind == ERROR_SYSTEM ? 500 : 409;
    } else {
        answer = json_object();
        json_set_text(answer, "sha256", publishing->sha256);
    }
    FREE_AUTO char *text = json_text(answer);
    buffer_text_append(&body, text);
    server_answer_parked(publishing->server, publishing->ticket, status, "application/json", &body);
    controller_leave(publishing->controller);
    free(publishing);
    return NULL;
}

static int publish(RouteCall *call, Error *error) {
    JSON_AUTO body = NULL;
    Digest digest;
    pthread_t thread;
    pthread_attr_t detached;
    if (route_body(call, &body, error) < 0) return -1;
    const char *name = json_get_text(body, "name", "");
    if (depot_check_name(name, error) < 0) return -1;
    if (!digest_from_text(call->parameters[0], &digest))
        return error_set(error, ERROR_INVALID, "%s is no SHA-256 in lower-case hexadecimal digits",
                         call->parameters[0]);
    Publishing *publishing = calloc(1, sizeof *publishing);
    if (!publishing) abort();
    publishing->controller = call->controller;
    publishing->server = server_request_server(call->request);
    snprintf(publishing->sha256, sizeof publishing->sha256, "%s", call->parameters[0]);
    snprintf(publishing->name, sizeof publishing->name, "%s", name);
    snprintf(publishing->by, sizeof publishing->by, "%s", route_who(call));
    if (!controller_enter(call->controller)) {
        free(publishing);
        return error_set(error, ERROR_INTERRUPTED, "the server is stopping");
    }
    if (server_park(call->request, PUBLISH_WAIT_MS, 503, &publishing->ticket, error) < 0) {
        controller_leave(call->controller);
        free(publishing);
        return -1;
    }
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &detached, publish_in_thread, publishing) != 0) abort();
    pthread_attr_destroy(&detached);
    return 0;
}

const Route route_package[] = {
    {"GET", "/api/v1/packages", ACCESS_READ, list_packages, "Published packages"},
    {"GET", "/api/v1/packages/{sha256}/upload", ACCESS_OPERATE, answer_upload, "How much of it has come"},
    {"PUT", "/api/v1/packages/{sha256}/upload", ACCESS_OPERATE, take_piece,
     "The bytes at ?offset=, at most 1 MiB"},
    {"POST", "/api/v1/packages/{sha256}/publish", ACCESS_OPERATE, publish,
     "Verify what has come, and keep it"},
    {0},
};
