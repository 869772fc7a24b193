#include "server/access.h"
#include "support/controlled.h"

static int whoami(const Controlled *controlled, const char *token, json_t **answer) {
    CALL_CLIENT_AUTO client = controlled_client(controlled, token, NULL);
    return controlled_ask_with(client, "GET", "/api/v1/whoami", NULL, answer);
}

static void test_people_are_known_by_their_tokens(void **state) {
    Controlled controlled;
    controlled_open(&controlled, *state);
    for (int role = 0; role < ROLE_COUNT; role++) {
        JSON_AUTO answer = NULL;
        assert_int_equal(whoami(&controlled, controlled.tokens[role], &answer), 200);
        assert_string_equal(json_get_text(answer, "role", ""), role_name((Role)role));
    }
    assert_int_equal(whoami(&controlled, "", NULL), 401);
    controlled_close(&controlled);
}

static void test_a_host_is_no_person_and_a_person_no_host(void **state) {
    Controlled controlled;
    controlled_open(&controlled, *state);
    controlled_join(&controlled, "h");
    IDENTITY_AUTO identity = controlled_identity(&controlled, "h");
    CALL_CLIENT_AUTO host = controlled_client(&controlled, NULL, identity);
    assert_int_equal(controlled_ask_with(host, "GET", "/api/v1/whoami", NULL, NULL), 401);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "GET", "/agent/v1/work", NULL, NULL), 401);
    controlled_close(&controlled);
}

static void test_what_changes_about_a_person_holds_at_the_next_request(void **state) {
    Controlled controlled;
    controlled_open(&controlled, *state);
    const char *path = "/api/v1/people/operator";
    assert_int_equal(controlled_ask(&controlled, ROLE_OPERATOR, "GET", "/api/v1/people", NULL, NULL), 403);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "PUT", path, "{\"role\": \"admin\"}", NULL),
                     200);
    assert_int_equal(controlled_ask(&controlled, ROLE_OPERATOR, "GET", "/api/v1/people", NULL, NULL), 200);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "PUT", path,
                                    "{\"role\": \"admin\", \"disabled\": true}", NULL),
                     200);
    assert_int_equal(controlled_ask(&controlled, ROLE_OPERATOR, "GET", "/api/v1/whoami", NULL, NULL), 401);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "DELETE", path, NULL, NULL), 200);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "DELETE", path, NULL, NULL), 404);
    assert_int_equal(controlled_ask(&controlled, ROLE_OPERATOR, "GET", "/api/v1/whoami", NULL, NULL), 401);
    controlled_close(&controlled);
}

static void test_who_signed_in_is_known_until_signing_out(void **state) {
    Controlled controlled;
    JSON_AUTO answer = NULL;
    controlled_open(&controlled, *state);
    assert_done(
        people_set_password(controlled.controller->people, "viewer", "a long enough password", error));
    CALL_CLIENT_AUTO nobody = controlled_client(&controlled, NULL, NULL);
    assert_int_equal(controlled_ask_with(nobody, "POST", "/api/v1/sign-in",
                                         "{\"name\": \"viewer\", \"password\": \"a long enough passwort\"}",
                                         NULL),
                     401);
    assert_int_equal(controlled_ask_with(nobody, "POST", "/api/v1/sign-in",
                                         "{\"name\": \"viewer\", \"password\": \"a long enough password\"}",
                                         &answer),
                     201);
    const char *token = json_get_text(answer, "token", "");
    assert_int_equal(whoami(&controlled, token, NULL), 200);
    CALL_CLIENT_AUTO viewer = controlled_client(&controlled, token, NULL);
    assert_int_equal(controlled_ask_with(viewer, "DELETE", "/api/v1/sign-in", NULL, NULL), 200);
    assert_int_equal(whoami(&controlled, token, NULL), 401);
    assert_int_equal(fleet_play_count(controlled_fleet(&controlled), "person.refused"), 1);
    assert_int_equal(fleet_play_count(controlled_fleet(&controlled), "person.signed_in"), 1);
    controlled_close(&controlled);
}

static void test_an_address_that_guessed_too_often_waits_also_with_a_good_token(void **state) {
    Controlled controlled;
    controlled_open(&controlled, *state);
    throttle_charge(controlled.controller->strangers, "127.0.0.1", 20 * ACCESS_WRONG_COST,
                    clock_steady_ms(controlled.controller->clock));
    assert_int_equal(whoami(&controlled, controlled.tokens[ROLE_ADMIN], NULL), 429);
    controlled_close(&controlled);
}

/* The connection was made, and its certificate looked at, when it was still good. */
static void test_a_removed_host_is_nobody_on_its_open_connection(void **state) {
    Controlled controlled;
    controlled_open(&controlled, *state);
    controlled_join(&controlled, "h");
    IDENTITY_AUTO identity = controlled_identity(&controlled, "h");
    CALL_CLIENT_AUTO host = controlled_client(&controlled, NULL, identity);
    assert_int_equal(controlled_ask_with(host, "GET", "/agent/v1/work", NULL, NULL), 200);
    assert_done(fleet_write(controlled_fleet(&controlled),
                            json_pack("{s:s,s:s}", "type", "host.removed", "host", "h"), error));
    assert_int_equal(controlled_ask_with(host, "GET", "/agent/v1/work", NULL, NULL), 401);
    controlled_close(&controlled);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_people_are_known_by_their_tokens),
        test_in_folder(test_a_host_is_no_person_and_a_person_no_host),
        test_in_folder(test_what_changes_about_a_person_holds_at_the_next_request),
        test_in_folder(test_who_signed_in_is_known_until_signing_out),
        test_in_folder(test_an_address_that_guessed_too_often_waits_also_with_a_good_token),
        test_in_folder(test_a_removed_host_is_nobody_on_its_open_connection),
    };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
