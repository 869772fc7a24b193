#include "server/route.h"
#include "support/controlled.h"
#include <ctype.h>

static void test_tables_make_sense(void **state) {
    (void)state;
    for (size_t t = 0; route_tables[t]; t++)
        for (const Route *route = route_tables[t]; route->method; route++) {
            size_t parameters = 0;
            for (const char *at = route->pattern; *at; at++) parameters += *at == '{';
            if (parameters > ROUTE_PARAMETERS || !route->handle || !*route->summary)
                fail_msg("%s %s", route->method, route->pattern);
            for (size_t u = 0; route_tables[u]; u++)
                for (const Route *other = route_tables[u]; other->method; other++)
                    if (other != route && strcmp(other->method, route->method) == 0)
                        assert_string_not_equal(other->pattern, route->pattern);
        }
}

/* The pattern with something in its places that is not there. */
static void fill_in(const char *pattern, char out[static 256]) {
    size_t size = 0;
    while (*pattern) {
        if (*pattern != '{') {
            out[size++] = *pattern++;
            continue;
        }
        memcpy(out + size, "nothing", 7);
        size += 7;
        pattern = strchr(pattern, '}') + 1;
    }
    out[size] = '\0';
}

/* Who asks: nobody, a host, or a person by role. */
enum { NOBODY = ROLE_COUNT, HOST, WRONG_TOKEN, ASKERS };

static bool may(const Route *route, int asker) {
    if (route->need == ACCESS_ANYONE) return true;
    if (route->need == ACCESS_HOST) return asker == HOST;
    static const Right rights[] = {[ACCESS_READ] = RIGHT_READ,
                                   [ACCESS_OPERATE] = RIGHT_OPERATE,
                                   [ACCESS_APPROVE] = RIGHT_APPROVE,
                                   [ACCESS_ADMINISTER] = RIGHT_ADMINISTER};
    return asker < ROLE_COUNT && role_may((Role)asker, rights[route->need]);
}

static void check_status(const Route *route, int asker, int status) {
    int refusal = route->need != ACCESS_HOST && asker < ROLE_COUNT ? 403 : 401;
    bool refused = status == 401 || status == 403;
    if (route->need == ACCESS_ANYONE && status == 401 && strstr(route->pattern, "sign-in")) return;
    if (may(route, asker) ? refused || status >= 500 || status == 0 : status != refusal)
        fail_msg("%s %s, asker %d: %d", route->method, route->pattern, asker, status);
}

static void ask_all(CallClient *client, int asker) {
    char path[256];
    for (size_t t = 0; route_tables[t]; t++)
        for (const Route *route = route_tables[t]; route->method; route++) {
            if (strstr(route->pattern, "stream")) continue;
            if (asker == ROLE_ADMIN && strcmp(route->method, "DELETE") == 0) continue;
            bool reads = strcmp(route->method, "GET") == 0 || strcmp(route->method, "DELETE") == 0;
            fill_in(route->pattern, path);
            int status = 0;
            json_t *answer = NULL;
            Error problem = {0};
            JSON_AUTO body = reads ? NULL : json_object();
            if (call(client, route->method, path, body, 30000, NULL, &status, &answer, &problem) < 0 &&
                status == 0 && !strstr(route->pattern, "metrics"))
                fail_msg("%s %s: %s", route->method, path, problem.en);
            json_decref(answer);
            if (strstr(route->pattern, "metrics") && may(route, asker)) continue; /* it is no JSON */
            check_status(route, asker, status);
        }
}

static void test_every_route_lets_in_whom_its_table_says(void **state) {
    Controlled controlled;
    controlled_open(&controlled, *state);
    controlled_join(&controlled, "h");
    IDENTITY_AUTO identity = controlled_identity(&controlled, "h");
    for (int asker = 0; asker < ASKERS - 1; asker++) {
        const char *token = asker < ROLE_COUNT ? controlled.tokens[asker] : NULL;
        CALL_CLIENT_AUTO client = controlled_client(&controlled, token, asker == HOST ? identity : NULL);
        ask_all(client, asker);
    }
    controlled_close(&controlled);
}

static void test_wrong_tokens_are_refused_everywhere_and_held_off(void **state) {
    Controlled controlled;
    int status = 0, refused = 0;
    controlled_open(&controlled, *state);
    CALL_CLIENT_AUTO client = controlled_client(&controlled, "upkp-0123456789-nonsense", NULL);
    for (int i = 0; i < 60 && status != 429; i++) {
        status = controlled_ask_with(client, "GET", "/api/v1/status", NULL, NULL);
        refused += status == 401;
    }
    assert_int_equal(status, 429);
    assert_true(refused >= 8);
    throttle_charge(controlled.controller->strangers, "127.0.0.1", 20 * ACCESS_WRONG_COST,
                    clock_steady_ms(controlled.controller->clock));
    size_t before = fleet_play_count(controlled_fleet(&controlled), "api.called");
    for (int i = 0; i < 5; i++) controlled_ask_with(client, "POST", "/api/v1/changes", NULL, NULL);
    size_t after = fleet_play_count(controlled_fleet(&controlled), "api.called");
    assert_int_equal(controlled_ask_with(client, "POST", "/agent/v1/join", "{}", NULL), 429);
    assert_int_equal(controlled_ask_with(client, "POST", "/api/v1/sign-in", "{}", NULL), 429);
    assert_int_equal(after, before);
    controlled_close(&controlled);
}

static void test_strangers_write_nothing_into_the_journal(void **state) {
    Controlled controlled;
    controlled_open(&controlled, *state);
    int64_t before = fleet_counts(controlled_fleet(&controlled)).sequence;
    CALL_CLIENT_AUTO client = controlled_client(&controlled, NULL, NULL);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(controlled_ask_with(client, "GET", "/api/v1/status", NULL, NULL), 401);
        assert_int_equal(controlled_ask_with(client, "POST", "/api/v1/changes", "{}", NULL), 401);
    }
    assert_int_equal(fleet_counts(controlled_fleet(&controlled)).sequence, before);
    controlled_close(&controlled);
}

static void test_what_people_change_or_try_to_stands_in_the_journal(void **state) {
    Controlled controlled;
    controlled_open(&controlled, *state);
    Fleet *fleet = controlled_fleet(&controlled);
    controlled_ask(&controlled, ROLE_ADMIN, "POST", "/api/v1/hosts/h/describe", "{}", NULL);
    assert_int_equal(fleet_play_count(fleet, "api.called"), 1);
    controlled_ask(&controlled, ROLE_VIEWER, "POST", "/api/v1/hosts/h/describe", "{}", NULL);
    assert_int_equal(fleet_play_count(fleet, "api.called"), 2);
    controlled_ask(&controlled, ROLE_VIEWER, "GET", "/api/v1/people", NULL, NULL);
    assert_int_equal(fleet_play_count(fleet, "api.called"), 3);
    controlled_ask(&controlled, ROLE_VIEWER, "GET", "/api/v1/hosts", NULL, NULL);
    assert_int_equal(fleet_play_count(fleet, "api.called"), 3);
    controlled_close(&controlled);
}

static void test_what_is_not_there_is_404_and_another_method_405(void **state) {
    static const char *const paths[] = {"/",
                                        "/api/v1/nothing",
                                        "/api/v1/hosts/",
                                        "/api/v1/hosts/a/b",
                                        "/api/v1/hosts/unknown",
                                        "/api/v1/changes/CHG-1900-0001",
                                        "/api/v1/changes/CHG-1900-0001/events",
                                        "/api/v1/changes/CHG-1900-0001/stream",
                                        "/api/v1/changes/%22%3B%20drop"};
    Controlled controlled;
    controlled_open(&controlled, *state);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int status = controlled_ask(&controlled, ROLE_ADMIN, "GET", paths[i], NULL, NULL);
        if (status != 404) fail_msg("%s: %d", paths[i], status);
    }
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "DELETE", "/api/v1/status", NULL, NULL), 405);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "DELETE", "/api/v1/hosts/unknown", NULL, NULL),
                     404);
    assert_int_equal(
        controlled_ask(&controlled, ROLE_ADMIN, "POST", "/api/v1/hosts/unknown/revoke", "{}", NULL), 404);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "POST", "/api/v1/changes/CHG-1900-0001/control",
                                    "{\"verb\": \"pause\"}", NULL),
                     404);
    controlled_close(&controlled);
}

static void test_errors_come_in_both_languages(void **state) {
    Controlled controlled;
    JSON_AUTO answer = NULL;
    controlled_open(&controlled, *state);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "GET", "/api/v1/hosts/x", NULL, &answer), 404);
    assert_string_equal(json_get_text(answer, "error", ""), "there is no host x");
    assert_string_equal(json_get_text(answer, "error_zh", ""), "没有主机 x");
    assert_string_equal(json_get_text(answer, "kind", ""), "invalid");
    controlled_close(&controlled);
}

static void test_bodies_that_are_none_are_refused(void **state) {
    static const struct {
        const char *method, *path, *body;
    } rows[] = {
        {"POST", "/api/v1/changes", "[]"},
        {"POST", "/api/v1/changes", "{}"},
        {"POST", "/api/v1/changes", "{\"plan\": 7}"},
        {"POST", "/api/v1/changes", "{\"plan\": \"x: [\"}"},
        {"POST", "/api/v1/plans", "{\"plan\": \"\"}"},
        {"POST", "/api/v1/hosts/h/invite", "[1]"},
        {"POST", "/api/v1/hosts/h/invite", "{\"valid\": \"soon\"}"},
        {"POST", "/api/v1/hosts/h/invite", "{\"labels\": [1]}"},
        {"POST", "/api/v1/hosts/-h/invite", "{}"},
        {"POST", "/api/v1/hosts/h/describe", "{\"vars\": {\"a\": 1}}"},
        {"PUT", "/api/v1/people/somebody", "{\"role\": \"king\"}"},
        {"PUT", "/api/v1/people/a%20b", "{\"role\": \"viewer\"}"},
        {"POST", "/api/v1/people/viewer/tokens", "{\"valid\": \"soon\"}"},
        {"POST", "/api/v1/packages/x/publish", "{\"name\": \"a.upk\"}"},
        {"POST", "/api/v1/packages/x/publish", "{\"name\": \"a/b\"}"},
        {"GET", "/api/v1/journal?after=x", NULL},
        {"GET", "/api/v1/journal?after=-1", NULL},
        {"GET", "/api/v1/journal?after=", NULL},
        {"GET", "/api/v1/journal?after=99999999999999999999", NULL},
        {"GET", "/api/v1/packages/x/upload", NULL},
    };
    Controlled controlled;
    controlled_open(&controlled, *state);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int status =
            controlled_ask(&controlled, ROLE_ADMIN, rows[i].method, rows[i].path, rows[i].body, NULL);
        if (status != 400) fail_msg("%s %s %s: %d", rows[i].method, rows[i].path, rows[i].body, status);
    }
    controlled_close(&controlled);
}

static void test_a_huge_body_is_413(void **state) {
    Controlled controlled;
    controlled_open(&controlled, *state);
    char *text = malloc((5 << 20) + 1);
    assert_non_null(text);
    memset(text, 'x', 5 << 20);
    text[5 << 20] = '\0';
    JSON_AUTO body = json_object();
    json_set_text(body, "plan", text);
    free(text);
    CALL_CLIENT_AUTO client = controlled_client(&controlled, controlled.tokens[ROLE_ADMIN], NULL);
    int status = 0;
    json_t *answer = NULL;
    Error problem = {0};
    int result = call(client, "POST", "/api/v1/changes", body, 30000, NULL, &status, &answer, &problem);
    json_decref(answer);
    assert_true(result < 0 || status == 413);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "GET", "/api/v1/status", NULL, NULL), 200);
    controlled_close(&controlled);
}

/* ---- hosts */

static void test_a_revoked_host_is_nobody_with_any_of_its_certificates(void **state) {
    Controlled controlled;
    controlled_open(&controlled, *state);
    controlled_join(&controlled, "h");
    IDENTITY_AUTO older = controlled_identity(&controlled, "h");
    controlled_join(&controlled, "h");
    IDENTITY_AUTO newer = controlled_identity(&controlled, "h");
    CALL_CLIENT_AUTO first = controlled_client(&controlled, NULL, older);
    CALL_CLIENT_AUTO second = controlled_client(&controlled, NULL, newer);
    assert_int_equal(controlled_ask_with(first, "GET", "/agent/v1/work", NULL, NULL), 200);
    assert_int_equal(controlled_ask_with(second, "GET", "/agent/v1/work", NULL, NULL), 200);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "POST", "/api/v1/hosts/h/revoke",
                                    "{\"why\": \"lost\"}", NULL),
                     200);
    assert_int_equal(controlled_ask_with(first, "GET", "/agent/v1/work", NULL, NULL), 401);
    assert_int_equal(controlled_ask_with(second, "GET", "/agent/v1/work", NULL, NULL), 401);
    controlled_join(&controlled, "h"); /* it may come back, its old certificates may not */
    IDENTITY_AUTO last = controlled_identity(&controlled, "h");
    CALL_CLIENT_AUTO third = controlled_client(&controlled, NULL, last);
    assert_int_equal(controlled_ask_with(third, "GET", "/agent/v1/work", NULL, NULL), 200);
    assert_int_equal(controlled_ask_with(first, "GET", "/agent/v1/work", NULL, NULL), 401);
    assert_int_equal(controlled_ask_with(second, "GET", "/agent/v1/work", NULL, NULL), 401);
    controlled_close(&controlled);
}

static void check_token_void(const Controlled *controlled, const char *token) {
    HOME_AUTO home = controlled_home(controlled, "void", false);
    ARENA_AUTO arena = arena_new();
    assert_refused(agent_join(home, controlled->url, token, true, arena, NULL, error), ERROR_REFUSED,
                   "this token will not do");
}

static void test_join_tokens_of_revoked_and_removed_hosts_are_void(void **state) {
    Controlled controlled;
    char removed[TOKEN_TEXT_SIZE], revoked[TOKEN_TEXT_SIZE];
    controlled_open(&controlled, *state);
    controlled_invite(&controlled, "a", removed);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "DELETE", "/api/v1/hosts/a", NULL, NULL), 200);
    controlled_join(&controlled, "b");
    controlled_invite(&controlled, "b", revoked);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "DELETE", "/api/v1/hosts/b", NULL, NULL), 409);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "POST", "/api/v1/hosts/b/revoke", "{}", NULL),
                     200);
    check_token_void(&controlled, removed);
    check_token_void(&controlled, revoked);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "GET", "/api/v1/hosts/a", NULL, NULL), 404);
    controlled_close(&controlled);
}

static void test_an_expired_token_and_one_of_another_controller_are_refused(void **state) {
    Controlled controlled;
    JSON_AUTO answer = NULL;
    controlled_open(&controlled, *state);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "POST", "/api/v1/hosts/h/invite",
                                    "{\"valid\": \"1s\"}", &answer),
                     201);
    sleep(2);
    check_token_void(&controlled, json_get_text(answer, "token", ""));
    assert_int_equal(fleet_play_count(controlled_fleet(&controlled), "host.refused"), 1);
    controlled_close(&controlled);
}

static void test_a_host_sees_only_its_own(void **state) {
    Controlled controlled;
    char id[CHANGE_ID_SIZE], path[128];
    controlled_open(&controlled, *state);
    controlled_packages(&controlled, true);
    controlled_join(&controlled, "h");
    controlled_join(&controlled, "i");
    controlled_change(&controlled, "1.0", "", id);
    IDENTITY_AUTO identity = controlled_identity(&controlled, "i");
    CALL_CLIENT_AUTO client = controlled_client(&controlled, NULL, identity);
    JSON_AUTO work = NULL;
    assert_int_equal(controlled_ask_with(client, "GET", "/agent/v1/work", NULL, &work), 200);
    assert_int_equal(json_array_size(json_object_get(work, "changes")), 0);
    snprintf(path, sizeof path, "/agent/v1/changes/%s", id);
    assert_int_equal(controlled_ask_with(client, "GET", path, NULL, NULL), 400);
    snprintf(path, sizeof path, "/agent/v1/changes/%s/reports", id);
    assert_int_equal(controlled_ask_with(client, "POST", path, "{\"reports\": []}", NULL), 400);
    assert_int_equal(controlled_ask_with(client, "POST", path, "{\"reports\": {}}", NULL), 400);
    assert_int_equal(controlled_ask_with(client, "POST", "/agent/v1/facts", "{}", NULL), 400);
    assert_int_equal(controlled_ask_with(client, "POST", "/agent/v1/renew", "{}", NULL), 400);
    assert_int_equal(controlled_ask_with(client, "GET", "/agent/v1/packages/nothing", NULL, NULL), 404);
    controlled_close(&controlled);
}

/* ---- polls */

typedef struct Poll {
    pthread_t thread;
    CallClient *client;
    char path[256];
    json_t *answer;
    int status;
} Poll;

static void *poll_once(void *context) {
    Poll *poll = context;
    if (call(poll->client, "GET", poll->path, NULL, 60000, NULL, &poll->status, &poll->answer, NULL) < 0)
        poll->status = -1;
    return NULL;
}

/* Parked before, after, or in the very moment when there is an order: it comes, long before the poll ends. */
static void test_a_parked_poll_hears_of_an_order_at_once(void **state) {
    Controlled controlled;
    controlled_open(&controlled, *state);
    controlled_packages(&controlled, true);
    for (unsigned round = 0; round < 12; round++) {
        char host[16], id[CHANGE_ID_SIZE];
        JSON_AUTO work = NULL;
        BUFFER_AUTO text = {0};
        snprintf(host, sizeof host, "n%u", round);
        controlled_join(&controlled, host);
        IDENTITY_AUTO identity = controlled_identity(&controlled, host);
        Poll poll = {.client = controlled_client(&controlled, NULL, identity)};
        assert_int_equal(controlled_ask_with(poll.client, "GET", "/agent/v1/work", NULL, &work), 200);
        snprintf(poll.path, sizeof poll.path, "/agent/v1/work?wait_ms=50000&seen=%s",
                 json_get_text(work, "seen", ""));
        buffer_printf(
            &text,
            "upkeep: 1\nservice: {name: sample, root: /nowhere, run: {commands: {start: [\"true\"], "
            "stop: [\"true\"], status: [\"true\"]}}}\n"
            "package: {file: 1.0.upk, trust: [/k.pub]}\nhosts: [{name: %s}]\n"
            "health:\n  - {command: {run: [\"true\"]}, every: 10ms, healthy_after: 2, deadline: 300ms}\n",
            host);
        FleetOpening opening = {.text = buffer_text(&text), .file = "p", .by = "test"};
        int64_t begun_ms = clock_steady_ms(clock_system());
        pthread_create(&poll.thread, NULL, poll_once, &poll);
        usleep(1500 * round);
        assert_done(fleet_open_change(controlled_fleet(&controlled), &opening, id, error));
        pthread_join(poll.thread, NULL);
        int64_t took_ms = clock_steady_ms(clock_system()) - begun_ms;
        call_client_free(poll.client);
        assert_int_equal(poll.status, 200);
        assert_true(took_ms < 40000);
        json_decref(poll.answer);
    }
    controlled_close(&controlled);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_make_sense),
        test_in_folder(test_every_route_lets_in_whom_its_table_says),
        test_in_folder(test_wrong_tokens_are_refused_everywhere_and_held_off),
        test_in_folder(test_strangers_write_nothing_into_the_journal),
        test_in_folder(test_what_people_change_or_try_to_stands_in_the_journal),
        test_in_folder(test_what_is_not_there_is_404_and_another_method_405),
        test_in_folder(test_errors_come_in_both_languages),
        test_in_folder(test_bodies_that_are_none_are_refused),
        test_in_folder(test_a_huge_body_is_413),
        test_in_folder(test_a_revoked_host_is_nobody_with_any_of_its_certificates),
        test_in_folder(test_join_tokens_of_revoked_and_removed_hosts_are_void),
        test_in_folder(test_an_expired_token_and_one_of_another_controller_are_refused),
        test_in_folder(test_a_host_sees_only_its_own),
        test_in_folder(test_a_parked_poll_hears_of_an_order_at_once),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
