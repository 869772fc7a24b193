#include "base/command.h"
#include "support/test.h"

static void expect(const char *const *words, size_t count, const char *text) {
    ARENA_AUTO arena = arena_new();
    assert_string_equal(command_text(words, count, arena), text);
}

static void test_words_are_quoted_where_a_shell_would_need_it(void **state) {
    (void)state;
    const char *const plain[] = {"node", "current/red.js", "--port=1880"};
    const char *const odd[] = {"echo", "", "two words", "it's", "$HOME"};
    expect(plain, 3, "node current/red.js --port=1880");
    expect(odd, 5, "echo '' 'two words' 'it'\\''s' '$HOME'");
    expect(NULL, 0, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_are_quoted_where_a_shell_would_need_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
