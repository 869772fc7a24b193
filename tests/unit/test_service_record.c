#include "host/service/service.h"
#include "host/service/service_record.h"
#include "support/test.h"
#include <string.h>

static ServiceRecord sample(void) {
    ServiceRecord record = {.pid = 4711,
                            .start_ticks = 123456789012,
                            .token = "0123456789abcdef",
                            .started_ms = 1700000000123,
                            .exit_status = SERVICE_EXIT_UNKNOWN};
    snprintf(record.boot, sizeof record.boot, "c0ffee00-0000-4000-8000-000000000000");
    memset(record.digest, 'a', sizeof record.digest - 1);
    return record;
}

static void test_what_is_saved_is_loaded(void **state) {
    const TestFolder *folder = *state;
    ServiceRecord saved = sample(), loaded = {0};
    assert_int_equal(service_record_load(folder->fd, &loaded, NULL), 0);
    assert_int_equal(service_record_save(folder->fd, &saved, NULL), 0);
    assert_int_equal(service_record_load(folder->fd, &loaded, NULL), 1);
    assert_memory_equal(&loaded, &saved, sizeof saved);
    saved.exit_status = 0;
    saved.ended_ms = 5;
    assert_int_equal(service_record_save(folder->fd, &saved, NULL), 0);
    assert_int_equal(service_record_load(folder->fd, &loaded, NULL), 1);
    assert_memory_equal(&loaded, &saved, sizeof saved);
}

static void test_only_we_may_read_it(void **state) {
    const TestFolder *folder = *state;
    struct stat status;
    ServiceRecord record = sample();
    assert_int_equal(service_record_save(folder->fd, &record, NULL), 0);
    assert_int_equal(fstatat(folder->fd, "service.pid", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void test_removing_twice_is_success(void **state) {
    const TestFolder *folder = *state;
    ServiceRecord record = sample();
    assert_int_equal(service_record_save(folder->fd, &record, NULL), 0);
    assert_int_equal(service_record_remove(folder->fd, NULL), 0);
    assert_int_equal(service_record_remove(folder->fd, NULL), 0);
    assert_int_equal(service_record_load(folder->fd, &record, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_what_is_saved_is_loaded),
        test_in_folder(test_only_we_may_read_it),
        test_in_folder(test_removing_twice_is_success),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
