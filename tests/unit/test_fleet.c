#include "server/fleet.h"
#include "support/fleet_play.h"
#include <errno.h>

static void test_a_change_is_opened_and_carried_out(void **state) {
    FleetPlay play;
    fleet_play_begin(&play, *state);
    fleet_play_change(&play, "1.0", false);
    fleet_play_host(&play);
    AT_LAST(fleet_play_is_over(&play));
    assert_int_equal(fleet_play_look(&play).outcome, OUTCOME_SUCCEEDED);
    fleet_play_end(&play);
    assert_true(sample_stands(*state, "root/current/healthy"));
}

static void test_what_was_written_is_there_after_a_restart(void **state) {
    FleetPlay play;
    ARENA_AUTO arena = arena_new();
    fleet_play_begin(&play, *state);
    fleet_play_join(play.fleet, "i");
    FleetCounts before = fleet_counts(play.fleet);
    fleet_play_again(&play);
    FleetCounts after = fleet_counts(play.fleet);
    assert_int_equal(after.hosts, 2);
    assert_int_equal(after.joined, 2);
    assert_int_equal(after.sequence, before.sequence);
    assert_true(fleet_is_joined(play.fleet, "i"));
    assert_false(fleet_is_joined(play.fleet, "j"));
    assert_int_equal(depot_list(fleet_depot(play.fleet), arena).count, 2);
    fleet_play_end(&play);
}

static void test_events_that_break_a_rule_are_not_written(void **state) {
    FleetPlay play;
    fleet_play_begin(&play, *state);
    int64_t before = fleet_counts(play.fleet).sequence;
    assert_refused(
        fleet_write(play.fleet, json_pack("{s:s,s:s}", "type", "host.joined", "host", "a/b"), error),
        ERROR_INVALID, "a/b");
    assert_refused(
        fleet_write(play.fleet,
                    json_pack("{s:s,s:s,s:s}", "type", "host.described", "host", "h", "labels", "x"), error),
        ERROR_INVALID, "labels");
    assert_int_equal(fleet_counts(play.fleet).sequence, before);
    fleet_play_end(&play);
}

/* ---- opening */

static void check_not_opened(FleetPlay *play, const char *text, const char *package, const char *why) {
    char id[CHANGE_ID_SIZE] = "untouched";
    int64_t before = fleet_counts(play->fleet).sequence;
    FleetOpening opening = {.text = text, .file = "p.yaml", .package = package, .by = "test"};
    Error problem = {0};
    assert_int_equal(fleet_open_change(play->fleet, &opening, id, &problem), -1);
    if (problem.kind != ERROR_INVALID || !strstr(problem.en, why)) fail_msg("%s: %s", why, problem.en);
    assert_string_equal(id, "untouched");
    assert_int_equal(fleet_counts(play->fleet).sequence, before);
}

static void test_plans_that_cannot_be_carried_out_are_refused(void **state) {
#define REST "health:\n  - {command: {run: [\"true\"]}, every: 10ms, healthy_after: 2, deadline: 300ms}\n"
#define RUN  "run: {commands: {start: [\"true\"], stop: [\"true\"], status: [\"true\"]}}"
    FleetPlay play;
    fleet_play_begin(&play, *state);
    check_not_opened(&play, "", NULL, "");
    check_not_opened(&play, "upkeep: 1\n", NULL, "");
    check_not_opened(&play,
                     "upkeep: 1\nservice: {name: sample, root: /r, " RUN
                     "}\npackage: {file: 1.0.upk, trust: [/k.pub]}\n"
                     "hosts: [{name: stranger}]\n" REST,
                     NULL, "stranger");
    check_not_opened(&play,
                     "upkeep: 1\nservice: {name: sample, root: r, " RUN
                     "}\npackage: {file: 1.0.upk, trust: [/k.pub]}\n"
                     "hosts: [{name: h}]\n" REST,
                     NULL, "relative");
    check_not_opened(&play,
                     "upkeep: 1\nservice: {name: sample, root: ., " RUN
                     "}\npackage: {file: 1.0.upk, trust: [/k.pub]}\n"
                     "hosts: [{name: h}]\n" REST,
                     NULL, "relative");
    check_not_opened(&play,
                     "upkeep: 1\nservice: {name: sample, root: /r, " RUN
                     "}\npackage: {file: 9.9.upk, trust: [/k.pub]}\n"
                     "hosts: [{name: h}]\n" REST,
                     NULL, "9.9.upk");
    check_not_opened(&play,
                     "upkeep: 1\nservice: {name: sample, root: /r, " RUN
                     "}\npackage: {file: 1.0.upk, trust: [/k.pub]}\n"
                     "hosts: [{name: h}]\n" REST,
                     "sample 7", "sample 7");
    check_not_opened(&play,
                     "upkeep: 1\nservice: {name: another, root: /r, " RUN
                     "}\npackage: {file: 1.0.upk, trust: [/k.pub]}\n"
                     "hosts: [{name: h}]\n" REST,
                     NULL, "another");
    fleet_play_end(&play);
}

static void test_opening_the_same_plan_again_takes_the_change_up(void **state) {
    FleetPlay play;
    char again[CHANGE_ID_SIZE];
    fleet_play_begin(&play, *state);
    fleet_play_change(&play, "1.0", false);
    assert_done(fleet_play_try(&play, "1.0", "", false, again, error));
    assert_string_equal(again, play.change);
    fleet_play_end(&play);
}

typedef struct Opener {
    pthread_t thread;
    FleetPlay *play;
    char id[CHANGE_ID_SIZE];
} Opener;

static void *open_once(void *context) {
    Opener *opener = context;
    if (fleet_play_try(opener->play, "1.0", "", false, opener->id, NULL) < 0) abort();
    return NULL;
}

static void test_many_who_open_one_plan_at_once_get_one_change(void **state) {
    FleetPlay play;
    Opener openers[6] = {0};
    fleet_play_begin(&play, *state);
    for (int i = 0; i < 6; i++) {
        openers[i].play = &play;
        pthread_create(&openers[i].thread, NULL, open_once, &openers[i]);
    }
    for (int i = 0; i < 6; i++) pthread_join(openers[i].thread, NULL);
    for (int i = 1; i < 6; i++) assert_string_equal(openers[i].id, openers[0].id);
    assert_int_equal(fleet_play_count(play.fleet, "change.opened"), 1);
    fleet_play_end(&play);
}

static void test_a_host_that_is_busy_takes_no_other_change(void **state) {
    FleetPlay play;
    char id[CHANGE_ID_SIZE];
    fleet_play_begin(&play, *state);
    fleet_play_change(&play, "1.0", false);
    assert_refused(fleet_play_try(&play, "2.0", "", false, id, error), ERROR_REFUSED, "is not finished");
    assert_refused(fleet_play_try(&play, "1.0", "change: {title: other}\n", false, id, error), ERROR_REFUSED,
                   "is not finished");
    fleet_play_end(&play);
}

static void test_what_was_only_prepared_goes_on_when_it_is_opened_again(void **state) {
    FleetPlay play;
    char again[CHANGE_ID_SIZE];
    fleet_play_begin(&play, *state);
    fleet_play_change(&play, "1.0", true);
    fleet_play_host(&play);
    AT_LAST(fleet_play_look(&play).state == ROLLOUT_PAUSED);
    assert_done(fleet_play_try(&play, "1.0", "", false, again, error));
    assert_string_equal(again, play.change);
    AT_LAST(fleet_play_is_over(&play));
    assert_int_equal(fleet_play_look(&play).outcome, OUTCOME_SUCCEEDED);
    fleet_play_end(&play);
}

/* A host that can do nothing, and so has nothing to put back. */
static void answer_orders(FleetPlay *play, const char *change, const char *host, size_t courses) {
    int64_t number = 0, heard, last;
    for (int tries = 0; fleet_counts(play->fleet).courses != courses; tries++) {
        JSON_AUTO work = fleet_work(play->fleet, host);
        const json_t *order = json_object_get(json_array_get(json_object_get(work, "work"), 0), "order");
        const char *kind = json_get_text(order, "kind", "");
        if (tries == 1000) fail_msg("never ended");
        usleep(10000);
        if (!order) continue;
        JSON_AUTO reports =
            json_pack("[{s:I,s:{s:s,s:s,s:s,s:s,s:i}}]", "number", (json_int_t)++number, "event", "type",
                      strcmp(kind, "rollback") == 0 ? "order.done" : "order.failed", "order", kind,
                      "order_id", json_get_text(order, "id", ""), "error", "no", "exit", 3);
        assert_done(fleet_report(play->fleet, change, host, reports, &heard, &last, error));
    }
}

static void test_there_is_a_greatest_number_of_changes_at_a_time(void **state) {
    FleetPlay play;
    char id[CHANGE_ID_SIZE], host[16];
    fleet_play_begin(&play, *state);
    for (int i = 0; i <= FLEET_COURSES_MAX; i++) {
        BUFFER_AUTO text = {0};
        snprintf(host, sizeof host, "n%d", i);
        fleet_play_join(play.fleet, host);
        buffer_printf(&text,
                      "upkeep: 1\nservice: {name: sample, root: /nowhere, " RUN "}\n"
                      "package: {file: 1.0.upk, trust: [/k.pub]}\nhosts: [{name: %s}]\n" REST,
                      host);
        FleetOpening opening = {.text = buffer_text(&text), .file = "p", .by = "test"};
        if (i < FLEET_COURSES_MAX)
            assert_done(fleet_open_change(play.fleet, &opening, id, error));
        else
            assert_refused(fleet_open_change(play.fleet, &opening, id, error), ERROR_REFUSED, "64 changes");
    }
    assert_int_equal(fleet_play_count(play.fleet, "change.opened"), FLEET_COURSES_MAX);
    fleet_play_again(&play); /* or there would be one that has no place */
    assert_int_equal(fleet_counts(play.fleet).courses, FLEET_COURSES_MAX);
    assert_done(fleet_control(play.fleet, id, "abort", "test", NULL, NULL, error));
    snprintf(host, sizeof host, "n%d", FLEET_COURSES_MAX - 1);
    answer_orders(&play, id, host, FLEET_COURSES_MAX - 1);
    fleet_play_change(&play, "2.0", false); /* those that are over give way */
    fleet_play_end(&play);
}

/* ---- restarts */

static void test_a_change_goes_on_after_a_restart(void **state) {
    FleetPlay play;
    fleet_play_begin(&play, *state);
    fleet_play_change(&play, "1.0", false);
    AT_LAST(fleet_play_count(play.fleet, "order.given") > 0);
    fleet_play_again(&play);
    fleet_play_host(&play);
    AT_LAST(fleet_play_is_over(&play));
    assert_int_equal(fleet_play_look(&play).outcome, OUTCOME_SUCCEEDED);
    fleet_play_end(&play);
}

static void test_restarts_in_the_middle_lose_no_report(void **state) {
    FleetPlay play;
    int64_t events = 0;
    fleet_play_begin(&play, *state);
    fleet_play_change(&play, "1.0", false);
    for (unsigned round = 0; round < 6 && fleet_play_look(&play).under_way; round++) {
        fleet_play_host(&play);
        usleep(70000 * round);
        fleet_play_host_end(&play);
        fleet_play_again(&play);
    }
    if (fleet_play_look(&play).under_way) fleet_play_host(&play);
    AT_LAST(fleet_play_is_over(&play));
    assert_int_equal(fleet_play_look(&play).outcome, OUTCOME_SUCCEEDED);
    assert_int_equal(fleet_play_count(play.fleet, "order.done"), 4);
    assert_int_equal(fleet_play_count(play.fleet, "host.reported_late"), 0);
    assert_done(fleet_verify(play.fleet, &events, error));
    fleet_play_end(&play);
}

/* ---- reports */

static json_t *report_of(int64_t number) {
    return json_pack("[{s:I,s:{s:s,s:s}}]", "number", (json_int_t)number, "event", "type", "host.health",
                     "verdict", "pass");
}

static void test_reports_after_the_end_are_kept_as_evidence(void **state) {
    FleetPlay play;
    int64_t heard = 0, last = 0;
    JSON_AUTO reports = report_of(77);
    JSON_AUTO none = json_array();
    fleet_play_begin(&play, *state);
    fleet_play_change(&play, "1.0", false);
    fleet_play_host(&play);
    AT_LAST(fleet_play_is_over(&play));
    fleet_play_host_end(&play);
    assert_done(fleet_report(play.fleet, play.change, "h", reports, &heard, &last, error));
    assert_int_equal(heard, 77);
    assert_int_equal(last, 77);
    assert_int_equal(fleet_play_count(play.fleet, "host.reported_late"), 1);
    JSON_AUTO known = report_of(1); /* stands in the journal: its answer was lost */
    assert_done(fleet_report(play.fleet, play.change, "h", known, &heard, &last, error));
    assert_int_equal(heard, 1);
    assert_done(fleet_report(play.fleet, play.change, "h", none, &heard, &last, error));
    assert_int_equal(fleet_play_count(play.fleet, "host.reported_late"), 1);
    assert_refused(fleet_report(play.fleet, play.change, "other", reports, &heard, &last, error),
                   ERROR_INVALID, "no host other");
    fleet_play_again(&play); /* and nobody is confused by it */
    assert_int_equal(fleet_play_look(&play).outcome, OUTCOME_SUCCEEDED);
    fleet_play_end(&play);
}

/* A host whose late reports differ each time, as one in wrong hands would make them. */
static void test_late_reports_are_bounded(void **state) {
    FleetPlay play;
    Error trouble = {0};
    int64_t heard = 0, last = 0;
    char text[50000] = "";
    memset(text, 'x', sizeof text - 1);
    fleet_play_begin(&play, *state);
    fleet_play_change(&play, "1.0", false);
    fleet_play_host(&play);
    AT_LAST(fleet_play_is_over(&play));
    fleet_play_host_end(&play);
    size_t taken = 0;
    for (JSON_AUTO reports = NULL;; taken++) {
        json_decref(reports);
        reports =
            json_pack("[{s:i,s:{s:s,s:s}}]", "number", 100 + (int)taken, "event", "type", "x", "error", text);
        if (fleet_report(play.fleet, play.change, "h", reports, &heard, &last, &trouble) < 0) break;
        if (taken > 100) fail_msg("without end");
    }
    assert_int_equal(trouble.number, EDQUOT);
    assert_true(taken >= 10);
    assert_int_equal(fleet_play_count(play.fleet, "host.reported_late"), taken);
    assert_int_equal(fleet_play_count(play.fleet, "host.throttled"), 1);
    fleet_play_end(&play);
}

static int tell(const FleetPlay *play, const char *host, int number, int now, Error *error) {
    static char text[200000];
    memset(text, 'x', sizeof text - 1);
    JSON_AUTO facts = json_pack("{s:i, s:s, s:i}", "number", number, "text", text, "now", now);
    return fleet_take_facts(play->fleet, host, facts, error);
}

static void test_facts_are_written_when_they_change(void **state) {
    FleetPlay play;
    fleet_play_begin(&play, *state);
    assert_done(tell(&play, "h", 1, 1, error));
    assert_done(tell(&play, "h", 1, 2, error)); /* all but what changes all the time */
    fleet_play_again(&play);
    assert_done(tell(&play, "h", 1, 3, error));
    assert_int_equal(fleet_play_count(play.fleet, "host.facts"), 1);
    assert_done(tell(&play, "h", 2, 3, error));
    assert_int_equal(fleet_play_count(play.fleet, "host.facts"), 2);
    fleet_play_end(&play);
}

static void test_facts_that_change_without_end_are_bounded(void **state) {
    FleetPlay play;
    Error trouble = {0};
    int number = 0;
    fleet_play_begin(&play, *state);
    fleet_play_join(play.fleet, "i");
    while (tell(&play, "h", ++number, 0, &trouble) == 0)
        if (number > 100) fail_msg("without end");
    assert_int_equal(trouble.kind, ERROR_REFUSED);
    assert_int_equal(trouble.number, EDQUOT);
    for (int i = 0; i < 10; i++) assert_int_equal(tell(&play, "h", ++number, 0, NULL), -1);
    assert_true(fleet_play_count(play.fleet, "host.facts") >= 4);
    assert_int_equal(fleet_play_count(play.fleet, "host.throttled"), 1);
    assert_done(tell(&play, "i", 1, 0, error)); /* nobody else pays for it */
    fleet_play_end(&play);
}

/* The engines have left, the change has not ended: what would be answered now would be forgotten. */
static void test_reports_that_no_engine_hears_are_not_answered_as_late(void **state) {
    FleetPlay play;
    int64_t heard = 0, last = 0;
    JSON_AUTO reports = report_of(1);
    fleet_play_begin(&play, *state);
    fleet_play_change(&play, "1.0", false);
    fleet_stop(play.fleet);
    assert_refused(fleet_report(play.fleet, play.change, "h", reports, &heard, &last, error),
                   ERROR_INTERRUPTED, "nobody hears");
    assert_int_equal(fleet_play_count(play.fleet, "host.reported_late"), 0);
    fleet_play_end(&play);
}

static void test_what_is_no_report_is_refused(void **state) {
    FleetPlay play;
    int64_t heard = 0, last = 0;
    JSON_AUTO object = json_object();
    JSON_AUTO odd = json_pack("[i, s, n]", 1, "x");
    JSON_AUTO gap = report_of(5);
    fleet_play_begin(&play, *state);
    fleet_play_change(&play, "1.0", false);
    AT_LAST(fleet_play_count(play.fleet, "order.given") > 0);
    assert_refused(fleet_report(play.fleet, play.change, "h", NULL, &heard, &last, error), ERROR_INVALID,
                   "no report");
    assert_refused(fleet_report(play.fleet, play.change, "h", object, &heard, &last, error), ERROR_INVALID,
                   "no report");
    assert_refused(fleet_report(play.fleet, play.change, "h", odd, &heard, &last, error), ERROR_REFUSED,
                   "no report");
    assert_refused(fleet_report(play.fleet, play.change, "h", gap, &heard, &last, error), ERROR_REFUSED,
                   "1 is missing");
    assert_refused(fleet_report(play.fleet, "CHG-1900-0001", "h", gap, &heard, &last, error), ERROR_INVALID,
                   "CHG-1900-0001");
    fleet_play_end(&play);
}

/* ---- steering */

static void test_a_change_that_has_ended_is_rolled_back_once(void **state) {
    FleetPlay play;
    fleet_play_begin(&play, *state);
    fleet_play_change(&play, "1.0", false);
    fleet_play_host(&play);
    AT_LAST(fleet_play_is_over(&play));
    fleet_play_host_end(&play);
    assert_refused(fleet_control(play.fleet, play.change, "pause", "test", NULL, NULL, error), ERROR_REFUSED,
                   "has ended");
    assert_done(fleet_control(play.fleet, play.change, "rollback", "test", "a reason", NULL, error));
    fleet_play_host(&play); /* which had forgotten it */
    AT_LAST(fleet_play_is_over(&play));
    assert_int_equal(fleet_play_look(&play).outcome, OUTCOME_ROLLED_BACK);
    assert_refused(fleet_control(play.fleet, play.change, "rollback", "test", NULL, NULL, error),
                   ERROR_REFUSED, "nothing to roll back");
    fleet_play_end(&play);
}

static void test_controls_need_a_change(void **state) {
    FleetPlay play;
    fleet_play_begin(&play, *state);
    assert_refused(fleet_control(play.fleet, "CHG-1900-0001", "pause", "test", NULL, NULL, error),
                   ERROR_INVALID, "CHG-1900-0001");
    fleet_play_end(&play);
}

/* ---- work and documents */

static void test_work_names_orders_changes_and_itself(void **state) {
    FleetPlay play;
    fleet_play_begin(&play, *state);
    JSON_AUTO nothing = fleet_work(play.fleet, "h");
    fleet_play_change(&play, "1.0", false);
    AT_LAST(fleet_play_count(play.fleet, "order.given") > 0);
    usleep(100000);
    JSON_AUTO work = fleet_work(play.fleet, "h");
    JSON_AUTO again = fleet_work(play.fleet, "h");
    JSON_AUTO other = fleet_work(play.fleet, "other");
    const json_t *item = json_array_get(json_object_get(work, "work"), 0);
    assert_int_equal(json_array_size(json_object_get(nothing, "work")), 0);
    assert_string_equal(json_get_text(item, "change", ""), play.change);
    assert_string_equal(json_get_text(json_object_get(item, "order"), "kind", ""), "prepare");
    assert_int_equal(json_array_size(json_object_get(work, "changes")), 1);
    assert_true(json_equal(work, again));
    assert_true(json_equal(nothing, other));
    assert_string_not_equal(json_get_text(work, "seen", ""), json_get_text(nothing, "seen", ""));
    fleet_play_end(&play);
}

static void test_a_document_names_the_package(void **state) {
    FleetPlay play;
    JSON_AUTO document = NULL;
    json_t *none = NULL;
    fleet_play_begin(&play, *state);
    fleet_play_change(&play, "1.0", false);
    assert_done(fleet_document(play.fleet, play.change, "h", &document, error));
    DepotPiece file = depot_play_file(*state, "1.0.upk");
    const json_t *package = json_object_get(document, "package");
    assert_string_equal(json_get_text(package, "sha256", ""), file.sha256);
    assert_int_equal(json_get_integer(package, "size", 0), file.bytes.size);
    buffer_free(&file.bytes);
    assert_refused(fleet_document(play.fleet, play.change, "other", &none, error), ERROR_INVALID, "other");
    assert_refused(fleet_document(play.fleet, "CHG-1900-0001", "h", &none, error), ERROR_INVALID,
                   "not under way");
    fleet_play_end(&play);
}

/* ---- telling */

typedef struct Listener {
    atomic_llong last;
    atomic_bool disorder;
} Listener;

static void listen_to(void *context, int64_t sequence, const json_t *event) {
    Listener *listener = context;
    if (!json_is_object(event) || sequence != atomic_load(&listener->last) + 1)
        atomic_store(&listener->disorder, true);
    atomic_store(&listener->last, sequence);
}

static void *write_much(void *context) {
    for (int i = 0; i < 50; i++)
        if (fleet_write(context, json_pack("{s:s}", "type", "api.called"), NULL) < 0) abort();
    return NULL;
}

static void test_whoever_listens_hears_everything_once_and_in_order(void **state) {
    FleetPlay play;
    Listener listener = {0};
    pthread_t threads[3];
    fleet_play_begin(&play, *state);
    atomic_store(&listener.last, fleet_counts(play.fleet).sequence);
    assert_done(fleet_listen(play.fleet, listen_to, &listener, error));
    fleet_play_change(&play, "1.0", false);
    fleet_play_host(&play);
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, write_much, play.fleet);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    AT_LAST(fleet_play_is_over(&play));
    assert_done(fleet_control(play.fleet, play.change, "rollback", "test", NULL, NULL, error));
    AT_LAST(fleet_play_is_over(&play));
    AT_LAST(atomic_load(&listener.last) == fleet_counts(play.fleet).sequence);
    assert_false(atomic_load(&listener.disorder));
    fleet_play_end(&play);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_change_is_opened_and_carried_out),
        test_in_folder(test_what_was_written_is_there_after_a_restart),
        test_in_folder(test_events_that_break_a_rule_are_not_written),
        test_in_folder(test_plans_that_cannot_be_carried_out_are_refused),
        test_in_folder(test_opening_the_same_plan_again_takes_the_change_up),
        test_in_folder(test_many_who_open_one_plan_at_once_get_one_change),
        test_in_folder(test_a_host_that_is_busy_takes_no_other_change),
        test_in_folder(test_what_was_only_prepared_goes_on_when_it_is_opened_again),
        test_in_folder(test_there_is_a_greatest_number_of_changes_at_a_time),
        test_in_folder(test_a_change_goes_on_after_a_restart),
        test_in_folder(test_restarts_in_the_middle_lose_no_report),
        test_in_folder(test_reports_after_the_end_are_kept_as_evidence),
        test_in_folder(test_late_reports_are_bounded),
        test_in_folder(test_facts_are_written_when_they_change),
        test_in_folder(test_facts_that_change_without_end_are_bounded),
        test_in_folder(test_reports_that_no_engine_hears_are_not_answered_as_late),
        test_in_folder(test_what_is_no_report_is_refused),
        test_in_folder(test_a_change_that_has_ended_is_rolled_back_once),
        test_in_folder(test_controls_need_a_change),
        test_in_folder(test_work_names_orders_changes_and_itself),
        test_in_folder(test_a_document_names_the_package),
        test_in_folder(test_whoever_listens_hears_everything_once_and_in_order),
    };
    return cmocka_run_group_tests_name("fleet", tests, NULL, NULL);
}
