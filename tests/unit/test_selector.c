/* Hosts are meant by labels that match exactly, and by the groups that they are in. */
#include "model/selector.h"
#include "support/test.h"
#include <string.h>

static const char *label_of(const void *host, const char *key) { return pair_find(host, key); }

static bool matches(PairList select, PairList labels) { return selector_matches(&select, label_of, &labels); }

#define PAIRS(...)                                                                                           \
    (PairList) { (Pair[]){__VA_ARGS__}, sizeof(Pair[]){__VA_ARGS__} / sizeof(Pair) }

static void test_all_labels_must_match(void **state) {
    (void)state;
    PairList labels = PAIRS({"role", "web"}, {"region", "east"});
    assert_true(matches(PAIRS({"role", "web"}), labels));
    assert_true(matches(PAIRS({"region", "east"}, {"role", "web"}), labels));
    assert_false(matches(PAIRS({"role", "web"}, {"region", "west"}), labels));
    assert_false(matches(PAIRS({"role", "we"}), labels));
    assert_false(matches(PAIRS({"size", "big"}), labels));
    assert_true(matches((PairList){0}, labels));
}

static void test_a_group_is_one_of_a_list(void **state) {
    (void)state;
    PairList labels = PAIRS({"groups", "web, europe,big ones"});
    assert_true(matches(PAIRS({"group", "web"}), labels));
    assert_true(matches(PAIRS({"group", "europe"}), labels));
    assert_true(matches(PAIRS({"group", "big ones"}), labels));
    assert_false(matches(PAIRS({"group", "we"}), labels));
    assert_false(matches(PAIRS({"group", "webs"}), labels));
    assert_false(matches(PAIRS({"group", ""}), labels));
    assert_false(matches(PAIRS({"group", "web"}), (PairList){0}));
    assert_true(matches(PAIRS({"group", "web"}), PAIRS({"group", "web"})));
    assert_false(matches(PAIRS({"groups", "web"}), labels)); /* a label like any other */
}

static void test_is_told_as_it_was_written(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    PairList select = PAIRS({"role", "web"}, {"region", "east"});
    assert_string_equal(selector_text(arena, &select), "role=web, region=east");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_labels_must_match),
        cmocka_unit_test(test_a_group_is_one_of_a_list),
        cmocka_unit_test(test_is_told_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
