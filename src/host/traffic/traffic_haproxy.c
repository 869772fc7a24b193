#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/quantity.h"
#include "host/traffic/traffic_driver.h"
#include "wire/tcp.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* HAProxy's runtime API (its management guide, chapter 9.3): one command a connection, an answer in words,
 * then it closes. "show stat BACKEND 4 -1" gives the backend's servers as CSV; what is set is answered by a
 * blank line, or by a text that says what is wrong.
 *
 * "drain" keeps new sessions away but for those that a cookie binds to the server; "maint" keeps all away and
 * ends the health checks. A host that is out is therefore left in "maint": nothing comes while it is down,
 * and it is up again at once when it is made "ready". */

enum { EXCHANGE_MS = 5000, ANSWER_MAX = 4 << 20, WORDS_MAX = 200, STATUS_SIZE = 64, CELLS_MAX = 64 };

static bool drives(const PlanTraffic *traffic) { return traffic->haproxy != NULL; }

/* ---- one exchange */

typedef struct Exchange {
    const TrafficContext *context;
    const char *socket;
    int64_t until_ms; /* steady */
} Exchange;

static int64_t left_ms(const Exchange *exchange) {
    return exchange->until_ms - clock_steady_ms(exchange->context->clock);
}

static int connect_path(const Exchange *exchange, int *out, Error *error) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(exchange->socket);
    if (length >= sizeof address.sun_path)
        return error_set(error, ERROR_INVALID, "the path of its socket is too long");
    memcpy(address.sun_path, exchange->socket, length);
    FD_AUTO fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot make a socket");
    while (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN || left_ms(exchange) <= 0) /* EAGAIN: many are waiting to be let in */
            return error_errno(error, ERROR_SYSTEM, errno, "cannot connect");
        clock_sleep_ms(10);
    }
    *out = fd_take(&fd);
    return 0;
}

/* 0: `fd` is ready for that, or has ended. */
static int wait_for(const Exchange *exchange, int fd, short events, Error *error) {
    struct pollfd one = {.fd = fd, .events = events};
    for (;;) {
        int64_t wait_ms = left_ms(exchange);
        if (wait_ms <= 0) {
            char limit[QUANTITY_TEXT_SIZE];
            return error_set(error, ERROR_SYSTEM, "it did not answer within %s",
                             quantity_duration_text(EXCHANGE_MS, limit));
        }
        int ready = poll(&one, 1, (int)wait_ms);
        if (ready > 0) return 0;
        if (ready < 0 && errno != EINTR) return error_errno(error, ERROR_SYSTEM, errno, "cannot wait for it");
    }
}

static int send_text(const Exchange *exchange, int fd, const char *text, Error *error) {
    for (size_t left = strlen(text); left > 0;) {
        if (wait_for(exchange, fd, POLLOUT, error) < 0) return -1;
        ssize_t sent = send(fd, text, left, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (sent < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot write to it");
        text += sent;
        left -= (size_t)sent;
    }
    return 0;
}

static int receive_text(const Exchange *exchange, int fd, Buffer *out, Error *error) {
    char bytes[16384];
    for (;;) {
        if (wait_for(exchange, fd, POLLIN, error) < 0) return -1;
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (got < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot read from it");
        if (got == 0) return 0;
        if (out->size + (size_t)got > ANSWER_MAX)
            return error_set(error, ERROR_SYSTEM, "its answer has more than %d bytes", ANSWER_MAX);
        buffer_append(out, bytes, (size_t)got);
    }
}

static int exchange_text(const TrafficContext *context, const char *socket, const char *command, Buffer *out,
                         Error *error) {
    Exchange exchange = {context, socket, clock_steady_ms(context->clock) + EXCHANGE_MS};
    FD_AUTO fd = -1;
    int result = socket[0] == '/' ? connect_path(&exchange, &fd, error)
                                  : tcp_connect(socket, EXCHANGE_MS, context->cancel, &fd, error);
    if (result == 0) result = send_text(&exchange, fd, command, error);
    if (result == 0) result = receive_text(&exchange, fd, out, error);
    if (result == 0 && out->size == 0)
        result = error_set(error, ERROR_SYSTEM, "it closed the connection without an answer");
    if (result == 0) return 0;
    error_prefix(error, "HAProxy at %s", socket);
    return error_hint(error, "look whether it runs, and whether “stats socket” names that place");
}

/* What it said instead of doing it, as an error with a way out. */
static int refused(const char *socket, const char *answer, Error *error) {
    char words[WORDS_MAX];
    size_t length = strcspn(answer, "\r\n");
    if (length >= sizeof words) length = sizeof words - 1;
    for (size_t i = 0; i < length; i++) words[i] = answer[i] >= ' ' && answer[i] <= '~' ? answer[i] : '?';
    words[length] = '\0';
    error_set(error, ERROR_SYSTEM, "HAProxy at %s answered: %s", socket, words);
    if (strstr(words, "ermission denied"))
        return error_hint(error, "give that “stats socket” the “level admin”");
    if (strncmp(words, "No such", strlen("No such")) == 0)
        return error_hint(error,
                          "let traffic.haproxy name backend and server as HAProxy's configuration does");
    return error_hint(error, "is that the runtime API of HAProxy 2.0 or later?");
}

/* "set server BACKEND/SERVER <what>" at one balancer. */
static int set(const TrafficContext *context, const char *socket, const char *what, Error *error) {
    const PlanHaproxy *haproxy = context->traffic->haproxy;
    BUFFER_AUTO command = {0}, answer = {0};
    buffer_printf(&command, "set server %s/%s %s\n", haproxy->backend, haproxy->server, what);
    if (exchange_text(context, socket, buffer_text(&command), &answer, error) < 0) return -1;
    const char *text = buffer_text(&answer);
    text += strspn(text, " \r\n");
    return *text ? refused(socket, text, error) : 0;
}

static int set_all(const TrafficContext *context, const char *what, Error *error) {
    const StringList *sockets = &context->traffic->haproxy->sockets;
    for (size_t i = 0; i < sockets->count; i++)
        if (set(context, sockets->items[i], what, error) < 0) return -1;
    return 0;
}

/* ---- looking */

typedef struct Server {
    bool found;
    char status[STATUS_SIZE];
    int64_t connections; /* sessions it has or that wait for it */
    int64_t others;      /* servers of the backend that serve */
} Server;

typedef struct Columns {
    size_t name, status, sessions, queued, weight;
} Columns;

/* The cells of one line, cut apart in place; how many. Cells in quotes may hold commas. */
static size_t split(char *line, char *cells[static CELLS_MAX]) {
    size_t count = 0;
    bool quoted = false;
    cells[count++] = line;
    for (char *at = line; *at && count < CELLS_MAX; at++) {
        if (*at == '"') quoted = !quoted;
        if (*at != ',' || quoted) continue;
        *at = '\0';
        cells[count++] = at + 1;
    }
    return count;
}

static bool find_columns(char *line, Columns *out) {
    char *cells[CELLS_MAX];
    const struct {
        const char *name;
        size_t *at;
    } wanted[] = {{"svname", &out->name},
                  {"status", &out->status},
                  {"scur", &out->sessions},
                  {"qcur", &out->queued},
                  {"weight", &out->weight}};
    size_t count = split(line, cells), found = 0;
    for (size_t w = 0; w < sizeof wanted / sizeof *wanted; w++)
        for (size_t i = 0; i < count; i++)
            if (strcmp(cells[i], wanted[w].name) == 0) {
                *wanted[w].at = i;
                found++;
                break;
            }
    return found == sizeof wanted / sizeof *wanted;
}

/* "UP", "UP 1/3" (a health check has failed, or has yet to pass), "no check". */
static bool is_up(const char *status) {
    return strncmp(status, "UP", 2) == 0 || strcmp(status, "no check") == 0;
}

/* The same, seen by a health check since: out of "maint" it is "UP 1/3" before any was made. */
static bool is_seen_up(const char *status) { return is_up(status) && strncmp(status, "UP 1/", 5) != 0; }

static int64_t number_of(const char *cell) {
    int64_t value = strtoll(cell, NULL, 10);
    return value > 0 ? value : 0;
}

static void look_at_row(char *line, const Columns *columns, const char *server, Server *out) {
    char *cells[CELLS_MAX];
    size_t count = split(line, cells);
    if (count <= columns->name || count <= columns->status || count <= columns->sessions ||
        count <= columns->queued || count <= columns->weight)
        return;
    const char *status = cells[columns->status];
    if (strcmp(cells[columns->name], server) == 0) {
        out->found = true;
        snprintf(out->status, sizeof out->status, "%s", status);
        out->connections = number_of(cells[columns->sessions]) + number_of(cells[columns->queued]);
    } else {
        out->others += is_up(status) && number_of(cells[columns->weight]) > 0;
    }
}

static int look_at(const TrafficContext *context, const char *socket, Server *out, Error *error) {
    const PlanHaproxy *haproxy = context->traffic->haproxy;
    BUFFER_AUTO command = {0}, answer = {0};
    Columns columns;
    Server server = {0};
    buffer_printf(&command, "show stat %s 4 -1\n", haproxy->backend);
    if (exchange_text(context, socket, buffer_text(&command), &answer, error) < 0) return -1;
    char *rest = answer.data, *line = strsep(&rest, "\n");
    if (strncmp(line, "# ", 2) != 0 || !find_columns(line + 2, &columns)) return refused(socket, line, error);
    while ((line = strsep(&rest, "\n"))) look_at_row(line, &columns, haproxy->server, &server);
    if (!server.found) {
        error_set(error, ERROR_SYSTEM, "HAProxy at %s knows no server %s in the backend %s", socket,
                  haproxy->server, haproxy->backend);
        return error_hint(error,
                          "let traffic.haproxy name backend and server as HAProxy's configuration does");
    }
    *out = server;
    return 0;
}

/* "100 (initial 100)". */
static int check_share(const TrafficContext *context, const char *socket, int percent, Error *error) {
    const PlanHaproxy *haproxy = context->traffic->haproxy;
    BUFFER_AUTO command = {0}, answer = {0};
    if (percent == 0 || percent == 100) return 0;
    buffer_printf(&command, "get weight %s/%s\n", haproxy->backend, haproxy->server);
    if (exchange_text(context, socket, buffer_text(&command), &answer, error) < 0) return -1;
    const char *initial = strstr(buffer_text(&answer), "(initial ");
    if (!initial) return refused(socket, buffer_text(&answer), error);
    int result = traffic_check_share(number_of(initial + strlen("(initial ")), percent, error);
    return result < 0 ? error_prefix(error, "HAProxy at %s", socket) : 0;
}

/* ---- the operations */

/* At each balancer: may it go? *connections: of all of them. */
static int look_at_all(const TrafficContext *context, int64_t *connections, Error *error) {
    const StringList *sockets = &context->traffic->haproxy->sockets;
    int64_t sum = 0;
    for (size_t i = 0; i < sockets->count; i++) {
        Server server = {0};
        if (look_at(context, sockets->items[i], &server, error) < 0) return -1;
        if (!context->last && is_up(server.status) && server.others == 0) {
            traffic_refuse_last(error);
            return error_prefix(error, "HAProxy at %s", sockets->items[i]);
        }
        sum += server.connections;
    }
    *connections = sum;
    return 0;
}

static int check(const TrafficContext *context, Error *error) {
    const StringList *sockets = &context->traffic->haproxy->sockets;
    int64_t connections;
    if (look_at_all(context, &connections, error) < 0) return -1;
    for (size_t i = 0; i < sockets->count; i++)
        if (check_share(context, sockets->items[i], context->percent, error) < 0) return -1;
    return 0;
}

static bool is_out(const Server *server) { return strncmp(server->status, "MAINT", 5) == 0; }

/* Also where it is down: it would get requests as soon as something answers there. */
static int is_in(const TrafficContext *context, bool *out, Error *error) {
    const StringList *sockets = &context->traffic->haproxy->sockets;
    bool in = false;
    for (size_t i = 0; i < sockets->count; i++) {
        Server server = {0};
        if (look_at(context, sockets->items[i], &server, error) < 0) return -1;
        in |= !is_out(&server) && strncmp(server.status, "DRAIN", 5) != 0;
    }
    *out = in;
    return 0;
}

/* Looked at again afterwards: another host may have gone out in the same moment, and one of the two must
 * come back. */
static int begin_drain(const TrafficContext *context, const char *socket, Error *error) {
    Server before = {0}, after = {0};
    if (look_at(context, socket, &before, error) < 0) return -1;
    if (is_out(&before)) return 0;
    if (set(context, socket, "state drain", error) < 0 || look_at(context, socket, &after, error) < 0)
        return -1;
    if (context->last || !is_up(before.status) || after.others > 0) return 0;
    set(context, socket, "state ready", NULL);
    traffic_refuse_last(error);
    return error_prefix(error, "HAProxy at %s", socket);
}

static int64_t look_connections(void *looker, Error *error) {
    const TrafficContext *context = looker;
    const StringList *sockets = &context->traffic->haproxy->sockets;
    int64_t sum = 0;
    for (size_t i = 0; i < sockets->count; i++) {
        Server server = {0};
        if (look_at(context, sockets->items[i], &server, error) < 0) return -1;
        sum += server.connections;
    }
    return sum;
}

static int drain(const TrafficContext *context, TrafficEnd *out, Error *error) {
    const StringList *sockets = &context->traffic->haproxy->sockets;
    int64_t before = 0, left = 0;
    if (look_at_all(context, &before, error) < 0) return -1;
    for (size_t i = 0; i < sockets->count; i++)
        if (begin_drain(context, sockets->items[i], error) < 0) return -1;
    int result = traffic_wait(context, context->traffic->drain_timeout_ms, look_connections, (void *)context,
                              &left, error);
    if (result < 0 || set_all(context, "state maint", error) < 0) return -1;
    out->before = before;
    out->left = left;
    out->timed_out = result == 1;
    return 0;
}

/* How many balancers do not send it requests yet. */
static int64_t look_down(void *looker, Error *error) {
    const TrafficContext *context = looker;
    const StringList *sockets = &context->traffic->haproxy->sockets;
    int64_t down = 0;
    for (size_t i = 0; i < sockets->count; i++) {
        Server server = {0};
        if (look_at(context, sockets->items[i], &server, error) < 0) return -1;
        if (is_seen_up(server.status)) continue;
        error_set(error, ERROR_SYSTEM, "HAProxy at %s says that it is %s", sockets->items[i], server.status);
        down++;
    }
    return down;
}

static int weight(const TrafficContext *context, int percent, Error *error) {
    const StringList *sockets = &context->traffic->haproxy->sockets;
    char what[32];
    for (size_t i = 0; i < sockets->count; i++)
        if (check_share(context, sockets->items[i], percent, error) < 0) return -1;
    snprintf(what, sizeof what, "weight %d%%", percent);
    return set_all(context, what, error);
}

static int readmit(const TrafficContext *context, Error *error) {
    Error state = {0};
    int64_t down = 0, limit_ms = context->traffic->drain_timeout_ms;
    if (limit_ms < TRAFFIC_READMIT_MS) limit_ms = TRAFFIC_READMIT_MS;
    if (context->percent && weight(context, context->percent, error) < 0) return -1;
    if (set_all(context, "state ready", error) < 0) return -1;
    int result = traffic_wait(context, limit_ms, look_down, (void *)context, &down, &state);
    if (result == 0) return 0;
    if (error) *error = state;
    return result < 0 ? -1 : error_hint(error, "look at the health checks of that backend");
}

static const char *describe(const TrafficContext *context, TrafficAction action, Arena *arena) {
    static const char *const whats[] = {[TRAFFIC_DRAIN] = "state drain, then maint",
                                        [TRAFFIC_READMIT] = "state ready",
                                        [TRAFFIC_WEIGHT] = "weight 100%"};
    const PlanHaproxy *haproxy = context->traffic->haproxy;
    const char *text =
        arena_printf(arena, "set server %s/%s %s", haproxy->backend, haproxy->server, whats[action]);
    if (action == TRAFFIC_READMIT && context->percent)
        text = arena_printf(arena, "%s, weight %d%%", text, context->percent);
    for (size_t i = 0; i < haproxy->sockets.count; i++)
        text = arena_printf(arena, "%s%s%s", text, i ? ", " : " @ ", haproxy->sockets.items[i]);
    return text;
}

const TrafficDriver traffic_driver_haproxy = {drives, check, is_in, drain, readmit, weight, describe};
