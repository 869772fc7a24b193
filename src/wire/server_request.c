/* What a request says: target, headers, who sent it. */
#include "wire/server_room.h"
#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

static int hex_value(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Decode `text` up to its end in place; no control characters may come out, nor raw ones be in it. */
static bool decode(char *text, bool plus_is_space) {
    char *out = text;
    for (const char *in = text; *in; in++) {
        unsigned char byte = (unsigned char)*in;
        if (byte == '%') {
            int high = hex_value(in[1]), low = high < 0 ? -1 : hex_value(in[2]);
            if (low < 0) return false;
            byte = (unsigned char)(high << 4 | low);
            in += 2;
        } else if (byte <= ' ' || byte == 0x7F) {
            return false;
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        if (byte < ' ' || byte == 0x7F) return false;
        *out++ = (char)byte;
    }
    *out = '\0';
    return true;
}

static bool path_safe(const char *path) {
    if (path[0] != '/' || strchr(path, '\\') || strstr(path, "//")) return false;
    for (const char *segment = path; segment; segment = strchr(segment, '/')) {
        size_t length = strcspn(++segment, "/");
        if ((length == 1 && segment[0] == '.') || (length == 2 && memcmp(segment, "..", 2) == 0))
            return false;
    }
    return true;
}

static bool parameters_parse(ServerRequest *request, char *text) {
    for (char *pair; (pair = strsep(&text, "&"));) {
        if (!*pair) continue;
        char *value = strchr(pair, '=');
        if (value) *value++ = '\0';
        if (request->parameter_count == SERVER_PARAMETERS_MAX || !decode(pair, true) ||
            (value && !decode(value, true)))
            return false;
        request->parameters[request->parameter_count++] = (ServerParameter){pair, value ? value : ""};
    }
    return true;
}

int server_target_parse(ServerRequest *request, const char *target) {
    if (strlen(target) > SERVER_TARGET_MAX) return MHD_HTTP_URI_TOO_LONG;
    request->target = strdup(target);
    if (!request->target) abort();
    char *query = strchr(request->target, '?');
    if (query) *query++ = '\0';
    /* "%2f" would be one segment for some readers and two for others */
    if (strcasestr(request->target, "%2f") || !decode(request->target, false) ||
        !path_safe(request->target) || !parameters_parse(request, query))
        return MHD_HTTP_BAD_REQUEST;
    return 0;
}

static enum MHD_Result count_length(void *context, enum MHD_ValueKind kind, const char *name,
                                    const char *value) {
    (void)kind, (void)value;
    unsigned *counts = context;
    counts[0] += strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
    counts[1] += strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
    counts[2] += strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0;
    return MHD_YES;
}

/* Two readers of such a request (a proxy before us, say) would not agree where it ends: RFC 9112, 6.3. */
int server_request_check(ServerRequest *request) {
    unsigned counts[3] = {0};
    MHD_get_connection_values(request->connection->mhd, MHD_HEADER_KIND, count_length, counts);
    const char *coding = server_request_header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    if (counts[0] + counts[1] > 1 || counts[2] > 1 || (coding && strcasecmp(coding, "chunked") != 0))
        return MHD_HTTP_BAD_REQUEST;
    return 0;
}

static const char *verdict_text(unsigned status) {
    if (status & GNUTLS_CERT_EXPIRED) return "expired";
    if (status & GNUTLS_CERT_NOT_ACTIVATED) return "not_yet_valid";
    if (status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNER_NOT_CA)) return "unknown_issuer";
    return "invalid";
}

/* Verify against the server's CA, for the purpose of a TLS client. The bytes stay the session's, which lives
 * as long as requests of this connection do. */
static void certificate_look(ServerConnection *connection) {
    unsigned count = 0, status = 0;
    connection->peer_known = true;
    connection->peer_problem = "none";
    const gnutls_datum_t *chain =
        connection->session ? gnutls_certificate_get_peers(connection->session, &count) : NULL;
    if (!chain || count == 0) return;
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
    connection->peer_problem = "invalid";
    if (gnutls_certificate_verify_peers(connection->session, &purpose, 1, &status) < 0) return;
    if (status) {
        connection->peer_problem = verdict_text(status);
        return;
    }
    gnutls_x509_crt_t certificate;
    if (gnutls_x509_crt_init(&certificate) < 0) abort();
    if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) == 0) {
        connection->certificate_ends_s = gnutls_x509_crt_get_expiration_time(certificate);
        connection->certificate = chain[0].data;
        connection->certificate_size = chain[0].size;
        connection->peer_problem = NULL;
    }
    gnutls_x509_crt_deinit(certificate);
}

static void address_look(ServerRequest *request) {
    const struct sockaddr *from =
        MHD_get_connection_info(request->connection->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    const void *bytes = from->sa_family == AF_INET6
                            ? (const void *)&((const struct sockaddr_in6 *)(const void *)from)->sin6_addr
                            : (const void *)&((const struct sockaddr_in *)(const void *)from)->sin_addr;
    if (!inet_ntop(from->sa_family, bytes, request->address, sizeof request->address))
        request->address[0] = '\0';
}

void server_peer_look(ServerRequest *request) {
    ServerConnection *connection = request->connection;
    if (!connection->peer_known) certificate_look(connection);
    address_look(request);
    request->peer = (ServerPeer){.address = request->address, .problem = connection->peer_problem};
    if (connection->peer_problem) return;
    if (time(NULL) > connection->certificate_ends_s) { /* while the connection stayed open */
        request->peer.problem = "expired";
        return;
    }
    request->peer.verified = true;
    request->peer.certificate = connection->certificate;
    request->peer.certificate_size = connection->certificate_size;
}

void server_request_free(ServerRequest *request) {
    if (!request) return;
    if (request->connection) atomic_fetch_sub(&request->connection->server->body_bytes, request->counted);
    for (size_t i = 0; i < request->header_count; i++) {
        free(request->headers[i].name);
        free(request->headers[i].value);
    }
    buffer_free(&request->body);
    free(request->target);
    free(request);
}

Server *server_request_server(const ServerRequest *request) { return request->connection->server; }
const char *server_request_method(const ServerRequest *request) { return request->method; }
const char *server_request_path(const ServerRequest *request) { return request->target; }
const Buffer *server_request_body(const ServerRequest *request) { return &request->body; }
const ServerPeer *server_request_peer(const ServerRequest *request) { return &request->peer; }

const char *server_request_parameter(const ServerRequest *request, const char *name) {
    for (size_t i = 0; i < request->parameter_count; i++)
        if (strcmp(request->parameters[i].name, name) == 0) return request->parameters[i].value;
    return NULL;
}

const char *server_request_header(const ServerRequest *request, const char *name) {
    return MHD_lookup_connection_value(request->connection->mhd, MHD_HEADER_KIND, name);
}

int server_request_json(const ServerRequest *request, json_t **out, Error *error) {
    return json_parse(buffer_text(&request->body), request->body.size, "the request's body", out, error);
}

void *server_request_kept(const ServerRequest *request) { return request->connection->kept; }

void server_request_keep(ServerRequest *request, void *kept) {
    free(request->connection->kept);
    request->connection->kept = kept;
}
