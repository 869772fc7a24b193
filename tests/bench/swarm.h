/* Swarm: thousands of agents in one process, to see what a controller bears.
 *
 *     swarm_make()      their keys and certificates, signed by the controller's own authority, and the
 * journal that says they have joined: before the controller starts, so that joining takes no minutes
 *     swarm_connect()   a connection of TLS 1.3 each, from several addresses of 127.0.0.0/8, a few handshakes
 * at once swarm_turn()      whatever their sockets have for them
 *
 * Each agent does what a host's does, in the same requests and the same order, over one connection: it asks
 * for work and is parked; takes an order; fetches the change's document once; reports what it did; asks
 * again. Where a host would be busy for minutes, it answers at once. It has no disk and fetches no package:
 * what is measured is the controller.
 */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "model/order.h"
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum AgentState { AGENT_AWAY, AGENT_SHAKING, AGENT_IDLE, AGENT_ASKING } AgentState;
typedef enum AgentErrand { ERRAND_WORK, ERRAND_DOCUMENT, ERRAND_REPORT, ERRAND_JOIN } AgentErrand;

typedef struct Agent {
    char name[32];
    EVP_PKEY *key;
    X509 *certificate; /* NULL: it has yet to join, with `token` */
    char *token;

    AgentState state;
    AgentErrand errand;
    int fd;
    SSL *tls;
    double asked_s;
    Buffer in, out;
    size_t sent;

    char seen[40], change[64];
    Order order; /* the last one taken; its id is "" before the first */
    bool answered, documented, switched;
    bool health_due;
    int64_t number; /* of its last report */
} Agent;

typedef struct Span { /* of moments, by the monotonic clock */
    uint64_t count;
    double first_s, last_s;
} Span;

typedef struct Swarm {
    Agent *agents;
    size_t count;
    int epoll;
    SSL_CTX *context;
    int port;
    size_t wanted, begun, shaking, parallel; /* connections: how many shall be, were begun, shake hands */
    bool answering;                          /* orders are carried out, at once */
    int64_t wait_ms;                         /* of a poll; -1: none are begun */

    size_t idle, asking;
    uint64_t lost; /* connections that ended */
    Span shaken, polls, reports, joins, orders[ORDER_KINDS];
    double *latencies_s; /* of polls, the last SWARM_LATENCIES */
} Swarm;

enum { SWARM_LATENCIES = 65536 };

double swarm_now_s(void);
void swarm_die(const char *what) __attribute__((noreturn));

/* swarm_make.c: `joined` hosts that are of the fleet, and `strangers` that are not yet. */
void swarm_make(Swarm *swarm, const char *state, size_t joined, size_t strangers);

/* swarm_agent.c */
void swarm_open(Swarm *swarm);
void swarm_connect(Swarm *swarm, int port, size_t wanted, size_t parallel);
void swarm_go_on(Swarm *swarm); /* idle agents ask again, as far as they may */
void swarm_turn(Swarm *swarm, int timeout_ms);

/* swarm_talk.c: what they say, and what they make of the answer. */
void swarm_ask(const Swarm *swarm, Agent *agent);
void swarm_hear(Swarm *swarm, Agent *agent, int status, const char *body, size_t size);
bool swarm_has_errand(const Swarm *swarm, const Agent *agent);
void swarm_note(Span *span);
