/* What events say of hosts, and the hosts that a plan selects. */
#include "base/cleanup.h"
#include "base/json.h"
#include "model/inventory.h"
#include "support/test.h"
#include <string.h>

static int64_t sequence;

/* Fold {"type", "time", "host"} and what `more` has. */
static int fold(Inventory *inventory, const char *type, const char *host, const char *more, Error *error) {
    JSON_AUTO event = NULL;
    if (json_parse(more, strlen(more), "the test", &event, NULL) < 0) fail_msg("%s", more);
    json_set_text(event, "type", type);
    json_set_text(event, "host", host);
    if (!json_object_get(event, "time")) json_set_text(event, "time", "2026-11-21T20:00:00Z");
    Error checked = {0};
    int allowed = inventory_check(inventory, event, &checked);
    int result = inventory_fold(inventory, ++sequence, event, error);
    assert_int_equal(allowed, result);
    assert_true(allowed == 0 || checked.kind == ERROR_INVALID);
    return result;
}

static void say(Inventory *inventory, const char *type, const char *host, const char *more) {
    Error error = {0};
    if (fold(inventory, type, host, more, &error) < 0) fail_msg("%s", error.en);
}

static void refuse(Inventory *inventory, const char *type, const char *host, const char *more,
                   const char *words) {
    Error error = {0};
    int64_t before = inventory_sequence(inventory);
    assert_int_equal(fold(inventory, type, host, more, &error), -1);
    assert_int_equal(error.kind, ERROR_ATTENTION);
    assert_int_equal(inventory_sequence(inventory), before);
    if (!strstr(error.en, words)) fail_msg("“%s” is not in “%s”", words, error.en);
}

static void expect_state(const Inventory *inventory, const char *name, InventoryState state) {
    const InventoryHost *host = inventory_host(inventory, name);
    assert_non_null(host);
    assert_string_equal(inventory_state_text(host->state), inventory_state_text(state));
}

/* ---- the life of a host */

static void test_a_host_is_invited_joins_and_renews(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = inventory_new();
    say(inventory, "host.invited", "web1",
        "{\"token_id\":\"t1\",\"expires\":\"2026-11-22T00:00:00Z\",\"labels\":{\"role\":\"web\"}}");
    const InventoryHost *host = inventory_host(inventory, "web1");
    expect_state(inventory, "web1", INVENTORY_INVITED);
    assert_string_equal(host->token_id, "t1");
    assert_int_equal(host->token_expires_ms, INT64_C(1795305600000));
    assert_string_equal(inventory_label(host, "role"), "web");
    say(inventory, "host.joined", "web1",
        "{\"serial\":\"0a\",\"not_after\":\"2027-01-01T00:00:00Z\",\"address\":\"10.0.0.1\"}");
    expect_state(inventory, "web1", INVENTORY_JOINED);
    assert_null(host->token_id);
    assert_string_equal(host->serial, "0a");
    assert_string_equal(host->address, "10.0.0.1");
    assert_int_equal(host->joined_ms, INT64_C(1795291200000));
    say(inventory, "host.renewed", "web1", "{\"serial\":\"0b\",\"not_after\":\"2027-02-01T00:00:00Z\"}");
    assert_string_equal(host->serial, "0b");
    assert_int_equal(host->not_after_ms, INT64_C(1801440000000));
    assert_int_equal(inventory_sequence(inventory), sequence);
}

static void test_a_revoked_host_may_be_invited_again(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = inventory_new();
    say(inventory, "host.joined", "web1", "{\"serial\":\"0a\"}");
    say(inventory, "host.revoked", "web1", "{\"why\":\"stolen\"}");
    expect_state(inventory, "web1", INVENTORY_REVOKED);
    assert_string_equal(inventory_host(inventory, "web1")->why, "stolen");
    say(inventory, "host.renewed", "web1", "{\"serial\":\"0b\"}"); /* was on its way */
    expect_state(inventory, "web1", INVENTORY_REVOKED);
    assert_string_equal(inventory_host(inventory, "web1")->serial, "0a");
    say(inventory, "host.invited", "web1", "{\"token_id\":\"t2\"}");
    expect_state(inventory, "web1", INVENTORY_INVITED);
    say(inventory, "host.joined", "web1", "{\"serial\":\"0c\"}");
    expect_state(inventory, "web1", INVENTORY_JOINED);
    assert_null(inventory_host(inventory, "web1")->why);
}

/* Fail-safe: whoever revokes wants the host out. */
static void test_revoking_an_older_certificate_puts_the_host_out(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = inventory_new();
    say(inventory, "host.joined", "web1", "{\"serial\":\"0a\"}");
    say(inventory, "host.renewed", "web1", "{\"serial\":\"0b\"}");
    say(inventory, "host.revoked", "web1", "{\"serial\":\"0a\"}");
    expect_state(inventory, "web1", INVENTORY_REVOKED);
}

static void test_an_invitation_leaves_a_joined_host_joined(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = inventory_new();
    say(inventory, "host.joined", "web1", "{\"serial\":\"0a\"}");
    say(inventory, "host.invited", "web1", "{\"token_id\":\"t2\"}");
    expect_state(inventory, "web1", INVENTORY_JOINED);
    assert_string_equal(inventory_host(inventory, "web1")->token_id, "t2");
}

static void test_a_removed_host_is_forgotten(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = inventory_new();
    say(inventory, "host.joined", "web1", "{\"serial\":\"0a\"}");
    say(inventory, "host.removed", "web1", "{}");
    assert_null(inventory_host(inventory, "web1"));
    assert_int_equal(inventory_count(inventory), 0);
    say(inventory, "host.facts", "web1", "{\"facts\":{}}"); /* were on their way */
    say(inventory, "host.renewed", "web1", "{}");
    say(inventory, "host.revoked", "web1", "{}");
    say(inventory, "host.removed", "web1", "{}");
    assert_int_equal(inventory_count(inventory), 0);
    say(inventory, "host.described", "web1", "{\"labels\":{\"a\":\"1\"}}");
    expect_state(inventory, "web1", INVENTORY_DESCRIBED);
    assert_null(inventory_host(inventory, "web1")->serial);
}

static void test_a_description_sets_and_removes_single_labels(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = inventory_new();
    say(inventory, "host.described", "a",
        "{\"labels\":{\"x\":\"1\",\"y\":\"2\"},\"vars\":{\"port\":\"80\"}}");
    say(inventory, "host.described", "a", "{\"labels\":{\"x\":null,\"y\":\"3\",\"environment\":\"test\"}}");
    const InventoryHost *host = inventory_host(inventory, "a");
    assert_null(inventory_label(host, "x"));
    assert_string_equal(inventory_label(host, "y"), "3");
    assert_string_equal(inventory_environment(host), "test");
    assert_string_equal(json_get_text(host->vars, "port", ""), "80");
}

static void test_the_last_facts_stay(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = inventory_new();
    say(inventory, "host.joined", "a", "{}");
    assert_null(inventory_host(inventory, "a")->facts);
    for (int i = 0; i < 1000; i++)
        say(inventory, "host.facts", "a",
            "{\"facts\":{\"kernel\":\"5.1\"},\"time\":\"2026-11-21T20:00:00Z\"}");
    say(inventory, "host.facts", "a", "{\"facts\":{\"kernel\":\"6.1\"},\"time\":\"2026-11-21T20:00:01Z\"}");
    const InventoryHost *host = inventory_host(inventory, "a");
    assert_string_equal(json_get_text(host->facts, "kernel", ""), "6.1");
    assert_int_equal(host->facts_ms, INT64_C(1795291201000));
}

static void test_other_events_change_nothing(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = inventory_new();
    say(inventory, "order.given", "a", "{}");
    say(inventory, "host.health", "../..", "{}");
    assert_int_equal(inventory_count(inventory), 0);
    assert_int_equal(inventory_sequence(inventory), sequence);
}

static void test_what_does_not_fit_is_refused(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = inventory_new();
    refuse(inventory, "host.joined", "../etc", "{}", "is not a name");
    refuse(inventory, "host.joined", "a", "{\"time\":\"noon\"}", "“time” must be a time");
    refuse(inventory, "host.joined", "a", "{\"not_after\":12}", "“not_after” must be a time");
    refuse(inventory, "host.joined", "a", "{\"serial\":12}", "“serial” must be a text");
    refuse(inventory, "host.facts", "a", "{}", "“facts” must be a map");
    refuse(inventory, "host.facts", "a", "{\"facts\":[]}", "“facts” must be a map");
    refuse(inventory, "host.described", "a", "{\"labels\":[]}", "“labels” must be a map");
    refuse(inventory, "host.described", "a", "{\"vars\":{\"port\":80}}", "the value of “port”");
    refuse(inventory, "host.described", "a", "{\"vars\":{\"\":\"x\"}}", "a key has 1 to");
    assert_int_equal(inventory_count(inventory), 0);
}

static void test_labels_have_a_limit_together(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = inventory_new();
    char more[100];
    for (int i = 0; i < INVENTORY_PAIRS_MAX; i++) {
        snprintf(more, sizeof more, "{\"labels\":{\"k%d\":\"\"}}", i);
        say(inventory, "host.described", "a", more);
    }
    refuse(inventory, "host.described", "a", "{\"labels\":{\"more\":\"\"}}", "at most 256");
    say(inventory, "host.described", "a", "{\"labels\":{\"k0\":\"other\"}}");
    say(inventory, "host.described", "a", "{\"labels\":{\"k0\":null,\"more\":\"\"}}");
}

static void test_facts_have_a_limit(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = inventory_new();
    say(inventory, "host.joined", "a", "{}");
    FREE_AUTO char *more = calloc(1, INVENTORY_FACTS_MAX + 100);
    int length = snprintf(more, 100, "{\"facts\":{\"x\":\"");
    memset(more + length, 'x', INVENTORY_FACTS_MAX);
    memcpy(more + length + INVENTORY_FACTS_MAX, "\"}}", 3);
    refuse(inventory, "host.facts", "a", more, "more than");
}

static void test_is_listed_in_the_order_of_names(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    enum { HOSTS = 2000 };
    for (int i = 0; i < HOSTS; i++) {
        char name[20];
        snprintf(name, sizeof name, "h%d", i * 7919 % HOSTS);
        say(inventory, "host.joined", name, "{}");
    }
    InventoryList list = inventory_list(inventory, arena);
    assert_int_equal(list.count, HOSTS);
    for (size_t i = 1; i < list.count; i++)
        assert_true(strcmp(list.items[i - 1]->name, list.items[i]->name) < 0);
    assert_int_equal(inventory_count(inventory), HOSTS);
}

static void test_is_told_as_json(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = inventory_new();
    say(inventory, "host.joined", "a", "{\"serial\":\"0a\",\"labels\":{\"x\":\"1\"}}");
    JSON_AUTO json = inventory_host_to_json(inventory_host(inventory, "a"));
    say(inventory, "host.described", "a", "{\"labels\":{\"x\":\"2\"}}");
    FREE_AUTO char *text = json_text(json);
    assert_string_equal(text,
                        "{\"joined\":\"2026-11-21T20:00:00.000Z\",\"labels\":{\"x\":\"1\"},\"name\":\"a\","
                        "\"serial\":\"0a\",\"state\":\"joined\"}");
}

/* ---- plans */

#define PLAN                                                                                                 \
    "upkeep: 1\n"                                                                                            \
    "environment: production\n"                                                                              \
    "service: {name: shop, root: \"/srv/shop\", run: {process: {command: [run, \"${vars.port}\"]}}}\n"       \
    "package: {file: shop.upk, trust: [a.pub]}\n"                                                            \
    "health: [{tcp: {address: \"127.0.0.1:${vars.port}\"}}]\n"

static Inventory *fleet(void) {
    Inventory *inventory = inventory_new();
    static const char *const names[] = {"web3", "web1", "web2"};
    for (size_t i = 0; i < 3; i++)
        say(inventory, "host.joined", names[i],
            "{\"labels\":{\"role\":\"web\",\"groups\":\"web,all\",\"environment\":\"production\"},"
            "\"vars\":{\"port\":\"80\"}}");
    say(inventory, "host.joined", "test1",
        "{\"labels\":{\"role\":\"web\",\"environment\":\"test\"},\"vars\":{\"port\":\"81\"}}");
    say(inventory, "host.joined", "db1", "{\"labels\":{\"role\":\"db\"},\"vars\":{\"port\":\"82\"}}");
    say(inventory, "host.invited", "web4", "{\"labels\":{\"role\":\"web\"},\"vars\":{\"port\":\"83\"}}");
    say(inventory, "host.joined", "web5", "{\"labels\":{\"role\":\"web\"},\"vars\":{\"port\":\"84\"}}");
    say(inventory, "host.revoked", "web5", "{}");
    return inventory;
}

static int expand(Arena *arena, const Inventory *inventory, const char *text, Plan **out, Error *error) {
    Plan *open = NULL, *again = NULL;
    if (plan_read(arena, "p", "/", text, strlen(text), &open, error) < 0) fail_msg("%s", error->en);
    JSON_AUTO json = plan_to_json(open); /* it travels to the controller */
    if (plan_read_json(arena, json, &again, error) < 0) fail_msg("%s", error->en);
    return inventory_expand(arena, again, inventory, out, error);
}

static Plan *expect_plan(Arena *arena, const Inventory *inventory, const char *text) {
    Plan *plan = NULL, *again = NULL;
    Error error = {0};
    if (expand(arena, inventory, text, &plan, &error) < 0) fail_msg("%s", error.en);
    JSON_AUTO json = plan_to_json(plan); /* the engine reads only that */
    if (plan_from_json(arena, json, &again, &error) < 0) fail_msg("%s", error.en);
    return plan;
}

static void expect_hosts(const Plan *plan, const char *names) {
    char found[200] = "";
    size_t length = 0;
    for (size_t i = 0; i < plan->hosts.count; i++)
        length += (size_t)snprintf(found + length, sizeof found - length, "%s%s", i ? " " : "",
                                   plan->hosts.items[i].name);
    assert_string_equal(found, names);
}

static void expect_refused(const Inventory *inventory, const char *text, const char *words) {
    ARENA_AUTO arena = arena_new();
    Plan *plan = NULL;
    Error error = {0};
    assert_int_equal(expand(arena, inventory, text, &plan, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_null(plan);
    if (!strstr(error.en, words)) fail_msg("“%s” is not in “%s”", words, error.en);
}

static void test_a_plan_selects_joined_hosts_of_its_environment(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = fleet();
    Plan *plan = expect_plan(arena, inventory, PLAN "hosts: [{select: {role: web}}]\n"), *own;
    expect_hosts(plan, "web1 web2 web3");
    assert_int_equal(plan->rollout.stages.count, 2); /* one first, as for any plan of several hosts */
    assert_int_equal(plan_for_host(arena, plan, "web2", "1.0", &own, NULL), 0);
    assert_string_equal(own->service.run.process->command.items[1], "80");
    expect_hosts(expect_plan(arena, inventory, PLAN "hosts: [{select: {group: all}}]\n"), "web1 web2 web3");
}

static void test_an_environment_that_is_selected_counts(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = fleet();
    expect_hosts(expect_plan(arena, inventory, PLAN "hosts: [{select: {environment: test}}]\n"), "test1");
    expect_hosts(expect_plan(arena, inventory, PLAN "hosts: [{select: {role: db}}]\n"), "db1");
}

static void test_a_rows_own_values_win(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = fleet();
    Plan *plan =
        expect_plan(arena, inventory,
                    PLAN "hosts: [{select: {role: web}, root: \"/opt/${host.name}\", labels: {role: w},"
                         " vars: {port: 99}}]\n");
    const PlanHost *host = &plan->hosts.items[0];
    assert_string_equal(host->root, "/opt/${host.name}");
    assert_string_equal(pair_find(&host->labels, "role"), "w");
    assert_string_equal(pair_find(&host->labels, "groups"), "web,all");
    assert_string_equal(pair_find(&host->vars, "port"), "99");
    assert_int_equal(host->select.count, 0);
}

static void test_nobody_is_there_twice(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = fleet();
    Plan *plan = expect_plan(arena, inventory,
                             PLAN "hosts:\n"
                                  "  - {select: {group: web}}\n"
                                  "  - {name: web2, root: /srv/two}\n"
                                  "  - {select: {role: web}}\n");
    expect_hosts(plan, "web1 web3 web2");
    assert_string_equal(plan->hosts.items[2].root, "/srv/two");
}

static void test_a_named_host_has_its_vars_from_the_inventory(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = fleet();
    Plan *plan =
        expect_plan(arena, inventory, PLAN "hosts: [{name: test1}, {name: x, root: /x, vars: {port: 1}}]\n");
    expect_hosts(plan, "test1 x");
    assert_string_equal(pair_find(&plan->hosts.items[0].vars, "port"), "81");
}

static void test_stages_see_the_inventorys_labels(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = fleet();
    say(inventory, "host.described", "web2", "{\"labels\":{\"groups\":\"all,canary\"}}");
    Plan *plan =
        expect_plan(arena, inventory,
                    PLAN "hosts: [{select: {role: web}}]\n"
                         "rollout: {stages: [{name: first, select: {group: canary}}, {name: rest}]}\n");
    size_t stages[3];
    assert_int_equal(plan_stages(plan, stages, NULL), 0);
    assert_int_equal(stages[0], 1);
    assert_int_equal(stages[1], 0);
    assert_int_equal(stages[2], 1);
}

static void test_a_row_that_matches_nobody_is_refused(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = fleet();
    expect_refused(inventory, PLAN "hosts: [{name: db1}, {select: {role: web, region: moon}}]\n",
                   "hosts[2]: no joined host of the environment production matches role=web, region=moon");
}

static void test_stages_and_hosts_are_checked_once_they_are_known(void **state) {
    (void)state;
    INVENTORY_AUTO inventory = fleet();
    expect_refused(inventory,
                   PLAN "hosts: [{select: {role: web}}]\nrollout: {stages: [{name: a}, {name: b}]}\n",
                   "rollout.stages.b: no host is left");
    expect_refused(inventory, PLAN "hosts: [{name: unknown}]\n", "there is no variable ${vars.port}");
}

static void test_without_an_inventory_nothing_is_selected(void **state) {
    (void)state;
    expect_refused(NULL, PLAN "hosts: [{select: {role: web}}]\n", "use --server");
    ARENA_AUTO arena = arena_new();
    Plan *plan = NULL;
    Error error = {0};
    static const char text[] = PLAN "hosts: [{select: {role: web}}]\n";
    assert_int_equal(plan_compile(arena, "p", "/", text, strlen(text), &plan, &error), -1);
    assert_non_null(strstr(error.en, "use --server"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_host_is_invited_joins_and_renews),
        cmocka_unit_test(test_a_revoked_host_may_be_invited_again),
        cmocka_unit_test(test_revoking_an_older_certificate_puts_the_host_out),
        cmocka_unit_test(test_an_invitation_leaves_a_joined_host_joined),
        cmocka_unit_test(test_a_removed_host_is_forgotten),
        cmocka_unit_test(test_a_description_sets_and_removes_single_labels),
        cmocka_unit_test(test_the_last_facts_stay),
        cmocka_unit_test(test_other_events_change_nothing),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_labels_have_a_limit_together),
        cmocka_unit_test(test_facts_have_a_limit),
        cmocka_unit_test(test_is_listed_in_the_order_of_names),
        cmocka_unit_test(test_is_told_as_json),
        cmocka_unit_test(test_a_plan_selects_joined_hosts_of_its_environment),
        cmocka_unit_test(test_an_environment_that_is_selected_counts),
        cmocka_unit_test(test_a_rows_own_values_win),
        cmocka_unit_test(test_nobody_is_there_twice),
        cmocka_unit_test(test_a_named_host_has_its_vars_from_the_inventory),
        cmocka_unit_test(test_stages_see_the_inventorys_labels),
        cmocka_unit_test(test_a_row_that_matches_nobody_is_refused),
        cmocka_unit_test(test_stages_and_hosts_are_checked_once_they_are_known),
        cmocka_unit_test(test_without_an_inventory_nothing_is_selected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
