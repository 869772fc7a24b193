/* Server: HTTP/1.1 over TLS for many clients that mostly wait.
 *
 * One process may run several. server_start() listens and starts a small fixed pool of threads and one timer
 * thread; server_stop() answers whoever waits, closes everything and joins all of them.
 *
 * Handling: `handle` is called once a whole request has come, on a thread of the pool, several at a time. It
 * must not block (a thread serves thousands of connections) and, before it returns 0, either answers
 * (server_answer…), parks the request (server_park) or opens a stream (server_stream_open), exactly one of
 * them. When it returns -1, or did nothing, the client gets 500. Everything borrowed from a ServerRequest,
 * and the request itself, is gone when `handle` returns.
 *
 * Parking: a parked request is known by its ticket, which any thread may answer at any time. At its deadline
 * the server gives the default answer itself; when the client goes, its place is free at once. A ticket that
 * was answered, ran out or lost its client is never anybody else's, not even at another server: using it is
 * harmless and gives false.
 *
 * Client certificates are asked for when a CA is given, never demanded: somebody without one, or with one
 * that does not verify (other CA, expired, not for clients), is served with `verified` false. So each route
 * decides, and can say what is wrong.
 *
 * What comes in is bounded: a connection has `request_timeout_ms` to shake hands and send one whole request,
 * however slowly its bytes come (slowloris); sizes are limited (413, 414, 431); paths with control
 * characters, "..", "//", backslashes or encoded slashes, and requests whose length can be read in two ways,
 * get 400. libmicrohttpd's own refusals of broken syntax do not bear the headers of our answers.
 *
 * Strangers: a connection is a stranger's until the handler says that it knows who is there
 * (server_request_is_known). Beyond `limits.strangers` of one address (of IPv6: one /64) further ones are
 * closed before they shake hands, counted, and the log names the address once. So one address never has all
 * places. Hosts behind one address, a fleet behind NAT, are not what is limited: each is a stranger for its
 * handshake and its first request, well below a second. When thousands come back at one moment those too many
 * try again a little later, and find places that the others left by being known; whoever is known stays.
 * Somebody at the very same address who holds all of its places can keep others there from coming anew, and
 * nobody elsewhere.
 *
 * Errors: ERROR_INVALID for settings that cannot be used, ERROR_SYSTEM when listening fails, ERROR_REFUSED
 * when there is no room to park. From the first start on the process ignores SIGPIPE.
 */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Server Server;
typedef struct ServerRequest ServerRequest;
typedef uint64_t ServerTicket; /* never 0 */

typedef struct ServerLimits { /* 0: the default */
    unsigned threads; /* 4; 2–64. Waking one parked request costs time by the number parked per thread */
    unsigned connections; /* 65536, and no more than the limit on descriptors leaves room for */
    unsigned per_address; /* connections of one client address; no limit */
    unsigned strangers;   /* … of those who are not known yet: see below; a quarter of `connections` */
    unsigned parked;      /* 60000: parked requests and open streams together */
    size_t body_max;      /* 1 MiB */
    size_t bodies_max;    /* 256 MiB: of all requests together, while they come and are handled; then 503 */
    size_t headers_max;   /* 8 KiB: memory of one connection: request line, headers, and our own headers */
    size_t stream_max;    /* 1 MiB: text pushed but not sent yet; a slower client is cut off */
    int64_t request_timeout_ms; /* 30 s */
    int64_t idle_timeout_ms;    /* 120 s: between two requests, and without progress of an answer */
    int64_t heartbeat_ms;       /* 15 s: a comment on streams, so that dead clients show */
} ServerLimits;

typedef struct ServerSettings {
    const char *address;         /* numeric IPv4 or IPv6 */
    int port;                    /* 0: any free one, see server_port() */
    const char *certificate_pem; /* own first, then its issuers up to the CA, for clients that only know its
                                    fingerprint. NULL: plain HTTP, on loopback addresses only */
    const char *key_pem;
    const char *ca_pem; /* who signs client certificates; NULL: none are asked for */
    ServerLimits limits;
    int (*handle)(void *context, ServerRequest *request);
    void *context;
} ServerSettings;

/* The texts of `settings` are copied. Free with server_stop, which gives those who wait up to
 * SERVER_GRACE_MS to take their answers. `handle` is not called after it; tickets must not be used after it.
 */
int server_start(const ServerSettings *settings, Server **out, Error *error);
void server_stop(Server *server); /* NULL is allowed */
int server_port(const Server *server);
enum { SERVER_GRACE_MS = 2000 };

typedef struct ServerCounts {
    unsigned connections, parked;
    uint64_t requests; /* whole ones, since the start */
    uint64_t refused;  /* connections of strangers, since then */
} ServerCounts;
ServerCounts server_counts(Server *server);

enum { SERVER_TARGET_MAX = 4096, SERVER_PARAMETERS_MAX = 32, SERVER_ADDRESS_SIZE = 46 };

typedef struct ServerPeer {
    const char *address; /* "192.0.2.7", "::1" */
    bool verified;
    const uint8_t *certificate; /* DER; NULL unless verified */
    size_t certificate_size;
    const char
        *problem; /* why not verified: "none", "expired", "not_yet_valid", "unknown_issuer", "invalid" */
} ServerPeer;

/* Within `handle` only. */
Server *server_request_server(const ServerRequest *request); /* that it came to */
const char *server_request_method(const ServerRequest *request);
const char *server_request_path(const ServerRequest *request); /* decoded; begins with "/" */
/* The first parameter of that name, decoded; NULL when missing. */
const char *server_request_parameter(const ServerRequest *request, const char *name);
const char *server_request_header(const ServerRequest *request, const char *name);
const Buffer *server_request_body(const ServerRequest *request);
const ServerPeer *server_request_peer(const ServerRequest *request);
/* The body as JSON; a new reference. ERROR_INVALID when it is none. */
int server_request_json(const ServerRequest *request, json_t **out, Error *error);

/* Whoever this connection is from is known, by more than an address: it is no stranger's any more. */
void server_request_is_known(ServerRequest *request);

/* Something to keep beside the connection, from one of its requests to the next: free()d with the connection,
 * or when another takes its place. NULL at first. */
void *server_request_kept(const ServerRequest *request);
void server_request_keep(ServerRequest *request, void *kept);

/* One more header for the answer that follows; at most SERVER_HEADERS_EXTRA, values without line ends. */
void server_header(ServerRequest *request, const char *name, const char *value);
enum { SERVER_HEADERS_EXTRA = 4 };

/* Each takes `body` over and leaves it empty; NULL or empty: no body. `content_type` NULL: none. */
void server_answer(ServerRequest *request, int status, const char *content_type, Buffer *body);
void server_answer_json(ServerRequest *request, int status, const json_t *json);

/* `size` bytes of the regular file `fd`, which is closed in any case, or the one range of it that was asked
 * for: 200, 206 or 416; several ranges in one request get the whole. `etag` is strong and quoted
 * ("\"<digest>\""): the same bytes always have the same one, others never. */
void server_answer_file(ServerRequest *request, int fd, uint64_t size, const char *content_type,
                        const char *etag);

/* The answer comes later, or after `wait_ms` is `default_status` without a body. */
int server_park(ServerRequest *request, int64_t wait_ms, int default_status, ServerTicket *out, Error *error);
/* From any thread. True when the client was still there; false: drop what was to be told, or tell it at the
 * next poll. True does not mean that it arrived. `body` is taken over in both cases. */
bool server_answer_parked(Server *server, ServerTicket ticket, int status, const char *content_type,
                          Buffer *body);

/* Server-sent events (text/event-stream). Text is sent as it is: "data: …\n\n". From any thread; false when
 * the client has gone or was too slow. The end comes with server_stream_end, the client or server_stop. */
int server_stream_open(ServerRequest *request, ServerTicket *out, Error *error);
bool server_stream_push(Server *server, ServerTicket ticket, const char *text);
void server_stream_end(Server *server, ServerTicket ticket);
