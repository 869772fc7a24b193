/* Served: a wire/server on a free loopback port, and raw connections to it. */
#pragma once
#include "support/certificates.h"
#include "wire/server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

typedef int (*ServedHandle)(void *context, ServerRequest *request);

typedef struct Served {
    Server *server;
    Authority authority;
    Identity identity;
} Served;

static inline int served_port(const Served *served) { return server_port(served->server); }

/* Plain HTTP. */
static inline void served_start(Served *served, ServedHandle handle, void *context, ServerLimits limits) {
    Error error = {0};
    *served = (Served){0};
    ServerSettings settings = {
        .address = "127.0.0.1", .limits = limits, .handle = handle, .context = context};
    if (server_start(&settings, &served->server, &error) < 0) fail_msg("%s", error.en);
}

/* TLS with a CA of its own, which is asked of clients too. */
static inline void served_start_tls(Served *served, ServedHandle handle, void *context, ServerLimits limits) {
    Error error = {0};
    *served = (Served){0};
    authority_make(&served->authority, "served");
    identity_make(&served->identity, &served->authority,
                  (IdentityWish){.names = "IP:127.0.0.1", .purpose = "serverAuth"});
    ServerSettings settings = {.address = "127.0.0.1",
                               .certificate_pem = served->identity.pem,
                               .key_pem = served->identity.key_pem,
                               .ca_pem = served->authority.pem,
                               .limits = limits,
                               .handle = handle,
                               .context = context};
    if (server_start(&settings, &served->server, &error) < 0) fail_msg("%s", error.en);
}

static inline void served_end(Served *served) {
    server_stop(served->server);
    if (served->authority.key) {
        authority_free(&served->authority);
        identity_free(&served->identity);
    }
}

static inline int raw_connect(int port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static inline bool raw_send_bytes(int fd, const char *bytes, size_t size) {
    for (size_t sent = 0; sent < size;) {
        ssize_t part = send(fd, bytes + sent, size - sent, MSG_NOSIGNAL);
        if (part <= 0) return false;
        sent += (size_t)part;
    }
    return true;
}
static inline bool raw_send(int fd, const char *text) { return raw_send_bytes(fd, text, strlen(text)); }

/* Append what comes until `text` (NULL: nothing) stands in it or the other side closes: 1 and 0. -1: nothing
 * happened for 30 seconds. */
static inline int raw_read(int fd, Buffer *out, const char *text) {
    char bytes[4096];
    for (;;) {
        if (text && strstr(buffer_text(out), text)) return 1;
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, 30000) <= 0) return -1;
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got <= 0) return 0;
        buffer_append(out, bytes, (size_t)got);
    }
}

/* Send a request on a new connection and read until the server closes. */
static inline void raw_ask_bytes(int port, const char *request, size_t size, Buffer *out) {
    int fd = raw_connect(port);
    raw_send_bytes(fd, request, size); /* may be cut off by a refusal */
    assert_int_equal(raw_read(fd, out, NULL), 0);
    close(fd);
}
static inline void raw_ask(int port, const char *request, Buffer *out) {
    raw_ask_bytes(port, request, strlen(request), out);
}

static inline int raw_status(const Buffer *answer) {
    const char *text = buffer_text(answer);
    return strncmp(text, "HTTP/1.1 ", 9) == 0 ? (int)strtol(text + 9, NULL, 10) : 0;
}

static inline const char *raw_body(const Buffer *answer) {
    const char *end = strstr(buffer_text(answer), "\r\n\r\n");
    return end ? end + 4 : "";
}

/* Wait until `condition` holds; fails the test after 30 seconds. */
#define EVENTUALLY(condition)                                                                                \
    do {                                                                                                     \
        for (int tries_ = 0; !(condition); tries_++) {                                                       \
            if (tries_ == 3000) fail_msg("never came true: %s", #condition);                                 \
            usleep(10000);                                                                                   \
        }                                                                                                    \
    } while (0)
