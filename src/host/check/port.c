#include "host/check/port.h"
#include "base/cleanup.h"
#include "base/process_table.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKETS_MAX = 64, ANCESTORS_MAX = 64, TCP_LISTENING = 0x0A };

/* ---- listening sockets of the port, by inode */

typedef struct Sockets {
    unsigned long inodes[SOCKETS_MAX];
    size_t count;
} Sockets;

/* proc_pid_net(5): "  0: 0100007F:1F90 00000000:0000 0A … … … uid timeout inode …", numbers in hexadecimal.
 */
static void read_sockets(const char *path, int port, Sockets *sockets) {
    FILE *file = fopen(path, "re");
    char line[512];
    if (!file) return;
    while (sockets->count < SOCKETS_MAX && fgets(line, sizeof line, file)) {
        unsigned local, state;
        unsigned long inode;
        if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*u %lu", &local,
                   &state, &inode) != 3)
            continue;
        if (local == (unsigned)port && state == TCP_LISTENING) sockets->inodes[sockets->count++] = inode;
    }
    fclose(file);
}

static bool is_one_of(const Sockets *sockets, const char *link) {
    unsigned long inode;
    if (sscanf(link, "socket:[%lu]", &inode) != 1) return false;
    for (size_t i = 0; i < sockets->count; i++)
        if (sockets->inodes[i] == inode) return true;
    return false;
}

static bool holds(pid_t pid, const Sockets *sockets) {
    char path[40], link[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (!folder) return false;
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(folder));) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, link, sizeof link - 1);
        if (length <= 0) continue;
        link[length] = '\0';
        found = is_one_of(sockets, link);
    }
    closedir(folder);
    return found;
}

/* ---- whose they are */

static bool is_ours(const ProcessTable *table, const ProcessEntry *entry, pid_t ours) {
    if (!ours) return false;
    for (int i = 0; entry && i < ANCESTORS_MAX; i++) {
        if (entry->pid == ours || entry->session == ours) return true;
        entry = process_table_find(table, entry->parent);
    }
    return false;
}

static void read_name(pid_t pid, char *name, size_t size) {
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, name, size - 1);
    name[got > 0 ? got : 0] = '\0';
    name[strcspn(name, "\n")] = '\0';
}

/* A holder that is not ours, else one that is; `only_ours` says which. False: nobody could be seen. */
static bool look_up(const Sockets *sockets, pid_t ours, PortHolder *out, bool *only_ours, Error *error) {
    PROCESS_TABLE_AUTO table = {0};
    bool found = false;
    if (process_table_read(&table, error) < 0) return false;
    for (size_t i = 0; i < table.count; i++) {
        if (!holds(table.items[i].pid, sockets)) continue;
        found = true;
        *only_ours = is_ours(&table, &table.items[i], ours);
        out->pid = table.items[i].pid;
        if (!*only_ours) break;
    }
    if (found) read_name(out->pid, out->name, sizeof out->name);
    return found;
}

/* ---- binding */

/* 0 free, EADDRINUSE taken, another errno: could not be tried. */
static int try_bind(int family, int port) {
    struct sockaddr_in address4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 address6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    const struct sockaddr *address =
        family == AF_INET ? (struct sockaddr *)&address4 : (struct sockaddr *)&address6;
    socklen_t size = family == AF_INET ? sizeof address4 : sizeof address6;
    int on = 1;
    FD_AUTO fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno == EAFNOSUPPORT ? 0 : errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* old connections in TIME_WAIT hold nothing */
    if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, address, size) == 0) return 0;
    return errno == EADDRNOTAVAIL ? 0 : errno; /* IPv6 switched off */
}

int port_find_holder(int port, pid_t ours, PortHolder *out, Error *error) {
    int number = try_bind(AF_INET, port);
    if (number == 0) number = try_bind(AF_INET6, port);
    PortHolder holder = {.found = number == EADDRINUSE};
    Sockets sockets = {0};
    if (number == 0) {
        *out = holder;
        return 0;
    }
    if (number != EADDRINUSE && number != EACCES)
        return error_errno(error, ERROR_SYSTEM, number, "cannot try port %d", port);
    read_sockets("/proc/net/tcp", port, &sockets);
    read_sockets("/proc/net/tcp6", port, &sockets);
    if (number == EACCES) holder.found = sockets.count > 0; /* a port only root may bind: the list must do */
    bool only_ours = false;
    if (sockets.count && look_up(&sockets, ours, &holder, &only_ours, error)) holder.found = !only_ours;
    if (!holder.found) holder = (PortHolder){0};
    *out = holder;
    return 0;
}
