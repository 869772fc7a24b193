#include "base/process_table.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>

enum { ENVIRONMENT_MAX = 4 << 20 };

/* "PID (NAME) STATE PARENT GROUP SESSION …"; the name may hold anything, even brackets and blanks, so the
 * fields are counted from the last bracket. The start is field 22 of proc(5). */
static bool parse(char *line, ProcessEntry *out) {
    char *at = strrchr(line, ')');
    if (!at || at[1] != ' ') return false;
    int parent, group, session;
    char state;
    unsigned long long start;
    int got = sscanf(at + 2, "%c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                     &state, &parent, &group, &session, &start);
    if (got != 5) return false;
    *out = (ProcessEntry){out->pid, parent, session, state, start};
    return true;
}

bool process_entry_read(pid_t pid, ProcessEntry *out) {
    char path[40], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t got = read(fd, line, sizeof line - 1);
    if (got <= 0) return false;
    line[got] = '\0';
    ProcessEntry entry = {.pid = pid};
    if (!parse(line, &entry)) return false;
    *out = entry;
    return true;
}

bool process_entry_alive(const ProcessEntry *entry) { return entry->state != 'Z' && entry->state != 'X'; }

int process_table_read(ProcessTable *out, Error *error) {
    DIR *folder = opendir("/proc");
    if (!folder) return error_errno(error, ERROR_SYSTEM, errno, "cannot list the processes in /proc");
    ProcessTable table = {0};
    size_t capacity = 0;
    for (struct dirent *name; (name = readdir(folder));) {
        char *end;
        long pid = strtol(name->d_name, &end, 10);
        ProcessEntry entry;
        if (*end || pid <= 0 || !process_entry_read((pid_t)pid, &entry) || !process_entry_alive(&entry))
            continue;
        if (table.count == capacity) {
            capacity = capacity ? capacity * 2 : 256;
            table.items = reallocarray(table.items, capacity, sizeof *table.items);
            if (!table.items) abort();
        }
        table.items[table.count++] = entry;
    }
    closedir(folder);
    *out = table;
    return 0;
}

void process_table_free(ProcessTable *table) {
    free(table->items);
    *table = (ProcessTable){0};
}

const ProcessEntry *process_table_find(const ProcessTable *table, pid_t pid) {
    for (size_t i = 0; i < table->count; i++)
        if (table->items[i].pid == pid) return &table->items[i];
    return NULL;
}

ProcessEnvironment process_entry_environment(pid_t pid, const char *entry) {
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    BUFFER_AUTO text = {0};
    if (file_read(AT_FDCWD, path, ENVIRONMENT_MAX, &text, NULL) < 0) return PROCESS_ENV_UNKNOWN;
    bool empty = true;
    for (size_t at = 0; at < text.size; at += strlen(text.data + at) + 1) {
        if (strcmp(text.data + at, entry) == 0) return PROCESS_ENV_YES;
        empty = empty && !text.data[at];
    }
    return empty ? PROCESS_ENV_UNKNOWN : PROCESS_ENV_NO;
}

bool process_entry_signal(const ProcessEntry *entry, int signal_number) {
    FD_AUTO handle = pidfd_open(entry->pid, 0);
    if (handle < 0) return false;
    ProcessEntry now; /* the handle holds on to whoever has the pid now: only then look who that is */
    if (!process_entry_read(entry->pid, &now) || now.start_ticks != entry->start_ticks) return false;
    return pidfd_send_signal(handle, signal_number, NULL, 0) == 0;
}
