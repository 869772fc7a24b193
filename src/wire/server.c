#include "wire/server.h"
#include "base/cleanup.h"
#include "base/random.h"
#include "wire/server_room.h"
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/x509.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    THREADS_MAX = 64,
    BACKLOG = 4096,
    DESCRIPTORS_SPARE = 128, /* for everything that is no connection */
    SWALLOW_MAX = 1 << 20,   /* of a body that is too large, so that its sender reads our answer */
    BROKEN_MS = 100,
    STRANGERS_SHARE = 4,      /* of all connections: one in so many is for the strangers of one address */
    HEADERS_MAX_LEAST = 2048, /* libmicrohttpd needs room to write its own */
};

/* Which phases may follow which; completing the request leads back from any but the suspended ones. */
static const bool transitions[SERVER_PHASES][SERVER_PHASES] = {
    [SERVER_RECEIVING] = {[SERVER_SHAKING] = true, [SERVER_HANDLING] = true, [SERVER_ANSWERING] = true},
    [SERVER_SHAKING] = {[SERVER_RECEIVING] = true},
    [SERVER_HANDLING] = {[SERVER_PARKED] = true,
                         [SERVER_ANSWERING] = true,
                         [SERVER_STREAMING] = true,
                         [SERVER_RECEIVING] = true},
    [SERVER_PARKED] = {[SERVER_ANSWERING] = true},
    [SERVER_ANSWERING] = {[SERVER_RECEIVING] = true},
    [SERVER_STREAMING] = {[SERVER_SILENT] = true, [SERVER_RECEIVING] = true},
    [SERVER_SILENT] = {[SERVER_STREAMING] = true},
};

static bool is_busy(ServerPhase phase) { return phase != SERVER_RECEIVING && phase != SERVER_SHAKING; }

void server_phase(ServerConnection *connection, ServerPhase next) {
    Server *server = connection->server;
    assert(transitions[connection->phase][next]);
    server->busy += is_busy(next);
    server->busy -= is_busy(connection->phase);
    connection->phase = next;
    if (server->busy == 0) pthread_cond_broadcast(&server->calm);
}

static ServerConnection *connection_of(struct MHD_Connection *mhd) {
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void connection_begin(Server *server, struct MHD_Connection *mhd, void **context) {
    ServerConnection *connection = calloc(1, sizeof *connection);
    if (!connection) abort();
    connection->server = server;
    connection->mhd = mhd;
    connection->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    *context = connection;
    server_shake_begin(connection);
    pthread_mutex_lock(&server->lock);
    server->connections++;
    server_stranger_begin(connection);
    server_deadline_set(connection, server_now_ms() + server->limits.request_timeout_ms);
    if (server->stopping) shutdown(connection->fd, SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
}

/* libmicrohttpd closes the descriptor after this: while the timer knows a connection, its number is ours. */
static void connection_end(Server *server, ServerConnection *connection) {
    pthread_mutex_lock(&server->lock);
    assert(connection->phase == SERVER_RECEIVING);
    server->connections--;
    server_stranger_end(connection);
    server_deadline_clear(connection);
    pthread_mutex_unlock(&server->lock);
    server_request_free(connection->request);
    free(connection->kept);
    free(connection);
}

static void on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code) {
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_begin(context, mhd, socket_context);
    else if (*socket_context)
        connection_end(context, *socket_context);
}

/* The request line, before libmicrohttpd decodes it its own way. */
static void *on_target(void *context, const char *target, struct MHD_Connection *mhd) {
    (void)context;
    ServerConnection *connection = connection_of(mhd);
    connection->shaken = true;
    server_request_free(connection->request);
    connection->request = calloc(1, sizeof *connection->request);
    if (!connection->request) abort();
    connection->request->connection = connection;
    if (!target) target = "";
    connection->target_end = target + strlen(target);
    connection->target_status = server_target_parse(connection->request, target);
    return NULL;
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **request_context,
                         enum MHD_RequestTerminationCode code) {
    (void)request_context;
    Server *server = context;
    ServerConnection *connection = connection_of(mhd);
    server_request_free(connection->request);
    if (connection->answer) MHD_destroy_response(connection->answer);
    pthread_mutex_lock(&server->lock);
    server_ticket_release(connection);
    buffer_free(&connection->stream);
    connection->request = NULL;
    connection->answer = NULL;
    connection->stream = (Buffer){0};
    connection->stream_sent = 0;
    connection->stream_ends = connection->stream_broken = false;
    connection->begun = connection->waits = false;
    connection->target_status = connection->refusal = 0;
    if (connection->phase != SERVER_RECEIVING) server_phase(connection, SERVER_RECEIVING);
    /* A connection that broke is about to be closed, which libmicrohttpd now and then puts off until the next
     * event: the deadline makes one. */
    int64_t wait_ms = server->limits.idle_timeout_ms + server->limits.request_timeout_ms;
    server_deadline_set(connection, server_now_ms() +
                                        (code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? wait_ms : BROKEN_MS));
    pthread_mutex_unlock(&server->lock);
}

static enum MHD_Result answer_queue(ServerConnection *connection) {
    struct MHD_Response *answer = connection->answer;
    connection->answer = NULL;
    pthread_mutex_lock(&connection->server->lock);
    bool stopping = connection->server->stopping;
    pthread_mutex_unlock(&connection->server->lock);
    if (stopping) server_response_header(answer, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result result = MHD_queue_response(connection->mhd, (unsigned)connection->answer_status, answer);
    MHD_destroy_response(answer);
    return result;
}

static enum MHD_Result answer_empty(ServerConnection *connection, int status) {
    connection->answer = server_response(NULL, NULL);
    connection->answer_status = status;
    return answer_queue(connection);
}

static enum MHD_Result refuse(ServerConnection *connection, int status) {
    pthread_mutex_lock(&connection->server->lock);
    server_phase(connection, SERVER_ANSWERING);
    server_deadline_clear(connection);
    pthread_mutex_unlock(&connection->server->lock);
    return answer_empty(connection, status);
}

/* A NUL in the request line ends the target for us, but not for a proxy before us. libmicrohttpd 0.9 lets it
 * pass, and shows it only by where the version stands: behind the target and one NUL; later ones refuse it.
 */
static bool has_nul(const ServerConnection *connection, const char *version) {
    return strncmp(MHD_get_version(), "0.9.", 4) == 0 && version != connection->target_end + 1;
}

static enum MHD_Result request_begin(ServerConnection *connection, const char *method, const char *version) {
    ServerRequest *request = connection->request;
    connection->begun = true;
    request->method = method;
    if (has_nul(connection, version)) return refuse(connection, MHD_HTTP_BAD_REQUEST);
    int status = connection->target_status ? connection->target_status : server_request_check(request);
    if (status) return refuse(connection, status);
    const char *length = server_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    uint64_t size = length ? strtoull(length, NULL, 10) : 0; /* checked by libmicrohttpd */
    if (size <= connection->server->limits.body_max) return MHD_YES;
    connection->refusal = MHD_HTTP_CONTENT_TOO_LARGE;
    if (size <= connection->server->limits.body_max + SWALLOW_MAX &&
        !server_request_header(request, MHD_HTTP_HEADER_EXPECT))
        return MHD_YES;
    return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE);
}

static enum MHD_Result request_take(ServerConnection *connection, const char *bytes, size_t size) {
    Buffer *body = &connection->request->body;
    size_t limit = connection->server->limits.body_max;
    if (body->size + size > limit) connection->refusal = MHD_HTTP_CONTENT_TOO_LARGE;
    if (body->size + size > limit + SWALLOW_MAX) return MHD_NO;
    Server *server = connection->server;
    if (atomic_fetch_add(&server->body_bytes, size) + size > server->limits.bodies_max)
        connection->refusal = MHD_HTTP_SERVICE_UNAVAILABLE;
    connection->request->counted += size;
    if (connection->refusal) return MHD_YES; /* swallowed: nobody will read it */
    buffer_append(body, bytes, size);
    return MHD_YES;
}

static enum MHD_Result request_whole(ServerConnection *connection) {
    Server *server = connection->server;
    if (connection->refusal) return refuse(connection, connection->refusal);
    pthread_mutex_lock(&server->lock);
    server->requests++;
    server_phase(connection, SERVER_HANDLING);
    server_deadline_clear(connection);
    pthread_mutex_unlock(&server->lock);
    ServerRequest *request = connection->request;
    server_peer_look(request);
    int result = server->handle(server->context, request);
    server_request_free(request);
    connection->request = NULL;
    if (connection->waits) return MHD_YES; /* from here on it may be answered by another thread already */
    if (result < 0 && connection->answer) {
        MHD_destroy_response(connection->answer);
        connection->answer = NULL;
    }
    pthread_mutex_lock(&server->lock);
    if (connection->phase == SERVER_HANDLING) server_phase(connection, SERVER_ANSWERING);
    pthread_mutex_unlock(&server->lock);
    return connection->answer ? answer_queue(connection)
                              : answer_empty(connection, MHD_HTTP_INTERNAL_SERVER_ERROR);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request_context) {
    (void)context, (void)url, (void)request_context;
    ServerConnection *connection = connection_of(mhd);
    if (connection->waits) /* parked, and awake again */
        return connection->answer ? answer_queue(connection)
                                  : answer_empty(connection, connection->default_status);
    if (!connection->begun) return request_begin(connection, method, version);
    if (*upload_size == 0) return request_whole(connection);
    size_t size = *upload_size;
    *upload_size = 0;
    return request_take(connection, upload, size);
}

static void on_complaint(void *context, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
static void on_complaint(void *context, const char *format, va_list arguments) {
    Server *server = context;
    if (atomic_load(&server->started) || server->complaint[0]) return; /* later: clients' mischief */
    vsnprintf(server->complaint, sizeof server->complaint, format, arguments);
    server->complaint[strcspn(server->complaint, "\n")] = '\0';
}

static void limits_settle(ServerLimits *limits) {
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    unsigned room = files.rlim_cur > 2 * DESCRIPTORS_SPARE
                        ? (unsigned)(files.rlim_cur < 1 << 30 ? files.rlim_cur : 1 << 30) - DESCRIPTORS_SPARE
                        : DESCRIPTORS_SPARE;
    if (!limits->threads) limits->threads = 4;
    if (limits->threads < 2) limits->threads = 2; /* libmicrohttpd knows no pool of one */
    if (limits->threads > THREADS_MAX) limits->threads = THREADS_MAX;
    if (!limits->connections) limits->connections = 65536;
    if (limits->connections > room) limits->connections = room;
    if (limits->connections < limits->threads) limits->connections = limits->threads;
    if (!limits->strangers) limits->strangers = limits->connections / STRANGERS_SHARE;
    if (!limits->parked) limits->parked = 60000;
    if (!limits->body_max) limits->body_max = 1 << 20;
    if (!limits->bodies_max) limits->bodies_max = (size_t)256 << 20;
    if (!limits->headers_max) limits->headers_max = 8 << 10;
    if (limits->headers_max < HEADERS_MAX_LEAST) limits->headers_max = HEADERS_MAX_LEAST;
    if (!limits->stream_max) limits->stream_max = 1 << 20;
    if (!limits->request_timeout_ms) limits->request_timeout_ms = 30000;
    if (!limits->idle_timeout_ms) limits->idle_timeout_ms = 120000;
    if (!limits->heartbeat_ms) limits->heartbeat_ms = 15000;
}

static bool address_is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 ==
               IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
              "one place for ports");

static int listen_on(const struct addrinfo *found, int *out_port) {
    FD_AUTO fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int yes = 1;
    struct sockaddr_in6 bound = {0}; /* the port stands at the same place in an IPv4 address */
    socklen_t size = sizeof bound;
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes); /* a restart does not wait for TIME_WAIT */
    if (bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &size) < 0)
        return -1;
    *out_port = ntohs(bound.sin6_port);
    return fd_take(&fd);
}

static int server_listen(const ServerSettings *settings, int *out_fd, int *out_port, Error *error) {
    char port[12];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    snprintf(port, sizeof port, "%d", settings->port);
    if (settings->port < 0 || settings->port > 65535 ||
        getaddrinfo(settings->address, port, &hints, &found) != 0)
        return error_set(error, ERROR_INVALID, "%s port %d is no numeric address to listen on",
                         settings->address, settings->port);
    int result = 0, fd;
    if (!settings->certificate_pem && !address_is_loopback(found->ai_addr))
        result = error_set(error, ERROR_INVALID, "without a certificate only loopback addresses are served");
    else if ((fd = listen_on(found, out_port)) < 0)
        result = error_errno(error, ERROR_SYSTEM, errno, "cannot listen on %s port %d", settings->address,
                             settings->port);
    else
        *out_fd = fd;
    freeaddrinfo(found);
    return result;
}

static struct MHD_Daemon *daemon_start(Server *server, const ServerSettings *settings, int fd) {
    const ServerLimits *limits = &server->limits;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)settings->certificate_pem},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)settings->key_pem},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {settings->ca_pem ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0, (void *)settings->ca_pem},
        {MHD_OPTION_END, 0, NULL},
    };
    if (settings->certificate_pem)
        flags |= MHD_USE_TLS;
    else
        tls[0].option = MHD_OPTION_END;
    return MHD_start_daemon(
        flags, 0, server_stranger_admit, server, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_complaint,
        server, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_LISTEN_BACKLOG_SIZE, (unsigned)BACKLOG,
        MHD_OPTION_THREAD_POOL_SIZE, limits->threads, MHD_OPTION_CONNECTION_LIMIT, limits->connections,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, limits->per_address, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        limits->headers_max, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)((limits->idle_timeout_ms + 999) / 1000), MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_URI_LOG_CALLBACK, on_target, server,
        MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

static void server_free(Server *server) {
    if (server->epoll_fd >= 0) close(server->epoll_fd);
    if (server->wake_fd >= 0) close(server->wake_fd);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->calm);
    text_map_free(server->origins); /* of connections, which have all ended */
    free(server->slots);
    free(server->heap);
    free(server);
}

static Server *server_new(const ServerSettings *settings) {
    Server *server = calloc(1, sizeof *server);
    pthread_condattr_t steady;
    if (!server) abort();
    server->limits = settings->limits;
    limits_settle(&server->limits);
    server->handle = settings->handle;
    server->context = settings->context;
    server->epoll_fd = server->wake_fd = -1;
    server->origins = text_map_new();
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&server->calm, &steady);
    pthread_condattr_destroy(&steady);
    server->slots = calloc(server->limits.parked, sizeof *server->slots);
    if (!server->slots) abort();
    /* A ticket of a server that was stopped is nobody's at the one that takes its place. */
    uint32_t generation;
    random_bytes(&generation, sizeof generation);
    for (uint32_t number = server->limits.parked; number > 0; number--) {
        server->slots[number - 1].generation = generation & INT32_MAX;
        server->slots[number - 1].next_free = server->slot_free;
        server->slot_free = number;
    }
    return server;
}

/* libmicrohttpd takes a CA that is none for one that signed nobody. */
static int ca_check(const char *pem, Error *error) {
    gnutls_datum_t text = {.data = (unsigned char *)pem, .size = (unsigned)strlen(pem)};
    gnutls_x509_crt_t *certificates = NULL;
    unsigned count = 0;
    int code = gnutls_x509_crt_list_import2(&certificates, &count, &text, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0) return error_set(error, ERROR_INVALID, "the CA's certificate cannot be read");
    for (unsigned i = 0; i < count; i++) gnutls_x509_crt_deinit(certificates[i]);
    gnutls_free(certificates);
    return 0;
}

int server_start(const ServerSettings *settings, Server **out, Error *error) {
    FD_AUTO fd = -1;
    int port = 0;
    if (settings->ca_pem && ca_check(settings->ca_pem, error) < 0) return -1;
    if (server_listen(settings, &fd, &port, error) < 0) return -1;
    signal(SIGPIPE, SIG_IGN); /* GnuTLS writes to sockets that the other side may have closed */
    Server *server = server_new(settings);
    server->port = port;
    if (server_timer_start(server, error) < 0) {
        server_free(server);
        return -1;
    }
    server->daemon = daemon_start(server, settings, fd_take(&fd)); /* which closes it, failing too */
    atomic_store(&server->started, true);
    if (!server->daemon) {
        error_set(error, ERROR_INVALID, "cannot serve on %s port %d: %s", settings->address, port,
                  server->complaint);
        server_timer_end(server);
        server_free(server);
        return -1;
    }
    *out = server;
    return 0;
}

int server_port(const Server *server) { return server->port; }

ServerCounts server_counts(Server *server) {
    pthread_mutex_lock(&server->lock);
    ServerCounts counts = {server->connections, server->parked, server->requests, server->refused};
    pthread_mutex_unlock(&server->lock);
    return counts;
}

/* Wake whoever waits, and give them a while to take what they get. Nobody is suspended afterwards, which
 * libmicrohttpd insists on: `stopping` refuses new ones. */
static void server_say_goodbye(Server *server) {
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += SERVER_GRACE_MS / 1000;
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    for (uint32_t i = 0; i < server->limits.parked; i++) {
        ServerConnection *connection = server->slots[i].connection;
        if (connection && (connection->phase == SERVER_PARKED || connection->phase == SERVER_SILENT))
            server_wake(connection);
    }
    while (server->busy && pthread_cond_timedwait(&server->calm, &server->lock, &end) == 0) continue;
    pthread_mutex_unlock(&server->lock);
}

/* Their deadlines say who they are; `stopping` lets no new one be suspended. */
static void server_drop_handshakes(Server *server) {
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < server->heap_size; i++)
        if (server->heap[i]->phase == SERVER_SHAKING) server_shake_go_on(server->heap[i]);
    pthread_mutex_unlock(&server->lock);
}

void server_stop(Server *server) {
    if (!server) return;
    server_say_goodbye(server);
    server_timer_end(server);
    server_drop_handshakes(server);
    MHD_stop_daemon(server->daemon);
    server_free(server);
}
