#include "host/restore_point/digest_list.h"
#include "support/test.h"

static Digest number(uint32_t value) { return digest_of(&value, sizeof value); }

static void test_finds_what_was_added_and_nothing_else(void **state) {
    (void)state;
    DIGEST_LIST_AUTO list = {0};
    for (uint32_t i = 0; i < 1000; i++) {
        Digest digest = number(i);
        digest_list_add(&list, &digest);
    }
    digest_list_settle(&list);
    for (uint32_t i = 0; i < 2000; i++) {
        Digest digest = number(i);
        assert_int_equal(digest_list_has(&list, &digest), i < 1000);
    }
}

static void test_keeps_each_once_however_often_it_is_settled(void **state) {
    (void)state;
    DIGEST_LIST_AUTO list = {0};
    Digest one = number(1), two = number(2);
    digest_list_add(&list, &one);
    digest_list_add(&list, &one);
    digest_list_settle(&list);
    assert_int_equal(list.count, 1);
    digest_list_add(&list, &two);
    digest_list_add(&list, &one);
    digest_list_settle(&list);
    assert_int_equal(list.count, 2);
    assert_true(digest_list_has(&list, &one) && digest_list_has(&list, &two));
}

static void test_an_empty_list_has_nothing(void **state) {
    (void)state;
    DIGEST_LIST_AUTO list = {0};
    Digest one = number(1);
    digest_list_settle(&list);
    assert_false(digest_list_has(&list, &one));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_added_and_nothing_else),
        cmocka_unit_test(test_keeps_each_once_however_often_it_is_settled),
        cmocka_unit_test(test_an_empty_list_has_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
