/* service PORT: the smallest real service, started in milliseconds, for tests that start it a thousand times.
 *
 * It stands in releases/<version>/bin/, runs in its host's root and answers on 127.0.0.1:PORT: every request
 * with its version and a newline. At each start it appends "<version>\n" to the file `starts` in the root.
 * The file `behaviour` in its release says what is wrong with it, in words:
 *
 *   failing   answers 500               migrates   rewrites shared/data/schema when it starts
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((noreturn)) static void give_up(const char *doing) {
    perror(doing);
    exit(1);
}

/* The release's file of that name, as one text. */
static void read_text(const char *name, char text[static 64]) {
    char self[PATH_MAX] = "", path[PATH_MAX + 16];
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) give_up("find myself");
    snprintf(path, sizeof path, "%s/%s", dirname(dirname(self)), name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, 63);
    if (got < 0) give_up(path);
    close(fd);
    text[got] = '\0';
}

static void write_text(const char *path, int flags, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) give_up(path);
    close(fd);
}

static int listen_on(int port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0)
        give_up("socket");
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0) give_up("bind");
    if (listen(listener, 16) != 0) give_up("listen");
    return listener;
}

static void answer(int client, const char *version, bool failing) {
    char request[4096], text[256];
    struct timeval patience = {.tv_sec = 1};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (recv(client, request, sizeof request, 0) <= 0) return;
    int length =
        snprintf(text, sizeof text, "HTTP/1.0 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                 failing ? "500 Sick" : "200 OK", strlen(version), version);
    send(client, text, (size_t)length, MSG_NOSIGNAL);
}

int main(int argc, char **argv) {
    char version[64], behaviour[64];
    if (argc != 2) return 2;
    read_text("version", version);
    read_text("behaviour", behaviour);
    write_text("starts", O_APPEND, version);
    if (strstr(behaviour, "migrates")) write_text("shared/data/schema", O_TRUNC, version);
    int listener = listen_on((int)strtol(argv[1], NULL, 10));
    for (;;) {
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0) continue;
        answer(client, version, strstr(behaviour, "failing"));
        close(client);
    }
}
