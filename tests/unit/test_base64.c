#include "base/base64.h"
#include "support/test.h"
#include <string.h>

/* RFC 4648, section 10. */
static const struct {
    const char *plain, *coded;
} vectors[] = {{"", ""},
               {"f", "Zg=="},
               {"fo", "Zm8="},
               {"foo", "Zm9v"},
               {"foob", "Zm9vYg=="},
               {"fooba", "Zm9vYmE="},
               {"foobar", "Zm9vYmFy"}};

static void test_agrees_with_the_standard(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        BUFFER_AUTO coded = {0};
        base64_append(&coded, vectors[i].plain, strlen(vectors[i].plain));
        assert_string_equal(buffer_text(&coded), vectors[i].coded);
        const uint8_t *bytes = NULL;
        size_t size = 77;
        assert_int_equal(base64_decode(arena, vectors[i].coded, &bytes, &size), 0);
        assert_int_equal(size, strlen(vectors[i].plain));
        assert_string_equal((const char *)bytes, vectors[i].plain);
    }
}

static void test_any_bytes_come_back(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    uint8_t all[256];
    for (size_t i = 0; i < sizeof all; i++) all[i] = (uint8_t)i;
    for (size_t size = 0; size <= sizeof all; size++) {
        BUFFER_AUTO coded = {0};
        base64_append(&coded, all, size);
        const uint8_t *bytes = NULL;
        size_t got = 0;
        assert_int_equal(base64_decode(arena, buffer_text(&coded), &bytes, &got), 0);
        assert_int_equal(got, size);
        assert_memory_equal(bytes, all, size);
    }
}

static void test_refuses_what_would_not_encode_to_itself(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    static const char *const wrong[] = {
        "Z",      "Zg",    "Zg=",   "Zg===", "=",    "====", "Zh==",     "Zm9=",
        "Zm9v\n", " Zm9v", "Zm 9v", "Zm9v=", "Z===", "Zm-_", "Zg==Zg==", "Zm9v\x80\x80\x80\x80"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const uint8_t *bytes = NULL;
        size_t size = 77;
        if (base64_decode(arena, wrong[i], &bytes, &size) == 0) fail_msg("takes “%s”", wrong[i]);
        assert_null(bytes);
        assert_int_equal(size, 77);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_the_standard),
        cmocka_unit_test(test_any_bytes_come_back),
        cmocka_unit_test(test_refuses_what_would_not_encode_to_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
