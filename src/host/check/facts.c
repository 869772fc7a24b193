#include "host/check/facts.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

enum { SMALL_FILE_MAX = 64 << 10 };

/* A small file of the kernel's, or "" where it cannot be read. */
static const char *read_small(const char *path, Buffer *buffer) {
    buffer_clear(buffer);
    if (file_read(AT_FDCWD, path, SMALL_FILE_MAX, buffer, NULL) < 0) buffer_clear(buffer);
    return buffer_text(buffer);
}

/* ---- cgroup v2: limits hold for a group and all above it, so the least of them counts */

typedef void (*CgroupVisit)(const char *folder, void *context);

static void cgroup_each(CgroupVisit visit, void *context) {
    BUFFER_AUTO text = {0};
    const char *line = strstr(read_small("/proc/self/cgroup", &text), "0::/");
    if (!line) return;
    char path[4096];
    snprintf(path, sizeof path, "/sys/fs/cgroup%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    for (size_t root = strlen("/sys/fs/cgroup"); strlen(path) >= root;) {
        visit(path, context);
        *strrchr(path, '/') = '\0';
    }
}

static const char *cgroup_read(const char *folder, const char *name, Buffer *buffer) {
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return read_small(path, buffer);
}

/* cpu.max: "QUOTA PERIOD" in microseconds, or "max PERIOD". */
static void limit_cpu(const char *folder, void *context) {
    Facts *facts = context;
    BUFFER_AUTO text = {0};
    uint64_t quota, period;
    if (sscanf(cgroup_read(folder, "cpu.max", &text), "%" SCNu64 " %" SCNu64, &quota, &period) != 2) return;
    int cpus = period && quota / period < INT32_MAX ? (int)(quota / period) : facts->cpu_count;
    if (cpus < facts->cpu_count) facts->cpu_count = cpus > 0 ? cpus : 1;
}

static void limit_memory(const char *folder, void *context) {
    Facts *facts = context;
    BUFFER_AUTO text = {0};
    uint64_t limit, used, cache = 0;
    if (sscanf(cgroup_read(folder, "memory.max", &text), "%" SCNu64, &limit) != 1) return;
    if (sscanf(cgroup_read(folder, "memory.current", &text), "%" SCNu64, &used) != 1) return;
    const char *inactive = strstr(cgroup_read(folder, "memory.stat", &text), "inactive_file ");
    if (inactive) cache = strtoull(inactive + strlen("inactive_file "), NULL, 10);
    used -= cache < used ? cache : used; /* what the kernel would give back at once */
    if (limit < facts->memory_total) facts->memory_total = limit;
    uint64_t available = limit > used ? limit - used : 0;
    if (available < facts->memory_available) facts->memory_available = available;
}

/* ---- the rest */

static void read_cpu(Facts *out) {
    cpu_set_t *set = CPU_ALLOC(4096);
    size_t size = CPU_ALLOC_SIZE(4096);
    if (!set) abort();
    out->cpu_count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (out->cpu_count) cgroup_each(limit_cpu, out);
}

static uint64_t meminfo_bytes(const char *text, const char *key) {
    const char *at = strstr(text, key);
    return at ? strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

static void read_memory(Facts *out) {
    BUFFER_AUTO text = {0};
    const char *info = read_small("/proc/meminfo", &text);
    out->memory_total = meminfo_bytes(info, "MemTotal:");
    out->memory_available = meminfo_bytes(info, "MemAvailable:");
    if (out->memory_total) cgroup_each(limit_memory, out);
}

/* The value of KEY= in os-release(5), without its quotes. */
static void os_value(const char *text, const char *key, char *out, size_t size) {
    size_t length = strlen(key);
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, key, length) != 0 || line[length] != '=') continue;
        const char *value = line + length + 1;
        size_t count = strcspn(value, "\n");
        if (count >= 2 && (*value == '"' || *value == '\'') && value[count - 1] == *value) {
            value++;
            count -= 2;
        }
        snprintf(out, size, "%.*s", (int)count, value);
        return;
    }
}

static void read_os(Facts *out) {
    BUFFER_AUTO text = {0};
    const char *release = read_small("/etc/os-release", &text);
    if (!*release) release = read_small("/usr/lib/os-release", &text);
    os_value(release, "ID", out->os_id, sizeof out->os_id);
    os_value(release, "VERSION_ID", out->os_version, sizeof out->os_version);
    os_value(release, "PRETTY_NAME", out->os_name, sizeof out->os_name);
}

/* uname's machine, and what Debian and the container world call it. */
static const struct {
    const char *machine, *name;
} architectures[] = {
    {"x86_64", "amd64"}, {"aarch64", "arm64"},   {"armv7l", "armhf"}, {"i686", "i386"},
    {"i386", "i386"},    {"ppc64le", "ppc64el"}, {"s390x", "s390x"},  {"riscv64", "riscv64"},
};

static void read_kernel(Facts *out) {
    struct utsname name;
    if (uname(&name) != 0) return;
    snprintf(out->kernel, sizeof out->kernel, "%s", name.release);
    snprintf(out->architecture, sizeof out->architecture, "%s", name.machine);
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (strcmp(architectures[i].machine, name.machine) == 0)
            snprintf(out->architecture, sizeof out->architecture, "%s", architectures[i].name);
}

static void read_boot(Facts *out) {
    BUFFER_AUTO text = {0};
    const char *at = strstr(read_small("/proc/stat", &text), "btime ");
    if (at) out->booted_ms = strtoll(at + strlen("btime "), NULL, 10) * 1000;
}

void facts_read(Facts *out) {
    *out = (Facts){0};
    read_cpu(out);
    read_memory(out);
    read_os(out);
    read_kernel(out);
    read_boot(out);
}

int facts_disk(const char *path, FactsDisk *out, Error *error) {
    FactsDisk disk;
    struct statvfs status;
    if (path[0] != '/' || strlen(path) >= sizeof disk.path)
        return error_set(error, ERROR_INVALID, "%s is not an absolute path", path);
    snprintf(disk.path, sizeof disk.path, "%s", path);
    while (statvfs(disk.path, &status) != 0) {
        char *slash = strrchr(disk.path, '/');
        if ((errno != ENOENT && errno != ENOTDIR) || strcmp(disk.path, "/") == 0)
            return error_errno(error, ERROR_SYSTEM, errno, "cannot look at the file system of %s", disk.path);
        slash[slash == disk.path] = '\0';
    }
    disk.size = (uint64_t)status.f_blocks * status.f_frsize;
    disk.free = (uint64_t)status.f_bavail * status.f_frsize;
    disk.inodes = status.f_files;
    disk.inodes_free = status.f_favail;
    *out = disk;
    return 0;
}

json_t *facts_to_json(const Facts *facts) {
    json_t *json = json_object();
    if (!json) abort();
    if (facts->cpu_count) json_set_integer(json, "cpu_count", facts->cpu_count);
    if (facts->memory_total) json_set_integer(json, "memory_total", (int64_t)facts->memory_total);
    if (facts->memory_available) json_set_integer(json, "memory_available", (int64_t)facts->memory_available);
    if (facts->booted_ms) json_set_integer(json, "booted_ms", facts->booted_ms);
    const struct {
        const char *key, *value;
    } texts[] = {{"os_id", facts->os_id},
                 {"os_version", facts->os_version},
                 {"os_name", facts->os_name},
                 {"kernel", facts->kernel},
                 {"architecture", facts->architecture}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (*texts[i].value) json_set_text(json, texts[i].key, texts[i].value);
    return json;
}
