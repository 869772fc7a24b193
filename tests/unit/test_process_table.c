#include "base/clock.h"
#include "base/process.h"
#include "base/process_table.h"
#include "support/test.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static pid_t start(const char *entry) {
    char *const argv[] = {(char *)"sleep", (char *)"1000", NULL};
    char *const env[] = {(char *)entry, NULL};
    int ready[2];
    char byte;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        execve("/bin/sleep", argv, env);
        _exit(127);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 0); /* closed by exec */
    close(ready[0]);
    return pid;
}

static void end(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void test_reads_a_process_whatever_its_name(void **state) {
    (void)state;
    ProcessEntry entry;
    prctl(PR_SET_NAME, ") Z 1 (x) ");
    assert_true(process_entry_read(getpid(), &entry));
    assert_int_equal(entry.pid, getpid());
    assert_int_equal(entry.parent, getppid());
    assert_int_equal(entry.session, getsid(0));
    assert_int_equal(entry.state, 'R');
    assert_int_equal(entry.start_ticks, process_start_ticks(getpid()));
}

static void test_zombies_are_there_but_not_alive(void **state) {
    (void)state;
    ProcessEntry entry = {0};
    pid_t pid = start("A=1");
    kill(pid, SIGKILL);
    for (int i = 0; i < 2000 && entry.state != 'Z'; i++, clock_sleep_ms(5))
        assert_true(process_entry_read(pid, &entry));
    assert_false(process_entry_alive(&entry));
    PROCESS_TABLE_AUTO table = {0};
    assert_int_equal(process_table_read(&table, NULL), 0);
    assert_null(process_table_find(&table, pid));
    assert_non_null(process_table_find(&table, getpid()));
    waitpid(pid, NULL, 0);
    assert_false(process_entry_read(pid, &entry));
}

static void test_tells_what_stands_in_an_environment(void **state) {
    (void)state;
    pid_t pid = start("KEY=value");
    assert_int_equal(process_entry_environment(pid, "KEY=value"), PROCESS_ENV_YES);
    assert_int_equal(process_entry_environment(pid, "KEY=val"), PROCESS_ENV_NO);
    assert_int_equal(process_entry_environment(pid, "EY=value"), PROCESS_ENV_NO);
    end(pid);
    assert_int_equal(process_entry_environment(pid, "KEY=value"), PROCESS_ENV_UNKNOWN);
}

static void test_signals_that_very_process_only(void **state) {
    (void)state;
    ProcessEntry entry, later;
    pid_t pid = start("A=1");
    assert_true(process_entry_read(pid, &entry));
    later = entry;
    later.start_ticks++; /* as if the pid had been given away */
    assert_false(process_entry_signal(&later, SIGKILL));
    assert_true(process_start_ticks(pid) > 0);
    assert_true(process_entry_signal(&entry, SIGKILL));
    waitpid(pid, NULL, 0);
    assert_false(process_entry_signal(&entry, SIGKILL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_a_process_whatever_its_name),
        cmocka_unit_test(test_zombies_are_there_but_not_alive),
        cmocka_unit_test(test_tells_what_stands_in_an_environment),
        cmocka_unit_test(test_signals_that_very_process_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
