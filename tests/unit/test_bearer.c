#include "support/test.h"
#include "trust/bearer.h"

#include <string.h>

static Bearer made(void) {
    Bearer bearer;
    bearer_new_id(&bearer);
    bearer_new_secret(&bearer);
    return bearer;
}

static void test_reads_back_what_it_writes(void **state) {
    (void)state;
    Bearer bearer = made(), again = {.id = ""};
    char text[BEARER_TEXT_SIZE];
    bearer_to_text(&bearer, "upkp-", text);
    assert_int_equal(strlen(text), BEARER_TEXT_SIZE - 1);
    assert_non_null(bearer_take(text, "upkp-", '\0', &again));
    assert_string_equal(again.id, bearer.id);
    assert_string_equal(again.secret, bearer.secret);
    assert_null(bearer_take(text, "upks-", '\0', &again));
    assert_null(bearer_take(text, "upkp-", '-', &again));
}

static void test_says_what_stands_behind(void **state) {
    (void)state;
    Bearer again;
    const char *rest =
        bearer_take("upk1-abcdefghij-abcdefghijklmnopqrstuvwxyz234567-rest", "upk1-", '-', &again);
    assert_non_null(rest);
    assert_string_equal(rest, "rest");
}

static void test_refuses_what_is_cut_or_has_other_letters(void **state) {
    (void)state;
    Bearer bearer = made(), again;
    char text[BEARER_TEXT_SIZE + 1], bad[BEARER_TEXT_SIZE + 1];
    bearer_to_text(&bearer, "upkp-", text);
    for (size_t i = 0; i < BEARER_TEXT_SIZE - 1; i++) {
        memcpy(bad, text, BEARER_TEXT_SIZE);
        bad[i] = '\0';
        assert_null(bearer_take(bad, "upkp-", '\0', &again));
        memcpy(bad, text, BEARER_TEXT_SIZE);
        bad[i] = '1'; /* no letter of ours */
        assert_null(bearer_take(bad, "upkp-", '\0', &again));
    }
    text[BEARER_TEXT_SIZE - 1] = 'a';
    text[BEARER_TEXT_SIZE] = '\0';
    assert_null(bearer_take(text, "upkp-", '\0', &again));
}

static void test_fits_its_own_hash_alone(void **state) {
    (void)state;
    Bearer bearer = made(), other = bearer;
    Digest hash = bearer_hash(&bearer);
    static const Digest none;
    assert_true(bearer_fits(&bearer, &hash));
    assert_false(bearer_fits(&bearer, NULL));
    assert_false(bearer_fits(&bearer, &none));
    for (size_t i = 0; i < BEARER_SECRET_SIZE - 1; i++) {
        other = bearer;
        other.secret[i] = other.secret[i] == 'a' ? 'b' : 'a';
        assert_false(bearer_fits(&other, &hash));
    }
    other = bearer;
    other.id[0] = other.id[0] == 'a' ? 'b' : 'a';
    assert_false(bearer_fits(&other, &hash));
}

static void test_knows_an_id(void **state) {
    (void)state;
    assert_true(bearer_is_id("abcdefg234"));
    static const char *const bad[] = {"",           "abcdefg23",  "abcdefg2345",
                                      "abcdefg23-", "ABCDEFGHIJ", "abcdefg231"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(bearer_is_id(bad[i]));
}

static void test_a_label_is_plain_and_short(void **state) {
    (void)state;
    assert_true(bearer_is_label("my laptop, \"red\"", 65));
    assert_true(bearer_is_label("four", 5));
    assert_false(bearer_is_label("fours", 5));
    static const char *const bad[] = {"", "a\nb", "\x1b[2J", "\x7f", "\xe4\xb8\xbb"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(bearer_is_label(bad[i], 65));
}

static void test_wipes_itself(void **state) {
    (void)state;
    Bearer bearer = made();
    static const Bearer none;
    bearer_wipe(&bearer);
    assert_memory_equal(&bearer, &none, sizeof none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back_what_it_writes),
        cmocka_unit_test(test_says_what_stands_behind),
        cmocka_unit_test(test_refuses_what_is_cut_or_has_other_letters),
        cmocka_unit_test(test_fits_its_own_hash_alone),
        cmocka_unit_test(test_knows_an_id),
        cmocka_unit_test(test_a_label_is_plain_and_short),
        cmocka_unit_test(test_wipes_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
