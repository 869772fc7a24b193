#include "support/peer.h"
#include "wire/tcp.h"
#include <errno.h>

static void test_takes_an_address_apart(void **state) {
    (void)state;
    static const struct {
        const char *address, *host;
        int port;
    } rows[] = {{"db.example:5432", "db.example", 5432},
                {"127.0.0.1:1", "127.0.0.1", 1},
                {"[::1]:65535", "::1", 65535},
                {"my_host:080", "my_host", 80}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char host[TCP_HOST_SIZE];
        int port = 0;
        assert_int_equal(tcp_address_parse(rows[i].address, host, &port, NULL), 0);
        assert_string_equal(host, rows[i].host);
        assert_int_equal(port, rows[i].port);
    }
}

static void test_refuses_what_is_no_address(void **state) {
    (void)state;
    static const char *const rows[] = {
        "",           "host",          ":80",       "host:",       "host:0",
        "host:65536", "host:99999999", "host:8o",   "host:80:80",  "::1:80",
        "[::1]",      "[::1]80",       "[host]:80", "u@host:80",   "host/path:80",
        "a b:80",     "host:-1",       "[::1:80",   "h\xc3\xa4:80"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char host[TCP_HOST_SIZE];
        int port;
        Error error = {0};
        if (tcp_address_parse(rows[i], host, &port, &error) == 0) fail_msg("taken: %s", rows[i]);
        assert_int_equal(error.kind, ERROR_INVALID);
    }
}

static void test_connects(void **state) {
    (void)state;
    Peer peer;
    char address[64], text[3] = "";
    int fd = -1;
    Error error = {0};
    peer_start(&peer, (PeerScript){.answer = "ok"});
    snprintf(address, sizeof address, "127.0.0.1:%d", peer.port);
    if (tcp_connect(address, 20000, NULL, &fd, &error) < 0) fail_msg("%s", error.en);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(fd, "?", 1), 1);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 20000), 1);
    assert_int_equal(read(fd, text, 2), 2);
    assert_string_equal(text, "ok");
    close(fd);
    peer_end(&peer);
}

static void test_says_why_it_cannot(void **state) {
    (void)state;
    char address[64];
    int fd = -7;
    Error error = {0};
    snprintf(address, sizeof address, "127.0.0.1:%d", peer_free_port());
    assert_int_equal(tcp_connect(address, 20000, NULL, &fd, &error), -1);
    assert_int_equal(error.kind, ERROR_SYSTEM);
    assert_int_equal(error.number, ECONNREFUSED);
    assert_non_null(strstr(error.en, address));
    assert_int_equal(fd, -7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_an_address_apart),
        cmocka_unit_test(test_refuses_what_is_no_address),
        cmocka_unit_test(test_connects),
        cmocka_unit_test(test_says_why_it_cannot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
