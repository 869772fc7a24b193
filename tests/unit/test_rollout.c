#include "support/rollout_play.h"

/* Two hosts, one after the other. */
static const char plan_text[] =
    "upkeep: 1\n"
    "service: {name: s, root: \"/srv/${host.name}\", run: {systemd: s.service}}\n"
    "package: {file: s.upk, trust: [a.pub]}\n"
    "hosts: [{name: a}, {name: b}]\n"
    "health: [{tcp: {address: \"h:1\"}}]\n"
    "rollout: {stages: [{name: first, hosts: 1, soak: 5s}, {name: rest, soak: 5s}]}\n";

static Case begin(void) { return case_begin(plan_text, ""); }

static void prepare_all(Case *at) {
    decide(at);
    happen(at, "order.done", "a");
    happen(at, "order.done", "b");
}

/* Until `host` has been switched and found healthy. */
static void switch_host(Case *at, const char *host) {
    decide(at);
    happen(at, "order.done", host);
    at->now_ms += 10;
    decide(at);
}

static void confirm_host(Case *at, const char *host) {
    at->now_ms += 6000;
    report(at, host, "pass");
    decide(at);
    happen(at, "order.done", host);
}

static void test_prepares_every_host_before_it_switches_one(void **state) {
    (void)state;
    Case at = begin();
    assert_string_equal(decide(&at), " rollout.started order.given:prepare:a order.given:prepare:b");
    happen(&at, "order.done", "a");
    assert_string_equal(decide(&at), "");
    happen(&at, "order.done", "b");
    assert_string_equal(decide(&at), " stage.started batch.started order.given:switch:a");
    arena_free(at.arena);
}

static void test_confirms_only_after_the_soak_and_a_fresh_report(void **state) {
    (void)state;
    Case at = begin();
    prepare_all(&at);
    switch_host(&at, "a");
    at.now_ms += 4000;
    report(&at, "a", "pass");
    assert_string_equal(decide(&at), ""); /* too early */
    at.now_ms += 2000;
    report(&at, "a", "pass");
    assert_string_equal(decide(&at), " order.given:confirm:a");
    arena_free(at.arena);
}

/* Seen before the soak began, and on its way since: it says nothing of the soak. */
static void test_a_pass_that_comes_late_confirms_nobody(void **state) {
    (void)state;
    Case at = begin();
    prepare_all(&at);
    switch_host(&at, "a");
    at.now_ms += 6000;
    report_aged(&at, "a", "pass", 7000);
    assert_string_equal(decide(&at), "");
    report_aged(&at, "a", "pass", 500);
    assert_string_equal(decide(&at), " order.given:confirm:a");
    arena_free(at.arena);
}

static void test_commits_when_every_stage_has_passed(void **state) {
    (void)state;
    Case at = begin();
    prepare_all(&at);
    switch_host(&at, "a");
    confirm_host(&at, "a");
    assert_string_equal(decide(&at), " stage.passed stage.started batch.started order.given:switch:b");
    happen(&at, "order.done", "b");
    at.now_ms += 10;
    decide(&at);
    confirm_host(&at, "b");
    report(&at, "a", "pass");
    assert_string_equal(decide(&at), " stage.passed order.given:commit:a order.given:commit:b");
    happen(&at, "order.done", "a");
    happen(&at, "order.done", "b");
    assert_string_equal(decide(&at), " rollout.succeeded change.closed");
    assert_int_equal(at.rollout->outcome, OUTCOME_SUCCEEDED);
    arena_free(at.arena);
}

static void test_a_failed_preparation_refuses_and_switches_nothing(void **state) {
    (void)state;
    Case at = begin();
    decide(&at);
    happen(&at, "order.failed", "a");
    assert_non_null(strstr(decide(&at), "rollout.failing"));
    happen(&at, "order.failed", "b");
    decide(&at);
    happen(&at, "order.done", "a");
    happen(&at, "order.done", "b");
    decide(&at);
    assert_int_equal(at.rollout->outcome, OUTCOME_REFUSED);
    arena_free(at.arena);
}

static void test_a_sick_host_takes_confirmed_ones_back_with_it(void **state) {
    (void)state;
    Case at = begin();
    prepare_all(&at);
    switch_host(&at, "a");
    confirm_host(&at, "a");
    decide(&at);
    happen(&at, "order.done", "b");
    report(&at, "b", "fail");
    assert_non_null(strstr(decide(&at), "order.given:rollback:b"));
    assert_false(rollout_host(at.rollout, "a")->order_open); /* one host out of service at a time */
    happen(&at, "order.done", "b");
    assert_string_equal(decide(&at), " order.given:rollback:a");
    assert_false(rollout_host(at.rollout, "a")->order.restore_data); /* confirmed: its data stays */
    happen(&at, "order.done", "a");
    decide(&at);
    assert_int_equal(at.rollout->outcome, OUTCOME_ROLLED_BACK);
    arena_free(at.arena);
}

static void test_a_failing_verdict_is_not_hidden_by_better_ones_behind_it(void **state) {
    (void)state;
    Case at = begin();
    prepare_all(&at);
    switch_host(&at, "a");
    report(&at, "a", "fail"); /* nobody has decided yet when these come as well */
    report(&at, "a", "inconclusive");
    report(&at, "a", "pass");
    assert_non_null(strstr(decide(&at), "rollout.failing:a"));
    arena_free(at.arena);
}

static void test_silence_makes_a_switched_host_sick(void **state) {
    (void)state;
    Case at = begin();
    prepare_all(&at);
    switch_host(&at, "a");
    at.now_ms += 61 * 1000;
    assert_non_null(strstr(decide(&at), "rollout.failing:a"));
    arena_free(at.arena);
}

static void test_a_host_that_carries_out_an_order_may_be_silent(void **state) {
    (void)state;
    Case at = begin();
    prepare_all(&at);
    switch_host(&at, "a");
    at.now_ms += 6000;
    report(&at, "a", "pass");
    assert_string_equal(decide(&at), " order.given:confirm:a");
    at.now_ms += 61 * 1000;
    assert_string_equal(decide(&at), "");
    happen(&at, "order.done", "a");
    at.now_ms += 50 * 1000; /* its answer was a sign of life */
    assert_string_equal(decide(&at), " stage.passed stage.started batch.started order.given:switch:b");
    arena_free(at.arena);
}

static void test_a_long_commit_is_not_taken_for_sickness(void **state) {
    (void)state;
    Case at = begin();
    prepare_all(&at);
    switch_host(&at, "a");
    confirm_host(&at, "a");
    switch_host(&at, "b");
    confirm_host(&at, "b");
    report(&at, "a", "pass");
    decide(&at);
    at.now_ms += 590 * 1000;
    assert_string_equal(decide(&at), "");
    happen(&at, "order.done", "a");
    happen(&at, "order.done", "b");
    assert_string_equal(decide(&at), " rollout.succeeded change.closed");
    arena_free(at.arena);
}

static void test_a_failed_rollback_needs_a_person(void **state) {
    (void)state;
    Case at = begin();
    prepare_all(&at);
    decide(&at);
    happen(&at, "order.failed", "a");
    decide(&at);
    happen(&at, "order.failed", "a");
    happen(&at, "order.done", "b");
    decide(&at);
    assert_int_equal(at.rollout->state, ROLLOUT_FAILED);
    assert_int_equal(at.rollout->outcome, OUTCOME_FAILED);
    arena_free(at.arena);
}

static void test_a_pause_switches_nobody_but_still_confirms(void **state) {
    (void)state;
    Case at = begin();
    prepare_all(&at);
    switch_host(&at, "a");
    happen(&at, "control.pause", NULL);
    at.now_ms += 6000;
    report(&at, "a", "pass");
    assert_string_equal(decide(&at), " order.given:confirm:a");
    happen(&at, "order.done", "a");
    assert_string_equal(decide(&at), " stage.passed");
    happen(&at, "control.resume", NULL);
    assert_non_null(strstr(decide(&at), "order.given:switch:b"));
    arena_free(at.arena);
}

/* "a" is switched, and then nothing is heard of it until it is lost. */
static void lose_host(Case *at) {
    prepare_all(at);
    decide(at);
    at->now_ms += (int64_t)5 * 3600 * 1000;
    assert_string_equal(decide(at), " host.lost:a rollout.failing:a order.given:rollback:b");
}

static void test_a_host_that_falls_silent_with_an_order_is_lost(void **state) {
    (void)state;
    Case at = begin();
    decide(&at);
    happen(&at, "host.silent", "a");
    assert_non_null(strstr(decide(&at), "host.lost:a"));
    assert_int_equal(rollout_host(at.rollout, "a")->state, HOST_LOST);
    arena_free(at.arena);
}

static void test_a_host_that_falls_silent_without_an_order_is_not_lost_for_that(void **state) {
    (void)state;
    Case at = begin();
    decide(&at);
    happen(&at, "order.done", "a");
    happen(&at, "host.silent", "a");
    assert_null(strstr(decide(&at), "host.lost"));
    arena_free(at.arena);
}

static void test_a_lost_host_that_is_heard_again_goes_back(void **state) {
    (void)state;
    Case at = begin();
    lose_host(&at);
    JSON_AUTO event = rollout_event(at.rollout, "host.report_refused", at.now_ms);
    json_set_text(event, "host", "a");
    json_set_integer(event, "report", 7);
    fold(&at, event);
    assert_string_equal(decide(&at), " order.given:rollback:a");
    happen(&at, "order.done", "a");
    happen(&at, "order.done", "b");
    assert_string_equal(decide(&at), " rollout.rolled_back change.closed");
    arena_free(at.arena);
}

static void test_a_lost_host_is_tried_again_when_a_person_rolls_back(void **state) {
    (void)state;
    Case at = begin();
    lose_host(&at);
    happen(&at, "order.done", "b");
    assert_string_equal(decide(&at), " rollout.failed change.closed");
    happen(&at, "control.rollback", NULL);
    assert_string_equal(decide(&at), " order.given:rollback:a");
    arena_free(at.arena);
}

static void test_a_lost_host_says_why_in_both_languages(void **state) {
    (void)state;
    Case at = begin();
    lose_host(&at);
    assert_string_not_equal(at.rollout->reason, at.rollout->reason_zh);
    arena_free(at.arena);
}

static void test_a_dead_host_is_lost_though_its_engine_is_started_again_and_again(void **state) {
    (void)state;
    Case at = begin();
    prepare_all(&at);
    decide(&at);
    int hours = 0;
    for (; hours < 12 && at.rollout->hosts[0].state != HOST_LOST; hours++) {
        happen(&at, "engine.started", NULL);
        for (int minute = 0; minute < 60; minute += 5, at.now_ms += (int64_t)5 * 60 * 1000) decide(&at);
    }
    assert_int_equal(at.rollout->hosts[0].state, HOST_LOST);
    assert_true(hours >= 4); /* it had its time */
    arena_free(at.arena);
}

static void test_time_without_an_engine_is_not_counted_against_a_host(void **state) {
    (void)state;
    Case at = begin();
    prepare_all(&at);
    decide(&at);
    at.now_ms += (int64_t)100 * 3600 * 1000;
    happen(&at, "engine.started", NULL);
    at.now_ms += (int64_t)3600 * 1000;
    decide(&at);
    assert_int_equal(at.rollout->hosts[0].state, HOST_SWITCHING);
    arena_free(at.arena);
}

static void test_an_answer_to_an_order_that_was_not_given_is_refused(void **state) {
    (void)state;
    Case at = begin();
    Error error = {0};
    JSON_AUTO event = rollout_event(at.rollout, "order.done", at.now_ms);
    json_set_text(event, "host", "a");
    json_set_text(event, "order_id", "C/a/1");
    assert_int_equal(rollout_fold(at.rollout, 2, event, &error), -1);
    assert_int_equal(error.kind, ERROR_ATTENTION);
    arena_free(at.arena);
}

static void test_a_switch_without_a_proved_restore_point_cannot_be_folded(void **state) {
    (void)state;
    Case at = begin();
    Error error = {0};
    JSON_AUTO event = rollout_event(at.rollout, "order.given", at.now_ms);
    json_set_text(event, "host", "a");
    json_set_text(event, "order", "switch");
    json_set_text(event, "order_id", "C/a/1");
    assert_int_equal(rollout_fold(at.rollout, 2, event, &error), -1);
    arena_free(at.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prepares_every_host_before_it_switches_one),
        cmocka_unit_test(test_confirms_only_after_the_soak_and_a_fresh_report),
        cmocka_unit_test(test_a_pass_that_comes_late_confirms_nobody),
        cmocka_unit_test(test_commits_when_every_stage_has_passed),
        cmocka_unit_test(test_a_failed_preparation_refuses_and_switches_nothing),
        cmocka_unit_test(test_a_sick_host_takes_confirmed_ones_back_with_it),
        cmocka_unit_test(test_a_failing_verdict_is_not_hidden_by_better_ones_behind_it),
        cmocka_unit_test(test_silence_makes_a_switched_host_sick),
        cmocka_unit_test(test_a_host_that_carries_out_an_order_may_be_silent),
        cmocka_unit_test(test_a_long_commit_is_not_taken_for_sickness),
        cmocka_unit_test(test_a_failed_rollback_needs_a_person),
        cmocka_unit_test(test_a_pause_switches_nobody_but_still_confirms),
        cmocka_unit_test(test_a_host_that_falls_silent_with_an_order_is_lost),
        cmocka_unit_test(test_a_host_that_falls_silent_without_an_order_is_not_lost_for_that),
        cmocka_unit_test(test_a_lost_host_that_is_heard_again_goes_back),
        cmocka_unit_test(test_a_lost_host_is_tried_again_when_a_person_rolls_back),
        cmocka_unit_test(test_a_lost_host_says_why_in_both_languages),
        cmocka_unit_test(test_a_dead_host_is_lost_though_its_engine_is_started_again_and_again),
        cmocka_unit_test(test_time_without_an_engine_is_not_counted_against_a_host),
        cmocka_unit_test(test_an_answer_to_an_order_that_was_not_given_is_refused),
        cmocka_unit_test(test_a_switch_without_a_proved_restore_point_cannot_be_folded),
    };
    return cmocka_run_group_tests_name("rollout", tests, NULL, NULL);
}
