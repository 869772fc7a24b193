#include "host/traffic/upstream.h"
#include "support/test.h"
#include <stdbool.h>
#include <string.h>

#define BLOCK                                                                                                \
    "# server 10.0.0.1:80; is only a comment\n"                                                              \
    "upstream web {\n"                                                                                       \
    "    server 10.0.0.1:80 weight=10 max_fails=3;  # the first\n"                                           \
    "\tserver\t10.0.0.2:80 down;\n"                                                                          \
    "    server 10.0.0.3:80;\r\n"                                                                            \
    "}\n"                                                                                                    \
    "upstream other { server 10.0.0.4:80; }\n"                                                               \
    "server {\n"                                                                                             \
    "    listen 80;\n"                                                                                       \
    "}\n"

static UpstreamServer find(const char *text, const char *server) {
    UpstreamServer found;
    Error error = {0};
    if (upstream_find(text, server, &found, &error) < 0) fail_msg("%s", error.en);
    return found;
}

static void expect_refused(const char *text, const char *server, const char *words) {
    UpstreamServer found;
    Error error = {0};
    assert_int_equal(upstream_find(text, server, &found, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    if (!strstr(error.en, words)) fail_msg("“%s” is not in “%s”", words, error.en);
}

/* `text` with the server's line changed must have `line` in it; changed back it must be `text` again. */
static void expect_line(const char *text, const char *server, bool down, int64_t weight, const char *line) {
    BUFFER_AUTO changed = {0}, back = {0};
    UpstreamServer before = find(text, server);
    upstream_write(text, &before, down, weight, &changed);
    if (!strstr(buffer_text(&changed), line)) fail_msg("“%s” is not in\n%s", line, buffer_text(&changed));
    UpstreamServer after = find(buffer_text(&changed), server);
    assert_int_equal(after.down, down);
    assert_int_equal(after.weight, weight);
    assert_int_equal(after.whole, before.whole);
    upstream_write(buffer_text(&changed), &after, before.down, before.weight, &back);
    assert_string_equal(buffer_text(&back), text);
}

static void test_finds_a_line_and_what_it_says(void **state) {
    (void)state;
    UpstreamServer first = find(BLOCK, "10.0.0.1:80"), second = find(BLOCK, "10.0.0.2:80");
    assert_false(first.down);
    assert_int_equal(first.weight, 10);
    assert_int_equal(first.whole, 10);
    assert_true(second.down);
    assert_int_equal(second.weight, 1);
}

static void test_counts_who_else_serves_in_the_same_block(void **state) {
    (void)state;
    assert_int_equal(find(BLOCK, "10.0.0.1:80").others, 1);
    assert_int_equal(find(BLOCK, "10.0.0.2:80").others, 2);
    assert_int_equal(find("server a:1;\nserver b:1 down;\nserver c:1;", "a:1").others, 1);
    assert_int_equal(find("server a:1;", "a:1").others, 0);
}

static void test_changes_one_line_and_can_change_it_back(void **state) {
    (void)state;
    expect_line(BLOCK, "10.0.0.1:80", true, 10,
                "    server 10.0.0.1:80 weight=10 max_fails=3 down;  # the first\n");
    expect_line(BLOCK, "10.0.0.1:80", false, 1,
                "    server 10.0.0.1:80 weight=1 max_fails=3; # upkeep: weight=10  # the first\n");
    expect_line(BLOCK, "10.0.0.2:80", false, 1, "\tserver\t10.0.0.2:80;\n");
    expect_line(BLOCK, "10.0.0.3:80", true, 1, "    server 10.0.0.3:80 down;\r\n");
    expect_line("server a:1 weight=100;", "a:1", true, 25, "server a:1 weight=25 down; # upkeep: weight=100");
}

static void test_what_cannot_be_told_apart_is_refused(void **state) {
    (void)state;
    expect_refused(BLOCK, "10.0.0.9:80", "no line “server 10.0.0.9:80 …;”");
    expect_refused(BLOCK, "10.0.0.4:80", "nothing else on it");
    expect_refused("server a:1; server b:1;\n", "a:1", "nothing else on it");
    expect_refused("server a:1;\nserver a:1;\n", "a:1", "has 2 lines");
    expect_refused("server a:1\n", "a:1", "no line");
    expect_refused("server a:1", "a", "no line");
    expect_refused("", "a:1", "no line");
    expect_refused("server;\nlisten 80;\n", "", "no line");
}

static void test_weights_that_are_none_count_as_one(void **state) {
    (void)state;
    assert_int_equal(find("server a:1 weight=0;", "a:1").weight, 1);
    assert_int_equal(find("server a:1 weight=x;", "a:1").weight, 1);
    assert_int_equal(find("server a:1 weight=99999999999999999999;", "a:1").weight, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_a_line_and_what_it_says),
        cmocka_unit_test(test_counts_who_else_serves_in_the_same_block),
        cmocka_unit_test(test_changes_one_line_and_can_change_it_back),
        cmocka_unit_test(test_what_cannot_be_told_apart_is_refused),
        cmocka_unit_test(test_weights_that_are_none_count_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
