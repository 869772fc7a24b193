#include "base/json.h"
#include "host/check/facts.h"
#include "support/test.h"
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

static void test_reads_this_machine(void **state) {
    (void)state;
    Facts facts;
    struct utsname name;
    facts_read(&facts);
    assert_int_equal(uname(&name), 0);
    assert_in_range(facts.cpu_count, 1, sysconf(_SC_NPROCESSORS_CONF));
    assert_true(facts.memory_total > 0);
    assert_in_range(facts.memory_available, 1, facts.memory_total);
    assert_true(facts.memory_total <= (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
    assert_string_equal(facts.kernel, name.release);
    assert_true(strlen(facts.architecture) > 0);
    assert_true(facts.booted_ms > 0);
}

static void test_reads_os_release(void **state) {
    (void)state;
    Facts facts;
    char id[128] = "", line[256];
    FILE *file = fopen("/etc/os-release", "r");
    if (!file) TEST_SKIP("this machine has no /etc/os-release");
    while (fgets(line, sizeof line, file)) sscanf(line, "ID=%127s", id);
    fclose(file);
    facts_read(&facts);
    assert_string_equal(facts.os_id, id); /* IDs are written without quotes on every system we run on */
    assert_null(strchr(facts.os_version, '"'));
}

static void test_disk_is_that_of_the_nearest_parent(void **state) {
    const TestFolder *folder = *state;
    FactsDisk disk, same;
    char path[256];
    snprintf(path, sizeof path, "%s/not/yet/there", folder->path);
    assert_int_equal(facts_disk(path, &disk, NULL), 0);
    assert_string_equal(disk.path, folder->path);
    assert_int_equal(facts_disk(folder->path, &same, NULL), 0);
    assert_int_equal(disk.size, same.size);
    assert_true(disk.free <= disk.size);
    assert_true(disk.inodes_free <= disk.inodes);
    assert_int_equal(facts_disk("/no-such-folder/x", &disk, NULL), 0);
    assert_string_equal(disk.path, "/");
}

static void test_disk_needs_an_absolute_path(void **state) {
    (void)state;
    FactsDisk disk;
    Error error = {0};
    assert_int_equal(facts_disk("relative", &disk, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
}

static void test_json_leaves_out_what_is_unknown(void **state) {
    (void)state;
    Facts facts = {.cpu_count = 2, .os_id = "debian"};
    JSON_AUTO json = facts_to_json(&facts);
    char *text = json_text(json);
    assert_string_equal(text, "{\"cpu_count\":2,\"os_id\":\"debian\"}");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_this_machine),
        cmocka_unit_test(test_reads_os_release),
        test_in_folder(test_disk_is_that_of_the_nearest_parent),
        cmocka_unit_test(test_disk_needs_an_absolute_path),
        cmocka_unit_test(test_json_leaves_out_what_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
