/* TLS handshakes that wait for their client.
 *
 * libmicrohttpd 0.9.75 with epoll forgets, while it shakes hands, that a socket has nothing more to read: it
 * tries again at once, for ever. Whoever sends four bytes of a hello would keep a thread busy until the
 * deadline, and every honest handshake costs three times its price. So GnuTLS reads through us, and a
 * connection whose handshake has nothing to read is suspended until the timer thread sees bytes for it.
 * GnuTLS does not say whether it still shakes hands (of one that succeeded it remembers nothing): the first
 * request shows that it does not. */
#include "wire/server_room.h"
#include <errno.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <sys/socket.h>

static ssize_t on_pull(gnutls_transport_ptr_t context, void *out, size_t room) {
    ServerConnection *connection = context;
    Server *server = connection->server;
    ssize_t got = recv(connection->fd, out, room, 0);
    if (got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) return got;
    if (!connection->shaken) {
        pthread_mutex_lock(&server->lock);
        if (!server->stopping && connection->phase == SERVER_RECEIVING) {
            server_phase(connection, SERVER_SHAKING);
            MHD_suspend_connection(connection->mhd);
            server_watch(connection);
        }
        pthread_mutex_unlock(&server->lock);
    }
    errno = EAGAIN;
    return -1;
}

/* As GnuTLS does it itself; it has one context for both ways. */
static ssize_t on_push(gnutls_transport_ptr_t context, const giovec_t *parts, int count) {
    const ServerConnection *connection = context;
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
    return sendmsg(connection->fd, &message, MSG_NOSIGNAL);
}

static int on_pull_timeout(gnutls_transport_ptr_t context, unsigned timeout_ms) {
    const ServerConnection *connection = context;
    struct pollfd ready = {.fd = connection->fd, .events = POLLIN};
    return poll(&ready, 1, timeout_ms == GNUTLS_INDEFINITE_TIMEOUT ? -1 : (int)timeout_ms);
}

void server_shake_begin(ServerConnection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (!info || !info->tls_session) return; /* plain HTTP */
    connection->session = info->tls_session;
    gnutls_transport_set_ptr(connection->session, connection);
    gnutls_transport_set_vec_push_function(connection->session, on_push);
    gnutls_transport_set_pull_function(connection->session, on_pull);
    gnutls_transport_set_pull_timeout_function(connection->session, on_pull_timeout);
}

void server_shake_go_on(ServerConnection *connection) {
    assert(connection->phase == SERVER_SHAKING);
    server_unwatch(connection);
    server_phase(connection, SERVER_RECEIVING);
    MHD_resume_connection(connection->mhd);
}
