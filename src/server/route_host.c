/* Hosts: the inventory, invitations, revoking. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/quantity.h"
#include "model/drift.h"
#include "server/route.h"
#include "trust/token.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INVITATION_VALID "1d"

/* ---- looking */

static int list_hosts(RouteCall *call, Error *error) {
    (void)error;
    json_t *answer = json_object(), *rows = json_array();
    InventoryList list = inventory_list(fleet_inventory(call->controller->fleet), call->arena);
    for (size_t i = 0; i < list.count; i++)
        json_array_append_new(rows, inventory_host_to_json(list.items[i]));
    fleet_inventory_end(call->controller->fleet);
    json_object_set_new(answer, "hosts", rows);
    route_answer(call, 200, answer);
    return 0;
}

static int no_host(const char *name, Error *error) {
    error_set(error, ERROR_INVALID, "there is no host %s", name);
    if (error) error->number = ENOENT;
    return -1;
}

static int show_host(RouteCall *call, Error *error) {
    Fleet *fleet = call->controller->fleet;
    const InventoryHost *host = inventory_host(fleet_inventory(fleet), call->parameters[0]);
    json_t *answer = host ? inventory_host_to_json(host) : NULL;
    fleet_inventory_end(fleet);
    if (!answer) return no_host(call->parameters[0], error);
    route_answer(call, 200, answer);
    return 0;
}

static int give_drift(RouteCall *call, Error *error) {
    const char *one = server_request_parameter(call->request, "one");
    const char *other = server_request_parameter(call->request, "other");
    if (!one || !other) return error_set(error, ERROR_INVALID, "name the environments: ?one=…&other=…");
    Drift drift = drift_compare(call->arena, fleet_inventory(call->controller->fleet), one, other);
    fleet_inventory_end(call->controller->fleet);
    route_answer(call, 200, drift_to_json(&drift));
    return 0;
}

/* ---- changing */

static json_t *event_of(const RouteCall *call, const char *type, const char *host) {
    json_t *event = json_object();
    json_set_text(event, "type", type);
    json_set_text(event, "host", host);
    json_set_text(event, "by", route_who(call));
    return event;
}

static void copy_pairs(json_t *event, const json_t *body) {
    static const char *const keys[] = {"labels", "vars"};
    for (size_t i = 0; i < 2; i++) {
        json_t *pairs = json_object_get(body, keys[i]);
        if (pairs) json_object_set(event, keys[i], pairs);
    }
}

static int write_invitation(RouteCall *call, const json_t *body, const char *text, int64_t expires_ms,
                            Error *error) {
    char id[TOKEN_ID_SIZE], expires[CLOCK_TEXT_SIZE];
    json_t *event = event_of(call, "host.invited", call->parameters[0]);
    snprintf(id, sizeof id, "%.10s", text + 5);
    clock_to_text(expires_ms, expires);
    json_set_text(event, "token_id", id);
    json_set_text(event, "expires", expires);
    copy_pairs(event, body);
    return fleet_write(call->controller->fleet, event, error);
}

static int invite(RouteCall *call, Error *error) {
    Controller *controller = call->controller;
    JSON_AUTO body = NULL;
    char text[TOKEN_TEXT_SIZE];
    int64_t valid_ms, now_ms = clock_wall_ms(controller->clock);
    if (route_body(call, &body, error) < 0) return -1;
    if (!certificate_is_host_name(call->parameters[0]))
        return error_set(error, ERROR_INVALID, "“%s” cannot be a host's name", call->parameters[0]);
    if (quantity_duration_parse(json_get_text(body, "valid", INVITATION_VALID), &valid_ms) < 0)
        return error_set(error, ERROR_INVALID, "“valid” must be a duration such as 30m or 1d");
    TokenRequest request = {.subject = call->parameters[0],
                            .fingerprint = authority_fingerprint(controller->authority),
                            .valid_ms = valid_ms};
    if (token_make(controller->tokens, &request, now_ms, text, error) < 0) return -1;
    int result = write_invitation(call, body, text, now_ms + valid_ms, error);
    if (result == 0) {
        json_t *answer = json_object();
        json_set_text(answer, "host", call->parameters[0]);
        json_set_text(answer, "token", text);
        route_answer(call, 201, answer);
    }
    explicit_bzero(text, sizeof text);
    return result;
}

static int answer_host(RouteCall *call) {
    json_t *answer = json_object();
    json_set_text(answer, "host", call->parameters[0]);
    route_answer(call, 200, answer);
    return 0;
}

static int describe(RouteCall *call, Error *error) {
    JSON_AUTO body = NULL;
    if (route_body(call, &body, error) < 0) return -1;
    json_t *event = event_of(call, "host.described", call->parameters[0]);
    copy_pairs(event, body);
    if (fleet_write(call->controller->fleet, event, error) < 0) return -1;
    return answer_host(call);
}

/* Every certificate it ever had from here: an older one may be valid yet. */
typedef struct Revoking {
    const char *host;
    int64_t now_ms;
    Arena *arena;
    const char **serials;
    size_t count, capacity;
} Revoking;

static void add_serial(Revoking *revoking, const char *serial) {
    if (revoking->count == revoking->capacity) {
        size_t capacity = revoking->capacity ? revoking->capacity * 2 : 16;
        const char **serials = ARENA_ARRAY(revoking->arena, capacity, const char *);
        for (size_t i = 0; i < revoking->count; i++) serials[i] = revoking->serials[i];
        revoking->serials = serials;
        revoking->capacity = capacity;
    }
    revoking->serials[revoking->count++] = arena_strdup(revoking->arena, serial);
}

static int note_serial(void *context, int64_t sequence, const json_t *event, Error *error) {
    (void)sequence, (void)error;
    Revoking *revoking = context;
    const char *serial = json_get_text(event, "serial", NULL);
    int64_t ends_ms = INT64_MAX;
    clock_from_text(json_get_text(event, "not_after", ""), &ends_ms);
    if (ends_ms < revoking->now_ms) return 0; /* over by itself */
    if (serial && strcmp(json_get_text(event, "host", ""), revoking->host) == 0) add_serial(revoking, serial);
    return 0;
}

static int revoke_serials(Controller *controller, const Revoking *revoking, Error *error) {
    pthread_rwlock_wrlock(&controller->authority_lock);
    int result = authority_revoke_all(controller->authority, revoking->serials, revoking->count, error);
    pthread_rwlock_unlock(&controller->authority_lock);
    return result;
}

/* Join tokens that wait for it: whoever has one shall not come back with it. */
static int void_tokens(RouteCall *call, const char *host, Error *error) {
    Token *tokens;
    size_t count;
    int folder = call->controller->tokens;
    if (token_list(folder, call->arena, &tokens, &count, error) < 0) return -1;
    for (size_t i = 0; i < count; i++)
        if (strcmp(tokens[i].subject, host) == 0 && token_remove(folder, tokens[i].id, error) < 0) return -1;
    return 0;
}

/* The event shuts the host out; its certificates, whichever it has had, follow. */
static int revoke_host(RouteCall *call, Error *error) {
    JSON_AUTO body = NULL;
    Fleet *fleet = call->controller->fleet;
    Revoking revoking = {
        .host = call->parameters[0], .now_ms = clock_wall_ms(call->controller->clock), .arena = call->arena};
    if (route_body(call, &body, error) < 0 || void_tokens(call, revoking.host, error) < 0) return -1;
    bool known = inventory_host(fleet_inventory(fleet), revoking.host) != NULL;
    fleet_inventory_end(fleet);
    if (!known) return no_host(call->parameters[0], error);
    json_t *event = event_of(call, "host.revoked", call->parameters[0]);
    json_set_text(event, "why", json_get_text(body, "why", NULL));
    if (fleet_write(fleet, event, error) < 0) return -1;
    fleet_tasks_drop(fleet, revoking.host);
    if (fleet_read(fleet, 0, "", note_serial, &revoking, error) < 0 ||
        revoke_serials(call->controller, &revoking, error) < 0)
        return -1;
    return answer_host(call);
}

static int remove_host(RouteCall *call, Error *error) {
    Fleet *fleet = call->controller->fleet;
    if (fleet_is_joined(fleet, call->parameters[0])) {
        error_set(error, ERROR_REFUSED, "%s is still joined", call->parameters[0]);
        return error_hint(error, "revoke it first: “upkeep host revoke %s”", call->parameters[0]);
    }
    const InventoryHost *known = inventory_host(fleet_inventory(fleet), call->parameters[0]);
    fleet_inventory_end(fleet);
    if (!known) return no_host(call->parameters[0], error);
    if (void_tokens(call, call->parameters[0], error) < 0) return -1;
    if (fleet_write(fleet, event_of(call, "host.removed", call->parameters[0]), error) < 0) return -1;
    return answer_host(call);
}

const Route route_host[] = {
    {"GET", "/api/v1/hosts", ACCESS_READ, list_hosts, "All hosts: state, labels, facts"},
    {"GET", "/api/v1/hosts/{host}", ACCESS_READ, show_host, "One host"},
    {"GET", "/api/v1/drift", ACCESS_READ, give_drift, "In what the hosts of two environments differ"},
    {"POST", "/api/v1/hosts/{host}/invite", ACCESS_ADMINISTER, invite, "A join token for it, told once"},
    {"POST", "/api/v1/hosts/{host}/describe", ACCESS_OPERATE, describe, "Set labels and variables"},
    {"POST", "/api/v1/hosts/{host}/revoke", ACCESS_ADMINISTER, revoke_host, "It is no longer of this fleet"},
    {"DELETE", "/api/v1/hosts/{host}", ACCESS_ADMINISTER, remove_host, "Forget it"},
    {0},
};
