#include "package/progress.h"
#include "support/sample.h"

typedef struct Told {
    uint64_t done, total, calls;
} Told;

static void tell(void *context, uint64_t done, uint64_t total) {
    Told *told = context;
    *told = (Told){done, total, told->calls + 1};
}

static void test_tells_seldom_and_at_the_end(void **state) {
    (void)state;
    Told told = {0, 0, 0};
    ProgressWish wish = {.progress = tell, .context = &told};
    Progress progress;
    progress_begin(&progress, &wish, 1000000);
    for (int i = 0; i < 1000000; i++) assert_done(progress_add(&progress, 1, error));
    assert_true(told.calls < 100000);
    progress_end(&progress);
    assert_int_equal(told.done, 1000000);
    assert_int_equal(told.total, 1000000);
}

static void test_stops_when_cancelled(void **state) {
    (void)state;
    atomic_bool cancel = false;
    ProgressWish wish = {.cancel = &cancel};
    Progress progress;
    progress_begin(&progress, &wish, 10);
    assert_done(progress_add(&progress, 1, error));
    atomic_store(&cancel, true);
    assert_refused(progress_add(&progress, 1, error), ERROR_INTERRUPTED, "stopped on request");
}

static void test_asks_for_nothing_by_default(void **state) {
    (void)state;
    Progress progress;
    progress_begin(&progress, NULL, 10);
    assert_done(progress_add(&progress, 10, error));
    progress_end(&progress);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tells_seldom_and_at_the_end),
        cmocka_unit_test(test_stops_when_cancelled),
        cmocka_unit_test(test_asks_for_nothing_by_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
