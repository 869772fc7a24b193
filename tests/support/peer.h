/* Peer: a server on a free loopback port that answers every connection in one scripted way, until it is
 * ended. */
#pragma once
#include "support/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

typedef struct PeerScript {
    const char *answer; /* sent after the request's first bytes came; NULL: none */
    size_t size;        /* of the answer; 0: strlen */
    int delay_ms;       /* before the answer */
    bool hold;          /* keep the connection open instead of closing it after the answer */
    bool endless;       /* repeat the answer until the other side goes */
} PeerScript;

typedef struct Peer {
    PeerScript script;
    int listener, port;
    pthread_t thread;
    atomic_bool end;
    atomic_int connections;
    char request[4096]; /* the last one's first bytes */
} Peer;

/* False when the peer is to end. */
static inline bool peer_wait(Peer *peer, int fd, short events, int ms) {
    for (; ms > 0 && !atomic_load(&peer->end); ms -= 10) {
        struct pollfd ready = {.fd = fd, .events = events};
        if (fd >= 0 && poll(&ready, 1, 10) > 0) return true;
        if (fd < 0) usleep(10000);
    }
    return !atomic_load(&peer->end);
}

static inline void peer_serve(Peer *peer, int fd) {
    const PeerScript *script = &peer->script;
    if (!peer_wait(peer, fd, POLLIN, 10000)) return;
    ssize_t got = read(fd, peer->request, sizeof peer->request - 1);
    peer->request[got > 0 ? got : 0] = '\0';
    if (!peer_wait(peer, -1, 0, script->delay_ms)) return;
    size_t size = script->size ? script->size : script->answer ? strlen(script->answer) : 0;
    do {
        for (size_t sent = 0; sent < size;) {
            ssize_t part = send(fd, script->answer + sent, size - sent, MSG_NOSIGNAL);
            if (part <= 0) return;
            sent += (size_t)part;
        }
    } while (script->endless && !atomic_load(&peer->end));
    char rest[256];
    while (script->hold && peer_wait(peer, fd, POLLIN, 10))
        if (recv(fd, rest, sizeof rest, MSG_DONTWAIT) == 0) return;
}

static inline void *peer_main(void *context) {
    Peer *peer = context;
    while (!atomic_load(&peer->end)) {
        struct pollfd ready = {.fd = peer->listener, .events = POLLIN};
        if (poll(&ready, 1, 10) <= 0) continue;
        int fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) continue;
        atomic_fetch_add(&peer->connections, 1);
        peer_serve(peer, fd);
        close(fd);
    }
    return NULL;
}

/* A listening socket on 127.0.0.1, port chosen by the kernel. */
static inline int peer_listen(int *out_port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *out_port = ntohs(address.sin_port);
    return fd;
}

static inline void peer_start(Peer *peer, PeerScript script) {
    memset(peer, 0, sizeof *peer);
    peer->script = script;
    peer->listener = peer_listen(&peer->port);
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_main, peer), 0);
}

static inline void peer_end(Peer *peer) {
    atomic_store(&peer->end, true);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
}

/* A port of 127.0.0.1 where nobody listens (until somebody else is given it). */
static inline int peer_free_port(void) {
    int port;
    close(peer_listen(&port));
    return port;
}

static inline const char *peer_url(const Peer *peer, const char *rest, char url[static 256]) {
    snprintf(url, 256, "http://127.0.0.1:%d%s", peer->port, rest);
    return url;
}
