#include "host/check/port.h"
#include "support/peer.h"
#include <signal.h>
#include <sys/wait.h>

static PortHolder find(int port, pid_t ours) {
    PortHolder holder;
    Error error = {0};
    if (port_find_holder(port, ours, &holder, &error) < 0) fail_msg("%s", error.en);
    return holder;
}

static void test_a_free_port_has_no_holder(void **state) {
    (void)state;
    int port = peer_free_port();
    assert_false(find(port, 0).found);
    assert_false(find(port, getpid()).found);
}

static void test_says_who_holds_it(void **state) {
    (void)state;
    int port, fd = peer_listen(&port);
    PortHolder holder = find(port, 0);
    close(fd);
    assert_true(holder.found);
    assert_int_equal(holder.pid, getpid());
    assert_string_equal(holder.name, "test_port");
}

static void test_a_listener_on_ipv6_counts(void **state) {
    (void)state;
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0) {
        if (fd >= 0) close(fd);
        TEST_SKIP("this machine has no IPv6");
    }
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    assert_true(find(ntohs(address.sin6_port), 0).found);
    close(fd);
}

/* A child in its own session, whose own child holds the port: as a service with a worker. */
static void test_the_service_itself_is_not_in_the_way(void **state) {
    (void)state;
    int port, fd = peer_listen(&port), ready[2];
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t service = fork();
    if (service == 0) {
        setsid();
        if (fork() == 0) {
            if (write(ready[1], "r", 1) != 1) _exit(1);
            pause();
        }
        close(fd);
        pause();
        _exit(0);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(fd);
    PortHolder other = find(port, 0), own = find(port, service);
    kill(-service, SIGKILL);
    waitpid(service, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    assert_true(other.found);
    assert_false(own.found);
    assert_int_equal(own.pid, 0);
}

static void test_another_listener_beside_the_service_is(void **state) {
    (void)state;
    int port, fd = peer_listen(&port);
    assert_true(find(port, 1 << 22).found); /* we hold it, and we are not that process */
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_free_port_has_no_holder),
        cmocka_unit_test(test_says_who_holds_it),
        cmocka_unit_test(test_a_listener_on_ipv6_counts),
        cmocka_unit_test(test_the_service_itself_is_not_in_the_way),
        cmocka_unit_test(test_another_listener_beside_the_service_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
