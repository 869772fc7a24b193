/* What a host does with orders, without an engine. */
#include "base/json.h"
#include "support/sample_host.h"

static void test_a_package_that_was_exchanged_is_not_installed(void **state) {
    const TestFolder *folder = *state;
    Error failure = {0};
    sample_pack_version(folder, "1.0", true);
    SampleHost host = sample_host(folder, "C1", "1.0", NULL);
    sample_write_at(folder, "tree-1.0/more", "signed as well, but of no change");
    sample_pack_tree(folder, "1.0", NULL);
    sample_host_open(&host);
    assert_int_equal(sample_host_order(&host, ORDER_PREPARE, &failure), -1);
    assert_int_equal(failure.kind, ERROR_REFUSED);
    assert_non_null(strstr(failure.en, "is not the package that this change was opened with"));
    assert_false(sample_stands(folder, "root/releases"));
    sample_host_close(&host);
}

static void test_a_damaged_release_of_that_version_is_installed_anew(void **state) {
    const TestFolder *folder = *state;
    sample_pack_version(folder, "1.0", true);
    SampleHost host = sample_host(folder, "C1", "1.0", NULL);
    sample_host_open(&host);
    sample_host_done(&host, ORDER_PREPARE);
    sample_host_close(&host);
    sample_write_at(folder, "root/releases/1.0/strange", "");
    sample_host_upgrade(folder, "C2", "1.0");
    assert_true(sample_stands(folder, "root/current/healthy"));
    assert_false(sample_stands(folder, "root/releases/1.0/strange"));
}

/* From 1.0 to 2.0, and nobody has confirmed it. */
static SampleHost switched(const TestFolder *folder) {
    sample_pack_version(folder, "1.0", true);
    sample_pack_version(folder, "2.0", true);
    sample_host_upgrade(folder, "C1", "1.0");
    SampleHost host = sample_host(folder, "C2", "2.0", NULL);
    sample_host_open(&host);
    sample_host_done(&host, ORDER_PREPARE);
    sample_host_done(&host, ORDER_SWITCH);
    return host;
}

/* Stopped, and then the old release is not there: nobody may start the new one over data that is put back. */
static void test_a_version_whose_rollback_failed_half_way_is_not_one_to_be_watched(void **state) {
    const TestFolder *folder = *state;
    Error failure = {0};
    SampleHost host = switched(folder);
    assert_true(host_is_switched(host.host));
    assert_int_equal(renameat(folder->fd, "root/releases/1.0", folder->fd, "away"), 0);
    assert_int_equal(sample_host_order(&host, ORDER_ROLLBACK, &failure), -1);
    assert_non_null(strstr(failure.en, "is not there to be activated"));
    assert_false(host_is_switched(host.host));
    assert_false(host_is_settled(host.host));
    assert_int_equal(renameat(folder->fd, "away", folder->fd, "root/releases/1.0"), 0);
    sample_host_done(&host, ORDER_ROLLBACK);
    assert_true(host_is_settled(host.host));
    sample_host_close(&host);
}

/* It was on its way when the rollback began. */
static void test_a_version_whose_rollback_failed_half_way_is_not_confirmed(void **state) {
    const TestFolder *folder = *state;
    static const OrderKind late[] = {ORDER_CONFIRM, ORDER_COMMIT};
    SampleHost host = switched(folder);
    assert_int_equal(renameat(folder->fd, "root/releases/1.0", folder->fd, "away"), 0);
    assert_int_equal(sample_host_order(&host, ORDER_ROLLBACK, NULL), -1);
    for (size_t i = 0; i < 2; i++) {
        Error failure = {0};
        assert_int_equal(sample_host_order(&host, late[i], &failure), -1);
        assert_non_null(strstr(failure.en, "its rollback has begun"));
    }
    assert_int_equal(renameat(folder->fd, "away", folder->fd, "root/releases/1.0"), 0);
    sample_host_done(&host, ORDER_ROLLBACK);
    sample_host_close(&host);
}

static void test_what_rolled_back_by_itself_is_not_switched_again(void **state) {
    const TestFolder *folder = *state;
    Error failure = {0};
    SampleHost host = switched(folder);
    assert_done(host_roll_back_by_itself(host.host, error));
    assert_true(host_rolled_back_by_itself(host.host));
    static const OrderKind late[] = {ORDER_SWITCH, ORDER_CONFIRM, ORDER_COMMIT};
    for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
        assert_int_equal(sample_host_order(&host, late[i], &failure), -1);
        assert_int_equal(failure.kind, ERROR_FAILED);
    }
    assert_true(host_is_settled(host.host));
    assert_false(sample_stands(folder, "root/releases/2.0"));
    sample_host_close(&host);
}

/* ---- hooks */

static void note_output(void *context, json_t *event) {
    const json_t *detail = json_object_get(event, "detail");
    const char *output = json_get_text(detail, "output", NULL);
    if (output) snprintf(context, 256, "%s", output);
    json_decref(event);
}

/* The service's user, no way to more rights, no more memory than helpers have. */
static void test_a_hook_has_the_rights_of_the_services_user(void **state) {
    const TestFolder *folder = *state;
    if (geteuid() != 0) TEST_SKIP("needs root to become another user");
    const char *run[] = {"sh", "-c",
                         "id -un; id -Gn; grep NoNewPrivs /proc/self/status; ulimit -d; ulimit -c"};
    ManifestHook hook = {.run = {run, 3}, .timeout_ms = 60000};
    char output[256] = "";
    assert_int_equal(fchmod(folder->fd, 0711), 0); /* it is run in its release */
    sample_pack_version(folder, "1.0", true);
    sample_pack_tree(folder, "1.0", &(ManifestHooks){.prepare = &hook});
    SampleHost host = sample_host(folder, "C1", "1.0", NULL);
    host.plan->service.user = "nobody";
    host.spec.say = (HostSay){.event = note_output, .context = output};
    sample_host_open(&host);
    sample_host_done(&host, ORDER_PREPARE);
    assert_string_equal(output, "nobody\nnogroup\nNoNewPrivs:\t1\n4194304\n0\n");
    sample_host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_package_that_was_exchanged_is_not_installed),
        test_in_folder(test_a_damaged_release_of_that_version_is_installed_anew),
        test_in_folder(test_a_version_whose_rollback_failed_half_way_is_not_one_to_be_watched),
        test_in_folder(test_a_version_whose_rollback_failed_half_way_is_not_confirmed),
        test_in_folder(test_what_rolled_back_by_itself_is_not_switched_again),
        test_in_folder(test_a_hook_has_the_rights_of_the_services_user),
    };
    return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
