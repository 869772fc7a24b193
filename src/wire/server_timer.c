/* The timer thread: deadlines in a binary heap, clients that leave by epoll. It sleeps until the earliest. */
#include "base/clock.h"
#include "wire/server_room.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256 };

/* An event's data is a ticket, 0 for our own wake-up, or this and a connection in SHAKING. Such a pointer is
 * good: nobody else ends that phase, and a batch of events holds a connection once. */
#define SHAKING_MARK (UINT64_C(1) << 63)

int64_t server_now_ms(void) { return clock_steady_ms(clock_system()); }

static void place(Server *server, size_t index, ServerConnection *connection) {
    server->heap[index - 1] = connection;
    connection->heap_index = index;
}

static ServerConnection *at(const Server *server, size_t index) { return server->heap[index - 1]; }

static void sift_up(Server *server, size_t index, ServerConnection *connection) {
    while (index > 1 && at(server, index / 2)->deadline_ms > connection->deadline_ms) {
        place(server, index, at(server, index / 2));
        index /= 2;
    }
    place(server, index, connection);
}

static void sift_down(Server *server, size_t index, ServerConnection *connection) {
    for (size_t child; (child = index * 2) <= server->heap_size; index = child) {
        if (child < server->heap_size && at(server, child + 1)->deadline_ms < at(server, child)->deadline_ms)
            child++;
        if (at(server, child)->deadline_ms >= connection->deadline_ms) break;
        place(server, index, at(server, child));
    }
    place(server, index, connection);
}

static void wake_timer(const Server *server) {
    const uint64_t one = 1;
    ssize_t done = write(server->wake_fd, &one, sizeof one); /* full means that it is awake already */
    (void)done;
}

void server_deadline_clear(ServerConnection *connection) {
    Server *server = connection->server;
    size_t index = connection->heap_index;
    if (!index) return;
    connection->heap_index = 0;
    ServerConnection *last = server->heap[--server->heap_size];
    if (last == connection) return;
    if (index > 1 && at(server, index / 2)->deadline_ms > last->deadline_ms)
        sift_up(server, index, last);
    else
        sift_down(server, index, last);
}

void server_deadline_set(ServerConnection *connection, int64_t deadline_ms) {
    Server *server = connection->server;
    server_deadline_clear(connection);
    connection->deadline_ms = deadline_ms;
    if (server->heap_size == server->heap_capacity) {
        server->heap_capacity = server->heap_capacity ? server->heap_capacity * 2 : 256;
        server->heap = reallocarray(server->heap, server->heap_capacity, sizeof *server->heap);
        if (!server->heap) abort();
    }
    sift_up(server, ++server->heap_size, connection);
    if (connection->heap_index == 1) wake_timer(server);
}

/* The same descriptor may be in several epoll sets: libmicrohttpd's own knows nothing of this one. Only the
 * end is asked for, so that what a client sends ahead wakes nobody. */
void server_watch(ServerConnection *connection) {
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = connection->ticket};
    if (connection->phase == SERVER_SHAKING) {
        event.events |= EPOLLIN;
        event.data.u64 = SHAKING_MARK | (uintptr_t)connection;
    }
    epoll_ctl(connection->server->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event);
}

void server_unwatch(ServerConnection *connection) {
    epoll_ctl(connection->server->epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
}

static void client_left(Server *server, ServerTicket ticket) {
    ServerConnection *connection = server_ticket_connection(server, ticket);
    if (!connection) return;
    if (connection->phase == SERVER_SILENT) connection->stream_broken = true;
    if (connection->phase == SERVER_SILENT || connection->phase == SERVER_PARKED) {
        server_ticket_release(connection);
        server_wake(connection);
    }
}

static void deadline_reached(ServerConnection *connection) {
    server_deadline_clear(connection);
    switch (connection->phase) {
    case SERVER_RECEIVING: shutdown(connection->fd, SHUT_RDWR); break; /* its thread sees it and closes */
    case SERVER_SHAKING:
        shutdown(connection->fd, SHUT_RDWR);
        server_shake_go_on(connection);
        break;
    case SERVER_PARKED: server_wake(connection); break;
    case SERVER_SILENT:
        buffer_text_append(&connection->stream, ":\n\n");
        server_wake(connection);
        break;
    default: break;
    }
}

static ServerConnection *marked_connection(uint64_t data) {
    uintptr_t number = data & ~SHAKING_MARK;
    ServerConnection *connection;
    memcpy(&connection, &number, sizeof connection);
    return connection;
}

static void event_come(Server *server, uint64_t data) {
    uint64_t drained;
    if (data & SHAKING_MARK)
        server_shake_go_on(marked_connection(data));
    else if (data)
        client_left(server, data);
    else if (read(server->wake_fd, &drained, sizeof drained) < 0)
        return; /* drained already */
}

static int wait_ms(const Server *server) {
    if (!server->heap_size) return -1;
    int64_t left_ms = at(server, 1)->deadline_ms - server_now_ms();
    return left_ms <= 0 ? 0 : left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

static void *timer_main(void *context) {
    Server *server = context;
    struct epoll_event events[EVENTS];
    pthread_mutex_lock(&server->lock);
    while (!server->timer_ends) {
        int timeout_ms = wait_ms(server);
        pthread_mutex_unlock(&server->lock);
        int count = epoll_wait(server->epoll_fd, events, EVENTS, timeout_ms);
        pthread_mutex_lock(&server->lock);
        for (int i = 0; i < count; i++) {
            event_come(server, events[i].data.u64);
        }
        int64_t now_ms = server_now_ms();
        while (server->heap_size && at(server, 1)->deadline_ms <= now_ms) deadline_reached(at(server, 1));
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

int server_timer_start(Server *server, Error *error) {
    struct epoll_event event = {.events = EPOLLIN};
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->epoll_fd < 0 || server->wake_fd < 0 ||
        epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->wake_fd, &event) < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot start the timer");
    int number = pthread_create(&server->timer, NULL, timer_main, server);
    if (number) return error_errno(error, ERROR_SYSTEM, number, "cannot start the timer");
    return 0;
}

void server_timer_end(Server *server) {
    pthread_mutex_lock(&server->lock);
    server->timer_ends = true;
    wake_timer(server);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->timer, NULL);
}
