#include "base/cleanup.h"
#include "base/json.h"
#include "support/test.h"
#include <string.h>

static json_t *parsed(const char *text) {
    json_t *json = NULL;
    Error error = {0};
    if (json_parse(text, strlen(text), "it", &json, &error) < 0) fail_msg("%s", error.en);
    return json;
}

static void test_equal_documents_have_equal_text(void **state) {
    (void)state;
    JSON_AUTO a = parsed("{\"b\": [1, true, null, \"x\\u00e9\"], \"a\": {\"d\": 1, \"c\": 2}}");
    JSON_AUTO b = parsed("{\"a\":{\"c\":2,\"d\":1},\"b\":[1,true,null,\"xé\"]}\n");
    FREE_AUTO char *text = json_text(a);
    assert_string_equal(text, "{\"a\":{\"c\":2,\"d\":1},\"b\":[1,true,null,\"xé\"]}");
    Digest first = json_digest(a), second = json_digest(b), of_text = digest_of(text, strlen(text));
    assert_true(digest_equal(&first, &second));
    assert_true(digest_equal(&first, &of_text));
}

static void test_refuses_what_is_not_strict(void **state) {
    (void)state;
    static const char *const wrong[] = {"",
                                        "1",
                                        "\"a\"",
                                        "{\"a\":1,\"a\":2}",
                                        "{\"a\":1}x",
                                        "[1,]",
                                        "{'a':1}",
                                        "[01]",
                                        "[\"\\u0000\"]",
                                        "[\"\xff\"]",
                                        "[\"\\ud800\"]",
                                        "[NaN]",
                                        "[1e999]",
                                        "{",
                                        "[99999999999999999999]"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        json_t *json = NULL;
        Error error = {0};
        if (json_parse(wrong[i], strlen(wrong[i]), "the plan", &json, &error) == 0)
            fail_msg("takes %s", wrong[i]);
        assert_null(json);
        assert_int_equal(error.kind, ERROR_INVALID);
        assert_non_null(strstr(error.en, "the plan"));
    }
}

static void test_refuses_deep_nesting(void **state) {
    (void)state;
    enum { DEPTH = 100000 };
    char *text = malloc(DEPTH);
    memset(text, '[', DEPTH);
    json_t *json = NULL;
    assert_int_equal(json_parse(text, DEPTH, "it", &json, NULL), -1);
    free(text);
}

static void test_a_wrong_type_is_as_good_as_missing(void **state) {
    (void)state;
    JSON_AUTO json = parsed("{\"text\":\"t\",\"number\":7,\"yes\":true,\"null\":null}");
    assert_string_equal(json_get_text(json, "text", "f"), "t");
    assert_string_equal(json_get_text(json, "number", "f"), "f");
    assert_null(json_get_text(json, "none", NULL));
    assert_int_equal(json_get_integer(json, "number", 1), 7);
    assert_int_equal(json_get_integer(json, "text", 1), 1);
    assert_true(json_get_bool(json, "yes", false));
    assert_true(json_get_bool(json, "null", true));
    assert_int_equal(json_get_integer(NULL, "number", 3), 3);
}

static void test_sets_what_is_there(void **state) {
    (void)state;
    JSON_AUTO json = json_object();
    json_set_text(json, "a", "x");
    json_set_text(json, "b", NULL);
    json_set_integer(json, "c", INT64_MIN);
    json_set_bool(json, "d", false);
    FREE_AUTO char *text = json_text(json);
    assert_string_equal(text, "{\"a\":\"x\",\"c\":-9223372036854775808,\"d\":false}");
}

#define REPLACED "\xEF\xBF\xBD"

static void test_any_bytes_become_utf_8(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *text;
    } rows[] = {{"plain é 本 😀", 17, "plain é 本 😀"},
                {"\xff", 1, REPLACED},
                {"a\xe6\x9c", 3, "a" REPLACED REPLACED},                      /* cut short */
                {"\xc0\x80", 2, REPLACED REPLACED},                           /* overlong NUL */
                {"\xe0\x80\xaf", 3, REPLACED REPLACED REPLACED},              /* overlong "/" */
                {"\xed\xa0\x80", 3, REPLACED REPLACED REPLACED},              /* surrogate */
                {"\xf4\x90\x80\x80", 4, REPLACED REPLACED REPLACED REPLACED}, /* beyond U+10FFFF */
                {"a\0b", 3, "a" REPLACED "b"},
                {"", 0, ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        JSON_AUTO string = json_safe_string(rows[i].bytes, rows[i].size);
        assert_string_equal(json_string_value(string), rows[i].text);
    }
}

static void test_disarms_what_a_terminal_would_obey(void **state) {
    (void)state;
    JSON_AUTO json = json_pack("{s:s, s:[s]}", "error", "a\x1b]52;c;eA==\x07 b\n", "list",
                               "\xc2\x9b"
                               "2J ok \xe4\xb8\xad");
    assert_int_equal(json_disarm(json, 3), 0);
    assert_string_equal(json_get_text(json, "error", ""), "a?]52;c;eA==? b?");
    assert_string_equal(json_string_value(json_array_get(json_object_get(json, "list"), 0)),
                        "??2J ok \xe4\xb8\xad");
}

static void test_refuses_to_disarm_what_is_nested_too_deep(void **state) {
    (void)state;
    JSON_AUTO json = json_pack("{s:[[[i]]]}", "a", 1);
    assert_int_equal(json_disarm(json, 4), 0);
    assert_int_equal(json_disarm(json, 3), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_documents_have_equal_text),
        cmocka_unit_test(test_refuses_what_is_not_strict),
        cmocka_unit_test(test_refuses_deep_nesting),
        cmocka_unit_test(test_a_wrong_type_is_as_good_as_missing),
        cmocka_unit_test(test_sets_what_is_there),
        cmocka_unit_test(test_any_bytes_become_utf_8),
        cmocka_unit_test(test_disarms_what_a_terminal_would_obey),
        cmocka_unit_test(test_refuses_to_disarm_what_is_nested_too_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
