#include "base/clock.h"
#include "host/service/service_spawn.h"
#include "support/test.h"
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>

static char *const test_env[] = {(char *)"PATH=/usr/bin:/bin", NULL};
static const char *const touch[] = {"sh", "-c", "echo >executed; exec sleep 1000", NULL};

static ServiceSpawnSpec make_spec(const TestFolder *folder, const ProcessUser *user) {
    int log = openat(folder->fd, "log", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    int lock = openat(folder->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_true(log >= 0 && lock >= 0);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    return (ServiceSpawnSpec){
        .argv = touch, .env = test_env, .user = user, .directory = folder->fd, .log = log, .lock = lock};
}

static void close_spec(const ServiceSpawnSpec *spec) {
    close(spec->log);
    close(spec->lock);
}

static bool executed(const TestFolder *folder) { return faccessat(folder->fd, "executed", F_OK, 0) == 0; }

static bool lock_is_free(const TestFolder *folder) {
    int fd = openat(folder->fd, "lock", O_RDWR | O_CLOEXEC);
    bool free = flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return free;
}

static void test_held_it_does_not_execute(void **state) {
    const TestFolder *folder = *state;
    ProcessUser user;
    ServiceSpawn spawn;
    assert_int_equal(process_user_find(NULL, &user, NULL), 0);
    ServiceSpawnSpec spec = make_spec(folder, &user);
    assert_int_equal(service_spawn_hold(&spec, &spawn, NULL), 0);
    assert_true(process_start_ticks(spawn.pid) > 0);
    service_spawn_drop(&spawn);
    assert_int_equal(process_start_ticks(spawn.pid), 0);
    close_spec(&spec);
    assert_true(lock_is_free(folder));
    assert_false(executed(folder));
}

static void test_released_it_executes_and_lets_go_of_the_lock(void **state) {
    const TestFolder *folder = *state;
    ProcessUser user;
    ServiceSpawn spawn;
    assert_int_equal(process_user_find(NULL, &user, NULL), 0);
    ServiceSpawnSpec spec = make_spec(folder, &user);
    assert_int_equal(service_spawn_hold(&spec, &spawn, NULL), 0);
    assert_int_equal(service_spawn_release(&spawn, &spec, NULL), 0);
    close_spec(&spec);
    assert_true(lock_is_free(folder));
    for (int i = 0; i < 2000 && !executed(folder); i++) clock_sleep_ms(5);
    assert_true(executed(folder));
    kill(spawn.pid, SIGKILL);
    waitpid(spawn.pid, NULL, 0);
    service_spawn_drop(&spawn);
}

/* The starter holds a child — and a second one, as another host's thread would — and is killed. */
static void test_when_the_starter_is_killed_the_held_child_ends(void **state) {
    const TestFolder *folder = *state;
    ProcessUser user;
    int pids[2];
    assert_int_equal(process_user_find(NULL, &user, NULL), 0);
    assert_int_equal(pipe2(pids, O_CLOEXEC), 0);
    ServiceSpawnSpec spec = make_spec(folder, &user);
    pid_t starter = fork();
    if (starter == 0) {
        ServiceSpawn one, two;
        if (service_spawn_hold(&spec, &one, NULL) < 0 || service_spawn_hold(&spec, &two, NULL) < 0) _exit(1);
        pid_t both[2] = {one.pid, two.pid};
        if (write(pids[1], both, sizeof both) != sizeof both) _exit(1);
        pause();
        _exit(0);
    }
    pid_t both[2];
    assert_int_equal(read(pids[0], both, sizeof both), sizeof both);
    close_spec(&spec);
    assert_false(lock_is_free(folder));
    kill(starter, SIGKILL);
    waitpid(starter, NULL, 0);
    for (int i = 0; i < 2000 && !lock_is_free(folder); i++) clock_sleep_ms(5);
    assert_true(lock_is_free(folder));
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2000 && process_start_ticks(both[i]); j++) clock_sleep_ms(5);
        assert_int_equal(process_start_ticks(both[i]), 0);
    }
    assert_false(executed(folder));
    close(pids[0]);
    close(pids[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_held_it_does_not_execute),
        test_in_folder(test_released_it_executes_and_lets_go_of_the_lock),
        test_in_folder(test_when_the_starter_is_killed_the_held_child_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
