/* Plans on imagined hosts: a good version gets through, a bad one stops where it must, the same seed gives
 * the same, and hours take no time. */
#include "engine/host_link_imagined.h"
#include "engine/simulation.h"
#include "support/test.h"
#include <string.h>

static const char head[] =
    "upkeep: 1\nservice: {name: s, root: \"/srv/${host.name}\", run: {systemd: s.service}}\n"
    "package: {file: none.upk, trust: [none.pub]}\n"
    "hosts: [{name: a}, {name: b}, {name: c}, {name: d}]\n"
    "health: [{tcp: {address: \"127.0.0.1:1\"}, every: 1s, healthy_after: 3, fail_after: 2, deadline: "
    "30s}]\n";

static Plan *compile(Arena *arena, const char *more) {
    Plan *plan = NULL;
    Error error;
    const char *text = arena_printf(arena, "%s%s", head, more);
    if (plan_compile(arena, "p", "/", text, strlen(text), &plan, &error) < 0) fail_msg("%s", error.en);
    return plan;
}

static const char staged[] =
    "rollout: {max_unavailable: 2, confirm_deadline: 3h, stages: [{name: pilot, hosts: 1, soak: 1h}, "
    "{name: rest, batch: 100%, soak: 2h}]}\n";

static SimulationResult run(Arena *arena, const Plan *plan, SimulationCase happens, uint64_t seed) {
    SimulationResult result;
    Error error;
    SimulationSpec spec = {
        .plan = plan, .happens = happens, .seed = seed, .prepare_ms = 120000, .switch_ms = 10000};
    if (simulation_run(arena, &spec, &result, &error) < 0) fail_msg("%s", error.en);
    return result;
}

static void test_a_good_version_gets_through_stage_by_stage(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    SimulationResult result = run(arena, compile(arena, staged), SIMULATION_GOOD, 1);
    assert_int_equal(result.outcome, OUTCOME_SUCCEEDED);
    assert_int_equal(result.stopped_ms, -1);
    assert_int_equal(result.touched, 4);
    assert_int_equal(result.left, 0);
    assert_in_range(result.stages[0].started_ms, 96000, 144500);
    int64_t pilot_ms = result.stages[0].passed_ms - result.stages[0].started_ms;
    assert_in_range(pilot_ms, 3600000 + 11000, 3600000 + 16000);
    /* three hosts, two at a time, one batch and one soak */
    int64_t rest_ms = result.stages[1].passed_ms - result.stages[1].started_ms;
    assert_in_range(rest_ms, 7200000 + 22000, 7200000 + 31000);
    assert_int_equal(result.stages[1].batches, 1);
}

static void test_a_bad_version_stops_at_the_first_host(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    SimulationResult result = run(arena, compile(arena, staged), SIMULATION_BAD_AT_ONCE, 1);
    assert_int_equal(result.outcome, OUTCOME_ROLLED_BACK);
    assert_string_equal(result.stop_host, "a");
    assert_string_equal(result.stop_stage, "pilot");
    assert_int_equal(result.touched, 1);
    assert_in_range(result.stopped_ms - result.first_switch_ms, 30000 + 8000, 30000 + 12100);
    assert_in_range(result.ended_ms - result.stopped_ms, 11000, 16000);
}

static void test_one_that_becomes_bad_is_noticed_in_the_soak(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    Plan *plan = compile(arena, staged);
    SimulationResult result = run(arena, plan, SIMULATION_BAD_LATER, 1);
    assert_int_equal(simulation_bad_after_ms(&plan->rollout.stages.items[0]), 30000);
    assert_int_equal(host_link_imagined_notice_ms(plan), 2000);
    assert_int_equal(result.outcome, OUTCOME_ROLLED_BACK);
    assert_int_equal(result.touched, 1);
    /* switched, healthy after 3 s, bad after 30 s, noticed after 2 s */
    assert_in_range(result.stopped_ms - result.first_switch_ms, 8000 + 35000, 12000 + 35100);
}

static void test_a_soak_too_short_to_notice_touches_more_hosts(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    Plan *plan = compile(
        arena, "rollout: {stages: [{name: pilot, hosts: 1, soak: 1s}, {name: rest, batch: 1, soak: 1s}]}\n");
    assert_true(run(arena, plan, SIMULATION_BAD_LATER, 1).touched > 1);
}

static void test_one_bad_host_takes_all_back(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    Plan *plan = compile(arena, staged);
    bool seen[4] = {false};
    for (uint64_t seed = 1; seed <= 40; seed++) {
        SimulationResult result = run(arena, plan, SIMULATION_BAD_HOST, seed);
        assert_int_equal(result.outcome, OUTCOME_ROLLED_BACK);
        assert_int_equal(result.left, 0);
        seen[result.stop_host[0] - 'a'] = true;
    }
    for (size_t i = 0; i < 4; i++) assert_true(seen[i]);
}

static void test_hold_stays_for_a_person(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    SimulationResult result = run(arena, compile(arena, "on_failure: hold\n"), SIMULATION_BAD_AT_ONCE, 1);
    assert_int_equal(result.outcome, OUTCOME_NONE);
    assert_int_equal(result.left, 1);
}

static void test_a_batch_too_slow_for_its_deadline_shows(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    Plan *plan = compile(arena, "rollout: {max_unavailable: 1, confirm_deadline: 41s, stages: [{name: all, "
                                "batch: 100%, soak: 1s}]}\n");
    SimulationResult result = run(arena, plan, SIMULATION_GOOD, 1);
    assert_int_equal(result.outcome, OUTCOME_ROLLED_BACK);
    assert_non_null(strstr(result.stop_why, "confirmed"));
}

static void test_the_same_seed_gives_the_same(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    Plan *plan = compile(arena, staged);
    SimulationResult one = run(arena, plan, SIMULATION_GOOD, 7), same = run(arena, plan, SIMULATION_GOOD, 7),
                     other = run(arena, plan, SIMULATION_GOOD, 8);
    assert_int_equal(one.ended_ms, same.ended_ms);
    assert_int_equal(one.events, same.events);
    assert_int_not_equal(one.ended_ms, other.ended_ms);
}

static void test_more_hosts_than_the_plan_names(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    Plan *plan = NULL;
    Error error;
    assert_int_equal(plan_with_hosts(arena, compile(arena, staged), 300, &plan, &error), 0);
    assert_int_equal(plan->hosts.count, 300);
    assert_int_equal(run(arena, plan, SIMULATION_GOOD, 1).touched, 300);
    assert_int_equal(plan_with_hosts(arena, compile(arena, staged), 1, &plan, &error), -1);
}

/* ---- the link alone */

static void test_a_cancelled_order_fails_soon(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    ImaginedOutcome outcome = {.bad_after_ms = IMAGINED_NEVER};
    Error error;
    Plan *plan = NULL;
    assert_int_equal(plan_with_hosts(arena, compile(arena, ""), 2, &plan, &error), 0);
    RolloutHost host = {.name = "a"};
    TextIndex *names = text_index_new(arena, 1);
    text_index_add(names, "a", 0);
    Rollout rollout = {.plan = plan, .hosts = &host, .host_count = 1, .host_index = names};
    ClockFalse clock = clock_false(1000000);
    HostLinkImaginedSpec spec = {
        .rollout = &rollout, .clock = &clock, .outcomes = &outcome, .prepare_ms = 600000, .grain_ms = 50};
    HostLink *link = host_link_imagined_open(&spec);
    Order order = {.id = "C/a/1", .kind = ORDER_PREPARE};
    HostReport report;
    assert_int_equal(link->submit(link, "b", &order, &error), -1);
    assert_int_equal(link->submit(link, "a", &order, &error), 0);
    link->cancel(link, "a");
    assert_int_equal(link->receive(link, 0, &report), 0);
    assert_int_equal(link->receive(link, 50, &report), 1);
    assert_string_equal(json_string_value(json_object_get(report.event, "type")), "order.failed");
    assert_int_equal(clock.now_ms, 1001000);
    json_decref(report.event);
    assert_int_equal(link->receive(link, 50, &report), 0); /* what it would have answered is void */
    link->close(link);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_version_gets_through_stage_by_stage),
        cmocka_unit_test(test_a_bad_version_stops_at_the_first_host),
        cmocka_unit_test(test_one_that_becomes_bad_is_noticed_in_the_soak),
        cmocka_unit_test(test_a_soak_too_short_to_notice_touches_more_hosts),
        cmocka_unit_test(test_one_bad_host_takes_all_back),
        cmocka_unit_test(test_hold_stays_for_a_person),
        cmocka_unit_test(test_a_batch_too_slow_for_its_deadline_shows),
        cmocka_unit_test(test_the_same_seed_gives_the_same),
        cmocka_unit_test(test_more_hosts_than_the_plan_names),
        cmocka_unit_test(test_a_cancelled_order_fails_soon),
    };
    return cmocka_run_group_tests_name("host_link_imagined", tests, NULL, NULL);
}
