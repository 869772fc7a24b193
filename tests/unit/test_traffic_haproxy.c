#include "host/traffic/traffic.h"
#include "support/balancer.h"
#include <string.h>

/* A real HAProxy before two peers; and peers that only pretend to be one. */

typedef struct Fixture {
    Balancer balancer;
    Peer peers[2];
    char socket[100];
    const char *sockets[2];
    PlanHaproxy haproxy;
    PlanTraffic traffic;
    TrafficContext context;
} Fixture;

static void set_up_context(Fixture *fixture, const char *socket) {
    fixture->sockets[0] = socket;
    fixture->haproxy = (PlanHaproxy){.sockets = {fixture->sockets, 1}, .backend = "web", .server = "web1"};
    fixture->traffic =
        (PlanTraffic){.haproxy = &fixture->haproxy, .drain_timeout_ms = 10000, .last_server = "refuse"};
    fixture->context = (TrafficContext){.traffic = &fixture->traffic,
                                        .host = "web1",
                                        .service = "shop",
                                        .root = "/",
                                        .clock = clock_system()};
}

/* False when there is no HAProxy here. `options`: of each server line; `level` of the socket. */
static bool start(Fixture *fixture, const TestFolder *folder, const char *options, const char *level) {
    char text[2048];
    *fixture = (Fixture){0};
    if (!balancer_find("haproxy", fixture->balancer.program)) return false;
    for (size_t i = 0; i < 2; i++) peer_start(&fixture->peers[i], (PeerScript){.hold = true});
    fixture->balancer.port = peer_free_port();
    snprintf(fixture->socket, sizeof fixture->socket, "%s/admin.sock", folder->path);
    snprintf(fixture->balancer.configuration, sizeof fixture->balancer.configuration, "%s/haproxy.cfg",
             folder->path);
    snprintf(text, sizeof text,
             "global\n stats socket %s level %s\n maxconn 100\ndefaults\n mode tcp\n timeout connect 2s\n"
             " timeout client 60s\n timeout server 60s\nfrontend front\n bind 127.0.0.1:%d\n"
             " default_backend web\nbackend web\n balance first\n server web1 127.0.0.1:%d %s\n server web2 "
             "127.0.0.1:%d %s\n",
             fixture->socket, level, fixture->balancer.port, fixture->peers[0].port, options,
             fixture->peers[1].port, options);
    balancer_write(fixture->balancer.configuration, text);
    fixture->balancer.socket = fixture->socket; /* its front is left alone: connections are counted */
    const char *const argv[] = {fixture->balancer.program, "-db", "-f", fixture->balancer.configuration,
                                NULL};
    balancer_start(&fixture->balancer, argv);
    set_up_context(fixture, fixture->socket);
    return true;
}

static void end(Fixture *fixture) {
    balancer_end(&fixture->balancer);
    for (size_t i = 0; i < 2; i++) peer_end(&fixture->peers[i]);
}

#define START(fixture, state, options, level)                                                                \
    do {                                                                                                     \
        if (!start((fixture), *(state), (options), (level))) TEST_SKIP("there is no haproxy here");          \
    } while (0)

/* The runtime API, asked apart from the code under test. */
static void ask(const Fixture *fixture, const char *command, char answer[static 16384]) {
    int fd = balancer_connect_path(fixture->socket);
    assert_true(fd >= 0);
    assert_true(write(fd, command, strlen(command)) > 0 && write(fd, "\n", 1) == 1);
    size_t size = 0;
    for (ssize_t got = 0; size < 16383 && (got = read(fd, answer + size, 16383 - size)) > 0;)
        size += (size_t)got;
    answer[size] = '\0';
    close(fd);
}

enum { CELL_SESSIONS = 4, CELL_STATUS = 17, CELL_WEIGHT = 18 };

/* Is that cell of the server's row `value`, or does it begin with it? The cell itself in `found`. */
static bool has_cell(const Fixture *fixture, const char *server, int cell, const char *value,
                     char found[static 64]) {
    char answer[16384], row[32];
    ask(fixture, "show stat web 4 -1", answer);
    snprintf(row, sizeof row, "\nweb,%s,", server);
    const char *at = strstr(answer, row);
    if (!at) fail_msg("no %s in %s", server, answer);
    at++;
    for (int i = 0; i < cell; i++) at = strchr(at, ',') + 1;
    snprintf(found, 64, "%.*s", (int)strcspn(at, ","), at);
    return strncmp(found, value, strlen(value)) == 0;
}

static void expect_cell(const Fixture *fixture, const char *server, int cell, const char *value) {
    char found[64];
    if (!has_cell(fixture, server, cell, value, found)) fail_msg("%s: “%s”, not “%s”", server, found, value);
}

static void expect_status(const Fixture *fixture, const char *server, const char *status) {
    expect_cell(fixture, server, CELL_STATUS, status);
}

static TrafficEnd drain(const Fixture *fixture) {
    TrafficEnd end;
    Error error = {0};
    if (traffic_drain(&fixture->context, &end, &error) < 0) fail_msg("%s", error.en);
    return end;
}

static void expect_error(int result, const Error *error, ErrorKind kind, const char *words) {
    assert_int_equal(result, -1);
    if (error->kind != kind || !strstr(error->en, words))
        fail_msg("“%s” (%d) is not in “%s” (%d)", words, (int)kind, error->en, (int)error->kind);
}

static void expect_drain_refused(const Fixture *fixture, ErrorKind kind, const char *words) {
    Error error = {0};
    expect_error(traffic_drain(&fixture->context, NULL, &error), &error, kind, words);
}

static void wait_sessions(const Fixture *fixture, const char *count) {
    char found[64];
    for (int tries = 0; !has_cell(fixture, "web1", CELL_SESSIONS, count, found) && tries < 500; tries++)
        usleep(10000);
    assert_string_equal(found, count);
}

/* A connection that web1 has, and keeps. */
static int connect_first(const Fixture *fixture) {
    wait_sessions(fixture, "0");
    int fd = balancer_connect(fixture->balancer.port);
    assert_true(fd >= 0 && write(fd, "x", 1) == 1);
    wait_sessions(fixture, "1");
    return fd;
}

static void *close_later(void *context) {
    usleep(400000);
    shutdown(*(int *)context, SHUT_RDWR);
    return NULL;
}

static void test_goes_out_and_comes_back(void **state) {
    Fixture fixture;
    START(&fixture, state, "", "admin");
    assert_int_equal(traffic_check(&fixture.context, NULL), 0);
    Error error = {0};
    expect_error(traffic_check_out(&fixture.context, &error), &error, ERROR_REFUSED, "web1 gets requests");
    TrafficEnd drained = drain(&fixture);
    assert_int_equal(drained.before, 0);
    assert_int_equal(drained.left, 0);
    assert_false(drained.timed_out);
    expect_status(&fixture, "web1", "MAINT");
    expect_status(&fixture, "web2", "no check");
    assert_int_equal(traffic_check_out(&fixture.context, NULL), 0);
    drain(&fixture); /* cut off, it is done again */
    assert_int_equal(traffic_readmit(&fixture.context, NULL), 0);
    expect_status(&fixture, "web1", "no check");
    assert_int_equal(traffic_readmit(&fixture.context, NULL), 0);
    end(&fixture);
}

static void test_connections_are_waited_for(void **state) {
    Fixture fixture;
    pthread_t thread;
    START(&fixture, state, "", "admin");
    int connection = connect_first(&fixture);
    assert_int_equal(pthread_create(&thread, NULL, close_later, &connection), 0);
    TrafficEnd drained = drain(&fixture);
    pthread_join(thread, NULL);
    assert_int_equal(drained.before, 1);
    assert_int_equal(drained.left, 0);
    assert_false(drained.timed_out);
    assert_true(drained.duration_ms >= 200);
    close(connection);
    end(&fixture);
}

static void test_connections_that_do_not_end_are_counted_and_left(void **state) {
    Fixture fixture;
    START(&fixture, state, "", "admin");
    int connection = connect_first(&fixture);
    fixture.traffic.drain_timeout_ms = 200;
    TrafficEnd drained = drain(&fixture);
    assert_true(drained.timed_out);
    assert_int_equal(drained.left, 1);
    expect_status(&fixture, "web1", "MAINT");
    close(connection);
    end(&fixture);
}

static void test_the_last_one_that_serves_stays(void **state) {
    Fixture fixture;
    char answer[16384];
    Error error = {0};
    START(&fixture, state, "", "admin");
    ask(&fixture, "set server web/web2 state maint", answer);
    expect_error(traffic_check(&fixture.context, &error), &error, ERROR_REFUSED, "nobody else serves");
    expect_drain_refused(&fixture, ERROR_REFUSED, "nobody else serves");
    expect_status(&fixture, "web1", "no check");
    ask(&fixture, "set server web/web2 state ready", answer);
    ask(&fixture, "set server web/web2 weight 0", answer); /* up, but asked by nobody */
    expect_drain_refused(&fixture, ERROR_REFUSED, "last_server: drain");
    fixture.traffic.last_server = "drain";
    drain(&fixture);
    expect_status(&fixture, "web1", "MAINT");
    end(&fixture);
}

static void test_one_that_does_not_serve_may_go_though_nobody_else_does(void **state) {
    Fixture fixture;
    char answer[16384];
    START(&fixture, state, "", "admin");
    ask(&fixture, "set server web/web1 state maint", answer);
    ask(&fixture, "set server web/web2 state maint", answer);
    drain(&fixture);
    end(&fixture);
}

static void test_names_that_haproxy_does_not_know_are_errors_with_a_way_out(void **state) {
    Fixture fixture;
    START(&fixture, state, "", "admin");
    fixture.haproxy.server = "web9";
    expect_drain_refused(&fixture, ERROR_SYSTEM,
                         "knows no server web9 in the backend web; let traffic.haproxy");
    fixture.haproxy.backend = "shop";
    expect_drain_refused(&fixture, ERROR_SYSTEM, "answered: No such proxy.; let traffic.haproxy");
    Error error = {0};
    expect_error(traffic_readmit(&fixture.context, &error), &error, ERROR_SYSTEM,
                 "cannot put web1 back into traffic: HAProxy at");
    end(&fixture);
}

static void test_a_socket_that_may_only_look_is_an_error_with_a_way_out(void **state) {
    Fixture fixture;
    START(&fixture, state, "", "operator");
    expect_drain_refused(&fixture, ERROR_SYSTEM, "level admin");
    end(&fixture);
}

static void test_weights_are_shares_of_the_normal_one(void **state) {
    Fixture fixture;
    START(&fixture, state, "weight 100", "admin");
    drain(&fixture);
    fixture.context.percent = 10;
    assert_int_equal(traffic_readmit(&fixture.context, NULL), 0);
    expect_cell(&fixture, "web1", CELL_WEIGHT, "10");
    assert_int_equal(traffic_weight(&fixture.context, 100, NULL), 0);
    expect_cell(&fixture, "web1", CELL_WEIGHT, "100");
    end(&fixture);
}

static void test_a_share_of_less_than_one_is_refused_before_anything_is_done(void **state) {
    Fixture fixture;
    Error error = {0};
    START(&fixture, state, "weight 5", "admin");
    fixture.context.percent = 10;
    expect_error(traffic_check(&fixture.context, &error), &error, ERROR_INVALID, "10% of its weight 5");
    expect_error(traffic_weight(&fixture.context, 10, &error), &error, ERROR_INVALID, "less than 1");
    expect_cell(&fixture, "web1", CELL_WEIGHT, "5");
    end(&fixture);
}

static void test_is_back_only_when_a_health_check_has_seen_it(void **state) {
    Fixture fixture;
    START(&fixture, state, "check inter 100ms fall 3 rise 1", "admin");
    drain(&fixture);
    assert_int_equal(traffic_readmit(&fixture.context, NULL), 0);
    expect_status(&fixture, "web1", "UP");
    end(&fixture);
}

static void test_a_server_that_fails_its_checks_is_not_back(void **state) {
    Fixture fixture;
    Error error = {0};
    START(&fixture, state, "check inter 100ms fall 3 rise 1", "admin");
    drain(&fixture);
    peer_end(&fixture.peers[0]);
    fixture.traffic.drain_timeout_ms = 1000;
    expect_error(traffic_readmit(&fixture.context, &error), &error, ERROR_SYSTEM, "says that it is");
    balancer_end(&fixture.balancer);
    peer_end(&fixture.peers[1]);
}

static void test_every_balancer_is_asked_before_any_is_told(void **state) {
    Fixture fixture;
    START(&fixture, state, "", "admin");
    fixture.sockets[1] = "/nowhere/admin.sock";
    fixture.haproxy.sockets.count = 2;
    expect_drain_refused(&fixture, ERROR_SYSTEM, "HAProxy at /nowhere/admin.sock: cannot connect");
    expect_status(&fixture, "web1", "no check");
    end(&fixture);
}

/* ---- what only pretends */

static void expect_pretender(PeerScript script, const char *words) {
    Fixture fixture = {0};
    Peer peer;
    char address[32];
    peer_start(&peer, script);
    snprintf(address, sizeof address, "127.0.0.1:%d", peer.port);
    set_up_context(&fixture, address);
    expect_drain_refused(&fixture, ERROR_SYSTEM, words);
    peer_end(&peer);
}

static void test_nonsense_is_an_error(void **state) {
    (void)state;
    expect_pretender((PeerScript){.answer = "HTTP/1.1 400 Bad\x1b[2J\r\n"},
                     "answered: HTTP/1.1 400 Bad?[2J;");
    expect_pretender((PeerScript){.answer = "# pxname,svname,status\nweb,web1,UP\n"}, "answered: # pxname");
    expect_pretender((PeerScript){.answer = "# svname,status,scur,qcur,weight\nweb1\n\n,,,\n"},
                     "knows no server web1");
    expect_pretender((PeerScript){.answer = "\n"}, "answered: ");
}

static void test_silence_is_an_error_in_bounded_time(void **state) {
    (void)state;
    expect_pretender((PeerScript){0}, "closed the connection without an answer");
    expect_pretender((PeerScript){.hold = true}, "did not answer within 5.0 s");
}

static void test_an_answer_without_end_is_an_error(void **state) {
    (void)state;
    expect_pretender((PeerScript){.answer = "# svname,status,scur,qcur,weight\n", .endless = true},
                     "more than 4194304 bytes");
}

static void test_nobody_there_is_an_error(void **state) {
    (void)state;
    Fixture fixture = {0};
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%d", peer_free_port());
    set_up_context(&fixture, address);
    expect_drain_refused(&fixture, ERROR_SYSTEM, "cannot reach 127.0.0.1:");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_goes_out_and_comes_back),
        test_in_folder(test_connections_are_waited_for),
        test_in_folder(test_connections_that_do_not_end_are_counted_and_left),
        test_in_folder(test_the_last_one_that_serves_stays),
        test_in_folder(test_one_that_does_not_serve_may_go_though_nobody_else_does),
        test_in_folder(test_names_that_haproxy_does_not_know_are_errors_with_a_way_out),
        test_in_folder(test_a_socket_that_may_only_look_is_an_error_with_a_way_out),
        test_in_folder(test_weights_are_shares_of_the_normal_one),
        test_in_folder(test_a_share_of_less_than_one_is_refused_before_anything_is_done),
        test_in_folder(test_is_back_only_when_a_health_check_has_seen_it),
        test_in_folder(test_a_server_that_fails_its_checks_is_not_back),
        test_in_folder(test_every_balancer_is_asked_before_any_is_told),
        cmocka_unit_test(test_nonsense_is_an_error),
        cmocka_unit_test(test_silence_is_an_error_in_bounded_time),
        cmocka_unit_test(test_an_answer_without_end_is_an_error),
        cmocka_unit_test(test_nobody_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
