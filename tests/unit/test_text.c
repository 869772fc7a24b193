#include "base/text.h"
#include "base/text_catalogue.h"
#include "support/test.h"
#include <string.h>

static void test_catalogue_is_sorted_for_its_search(void **state) {
    (void)state;
    for (size_t i = 0; i + 1 < text_catalogue_count; i++)
        assert_true(strcmp(text_catalogue[i].en, text_catalogue[i + 1].en) < 0);
}

static void test_finds_every_entry(void **state) {
    (void)state;
    for (size_t i = 0; i < text_catalogue_count; i++) {
        assert_ptr_equal(text_in(LANGUAGE_ZH, text_catalogue[i].en), text_catalogue[i].zh);
        assert_ptr_equal(text_in(LANGUAGE_EN, text_catalogue[i].en), text_catalogue[i].en);
    }
}

static void test_what_nobody_translated_stays_english(void **state) {
    (void)state;
    assert_string_equal(text_in(LANGUAGE_ZH, "no such message, ever"), "no such message, ever");
    assert_string_equal(text_in(LANGUAGE_ZH, ""), "");
}

static Language with(const char *all, const char *messages, const char *lang) {
    const char *names[] = {"LC_ALL", "LC_MESSAGES", "LANG"}, *values[] = {all, messages, lang};
    for (size_t i = 0; i < 3; i++) {
        if (values[i])
            setenv(names[i], values[i], 1);
        else
            unsetenv(names[i]);
    }
    return text_language_of_environment();
}

static void test_the_locale_chooses(void **state) {
    (void)state;
    assert_int_equal(with(NULL, NULL, NULL), LANGUAGE_EN);
    assert_int_equal(with(NULL, NULL, "zh_CN.UTF-8"), LANGUAGE_ZH);
    assert_int_equal(with(NULL, "zh_TW", "en_US.UTF-8"), LANGUAGE_ZH);
    assert_int_equal(with("C", "zh_CN", "zh_CN"), LANGUAGE_EN);
    assert_int_equal(with("", "", "zh"), LANGUAGE_ZH);
    assert_int_equal(with("", "", ""), LANGUAGE_EN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_catalogue_is_sorted_for_its_search),
        cmocka_unit_test(test_finds_every_entry),
        cmocka_unit_test(test_what_nobody_translated_stays_english),
        cmocka_unit_test(test_the_locale_chooses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
