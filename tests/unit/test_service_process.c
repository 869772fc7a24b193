#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/process_table.h"
#include "host/service/service.h"
#include "host/service/service_record.h"
#include "support/test.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* ---- a service made of a shell script */

typedef struct Fixture {
    const char *argv[3];
    PlanProcess process;
    PlanRun run;
    ServiceContext context;
} Fixture;

static Fixture *make(const TestFolder *folder, const char *script) {
    static Fixture fixture; /* one at a time; the pointers in it point into it */
    fixture = (Fixture){.argv = {"sh", "-c", script}};
    fixture.process = (PlanProcess){.command = {fixture.argv, 3},
                                    .stop_signal = "SIGTERM",
                                    .stop_timeout_ms = 20000,
                                    .log = "shared/log/s.log"};
    fixture.run.process = &fixture.process;
    fixture.context = (ServiceContext){.name = "s", .root = folder->path, .run = &fixture.run};
    return &fixture;
}

static void start(const Fixture *fixture) {
    Error error = {0};
    if (service_start(&fixture->context, &error) < 0) fail_msg("%s", error.en);
}

static ServiceEnd stop(const Fixture *fixture) {
    Error error = {0};
    ServiceEnd end = {0};
    if (service_stop(&fixture->context, &end, &error) < 0) fail_msg("%s", error.en);
    return end;
}

static ServiceStatus status(const Fixture *fixture) {
    Error error = {0};
    ServiceStatus now = {0};
    if (service_status(&fixture->context, &now, &error) < 0) fail_msg("%s", error.en);
    return now;
}

static Error start_fails(const Fixture *fixture) {
    Error error = {0};
    assert_int_equal(service_start(&fixture->context, &error), -1);
    return error;
}

static void check_says(const Error *error, ErrorKind kind, const char *part) {
    if (error->kind != kind || !strstr(error->en, part)) fail_msg("kind %d: %s", (int)error->kind, error->en);
}

/* ---- looking at what happened, with patience but not for ever */

static bool gone(pid_t pid) { return process_start_ticks(pid) == 0; }

/* The text of a file in the folder, once it ends with a newline. Static storage. */
static const char *read_line(const TestFolder *folder, const char *name) {
    static char text[4096];
    for (int i = 0; i < 2000; i++, clock_sleep_ms(5)) {
        int fd = openat(folder->fd, name, O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        if (fd >= 0) close(fd);
        text[got > 0 ? got : 0] = '\0';
        if (got > 0 && text[got - 1] == '\n') return text;
    }
    fail_msg("%s never had a line", name);
    return NULL;
}

static pid_t read_pid(const TestFolder *folder, const char *name) {
    return (pid_t)strtol(read_line(folder, name), NULL, 10);
}

static ServiceStatus wait_until_dead(const Fixture *fixture) {
    for (int i = 0; i < 2000; i++, clock_sleep_ms(5)) {
        ServiceStatus now = status(fixture);
        if (now.state == SERVICE_DEAD) return now;
    }
    fail_msg("still not dead");
    return (ServiceStatus){0};
}

static void check_gone(pid_t pid) {
    for (int i = 0; i < 2000 && !gone(pid); i++) clock_sleep_ms(5);
    assert_true(gone(pid));
}

static void write_text(const TestFolder *folder, const char *name, const char *text, mode_t mode) {
    int fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int upkeep_folder(const TestFolder *folder) {
    int fd = -1;
    assert_int_equal(file_open_dir_beneath(folder->fd, ".upkeep", 0755, &fd, NULL), 0);
    return fd;
}

/* ---- starting */

static void test_starts_in_a_clean_session_of_its_own(void **state) {
    const TestFolder *folder = *state;
    Fixture *fixture =
        make(folder, "echo \"$(pwd) $A $(umask) $(ls /proc/self/fd | wc -l)\" "
                     "$(grep -hE '^(NoNewPrivs|SigBlk|SigIgn)' /proc/$$/status | cut -f2) >out; "
                     "exec sleep 1000");
    Pair env[] = {{"A", "one two"}};
    fixture->process.env = (PairList){env, 1};
    signal(SIGPIPE, SIG_IGN);
    start(fixture);
    signal(SIGPIPE, SIG_DFL);
    char expected[256];
    snprintf(expected, sizeof expected, "%s one two 0022 4 0000000000000000 0000000000000000 1\n",
             folder->path);
    assert_string_equal(read_line(folder, "out"), expected);
    ServiceStatus now = status(fixture);
    assert_int_equal(now.state, SERVICE_RUNNING);
    assert_int_equal(getsid(now.pid), now.pid);
    assert_true(now.since_ms > 0);
    stop(fixture);
}

static void test_output_is_appended_to_the_log(void **state) {
    const TestFolder *folder = *state;
    Fixture *fixture = make(folder, "echo out; echo error >&2; echo >done; exec sleep 1000");
    assert_int_equal(mkdirat(folder->fd, "shared", 0755), 0);
    assert_int_equal(mkdirat(folder->fd, "shared/log", 0755), 0);
    write_text(folder, "shared/log/s.log", "before\n", 0644);
    start(fixture);
    read_line(folder, "done");
    assert_string_equal(read_line(folder, "shared/log/s.log"), "before\nout\nerror\n");
    stop(fixture);
}

static void test_started_again_it_is_the_same_process(void **state) {
    Fixture *fixture = make(*state, "exec sleep 1000");
    start(fixture);
    pid_t pid = status(fixture).pid;
    start(fixture);
    assert_int_equal(status(fixture).pid, pid);
    stop(fixture);
}

static void test_refuses_to_start_beside_another_command(void **state) {
    Fixture *fixture = make(*state, "exec sleep 1000");
    start(fixture);
    pid_t pid = status(fixture).pid;
    fixture->argv[2] = "exec sleep 2000";
    Error error = start_fails(fixture);
    check_says(&error, ERROR_ATTENTION, "another command or release");
    assert_int_equal(status(fixture).pid, pid);
    stop(fixture);
    assert_true(gone(pid));
}

static void test_refuses_to_start_beside_another_release(void **state) {
    const TestFolder *folder = *state;
    Fixture *fixture = make(folder, "exec sleep 1000");
    assert_int_equal(symlinkat("releases/1", folder->fd, "current"), 0);
    start(fixture);
    assert_int_equal(unlinkat(folder->fd, "current", 0), 0);
    assert_int_equal(symlinkat("releases/2", folder->fd, "current"), 0);
    Error error = start_fails(fixture);
    check_says(&error, ERROR_ATTENTION, "another command or release");
    stop(fixture);
}

static void test_finds_the_program_in_the_path_of_the_plan(void **state) {
    const TestFolder *folder = *state;
    Fixture *fixture = make(folder, "");
    Pair env[] = {{"PATH", "/nowhere:bin:/usr/bin:/bin"}};
    fixture->argv[0] = "my-service";
    fixture->process.env = (PairList){env, 1};
    assert_int_equal(mkdirat(folder->fd, "bin", 0755), 0);
    write_text(folder, "bin/my-service", "#!/bin/sh\necho mine >out\nexec sleep 1000\n", 0755);
    start(fixture);
    assert_string_equal(read_line(folder, "out"), "mine\n");
    stop(fixture);
}

static void test_says_why_a_program_cannot_be_run(void **state) {
    const TestFolder *folder = *state;
    Fixture *fixture = make(folder, "");
    Pair env[] = {{"PATH", "/usr/bin:/bin"}}; /* ours may name folders that we may not enter: another error */
    fixture->process.env = (PairList){env, 1};
    fixture->argv[0] = "no-such-program";
    Error error = start_fails(fixture);
    check_says(&error, ERROR_SYSTEM, "cannot start the service s: cannot run no-such-program");
    assert_int_equal(error.number, ENOENT);
    write_text(folder, "data", "text\n", 0644);
    fixture->argv[0] = "./data";
    error = start_fails(fixture);
    assert_int_equal(error.number, EACCES);
    assert_int_equal(status(fixture).state, SERVICE_STOPPED);
}

static void test_runs_as_the_user_of_the_plan(void **state) {
    const TestFolder *folder = *state;
    if (geteuid() != 0) TEST_SKIP("only root may become another user");
    Fixture *fixture = make(folder, "echo $(id -un) $(id -Gn) $HOME $USER; exec sleep 1000");
    fixture->context.user = "nobody";
    assert_int_equal(chmod(folder->path, 0755), 0);
    start(fixture);
    assert_string_equal(read_line(folder, "shared/log/s.log"), "nobody nogroup /nonexistent nobody\n");
    stop(fixture);
}

static void test_says_when_the_user_may_not_enter(void **state) {
    const TestFolder *folder = *state;
    if (geteuid() != 0) TEST_SKIP("only root may become another user");
    Fixture *fixture = make(folder, "exec sleep 1000");
    fixture->context.user = "nobody";
    Error error = start_fails(fixture);
    check_says(&error, ERROR_SYSTEM, "nobody may not enter the service's folder: Permission denied");
}

static void test_refuses_a_user_that_does_not_exist(void **state) {
    Fixture *fixture = make(*state, "exec sleep 1000");
    fixture->context.user = "no-such-user";
    Error error = start_fails(fixture);
    check_says(&error, ERROR_INVALID, "no-such-user");
}

/* ---- the log */

static void check_log_refused(const Fixture *fixture, const char *part) {
    Error error = start_fails(fixture);
    if (!strstr(error.en, "its log") || !strstr(error.en, part)) fail_msg("%s", error.en);
    assert_int_equal(status(fixture).state, SERVICE_STOPPED);
}

static void test_an_unwritable_log_is_an_error(void **state) {
    const TestFolder *folder = *state;
    Fixture *fixture = make(folder, "exec sleep 1000");
    write_text(folder, "shared", "a file where the folder should be\n", 0644);
    check_log_refused(fixture, "s.log");
    assert_int_equal(unlinkat(folder->fd, "shared", 0), 0);
    fixture->process.log = "folder.log";
    assert_int_equal(mkdirat(folder->fd, "folder.log", 0755), 0);
    check_log_refused(fixture, "Is a directory");
}

static void test_a_log_that_leads_elsewhere_is_refused(void **state) {
    const TestFolder *folder = *state;
    Fixture *fixture = make(folder, "exec sleep 1000");
    fixture->process.log = "s.log";
    assert_int_equal(symlinkat("/tmp/elsewhere", folder->fd, "s.log"), 0);
    check_log_refused(fixture, "Too many levels of symbolic links");
    assert_int_equal(unlinkat(folder->fd, "s.log", 0), 0);
    write_text(folder, "other", "", 0644);
    assert_int_equal(linkat(folder->fd, "other", folder->fd, "s.log", 0), 0);
    check_log_refused(fixture, "plain file of one name");
    assert_int_equal(unlinkat(folder->fd, "s.log", 0), 0);
    assert_int_equal(mkfifoat(folder->fd, "s.log", 0644), 0);
    check_log_refused(fixture, "s.log");
    fixture->process.log = "../s.log";
    check_log_refused(fixture, "s.log");
}

/* ---- stopping */

static void test_stops_and_says_how_it_ended(void **state) {
    Fixture *fixture = make(*state, "trap 'exit 3' TERM; echo >ready; while :; do sleep 0.01; done");
    start(fixture);
    pid_t pid = status(fixture).pid;
    read_line(*state, "ready");
    ServiceEnd end = stop(fixture);
    assert_true(end.was_running);
    assert_false(end.killed);
    assert_int_equal(end.exit_status, 3);
    assert_true(gone(pid));
    assert_int_equal(status(fixture).state, SERVICE_STOPPED);
}

static void test_stopping_what_does_not_run_is_success(void **state) {
    Fixture *fixture = make(*state, "exec sleep 1000");
    assert_false(stop(fixture).was_running);
    start(fixture);
    stop(fixture);
    assert_false(stop(fixture).was_running);
}

static void test_uses_the_signal_of_the_plan(void **state) {
    Fixture *fixture =
        make(*state, "trap 'exit 4' USR1; trap '' TERM; echo >ready; while :; do sleep 0.01; done");
    fixture->process.stop_signal = "SIGUSR1";
    start(fixture);
    read_line(*state, "ready");
    assert_int_equal(stop(fixture).exit_status, 4);
}

static void test_refuses_an_unknown_signal(void **state) {
    Fixture *fixture = make(*state, "exec sleep 1000");
    start(fixture);
    fixture->process.stop_signal = "SIGNONSENSE";
    Error error = {0};
    assert_int_equal(service_stop(&fixture->context, NULL, &error), -1);
    check_says(&error, ERROR_INVALID, "SIGNONSENSE is no signal");
    fixture->process.stop_signal = NULL;
    stop(fixture);
}

static void test_kills_what_ignores_the_signal(void **state) {
    Fixture *fixture = make(*state, "trap '' TERM; echo >ready; while :; do sleep 0.01; done");
    fixture->process.stop_timeout_ms = 100;
    start(fixture);
    pid_t pid = status(fixture).pid;
    read_line(*state, "ready");
    ServiceEnd end = stop(fixture);
    assert_true(end.killed);
    assert_int_equal(end.exit_status, 128 + SIGKILL);
    assert_true(gone(pid));
}

static void test_stops_what_was_suspended(void **state) {
    Fixture *fixture = make(*state, "exec sleep 1000");
    start(fixture);
    assert_int_equal(kill(status(fixture).pid, SIGSTOP), 0);
    ServiceEnd end = stop(fixture);
    assert_false(end.killed);
    assert_int_equal(end.exit_status, 128 + SIGTERM);
}

static void test_ends_the_children_too(void **state) {
    const TestFolder *folder = *state;
    /* one plain child, one that ignores the signal, one that left the session, one that scrubbed its
     * environment */
    Fixture *fixture =
        make(folder, "sleep 1000 & echo $! >a; (trap '' TERM; echo >deaf; exec sleep 1000) & echo $! >b; "
                     "setsid sh -c 'echo $$ >c; exec sleep 1000' & "
                     "env -i sleep 1000 & echo $! >d; wait");
    fixture->process.stop_timeout_ms = 300;
    start(fixture);
    read_line(folder, "deaf");
    pid_t a = read_pid(folder, "a"), b = read_pid(folder, "b"), c = read_pid(folder, "c"),
          d = read_pid(folder, "d");
    ServiceEnd end = stop(fixture);
    assert_true(end.killed);
    assert_true(gone(a) && gone(b) && gone(c) && gone(d));
}

static void test_a_child_that_outlived_its_parent_is_ended(void **state) {
    const TestFolder *folder = *state;
    Fixture *fixture = make(folder, "sleep 1000 & echo $! >child; exit 0");
    start(fixture);
    pid_t child = read_pid(folder, "child");
    assert_int_equal(wait_until_dead(fixture).exit_status, 0);
    assert_false(gone(child));
    stop(fixture);
    assert_true(gone(child));
}

static void test_a_start_ends_what_a_dead_one_left(void **state) {
    const TestFolder *folder = *state;
    Fixture *fixture = make(folder, "sleep 1000 & echo $! >>children; exit 0");
    start(fixture);
    pid_t child = read_pid(folder, "children");
    wait_until_dead(fixture);
    start(fixture);
    assert_true(gone(child));
    wait_until_dead(fixture);
    stop(fixture);
}

/* ---- status */

static void test_tells_how_a_dead_service_ended(void **state) {
    Fixture *fixture = make(*state, "exit 7");
    start(fixture);
    ServiceStatus now = wait_until_dead(fixture);
    assert_int_equal(now.exit_status, 7);
    assert_true(now.since_ms > 0);
    assert_int_equal(status(fixture).exit_status, 7); /* remembered */
    fixture->argv[2] = "kill -SEGV $$";
    start(fixture);
    assert_int_equal(wait_until_dead(fixture).exit_status, 128 + SIGSEGV);
    stop(fixture);
}

static void test_knows_a_service_that_another_process_started(void **state) {
    Fixture *fixture = make(*state, "exec sleep 1000");
    pid_t starter = fork();
    if (starter == 0) _exit(service_start(&fixture->context, NULL) == 0 ? 0 : 1);
    int code = -1;
    assert_int_equal(waitpid(starter, &code, 0), starter);
    assert_int_equal(code, 0);
    ServiceStatus now = status(fixture);
    assert_int_equal(now.state, SERVICE_RUNNING);
    start(fixture);
    assert_int_equal(status(fixture).pid, now.pid);
    assert_int_equal(kill(now.pid, SIGKILL), 0);
    assert_int_equal(wait_until_dead(fixture).exit_status, SERVICE_EXIT_UNKNOWN);
    start(fixture);
    assert_int_equal(status(fixture).state, SERVICE_RUNNING);
    stop(fixture);
}

static void test_looking_makes_nothing(void **state) {
    const TestFolder *folder = *state;
    Fixture *fixture = make(folder, "exec sleep 1000");
    assert_int_equal(status(fixture).state, SERVICE_STOPPED);
    assert_int_equal(faccessat(folder->fd, ".upkeep", F_OK, 0), -1);
    fixture->context.root = "/nonexistent/root";
    assert_int_equal(status(fixture).state, SERVICE_STOPPED);
}

/* ---- whose process it is */

static pid_t foreign_process(bool leads_session) {
    pid_t pid = fork();
    if (pid == 0) {
        if (leads_session) setsid();
        execl("/bin/sleep", "sleep", "1000", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; leads_session && i < 2000 && getsid(pid) != pid; i++) clock_sleep_ms(5);
    return pid;
}

static void end_foreign(pid_t pid) {
    assert_false(gone(pid)); /* nobody else ended it */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* A pid file that names `pid`, with one thing wrong; neither stop nor start may touch that process. */
static void check_spared(const TestFolder *folder, pid_t pid, uint64_t start_ticks, const char *boot) {
    Fixture *fixture = make(folder, "exec sleep 1000");
    ServiceRecord record = {.pid = pid,
                            .start_ticks = start_ticks,
                            .token = "t",
                            .digest = "d",
                            .started_ms = 1,
                            .exit_status = SERVICE_EXIT_UNKNOWN};
    snprintf(record.boot, sizeof record.boot, "%s", boot);
    int upkeep = upkeep_folder(folder);
    assert_int_equal(service_record_save(upkeep, &record, NULL), 0);
    assert_int_equal(status(fixture).state, SERVICE_DEAD);
    assert_false(stop(fixture).was_running);
    assert_int_equal(service_record_save(upkeep, &record, NULL), 0);
    start(fixture);
    assert_int_not_equal(status(fixture).pid, pid);
    stop(fixture);
    close(upkeep);
    assert_false(gone(pid));
}

static void test_spares_a_process_that_was_given_the_pid_later(void **state) {
    char boot[37];
    pid_t pid = foreign_process(true);
    assert_int_equal(process_boot_id(boot, NULL), 0);
    check_spared(*state, pid, process_start_ticks(pid) - 1, boot);
    end_foreign(pid);
}

static void test_spares_a_process_of_another_boot(void **state) {
    pid_t pid = foreign_process(true);
    check_spared(*state, pid, process_start_ticks(pid), "00000000-0000-0000-0000-000000000000");
    end_foreign(pid);
}

static void test_spares_a_process_that_leads_no_session(void **state) {
    char boot[37];
    pid_t pid = foreign_process(false);
    assert_int_equal(process_boot_id(boot, NULL), 0);
    check_spared(*state, pid, process_start_ticks(pid), boot);
    end_foreign(pid);
}

static void test_a_damaged_pid_file_needs_a_person(void **state) {
    const TestFolder *folder = *state;
    static const char *const texts[] = {"", "{", "[]", "{}", "{\"pid\":1}", "{\"pid\":-1,\"start_ticks\":5}"};
    Fixture *fixture = make(folder, "exec sleep 1000");
    close(upkeep_folder(folder));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ServiceStatus now;
        Error error = {0};
        write_text(folder, ".upkeep/service.pid", texts[i], 0600);
        assert_int_equal(service_status(&fixture->context, &now, &error), -1);
        check_says(&error, ERROR_ATTENTION, "is damaged; stop the service by hand");
        error = start_fails(fixture);
        check_says(&error, ERROR_ATTENTION, "is damaged");
        assert_int_equal(service_stop(&fixture->context, NULL, &error), -1);
    }
}

static void test_refuses_a_folder_that_others_may_write(void **state) {
    const TestFolder *folder = *state;
    Fixture *fixture = make(folder, "exec sleep 1000");
    close(upkeep_folder(folder));
    assert_int_equal(fchmodat(folder->fd, ".upkeep", 0777, 0), 0);
    Error error = start_fails(fixture);
    check_says(&error, ERROR_REFUSED, "may be written by others");
}

/* ---- the starter dies */

/* Everything the service ever executed wrote its pid into `started`: exactly one of them may live. */
static void check_one_lives(const TestFolder *folder, pid_t expected) {
    FILE *file = fdopen(openat(folder->fd, "started", O_RDONLY | O_CLOEXEC), "r");
    assert_non_null(file);
    int living = 0;
    for (int pid; fscanf(file, "%d", &pid) == 1;) {
        if (gone(pid)) continue;
        living++;
        assert_int_equal(pid, expected);
    }
    fclose(file);
    assert_int_equal(living, 1);
}

static void test_a_killed_starter_loses_nothing_and_starts_nothing_twice(void **state) {
    const TestFolder *folder = *state;
    Fixture *fixture = make(folder, "echo $$ >>started; echo >>ready; exec sleep 1000");
    int before = 0, after = 0;
    for (int round = 0; round < 60; round++) {
        unlinkat(folder->fd, "ready", 0);
        pid_t starter = fork();
        if (starter == 0) _exit(service_start(&fixture->context, NULL) == 0 ? 0 : 1);
        usleep((useconds_t)round * 100);
        kill(starter, SIGKILL);
        int code;
        assert_int_equal(waitpid(starter, &code, 0), starter);
        WIFSIGNALED(code) ? before++ : after++;
        start(fixture);
        pid_t pid = status(fixture).pid;
        read_line(folder, "ready");
        check_one_lives(folder, pid);
        stop(fixture);
        check_gone(pid);
    }
    print_message("# starter killed in %d rounds, too late in %d\n", before, after);
}

/* A test that failed half-way leaves nothing running. */
static int teardown(void **state) {
    service_stop(&make(*state, "")->context, NULL, NULL);
    return test_folder_teardown(state);
}

#define with_service(test) cmocka_unit_test_setup_teardown(test, test_folder_setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_service(test_starts_in_a_clean_session_of_its_own),
        with_service(test_output_is_appended_to_the_log),
        with_service(test_started_again_it_is_the_same_process),
        with_service(test_refuses_to_start_beside_another_command),
        with_service(test_refuses_to_start_beside_another_release),
        with_service(test_finds_the_program_in_the_path_of_the_plan),
        with_service(test_says_why_a_program_cannot_be_run),
        with_service(test_runs_as_the_user_of_the_plan),
        with_service(test_says_when_the_user_may_not_enter),
        with_service(test_refuses_a_user_that_does_not_exist),
        with_service(test_an_unwritable_log_is_an_error),
        with_service(test_a_log_that_leads_elsewhere_is_refused),
        with_service(test_stops_and_says_how_it_ended),
        with_service(test_stopping_what_does_not_run_is_success),
        with_service(test_uses_the_signal_of_the_plan),
        with_service(test_refuses_an_unknown_signal),
        with_service(test_kills_what_ignores_the_signal),
        with_service(test_stops_what_was_suspended),
        with_service(test_ends_the_children_too),
        with_service(test_a_child_that_outlived_its_parent_is_ended),
        with_service(test_a_start_ends_what_a_dead_one_left),
        with_service(test_tells_how_a_dead_service_ended),
        with_service(test_knows_a_service_that_another_process_started),
        with_service(test_looking_makes_nothing),
        with_service(test_spares_a_process_that_was_given_the_pid_later),
        with_service(test_spares_a_process_of_another_boot),
        with_service(test_spares_a_process_that_leads_no_session),
        with_service(test_a_damaged_pid_file_needs_a_person),
        with_service(test_refuses_a_folder_that_others_may_write),
        with_service(test_a_killed_starter_loses_nothing_and_starts_nothing_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
