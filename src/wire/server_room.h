/* ServerRoom: what the files of the server share. Private to wire/server*.c.
 *
 * A connection's phase, changed only under the server's lock:
 *
 *      SHAKING ◀─▶ (TLS handshake: nothing to read, bytes came or the deadline)
 *         ▲
 *         ▼          whole request           answer ready
 *     ┌─▶ RECEIVING ───────────────▶ HANDLING ─────────────▶ ANSWERING ─┐
 *     │                               │    │  answered, ran out,  ▲     │
 *     │                          park │    │  client gone, stop   │     │
 *     │                               ▼    │                      │     │
 *     │                             PARKED ┼──────────────────────┘     │
 *     │            stream_open             ▼      nothing to send       │
 *     │                               STREAMING ◀──────────────▶ SILENT │
 *     │                                    │      push, beat, end       │
 *     └────────────────────────────────────┴────────────────────────────┘ request completed
 *
 * In PARKED, SILENT and SHAKING the connection is suspended: libmicrohttpd does not look at it, so its socket
 * and its deadline are the timer thread's; in RECEIVING its deadline is, too. Only the timer thread, and
 * server_stop after it ended, lead out of SHAKING. Nobody but its own thread in the pool ever closes a
 * connection, and never a suspended one: a connection found by ticket under the lock, in one of these phases,
 * is alive.
 *
 * Locks: libmicrohttpd's are taken inside ours (suspend, resume), and it calls us back with none of its own
 * held that these take.
 */
#pragma once
#include "base/text_map.h"
#include "wire/server.h"
#include <assert.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

typedef enum ServerPhase {
    SERVER_RECEIVING,
    SERVER_SHAKING,
    SERVER_HANDLING,
    SERVER_PARKED,
    SERVER_ANSWERING,
    SERVER_STREAMING,
    SERVER_SILENT,
    SERVER_PHASES
} ServerPhase;

typedef struct ServerParameter {
    const char *name, *value; /* in ServerRequest.target */
} ServerParameter;

typedef struct ServerHeader {
    char *name, *value;
} ServerHeader;

typedef struct ServerConnection ServerConnection;
typedef struct ServerOrigin ServerOrigin;
struct ServerRequest {
    ServerConnection *connection;
    const char *method;
    char *target; /* decoded in place: path, then parameters */
    ServerParameter parameters[SERVER_PARAMETERS_MAX];
    size_t parameter_count;
    Buffer body;
    size_t counted; /* bytes that the server counts for it */
    ServerPeer peer;
    char address[SERVER_ADDRESS_SIZE];
    ServerHeader headers[SERVER_HEADERS_EXTRA];
    size_t header_count;
};

struct ServerConnection {
    Server *server;
    struct MHD_Connection *mhd;
    int fd;
    ServerPhase phase;
    int64_t deadline_ms; /* steady; meaning by phase */
    size_t heap_index;   /* 1-based place among the deadlines; 0: none */
    ServerTicket ticket; /* 0: none */

    ServerRequest *request; /* from the request line on, until the handler returned */
    const char *target_end; /* where it ended in libmicrohttpd's buffer */
    bool shaken;            /* a request has come: the handshake is over */
    bool begun, waits;      /* waits: parked or streaming: the handler's thread has no more to do */
    int target_status;      /* 0, or why the request line is refused */
    int refusal;            /* 0, or the status after the body was swallowed */
    struct MHD_Response *answer;
    int answer_status, default_status;

    Buffer stream;
    size_t stream_sent;
    bool stream_ends, stream_broken;

    ServerOrigin *origin; /* of a stranger; NULL: somebody who is known */

    void *kept;                         /* the handler's: server_request_keep() */
    struct gnutls_session_int *session; /* NULL: plain HTTP */
    bool peer_known;                    /* the certificate was looked at, once a connection */
    const char *peer_problem;
    const uint8_t *certificate; /* the TLS session's */
    size_t certificate_size;
    int64_t certificate_ends_s;
};

typedef struct ServerSlot {
    ServerConnection *connection;
    uint32_t generation, next_free;
} ServerSlot;

struct Server {
    ServerLimits limits;
    int (*handle)(void *context, ServerRequest *request);
    void *context;
    struct MHD_Daemon *daemon;
    int port;
    atomic_bool started;
    atomic_size_t body_bytes; /* of all requests */
    char complaint[256];      /* libmicrohttpd's first one while starting */

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t calm;  /* `busy` became 0 */
    bool stopping, timer_ends;
    unsigned connections, busy; /* busy: with a whole request */
    uint64_t requests, refused; /* refused: connections of strangers */
    TextMap *origins;           /* of the strangers, by address */

    ServerSlot *slots;
    uint32_t slot_free; /* index + 1; 0: none */
    unsigned parked;

    ServerConnection **heap; /* the earliest deadline first */
    size_t heap_size, heap_capacity;
    pthread_t timer;
    int epoll_fd, wake_fd;
};

/* server.c; with the lock held */
void server_phase(ServerConnection *connection, ServerPhase next);

/* server_request.c */
int server_target_parse(ServerRequest *request, const char *target); /* 0, or a status */
int server_request_check(ServerRequest *request);                    /* 0, or a status */
void server_peer_look(ServerRequest *request);
void server_request_free(ServerRequest *request); /* NULL is allowed */

/* server_answer.c */
struct MHD_Response *server_response(const char *content_type, Buffer *body);
void server_response_header(struct MHD_Response *response, const char *name, const char *value);
void server_answer_set(ServerRequest *request, int status, struct MHD_Response *response);

/* server_park.c; with the lock held */
void server_suspend(ServerConnection *connection, ServerPhase phase, int64_t wait_ms);
void server_wake(ServerConnection *connection);
void server_ticket_release(ServerConnection *connection);
ServerConnection *server_ticket_connection(Server *server, ServerTicket ticket);

/* server_shake.c; go_on with the lock held */
void server_shake_begin(ServerConnection *connection);
void server_shake_go_on(ServerConnection *connection);

/* server_stranger.c; begin and end with the lock held, admit takes it */
enum MHD_Result server_stranger_admit(void *server, const struct sockaddr *from, socklen_t size);
void server_stranger_begin(ServerConnection *connection);
void server_stranger_end(ServerConnection *connection);

/* server_timer.c */
int server_timer_start(Server *server, Error *error);
void server_timer_end(Server *server);
int64_t server_now_ms(void);
/* with the lock held; replaces the connection's deadline */
void server_deadline_set(ServerConnection *connection, int64_t deadline_ms);
void server_deadline_clear(ServerConnection *connection);
/* with the lock held: act when the client of a suspended connection goes, or, in SHAKING, sends */
void server_watch(ServerConnection *connection);
void server_unwatch(ServerConnection *connection);
