#include "wire/tcp.h"
#include "base/buffer.h"
#include "wire/transfer.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* 1–65535 in decimal, or 0. */
static int port_parse(const char *text) {
    int port = 0;
    size_t length = strlen(text);
    if (length == 0 || length > 5) return 0;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9') return 0;
        port = port * 10 + (*at - '0');
    }
    return port <= 65535 ? port : 0;
}

/* Letters of names and addresses; a URL is made of them, so nothing else may pass. */
static bool host_valid(const char *host, size_t length, bool bracketed) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    static const char address6[] = "0123456789abcdefABCDEF:.";
    return length > 0 && length < TCP_HOST_SIZE && strspn(host, bracketed ? address6 : letters) >= length;
}

int tcp_address_parse(const char *address, char host[static TCP_HOST_SIZE], int *out_port, Error *error) {
    bool bracketed = address[0] == '[';
    const char *start = address + bracketed;
    const char *end = strchr(start, bracketed ? ']' : ':');
    const char *colon = end && bracketed ? end + 1 : end;
    int port = colon && *colon == ':' ? port_parse(colon + 1) : 0;
    size_t length = end ? (size_t)(end - start) : 0;
    if (!port || !host_valid(start, length, bracketed))
        return error_set(error, ERROR_INVALID, "%s is not HOST:PORT, such as db.example:5432 or [::1]:5432",
                         address);
    memcpy(host, start, length);
    host[length] = '\0';
    *out_port = port;
    return 0;
}

/* The socket of a connected handle, as one that outlives the handle. */
static int take_socket(CURL *handle, int *out_fd, Error *error) {
    curl_socket_t socket = CURL_SOCKET_BAD;
    curl_easy_getinfo(handle, CURLINFO_ACTIVESOCKET, &socket);
    int fd = fcntl(socket, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot connect");
    *out_fd = fd;
    return 0;
}

int tcp_connect(const char *address, int64_t timeout_ms, const atomic_bool *cancel, int *out_fd,
                Error *error) {
    char host[TCP_HOST_SIZE];
    int port = 0, fd = -1;
    if (tcp_address_parse(address, host, &port, error) < 0) return -1;
    if (timeout_ms <= 0) timeout_ms = TCP_TIMEOUT_MS;
    TRANSFER_AUTO handle = transfer_new(timeout_ms, cancel);
    BUFFER_AUTO url = {0};
    buffer_printf(&url, strchr(host, ':') ? "http://[%s]:%d" : "http://%s:%d", host, port);
    curl_easy_setopt(handle, CURLOPT_URL, buffer_text(&url));
    curl_easy_setopt(handle, CURLOPT_CONNECT_ONLY, 1L);
    CURLcode code = curl_easy_perform(handle);
    int result =
        code == CURLE_OK ? take_socket(handle, &fd, error) : transfer_error(handle, code, timeout_ms, error);
    if (result < 0) return error_prefix(error, "cannot reach %s", address);
    *out_fd = fd;
    return 0;
}
