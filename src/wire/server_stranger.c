/* Strangers: connections of nobody who is known yet, counted by address. */
#include "base/log.h"
#include "wire/server_room.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { CLIENT_PREFIX_BYTES = 8 }; /* of IPv6: one client has all that follows */

/* There while it has any. */
struct ServerOrigin {
    char address[SERVER_ADDRESS_SIZE]; /* its key */
    unsigned strangers;
    bool told; /* the log has it that there are too many */
};

static void address_of(const struct sockaddr *from, char out[static SERVER_ADDRESS_SIZE]) {
    const void *bytes = &((const struct sockaddr_in *)(const void *)from)->sin_addr;
    int family = from->sa_family;
    struct in6_addr network = IN6ADDR_ANY_INIT;
    if (family == AF_INET6) {
        const struct in6_addr *whole = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
        bytes = &network;
        if (IN6_IS_ADDR_V4MAPPED(whole)) {
            family = AF_INET;
            bytes = whole->s6_addr + sizeof *whole - sizeof(struct in_addr);
        } else {
            memcpy(&network, whole, CLIENT_PREFIX_BYTES);
        }
    }
    if (!inet_ntop(family, bytes, out, SERVER_ADDRESS_SIZE)) out[0] = '\0';
}

enum MHD_Result server_stranger_admit(void *context, const struct sockaddr *from, socklen_t size) {
    (void)size;
    Server *server = context;
    char address[SERVER_ADDRESS_SIZE];
    address_of(from, address);
    pthread_mutex_lock(&server->lock);
    ServerOrigin *origin = text_map_find(server->origins, address);
    bool may = !origin || origin->strangers < server->limits.strangers;
    bool tell = !may && !origin->told;
    if (!may) {
        origin->told = true;
        server->refused++;
    }
    pthread_mutex_unlock(&server->lock);
    if (tell) log_text(LOG_LEVEL_WARNING, "connections.refused", "address", address);
    return may ? MHD_YES : MHD_NO;
}

void server_stranger_begin(ServerConnection *connection) {
    Server *server = connection->server;
    char address[SERVER_ADDRESS_SIZE];
    address_of(MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr,
               address);
    ServerOrigin *origin = text_map_find(server->origins, address);
    if (!origin) {
        origin = calloc(1, sizeof *origin);
        if (!origin) abort();
        memcpy(origin->address, address, sizeof address);
        text_map_put(server->origins, origin->address, origin);
    }
    origin->strangers++;
    connection->origin = origin;
}

void server_stranger_end(ServerConnection *connection) {
    ServerOrigin *origin = connection->origin;
    connection->origin = NULL;
    if (!origin || --origin->strangers > 0) return;
    text_map_remove(connection->server->origins, origin->address);
    free(origin);
}

void server_request_is_known(ServerRequest *request) {
    ServerConnection *connection = request->connection;
    if (!connection->origin) return; /* its own thread's to change */
    pthread_mutex_lock(&connection->server->lock);
    server_stranger_end(connection);
    pthread_mutex_unlock(&connection->server->lock);
}
