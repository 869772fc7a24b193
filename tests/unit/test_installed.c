#include "base/cleanup.h"
#include "base/file.h"
#include "host/host_lock.h"
#include "host/installed.h"
#include "host/ledger.h"
#include "support/test.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>

static const char plan_text[] =
    "upkeep: 1\n"
    "service: {name: s, root: /srv/s, run: {process: {command: [sleep, \"100\"]}}}\n"
    "package: {file: s.upk, trust: [a.pub]}\n"
    "hosts: [{name: a}]\n"
    "health: [{tcp: {address: \"h:1\"}}]\n";

/* The release 1.0, as an upgrade leaves it — but stopped. */
static void install(const TestFolder *folder) {
    Arena *arena = arena_new();
    TREE_AUTO tree = NULL;
    FD_AUTO dir = -1;
    Error error = {0};
    Release release = {.version = "1.0", .installed_ms = 1, .change = "C"};
    if (plan_compile(arena, "p", "/", plan_text, strlen(plan_text), &release.plan, &error) < 0 ||
        release_stage_begin(folder->fd, "1.0", &dir, &error) < 0 || tree_scan(dir, NULL, &tree, &error) < 0 ||
        release_remember(folder->fd, &release, tree, &error) < 0 ||
        release_stage_end(folder->fd, "1.0", &error) < 0 || release_activate(folder->fd, "1.0", &error) < 0)
        fail_msg("%s", error.en);
    arena_free(arena);
}

static int open_upkeep(const TestFolder *folder) {
    int upkeep = openat(folder->fd, ".upkeep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(upkeep >= 0);
    return upkeep;
}

static ServiceState state_after(const TestFolder *folder, InstalledAction action) {
    Installed found;
    Error error = {0};
    if (installed_act(folder->path, action, &found, &error) < 0) fail_msg("%s", error.en);
    assert_string_equal(found.version, "1.0");
    return found.status.state;
}

static void test_what_was_stopped_is_started_and_stopped_again(void **state) {
    const TestFolder *folder = *state;
    install(folder);
    assert_int_equal(state_after(folder, INSTALLED_LOOK), SERVICE_STOPPED);
    assert_int_equal(state_after(folder, INSTALLED_START), SERVICE_RUNNING);
    assert_int_equal(state_after(folder, INSTALLED_LOOK), SERVICE_RUNNING);
    assert_int_equal(state_after(folder, INSTALLED_STOP), SERVICE_STOPPED);
}

static void test_a_folder_without_a_release_is_refused(void **state) {
    const TestFolder *folder = *state;
    Error error = {0};
    assert_int_equal(installed_act(folder->path, INSTALLED_START, NULL, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
}

static void test_nothing_is_started_while_an_upgrade_holds_the_lock(void **state) {
    const TestFolder *folder = *state;
    Error error = {0};
    install(folder);
    FD_AUTO upkeep = open_upkeep(folder);
    FD_AUTO lock = -1;
    assert_int_equal(host_lock_take(upkeep, folder->path, "C", &lock, NULL), 0);
    assert_int_equal(installed_act(folder->path, INSTALLED_START, NULL, &error), -1);
    assert_int_equal(error.number, EWOULDBLOCK);
    assert_int_equal(state_after(folder, INSTALLED_LOOK), SERVICE_STOPPED);
}

static void test_nothing_is_started_in_the_middle_of_a_switch_that_was_cut_off(void **state) {
    const TestFolder *folder = *state;
    Error error = {0};
    Ledger ledger;
    Arena *arena = arena_new();
    install(folder);
    FD_AUTO upkeep = open_upkeep(folder);
    assert_int_equal(ledger_load(arena, upkeep, &ledger, NULL), 0);
    ledger_begin(&ledger, "CHG-1", "1.0", "2.0");
    ledger.stopped = true;
    assert_int_equal(ledger_save(&ledger, NULL), 0);
    assert_int_equal(installed_act(folder->path, INSTALLED_START, NULL, &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_non_null(strstr(error.en, "CHG-1"));
    ledger_free(&ledger);
    arena_free(arena);
}

static void test_nothing_is_started_while_a_rollback_is_open(void **state) {
    const TestFolder *folder = *state;
    Error error = {0};
    Ledger ledger;
    Order rollback = {.id = "CHG-1/a/5", .kind = ORDER_ROLLBACK};
    Arena *arena = arena_new();
    install(folder);
    FD_AUTO upkeep = open_upkeep(folder);
    assert_int_equal(ledger_load(arena, upkeep, &ledger, NULL), 0);
    ledger_begin(&ledger, "CHG-1", "0.9", "1.0");
    ledger.stopped = ledger.switched = ledger.committed = true;
    ledger_take(&ledger, &rollback);
    assert_int_equal(ledger_save(&ledger, NULL), 0);
    assert_int_equal(installed_act(folder->path, INSTALLED_START, NULL, &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    ledger_free(&ledger);
    arena_free(arena);
}

static void *give_back(void *lock) {
    usleep(100000);
    close(*(int *)lock);
    return NULL;
}

static void test_a_lock_that_is_given_back_in_a_moment_is_waited_for(void **state) {
    const TestFolder *folder = *state;
    install(folder);
    FD_AUTO upkeep = open_upkeep(folder);
    int lock = -1, again = -1;
    pthread_t thread;
    assert_int_equal(host_lock_take(upkeep, folder->path, "C", &lock, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, give_back, &lock), 0);
    assert_int_equal(host_lock_take(upkeep, folder->path, "D", &again, NULL), 0);
    pthread_join(thread, NULL);
    close(again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_what_was_stopped_is_started_and_stopped_again),
        test_in_folder(test_a_folder_without_a_release_is_refused),
        test_in_folder(test_nothing_is_started_while_an_upgrade_holds_the_lock),
        test_in_folder(test_nothing_is_started_while_a_rollback_is_open),
        test_in_folder(test_a_lock_that_is_given_back_in_a_moment_is_waited_for),
        test_in_folder(test_nothing_is_started_in_the_middle_of_a_switch_that_was_cut_off),
    };
    return cmocka_run_group_tests_name("installed", tests, NULL, NULL);
}
