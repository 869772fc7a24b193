/* Connections of a swarm: one thread, epoll, and OpenSSL that never waits. */
#include "swarm.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PER_ADDRESS = 10000, EVENTS = 512, READ_SIZE = 16384, HEAD_MAX = 8192 };

void swarm_open(Swarm *swarm) {
    swarm->epoll = epoll_create1(EPOLL_CLOEXEC);
    swarm->context = SSL_CTX_new(TLS_client_method());
    swarm->latencies_s = calloc(SWARM_LATENCIES, sizeof *swarm->latencies_s);
    if (swarm->epoll < 0 || !swarm->context || !swarm->latencies_s) swarm_die("no room");
    SSL_CTX_set_min_proto_version(swarm->context, TLS1_3_VERSION);
    SSL_CTX_set_mode(swarm->context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(swarm->context, SSL_VERIFY_NONE, NULL); /* the controller's work is the same */
    SSL_CTX_set_session_cache_mode(swarm->context, SSL_SESS_CACHE_OFF);
    swarm->wait_ms = -1;
}

/* ---- one connection */

static void watch(const Swarm *swarm, Agent *agent, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = agent};
    if (epoll_ctl(swarm->epoll, operation, agent->fd, &event) < 0) swarm_die("epoll_ctl");
}

static void leave(Swarm *swarm, Agent *agent) {
    if (agent->state == AGENT_SHAKING) swarm->shaking--;
    if (agent->state == AGENT_IDLE) swarm->idle--;
    if (agent->state == AGENT_ASKING) swarm->asking--;
    agent->state = AGENT_AWAY;
    SSL_free(agent->tls);
    agent->tls = NULL;
    close(agent->fd);
    agent->fd = -1;
    buffer_free(&agent->in);
    buffer_free(&agent->out);
}

static void lose(Swarm *swarm, Agent *agent) {
    if (swarm->lost++ == 0) {
        fprintf(stderr, "%s: connection lost in state %d: %s\n", agent->name, (int)agent->state,
                strerror(errno));
        ERR_print_errors_fp(stderr);
    }
    ERR_clear_error();
    leave(swarm, agent);
}

/* Ports of one address would not do for all: each PER_ADDRESS agents have an address of their own. */
static void call_up(const Swarm *swarm, Agent *agent, size_t index) {
    const int yes = 1;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr =
                                   htonl(INADDR_LOOPBACK + 1 + (uint32_t)(index / PER_ADDRESS))};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)swarm->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    agent->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (agent->fd < 0) swarm_die("socket");
    setsockopt(agent->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    setsockopt(agent->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (bind(agent->fd, (struct sockaddr *)&from, sizeof from) < 0 ||
        (connect(agent->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS))
        swarm_die("connect");
    agent->tls = SSL_new(swarm->context);
    if (!agent->tls) abort();
    SSL_set_fd(agent->tls, agent->fd);
    SSL_set_connect_state(agent->tls);
    if (agent->certificate && (SSL_use_certificate(agent->tls, agent->certificate) != 1 ||
                               SSL_use_PrivateKey(agent->tls, agent->key) != 1))
        swarm_die("a certificate will not do");
    agent->state = AGENT_SHAKING;
    watch(swarm, agent, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT | EPOLLET);
}

static void connect_more(Swarm *swarm) {
    while (swarm->begun < swarm->wanted && swarm->shaking < swarm->parallel) {
        call_up(swarm, &swarm->agents[swarm->begun], swarm->begun);
        swarm->begun++;
        swarm->shaking++;
    }
}

void swarm_connect(Swarm *swarm, int port, size_t wanted, size_t parallel) {
    swarm->port = port;
    swarm->wanted = wanted < swarm->count ? wanted : swarm->count;
    swarm->parallel = parallel;
    connect_more(swarm);
}

/* ---- talking */

static bool would_wait(const Agent *agent, int result) {
    int why = SSL_get_error(agent->tls, result);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

/* False when the connection is gone. */
static bool send_rest(Agent *agent) {
    while (agent->sent < agent->out.size) {
        int result =
            SSL_write(agent->tls, agent->out.data + agent->sent, (int)(agent->out.size - agent->sent));
        if (result <= 0) return would_wait(agent, result);
        agent->sent += (size_t)result;
    }
    if (agent->out.size) buffer_free(&agent->out);
    agent->sent = 0;
    return true;
}

static void ask(Swarm *swarm, Agent *agent) {
    swarm_ask(swarm, agent);
    agent->asked_s = swarm_now_s();
    if (agent->state == AGENT_IDLE) swarm->idle--;
    if (agent->state != AGENT_ASKING) swarm->asking++;
    agent->state = AGENT_ASKING;
    if (!send_rest(agent)) lose(swarm, agent);
}

static void rest(Swarm *swarm, Agent *agent) {
    if (agent->state == AGENT_ASKING) swarm->asking--;
    agent->state = AGENT_IDLE;
    swarm->idle++;
}

/* Is a whole answer here? Then it is heard, and taken off. */
static bool hear_one(Swarm *swarm, Agent *agent) {
    const char *text = buffer_text(&agent->in), *end = strstr(text, "\r\n\r\n");
    if (!end) {
        if (agent->in.size > HEAD_MAX) swarm_die("an endless head");
        return false;
    }
    const char *length = strcasestr(text, "\r\nContent-Length:");
    size_t head = (size_t)(end - text) + 4;
    size_t size = length && length < end ? strtoul(length + strlen("\r\nContent-Length:"), NULL, 10) : 0;
    if (agent->in.size < head + size) return false;
    if (agent->in.size > head + size || strncmp(text, "HTTP/1.1 ", 9) != 0) swarm_die("more than one answer");
    swarm_hear(swarm, agent, (int)strtol(text + 9, NULL, 10), text + head, size);
    buffer_free(&agent->in);
    return true;
}

static bool read_all(Swarm *swarm, Agent *agent) {
    static char bytes[READ_SIZE];
    for (;;) {
        int got = SSL_read(agent->tls, bytes, sizeof bytes);
        if (got <= 0) return would_wait(agent, got);
        buffer_append(&agent->in, bytes, (size_t)got);
        if (agent->state != AGENT_ASKING || !hear_one(swarm, agent)) continue;
        if (agent->errand == ERRAND_JOIN) return false; /* done: the next agent's turn */
        rest(swarm, agent);
        if (swarm_has_errand(swarm, agent)) ask(swarm, agent);
        if (agent->state == AGENT_AWAY) return true;
    }
}

static void shake(Swarm *swarm, Agent *agent) {
    int result = SSL_do_handshake(agent->tls);
    if (result != 1) {
        if (!would_wait(agent, result)) {
            lose(swarm, agent);
            connect_more(swarm);
        }
        return;
    }
    swarm->shaking--;
    agent->state = AGENT_IDLE;
    swarm->idle++;
    swarm_note(&swarm->shaken);
    if (swarm_has_errand(swarm, agent)) ask(swarm, agent);
    connect_more(swarm);
}

static void serve(Swarm *swarm, Agent *agent) {
    if (agent->state == AGENT_SHAKING) shake(swarm, agent);
    if (agent->state == AGENT_AWAY || agent->state == AGENT_SHAKING) return;
    bool join = agent->token != NULL;
    if (!send_rest(agent) || !read_all(swarm, agent)) {
        if (!join || agent->token)
            lose(swarm, agent);
        else
            leave(swarm, agent);
    }
}

void swarm_go_on(Swarm *swarm) {
    for (size_t i = 0; i < swarm->begun; i++) {
        Agent *agent = &swarm->agents[i];
        if (agent->state == AGENT_IDLE && swarm_has_errand(swarm, agent)) ask(swarm, agent);
    }
}

void swarm_turn(Swarm *swarm, int timeout_ms) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(swarm->epoll, events, EVENTS, timeout_ms);
    for (int i = 0; i < count; i++)
        if (events[i].data.ptr) serve(swarm, events[i].data.ptr);
}
