#include "host/traffic/traffic.h"
#include "support/test.h"
#include <string.h>

/* A balancer steered by the user's own commands: small files stand for it. */

typedef struct Fixture {
    const char *drain[3], *connections[3], *readmit[3], *weight[3];
    PlanTrafficCommands commands;
    PlanTraffic traffic;
    TrafficContext context;
} Fixture;

static Fixture *make(const TestFolder *folder) {
    static Fixture fixture;
    fixture = (Fixture){
        .drain = {"sh", "-c", "echo drain $UPKEEP_HOST $UPKEEP_SERVICE >>log"},
        .connections = {"sh", "-c", "echo 0"},
        .readmit = {"sh", "-c", "echo readmit >>log"},
        .weight = {"sh", "-c", "echo weight $UPKEEP_WEIGHT >>log"},
    };
    fixture.commands = (PlanTrafficCommands){.drain = {fixture.drain, 3},
                                             .connections = {fixture.connections, 3},
                                             .readmit = {fixture.readmit, 3},
                                             .weight = {fixture.weight, 3},
                                             .timeout_ms = 20000};
    fixture.traffic = (PlanTraffic){.commands = &fixture.commands, .drain_timeout_ms = 10000};
    fixture.context = (TrafficContext){.traffic = &fixture.traffic,
                                       .host = "web1",
                                       .service = "shop",
                                       .root = folder->path,
                                       .clock = clock_system()};
    return &fixture;
}

static void expect_log(const TestFolder *folder, const char *text) {
    char log[256] = "";
    int fd = openat(folder->fd, "log", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, log, sizeof log - 1);
    log[got > 0 ? got : 0] = '\0';
    if (fd >= 0) close(fd);
    assert_string_equal(log, text);
}

static void expect_drain_fails(const Fixture *fixture, const char *words) {
    Error error = {0};
    assert_int_equal(traffic_drain(&fixture->context, NULL, &error), -1);
    if (error.kind != ERROR_SYSTEM || !strstr(error.en, words))
        fail_msg("“%s” is not in “%s”", words, error.en);
}

static void test_each_knows_the_host_and_the_weight(void **state) {
    Fixture *fixture = make(*state);
    TrafficEnd drained;
    assert_int_equal(traffic_check(&fixture->context, NULL), 0);
    assert_int_equal(traffic_drain(&fixture->context, &drained, NULL), 0);
    assert_int_equal(drained.before, 0);
    assert_int_equal(drained.left, 0);
    fixture->context.percent = 10;
    assert_int_equal(traffic_readmit(&fixture->context, NULL), 0);
    assert_int_equal(traffic_weight(&fixture->context, 100, NULL), 0);
    expect_log(*state, "drain web1 shop\nweight 10\nreadmit\nweight 100\n");
}

static void test_connections_are_counted_until_there_are_none(void **state) {
    Fixture *fixture = make(*state);
    TrafficEnd drained;
    fixture->connections[2] = "test -e log || { echo 3; exit; }; echo x >>polls; "
                              "test $(wc -l <polls) -ge 3 && echo 0 || echo 1";
    assert_int_equal(traffic_drain(&fixture->context, &drained, NULL), 0);
    assert_int_equal(drained.before, 3);
    assert_int_equal(drained.left, 0);
    assert_false(drained.timed_out);
}

static void test_the_limit_is_no_error(void **state) {
    Fixture *fixture = make(*state);
    TrafficEnd drained;
    fixture->connections[2] = "echo 7";
    fixture->traffic.drain_timeout_ms = 150;
    assert_int_equal(traffic_drain(&fixture->context, &drained, NULL), 0);
    assert_true(drained.timed_out);
    assert_int_equal(drained.left, 7);
}

static void test_without_a_count_the_drain_has_done_it_all(void **state) {
    Fixture *fixture = make(*state);
    TrafficEnd drained;
    fixture->commands.connections.count = 0;
    assert_int_equal(traffic_drain(&fixture->context, &drained, NULL), 0);
    assert_int_equal(drained.left, TRAFFIC_UNKNOWN);
    assert_false(drained.timed_out);
}

static void test_a_count_that_is_no_number_is_an_error(void **state) {
    Fixture *fixture = make(*state);
    static const char *const prints[] = {"echo many", ":", "echo -1", "echo 12x",
                                         "echo 99999999999999999999"};
    for (size_t i = 0; i < sizeof prints / sizeof *prints; i++) {
        fixture->connections[2] = prints[i];
        expect_drain_fails(fixture, "which is no number");
    }
    expect_log(*state, ""); /* nothing was drained by somebody who cannot count */
    assert_int_equal(traffic_check(&fixture->context, NULL), -1);
}

static void test_commands_that_fail_say_why(void **state) {
    Fixture *fixture = make(*state);
    fixture->drain[2] = "echo first; echo second >&2; echo 'no such pool' >&2; exit 4";
    expect_drain_fails(fixture, "ended with status 4: second no such pool");
    fixture->drain[0] = "no-such-program";
    expect_drain_fails(fixture, "cannot run no-such-program");
}

static void test_commands_are_bounded_in_time(void **state) {
    Fixture *fixture = make(*state);
    fixture->commands.timeout_ms = 100;
    fixture->drain[2] = "sleep 1000";
    expect_drain_fails(fixture, "did not end within 100 ms");
    fixture->connections[2] = "sleep 1000";
    expect_drain_fails(fixture, "did not end within 100 ms");
}

static void test_waiting_can_be_cancelled(void **state) {
    Fixture *fixture = make(*state);
    atomic_bool cancel = true;
    Error error = {0};
    fixture->context.cancel = &cancel;
    fixture->commands.connections.count = 0;
    fixture->drain[2] = "sleep 1000";
    assert_int_equal(traffic_drain(&fixture->context, NULL, &error), -1);
    assert_int_equal(error.kind, ERROR_INTERRUPTED);
}

static void test_describes_itself_as_one_would_type_it(void **state) {
    Fixture *fixture = make(*state);
    ARENA_AUTO arena = arena_new();
    fixture->drain[2] = "it's out";
    assert_string_equal(traffic_describe(&fixture->context, TRAFFIC_DRAIN, arena), "sh -c 'it'\\''s out'");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_each_knows_the_host_and_the_weight),
        test_in_folder(test_connections_are_counted_until_there_are_none),
        test_in_folder(test_the_limit_is_no_error),
        test_in_folder(test_without_a_count_the_drain_has_done_it_all),
        test_in_folder(test_a_count_that_is_no_number_is_an_error),
        test_in_folder(test_commands_that_fail_say_why),
        test_in_folder(test_commands_are_bounded_in_time),
        test_in_folder(test_waiting_can_be_cancelled),
        test_in_folder(test_describes_itself_as_one_would_type_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
