/* In what two environments differ, and that what is not known never agrees. */
#include "base/cleanup.h"
#include "base/json.h"
#include "model/drift.h"
#include "support/test.h"
#include <string.h>

static void say(Inventory *inventory, json_t *event) {
    Error error = {0};
    json_set_text(event, "time", "2026-11-21T20:00:00Z");
    if (inventory_fold(inventory, 1, event, &error) < 0) fail_msg("%s", error.en);
    json_decref(event);
}

static void join(Inventory *inventory, const char *name, const char *environment) {
    say(inventory, json_pack("{s:s, s:s, s:{s:s}}", "type", "host.joined", "host", name, "labels",
                             "environment", environment));
}

#define FACTS(kernel, cores, memory, more)                                                                   \
    "{\"os\":{\"id\":\"debian\",\"version\":\"12\"},\"architecture\":\"amd64\",\"kernel\":\"" kernel         \
    "\",\"cpu\":{\"cores\":" #cores "},\"memory\":{\"total_bytes\":" #memory "}" more "}"
#define PLAIN FACTS("6.1", 4, 8000000000, "")

/* A host of that environment that has reported. */
static void report(Inventory *inventory, const char *name, const char *environment, const char *facts) {
    json_t *document = NULL;
    join(inventory, name, environment);
    if (json_parse(facts, strlen(facts), "facts", &document, NULL) < 0) fail_msg("%s", facts);
    say(inventory, json_pack("{s:s, s:s, s:o}", "type", "host.facts", "host", name, "facts", document));
}

static Drift compare(Arena *arena, const Inventory *inventory) {
    return drift_compare(arena, inventory, "test", "production");
}

static const DriftRow *row(const Drift *drift, const char *key) {
    for (size_t i = 0; i < drift->count; i++)
        if (strcmp(drift->rows[i].key, key) == 0) return &drift->rows[i];
    return NULL;
}

/* "6.1×2 5.10×1 | 6.1×1" */
static void expect_row(const Drift *drift, const char *key, const char *expected) {
    const DriftRow *found = row(drift, key);
    if (!found) fail_msg("no row %s", key);
    char text[400] = "";
    size_t length = 0;
    for (int side = 0; side < 2; side++) {
        if (side) length += (size_t)snprintf(text + length, sizeof text - length, " | ");
        for (size_t i = 0; i < found->sides[side].count; i++)
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%s×%zu", i ? " " : "",
                                       found->sides[side].values[i].text, found->sides[side].values[i].hosts);
    }
    assert_string_equal(text, expected);
}

static void expect_verdict(const Drift *drift, DriftVerdict verdict) {
    assert_string_equal(drift_verdict_text(drift->verdict), drift_verdict_text(verdict));
}

static void test_equal_environments_are_the_same_on_any_number_of_hosts(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    report(inventory, "t1", "test", PLAIN);
    report(inventory, "p1", "production", PLAIN);
    report(inventory, "p2", "production", PLAIN);
    report(inventory, "g1", "gray", FACTS("1", 1, 1, ""));
    Drift drift = compare(arena, inventory);
    expect_verdict(&drift, DRIFT_SAME);
    assert_int_equal(drift.count, 0);
    assert_int_equal(drift.hosts[0], 1);
    assert_int_equal(drift.hosts[1], 2);
    assert_int_equal(drift.compared, 7); /* six, and whether there are facts */
}

static void test_a_text_that_only_one_side_has_differs(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    report(inventory, "t1", "test", PLAIN);
    report(inventory, "p1", "production", PLAIN);
    report(inventory, "p2", "production", PLAIN);
    report(inventory, "p3", "production", FACTS("5.10", 4, 8000000000, ""));
    Drift drift = compare(arena, inventory);
    expect_verdict(&drift, DRIFT_DIFFERS);
    assert_int_equal(drift.count, 1);
    expect_row(&drift, "kernel", "6.1×1 | 6.1×2 5.10×1");
}

static void test_numbers_agree_within_a_tenth(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    report(inventory, "t1", "test", FACTS("6.1", 10, 8000000000, ""));
    report(inventory, "p1", "production", FACTS("6.1", 9, 7200000000, ""));
    Drift near = compare(arena, inventory);
    expect_verdict(&near, DRIFT_SAME);
    report(inventory, "p2", "production", FACTS("6.1", 20, 17179869184, ""));
    Drift drift = compare(arena, inventory);
    expect_verdict(&drift, DRIFT_DIFFERS);
    expect_row(&drift, "cpu.cores", "10×1 | 9–20×2");
    expect_row(&drift, "memory.total_bytes", "7.5 GiB×1 | 6.7 GiB–16.0 GiB×2");
    assert_int_equal(row(&drift, "cpu.cores")->sides[1].values[0].most, 20);
}

static void test_tools_and_releases_are_compared_by_version(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    report(inventory, "t1", "test",
           FACTS("6.1", 4, 8000000000,
                 ",\"tools\":{\"openssl\":\"3.0.17\",\"node\":\"20.1\"},\"releases\":[{\"service\":\"shop\","
                 "\"root\":\"/srv/shop\",\"version\":\"2.0\"}]"));
    report(
        inventory, "p1", "production",
        FACTS(
            "6.1", 4, 8000000000,
            ",\"tools\":{\"openssl\":\"3.0.16\"},\"releases\":[{\"service\":\"shop\",\"root\":\"/srv/shop\","
            "\"version\":\"1.0\"}]"));
    Drift drift = compare(arena, inventory);
    expect_verdict(&drift, DRIFT_DIFFERS);
    assert_int_equal(drift.count, 3);
    expect_row(&drift, "tools.openssl", "3.0.17×1 | 3.0.16×1");
    expect_row(&drift, "tools.node", "20.1×1 | absent×1");
    expect_row(&drift, "releases.shop", "2.0×1 | 1.0×1");
    assert_string_equal(drift.rows[0].key, "releases.shop"); /* sorted */
}

/* Web servers have nginx, the others need none. */
static void test_what_some_hosts_lack_is_compared_by_the_others(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    report(inventory, "t1", "test", FACTS("6.1", 4, 8000000000, ",\"tools\":{\"nginx\":\"1.22\"}"));
    report(inventory, "p1", "production", FACTS("6.1", 4, 8000000000, ",\"tools\":{\"nginx\":\"1.22\"}"));
    report(inventory, "p2", "production", PLAIN);
    Drift drift = compare(arena, inventory);
    expect_verdict(&drift, DRIFT_SAME);
}

static void test_disks_are_compared_by_size(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    report(inventory, "t1", "test",
           FACTS("6.1", 4, 8000000000, ",\"disks\":[{\"path\":\"/\",\"total_bytes\":10737418240}]"));
    report(inventory, "p1", "production",
           FACTS("6.1", 4, 8000000000,
                 ",\"disks\":[{\"path\":\"/\",\"total_bytes\":21474836480},{\"path\":\"/"
                 "data\",\"total_bytes\":1}]"));
    Drift drift = compare(arena, inventory);
    expect_row(&drift, "disks./", "10.0 GiB×1 | 20.0 GiB×1");
    assert_non_null(row(&drift, "disks./data"));
    assert_int_equal(row(&drift, "disks./data")->sides[0].values[0].kind, DRIFT_ABSENT);
}

/* I11 */
static void test_unknown_agrees_with_nothing(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    static const char silent[] = FACTS("6.1", 4, 8000000000, ",\"tools\":{\"java\":null}");
    report(inventory, "t1", "test", silent);
    report(inventory, "p1", "production", silent);
    Drift drift = compare(arena, inventory);
    expect_row(&drift, "tools.java", "unknown×1 | unknown×1");
    expect_verdict(&drift, DRIFT_INCONCLUSIVE);
    report(inventory, "p2", "production", FACTS("", 4, 8000000000, ""));
    Drift missing = compare(arena, inventory);
    expect_row(&missing, "kernel", "6.1×1 | 6.1×1 unknown×1");
    expect_verdict(&missing, DRIFT_INCONCLUSIVE);
}

static void test_a_release_that_cannot_be_read_is_unknown(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    report(inventory, "t1", "test", PLAIN);
    report(inventory, "p1", "production",
           FACTS("6.1", 4, 8000000000, ",\"releases\":[{\"root\":\"/srv/x\",\"error\":\"no\"}]"));
    Drift drift = compare(arena, inventory);
    assert_int_equal(row(&drift, "releases")->sides[1].values[0].kind, DRIFT_UNKNOWN);
    assert_true(drift.verdict != DRIFT_SAME);
}

static void test_a_host_that_never_reported_is_told(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    report(inventory, "t1", "test", PLAIN);
    report(inventory, "p1", "production", PLAIN);
    join(inventory, "p2", "production");
    Drift drift = compare(arena, inventory);
    expect_row(&drift, "facts", "reported×1 | reported×1 unknown×1");
    assert_int_equal(drift.silent[1], 1);
    expect_verdict(&drift, DRIFT_INCONCLUSIVE);
}

static void test_without_hosts_or_facts_nothing_is_said(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    Drift empty = compare(arena, inventory);
    expect_verdict(&empty, DRIFT_INCONCLUSIVE);
    report(inventory, "t1", "test", PLAIN);
    Drift half = compare(arena, inventory);
    expect_verdict(&half, DRIFT_INCONCLUSIVE);
    join(inventory, "p1", "production");
    Drift silent = compare(arena, inventory);
    expect_verdict(&silent, DRIFT_INCONCLUSIVE);
    report(inventory, "p1", "production", PLAIN);
    say(inventory, json_pack("{s:s, s:s}", "type", "host.revoked", "host", "p1"));
    Drift revoked = compare(arena, inventory);
    expect_verdict(&revoked, DRIFT_INCONCLUSIVE);
    assert_int_equal(revoked.hosts[1], 0);
}

static void test_many_values_are_summed_up(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    report(inventory, "t1", "test", PLAIN);
    for (int i = 0; i < DRIFT_VALUES_MAX + 10; i++) {
        char name[20];
        snprintf(name, sizeof name, "p%d", i);
        json_t *facts = json_pack("{s:s}", "kernel", name);
        join(inventory, name, "production");
        say(inventory, json_pack("{s:s, s:s, s:o}", "type", "host.facts", "host", name, "facts", facts));
    }
    Drift drift = compare(arena, inventory);
    const DriftSide *side = &row(&drift, "kernel")->sides[1];
    assert_int_equal(side->count, DRIFT_VALUES_MAX + 1);
    assert_int_equal(side->values[0].kind, DRIFT_OTHERS);
    assert_int_equal(side->values[0].hosts, 10);
}

static void test_is_told_as_json(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    INVENTORY_AUTO inventory = inventory_new();
    report(inventory, "t1", "test", PLAIN);
    report(inventory, "p1", "production", FACTS("6.1", 8, 8000000000, ",\"tools\":{\"java\":null}"));
    Drift drift = compare(arena, inventory);
    JSON_AUTO json = drift_to_json(&drift);
    FREE_AUTO char *text = json_text(json);
    assert_string_equal(
        text, "{\"compared\":8,\"environments\":[\"test\",\"production\"],\"hosts\":[1,1],\"rows\":["
              "{\"key\":\"cpu.cores\",\"sides\":[[{\"hosts\":1,\"kind\":\"known\",\"least\":4,\"most\":4,"
              "\"value\":\"4\"}],"
              "[{\"hosts\":1,\"kind\":\"known\",\"least\":8,\"most\":8,\"value\":\"8\"}]]},"
              "{\"key\":\"tools.java\",\"sides\":[[{\"hosts\":1,\"kind\":\"absent\"}],[{\"hosts\":1,\"kind\":"
              "\"unknown\"}]]}"
              "],\"silent\":[0,0],\"verdict\":\"differs\"}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_environments_are_the_same_on_any_number_of_hosts),
        cmocka_unit_test(test_a_text_that_only_one_side_has_differs),
        cmocka_unit_test(test_numbers_agree_within_a_tenth),
        cmocka_unit_test(test_tools_and_releases_are_compared_by_version),
        cmocka_unit_test(test_what_some_hosts_lack_is_compared_by_the_others),
        cmocka_unit_test(test_disks_are_compared_by_size),
        cmocka_unit_test(test_unknown_agrees_with_nothing),
        cmocka_unit_test(test_a_release_that_cannot_be_read_is_unknown),
        cmocka_unit_test(test_a_host_that_never_reported_is_told),
        cmocka_unit_test(test_without_hosts_or_facts_nothing_is_said),
        cmocka_unit_test(test_many_values_are_summed_up),
        cmocka_unit_test(test_is_told_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
