/* Tickets, parked requests and event streams. */
#include "wire/server_room.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

ServerConnection *server_ticket_connection(Server *server, ServerTicket ticket) {
    uint32_t index = (uint32_t)ticket - 1;
    if (!ticket || index >= server->limits.parked) return NULL;
    ServerSlot *slot = &server->slots[index];
    return slot->connection && slot->generation == ticket >> 32 ? slot->connection : NULL;
}

void server_ticket_release(ServerConnection *connection) {
    Server *server = connection->server;
    if (!connection->ticket) return;
    uint32_t number = (uint32_t)connection->ticket;
    ServerSlot *slot = &server->slots[number - 1];
    slot->connection = NULL;
    slot->next_free = server->slot_free;
    server->slot_free = number;
    server->parked--;
    connection->ticket = 0;
}

static int ticket_take(ServerConnection *connection, Error *error) {
    Server *server = connection->server;
    if (server->stopping) return error_set(error, ERROR_REFUSED, "the server is stopping");
    if (!server->slot_free)
        return error_set(error, ERROR_REFUSED, "%u requests wait already, and no more may",
                         server->limits.parked);
    ServerSlot *slot = &server->slots[server->slot_free - 1];
    slot->generation = (slot->generation + 1) & INT32_MAX; /* the highest bit is the timer's */
    connection->ticket = (uint64_t)slot->generation << 32 | server->slot_free;
    server->slot_free = slot->next_free;
    slot->connection = connection;
    server->parked++;
    return 0;
}

void server_suspend(ServerConnection *connection, ServerPhase phase, int64_t wait_ms) {
    server_phase(connection, phase);
    MHD_suspend_connection(connection->mhd);
    server_watch(connection);
    server_deadline_set(connection, server_now_ms() + wait_ms);
}

/* Back to its own thread, which gives the answer, or goes on with the stream. */
void server_wake(ServerConnection *connection) {
    bool parked = connection->phase == SERVER_PARKED;
    server_unwatch(connection);
    server_deadline_clear(connection);
    if (parked) server_ticket_release(connection);
    server_phase(connection, parked ? SERVER_ANSWERING : SERVER_STREAMING);
    MHD_resume_connection(connection->mhd);
}

int server_park(ServerRequest *request, int64_t wait_ms, int default_status, ServerTicket *out,
                Error *error) {
    ServerConnection *connection = request->connection;
    Server *server = connection->server;
    if (wait_ms < 0) wait_ms = 0;
    pthread_mutex_lock(&server->lock);
    assert(connection->phase == SERVER_HANDLING && !connection->answer);
    int result = ticket_take(connection, error);
    if (result == 0) {
        connection->waits = true;
        connection->default_status = default_status;
        *out = connection->ticket;
        server_suspend(connection, SERVER_PARKED, wait_ms);
    }
    pthread_mutex_unlock(&server->lock);
    return result;
}

bool server_answer_parked(Server *server, ServerTicket ticket, int status, const char *content_type,
                          Buffer *body) {
    struct MHD_Response *response = server_response(content_type, body);
    pthread_mutex_lock(&server->lock);
    ServerConnection *connection = server_ticket_connection(server, ticket);
    bool waits = connection && connection->phase == SERVER_PARKED;
    if (waits) {
        connection->answer = response;
        connection->answer_status = status;
        server_wake(connection);
    }
    pthread_mutex_unlock(&server->lock);
    if (!waits) MHD_destroy_response(response);
    return waits;
}

/* libmicrohttpd asks for more to send, on the connection's thread. A reader that gave 0 without suspending
 * would be asked again at once, for ever. */
static ssize_t stream_read(void *context, uint64_t position, char *out, size_t room) {
    (void)position;
    ServerConnection *connection = context;
    Server *server = connection->server;
    pthread_mutex_lock(&server->lock);
    size_t left = connection->stream.size - connection->stream_sent;
    bool said_all = left == 0 && (connection->stream_ends || server->stopping);
    ssize_t result = 0;
    if (said_all || connection->stream_broken) { /* of a broken one writing the end fails, and that closes */
        result = MHD_CONTENT_READER_END_OF_STREAM;
    } else if (left) {
        result = (ssize_t)(left < room ? left : room);
        memcpy(out, connection->stream.data + connection->stream_sent, (size_t)result);
        connection->stream_sent += (size_t)result;
        if (connection->stream_sent == connection->stream.size) {
            buffer_clear(&connection->stream);
            connection->stream_sent = 0;
        }
    } else {
        server_suspend(connection, SERVER_SILENT, server->limits.heartbeat_ms);
    }
    pthread_mutex_unlock(&server->lock);
    return result;
}

enum { STREAM_BLOCK = 4096 };

int server_stream_open(ServerRequest *request, ServerTicket *out, Error *error) {
    ServerConnection *connection = request->connection;
    Server *server = connection->server;
    pthread_mutex_lock(&server->lock);
    assert(connection->phase == SERVER_HANDLING && !connection->answer);
    int result = ticket_take(connection, error);
    if (result == 0) {
        *out = connection->ticket;
        server_phase(connection, SERVER_STREAMING);
        buffer_text_append(&connection->stream, ":\n\n"); /* so that the headers go out now */
    }
    pthread_mutex_unlock(&server->lock);
    if (result < 0) return -1;
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, stream_read, connection, NULL);
    if (!response) abort();
    server_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    connection->answer = response; /* read by this thread only: a stream is never woken into an answer */
    connection->answer_status = MHD_HTTP_OK;
    return 0;
}

static bool stream_append(ServerConnection *connection, const char *text) {
    Buffer *stream = &connection->stream;
    size_t size = strlen(text), waiting = stream->size - connection->stream_sent;
    if (connection->stream_sent) { /* or a client that is always a little behind would keep all it ever got */
        memmove(stream->data, stream->data + connection->stream_sent, waiting + 1);
        stream->size = waiting;
        connection->stream_sent = 0;
    }
    if (waiting + size > connection->server->limits.stream_max) {
        connection->stream_broken = true;
        shutdown(connection->fd, SHUT_RDWR); /* its thread may be stuck writing to a full socket */
        return false;
    }
    buffer_append(stream, text, size);
    return true;
}

bool server_stream_push(Server *server, ServerTicket ticket, const char *text) {
    pthread_mutex_lock(&server->lock);
    ServerConnection *connection = server_ticket_connection(server, ticket);
    bool streams = connection && !connection->stream_ends && !connection->stream_broken &&
                   (connection->phase == SERVER_STREAMING || connection->phase == SERVER_SILENT);
    if (streams) streams = stream_append(connection, text);
    if (connection && connection->phase == SERVER_SILENT) server_wake(connection);
    pthread_mutex_unlock(&server->lock);
    return streams;
}

void server_stream_end(Server *server, ServerTicket ticket) {
    pthread_mutex_lock(&server->lock);
    ServerConnection *connection = server_ticket_connection(server, ticket);
    if (connection && (connection->phase == SERVER_STREAMING || connection->phase == SERVER_SILENT)) {
        connection->stream_ends = true;
        if (connection->phase == SERVER_SILENT) server_wake(connection);
    }
    pthread_mutex_unlock(&server->lock);
}
