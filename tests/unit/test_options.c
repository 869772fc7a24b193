#include "cli/options.h"
#include "support/sample.h"
#include <string.h>

static const Option own[] = {
    {"key", 'k', "FILE", "", true},
    {"output", 'o', "FILE", "", false},
    {"force", 'f', NULL, "", false},
    {0},
};
static const Option common[] = {{"json", 0, NULL, "", false}, {0}};
static const Option *const tables[] = {own, common, NULL};

static int arena_setup(void **state) {
    *state = arena_new();
    return 0;
}

static int arena_teardown(void **state) {
    arena_free(*state);
    return 0;
}

#define with_arena(function) cmocka_unit_test_setup_teardown(function, arena_setup, arena_teardown)

/* The words of `line`, parted by blanks. */
static int parse(Arena *arena, const char *line, Arguments *out, Error *error) {
    char *rest = arena_strdup(arena, line), **words = arena_array(arena, strlen(line) + 1, sizeof *words);
    int count = 0;
    while (rest) words[count++] = strsep(&rest, " ");
    return arguments_parse(arena, tables, count, words, out, error);
}

static void test_a_value_may_stand_in_all_four_ways(void **state) {
    Arguments arguments;
    assert_done(parse(*state, "--key a --key=b -k c -kd", &arguments, error));
    const char *const expected[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 4; i++) assert_string_equal(arguments_get_nth(&arguments, "key", i), expected[i]);
    assert_null(arguments_get_nth(&arguments, "key", 4));
}

static void test_options_and_words_may_be_mixed(void **state) {
    Arguments arguments;
    assert_done(parse(*state, "one --json two -f", &arguments, error));
    assert_int_equal(arguments.positional_count, 2);
    assert_string_equal(arguments.positional[1], "two");
    assert_true(arguments_has(&arguments, "json"));
    assert_true(arguments_has(&arguments, "force"));
    assert_false(arguments_has(&arguments, "output"));
}

static void test_two_dashes_end_the_options(void **state) {
    Arguments arguments;
    assert_done(parse(*state, "-- --json -", &arguments, error));
    assert_int_equal(arguments.positional_count, 2);
    assert_string_equal(arguments.positional[0], "--json");
    assert_false(arguments_has(&arguments, "json"));
}

static void test_a_single_dash_is_a_word(void **state) {
    Arguments arguments;
    assert_done(parse(*state, "-", &arguments, error));
    assert_int_equal(arguments.positional_count, 1);
}

static void test_what_is_not_given_has_the_fallback(void **state) {
    Arguments arguments;
    assert_done(parse(*state, "word", &arguments, error));
    assert_string_equal(arguments_get(&arguments, "output", "-"), "-");
}

static void test_a_value_may_be_empty_or_begin_with_a_dash(void **state) {
    Arguments arguments;
    assert_done(parse(*state, "--key= --output -x", &arguments, error));
    assert_string_equal(arguments_get(&arguments, "key", "none"), "");
    assert_string_equal(arguments_get(&arguments, "output", "none"), "-x");
}

static void test_unknown_options_are_refused_not_guessed(void **state) {
    Arguments arguments;
    assert_refused(parse(*state, "--jso", &arguments, error), ERROR_INVALID, "--jso");
    assert_refused(parse(*state, "-x", &arguments, error), ERROR_INVALID, "-x");
}

static void test_once_means_once(void **state) {
    Arguments arguments;
    assert_refused(parse(*state, "-oa -ob", &arguments, error), ERROR_INVALID, "--output is given twice");
}

static void test_a_value_that_is_missing_or_too_much_is_refused(void **state) {
    Arguments arguments;
    assert_refused(parse(*state, "--output", &arguments, error), ERROR_INVALID, "FILE");
    assert_refused(parse(*state, "--json=yes", &arguments, error), ERROR_INVALID, "takes no value");
    assert_refused(parse(*state, "-fk", &arguments, error), ERROR_INVALID, "takes no value");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        with_arena(test_a_value_may_stand_in_all_four_ways),
        with_arena(test_options_and_words_may_be_mixed),
        with_arena(test_two_dashes_end_the_options),
        with_arena(test_a_single_dash_is_a_word),
        with_arena(test_what_is_not_given_has_the_fallback),
        with_arena(test_a_value_may_be_empty_or_begin_with_a_dash),
        with_arena(test_unknown_options_are_refused_not_guessed),
        with_arena(test_once_means_once),
        with_arena(test_a_value_that_is_missing_or_too_much_is_refused),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
