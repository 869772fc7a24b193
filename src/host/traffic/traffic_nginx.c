#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/command.h"
#include "base/file.h"
#include "base/process_table.h"
#include "base/quantity.h"
#include "host/traffic/traffic_driver.h"
#include "host/traffic/upstream.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* nginx: the server's line in its upstream file, the test of the configuration, a reload.
 *
 * The open-source nginx does not tell how many requests a server has. What can be seen is its old workers:
 * after a reload they take nothing new, finish what they have — whatever server it goes to — and end. The
 * host is drained when those that worked before the reload have ended, and those that an earlier reload had
 * left ending. Where no worker can be seen from here (another machine, another process namespace),
 * drain_timeout is waited for in full.
 *
 * Several hosts' changes may edit one file: the folder is locked from reading it until nginx has taken it up.
 * Or workers of the last reload, which know nothing of this one, would be born after we have looked. */

enum { FILE_MAX = 4 << 20, WORKERS_MAX = 4096, LOCK_LOOK_MS = 20, BIRTH_MS = 5000 };

static bool drives(const PlanTraffic *traffic) { return traffic->nginx != NULL; }

/* ---- workers */

typedef struct Worker {
    ProcessEntry process;
    bool ending; /* before the reload already: it tells nothing of that */
    bool called; /* by its master to end: it has heard of the reload, or one beside it has */
    bool ends, lives;
} Worker;

typedef struct Workers {
    Worker *items; /* those that lived before the reload */
    size_t count, serving;
    bool taken_up; /* one has heard of the reload at least */
} Workers;

static void workers_free(Workers *workers) { free(workers->items); }
#define WORKERS_AUTO __attribute__((cleanup(workers_free))) Workers

/* The title of a process, as nginx sets it; "" when it cannot be read. */
static void title_of(pid_t pid, char title[static 64]) {
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, title, 63);
    title[got > 0 ? got : 0] = '\0';
}

static bool is_worker(const char *title) { return strncmp(title, "nginx: worker process", 21) == 0; }
static bool is_ending(const char *title) {
    return strncmp(title, "nginx: worker process is shutting down", 38) == 0;
}

static bool is_master(const char *title) { return strncmp(title, "nginx: master process", 21) == 0; }

/* Forked a moment ago, as by a reload just before this one: it will be a worker, and bears its master's
 * title. */
static bool is_newborn(const ProcessEntry *process, const char *title) {
    char parent[64];
    if (!is_master(title)) return false;
    title_of(process->parent, parent);
    return is_master(parent);
}

/* True when none was just being born. */
static bool workers_look(const ProcessTable *table, Workers *out) {
    char title[64];
    bool settled = true;
    out->count = out->serving = 0;
    for (size_t i = 0; i < table->count && out->count < WORKERS_MAX; i++) {
        title_of(table->items[i].pid, title);
        if (is_worker(title))
            out->items[out->count++] = (Worker){.process = table->items[i], .ending = is_ending(title)};
        out->serving += is_worker(title) && !is_ending(title);
        settled &= !is_newborn(&table->items[i], title);
    }
    return settled;
}

static int workers_read(Workers *out, Error *error) {
    bool settled = false;
    out->items = calloc(WORKERS_MAX, sizeof *out->items);
    if (!out->items) abort();
    for (int waited_ms = 0; !settled && waited_ms < BIRTH_MS; waited_ms += LOCK_LOOK_MS) {
        PROCESS_TABLE_AUTO table = {0};
        if (waited_ms > 0) clock_sleep_ms(LOCK_LOOK_MS);
        if (process_table_read(&table, error) < 0) return -1;
        settled = workers_look(&table, out);
    }
    return 0;
}

static void worker_look(Worker *worker) {
    ProcessEntry now;
    char title[64] = "";
    worker->lives = process_entry_read(worker->process.pid, &now) && process_entry_alive(&now) &&
                    now.start_ticks == worker->process.start_ticks;
    if (worker->lives) title_of(now.pid, title);
    worker->ends = !worker->lives || is_ending(title);
}

/* A master that has taken up a configuration ends all of its workers, some of which hear of it later. */
static void call_workers(Workers *workers, pid_t master) {
    workers->taken_up = true;
    for (size_t i = 0; i < workers->count; i++)
        workers->items[i].called |= workers->items[i].process.parent == master;
}

/* How many of them have yet to end. */
static int64_t look_ending(void *looker, Error *error) {
    (void)error;
    Workers *workers = looker;
    int64_t left = 0;
    for (size_t i = 0; i < workers->count; i++) {
        Worker *worker = &workers->items[i];
        worker_look(worker);
        if (worker->ends && !worker->ending && !worker->called) call_workers(workers, worker->process.parent);
    }
    for (size_t i = 0; i < workers->count; i++) left += workers->items[i].called && workers->items[i].lives;
    return left;
}

/* How many have yet to hear of it. */
static int64_t look_taken_up(void *looker, Error *error) {
    Workers *workers = looker;
    int64_t left = 0;
    if (look_ending(workers, error) < 0) return -1;
    for (size_t i = 0; i < workers->count; i++) left += workers->items[i].called && !workers->items[i].ends;
    return workers->taken_up ? left : 1;
}

/* nginx -s reload returns before the master has read anything. One that hears late would be taken for one
 * that hears of the next reload. */
static int wait_taken_up(const TrafficContext *context, Workers *workers, Error *error) {
    int64_t left, limit_ms = context->traffic->nginx->timeout_ms;
    char text[QUANTITY_TEXT_SIZE];
    if (workers->serving == 0) return 0;
    int result = traffic_wait(context, limit_ms, look_taken_up, workers, &left, error);
    if (result <= 0 || workers->taken_up) return result < 0 ? -1 : 0;
    error_set(error, ERROR_SYSTEM, "nginx did not take its configuration up within %s",
              quantity_duration_text(limit_ms, text));
    return error_hint(error,
                      "look at its error log, and whether traffic.nginx.reload reaches the right nginx");
}

/* ---- the file */

typedef struct Upstream {
    int dir; /* of the file; locked */
    const char *name;
    Buffer text;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    UpstreamServer server;
} Upstream;

static void upstream_close(Upstream *upstream) {
    if (upstream->dir >= 0) close(upstream->dir);
    buffer_free(&upstream->text);
}
#define UPSTREAM_AUTO __attribute__((cleanup(upstream_close))) Upstream

static int lock(const TrafficContext *context, int dir, Error *error) {
    int64_t until_ms = clock_steady_ms(context->clock) + 3 * context->traffic->nginx->timeout_ms;
    while (flock(dir, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_errno(error, ERROR_SYSTEM, errno, "cannot lock its folder");
        if (context->cancel && atomic_load(context->cancel))
            return error_set(error, ERROR_INTERRUPTED, "cancelled");
        if (clock_steady_ms(context->clock) >= until_ms)
            return error_set(error, ERROR_SYSTEM, "another change holds the lock of its folder");
        clock_sleep_ms(LOCK_LOOK_MS);
    }
    return 0;
}

static int read_upstream(const TrafficContext *context, char *path, Upstream *out, Error *error) {
    struct stat status;
    char *slash = strrchr(path, '/');
    *slash = '\0';
    out->name = slash + 1;
    out->dir = open(*path ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->dir < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open its folder");
    if (lock(context, out->dir, error) < 0) return -1;
    if (fstatat(out->dir, out->name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot read it");
    out->mode = status.st_mode & 07777;
    out->uid = status.st_uid;
    out->gid = status.st_gid;
    if (file_read(out->dir, out->name, FILE_MAX, &out->text, error) < 0) return -1;
    if (strlen(buffer_text(&out->text)) != out->text.size)
        return error_set(error, ERROR_INVALID, "it is no text");
    return upstream_find(buffer_text(&out->text), context->traffic->nginx->server, &out->server, error);
}

/* Locked until it is closed. Links are followed first, or a link would be replaced by a file. */
static int open_upstream(const TrafficContext *context, Arena *arena, Upstream *out, Error *error) {
    const char *file = context->traffic->nginx->file;
    FREE_AUTO char *real = realpath(file, NULL);
    if (!real) {
        error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", file);
        return error_hint(error, "traffic.nginx.file is the file with the upstream's server lines");
    }
    if (read_upstream(context, arena_strdup(arena, real), out, error) < 0)
        return error_prefix(error, "%s", file);
    return 0;
}

static int write_upstream(const Upstream *upstream, const Buffer *text, Error *error) {
    if (file_replace_tidy(upstream->dir, upstream->name, error) < 0 ||
        file_replace(upstream->dir, upstream->name, text->data, text->size, upstream->mode, error) < 0)
        return -1;
    struct stat status;
    bool same = fstatat(upstream->dir, upstream->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                status.st_uid == upstream->uid && status.st_gid == upstream->gid;
    if (same ||
        fchownat(upstream->dir, upstream->name, upstream->uid, upstream->gid, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    return error_errno(error, ERROR_SYSTEM, errno, "cannot give it back to its owner");
}

/* Nothing that nginx refuses stays behind: the next reload is somebody else's. */
static int take_up(const TrafficContext *context, const Upstream *upstream, const Buffer *text,
                   Error *error) {
    const PlanNginx *nginx = context->traffic->nginx;
    if (write_upstream(upstream, text, error) == 0 &&
        traffic_run(context, &nginx->test, NULL, nginx->timeout_ms, NULL, error) == 0 &&
        traffic_run(context, &nginx->reload, NULL, nginx->timeout_ms, NULL, error) == 0)
        return 0;
    Error back = {0};
    if (write_upstream(upstream, &upstream->text, &back) < 0) {
        if (error) error->kind = ERROR_ATTENTION;
        return error_hint(error, "and %s could not be put back as it was: %s", nginx->file, back.en);
    }
    return error_hint(error, "%s was put back as it was", nginx->file);
}

typedef struct Edit {
    bool down;
    bool as_it_is;  /* down or not */
    int percent;    /* of the normal weight; 0: as it is */
    bool may_empty; /* nobody else need serve */
} Edit;

/* Written, tested and reloaded even when nothing changes: an attempt that was cut off may have written it
 * only. `workers`: those before the reload. It has been taken up when this returns 0. */
static int edit(const TrafficContext *context, const Edit *wish, Workers *workers, Error *error) {
    ARENA_AUTO arena = arena_new();
    UPSTREAM_AUTO upstream = {.dir = -1};
    BUFFER_AUTO text = {0};
    if (open_upstream(context, arena, &upstream, error) < 0) return -1;
    const UpstreamServer *server = &upstream.server;
    if (traffic_check_share(server->whole, wish->percent, error) < 0) return -1;
    if (wish->down && !wish->may_empty && !server->down && server->others == 0)
        return traffic_refuse_last(error);
    int64_t weight = wish->percent ? server->whole * wish->percent / 100 : server->weight;
    bool down = wish->as_it_is ? server->down : wish->down;
    upstream_write(buffer_text(&upstream.text), server, down, weight, &text);
    if (workers_read(workers, error) < 0 || take_up(context, &upstream, &text, error) < 0) return -1;
    return wait_taken_up(context, workers, error);
}

/* ---- the operations */

static int check(const TrafficContext *context, Error *error) {
    ARENA_AUTO arena = arena_new();
    UPSTREAM_AUTO upstream = {.dir = -1};
    if (open_upstream(context, arena, &upstream, error) < 0) return -1;
    if (!context->last && !upstream.server.down && upstream.server.others == 0)
        return traffic_refuse_last(error);
    return traffic_check_share(upstream.server.whole, context->percent, error);
}

static int is_in(const TrafficContext *context, bool *out, Error *error) {
    ARENA_AUTO arena = arena_new();
    UPSTREAM_AUTO upstream = {.dir = -1};
    if (open_upstream(context, arena, &upstream, error) < 0) return -1;
    *out = !upstream.server.down;
    return 0;
}

static int drain(const TrafficContext *context, TrafficEnd *out, Error *error) {
    WORKERS_AUTO workers = {0};
    Edit wish = {.down = true, .may_empty = context->last};
    int64_t left = 0;
    if (edit(context, &wish, &workers, error) < 0) return -1;
    out->unit = "workers";
    TrafficLook look = workers.serving ? look_ending : traffic_look_nothing;
    int result = traffic_wait(context, context->traffic->drain_timeout_ms, look, &workers, &left, error);
    if (result < 0) return -1;
    out->before = workers.serving ? (int64_t)workers.count : TRAFFIC_UNKNOWN;
    out->left = workers.serving ? left : TRAFFIC_UNKNOWN;
    out->timed_out = result == 1;
    return 0;
}

static int readmit(const TrafficContext *context, Error *error) {
    WORKERS_AUTO workers = {0};
    Edit wish = {.percent = context->percent};
    return edit(context, &wish, &workers, error);
}

static int weight(const TrafficContext *context, int percent, Error *error) {
    WORKERS_AUTO workers = {0};
    Edit wish = {.as_it_is = true, .percent = percent};
    return edit(context, &wish, &workers, error);
}

static const char *describe(const TrafficContext *context, TrafficAction action, Arena *arena) {
    const PlanNginx *nginx = context->traffic->nginx;
    const char *reload = command_text(nginx->reload.items, nginx->reload.count, arena), *what = "";
    if (action == TRAFFIC_DRAIN) what = " down";
    if (action == TRAFFIC_WEIGHT) what = " weight=100%";
    if (action == TRAFFIC_READMIT && context->percent)
        what = arena_printf(arena, " weight=%d%%", context->percent);
    return arena_printf(arena, "server %s%s; > %s && %s", nginx->server, what, nginx->file, reload);
}

const TrafficDriver traffic_driver_nginx = {drives, check, is_in, drain, readmit, weight, describe};
