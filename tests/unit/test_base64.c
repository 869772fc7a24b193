#include "base/base64.h"
#include "support/test.h"
#include <string.h>

/* RFC 4648, section 10. */
static void test_encodes_the_vectors_of_the_standard(void **state) {
    (void)state;
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        BUFFER_AUTO text = {0};
        base64_append(&text, vectors[i][0], strlen(vectors[i][0]));
        assert_string_equal(buffer_text(&text), vectors[i][1]);
    }
}

static void test_decodes_what_it_encodes(void **state) {
    (void)state;
    static uint8_t bytes[10000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * i >> 3);
    for (size_t size = 0; size < sizeof bytes; size = size * 3 / 2 + 1) {
        BUFFER_AUTO text = {0};
        ARENA_AUTO arena = arena_new();
        const uint8_t *decoded;
        size_t decoded_size;
        base64_append(&text, bytes, size);
        assert_int_equal(base64_decode(arena, buffer_text(&text), &decoded, &decoded_size), 0);
        assert_int_equal(decoded_size, size);
        assert_memory_equal(decoded, bytes, size);
    }
}

static void test_refuses_other_spellings(void **state) {
    (void)state;
    static const char *const texts[] = {"Z",        "Zg",   "Zg=",  "Zh==", " Zg==",    "Zg==\n", "Zg== ",
                                        "Zm9v====", "====", "Zm=v", "Zm9-", "Zm9v!AAA", "A==="};
    ARENA_AUTO arena = arena_new();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const uint8_t *bytes;
        size_t size;
        if (base64_decode(arena, texts[i], &bytes, &size) == 0) fail_msg("accepts \"%s\"", texts[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encodes_the_vectors_of_the_standard),
        cmocka_unit_test(test_decodes_what_it_encodes),
        cmocka_unit_test(test_refuses_other_spellings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
