/* Signing in, and who is who. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/quantity.h"
#include "server/route.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- signing in */

static void note_sign_in(RouteCall *call, const char *name, bool good) {
    json_t *event = json_object();
    json_set_text(event, "type", good ? "person.signed_in" : "person.refused");
    json_set_text(event, "by", good ? name : NULL); /* a wrong name may be a password, typed too early */
    json_set_text(event, "address", server_request_peer(call->request)->address);
    fleet_write(call->controller->fleet, event, NULL);
}

static int refuse(RouteCall *call, const char *address, const Error *why, Error *error) {
    Controller *controller = call->controller;
    if (why->number == EBUSY) {
        if (error) *error = *why;
        return -1;
    }
    throttle_charge(controller->strangers, address, ACCESS_WRONG_COST, clock_steady_ms(controller->clock));
    note_sign_in(call, NULL, false);
    call->access.status = 401;
    return error_set(error, ERROR_REFUSED, "this name and password are not good here");
}

static int sign_in(RouteCall *call, Error *error) {
    Controller *controller = call->controller;
    const char *address = server_request_peer(call->request)->address;
    int64_t now_ms = clock_steady_ms(controller->clock);
    JSON_AUTO body = NULL;
    Person person;
    Error why = {0};
    char text[BEARER_TEXT_SIZE];
    if (!throttle_allow(controller->strangers, address, now_ms, &call->access.retry_ms))
        return route_hold_off(call, error);
    if (route_body(call, &body, error) < 0) return -1;
    if (people_check_password(controller->people, json_get_text(body, "name", ""),
                              json_get_text(body, "password", ""), &person, NULL, &why) < 0)
        return refuse(call, address, &why, error);
    sign_in_make(controller->sign_ins, &person, now_ms, text);
    note_sign_in(call, person.name, true);
    json_t *answer = json_object();
    json_set_text(answer, "token", text);
    json_set_text(answer, "role", role_name(person.role));
    route_answer(call, 201, answer);
    explicit_bzero(text, sizeof text);
    return 0;
}

static int sign_out(RouteCall *call, Error *error) {
    (void)error;
    const char *bearer = access_bearer(call->request);
    if (bearer) sign_in_end(call->controller->sign_ins, bearer);
    route_answer(call, 200, json_object());
    return 0;
}

static int who_am_i(RouteCall *call, Error *error) {
    (void)error;
    json_t *answer = json_object();
    json_set_text(answer, "name", call->access.person.name);
    json_set_text(answer, "role", role_name(call->access.person.role));
    route_answer(call, 200, answer);
    return 0;
}

/* ---- people */

static json_t *token_json(const PersonToken *token) {
    char time[CLOCK_TEXT_SIZE];
    json_t *row = json_object();
    json_set_text(row, "id", token->id);
    json_set_text(row, "label", token->label);
    clock_to_text(token->expires_ms, time);
    json_set_text(row, "expires", time);
    return row;
}

static json_t *person_json(const PeopleEntry *entry) {
    json_t *row = json_object(), *tokens = json_array();
    json_set_text(row, "name", entry->person.name);
    json_set_text(row, "role", role_name(entry->person.role));
    json_set_bool(row, "disabled", entry->person.is_disabled);
    json_set_bool(row, "password", entry->person.has_password);
    for (size_t i = 0; i < entry->token_count; i++)
        json_array_append_new(tokens, token_json(&entry->tokens[i]));
    json_object_set_new(row, "tokens", tokens);
    return row;
}

static int list_people(RouteCall *call, Error *error) {
    PeopleEntry *entries;
    size_t count;
    if (people_list(call->controller->people, call->arena, &entries, &count, error) < 0) return -1;
    json_t *answer = json_object(), *rows = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(rows, person_json(&entries[i]));
    json_object_set_new(answer, "people", rows);
    route_answer(call, 200, answer);
    return 0;
}

static int read_role(const json_t *body, Role *out, Error *error) {
    const char *text = json_get_text(body, "role", "");
    if (role_from_name(text, out)) return 0;
    return error_set(error, ERROR_INVALID, "“role” must be viewer, operator, approver or admin, not “%s”",
                     text);
}

static int answer_person(RouteCall *call, int status) {
    json_t *answer = json_object();
    json_set_text(answer, "name", call->parameters[0]);
    route_answer(call, status, answer);
    return 0;
}

/* Made when there is none of that name, changed otherwise. */
static int put_person(RouteCall *call, Error *error) {
    People *people = call->controller->people;
    const char *name = call->parameters[0];
    JSON_AUTO body = NULL;
    Person known;
    Role role;
    if (route_body(call, &body, error) < 0 || read_role(body, &role, error) < 0) return -1;
    bool fresh = people_find(people, name, &known, NULL) < 0;
    if (fresh && people_add(people, name, role, clock_wall_ms(call->controller->clock), error) < 0) return -1;
    if (!fresh && known.role != role && people_set_role(people, name, role, error) < 0) return -1;
    const json_t *disabled = json_object_get(body, "disabled");
    if (disabled && people_set_disabled(people, name, json_is_true(disabled), error) < 0) return -1;
    return answer_person(call, fresh ? 201 : 200);
}

static int remove_person(RouteCall *call, Error *error) {
    if (people_remove(call->controller->people, call->parameters[0], error) < 0) return -1;
    return answer_person(call, 200);
}

static int make_token(RouteCall *call, Error *error) {
    Controller *controller = call->controller;
    JSON_AUTO body = NULL;
    char text[BEARER_TEXT_SIZE];
    int64_t valid_ms = 0;
    if (route_body(call, &body, error) < 0) return -1;
    const char *valid = json_get_text(body, "valid", NULL);
    if (valid && quantity_duration_parse(valid, &valid_ms) < 0)
        return error_set(error, ERROR_INVALID, "“valid” must be a duration such as 30m or 1d");
    PeopleTokenRequest request = {
        .name = call->parameters[0], .label = json_get_text(body, "label", "token"), .valid_ms = valid_ms};
    if (people_token_make(controller->people, &request, clock_wall_ms(controller->clock), text, error) < 0)
        return -1;
    json_t *answer = json_object();
    json_set_text(answer, "token", text);
    route_answer(call, 201, answer);
    explicit_bzero(text, sizeof text);
    return 0;
}

static int remove_token(RouteCall *call, Error *error) {
    if (people_token_remove(call->controller->people, call->parameters[0], call->parameters[1], error) < 0)
        return -1;
    return answer_person(call, 200);
}

const Route route_session[] = {
    {"POST", "/api/v1/sign-in", ACCESS_ANYONE, sign_in, "A token for a name and its password"},
    {"DELETE", "/api/v1/sign-in", ACCESS_READ, sign_out,
     "The token that was signed in with is no longer good"},
    {"GET", "/api/v1/whoami", ACCESS_READ, who_am_i, "Name and role of whoever asks"},
    {"GET", "/api/v1/people", ACCESS_ADMINISTER, list_people, "Who may sign in"},
    {"PUT", "/api/v1/people/{name}", ACCESS_ADMINISTER, put_person, "Let somebody in, or change the role"},
    {"DELETE", "/api/v1/people/{name}", ACCESS_ADMINISTER, remove_person, "Let somebody in no longer"},
    {"POST", "/api/v1/people/{name}/tokens", ACCESS_ADMINISTER, make_token,
     "A token for a person, told once"},
    {"DELETE", "/api/v1/people/{name}/tokens/{id}", ACCESS_ADMINISTER, remove_token, "Take a token back"},
    {0},
};
