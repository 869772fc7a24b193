#include "base/buffer.h"
#include "base/json.h"
#include "model/order.h"
#include "model/plan.h"
#include "model/plan_schema.h"
#include "model/schema.h"
#include "support/test.h"
#include <string.h>

#define SERVICE                                                                                              \
    "upkeep: 1\n"                                                                                            \
    "service:\n"                                                                                             \
    "  name: shop\n"                                                                                         \
    "  root: /srv/${host.name}\n"                                                                            \
    "  run: {process: {command: [run, \"${vars.port}\"]}}\n"                                                 \
    "package: {file: shop.upk, trust: [a.pub]}\n"                                                            \
    "health: [{http: {url: \"http://127.0.0.1:${vars.port}/\"}}]\n"
#define HOSTS                                                                                                \
    "hosts:\n"                                                                                               \
    "  - {name: a, vars: {port: 1}, labels: {region: east}}\n"                                               \
    "  - {name: b, vars: {port: 2}, labels: {region: west}}\n"                                               \
    "  - {name: c, vars: {port: 3}, labels: {region: east}}\n"

static int compile(Arena *arena, const char *text, Plan **plan, Error *error) {
    return plan_compile(arena, "p.yaml", "/folder", text, strlen(text), plan, error);
}

static void expect_refused(const char *text, const char *words) {
    Arena *arena = arena_new();
    Plan *plan = NULL;
    Error error = {0};
    assert_int_equal(compile(arena, text, &plan, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    if (!strstr(error.en, words)) fail_msg("“%s” is not in “%s”", words, error.en);
    arena_free(arena);
}

static Plan *expect_plan(Arena *arena, const char *text) {
    Plan *plan = NULL;
    Error error = {0};
    if (compile(arena, text, &plan, &error) < 0) fail_msg("%s", error.en);
    return plan;
}

static void test_fills_in_every_default(void **state) {
    (void)state;
    Arena *arena = arena_new();
    Plan *plan = expect_plan(arena, SERVICE HOSTS);
    assert_string_equal(plan->package.file, "/folder/shop.upk");
    assert_string_equal(plan->service.run.process->stop_signal, "SIGTERM");
    assert_string_equal(plan->service.run.process->log, "shared/log/shop.log");
    assert_string_equal(plan->on_failure, "rollback");
    assert_int_equal(plan->rollout.confirm_deadline_ms, 15 * 60 * 1000);
    assert_int_equal(plan->health.items[0].healthy_after, 3);
    arena_free(arena);
}

static void test_one_host_goes_first_when_nothing_is_said_of_stages(void **state) {
    (void)state;
    Arena *arena = arena_new();
    Plan *plan = expect_plan(arena, SERVICE HOSTS);
    size_t stages[3];
    assert_int_equal(plan->rollout.stages.count, 2);
    assert_int_equal(plan_stages(plan, stages, NULL), 0);
    assert_int_equal(stages[0], 0);
    assert_int_equal(stages[1], 1);
    assert_int_equal(stages[2], 1);
    arena_free(arena);
}

static void test_stages_select_by_label_and_take_what_is_left(void **state) {
    (void)state;
    Arena *arena = arena_new();
    Plan *plan = expect_plan(arena, SERVICE HOSTS
                             "rollout: {stages: [{name: w, select: {region: west}}, {name: rest}]}\n");
    size_t stages[3];
    assert_int_equal(plan_stages(plan, stages, NULL), 0);
    assert_int_equal(stages[0], 1);
    assert_int_equal(stages[1], 0);
    arena_free(arena);
}

static void test_the_compiled_plan_reads_back_as_itself(void **state) {
    (void)state;
    Arena *arena = arena_new();
    Plan *plan = expect_plan(arena, SERVICE HOSTS), *again = NULL;
    JSON_AUTO json = plan_to_json(plan);
    Error error = {0};
    if (plan_from_json(arena, json, &again, &error) < 0) fail_msg("%s", error.en);
    JSON_AUTO twice = plan_to_json(again);
    assert_true(json_equal(json, twice));
    arena_free(arena);
}

static void test_a_changed_plan_or_package_is_another_digest(void **state) {
    (void)state;
    Arena *arena = arena_new();
    Plan *plan = expect_plan(arena, SERVICE HOSTS);
    Plan *other = expect_plan(arena, SERVICE HOSTS "on_failure: hold\n");
    Digest package = {{1}}, package2 = {{2}};
    Digest one = plan_digest(plan, &package), two = plan_digest(other, &package),
           three = plan_digest(plan, &package2);
    assert_false(digest_equal(&one, &two));
    assert_false(digest_equal(&one, &three));
    arena_free(arena);
}

static void test_a_host_sees_its_own_variables_and_root(void **state) {
    (void)state;
    Arena *arena = arena_new();
    Plan *plan = expect_plan(arena, SERVICE HOSTS), *own = NULL;
    assert_int_equal(plan_for_host(arena, plan, "b", "1.0", &own, NULL), 0);
    assert_string_equal(own->service.root, "/srv/b");
    assert_string_equal(own->service.run.process->command.items[1], "2");
    assert_string_equal(own->health.items[0].http->url, "http://127.0.0.1:2/");
    assert_int_equal(own->hosts.count, 1);
    JSON_AUTO json = plan_to_json(own); /* a release remembers it */
    Plan *again = NULL;
    Error error = {0};
    if (plan_from_json(arena, json, &again, &error) < 0) fail_msg("%s", error.en);
    arena_free(arena);
}

static void test_an_unknown_key_is_placed_and_the_nearest_is_named(void **state) {
    (void)state;
    expect_refused(SERVICE HOSTS "on_failur: hold\n", "p.yaml:12:1: unknown key “on_failur”");
    expect_refused(SERVICE HOSTS "on_failur: hold\n", "did you mean “on_failure”?");
}

static void test_wrong_types_are_refused(void **state) {
    (void)state;
    expect_refused(SERVICE HOSTS "rollout: {max_unavailable: many}\n", "a number or a percentage");
    expect_refused(SERVICE HOSTS "rollout: {confirm_deadline: 15}\n", "a duration");
    expect_refused(SERVICE HOSTS "rollout: [1]\n", "expected a map");
    expect_refused(SERVICE HOSTS "environment: [x]\n", "found a list");
    expect_refused(SERVICE HOSTS "environment: ~\n", "environment");
}

static void test_a_missing_variable_names_host_and_place(void **state) {
    (void)state;
    expect_refused(SERVICE "hosts: [{name: a}]\n", "there is no variable ${vars.port}");
    expect_refused(SERVICE "hosts: [{name: a}]\n", "host a");
}

static void test_a_host_twice_and_two_hosts_in_one_root_are_refused(void **state) {
    (void)state;
    expect_refused(SERVICE "hosts: [{name: a, vars: {port: 1}}, {name: a, vars: {port: 2}}]\n",
                   "given twice");
    expect_refused(
        SERVICE
        "hosts: [{name: a, vars: {port: 1}, root: /srv/x}, {name: b, vars: {port: 2}, root: /srv/x}]\n",
        "same root");
}

static void test_a_stage_that_gets_nobody_or_leaves_somebody_is_refused(void **state) {
    (void)state;
    expect_refused(SERVICE HOSTS "rollout: {stages: [{name: n, select: {region: north}}]}\n",
                   "no host is left");
    expect_refused(SERVICE HOSTS "rollout: {stages: [{name: e, select: {region: east}}]}\n",
                   "no stage takes the host b");
}

static void test_a_soak_that_outlives_the_confirm_deadline_is_refused(void **state) {
    (void)state;
    expect_refused(SERVICE HOSTS "rollout: {confirm_deadline: 2m, stages: [{name: all, soak: 2m}]}\n",
                   "raise rollout.confirm_deadline");
}

static void test_a_row_means_one_host_or_selects_some(void **state) {
    (void)state;
    expect_refused(SERVICE "hosts: [{name: a, select: {role: web}}]\n",
                   "hosts[1]: exactly one is needed of: name, select");
    expect_refused(SERVICE "hosts: [{root: /a}]\n", "exactly one is needed of: name, select");
    expect_refused(SERVICE "hosts: [{}]\n", "hosts[1]: exactly one is needed of: name, select");
    expect_refused(SERVICE "hosts: [{name: a, vars: {port: 1}}, {select: {}}]\n", "hosts[2]: give a “name”");
    expect_refused(SERVICE "hosts: [{select: {role: web}}]\n", "use --server");
}

static void test_no_health_is_refused(void **state) {
    (void)state;
    static const char plan[] = "upkeep: 1\n"
                               "service: {name: s, root: /srv/s, run: {systemd: s.service}}\n"
                               "package: {file: s.upk, trust: [a.pub]}\n"
                               "hosts: [{name: a}]\n";
    expect_refused(plan, "“health” is missing");
}

static void test_data_paths_that_leave_the_root_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"/etc", "../x", "a/../../x", "releases/1", "current/x", ".upkeep", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        BUFFER_AUTO text = {0};
        buffer_printf(
            &text,
            "upkeep: 1\nservice: {name: s, root: /srv/s, run: {systemd: s.service}, data: [\"%s\"]}\n"
            "package: {file: s.upk, trust: [a.pub]}\nhosts: [{name: a}]\nhealth: [{tcp: {address: "
            "\"h:1\"}}]\n",
            bad[i]);
        expect_refused(buffer_text(&text), "service.data");
    }
}

static void test_percentages_are_rounded_up_and_never_nobody(void **state) {
    (void)state;
    Amount quarter = {.value = 25, .percent = true, .set = true},
           none = {.value = 0, .percent = true, .set = true}, many = {.value = 50, .set = true};
    assert_int_equal(plan_amount_of(&quarter, 5), 2);
    assert_int_equal(plan_amount_of(&none, 5), 1);
    assert_int_equal(plan_amount_of(&many, 5), 5);
    assert_int_equal(plan_amount_at_most(&quarter, 5), 1); /* a limit is not more generous than it says */
    assert_int_equal(plan_amount_at_most(&quarter, 3), 0);
    assert_int_equal(plan_amount_at_most(&none, 5), 0);
    assert_int_equal(plan_amount_at_most(&many, 5), 5);
}

static void test_the_published_schema_names_every_key(void **state) {
    (void)state;
    JSON_AUTO published = plan_schema_json();
    json_t *properties = json_object_get(published, "properties");
    for (size_t i = 0; i < plan_schema.field_count; i++)
        assert_non_null(json_object_get(properties, plan_schema.fields[i].key));
    assert_int_equal(json_object_size(properties), plan_schema.field_count);
}

static void test_orders_have_names_that_read_back(void **state) {
    (void)state;
    for (int i = 0; i < ORDER_KINDS; i++) {
        OrderKind kind = ORDER_PREPARE;
        assert_true(order_kind_from_text(order_kind_text((OrderKind)i), &kind));
        assert_int_equal(kind, i);
    }
    OrderKind kind;
    assert_false(order_kind_from_text("explode", &kind));
    assert_false(order_kind_from_text(NULL, &kind));
}

/* It would be written with its defaults, and then could not be read back from the journal. */
static void test_an_empty_probe_or_check_is_refused(void **state) {
    (void)state;
    expect_refused(SERVICE HOSTS "preflight: [{}]\n", "exactly one is needed");
    expect_refused("upkeep: 1\n"
                   "service: {name: shop, root: \"/srv/${host.name}\", run: {process: {command: [run]}}}\n"
                   "package: {file: shop.upk, trust: [a.pub]}\n"
                   "health: [{}]\n"
                   "hosts: [{name: a}]\n",
                   "exactly one is needed");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fills_in_every_default),
        cmocka_unit_test(test_one_host_goes_first_when_nothing_is_said_of_stages),
        cmocka_unit_test(test_stages_select_by_label_and_take_what_is_left),
        cmocka_unit_test(test_the_compiled_plan_reads_back_as_itself),
        cmocka_unit_test(test_a_changed_plan_or_package_is_another_digest),
        cmocka_unit_test(test_a_host_sees_its_own_variables_and_root),
        cmocka_unit_test(test_an_unknown_key_is_placed_and_the_nearest_is_named),
        cmocka_unit_test(test_wrong_types_are_refused),
        cmocka_unit_test(test_a_missing_variable_names_host_and_place),
        cmocka_unit_test(test_a_host_twice_and_two_hosts_in_one_root_are_refused),
        cmocka_unit_test(test_a_stage_that_gets_nobody_or_leaves_somebody_is_refused),
        cmocka_unit_test(test_a_soak_that_outlives_the_confirm_deadline_is_refused),
        cmocka_unit_test(test_a_row_means_one_host_or_selects_some),
        cmocka_unit_test(test_no_health_is_refused),
        cmocka_unit_test(test_data_paths_that_leave_the_root_are_refused),
        cmocka_unit_test(test_percentages_are_rounded_up_and_never_nobody),
        cmocka_unit_test(test_the_published_schema_names_every_key),
        cmocka_unit_test(test_orders_have_names_that_read_back),
        cmocka_unit_test(test_an_empty_probe_or_check_is_refused),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
