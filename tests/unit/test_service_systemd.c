#include "base/clock.h"
#include "host/service/service.h"
#include "support/systemd_peer.h"
#include <time.h>

/* All of this runs beside a systemd of its own that has these units; where there can be none, what needs it
 * is skipped. */

static const SystemdPeerUnit units[] = {
    {"simple.service", "[Service]\nExecStart=/bin/sleep 1000\n"},
    {"fails.service", "[Unit]\nStartLimitBurst=1\nStartLimitIntervalSec=1h\n"
                      "[Service]\nExecStart=/bin/sh -c 'exit 7'\n"},
    {"refuses.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n"},
    {"stubborn.service",
     "[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; echo >/run/deaf; while :; do sleep 1; done'\n"
     "TimeoutStopSec=200ms\n"},
    {"restarts.service", "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=1h\n"},
    {"broken.service", "[Service]\nType=simple\n"},
    {NULL, NULL},
};

static const char *unavailable; /* why there is no systemd to try with */
#define NEEDS_SYSTEMD()                                                                                      \
    do {                                                                                                     \
        if (unavailable) TEST_SKIP(unavailable);                                                             \
    } while (0)

static ServiceContext make(const char *unit) {
    static PlanRun run;
    run = (PlanRun){.systemd = unit};
    return (ServiceContext){.name = "s", .root = "/", .run = &run};
}

static ServiceStatus status(const ServiceContext *service) {
    ServiceStatus now = {0};
    Error error = {0};
    if (service_status(service, &now, &error) < 0) fail_msg("%s", error.en);
    return now;
}

static void start(const ServiceContext *service) {
    Error error = {0};
    if (service_start(service, &error) < 0) fail_msg("%s", error.en);
}

static ServiceEnd stop(const ServiceContext *service) {
    ServiceEnd end = {0};
    Error error = {0};
    if (service_stop(service, &end, &error) < 0) fail_msg("%s", error.en);
    return end;
}

static ServiceStatus wait_for(const ServiceContext *service, ServiceState state) {
    for (int i = 0; i < 400; i++, clock_sleep_ms(50)) {
        ServiceStatus now = status(service);
        if (now.state == state) return now;
    }
    fail_msg("never %s", service_state_text(state));
    return (ServiceStatus){0};
}

static void check_says(const Error *error, ErrorKind kind, const char *part) {
    if (error->kind != kind || !strstr(error->en, part)) fail_msg("%d: %s", (int)error->kind, error->en);
}

static void test_refuses_what_is_no_unit(void **state) {
    (void)state;
    static const char *const names[] = {
        "",         "node-red",     ".service",      "--help.service", "a b.service", "a/b.service",
        "x.socket", "x.service;id", "$(id).service", "x.service\n"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ServiceContext service = make(names[i]);
        Error error = {0};
        assert_int_equal(service_start(&service, &error), -1);
        check_says(&error, ERROR_INVALID, "is not the name of a service unit");
    }
}

/* In a child that sees an empty /run. */
static void test_says_when_there_is_no_systemd(void **state) {
    (void)state;
    bool booted = access("/run/systemd/system", F_OK) == 0;
    if (booted && geteuid() != 0) TEST_SKIP("systemd is process 1, and only root may look away");
    pid_t child = fork();
    if (child == 0) {
        ServiceContext service = make("simple.service");
        ServiceStatus now;
        Error error = {0};
        if (booted && (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
                       mount("tmpfs", "/run", "tmpfs", 0, NULL) != 0))
            _exit(2);
        bool refused = service_status(&service, &now, &error) < 0 && error.kind == ERROR_REFUSED;
        _exit(refused && strstr(error.en, "was not started by systemd; run the service as a process") ? 0
                                                                                                      : 1);
    }
    int code = -1;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
}

static void test_starts_and_stops_a_unit(void **state) {
    (void)state;
    NEEDS_SYSTEMD();
    ServiceContext service = make("simple.service");
    assert_int_equal(status(&service).state, SERVICE_STOPPED);
    start(&service);
    ServiceStatus now = status(&service);
    assert_int_equal(now.state, SERVICE_RUNNING);
    assert_true(now.pid > 0 && kill(now.pid, 0) == 0);
    assert_true(llabs(now.since_ms - clock_wall_ms(clock_system())) < 3600000);
    start(&service);
    assert_int_equal(status(&service).pid, now.pid);
    ServiceEnd end = stop(&service);
    assert_true(end.was_running);
    assert_false(end.killed);
    assert_int_equal(kill(now.pid, 0), -1);
    assert_int_equal(status(&service).state, SERVICE_STOPPED);
    assert_false(stop(&service).was_running);
}

static void test_tells_how_a_dead_unit_ended(void **state) {
    (void)state;
    NEEDS_SYSTEMD();
    ServiceContext service = make("simple.service");
    start(&service);
    assert_int_equal(kill(status(&service).pid, SIGKILL), 0);
    assert_int_equal(wait_for(&service, SERVICE_DEAD).exit_status, 128 + SIGKILL);
    start(&service);
    assert_int_equal(status(&service).state, SERVICE_RUNNING);
    stop(&service);
}

static void test_starts_a_unit_that_failed_too_often(void **state) {
    (void)state;
    NEEDS_SYSTEMD();
    ServiceContext service = make("fails.service");
    for (int i = 0; i < 3; i++) {
        start(&service);
        assert_int_equal(wait_for(&service, SERVICE_DEAD).exit_status, 7);
    }
    stop(&service);
    assert_int_equal(status(&service).state, SERVICE_STOPPED);
}

static void test_says_when_a_unit_cannot_start(void **state) {
    (void)state;
    NEEDS_SYSTEMD();
    ServiceContext service = make("refuses.service");
    Error error = {0};
    assert_int_equal(service_start(&service, &error), -1);
    check_says(&error, ERROR_SYSTEM, "cannot start the service s: systemctl start refuses.service: Job for");
    assert_non_null(strstr(error.en, "journalctl --unit refuses.service says more"));
    stop(&service);
}

static void test_says_when_a_unit_had_to_be_killed(void **state) {
    (void)state;
    NEEDS_SYSTEMD();
    ServiceContext service = make("stubborn.service");
    start(&service);
    for (int i = 0; i < 400 && access("/run/deaf", F_OK) != 0; i++) clock_sleep_ms(50);
    ServiceEnd end = stop(&service);
    assert_true(end.killed);
    assert_int_equal(status(&service).state, SERVICE_STOPPED);
}

static void test_a_unit_between_restarts_is_dead(void **state) {
    (void)state;
    NEEDS_SYSTEMD();
    ServiceContext service = make("restarts.service");
    start(&service);
    assert_int_equal(wait_for(&service, SERVICE_DEAD).exit_status, 1);
    assert_false(stop(&service).was_running);
    assert_int_equal(status(&service).state, SERVICE_STOPPED);
}

static void test_a_changed_unit_file_is_used(void **state) {
    (void)state;
    NEEDS_SYSTEMD();
    ServiceContext service = make("simple.service");
    start(&service);
    stop(&service);
    assert_true(systemd_peer_write(SYSTEMD_PEER_UNITS, "simple.service",
                                   "[Service]\nExecStart=/bin/sh -c 'exec sleep 2000'\n"));
    struct timespec later[2] = {{.tv_sec = time(NULL) + 10}, {.tv_sec = time(NULL) + 10}};
    assert_int_equal(utimensat(AT_FDCWD, SYSTEMD_PEER_UNITS "/simple.service", later, 0), 0);
    start(&service);
    char path[64], line[64] = "";
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)status(&service).pid);
    for (int i = 0; i < 400 && memcmp(line, "sleep\0002000", 10) != 0; i++, clock_sleep_ms(50)) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_true(read(fd, line, sizeof line) > 0);
        close(fd);
    }
    assert_memory_equal(line, "sleep\0002000", 10);
    stop(&service);
}

static void test_a_unit_that_cannot_be_loaded_is_an_error(void **state) {
    (void)state;
    NEEDS_SYSTEMD();
    ServiceContext service = make("no-such-unit.service");
    Error error = {0};
    assert_int_equal(service_start(&service, &error), -1);
    check_says(&error, ERROR_INVALID, "cannot load the unit no-such-unit.service (not-found)");
    service = make("broken.service");
    assert_int_equal(service_start(&service, &error), -1);
    check_says(&error, ERROR_INVALID, "cannot load the unit broken.service (bad-setting)");
}

/* ---- the unit that ships: an agent's */

static const char *agent_unit; /* its file; NULL: not given */

static bool lives(pid_t pid) { return kill(pid, 0) == 0; }

/* The unit as it ships, but for the program: one that starts a service as agents do, once, and stays. */
static void write_agent_unit(void) {
    static char text[16384], unit[17000];
    int fd = open(agent_unit, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    assert_true(size > 0);
    close(fd);
    text[size] = '\0';
    char *program = strstr(text, "\nExecStart="), *rest = program ? strchr(program + 1, '\n') : NULL;
    assert_non_null(rest);
    *program = '\0';
    snprintf(unit, sizeof unit,
             "%s\nExecStart=/bin/sh -c '[ -e /run/kept ] || { setsid sleep 3000 & echo $! >/run/kept; }; "
             "exec sleep "
             "1000'%s",
             text, rest);
    assert_true(systemd_peer_write(SYSTEMD_PEER_UNITS, "upkeep-agent.service", unit));
}

/* Of the service that it started. */
static pid_t kept(void) {
    char line[32] = "";
    for (int i = 0; i < 400 && !strchr(line, '\n'); i++, clock_sleep_ms(50)) {
        int fd = open("/run/kept", O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
        line[got > 0 ? got : 0] = '\0';
        if (fd >= 0) close(fd);
    }
    pid_t pid = (pid_t)strtol(line, NULL, 10);
    assert_true(pid > 1);
    return pid;
}

/* Stopped, begun again, killed: what it started goes on. */
static void test_an_agent_leaves_what_it_started_alone(void **state) {
    (void)state;
    NEEDS_SYSTEMD();
    if (!agent_unit) TEST_SKIP("the unit was not named");
    assert_int_equal(mount("tmpfs", "/var/lib", "tmpfs", 0, NULL), 0); /* of our own namespace */
    assert_int_equal(mkdir("/var/lib/upkeep-agent", 0700), 0);
    assert_true(systemd_peer_write("/var/lib/upkeep-agent", "agent.json", "{}"));
    write_agent_unit();
    ServiceContext agent = make("upkeep-agent.service");
    start(&agent);
    pid_t first = status(&agent).pid, service = kept();
    stop(&agent);
    assert_false(lives(first));
    assert_true(lives(service));
    start(&agent);
    pid_t second = status(&agent).pid;
    assert_true(lives(service));
    assert_int_equal(kill(second, SIGKILL), 0);
    ServiceStatus now = status(&agent);
    for (int i = 0; i < 400 && (now.state != SERVICE_RUNNING || now.pid == second); i++, now = status(&agent))
        clock_sleep_ms(50);
    assert_int_equal(now.state, SERVICE_RUNNING); /* by itself */
    assert_int_not_equal(now.pid, second);
    assert_true(lives(service));
    stop(&agent);
    assert_true(lives(service));
    kill(service, SIGKILL);
}

static int run_all(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_what_is_no_unit),
        cmocka_unit_test(test_says_when_there_is_no_systemd),
        cmocka_unit_test(test_starts_and_stops_a_unit),
        cmocka_unit_test(test_tells_how_a_dead_unit_ended),
        cmocka_unit_test(test_starts_a_unit_that_failed_too_often),
        cmocka_unit_test(test_says_when_a_unit_cannot_start),
        cmocka_unit_test(test_says_when_a_unit_had_to_be_killed),
        cmocka_unit_test(test_a_unit_between_restarts_is_dead),
        cmocka_unit_test(test_a_changed_unit_file_is_used),
        cmocka_unit_test(test_a_unit_that_cannot_be_loaded_is_an_error),
        cmocka_unit_test(test_an_agent_leaves_what_it_started_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv) {
    int result = 1;
    agent_unit = argc > 1 ? argv[1] : NULL;
    unavailable = systemd_peer_run(units, run_all, &result);
    return unavailable ? run_all() : result;
}
