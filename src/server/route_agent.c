/* What hosts ask and tell: docs/reference/agent-protocol.md. */
#include "base/cleanup.h"
#include "base/json.h"
#include "server/route.h"
#include "trust/token.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FACTS_DEPTH_MAX = 12, WAIT_MOST_MS = 60000, HEARD_WAIT_MS = 10000 };

/* ---- joining */

static int write_certificate(RouteCall *call, const char *type, const CertificateHost *host, Error *error) {
    json_t *event = json_object();
    json_set_text(event, "type", type);
    json_set_text(event, "host", host->name);
    json_set_text(event, "serial", host->serial);
    json_set_time(event, "not_after", host->not_after_ms);
    json_set_text(event, "address", server_request_peer(call->request)->address);
    return fleet_write(call->controller->fleet, event, error);
}

static int sign(RouteCall *call, const AuthorityRequest *request, const char *type, Error *error) {
    Controller *controller = call->controller;
    FREE_AUTO char *certificate = NULL;
    CertificateHost host;
    pthread_rwlock_rdlock(&controller->authority_lock);
    int result = authority_sign_host(controller->authority, request, clock_wall_ms(controller->clock),
                                     &certificate, &host, error);
    pthread_rwlock_unlock(&controller->authority_lock);
    if (result < 0 || write_certificate(call, type, &host, error) < 0) return -1;
    json_t *answer = json_object();
    json_set_text(answer, "host", host.name);
    json_set_text(answer, "certificate", certificate);
    json_set_text(answer, "authority", authority_certificate(controller->authority));
    route_answer(call, 200, answer);
    return 0;
}

static int check_request(RouteCall *call, const AuthorityRequest *request, Error *error) {
    Controller *controller = call->controller;
    pthread_rwlock_rdlock(&controller->authority_lock);
    int result =
        authority_check_request(controller->authority, request, clock_wall_ms(controller->clock), error);
    pthread_rwlock_unlock(&controller->authority_lock);
    return result;
}

static const char *refusal_text(TokenVerdict verdict) {
    static const char *const texts[] = {"good", "malformed", "unknown",  "wrong",
                                        "used", "expired",   "undecided"};
    return texts[verdict];
}

/* Why is for the journal; whoever came learns that the token will not do. */
static int refuse_token(RouteCall *call, TokenVerdict verdict, Error *error) {
    const char *address = server_request_peer(call->request)->address;
    json_t *event = json_object();
    json_set_text(event, "type", "host.refused");
    json_set_text(event, "address", address);
    json_set_text(event, "why", refusal_text(verdict));
    throttle_charge(call->controller->strangers, address, ACCESS_WRONG_COST,
                    clock_steady_ms(call->controller->clock));
    fleet_write(call->controller->fleet, event, NULL);
    error_set(error, ERROR_REFUSED,
              "this token will not do: it may be used, expired, or of another controller");
    return error_hint(error, "ask for a new one: “upkeep host invite NAME”");
}

static int join(RouteCall *call, Error *error) {
    Controller *controller = call->controller;
    JSON_AUTO body = NULL;
    Token token;
    TokenVerdict verdict;
    int64_t now_ms = clock_wall_ms(controller->clock);
    const char *address = server_request_peer(call->request)->address;
    if (!throttle_allow(controller->strangers, address, clock_steady_ms(controller->clock),
                        &call->access.retry_ms))
        return route_hold_off(call, error);
    if (route_body(call, &body, error) < 0) return -1;
    const char *pem = json_get_text(body, "request", "");
    AuthorityRequest request = {
        .pem = pem, .size = strlen(pem), .host = "unknown", .valid_ms = controller->spec.host_valid_ms};
    if (check_request(call, &request, error) < 0) return -1; /* before it costs the host its token */
    if (token_redeem(controller->tokens, json_get_text(body, "token", ""), now_ms, &token, &verdict, NULL) <
        0)
        return refuse_token(call, verdict, error);
    request.host = token.subject;
    return sign(call, &request, "host.joined", error);
}

/* Each renewal is one more serial to be revoked one day: not before half of a certificate's life is over. */
static int renew(RouteCall *call, Error *error) {
    JSON_AUTO body = NULL;
    const Access *access = &call->access;
    if (route_body(call, &body, error) < 0) return -1;
    const char *pem = json_get_text(body, "request", "");
    AuthorityRequest request = {.pem = pem,
                                .size = strlen(pem),
                                .host = access->host,
                                .valid_ms = call->controller->spec.host_valid_ms};
    if (check_request(call, &request, error) < 0) return -1;
    if (clock_wall_ms(call->controller->clock) < access->not_before_ms / 2 + access->not_after_ms / 2)
        return error_set(error, ERROR_REFUSED, "this certificate is good for longer yet: renew it later");
    return sign(call, &request, "host.renewed", error);
}

static int take_facts(RouteCall *call, Error *error) {
    JSON_AUTO body = NULL;
    if (route_body(call, &body, error) < 0) return -1;
    json_t *facts = json_object_get(body, "facts");
    if (!json_is_object(facts) || json_disarm(facts, FACTS_DEPTH_MAX) < 0)
        return error_set(error, ERROR_INVALID, "there are no facts in it");
    if (fleet_take_facts(call->controller->fleet, call->access.host, facts, error) < 0) return -1;
    route_answer(call, 200, json_object());
    return 0;
}

/* ---- work */

static int give_work(RouteCall *call, Error *error) {
    Fleet *fleet = call->controller->fleet;
    const char *seen = server_request_parameter(call->request, "seen");
    int64_t wait_ms;
    ServerTicket ticket;
    if (route_number(call, "wait_ms", 0, &wait_ms, error) < 0) return -1;
    JSON_AUTO work = fleet_work(fleet, call->access.host);
    bool is_news = !seen || strcmp(json_get_text(work, "seen", ""), seen) != 0;
    if (!is_news) fleet_tasks_arrived(fleet, call->access.host);
    if (wait_ms == 0 || is_news) {
        route_answer(call, 200, json_incref(work));
        return 0;
    }
    if (wait_ms > WAIT_MOST_MS) wait_ms = WAIT_MOST_MS;
    if (server_park(call->request, wait_ms, 204, &ticket, error) < 0) return -1;
    fleet_park_poll(fleet, call->access.host, seen, ticket);
    return 0;
}

static int take_reports(RouteCall *call, Error *error) {
    Fleet *fleet = call->controller->fleet;
    const char *change = call->parameters[0];
    JSON_AUTO body = NULL;
    int64_t heard = 0, last = 0;
    ServerTicket ticket;
    if (route_body(call, &body, error) < 0 ||
        fleet_report(fleet, change, call->access.host, json_object_get(body, "reports"), &heard, &last,
                     error) < 0)
        return -1;
    if (heard >= last) {
        json_t *answer = json_object();
        json_set_integer(answer, "heard", heard);
        route_answer(call, 200, answer);
        return 0;
    }
    if (server_park(call->request, HEARD_WAIT_MS, 503, &ticket, error) < 0) return -1;
    fleet_park_report(fleet, change, call->access.host, last, ticket);
    return 0;
}

static int take_word(RouteCall *call, Error *error) {
    JSON_AUTO word = NULL;
    if (route_body(call, &word, error) < 0 ||
        fleet_tell_task(call->controller->fleet, call->access.host, call->parameters[0], word, error) < 0)
        return -1;
    route_answer(call, 200, json_object());
    return 0;
}

static int give_document(RouteCall *call, Error *error) {
    json_t *document;
    if (fleet_document(call->controller->fleet, call->parameters[0], call->access.host, &document, error) < 0)
        return -1;
    route_answer(call, 200, document);
    return 0;
}

static int give_package(RouteCall *call, Error *error) {
    int fd;
    uint64_t size;
    if (depot_open_file(fleet_depot(call->controller->fleet), call->parameters[0], &fd, &size, error) < 0) {
        if (error) error->number = ENOENT;
        return -1;
    }
    const char *etag = arena_printf(call->arena, "\"%s\"", call->parameters[0]);
    server_answer_file(call->request, fd, size, "application/octet-stream", etag);
    return 0;
}

const Route route_agent[] = {
    {"POST", "/agent/v1/join", ACCESS_ANYONE, join, "Redeem a join token for a certificate"},
    {"POST", "/agent/v1/renew", ACCESS_HOST, renew, "A new certificate for a new key"},
    {"POST", "/agent/v1/facts", ACCESS_HOST, take_facts, "What the host is"},
    {"GET", "/agent/v1/work", ACCESS_HOST, give_work, "What waits for the host; parked until there is news"},
    {"GET", "/agent/v1/changes/{change}", ACCESS_HOST, give_document, "What the host must know of a change"},
    {"POST", "/agent/v1/changes/{change}/reports", ACCESS_HOST, take_reports, "What the host did, in order"},
    {"POST", "/agent/v1/tasks/{task}", ACCESS_HOST, take_word, "How far a task is, or how it ended"},
    {"GET", "/agent/v1/packages/{sha256}", ACCESS_HOST, give_package, "A package's bytes; ranges are served"},
    {0},
};
