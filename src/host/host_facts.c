#include "host/host_facts.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/process.h"
#include "host/check/facts.h"
#include "host/check/version_text.h"
#include "host/release.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TOOL_TIMEOUT_MS = 5000, TOOL_OUTPUT_MAX = 4096, PROC_FILE_MAX = 4 << 20 };

static json_t *object_new(void) {
    json_t *object = json_object();
    if (!object) abort();
    return object;
}

static json_t *array_new(void) {
    json_t *array = json_array();
    if (!array) abort();
    return array;
}

static void set(json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value) != 0) abort();
}

/* A file of `proc`, or "" where it cannot be read. */
static const char *read_proc(const HostFactsSpec *spec, const char *name, Buffer *buffer) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", spec->proc ? spec->proc : "/proc", name);
    if (file_read(AT_FDCWD, path, PROC_FILE_MAX, buffer, NULL) < 0) buffer_clear(buffer);
    return buffer_text(buffer);
}

/* ---- the machine */

static void set_known(json_t *object, const char *key, const char *value) {
    if (*value) json_set_text(object, key, value);
}

/* "model name : Intel(R) …", or what other architectures call it. */
static void set_model(const HostFactsSpec *spec, json_t *cpu) {
    static const char *const keys[] = {"model name", "Model", "cpu model", "Hardware", "cpu"};
    BUFFER_AUTO text = {0};
    const char *lines = read_proc(spec, "cpuinfo", &text);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        for (const char *line = lines; *line; line += strcspn(line, "\n"), line += *line == '\n') {
            size_t length = strlen(keys[i]), blank;
            if (strncmp(line, keys[i], length) != 0) continue;
            blank = strspn(line + length, " \t");
            if (line[length + blank] != ':') continue;
            const char *value = line + length + blank + 1;
            value += strspn(value, " \t");
            set(cpu, "model", json_safe_string(value, strcspn(value, "\n")));
            return;
        }
    }
}

static void add_machine(const HostFactsSpec *spec, json_t *json, json_t *now) {
    Facts facts;
    facts_read(&facts);
    json_t *os = object_new(), *cpu = object_new(), *memory = object_new();
    set_known(os, "id", facts.os_id);
    set_known(os, "version", facts.os_version);
    set_known(os, "name", facts.os_name);
    if (facts.cpu_count) json_set_integer(cpu, "cores", facts.cpu_count);
    set_model(spec, cpu);
    if (facts.memory_total) json_set_integer(memory, "total_bytes", (int64_t)facts.memory_total);
    if (facts.memory_available)
        json_set_integer(now, "memory_available_bytes", (int64_t)facts.memory_available);
    set(json, "os", os);
    set(json, "cpu", cpu);
    set(json, "memory", memory);
    set_known(json, "kernel", facts.kernel);
    set_known(json, "architecture", facts.architecture);
    char name[HOST_NAME_MAX + 1] = "", booted[CLOCK_TEXT_SIZE];
    if (gethostname(name, sizeof name) == 0) set_known(json, "hostname", name);
    json_set_text(json, "address", spec->address);
    if (!facts.booted_ms) return;
    clock_to_text(facts.booted_ms, booted); /* the kernel derives it from the clock, so it moves with that */
    json_set_text(now, "booted", booted);
}

/* ---- disks */

typedef struct Mount {
    const char *path, *type, *device; /* of this file system */
} Mount;

typedef struct MountList {
    Mount items[HOST_FACTS_DISKS_MAX];
    size_t count;
} MountList;

/* Those that live on this machine and hold what people store there. */
static const struct FileSystem {
    const char *type;
    bool sized; /* its size is its own, and does not move with what others store */
    bool root;  /* counts as “/” alone: elsewhere it is a container's */
} file_systems[] = {
    {"ext4", true, false},   {"ext3", true, false},     {"ext2", true, false},   {"xfs", true, false},
    {"btrfs", true, false},  {"zfs", false, false},     {"f2fs", true, false},   {"jfs", true, false},
    {"vfat", true, false},   {"exfat", true, false},    {"ntfs3", true, false},  {"bcachefs", true, false},
    {"nilfs2", true, false}, {"reiserfs", true, false}, {"overlay", true, true},
};

static const struct FileSystem *file_system_of(const char *type) {
    for (size_t i = 0; i < sizeof file_systems / sizeof *file_systems; i++)
        if (strcmp(file_systems[i].type, type) == 0) return &file_systems[i];
    return NULL;
}

/* The kernel writes blanks and backslashes in a path as \040. */
static char *decode_path(Arena *arena, const char *text) {
    char *out = arena_strdup(arena, text), *to = out;
    for (const char *at = text; *at; to++) {
        bool octal = at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' &&
                     at[3] >= '0' && at[3] <= '7';
        *to = octal ? (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0')) : *at;
        at += octal ? 4 : 1;
    }
    *to = '\0';
    return out;
}

/* "36 35 98:0 /part /mnt rw,noatime master:1 - ext3 /dev/root rw" (proc_pid_mountinfo(5)). */
static bool parse_mount(Arena *arena, char *line, Mount *out) {
    char *fields[5], *at = line;
    for (size_t i = 0; i < 5; i++)
        if (!(fields[i] = strsep(&at, " ")) || !at) return false;
    char *end = strstr(at, "- "); /* the optional fields before it have no such thing */
    while (end && end != at && end[-1] != ' ') end = strstr(end + 1, "- ");
    if (!end) return false;
    at = end + 2;
    Mount mount = {.type = strsep(&at, " "), .device = fields[2]};
    mount.path = decode_path(arena, fields[4]);
    *out = mount;
    return true;
}

/* The shortest path of a device counts, and of these the first: the others show parts of it elsewhere. */
static void take_mount(MountList *list, const Mount *mount) {
    const struct FileSystem *known = file_system_of(mount->type);
    if (!known || (known->root && strcmp(mount->path, "/") != 0)) return;
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].device, mount->device) != 0) continue;
        if (strlen(mount->path) < strlen(list->items[i].path)) list->items[i] = *mount;
        return;
    }
    if (list->count < HOST_FACTS_DISKS_MAX) list->items[list->count++] = *mount;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const Mount *)a)->path, ((const Mount *)b)->path);
}

static void add_disks(const HostFactsSpec *spec, json_t *json, json_t *now) {
    ARENA_AUTO arena = arena_new();
    BUFFER_AUTO text = {0};
    MountList list = {.count = 0};
    char *lines = arena_strdup(arena, read_proc(spec, "self/mountinfo", &text)), *line;
    while ((line = strsep(&lines, "\n"))) {
        Mount mount;
        if (parse_mount(arena, line, &mount)) take_mount(&list, &mount);
    }
    qsort(list.items, list.count, sizeof *list.items, by_path);
    json_t *disks = array_new(), *free_now = object_new();
    for (size_t i = 0; i < list.count; i++) {
        FactsDisk found;
        const Mount *mount = &list.items[i];
        if (facts_disk(mount->path, &found, NULL) < 0) continue;
        json_t *disk = object_new(), *left = object_new();
        json_set_text(disk, "path", mount->path);
        json_set_text(disk, "type", mount->type);
        if (file_system_of(mount->type)->sized) json_set_integer(disk, "total_bytes", (int64_t)found.size);
        json_set_integer(left, "free_bytes", (int64_t)found.free);
        if (json_array_append_new(disks, disk) != 0) abort();
        set(free_now, json_get_text(disk, "path", ""), left);
    }
    set(json, "disks", disks);
    set(now, "disks", free_now);
}

/* ---- tools */

static const struct Tool {
    const char *name;
    const char *argv[3];
    const char *regex; /* NULL: the first thing that looks like a version */
} tools[] = {
    {"apache", {"apache2", "-v"}, "Apache/([0-9.]+)"},
    {"docker", {"docker", "--version"}, NULL},
    {"glibc", {"getconf", "GNU_LIBC_VERSION"}, NULL},
    {"haproxy", {"haproxy", "-v"}, "version ([0-9.]+)"},
    {"httpd", {"httpd", "-v"}, "Apache/([0-9.]+)"},
    {"java", {"java", "-version"}, "version \"([^\"]+)\""},
    {"mariadb", {"mariadb", "--version"}, "([0-9]+\\.[0-9.]+)-MariaDB"},
    {"mysql", {"mysql", "--version"}, "([0-9]+\\.[0-9]+\\.[0-9]+)"},
    {"nginx", {"nginx", "-v"}, "nginx/([0-9.]+)"},
    {"node", {"node", "--version"}, "v([0-9.]+)"},
    {"openssl", {"openssl", "version"}, NULL},
    {"php", {"php", "--version"}, "PHP ([0-9.]+)"},
    {"podman", {"podman", "--version"}, NULL},
    {"psql", {"psql", "--version"}, "([0-9]+(\\.[0-9]+)*)"},
    {"python3", {"python3", "--version"}, NULL},
    {"redis", {"redis-server", "--version"}, "v=([0-9.]+)"},
    {"sqlite3", {"sqlite3", "--version"}, NULL},
    {"systemd", {"systemctl", "--version"}, "systemd ([0-9]+)"},
};

static void add_tool(const HostFactsSpec *spec, char *const *env, const struct Tool *tool, json_t *out) {
    const char *const argv[] = {tool->argv[0], tool->argv[1], NULL};
    ProcessSpec process = {.argv = argv,
                           .env = (const char *const *)env,
                           .directory = "/",
                           .timeout_ms = TOOL_TIMEOUT_MS,
                           .output_max = TOOL_OUTPUT_MAX,
                           .memory_max = PROCESS_HELPER_MEMORY,
                           .cancel = spec->cancel};
    ProcessResult result;
    Error error = {0};
    char version[VERSION_TEXT_SIZE];
    if (process_run(&process, &result, &error) < 0) {
        if (error.number != ENOENT && error.number != ENOTDIR) set(out, tool->name, json_null());
        return;
    }
    if (!result.timed_out && result.exit_status == 0 &&
        version_text_find(buffer_text(&result.output), tool->regex, version, NULL) == 0)
        json_set_text(out, tool->name, version);
    else
        set(out, tool->name, json_null());
    buffer_free(&result.output);
}

static void add_tools(const HostFactsSpec *spec, json_t *json) {
    FREE_AUTO char *path = NULL;
    if (spec->path && asprintf(&path, "PATH=%s", spec->path) < 0) abort();
    const char *const extra[] = {path, NULL};
    char **env = process_env(NULL, extra, NULL);
    json_t *found = object_new();
    for (size_t i = 0; env && i < sizeof tools / sizeof *tools; i++) add_tool(spec, env, &tools[i], found);
    process_env_free(env);
    set(json, "tools", found);
}

/* ---- releases */

/* The one installed before `version`, of those that are kept; NULL: none. */
static const char *release_before(int root, const char *version, Arena *arena) {
    ReleaseList list;
    if (release_list(root, arena, &list, NULL) < 0) return NULL;
    for (size_t i = 0; i + 1 < list.count; i++)
        if (strcmp(list.versions[i], version) == 0) return list.versions[i + 1];
    return NULL;
}

/* Leaves `out` as it is where nothing is installed. */
static int read_release(const char *path, Arena *arena, json_t *out, Error *error) {
    char version[RELEASE_VERSION_SIZE], installed[CLOCK_TEXT_SIZE];
    Release release;
    FD_AUTO root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 && errno == ENOENT) return 0;
    if (root < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", path);
    if (release_current(root, version, error) < 0) return -1;
    if (!*version) return 0;
    if (release_load(root, version, arena, &release, error) < 0) return -1;
    clock_to_text(release.installed_ms, installed);
    json_set_text(out, "service", release.plan->service.name);
    json_set_text(out, "version", version);
    json_set_text(out, "previous", release_before(root, version, arena));
    json_set_text(out, "change", *release.change ? release.change : NULL);
    json_set_text(out, "installed", installed);
    return 0;
}

static void add_releases(const HostFactsSpec *spec, json_t *json) {
    json_t *releases = array_new();
    for (size_t i = 0; i < spec->root_count && i < HOST_FACTS_ROOTS_MAX; i++) {
        ARENA_AUTO arena = arena_new();
        JSON_AUTO release = object_new();
        Error error = {0};
        if (read_release(spec->roots[i], arena, release, &error) < 0) {
            json_set_text(release, "error", error.en);
            json_set_text(release, "error_zh", error.zh);
        }
        if (json_object_size(release) == 0) continue;
        json_set_text(release, "root", spec->roots[i]);
        if (json_array_append(releases, release) != 0) abort();
    }
    set(json, "releases", releases);
}

json_t *host_facts(const HostFactsSpec *spec) {
    json_t *json = object_new(), *now = object_new();
    add_machine(spec, json, now);
    add_disks(spec, json, now);
    add_tools(spec, json);
    add_releases(spec, json);
    set(json, "now", now);
    return json;
}

Digest host_facts_digest(const json_t *facts) {
    JSON_AUTO stable = json_copy((json_t *)facts);
    if (!stable) abort();
    json_object_del(stable, "now");
    return json_digest(stable);
}
