#include "base/json.h"
#include "model/plan.h"
#include "support/test.h"
#include <string.h>

#define SERVICE                                                                                              \
    "upkeep: 1\n"                                                                                            \
    "service: {name: shop, root: \"/srv/${host.name}\", run: {systemd: shop.service}}\n"                     \
    "package: {file: shop.upk, trust: [a.pub]}\n"                                                            \
    "health: [{tcp: {address: \"127.0.0.1:80\"}}]\n"                                                         \
    "hosts: [{name: a, vars: {at: \"10.0.0.1:80\"}}, {name: b, vars: {at: \"10.0.0.2:80\"}}]\n"
#define HAPROXY                                                                                              \
    "traffic: {haproxy: {sockets: [/run/h.sock, \"lb:9999\", ./h.sock], backend: web, server: "              \
    "\"${host.name}\"}}\n"
#define NGINX    "traffic: {nginx: {file: up.conf, server: \"${vars.at}\"}}\n"
#define COMMANDS "traffic: {commands: {drain: [out, \"${host.name}\"], readmit: [in]}}\n"
#define CANARY   "rollout: {strategy: canary, stages: [{name: one, hosts: 1, weight: 10%}, {name: rest}]}\n"

static Plan *expect_plan(Arena *arena, const char *text) {
    Plan *plan = NULL;
    Error error = {0};
    if (plan_compile(arena, "p.yaml", "/folder", text, strlen(text), &plan, &error) < 0)
        fail_msg("%s", error.en);
    return plan;
}

static void expect_refused(const char *text, const char *words) {
    ARENA_AUTO arena = arena_new();
    Plan *plan = NULL;
    Error error = {0};
    assert_int_equal(plan_compile(arena, "p.yaml", "/folder", text, strlen(text), &plan, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    if (!strstr(error.en, words)) fail_msg("“%s” is not in “%s”", words, error.en);
}

static Plan *own(Arena *arena, const Plan *plan, const char *host) {
    Plan *own = NULL;
    Error error = {0};
    if (plan_for_host(arena, plan, host, "2.0", &own, &error) < 0) fail_msg("%s", error.en);
    return own;
}

static void test_without_traffic_no_balancer_is_told(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    Plan *plan = expect_plan(arena, SERVICE);
    assert_null(plan->traffic);
    assert_string_equal(plan->rollout.strategy, "rolling");
    assert_int_equal(plan_host_weight(own(arena, plan, "a")), 0);
}

static void test_each_host_has_its_own_place_in_the_balancer(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    const PlanTraffic *haproxy = own(arena, expect_plan(arena, SERVICE HAPROXY), "b")->traffic;
    assert_string_equal(haproxy->haproxy->server, "b");
    assert_string_equal(haproxy->haproxy->sockets.items[0], "/run/h.sock");
    assert_string_equal(haproxy->haproxy->sockets.items[1], "lb:9999");
    assert_string_equal(haproxy->haproxy->sockets.items[2], "/folder/h.sock");
    assert_int_equal(haproxy->drain_timeout_ms, 30000);
    assert_string_equal(haproxy->last_server, "refuse");
    const PlanTraffic *nginx = own(arena, expect_plan(arena, SERVICE NGINX), "a")->traffic;
    assert_string_equal(nginx->nginx->server, "10.0.0.1:80");
    assert_string_equal(nginx->nginx->file, "/folder/up.conf");
    assert_string_equal(nginx->nginx->reload.items[2], "reload");
    const PlanTraffic *commands = own(arena, expect_plan(arena, SERVICE COMMANDS), "a")->traffic;
    assert_string_equal(commands->commands->drain.items[1], "a");
    assert_int_equal(commands->commands->connections.count, 0);
}

static void test_a_host_knows_the_weight_of_its_own_stage(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    Plan *plan = expect_plan(arena, SERVICE HAPROXY CANARY);
    assert_int_equal(plan_host_weight(own(arena, plan, "a")), 10);
    assert_int_equal(plan_host_weight(own(arena, plan, "b")), 0);
}

static void test_the_compiled_plan_reads_back_the_same(void **state) {
    (void)state;
    static const char *const texts[] = {SERVICE HAPROXY CANARY, SERVICE NGINX, SERVICE COMMANDS};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ARENA_AUTO arena = arena_new();
        Plan *again = NULL, *plan = expect_plan(arena, texts[i]);
        JSON_AUTO json = plan_to_json(plan);
        assert_int_equal(plan_from_json(arena, json, &again, NULL), 0);
        JSON_AUTO second = plan_to_json(again);
        assert_true(json_equal(json, second));
        JSON_AUTO host = plan_to_json(own(arena, plan, "a")); /* as the release's record keeps it */
        assert_int_equal(plan_from_json(arena, host, &again, NULL), 0);
        assert_int_equal(plan_host_weight(again), i == 0 ? 10 : 0);
    }
}

static void test_a_weight_needs_a_canary_and_somebody_who_can_give_it(void **state) {
    (void)state;
    static const char stages[] = "rollout: {stages: [{name: one, hosts: 1, weight: 10%}, {name: rest}]}\n";
    char rolling[1024];
    snprintf(rolling, sizeof rolling, "%s%s", SERVICE HAPROXY, stages);
    expect_refused(rolling, "p.yaml: rollout.stages.one.weight: needs “strategy: canary”");
    expect_refused(SERVICE CANARY, "rollout.stages.one.weight: “traffic” must say");
    expect_refused(SERVICE COMMANDS CANARY, "traffic.commands needs “weight”");
    expect_refused(SERVICE HAPROXY "rollout: {strategy: canary, stages: [{name: one, weight: 10}]}\n",
                   "rollout.stages[1].weight: expected a percentage such as 10%, found “10”");
    expect_refused(SERVICE HAPROXY "rollout: {strategy: canary, stages: [{name: one, weight: 0%}]}\n",
                   "too small");
    expect_refused(SERVICE HAPROXY "rollout: {strategy: blue}\n", "is none of: rolling, canary");
}

static void test_exactly_one_driver(void **state) {
    (void)state;
    expect_refused(SERVICE "traffic: {}\n", "exactly one is needed of: haproxy, nginx, commands");
    expect_refused(SERVICE "traffic: {drain_timeout: 5s}\n", "exactly one is needed");
    expect_refused(SERVICE "traffic: {nginx: {file: a, server: b}, commands: {drain: [a], readmit: [b]}}\n",
                   "exactly one is needed");
}

static void test_names_that_would_be_commands_are_refused(void **state) {
    (void)state;
    static const char *const names[] = {"\"a;shutdown\"", "\"a b\"", "\"a\\nb\"", "\"\"", "a/b"};
    char text[1024];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(text, sizeof text, "%straffic: {haproxy: {sockets: [/s], backend: %s, server: a}}\n",
                 SERVICE, names[i]);
        expect_refused(text, "cannot be a name in HAProxy");
        snprintf(text, sizeof text, "%straffic: {haproxy: {sockets: [/s], backend: a, server: %s}}\n",
                 SERVICE, names[i]);
        expect_refused(text, "cannot be a name in HAProxy");
    }
    expect_refused(SERVICE "traffic: {nginx: {file: a, server: \"b; }\"}}\n", "cannot be a server of nginx");
    expect_refused(SERVICE "traffic: {nginx: {file: a/, server: b}}\n", "is not the path of a file");
}

static void test_sockets_are_paths_or_addresses_and_few(void **state) {
    (void)state;
    static const char *const sockets[] = {"[lb]", "[\":80\"]", "[\"lb:\"]", "[\"lb:x\"]", "[\"\"]"};
    char text[2048];
    for (size_t i = 0; i < sizeof sockets / sizeof *sockets; i++) {
        snprintf(text, sizeof text, "%straffic: {haproxy: {sockets: %s, backend: a, server: b}}\n", SERVICE,
                 sockets[i]);
        expect_refused(text, "neither a path");
    }
    snprintf(text, sizeof text, "%straffic: {haproxy: {sockets: [\"/%0200d\"], backend: a, server: b}}\n",
             SERVICE, 0);
    expect_refused(text, "neither a path of at most 107 bytes");
    expect_refused(SERVICE
                   "traffic: {haproxy: {sockets: [/1,/2,/3,/4,/5,/6,/7,/8,/9], backend: a, server: b}}\n",
                   "at most 8");
    expect_refused(SERVICE "traffic: {haproxy: {sockets: [], backend: a, server: b}}\n", "must not be empty");
}

static void test_the_wait_for_connections_counts_towards_the_deadline(void **state) {
    (void)state;
    expect_refused(SERVICE "traffic: {nginx: {file: a, server: b}, drain_timeout: 15m}\n",
                   "traffic.drain_timeout counts as well");
}

#define GROUPS                                                                                               \
    "upkeep: 1\n"                                                                                            \
    "service: {name: shop, root: \"/srv/${host.name}\", run: {systemd: shop.service}}\n"                     \
    "package: {file: shop.upk, trust: [a.pub]}\n"                                                            \
    "health: [{tcp: {address: \"127.0.0.1:80\"}}]\n"                                                         \
    "hosts: [{name: b, labels: {side: blue}}, {name: g, labels: {side: green}}]\n"
#define BLUE_GREEN(live) "rollout: {strategy: blue-green" live "}\n"

static void test_live_hosts_are_in_no_stage(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    Plan *plan = expect_plan(arena, GROUPS HAPROXY BLUE_GREEN(", live: {side: blue}"));
    size_t stages[2];
    assert_int_equal(plan_stages(plan, stages, NULL), 0);
    assert_true(stages[0] == PLAN_STAGE_NONE && stages[1] == 0);
    assert_string_equal(plan->rollout.stages.items[0].name, "all"); /* of one host */
    assert_int_equal(plan->rollout.take_over_soak_ms, 60000);
}

/* A host knows from its own plan, which is all that it gets, which of the two it is. */
static void test_a_host_knows_whether_it_is_live(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    Plan *plan = expect_plan(arena, GROUPS HAPROXY BLUE_GREEN(", live: {side: blue}"));
    for (int i = 0; i < 2; i++) {
        Error error = {0};
        Plan *read = NULL;
        JSON_AUTO document = plan_to_json(own(arena, plan, i ? "g" : "b"));
        if (plan_from_json(arena, document, &read, &error) < 0) fail_msg("%s", error.en);
        assert_true(plan_is_blue_green(read));
        assert_int_equal(plan_host_is_live(read, &read->hosts.items[0]), i == 0);
        assert_int_equal(read->rollout.stages.count, i);
    }
}

static void test_groups_that_make_no_sense_are_refused(void **state) {
    (void)state;
    expect_refused(GROUPS HAPROXY BLUE_GREEN(""), "no host");
    expect_refused(GROUPS HAPROXY BLUE_GREEN(", live: {side: red}"), "no host");
    expect_refused(GROUPS HAPROXY
                   "rollout: {strategy: blue-green, live: {side: blue}, stages: [{name: s, select: "
                   "{side: blue}}]}\n",
                   "no host is left");
    expect_refused("upkeep: 1\nservice: {name: s, root: /srv/s, run: {systemd: s.service}}\n"
                   "package: {file: s.upk, trust: [a.pub]}\nhealth: [{tcp: {address: \"h:1\"}}]\n"
                   "hosts: [{name: b, labels: {side: blue}}]\n" HAPROXY BLUE_GREEN(", live: {side: blue}"),
                   "every host");
    expect_refused(GROUPS BLUE_GREEN(", live: {side: blue}"), "traffic");
    expect_refused(GROUPS HAPROXY "rollout: {live: {side: blue}}\n", "blue-green");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_traffic_no_balancer_is_told),
        cmocka_unit_test(test_each_host_has_its_own_place_in_the_balancer),
        cmocka_unit_test(test_a_host_knows_the_weight_of_its_own_stage),
        cmocka_unit_test(test_the_compiled_plan_reads_back_the_same),
        cmocka_unit_test(test_a_weight_needs_a_canary_and_somebody_who_can_give_it),
        cmocka_unit_test(test_exactly_one_driver),
        cmocka_unit_test(test_names_that_would_be_commands_are_refused),
        cmocka_unit_test(test_sockets_are_paths_or_addresses_and_few),
        cmocka_unit_test(test_the_wait_for_connections_counts_towards_the_deadline),
        cmocka_unit_test(test_live_hosts_are_in_no_stage),
        cmocka_unit_test(test_a_host_knows_whether_it_is_live),
        cmocka_unit_test(test_groups_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
