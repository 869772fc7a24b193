/* The engine with its local hosts. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "engine/change.h"
#include "engine/engine.h"
#include "engine/host_link_local.h"
#include "host/preflight.h"
#include "host/watch.h"
#include "journal/journal_memory.h"
#include "support/sample_run.h"
#include <string.h>

static void carry_out(SampleRun *run, bool prepare_only) {
    HostLink *link = NULL;
    assert_done(change_load(run->journal, run->arena, run->change, &run->rollout, error));
    HostLinkLocalSpec local = sample_run_local(run);
    assert_done(host_link_local_open(&local, &link, error));
    EngineSpec spec = {.journal = run->journal,
                       .link = link,
                       .clock = clock_system(),
                       .rollout = run->rollout,
                       .by = "test",
                       .prepare_only = prepare_only,
                       .resume = true};
    assert_done(engine_run(&spec, &run->end, error));
    link->close(link);
}

static void expect(const TestFolder *folder, Journal *journal, const char *version, RolloutOutcome outcome) {
    SampleRun run = sample_run_open(folder, journal, version, "");
    carry_out(&run, false);
    assert_int_equal(run.end, ENGINE_ENDED);
    assert_string_equal(rollout_outcome_text(run.rollout->outcome), rollout_outcome_text(outcome));
    sample_run_close(&run);
}

static void test_a_first_installation_succeeds(void **state) {
    JOURNAL_AUTO journal = journal_memory_new();
    sample_pack_version(*state, "1.0", true);
    expect(*state, journal, "1.0", OUTCOME_SUCCEEDED);
    assert_true(sample_stands(*state, "root/current/healthy"));
    assert_true(sample_stands(*state, "root/running"));
}

static void test_a_first_installation_that_fails_leaves_nothing(void **state) {
    JOURNAL_AUTO journal = journal_memory_new();
    sample_pack_version(*state, "1.0", false);
    expect(*state, journal, "1.0", OUTCOME_ROLLED_BACK);
    assert_false(sample_stands(*state, "root/current"));
    assert_false(sample_stands(*state, "root/releases/1.0"));
    assert_false(sample_stands(*state, "root/running"));
}

static void test_a_sick_version_is_put_back_with_its_data(void **state) {
    JOURNAL_AUTO journal = journal_memory_new();
    sample_pack_version(*state, "1.0", true);
    sample_pack_version(*state, "2.0", false);
    expect(*state, journal, "1.0", OUTCOME_SUCCEEDED);
    assert_true(sample_stands(*state, "root"));
    char shared[SAMPLE_PATH_SIZE];
    sample_path(*state, "root/shared", shared);
    mkdir(shared, 0755);
    sample_write_at(*state, "root/shared/orders", "ten");
    expect(*state, journal, "2.0", OUTCOME_ROLLED_BACK);
    assert_true(sample_stands(*state, "root/current/healthy"));
    assert_true(sample_stands(*state, "root/shared/orders"));
    assert_false(sample_stands(*state, "root/releases/2.0"));
}

static void test_prepare_only_switches_nothing_and_goes_on_later(void **state) {
    JOURNAL_AUTO journal = journal_memory_new();
    sample_pack_version(*state, "1.0", true);
    SampleRun run = sample_run_open(*state, journal, "1.0", "");
    carry_out(&run, true);
    assert_int_equal(run.end, ENGINE_PAUSED);
    assert_true(sample_stands(*state, "root/releases/1.0"));
    assert_false(sample_stands(*state, "root/current"));
    carry_out(&run, false);
    assert_int_equal(run.rollout->outcome, OUTCOME_SUCCEEDED);
    sample_run_close(&run);
}

static void test_hold_waits_for_a_person_who_rolls_back(void **state) {
    JOURNAL_AUTO journal = journal_memory_new();
    sample_pack_version(*state, "1.0", true);
    sample_pack_version(*state, "2.0", false);
    expect(*state, journal, "1.0", OUTCOME_SUCCEEDED);
    SampleRun run = sample_run_open(*state, journal, "2.0", "on_failure: hold\n");
    carry_out(&run, false);
    assert_int_equal(run.end, ENGINE_HELD);
    assert_false(sample_stands(*state, "root/current/healthy"));
    assert_done(
        engine_control(journal, run.rollout, "rollback", "somebody", "test", NULL, clock_system(), error));
    carry_out(&run, false);
    assert_int_equal(run.rollout->outcome, OUTCOME_ROLLED_BACK);
    assert_true(sample_stands(*state, "root/current/healthy"));
    sample_run_close(&run);
}

static void test_two_engines_never_share_a_host(void **state) {
    JOURNAL_AUTO journal = journal_memory_new();
    HostLink *one = NULL, *other = NULL;
    Error refusal = {0};
    sample_pack_version(*state, "1.0", true);
    SampleRun run = sample_run_open(*state, journal, "1.0", "");
    assert_done(change_load(journal, run.arena, run.change, &run.rollout, error));
    HostLinkLocalSpec local = sample_run_local(&run);
    assert_done(host_link_local_open(&local, &one, error));
    assert_int_equal(host_link_local_open(&local, &other, &refusal), -1);
    assert_int_equal(refusal.kind, ERROR_REFUSED);
    one->close(one);
    sample_run_close(&run);
}

static void test_every_event_of_a_run_verifies(void **state) {
    JOURNAL_AUTO journal = journal_memory_new();
    int64_t events = 0;
    sample_pack_version(*state, "1.0", true);
    expect(*state, journal, "1.0", OUTCOME_SUCCEEDED);
    assert_done(journal_verify(journal, &events, error));
    assert_true(events > 15);
}

/* ---- what hosts are made of, where no engine is needed */

static Plan *host_plan(SampleRun *run, const char *version) {
    Plan *own = NULL;
    assert_done(plan_for_host(run->arena, run->plan, "h", version, &own, error));
    return own;
}

static void count_refusal(void *context, const char *name, const Observation *result) {
    (void)name, (void)result;
    ++*(int *)context;
}

static void test_preflight_changes_nothing(void **state) {
    JOURNAL_AUTO journal = journal_memory_new();
    PACKAGE_AUTO package = NULL;
    size_t refusals = 9;
    int results = 0;
    char store[SAMPLE_PATH_SIZE];
    sample_pack_version(*state, "1.0", true);
    SampleRun run = sample_run_open(*state, journal, "1.0", "");
    sample_path(*state, "store", store);
    assert_done(sample_open(*state, "1.0.upk", &package, error));
    PreflightSpec spec = {
        .plan = host_plan(&run, "1.0"), .package = package, .store = store, .clock = clock_system()};
    assert_done(preflight_run(&spec, count_refusal, &results, &refusals, error));
    assert_int_equal(refusals, 0);
    assert_true(results > 0);
    assert_false(sample_stands(*state, "root"));
    assert_false(sample_stands(*state, "store"));
    sample_run_close(&run);
}

static void test_a_watch_ends_when_what_it_watches_stays_sick(void **state) {
    JOURNAL_AUTO journal = journal_memory_new();
    Error sick = {0};
    char root[SAMPLE_PATH_SIZE];
    sample_pack_version(*state, "1.0", true);
    SampleRun run = sample_run_open(*state, journal, "1.0", "");
    sample_path(*state, "root", root);
    assert_int_equal(mkdir(root, 0755), 0);
    sample_write_at(*state, "root/running", "");
    WatchSpec spec = {.plan = host_plan(&run, "1.0"), .clock = clock_system()};
    Watch *watch = watch_new(&spec);
    assert_int_equal(watch_verdict(watch), VERDICT_INCONCLUSIVE); /* nothing seen is no pass */
    assert_int_equal(watch_until_healthy(watch, NULL, NULL, &sick), -1);
    assert_int_equal(watch_verdict(watch), VERDICT_FAIL);
    watch_free(watch);
    sample_run_close(&run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_first_installation_succeeds),
        test_in_folder(test_a_first_installation_that_fails_leaves_nothing),
        test_in_folder(test_a_sick_version_is_put_back_with_its_data),
        test_in_folder(test_prepare_only_switches_nothing_and_goes_on_later),
        test_in_folder(test_hold_waits_for_a_person_who_rolls_back),
        test_in_folder(test_two_engines_never_share_a_host),
        test_in_folder(test_every_event_of_a_run_verifies),
        test_in_folder(test_preflight_changes_nothing),
        test_in_folder(test_a_watch_ends_when_what_it_watches_stays_sick),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
