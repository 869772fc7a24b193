#include "base/buffer.h"
#include "base/json.h"
#include "base/node.h"
#include "support/test.h"
#include <string.h>

static const Node *parse(Arena *arena, const char *text) {
    Node *node = NULL;
    Error error = {0};
    if (node_from_yaml(arena, "plan.yaml", text, strlen(text), &node, &error) < 0) fail_msg("%s", error.en);
    return node;
}

/* The text is refused at that place, with that word in the reason. */
static void check_refused(const char *text, size_t size, const char *place, const char *word) {
    ARENA_AUTO arena = arena_new();
    Node *node = NULL;
    Error error = {0};
    if (node_from_yaml(arena, "p", text, size, &node, &error) == 0) fail_msg("takes %.200s", text);
    assert_null(node);
    assert_int_equal(error.kind, ERROR_INVALID);
    if (strncmp(error.en, place, strlen(place)) != 0) fail_msg("not at %s: %s", place, error.en);
    if (!strstr(error.en, word)) fail_msg("not about %s: %s", word, error.en);
}

static void test_keeps_texts_as_written(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    const Node *root = parse(arena, "version: 1.10\nport: \"1880\"\nempty:\ntilde: ~\nquoted: \"\"\n");
    assert_int_equal(root->kind, NODE_MAP);
    assert_int_equal(root->count, 5);
    assert_string_equal(node_find(root, "version")->text, "1.10");
    assert_false(node_find(root, "version")->quoted);
    assert_true(node_find(root, "port")->quoted);
    assert_true(node_find(root, "empty")->null);
    assert_true(node_find(root, "tilde")->null);
    assert_false(node_find(root, "quoted")->null);
    assert_null(node_find(root, "missing"));
    assert_null(node_find(node_find(root, "port"), "x"));
    assert_null(node_find(NULL, "x"));
}

static void test_knows_where_each_part_stood(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    const Node *root = parse(arena, "# comment\na:\n  - {b: c}\n  -   d\n");
    assert_int_equal(root->entries[0].line, 2);
    assert_int_equal(root->entries[0].column, 1);
    const Node *list = node_find(root, "a");
    assert_int_equal(list->kind, NODE_LIST);
    assert_int_equal(list->count, 2);
    assert_null(list->entries[0].key);
    assert_int_equal(list->entries[1].value->line, 4);
    assert_int_equal(list->entries[1].value->column, 7);
    const Node *inner = list->entries[0].value;
    assert_int_equal(inner->entries[0].line, 3);
    assert_int_equal(inner->entries[0].column, 6);
}

static void test_refuses_all_but_the_strict_subset(void **state) {
    (void)state;
    static const struct {
        const char *text, *place, *word;
    } rows[] = {{"a: 1\nb: 2\na: 3\n", "p:3:1: ", "given twice"},
                {"a: 1\n\"a\": 3\n", "p:2:1: ", "given twice"},
                {"a: &x 1\n", "p:1:4: ", "anchors"},
                {"a: &x [1]\n", "p:1:4: ", "anchors"},
                {"a: &x {b: 1}\n", "p:1:4: ", "anchors"},
                {"a: !!str 1\n", "p:1:4: ", "tags"},
                {"a: !x {b: 1}\n", "p:1:4: ", "tags"},
                {"&k a: 1\n", "p:1:1: ", "anchors"},
                {"a: *x\n", "p:1:4: ", "aliases"},
                {"<<: {a: 1}\n", "p:1:1: ", "merge"},
                {"? [a]\n: 1\n", "p:1:3: ", "key"},
                {"*x : 1\n", "p:1:1: ", "key"},
                {"a: 1\n---\nb: 2\n", "p:2:1: ", "one document"},
                {"", "p:1:1: ", "empty"},
                {"# nothing\n", "p:2:1: ", "empty"},
                {"a: [1\n", "p:2:1: ", "YAML"},
                {"a: 'x\n", "p:", "YAML"},
                {"\ta: 1\n", "p:1:1: ", "YAML"},
                {"a: \"\\0\"\n", "p:1:4: ", "NUL"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_refused(rows[i].text, strlen(rows[i].text), rows[i].place, rows[i].word);
}

static void test_refuses_bytes_that_are_no_text(void **state) {
    (void)state;
    check_refused("a: \xff\n", 5, "p:", "YAML");
    check_refused("a: \xc0\x80\n", 6, "p:", "YAML");
    check_refused("a: \0\n", 5, "p:", "YAML");
    check_refused("a\0:\0 \0b\0", 8, "p:", "YAML"); /* UTF-16 */
}

static void test_bounds_depth_and_size(void **state) {
    (void)state;
    BUFFER_AUTO text = {0};
    for (int i = 0; i < 32; i++) buffer_text_append(&text, "[");
    for (int i = 0; i < 32; i++) buffer_text_append(&text, "]");
    ARENA_AUTO arena = arena_new();
    assert_non_null(parse(arena, buffer_text(&text)));
    buffer_clear(&text);
    for (int i = 0; i < 100000; i++) buffer_text_append(&text, "[");
    check_refused(text.data, text.size, "p:1:33: ", "deeper");
    buffer_clear(&text);
    for (int i = 0; i < 600000; i++) buffer_text_append(&text, "- ");
    check_refused(text.data, text.size, "p is larger", "bytes");
}

/* Comparing each key with all before it must not take a minute. */
static void test_bounds_the_number_of_keys(void **state) {
    (void)state;
    BUFFER_AUTO text = {0};
    for (int i = 0; i < 120000; i++) buffer_printf(&text, "k%d:\n", i);
    check_refused(text.data, text.size, "p:10001:1: ", "more than");
}

static void test_json_becomes_the_same_tree(void **state) {
    (void)state;
    static const char text[] = "{\"a\":[1,true,null,\"x\"],\"b\":{\"c\":1.5}}";
    JSON_AUTO json = NULL;
    assert_int_equal(json_parse(text, strlen(text), "it", &json, NULL), 0);
    ARENA_AUTO arena = arena_new();
    const Node *root = node_from_json(arena, json), *list = node_find(root, "a");
    assert_int_equal(list->kind, NODE_LIST);
    assert_int_equal(list->count, 4);
    assert_string_equal(list->entries[0].value->text, "1");
    assert_false(list->entries[0].value->quoted);
    assert_string_equal(list->entries[1].value->text, "true");
    assert_true(list->entries[2].value->null);
    assert_true(list->entries[3].value->quoted);
    assert_string_equal(node_find(node_find(root, "b"), "c")->text, "1.5");
    assert_int_equal(root->line, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_texts_as_written),
        cmocka_unit_test(test_knows_where_each_part_stood),
        cmocka_unit_test(test_refuses_all_but_the_strict_subset),
        cmocka_unit_test(test_refuses_bytes_that_are_no_text),
        cmocka_unit_test(test_bounds_depth_and_size),
        cmocka_unit_test(test_bounds_the_number_of_keys),
        cmocka_unit_test(test_json_becomes_the_same_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
