/* Balancer: a real HAProxy or nginx on loopback, in a test's folder, until it is ended. */
#pragma once
#include "support/peer.h"
#include "support/test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>

typedef struct Balancer {
    pid_t pid;          /* 0: it does not run */
    int port;           /* of its front */
    const char *socket; /* that is connected to, to see whether it runs; NULL: its front is */
    char program[64];
    char configuration[128];
} Balancer;

/* False when this machine has no such program. */
static inline bool balancer_find(const char *name, char path[static 64]) {
    static const char *const folders[] = {"/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, 64, "%s/%s", folders[i], name);
        if (access(path, X_OK) == 0) return true;
    }
    return false;
}

static inline void balancer_write(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A connection to a port of loopback, or -1. */
static inline int balancer_connect(int port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

/* A connection to a socket of the file system, or -1. */
static inline int balancer_connect_path(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.107s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

/* Runs it with `argv` and waits until it listens. */
static inline void balancer_start(Balancer *balancer, const char *const *argv) {
    balancer->pid = fork();
    assert_true(balancer->pid >= 0);
    if (balancer->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* a test that fails does not come to balancer_end() */
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++) dup2(null, fd);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    for (int i = 0; i < 1000; i++) {
        int fd =
            balancer->socket ? balancer_connect_path(balancer->socket) : balancer_connect(balancer->port);
        if (fd >= 0) {
            close(fd);
            return;
        }
        usleep(10000);
    }
    fail_msg("%s does not listen on %d", argv[0], balancer->port);
}

static inline void balancer_end(Balancer *balancer) {
    if (balancer->pid <= 0) return;
    kill(balancer->pid, SIGTERM);
    waitpid(balancer->pid, NULL, 0);
    balancer->pid = 0;
}
