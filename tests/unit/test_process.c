#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "support/test.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static ProcessResult run(const ProcessSpec *spec) {
    ProcessResult result = {0};
    Error error = {0};
    if (process_run(spec, &result, &error) < 0) fail_msg("%s", error.en);
    return result;
}

static ProcessResult run_shell(const char *script, int64_t timeout_ms) {
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    return run(&(ProcessSpec){.argv = argv, .timeout_ms = timeout_ms, .output_max = 65536});
}

static void check_shell(const char *script, int status, const char *output) {
    ProcessResult result = run_shell(script, 20000);
    assert_string_equal(buffer_text(&result.output), output);
    assert_int_equal(result.exit_status, status);
    assert_false(result.timed_out);
    buffer_free(&result.output);
}

static void test_gives_status_and_both_outputs(void **state) {
    (void)state;
    check_shell("echo out; echo err >&2; exit 7", 7, "out\nerr\n");
    check_shell("kill -9 $$", 128 + 9, "");
    check_shell(":", 0, "");
}

static void test_children_have_no_terminal_of_ours(void **state) {
    (void)state;
    check_shell("read pid name state parent group session rest </proc/$$/stat; test $session = $$", 0, "");
}

static void test_children_start_clean(void **state) {
    (void)state;
    FD_AUTO leaked = open("/dev/null", O_RDONLY); /* deliberately without O_CLOEXEC */
    assert_true(leaked > 2);
    signal(SIGPIPE, SIG_IGN);
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    check_shell("read line; echo \"$? [$line]\"", 0, "1 []\n");
    check_shell("exec ls /proc/self/fd | wc -l", 0, "4\n"); /* 0, 1, 2, and the listing's own */
    check_shell("grep -E '^Sig(Blk|Ign)' /proc/self/status", 0,
                "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    check_shell("ps -o pgid= -p $$ | tr -d ' ' | grep -qx $$", 0, "");
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, SIG_DFL);
}

static void test_gets_exactly_the_environment_given(void **state) {
    (void)state;
    setenv("UPKEEP_SECRET", "x", 1);
    const char *argv[] = {"/usr/bin/env", NULL}, *env[] = {"A=1", "B=two words", NULL};
    ProcessResult result = run(&(ProcessSpec){.argv = argv, .env = env, .output_max = 1000});
    assert_string_equal(buffer_text(&result.output), "A=1\nB=two words\n");
    buffer_free(&result.output);
    result = run(&(ProcessSpec){.argv = argv, .output_max = 1000});
    assert_null(strstr(buffer_text(&result.output), "UPKEEP_SECRET"));
    assert_non_null(strstr(buffer_text(&result.output), "PATH="));
    buffer_free(&result.output);
}

static void test_looks_for_programs_in_the_path_given(void **state) {
    TestFolder *folder = *state;
    static const char script[] = "#!/bin/sh\necho found\n";
    assert_int_equal(file_replace(folder->fd, "only-here", script, strlen(script), 0755, NULL), 0);
    char path[100];
    snprintf(path, sizeof path, "PATH=%s", folder->path);
    const char *argv[] = {"only-here", NULL}, *env[] = {path, NULL};
    ProcessResult result = run(&(ProcessSpec){.argv = argv, .env = env, .output_max = 1000});
    assert_string_equal(buffer_text(&result.output), "found\n");
    buffer_free(&result.output);
}

static void test_runs_in_the_folder_given(void **state) {
    TestFolder *folder = *state;
    const char *argv[] = {"/bin/pwd", NULL};
    ProcessResult result = run(&(ProcessSpec){.argv = argv, .directory = folder->path, .output_max = 1000});
    assert_int_equal(strncmp(buffer_text(&result.output), folder->path, strlen(folder->path)), 0);
    buffer_free(&result.output);
}

static void test_says_why_a_program_cannot_start(void **state) {
    (void)state;
    const char *argv[] = {"/no/such/program", NULL}, *fine[] = {"/bin/true", NULL};
    ProcessResult result = {.exit_status = 77};
    Error error = {0};
    assert_int_equal(process_run(&(ProcessSpec){.argv = argv}, &result, &error), -1);
    assert_int_equal(error.number, ENOENT);
    assert_non_null(strstr(error.en, "/no/such/program"));
    assert_int_equal(process_run(&(ProcessSpec){.argv = fine, .directory = "/no/such"}, &result, &error), -1);
    assert_int_equal(process_run(&(ProcessSpec){.argv = fine, .user = "no-such-user"}, &result, &error), -1);
    assert_non_null(strstr(error.en, "no-such-user"));
    assert_int_equal(result.exit_status, 77);
}

static void test_ends_the_whole_group_at_the_deadline(void **state) {
    (void)state;
    ProcessResult result = run_shell("trap '' TERM; sleep 60 & echo $!; wait", 300);
    assert_true(result.timed_out);
    assert_int_equal(result.exit_status, 128 + SIGKILL);
    pid_t left = (pid_t)strtol(buffer_text(&result.output), NULL, 10);
    assert_true(left > 1);
    for (int i = 0; i < 200 && process_start_ticks(left); i++) clock_sleep_ms(10);
    assert_int_equal(process_start_ticks(left), 0);
    buffer_free(&result.output);
}

static void test_a_helper_gets_no_more_memory_than_it_may_have(void **state) {
    (void)state;
    const char *argv[] = {"/bin/sh", "-c", "ulimit -d; ulimit -c", NULL};
    ProcessResult result;
    assert_int_equal(
        process_run(&(ProcessSpec){.argv = argv, .output_max = 100, .memory_max = 64 << 20}, &result, NULL),
        0);
    assert_string_equal(buffer_text(&result.output), "65536\n0\n");
    buffer_free(&result.output);
}

static void *cancel_soon(void *cancel) {
    clock_sleep_ms(100);
    atomic_store((atomic_bool *)cancel, true);
    return NULL;
}

static void test_ends_when_cancelled(void **state) {
    (void)state;
    atomic_bool cancel = false;
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, &cancel);
    const char *argv[] = {"/bin/sleep", "60", NULL};
    ProcessResult result = run(&(ProcessSpec){.argv = argv, .cancel = &cancel});
    assert_int_equal(result.exit_status, 128 + SIGKILL);
    pthread_join(thread, NULL);
    buffer_free(&result.output);
}

static void test_does_not_wait_for_what_a_program_leaves_behind(void **state) {
    (void)state;
    ProcessResult result = run_shell("sleep 30 & echo $!", 20000);
    assert_int_equal(result.exit_status, 0);
    assert_false(result.timed_out);
    assert_true(result.duration_ms < 15000);
    pid_t left = (pid_t)strtol(buffer_text(&result.output), NULL, 10);
    assert_true(left > 1);
    kill(left, SIGKILL);
    buffer_free(&result.output);
}

static void test_keeps_a_bounded_output_and_reads_on(void **state) {
    (void)state;
    const char *argv[] = {"/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo; exit 3", NULL};
    ProcessResult result = run(&(ProcessSpec){.argv = argv, .timeout_ms = 20000, .output_max = 5000});
    assert_int_equal(result.output.size, 5000);
    assert_int_equal(result.exit_status, 3);
    buffer_free(&result.output);
}

static void test_runs_as_another_user(void **state) {
    (void)state;
    if (geteuid() != 0) TEST_SKIP("needs root to become another user");
    const char *argv[] = {"/bin/sh", "-c", "id -un; id -Gn; grep NoNewPrivs /proc/self/status; echo $HOME",
                          NULL};
    ProcessResult result = run(&(ProcessSpec){.argv = argv, .user = "nobody", .output_max = 1000});
    assert_string_equal(buffer_text(&result.output), "nobody\nnogroup\nNoNewPrivs:\t1\n/nonexistent\n");
    buffer_free(&result.output);
}

static void test_extra_environment_wins(void **state) {
    (void)state;
    char **env = process_env(NULL, (const char *const[]){"HOME=/over", "X=1", "X=2", NULL}, NULL);
    assert_non_null(env);
    int homes = 0, xs = 0;
    for (size_t i = 0; env[i]; i++) {
        if (strncmp(env[i], "HOME=", 5) == 0 && strcmp(env[i], "HOME=/over") == 0) homes++;
        if (strncmp(env[i], "X=", 2) == 0 && strcmp(env[i], "X=2") == 0) xs++;
    }
    assert_int_equal(homes, 1);
    assert_int_equal(xs, 1);
    process_env_free(env);
    process_env_free(NULL);
}

static void test_start_ticks_name_a_living_process(void **state) {
    (void)state;
    uint64_t own = process_start_ticks(getpid());
    assert_true(own > 0);
    assert_int_equal(process_start_ticks(getpid()), own);
    assert_int_equal(process_start_ticks(0x7FFFFFFF), 0);
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    assert_int_equal(process_start_ticks(pid), 0); /* a zombie */
    waitpid(pid, NULL, 0);
}

static void test_boot_id_is_one(void **state) {
    (void)state;
    char id[37];
    assert_int_equal(process_boot_id(id, NULL), 0);
    assert_int_equal(strlen(id), 36);
    assert_int_equal(strspn(id, "0123456789abcdef-"), 36);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_status_and_both_outputs),
        cmocka_unit_test(test_children_have_no_terminal_of_ours),
        cmocka_unit_test(test_children_start_clean),
        cmocka_unit_test(test_gets_exactly_the_environment_given),
        test_in_folder(test_looks_for_programs_in_the_path_given),
        test_in_folder(test_runs_in_the_folder_given),
        cmocka_unit_test(test_says_why_a_program_cannot_start),
        cmocka_unit_test(test_ends_the_whole_group_at_the_deadline),
        cmocka_unit_test(test_ends_when_cancelled),
        cmocka_unit_test(test_a_helper_gets_no_more_memory_than_it_may_have),
        cmocka_unit_test(test_does_not_wait_for_what_a_program_leaves_behind),
        cmocka_unit_test(test_keeps_a_bounded_output_and_reads_on),
        cmocka_unit_test(test_runs_as_another_user),
        cmocka_unit_test(test_extra_environment_wins),
        cmocka_unit_test(test_start_ticks_name_a_living_process),
        cmocka_unit_test(test_boot_id_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
