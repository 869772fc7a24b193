#include "base/json.h"
#include "host/check/json_pointer.h"
#include "support/test.h"
#include <string.h>

/* The examples of RFC 6901, section 5. */
static const char document_text[] =
    "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,"
    "\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8}";

static json_t *document(void) {
    json_t *json = NULL;
    assert_int_equal(json_parse(document_text, strlen(document_text), "document", &json, NULL), 0);
    return json;
}

static void test_finds_what_the_standard_finds(void **state) {
    (void)state;
    static const struct {
        const char *pointer;
        int value;
    } rows[] = {{"/", 0},     {"/a~1b", 1}, {"/c%d", 2}, {"/e^f", 3}, {"/g|h", 4},
                {"/i\\j", 5}, {"/k\"l", 6}, {"/ ", 7},   {"/m~0n", 8}};
    JSON_AUTO json = document();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(json_integer_value(json_pointer_find(json, rows[i].pointer)), rows[i].value);
    assert_ptr_equal(json_pointer_find(json, ""), json);
    assert_string_equal(json_string_value(json_pointer_find(json, "/foo/0")), "bar");
    assert_string_equal(json_string_value(json_pointer_find(json, "/foo/1")), "baz");
}

static void test_finds_nothing_elsewhere(void **state) {
    (void)state;
    static const char *const rows[] = {"foo",      "/foo/2",          "/foo/-",  "/foo/01", "/foo/1/",
                                       "/foo/0/x", "/none",           "//",      "/m~n",    "/m~2n",
                                       "/m~",      "/foo/9999999999", "/foo/+1", "/foo/1e0"};
    JSON_AUTO json = document();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (json_pointer_find(json, rows[i])) fail_msg("found: %s", rows[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_the_standard_finds),
        cmocka_unit_test(test_finds_nothing_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
