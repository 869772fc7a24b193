/* The guard of a host: this program is one as well, when it is called as one. */
#include "host/guard.h"
#include "host/guard_keep.h"
#include "host/host_lock.h"
#include "host/release.h"
#include "support/sample_host.h"
#include <pthread.h>
#include <sys/file.h>

/* The command line of the folder's guard. */
static const char *const *guard_of(const TestFolder *folder, char root[static SAMPLE_PATH_SIZE],
                                   const char *argv[static 4]) {
    sample_path(folder, "root", root);
    argv[0] = "/proc/self/exe", argv[1] = "guard", argv[2] = root, argv[3] = NULL;
    return argv;
}

/* Until nobody guards the host any more. */
static void await_guard(const TestFolder *folder) {
    FD_AUTO lock = openat(folder->fd, "root/.upkeep/guard.lock", O_RDWR | O_CLOEXEC);
    if (lock >= 0) assert_int_equal(flock(lock, LOCK_EX), 0);
}

static void expect_current(const TestFolder *folder, const char *version) {
    char current[RELEASE_VERSION_SIZE];
    FD_AUTO root = openat(folder->fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_done(release_current(root, current, error));
    assert_string_equal(current, version);
}

/* Version 2.0 is there beside 1.0, which runs. */
static void prepare_upgrade(const TestFolder *folder) {
    sample_pack_version(folder, "1.0", true);
    sample_pack_version(folder, "2.0", true);
    sample_host_upgrade(folder, "C1", "1.0");
}

static void expect_put_back(const TestFolder *folder, bool put_back) {
    ARENA_AUTO arena = arena_new();
    Ledger ledger = sample_host_ledger(folder, arena);
    assert_int_equal(ledger.rolled_back, put_back);
    assert_int_equal(ledger.by_itself, put_back);
    ledger_free(&ledger);
    expect_current(folder, put_back ? "1.0" : "2.0");
    assert_true(sample_stands(folder, "root/running"));
}

static void test_an_unconfirmed_switch_is_put_back_though_nobody_is_left(void **state) {
    const TestFolder *folder = *state;
    char root[SAMPLE_PATH_SIZE];
    const char *argv[4];
    prepare_upgrade(folder);
    SampleHost host = sample_host(folder, "C2", "2.0", guard_of(folder, root, argv));
    host.plan->rollout.confirm_deadline_ms = 2500; /* its health deadline is 2 s */
    sample_host_open(&host);
    sample_host_done(&host, ORDER_PREPARE);
    sample_host_done(&host, ORDER_SWITCH);
    assert_true(host_is_armed(host.host));
    sample_host_close(&host);
    await_guard(folder);
    expect_put_back(folder, true);
}

static void test_a_confirmed_one_is_left_alone(void **state) {
    const TestFolder *folder = *state;
    char root[SAMPLE_PATH_SIZE];
    const char *argv[4];
    prepare_upgrade(folder);
    SampleHost host = sample_host(folder, "C2", "2.0", guard_of(folder, root, argv));
    sample_host_open(&host);
    sample_host_done(&host, ORDER_PREPARE);
    sample_host_done(&host, ORDER_SWITCH);
    sample_host_done(&host, ORDER_CONFIRM);
    sample_host_close(&host);
    await_guard(folder);
    expect_put_back(folder, false);
}

/* As if it had been switched just now, and its guard had gone with the machine it was on. */
static void switch_unguarded(SampleHost *host, int64_t confirm_by_ms) {
    ARENA_AUTO arena = arena_new();
    FD_AUTO upkeep = sample_host_upkeep(host->folder);
    Ledger ledger;
    sample_host_open(host);
    sample_host_done(host, ORDER_PREPARE);
    sample_host_done(host, ORDER_SWITCH);
    assert_false(host_is_armed(host->host));
    sample_host_shut(host);
    assert_done(ledger_load(arena, upkeep, &ledger, error));
    ledger.confirm_by_ms = confirm_by_ms;
    assert_done(ledger_save(&ledger, error));
    ledger_free(&ledger);
}

static void test_who_opens_a_switched_host_wakes_its_guard(void **state) {
    const TestFolder *folder = *state;
    char root[SAMPLE_PATH_SIZE];
    const char *argv[4];
    prepare_upgrade(folder);
    SampleHost host = sample_host(folder, "C2", "2.0", NULL);
    switch_unguarded(&host, 1); /* long ago */
    host.spec.guard = guard_of(folder, root, argv);
    sample_host_open(&host);
    sample_host_close(&host);
    await_guard(folder);
    expect_put_back(folder, true);
}

static void test_a_guard_has_nothing_to_do_where_nothing_is_armed(void **state) {
    char root[SAMPLE_PATH_SIZE], upkeep[SAMPLE_PATH_SIZE];
    sample_path(*state, "root", root);
    sample_path(*state, "root/.upkeep", upkeep);
    assert_int_equal(mkdir(root, 0755), 0);
    assert_int_equal(mkdir(upkeep, 0700), 0);
    assert_done(guard_keep(root, error));
}

static void *keep_guard(void *root) {
    Error error = {0};
    guard_keep(root, &error);
    return NULL;
}

/* A guard finds the deadline over and somebody at it, for so long. Does that one confirm before it leaves? */
static void guard_beside_another(const TestFolder *folder, bool confirms, int held_ms) {
    ARENA_AUTO arena = arena_new();
    Ledger ledger;
    char root[SAMPLE_PATH_SIZE];
    pthread_t guard;
    int lock = -1;
    prepare_upgrade(folder);
    SampleHost host = sample_host(folder, "C2", "2.0", NULL);
    switch_unguarded(&host, 1);
    sample_host_close(&host);
    sample_path(folder, "root", root);
    FD_AUTO upkeep = sample_host_upkeep(folder);
    assert_done(ledger_load(arena, upkeep, &ledger, error));
    assert_done(host_lock_take(upkeep, root, "C2", &lock, error));
    assert_int_equal(pthread_create(&guard, NULL, keep_guard, root), 0);
    usleep((useconds_t)held_ms * 1000);
    ledger.confirmed = confirms;
    assert_done(ledger_save(&ledger, error));
    close(lock);
    pthread_join(guard, NULL);
    ledger_free(&ledger);
    expect_put_back(folder, !confirms);
}

/* Longer than anybody waits for the lock: it is refused, and comes again. */
static void test_a_guard_waits_for_whoever_is_at_it(void **state) {
    guard_beside_another(*state, false, 1200);
}

/* It waits for the lock meanwhile. */
static void test_a_guard_looks_once_more_when_it_has_the_lock(void **state) {
    guard_beside_another(*state, true, 200);
}

static void test_a_guard_that_does_not_wake_is_an_error(void **state) {
    const TestFolder *folder = *state;
    static const char *const nobody[] = {"/bin/false", NULL};
    Error error = {0};
    assert_int_equal(guard_ensure(folder->fd, nobody, &error), -1);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_an_unconfirmed_switch_is_put_back_though_nobody_is_left),
        test_in_folder(test_a_confirmed_one_is_left_alone),
        test_in_folder(test_who_opens_a_switched_host_wakes_its_guard),
        test_in_folder(test_a_guard_has_nothing_to_do_where_nothing_is_armed),
        test_in_folder(test_a_guard_waits_for_whoever_is_at_it),
        test_in_folder(test_a_guard_looks_once_more_when_it_has_the_lock),
        test_in_folder(test_a_guard_that_does_not_wake_is_an_error),
    };
    Error error = {0};
    if (argc == 3 && strcmp(argv[1], "guard") == 0) return guard_keep(argv[2], &error) < 0;
    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
