#include "base/clock.h"
#include "base/process.h"
#include "host/service/service.h"
#include "support/test.h"
#include <signal.h>
#include <string.h>

/* A service steered as init scripts steer theirs: a background process and a file with its pid. */

typedef struct Fixture {
    const char *start[3], *stop[3], *status[3];
    PlanCommands commands;
    PlanRun run;
    ServiceContext context;
} Fixture;

static Fixture *make(const TestFolder *folder) {
    static Fixture fixture;
    fixture = (Fixture){
        .start = {"sh", "-c", "sleep 1000 & echo $! >pid; echo started >>log"},
        .stop = {"sh", "-c", "kill -9 $(cat pid); rm pid"},
        .status = {"sh", "-c", "test -e pid && kill -0 $(cat pid)"},
    };
    fixture.commands = (PlanCommands){.start = {fixture.start, 3},
                                      .stop = {fixture.stop, 3},
                                      .status = {fixture.status, 3},
                                      .timeout_ms = 20000};
    fixture.run.commands = &fixture.commands;
    fixture.context = (ServiceContext){.name = "s", .root = folder->path, .run = &fixture.run};
    return &fixture;
}

static ServiceState state_of(const Fixture *fixture) {
    ServiceStatus now;
    Error error = {0};
    if (service_status(&fixture->context, &now, &error) < 0) fail_msg("%s", error.en);
    return now.state;
}

static void check_start_fails(const Fixture *fixture, ErrorKind kind, const char *part) {
    Error error = {0};
    assert_int_equal(service_start(&fixture->context, &error), -1);
    if (error.kind != kind || !strstr(error.en, part)) fail_msg("%d: %s", (int)error.kind, error.en);
}

static void check_stop_fails(const Fixture *fixture, ErrorKind kind, const char *part) {
    Error error = {0};
    assert_int_equal(service_stop(&fixture->context, NULL, &error), -1);
    if (error.kind != kind || !strstr(error.en, part)) fail_msg("%d: %s", (int)error.kind, error.en);
}

static off_t log_size(const TestFolder *folder) {
    struct stat status;
    return fstatat(folder->fd, "log", &status, 0) == 0 ? status.st_size : 0;
}

static void test_starts_once_and_stops(void **state) {
    const TestFolder *folder = *state;
    Fixture *fixture = make(folder);
    ServiceEnd end;
    assert_int_equal(state_of(fixture), SERVICE_STOPPED);
    assert_int_equal(service_start(&fixture->context, NULL), 0);
    assert_int_equal(state_of(fixture), SERVICE_RUNNING);
    assert_int_equal(service_start(&fixture->context, NULL), 0);
    assert_int_equal(log_size(folder), strlen("started\n"));
    assert_int_equal(service_stop(&fixture->context, &end, NULL), 0);
    assert_true(end.was_running);
    assert_int_equal(state_of(fixture), SERVICE_STOPPED);
    assert_int_equal(service_stop(&fixture->context, &end, NULL), 0);
    assert_false(end.was_running);
}

static void test_a_start_that_fails_says_why(void **state) {
    Fixture *fixture = make(*state);
    fixture->start[2] = "echo first; echo 'port 80 is taken' >&2; exit 5";
    check_start_fails(fixture, ERROR_SYSTEM, "ended with status 5: port 80 is taken");
}

static void test_commands_are_bounded_in_time(void **state) {
    Fixture *fixture = make(*state);
    fixture->commands.timeout_ms = 100;
    fixture->start[2] = "sleep 1000";
    check_start_fails(fixture, ERROR_SYSTEM, "did not end within 100 ms");
    fixture->status[2] = "sleep 1000";
    check_start_fails(fixture, ERROR_SYSTEM, "did not end within 100 ms");
}

static void test_a_stop_that_stops_nothing_is_an_error(void **state) {
    Fixture *fixture = make(*state);
    fixture->commands.timeout_ms = 100;
    fixture->status[2] = ":";
    fixture->stop[2] = ":";
    check_stop_fails(fixture, ERROR_SYSTEM, "still says that it runs");
}

static void test_a_command_that_is_missing_is_an_error(void **state) {
    Fixture *fixture = make(*state);
    fixture->start[0] = "no-such-program";
    check_start_fails(fixture, ERROR_SYSTEM, "cannot run no-such-program");
    fixture->commands.status.count = 0;
    check_start_fails(fixture, ERROR_INVALID, "does not give its command");
    fixture->run.commands = NULL;
    check_start_fails(fixture, ERROR_INVALID, "does not say how to run the service s");
}

static void test_describes_itself_as_one_would_type_it(void **state) {
    Fixture *fixture = make(*state);
    ARENA_AUTO arena = arena_new();
    fixture->start[2] = "it's here";
    fixture->stop[2] = "";
    assert_string_equal(service_describe_start(&fixture->context, arena), "sh -c 'it'\\''s here'");
    assert_string_equal(service_describe_stop(&fixture->context, arena), "sh -c ''");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_starts_once_and_stops),
        test_in_folder(test_a_start_that_fails_says_why),
        test_in_folder(test_commands_are_bounded_in_time),
        test_in_folder(test_a_stop_that_stops_nothing_is_an_error),
        test_in_folder(test_a_command_that_is_missing_is_an_error),
        test_in_folder(test_describes_itself_as_one_would_type_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
