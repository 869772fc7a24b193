#include "support/rollout_play.h"

/* Two hosts that serve, two that take over from them. */
static const char plan_text[] =
    "upkeep: 1\n"
    "service: {name: s, root: \"/srv/${host.name}\", run: {systemd: s.service}}\n"
    "package: {file: s.upk, trust: [a.pub]}\n"
    "hosts: [{name: b1, labels: {side: blue}}, {name: b2, labels: {side: blue}},\n"
    "        {name: g1, labels: {side: green}}, {name: g2, labels: {side: green}}]\n"
    "traffic: {haproxy: {sockets: [/h.sock], backend: web, server: \"${host.name}\"}}\n"
    "health: [{tcp: {address: \"h:1\"}}]\n"
    "rollout: {strategy: blue-green, live: {side: blue}, max_unavailable: 2, take_over_soak: 30s,\n"
    "          stages: [{name: all, soak: 5s, max_failed: 1}]}\n";

static Case begin(void) { return case_begin(plan_text, ""); }

static void both(Case *at, const char *type, const char *one, const char *other) {
    happen(at, type, one);
    happen(at, type, other);
}

/* Until both are confirmed. */
static const char *upgrade(Case *at) {
    decide(at);
    both(at, "order.done", "g1", "g2");
    decide(at);
    both(at, "order.done", "g1", "g2");
    decide(at);
    at->now_ms += 6000;
    report(at, "g1", "pass");
    report(at, "g2", "pass");
    decide(at);
    both(at, "order.done", "g1", "g2");
    return decide(at);
}

/* Until those that were live stand by. */
static const char *take_over(Case *at) {
    upgrade(at);
    both(at, "order.done", "g1", "g2");
    decide(at);
    both(at, "order.done", "b1", "b2");
    return decide(at);
}

static void test_live_hosts_are_neither_prepared_nor_switched(void **state) {
    (void)state;
    Case at = begin();
    assert_string_equal(decide(&at), " rollout.started order.given:prepare:g1 order.given:prepare:g2");
    both(&at, "order.done", "g1", "g2");
    assert_string_equal(decide(&at),
                        " stage.started batch.started order.given:switch:g1 order.given:switch:g2");
    arena_free(at.arena);
}

static void test_nobody_is_retired_before_all_are_admitted(void **state) {
    (void)state;
    Case at = begin();
    assert_string_equal(upgrade(&at),
                        " stage.passed take_over.started order.given:admit:g1 order.given:admit:g2");
    happen(&at, "order.done", "g1");
    assert_string_equal(decide(&at), "");
    happen(&at, "order.done", "g2");
    assert_string_equal(decide(&at), " order.given:retire:b1 order.given:retire:b2");
    arena_free(at.arena);
}

static void test_an_early_retirement_cannot_be_folded(void **state) {
    (void)state;
    Case at = begin();
    Error error = {0};
    JSON_AUTO event = rollout_event(at.rollout, "order.given", at.now_ms);
    json_set_text(event, "host", "b1");
    json_set_text(event, "order", "retire");
    json_set_text(event, "order_id", "C/b1/1");
    assert_int_equal(rollout_fold(at.rollout, 2, event, &error), -1);
    arena_free(at.arena);
}

static void test_commits_when_the_last_watch_is_over(void **state) {
    (void)state;
    Case at = begin();
    assert_string_equal(take_over(&at), " take_over.soaking");
    at.now_ms += 31 * 1000;
    report(&at, "g1", "pass");
    assert_string_equal(decide(&at), ""); /* nothing was heard of g2 since it serves */
    report(&at, "g2", "pass");
    assert_string_equal(decide(&at), " take_over.passed order.given:commit:g1 order.given:commit:g2");
    both(&at, "order.done", "g1", "g2");
    assert_string_equal(decide(&at), " rollout.succeeded change.closed");
    assert_true(rollout_went_through(at.rollout));
    arena_free(at.arena);
}

static void test_a_failed_admission_retires_nobody(void **state) {
    (void)state;
    Case at = begin();
    upgrade(&at);
    happen(&at, "order.done", "g1");
    happen(&at, "order.failed", "g2");
    assert_string_equal(decide(&at), " rollout.failing:g2 order.given:rollback:g2 order.given:rollback:g1");
    both(&at, "order.done", "g1", "g2");
    assert_string_equal(decide(&at), " rollout.rolled_back change.closed");
    arena_free(at.arena);
}

static void test_what_served_serves_again_before_anybody_is_put_back(void **state) {
    (void)state;
    Case at = begin();
    take_over(&at);
    report(&at, "g1", "fail");
    assert_string_equal(decide(&at), " rollout.failing:g1 order.given:admit:b1 order.given:admit:b2");
    happen(&at, "order.done", "b1");
    assert_string_equal(decide(&at), "");
    happen(&at, "order.done", "b2");
    assert_string_equal(decide(&at), " order.given:rollback:g1 order.given:rollback:g2");
    both(&at, "order.done", "g1", "g2");
    assert_string_equal(decide(&at), " rollout.rolled_back change.closed");
    arena_free(at.arena);
}

static void test_a_host_that_is_being_retired_comes_back_as_well(void **state) {
    (void)state;
    Case at = begin();
    upgrade(&at);
    both(&at, "order.done", "g1", "g2");
    decide(&at);
    happen(&at, "order.failed", "b1");
    assert_string_equal(decide(&at), " rollout.failing:b1 order.cancelled:b2 order.given:admit:b1");
    both(&at, "order.done", "b1", "b2"); /* it was out when the news came */
    assert_string_equal(decide(&at), " order.given:admit:b2");
    happen(&at, "order.done", "b2");
    assert_string_equal(decide(&at), " order.given:rollback:g2 order.given:rollback:g1");
    arena_free(at.arena);
}

static void test_a_live_host_that_cannot_come_back_is_not_waited_for(void **state) {
    (void)state;
    Case at = begin();
    take_over(&at);
    report(&at, "g1", "fail");
    decide(&at);
    happen(&at, "order.failed", "b1");
    happen(&at, "order.done", "b2");
    assert_non_null(strstr(decide(&at), "order.given:rollback:g1"));
    both(&at, "order.done", "g1", "g2");
    assert_string_equal(decide(&at), " rollout.failed change.closed");
    assert_true(rollout_needs_person(rollout_host(at.rollout, "b1")));
    arena_free(at.arena);
}

static void test_the_last_to_serve_are_kept(void **state) {
    (void)state;
    Case at = begin();
    take_over(&at);
    report(&at, "g1", "fail");
    decide(&at);
    both(&at, "order.failed", "b1", "b2");
    assert_string_equal(decide(&at), " host.kept:g1 host.kept:g2 rollout.failed change.closed");
    happen(&at, "control.rollback", NULL); /* once the balancer is mended */
    assert_string_equal(decide(&at), " order.given:admit:b1 order.given:admit:b2");
    arena_free(at.arena);
}

static void test_a_fault_before_the_take_over_leaves_the_live_ones_alone(void **state) {
    (void)state;
    Case at = begin();
    decide(&at);
    both(&at, "order.done", "g1", "g2");
    decide(&at);
    happen(&at, "control.abort", NULL);
    assert_string_equal(decide(&at), " order.cancelled:g1 order.cancelled:g2");
    both(&at, "order.failed", "g1", "g2");
    assert_string_equal(decide(&at), " order.given:rollback:g2 order.given:rollback:g1");
    arena_free(at.arena);
}

/* max_failed is 1: but whoever fails now was to serve. */
static void test_in_the_take_over_no_fault_is_allowed(void **state) {
    (void)state;
    Case at = begin();
    upgrade(&at);
    report(&at, "g1", "fail");
    assert_non_null(strstr(decide(&at), "rollout.failing:g1"));
    arena_free(at.arena);
}

static void test_whoever_was_left_out_is_not_admitted(void **state) {
    (void)state;
    Case at = begin();
    decide(&at);
    both(&at, "order.done", "g1", "g2");
    decide(&at);
    happen(&at, "order.failed", "g1");
    happen(&at, "order.done", "g2");
    assert_non_null(strstr(decide(&at), "host.left_out:g1"));
    at.now_ms += 6000;
    happen(&at, "order.done", "g1");
    report(&at, "g2", "pass");
    decide(&at);
    happen(&at, "order.done", "g2");
    assert_string_equal(decide(&at), " stage.passed take_over.started order.given:admit:g2");
    happen(&at, "order.done", "g2");
    assert_string_equal(decide(&at), " order.given:retire:b1 order.given:retire:b2");
    arena_free(at.arena);
}

static void test_a_rollback_after_success_brings_the_live_ones_back_first(void **state) {
    (void)state;
    Case at = begin();
    take_over(&at);
    at.now_ms += 31 * 1000;
    report(&at, "g1", "pass");
    report(&at, "g2", "pass");
    decide(&at);
    both(&at, "order.done", "g1", "g2");
    decide(&at);
    happen(&at, "control.rollback", NULL);
    assert_string_equal(decide(&at), " order.given:admit:b1 order.given:admit:b2");
    arena_free(at.arena);
}

static void test_a_restart_begins_the_last_watch_anew(void **state) {
    (void)state;
    Case at = begin();
    take_over(&at);
    at.now_ms += 29 * 1000;
    happen(&at, "engine.started", NULL);
    at.now_ms += 2 * 1000;
    report(&at, "g1", "pass");
    report(&at, "g2", "pass");
    assert_string_equal(decide(&at), "");
    arena_free(at.arena);
}

static void test_a_pause_moves_nobody(void **state) {
    (void)state;
    Case at = begin();
    upgrade(&at);
    happen(&at, "control.pause", NULL);
    both(&at, "order.done", "g1", "g2");
    assert_string_equal(decide(&at), "");
    happen(&at, "control.resume", NULL);
    assert_string_equal(decide(&at), " order.given:retire:b1 order.given:retire:b2");
    arena_free(at.arena);
}

/* A host that was never reached has no memory of the change: that is no reason not to admit it again. */
static void test_a_live_host_has_begun_when_it_was_retired(void **state) {
    (void)state;
    Case at = begin();
    upgrade(&at);
    both(&at, "order.done", "g1", "g2");
    decide(&at);
    happen(&at, "order.failed", "b1");
    happen(&at, "order.done", "b2");
    assert_false(rollout_host_has_begun(rollout_host(at.rollout, "b1")));
    decide(&at);
    assert_true(rollout_host_has_begun(rollout_host(at.rollout, "b2")));
    arena_free(at.arena);
}

static void test_a_live_host_is_neither_skipped_nor_tried_again(void **state) {
    (void)state;
    Case at = begin();
    decide(&at);
    Error error = {0};
    assert_int_equal(rollout_check_control(at.rollout, "skip", "b1", &error), -1);
    assert_non_null(strstr(error.en, "b1 is live"));
    assert_int_equal(rollout_check_control(at.rollout, "retry", "b1", &error), -1);
    arena_free(at.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live_hosts_are_neither_prepared_nor_switched),
        cmocka_unit_test(test_nobody_is_retired_before_all_are_admitted),
        cmocka_unit_test(test_an_early_retirement_cannot_be_folded),
        cmocka_unit_test(test_commits_when_the_last_watch_is_over),
        cmocka_unit_test(test_a_failed_admission_retires_nobody),
        cmocka_unit_test(test_what_served_serves_again_before_anybody_is_put_back),
        cmocka_unit_test(test_a_host_that_is_being_retired_comes_back_as_well),
        cmocka_unit_test(test_a_live_host_that_cannot_come_back_is_not_waited_for),
        cmocka_unit_test(test_the_last_to_serve_are_kept),
        cmocka_unit_test(test_a_fault_before_the_take_over_leaves_the_live_ones_alone),
        cmocka_unit_test(test_in_the_take_over_no_fault_is_allowed),
        cmocka_unit_test(test_whoever_was_left_out_is_not_admitted),
        cmocka_unit_test(test_a_rollback_after_success_brings_the_live_ones_back_first),
        cmocka_unit_test(test_a_restart_begins_the_last_watch_anew),
        cmocka_unit_test(test_a_pause_moves_nobody),
        cmocka_unit_test(test_a_live_host_has_begun_when_it_was_retired),
        cmocka_unit_test(test_a_live_host_is_neither_skipped_nor_tried_again),
    };
    return cmocka_run_group_tests_name("rollout_blue_green", tests, NULL, NULL);
}
