#include "support/rollout_play.h"

/* Four hosts at once, of which one may fail. */
static const char plan_start[] =
    "upkeep: 1\n"
    "service: {name: s, root: \"/srv/${host.name}\", run: {systemd: s.service}}\n"
    "package: {file: s.upk, trust: [a.pub]}\n"
    "hosts: [{name: a}, {name: b}, {name: c}, {name: d}]\n"
    "health: [{tcp: {address: \"h:1\"}}]\n";
#define ONE_MAY_FAIL "rollout: {max_unavailable: 4, stages: [{name: all, soak: 5s, max_failed: 1}]}\n"

static Case begin(const char *more) { return case_begin(plan_start, more); }

static void done(Case *at, const char *hosts) {
    for (; *hosts; hosts++) happen(at, "order.done", (char[]){*hosts, '\0'});
}

static void pass(Case *at, const char *hosts) {
    for (; *hosts; hosts++) report(at, (char[]){*hosts, '\0'}, "pass");
}

/* All prepared, and switched where there is room. */
static void switch_all(Case *at) {
    decide(at);
    done(at, "abcd");
    decide(at);
}

static RolloutHost *host(Case *at, const char *name) { return rollout_host(at->rollout, name); }

static void test_one_that_fails_within_the_threshold_is_put_back_alone(void **state) {
    (void)state;
    Case at = begin(ONE_MAY_FAIL);
    switch_all(&at);
    happen(&at, "order.failed", "b");
    assert_string_equal(decide(&at), " host.left_out:b order.given:rollback:b");
    done(&at, "acd");
    assert_string_equal(decide(&at), " stage.soaking");
    at.now_ms += 6000;
    pass(&at, "acd");
    assert_string_equal(decide(&at), " order.given:confirm:a order.given:confirm:c order.given:confirm:d");
    done(&at, "acd");
    assert_string_equal(decide(&at),
                        " stage.passed order.given:commit:a order.given:commit:c order.given:commit:d");
    done(&at, "acd");
    assert_string_equal(decide(&at), ""); /* the end waits for the one that goes back */
    done(&at, "b");
    assert_string_equal(decide(&at), " rollout.succeeded change.closed");
    assert_int_equal(at.rollout->outcome, OUTCOME_SUCCEEDED);
    assert_int_equal(rollout_left_out(at.rollout), 1);
    assert_int_equal(host(&at, "b")->state, HOST_ROLLED_BACK);
    arena_free(at.arena);
}

static void test_one_more_than_may_fail_stops_the_rollout(void **state) {
    (void)state;
    Case at = begin(ONE_MAY_FAIL);
    switch_all(&at);
    happen(&at, "order.failed", "b");
    decide(&at);
    happen(&at, "order.failed", "c");
    assert_non_null(strstr(decide(&at), " rollout.failing:c"));
    assert_int_equal(at.rollout->state, ROLLOUT_ROLLING_BACK);
    arena_free(at.arena);
}

static void test_a_percentage_of_failures_is_rounded_down(void **state) {
    (void)state;
    Case at = begin("rollout: {max_unavailable: 4, stages: [{name: all, soak: 5s, max_failed: 24%}]}\n");
    switch_all(&at);
    happen(&at, "order.failed", "b");
    assert_non_null(strstr(decide(&at), " rollout.failing:b"));
    arena_free(at.arena);
}

static void test_a_stage_of_which_nobody_is_left_is_no_pass(void **state) {
    (void)state;
    Case at = begin("rollout: {max_unavailable: 4, stages: [{name: all, soak: 5s, max_failed: 100%}]}\n");
    switch_all(&at);
    for (const char *name = "abc"; *name; name++) happen(&at, "order.failed", (char[]){*name, '\0'});
    decide(&at);
    assert_int_equal(rollout_left_out(at.rollout), 3);
    happen(&at, "order.failed", "d");
    assert_non_null(strstr(decide(&at), " rollout.failing:d"));
    arena_free(at.arena);
}

static void test_a_silent_host_goes_back_when_there_is_room_for_it(void **state) {
    (void)state;
    Case at = begin("rollout: {max_unavailable: 1, stages: [{name: all, soak: 5s, max_failed: 2}]}\n");
    switch_all(&at); /* a */
    done(&at, "a");
    decide(&at); /* b is being switched */
    at.now_ms += 61 * 1000;
    assert_string_equal(decide(&at), " host.left_out:a"); /* it may serve: b is out of service already */
    done(&at, "b");
    assert_string_equal(decide(&at), " order.given:rollback:a");
    done(&at, "a");
    assert_string_equal(decide(&at), " order.given:switch:c");
    arena_free(at.arena);
}

static void test_a_failed_rollback_of_one_lets_the_others_go_on_and_needs_a_person(void **state) {
    (void)state;
    Case at = begin(ONE_MAY_FAIL);
    switch_all(&at);
    happen(&at, "order.failed", "b");
    decide(&at);
    happen(&at, "order.failed", "b");
    done(&at, "acd");
    decide(&at);
    at.now_ms += 6000;
    pass(&at, "acd");
    decide(&at);
    done(&at, "acd");
    decide(&at);
    done(&at, "acd");
    assert_string_equal(decide(&at), " rollout.failed change.closed");
    assert_int_equal(at.rollout->outcome, OUTCOME_FAILED);
    assert_int_equal(host(&at, "a")->state, HOST_COMMITTED);
    assert_true(rollout_needs_person(host(&at, "b")));
    arena_free(at.arena);
}

static void test_hosts_that_stay_out_of_service_leave_no_room_for_others(void **state) {
    (void)state;
    Case at = begin("rollout: {max_unavailable: 1, stages: [{name: all, soak: 5s, max_failed: 2}]}\n");
    switch_all(&at);
    at.now_ms += 5 * 3600 * 1000LL;
    const char *said = decide(&at);
    assert_non_null(strstr(said, " host.lost:a host.left_out:a rollout.failing:a")); /* and not: for ever */
    arena_free(at.arena);
}

static void test_a_lost_host_is_out_of_service_until_it_is_heard(void **state) {
    (void)state;
    Case at = begin(ONE_MAY_FAIL);
    decide(&at);
    done(&at, "bcd");
    at.now_ms += 25 * 3600 * 1000LL;
    assert_non_null(strstr(decide(&at), " host.lost:a host.left_out:a"));
    assert_int_equal(rollout_unavailable(at.rollout), 1 + 3); /* b, c and d are being switched */
    happen(&at, "control.retry", "a");
    assert_string_equal(decide(&at), " order.given:prepare:a");
    assert_int_equal(rollout_unavailable(at.rollout), 1 + 3);
    done(&at, "a");
    assert_int_equal(rollout_unavailable(at.rollout), 3);
    arena_free(at.arena);
}

static void test_a_skipped_host_is_no_failure(void **state) {
    (void)state;
    Case at = begin(ONE_MAY_FAIL);
    decide(&at);
    happen(&at, "control.skip", "a"); /* while it is being prepared */
    assert_string_equal(decide(&at), " order.cancelled:a");
    happen(&at, "order.failed", "a");
    done(&at, "bcd");
    assert_non_null(strstr(decide(&at), " order.given:rollback:a")); /* what was prepared is cleaned up */
    done(&at, "a");
    decide(&at);
    happen(&at, "order.failed", "b");
    assert_non_null(strstr(decide(&at), " host.left_out:b")); /* the one that may fail */
    assert_int_equal(rollout_left_out(at.rollout), 2);
    arena_free(at.arena);
}

static void test_a_skipped_host_that_never_answers_does_not_keep_the_change_from_its_end(void **state) {
    (void)state;
    Case at = begin(ONE_MAY_FAIL);
    decide(&at);
    happen(&at, "control.skip", "a");
    decide(&at);
    at.now_ms += 3599 * 1000;
    assert_null(strstr(decide(&at), "host.lost"));
    at.now_ms += 1000;
    assert_non_null(strstr(decide(&at), " host.lost:a"));
    assert_int_equal(host(&at, "a")->part, PART_SKIPPED);
    arena_free(at.arena);
}

static void test_a_switched_host_that_is_well_is_neither_skipped_nor_retried(void **state) {
    (void)state;
    Case at = begin(ONE_MAY_FAIL);
    Error error = {0};
    switch_all(&at);
    done(&at, "abcd");
    assert_int_equal(rollout_check_skip(at.rollout, host(&at, "a"), &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_int_equal(rollout_check_retry(at.rollout, host(&at, "a"), &error), -1);
    happen(&at, "control.skip", "a"); /* all the same: it changes nothing */
    happen(&at, "control.retry", "a");
    assert_int_equal(host(&at, "a")->part, PART_TAKEN);
    assert_int_equal(host(&at, "a")->state, HOST_HEALTHY);
    arena_free(at.arena);
}

static void test_the_last_host_of_a_stage_cannot_be_skipped(void **state) {
    (void)state;
    Case at = begin("rollout: {stages: [{name: one, hosts: 1}, {name: rest}]}\n");
    decide(&at);
    assert_int_equal(rollout_check_skip(at.rollout, host(&at, "a"), NULL), -1);
    assert_int_equal(rollout_check_skip(at.rollout, host(&at, "b"), NULL), 0);
    arena_free(at.arena);
}

static void test_another_try_begins_from_the_old_version(void **state) {
    (void)state;
    Case at = begin(ONE_MAY_FAIL "on_failure: hold\n");
    switch_all(&at);
    happen(&at, "order.failed", "a");
    happen(&at, "order.failed", "b");
    done(&at, "cd");
    assert_non_null(strstr(decide(&at), " rollout.held:b"));
    happen(&at, "control.retry", "b");
    assert_string_equal(decide(&at), ""); /* held: until somebody resumes */
    happen(&at, "control.resume", NULL);
    const char *said = decide(&at);
    assert_non_null(strstr(said, " order.given:rollback:a"));
    assert_non_null(strstr(said, " order.given:rollback:b"));
    done(&at, "ab");
    assert_non_null(strstr(decide(&at), " order.given:prepare:b"));
    assert_false(host(&at, "b")->proved); /* of another backup */
    done(&at, "b");
    at.now_ms += 6000;
    pass(&at, "cd");
    decide(&at);
    done(&at, "cd");
    assert_string_equal(decide(&at), " batch.started order.given:switch:b");
    arena_free(at.arena);
}

static void test_a_held_rollout_goes_on_without_a_skipped_host(void **state) {
    (void)state;
    Case at = begin("on_failure: hold\nrollout: {max_unavailable: 4, stages: [{name: all, soak: 5s}]}\n");
    switch_all(&at);
    happen(&at, "order.failed", "a");
    done(&at, "bcd");
    assert_non_null(strstr(decide(&at), " rollout.held:a"));
    happen(&at, "control.skip", "a");
    happen(&at, "control.resume", NULL);
    assert_string_equal(decide(&at), " order.given:rollback:a stage.soaking");
    arena_free(at.arena);
}

/* It is to be prepared anew, and was not yet: the last preparation may have left something. */
static void test_what_a_failed_preparation_left_is_put_back(void **state) {
    (void)state;
    Case at = begin(ONE_MAY_FAIL);
    decide(&at);
    happen(&at, "order.failed", "a");
    happen(&at, "control.pause", NULL);
    happen(&at, "control.retry", "a");
    assert_int_equal(host(&at, "a")->state, HOST_PENDING);
    happen(&at, "control.abort", NULL);
    assert_non_null(strstr(decide(&at), " order.given:rollback:a"));
    done(&at, "abcd");
    assert_non_null(strstr(decide(&at), " order.given:rollback:b"));
    assert_int_equal(host(&at, "a")->state, HOST_ROLLED_BACK);
    arena_free(at.arena);
}

static void test_nothing_is_retried_by_itself_nor_after_its_stage(void **state) {
    (void)state;
    Case at = begin(ONE_MAY_FAIL);
    switch_all(&at);
    happen(&at, "order.failed", "a");
    decide(&at);
    done(&at, "abcd");
    decide(&at);
    at.now_ms += 6000;
    pass(&at, "bcd");
    assert_null(strstr(decide(&at), ":a"));
    assert_int_equal(rollout_check_retry(at.rollout, host(&at, "a"), NULL), 0);
    done(&at, "bcd");
    assert_non_null(strstr(decide(&at), "stage.passed"));
    assert_int_equal(rollout_check_retry(at.rollout, host(&at, "a"), NULL), -1);
    arena_free(at.arena);
}

static void test_a_retry_between_decision_and_pass_keeps_the_stage_open(void **state) {
    (void)state;
    Case at = begin(ONE_MAY_FAIL);
    switch_all(&at);
    happen(&at, "order.failed", "a");
    decide(&at);
    done(&at, "abcd");
    decide(&at);
    at.now_ms += 6000;
    pass(&at, "bcd");
    decide(&at);
    done(&at, "bcd");
    JSON_AUTO decided = rollout_decide(at.rollout, at.now_ms);
    assert_string_equal(json_get_text(json_array_get(decided, 0), "type", ""), "stage.passed");
    happen(&at, "control.retry", "a"); /* somebody else was quicker */
    fold(&at, json_array_get(decided, 0));
    assert_string_equal(decide(&at), " order.given:prepare:a");
    assert_int_not_equal(at.rollout->stages[0].state, STAGE_PASSED);
    arena_free(at.arena);
}

static void test_a_host_that_says_twice_that_it_went_back_keeps_its_other_try(void **state) {
    (void)state;
    Case at = begin(ONE_MAY_FAIL);
    switch_all(&at);
    done(&at, "abcd");
    happen(&at, "host.rolled_back", "a");
    decide(&at);
    happen(&at, "control.retry", "a");
    assert_string_equal(decide(&at), " order.given:prepare:a");
    happen(&at, "host.rolled_back", "a");
    assert_int_equal(host(&at, "a")->state, HOST_PREPARING);
    arena_free(at.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_fails_within_the_threshold_is_put_back_alone),
        cmocka_unit_test(test_one_more_than_may_fail_stops_the_rollout),
        cmocka_unit_test(test_a_percentage_of_failures_is_rounded_down),
        cmocka_unit_test(test_a_stage_of_which_nobody_is_left_is_no_pass),
        cmocka_unit_test(test_a_silent_host_goes_back_when_there_is_room_for_it),
        cmocka_unit_test(test_a_failed_rollback_of_one_lets_the_others_go_on_and_needs_a_person),
        cmocka_unit_test(test_hosts_that_stay_out_of_service_leave_no_room_for_others),
        cmocka_unit_test(test_a_lost_host_is_out_of_service_until_it_is_heard),
        cmocka_unit_test(test_a_skipped_host_is_no_failure),
        cmocka_unit_test(test_a_skipped_host_that_never_answers_does_not_keep_the_change_from_its_end),
        cmocka_unit_test(test_a_switched_host_that_is_well_is_neither_skipped_nor_retried),
        cmocka_unit_test(test_the_last_host_of_a_stage_cannot_be_skipped),
        cmocka_unit_test(test_another_try_begins_from_the_old_version),
        cmocka_unit_test(test_a_held_rollout_goes_on_without_a_skipped_host),
        cmocka_unit_test(test_what_a_failed_preparation_left_is_put_back),
        cmocka_unit_test(test_nothing_is_retried_by_itself_nor_after_its_stage),
        cmocka_unit_test(test_a_retry_between_decision_and_pass_keeps_the_stage_open),
        cmocka_unit_test(test_a_host_that_says_twice_that_it_went_back_keeps_its_other_try),
    };
    return cmocka_run_group_tests_name("rollout_left_out", tests, NULL, NULL);
}
