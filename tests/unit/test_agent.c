#include "agent/agent.h"
#include "support/controlled.h"
#include <errno.h>

typedef struct Room {
    Controlled controlled;
    ControlledAgent agent;
    char change[CHANGE_ID_SIZE];
} Room;

/* A controller with packages, and the host h, which trusts them. */
static void room_open(Room *room, const TestFolder *folder, bool second_is_healthy) {
    *room = (Room){0};
    controlled_open(&room->controlled, folder);
    controlled_packages(&room->controlled, second_is_healthy);
    controlled_join(&room->controlled, "h");
    controlled_trust(&room->controlled, "h");
}

static RolloutOutcome outcome(Room *room) { return controlled_look(&room->controlled, room->change).outcome; }

static void test_an_agent_carries_a_change_out(void **state) {
    Room room;
    room_open(&room, *state, true);
    controlled_agent_begin(&room.agent, &room.controlled, "h");
    controlled_change(&room.controlled, "1.0", "", room.change);
    AT_LAST(outcome(&room) != OUTCOME_NONE);
    assert_int_equal(outcome(&room), OUTCOME_SUCCEEDED);
    assert_true(sample_stands(*state, "root/current/healthy"));
    AT_LAST(!sample_stands(*state, "home-h/changes/CHG-2026-0001/change.json"));
    controlled_agent_end(&room.agent);
    controlled_close(&room.controlled);
}

static void test_a_sick_version_is_put_back_and_then_a_good_one_taken(void **state) {
    Room room;
    room_open(&room, *state, false);
    controlled_agent_begin(&room.agent, &room.controlled, "h");
    controlled_change(&room.controlled, "1.0", "", room.change);
    AT_LAST(outcome(&room) != OUTCOME_NONE);
    controlled_change(&room.controlled, "2.0", "", room.change);
    AT_LAST(outcome(&room) != OUTCOME_NONE);
    assert_int_equal(outcome(&room), OUTCOME_ROLLED_BACK);
    assert_true(sample_stands(*state, "root/current/healthy"));
    controlled_agent_end(&room.agent);
    controlled_close(&room.controlled);
}

/* The agent had forgotten it: its document, its numbers, everything. */
static void test_a_change_that_was_over_is_rolled_back_when_asked(void **state) {
    Room room;
    room_open(&room, *state, true);
    controlled_agent_begin(&room.agent, &room.controlled, "h");
    controlled_change(&room.controlled, "1.0", "", room.change);
    AT_LAST(outcome(&room) == OUTCOME_SUCCEEDED);
    assert_done(fleet_control(controlled_fleet(&room.controlled), room.change, "rollback", "test", NULL, NULL,
                              error));
    AT_LAST(outcome(&room) != OUTCOME_SUCCEEDED && outcome(&room) != OUTCOME_NONE);
    assert_int_equal(outcome(&room), OUTCOME_ROLLED_BACK);
    assert_false(sample_stands(*state, "root/current"));
    controlled_agent_end(&room.agent);
    controlled_close(&room.controlled);
}

static void test_a_host_that_trusts_no_key_refuses_and_the_change_is_undone(void **state) {
    Room room;
    room_open(&room, *state, true);
    assert_int_equal(unlinkat(room.controlled.folder->fd, "home-h/trust/k.pub", 0), 0);
    controlled_agent_begin(&room.agent, &room.controlled, "h");
    controlled_change(&room.controlled, "1.0", "", room.change);
    AT_LAST(outcome(&room) != OUTCOME_NONE);
    assert_true(outcome(&room) != OUTCOME_SUCCEEDED);
    assert_false(sample_stands(*state, "root/releases/1.0"));
    assert_true(fleet_play_count(controlled_fleet(&room.controlled), "order.failed") > 0);
    controlled_agent_end(&room.agent);
    controlled_close(&room.controlled);
}

static void test_agent_and_controller_may_be_started_again_in_the_middle(void **state) {
    Room room;
    room_open(&room, *state, true);
    controlled_change(&room.controlled, "1.0", "", room.change);
    controlled_agent_begin(&room.agent, &room.controlled, "h");
    AT_LAST(fleet_play_count(controlled_fleet(&room.controlled), "step.started") > 0);
    controlled_agent_end(&room.agent);
    controlled_stop(&room.controlled);
    controlled_begin(&room.controlled);
    HOME_AUTO home = controlled_home(&room.controlled, "h", false);
    assert_done(home_set_controller(home, room.controlled.url, error)); /* its port is another */
    controlled_agent_begin(&room.agent, &room.controlled, "h");
    AT_LAST(outcome(&room) != OUTCOME_NONE);
    assert_int_equal(outcome(&room), OUTCOME_SUCCEEDED);
    controlled_agent_end(&room.agent);
    controlled_close(&room.controlled);
}

static void test_an_agent_tells_its_facts(void **state) {
    Room room;
    room_open(&room, *state, true);
    controlled_agent_begin(&room.agent, &room.controlled, "h");
    AT_LAST(fleet_play_count(controlled_fleet(&room.controlled), "host.facts") > 0);
    controlled_agent_end(&room.agent);
    controlled_close(&room.controlled);
}

/* ---- joining */

static void test_a_token_joins_one_host_once(void **state) {
    Controlled controlled;
    char token[TOKEN_TEXT_SIZE];
    const char *name = NULL;
    ARENA_AUTO arena = arena_new();
    controlled_open(&controlled, *state);
    controlled_invite(&controlled, "h", token);
    HOME_AUTO home = controlled_home(&controlled, "h", false);
    HOME_AUTO other = controlled_home(&controlled, "other", false);
    assert_done(agent_join(home, controlled.url, token, false, arena, &name, error));
    assert_string_equal(name, "h");
    assert_refused(agent_join(other, controlled.url, token, false, arena, &name, error), ERROR_REFUSED,
                   "this token will not do");
    assert_refused(agent_join(home, controlled.url, token, false, arena, &name, error), ERROR_REFUSED,
                   "joined already, as h");
    controlled_close(&controlled);
}

static void test_a_controller_that_the_token_does_not_name_is_not_joined(void **state) {
    Controlled controlled;
    char token[TOKEN_TEXT_SIZE];
    ARENA_AUTO arena = arena_new();
    Error problem = {0};
    controlled_open(&controlled, *state);
    controlled_invite(&controlled, "h", token);
    char *last = &token[strlen(token) - 1];
    *last = *last == '0' ? '1' : '0';
    HOME_AUTO home = controlled_home(&controlled, "h", false);
    assert_int_equal(agent_join(home, controlled.url, token, false, arena, NULL, &problem), -1);
    assert_refused(agent_join(home, controlled.url, "nonsense", false, arena, NULL, error), ERROR_INVALID,
                   "");
    assert_false(sample_stands(*state, "home-h/identity/host.crt"));
    controlled_close(&controlled);
}

static void test_an_agent_that_has_not_joined_does_not_begin(void **state) {
    const TestFolder *folder = *state;
    char path[SAMPLE_PATH_SIZE];
    Home *home = NULL;
    atomic_bool stop = false;
    sample_path(folder, "home", path);
    assert_done(home_open(path, true, &home, error));
    AgentSpec spec = {.home = home, .stop = &stop};
    assert_refused(agent_run(&spec, error), ERROR_INVALID, "has not joined");
    home_close(home);
}

static void test_an_agent_whose_facts_are_not_taken_works_all_the_same(void **state) {
    enum { TOO_MUCH = 2 << 20 };
    Room room;
    room_open(&room, *state, true);
    controlled_agent_begin_with(&room.agent, &room.controlled, "h", TOO_MUCH);
    controlled_change(&room.controlled, "1.0", "", room.change);
    AT_LAST(outcome(&room) != OUTCOME_NONE);
    assert_int_equal(outcome(&room), OUTCOME_SUCCEEDED);
    assert_int_equal(fleet_play_count(controlled_fleet(&room.controlled), "host.facts"), 0);
    controlled_agent_end(&room.agent);
    controlled_close(&room.controlled);
}

/* Its certificate is good for so short a time that it is due at once. */
static void test_an_agent_renews_its_certificate(void **state) {
    Room room;
    room_open(&room, *state, true);
    Controller *controller = room.controlled.controller;
    controller->spec.host_valid_ms = AUTHORITY_VALID_MIN_MS;
    controlled_join(&room.controlled, "h"); /* again, for a minute; five reach back */
    controller->spec.host_valid_ms = INT64_C(90) * 86400000;
    IDENTITY_AUTO soon = controlled_identity(&room.controlled, "h");
    assert_true(identity_should_renew(soon, clock_wall_ms(clock_system())));
    controlled_agent_begin(&room.agent, &room.controlled, "h");
    AT_LAST(fleet_play_count(controlled_fleet(&room.controlled), "host.renewed") > 0);
    AT_LAST(fleet_play_count(controlled_fleet(&room.controlled), "host.facts") > 0);
    controlled_agent_end(&room.agent);
    IDENTITY_AUTO after = controlled_identity(&room.controlled, "h");
    assert_false(identity_should_renew(after, clock_wall_ms(clock_system())));
    assert_string_not_equal(identity_host(after)->serial, identity_host(soon)->serial);
    controlled_close(&room.controlled);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_an_agent_carries_a_change_out),
        test_in_folder(test_a_sick_version_is_put_back_and_then_a_good_one_taken),
        test_in_folder(test_a_change_that_was_over_is_rolled_back_when_asked),
        test_in_folder(test_a_host_that_trusts_no_key_refuses_and_the_change_is_undone),
        test_in_folder(test_agent_and_controller_may_be_started_again_in_the_middle),
        test_in_folder(test_an_agent_tells_its_facts),
        test_in_folder(test_an_agent_whose_facts_are_not_taken_works_all_the_same),
        test_in_folder(test_a_token_joins_one_host_once),
        test_in_folder(test_a_controller_that_the_token_does_not_name_is_not_joined),
        test_in_folder(test_an_agent_that_has_not_joined_does_not_begin),
        test_in_folder(test_an_agent_renews_its_certificate),
    };
    return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
