#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/process.h"
#include "base/process_table.h"
#include "base/quantity.h"
#include "base/random.h"
#include "host/service/service_driver.h"
#include "host/service/service_record.h"
#include "host/service/service_spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* A plain process in a session of its own.
 *
 * Start: lock → fork, held → record durable → release → exec. Killed before the record: the child ends by
 * itself. Killed after it: the lock is free again only when the child has executed or ended, and the record
 * tells which.
 *
 * What is ours: the recorded process itself; what is in its session, as long as that process was seen alive
 * in this call (a session's number is not used again while anybody is in it); and, found by the token in
 * their environment, those that left the session or outlived it.
 * Not found, rather than risk a stranger: who scrubbed its environment and either left the session, or
 * outlived a main process that died by itself.
 */

enum { LOCK_WAIT_MS = 10000, KILL_WAIT_MS = 10000, POLL_MS = 5, STOP_TIMEOUT_MS = 30000 };

static bool drives(const PlanRun *run) { return run->process != NULL; }

/* ---- the place: <root> and <root>/.upkeep, locked against other starts and stops */

typedef struct Place {
    int root, folder, lock;
} Place;

static void place_close(Place *place) {
    cleanup_fd(&place->lock);
    cleanup_fd(&place->folder);
    cleanup_fd(&place->root);
}
#define PLACE_AUTO __attribute__((cleanup(place_close))) Place
#define PLACE_NONE                                                                                           \
    { -1, -1, -1 }

/* Whoever may write there decides which process we would signal. */
static int check_owner(int folder, const char *root, Error *error) {
    FREE_AUTO char *path = file_join(root, ".upkeep");
    return file_check_private(folder, path, error);
}

static int take_lock(Place *place, Error *error) {
    place->lock = file_open_no_links(place->folder, "service.lock", O_RDWR | O_CREAT, 0600);
    if (place->lock < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open .upkeep/service.lock");
    Clock *clock = clock_system();
    int64_t deadline_ms = clock_steady_ms(clock) + LOCK_WAIT_MS;
    while (flock(place->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_errno(error, ERROR_SYSTEM, errno, "cannot lock .upkeep/service.lock");
        if (clock_steady_ms(clock) >= deadline_ms)
            return error_set(error, ERROR_REFUSED, "another start or stop of it is still going on");
        clock_sleep_ms(POLL_MS);
    }
    return service_record_tidy(place->folder, error);
}

static int place_open(const ServiceContext *context, Place *out, Error *error) {
    out->root = open(context->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->root < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", context->root);
    if (file_open_dir_beneath(out->root, ".upkeep", 0755, &out->folder, error) < 0) return -1;
    if (check_owner(out->folder, context->root, error) < 0) return -1;
    return take_lock(out, error);
}

/* For looking only: makes nothing, locks nothing. 1 there is one, 0 there is none. */
static int place_peek(const ServiceContext *context, Place *out, Error *error) {
    out->root = open(context->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->root >= 0) out->folder = file_open_no_links(out->root, ".upkeep", O_RDONLY | O_DIRECTORY, 0);
    if (out->folder < 0 && errno == ENOENT) return 0;
    if (out->folder < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", context->root);
    return check_owner(out->folder, context->root, error) < 0 ? -1 : 1;
}

/* ---- identity */

/* The recorded process, zombie or not; false when it is gone, or when its pid is another's now. */
static bool find_recorded(const ServiceRecord *record, ProcessEntry *out) {
    char boot[SERVICE_BOOT_SIZE];
    ProcessEntry entry;
    if (process_boot_id(boot, NULL) < 0 || strcmp(boot, record->boot) != 0) return false;
    if (!process_entry_read(record->pid, &entry) || entry.start_ticks != record->start_ticks) return false;
    if (entry.session != entry.pid) return false; /* ours always lead their session */
    *out = entry;
    return true;
}

/* Take the exit status of a zombie that is our own child, and keep it. */
static void reap(ServiceRecord *record, const ProcessEntry *entry) {
    int status;
    if (entry->state != 'Z' || entry->parent != getpid()) return;
    if (waitpid(entry->pid, &status, WNOHANG) != entry->pid) return;
    record->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    record->ended_ms = clock_wall_ms(clock_system());
}

/* ---- status */

static int status(const ServiceContext *context, ServiceStatus *out, Error *error) {
    PLACE_AUTO place = PLACE_NONE;
    ServiceRecord record = {0};
    int found = place_peek(context, &place, error);
    if (found == 1) found = service_record_load(place.folder, &record, error);
    if (found <= 0) return found;
    ProcessEntry entry;
    if (find_recorded(&record, &entry)) {
        if (process_entry_alive(&entry)) {
            *out = (ServiceStatus){SERVICE_RUNNING, record.pid, record.started_ms, SERVICE_EXIT_UNKNOWN};
            return 0;
        }
        reap(&record, &entry);
        /* Best effort: on a full disk looking must still work, and only the exit status would be forgotten.
         */
        if (record.ended_ms) service_record_save(place.folder, &record, NULL);
    }
    *out = (ServiceStatus){SERVICE_DEAD, 0, record.ended_ms, record.exit_status};
    return 0;
}

/* ---- stop */

typedef struct Stopping {
    const ServiceRecord *record;
    char token[sizeof SERVICE_TOKEN_KEY + SERVICE_TOKEN_SIZE]; /* "KEY=value" */
    bool session_ours; /* the recorded process was there when this call began */
    int64_t deadline_ms;
} Stopping;

static bool belongs(const Stopping *stopping, const ProcessEntry *entry) {
    if (entry->start_ticks < stopping->record->start_ticks || entry->pid == getpid()) return false;
    bool in_session = entry->session == stopping->record->pid;
    if (in_session && stopping->session_ours) return true;
    ProcessEnvironment environment = process_entry_environment(entry->pid, stopping->token);
    return environment == PROCESS_ENV_YES || (in_session && environment == PROCESS_ENV_UNKNOWN);
}

/* Send `signal_number` (0: none) to everything of it that lives; how many those were. */
static int signal_all(const Stopping *stopping, int signal_number, size_t *count, Error *error) {
    PROCESS_TABLE_AUTO table = {0};
    size_t living = 0;
    if (process_table_read(&table, error) < 0) return -1;
    for (size_t i = 0; i < table.count; i++) {
        if (!belongs(stopping, &table.items[i])) continue;
        living++;
        if (!signal_number) continue;
        process_entry_signal(&table.items[i], signal_number);
        process_entry_signal(&table.items[i], SIGCONT); /* a stopped process hears nothing */
    }
    *count = living;
    return 0;
}

static int64_t left_ms(int64_t deadline_ms) {
    int64_t left = deadline_ms - clock_steady_ms(clock_system());
    return left > 0 ? left : 0;
}

/* Ask the main process and wait for its end, woken by the kernel. */
static void ask_main(const Stopping *stopping, const ProcessEntry *entry, int signal_number) {
    FD_AUTO handle = pidfd_open(entry->pid, 0);
    if (!process_entry_signal(entry, signal_number)) return;
    process_entry_signal(entry, SIGCONT);
    struct pollfd ended = {.fd = handle, .events = POLLIN};
    for (int64_t left; handle >= 0 && (left = left_ms(stopping->deadline_ms)) > 0;)
        if (poll(&ended, 1, left < 1000 ? (int)left : 1000) > 0) return;
}

/* Repeat the signal's absence — or presence, when `insist` — until nothing lives or the deadline passes. */
static int wait_all(const Stopping *stopping, int signal_number, int64_t deadline_ms, size_t *living,
                    Error *error) {
    for (;;) {
        if (signal_all(stopping, signal_number, living, error) < 0) return -1;
        if (*living == 0 || left_ms(deadline_ms) == 0) return 0;
        clock_sleep_ms(POLL_MS);
    }
}

/* Main process asked, then what it left behind, then all of them killed. */
static int end_all(Stopping *stopping, const ProcessEntry *main_process, int signal_number, ServiceEnd *out,
                   Error *error) {
    size_t living = 0;
    if (main_process) ask_main(stopping, main_process, signal_number);
    if (signal_all(stopping, left_ms(stopping->deadline_ms) ? signal_number : 0, &living, error) < 0)
        return -1;
    if (living && wait_all(stopping, 0, stopping->deadline_ms, &living, error) < 0) return -1;
    if (living == 0) return 0;
    out->killed = true;
    int64_t deadline_ms = clock_steady_ms(clock_system()) + KILL_WAIT_MS;
    if (wait_all(stopping, SIGKILL, deadline_ms, &living, error) < 0) return -1;
    if (living == 0) return 0;
    error_set(error, ERROR_SYSTEM, "%zu of its processes are still there although they were killed", living);
    return error_hint(error, "they may be waiting for a disk or network drive; see to it, then try again");
}

/* End all of the recorded process, and reap it where it is our child. */
static int end_recorded(const ServiceContext *context, ServiceRecord *record, ServiceEnd *out, Error *error) {
    const PlanProcess *plan = context->run->process;
    int64_t timeout_ms = plan && plan->stop_timeout_ms > 0 ? plan->stop_timeout_ms : STOP_TIMEOUT_MS;
    const char *signal_name = plan && plan->stop_signal ? plan->stop_signal : "SIGTERM";
    int signal_number = plan_signal_number(signal_name);
    if (!signal_number) return error_set(error, ERROR_INVALID, "%s is no signal to stop with", signal_name);
    int64_t started_ms = clock_steady_ms(clock_system());
    ProcessEntry entry;
    Stopping stopping = {.record = record, .deadline_ms = started_ms + timeout_ms};
    snprintf(stopping.token, sizeof stopping.token, "%s=%s", SERVICE_TOKEN_KEY, record->token);
    stopping.session_ours = find_recorded(record, &entry);
    out->was_running = stopping.session_ours && process_entry_alive(&entry);
    if (end_all(&stopping, out->was_running ? &entry : NULL, signal_number, out, error) < 0) return -1;
    if (find_recorded(record, &entry)) reap(record, &entry);
    out->exit_status = record->exit_status;
    out->duration_ms = clock_steady_ms(clock_system()) - started_ms;
    return 0;
}

static int stop(const ServiceContext *context, ServiceEnd *out, Error *error) {
    PLACE_AUTO place = PLACE_NONE;
    ServiceRecord record = {0};
    int found = place_peek(context, &place, error);
    if (found <= 0) return found;
    if (take_lock(&place, error) < 0) return -1;
    found = service_record_load(place.folder, &record, error);
    if (found <= 0) return found;
    if (end_recorded(context, &record, out, error) < 0) return -1;
    return service_record_remove(place.folder, error);
}

/* ---- start */

/* What is started, as a digest: two starts of the same are one. */
static void digest_of_start(const ServiceContext *context, const Place *place,
                            char text[static DIGEST_TEXT_SIZE]) {
    const PlanProcess *plan = context->run->process;
    char release[4096];
    ssize_t length = readlinkat(place->root, "current", release, sizeof release - 1);
    release[length > 0 ? length : 0] = '\0';
    JSON_AUTO json = json_object();
    json_t *command = json_array(), *env = json_object();
    for (size_t i = 0; i < plan->command.count; i++)
        json_array_append_new(command,
                              json_safe_string(plan->command.items[i], strlen(plan->command.items[i])));
    for (size_t i = 0; i < plan->env.count; i++)
        json_set_text(env, plan->env.items[i].key, plan->env.items[i].value);
    json_object_set_new(json, "command", command);
    json_object_set_new(json, "env", env);
    json_set_text(json, "release", release);
    json_set_text(json, "user", context->user);
    Digest digest = json_digest(json);
    digest_to_text(&digest, text);
}

static const char *log_path(const ServiceContext *context, Arena *arena) {
    const char *path = context->run->process->log;
    return path ? path : arena_printf(arena, "shared/log/%s.log", context->name);
}

/* The log file for appending, its folders made; nothing but a plain file of one name will do, so that no link
 * can make the service write elsewhere. */
static int open_log(const ServiceContext *context, const Place *place, int *out, Error *error) {
    ARENA_AUTO arena = arena_new();
    const char *path = log_path(context, arena);
    const char *slash = strrchr(path, '/');
    FREE_AUTO char *parent = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    FD_AUTO folder = -1;
    struct stat status;
    if (file_open_dir_beneath(place->root, parent, 0755, &folder, error) < 0)
        return error_prefix(error, "cannot open its log %s/%s", context->root, path);
    FD_AUTO log = file_open_no_links(folder, slash ? slash + 1 : path,
                                     O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK, 0640);
    if (log < 0 || fstat(log, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open its log %s/%s", context->root, path);
    if (!S_ISREG(status.st_mode) || status.st_nlink != 1)
        return error_set(error, ERROR_REFUSED, "its log %s/%s is not a plain file of one name", context->root,
                         path);
    fcntl(log, F_SETFL, O_APPEND); /* without O_NONBLOCK */
    *out = fd_take(&log);
    return 0;
}

static char **environment_of(const ServiceContext *context, const char *token, Error *error) {
    ARENA_AUTO arena = arena_new();
    const PairList *pairs = &context->run->process->env;
    const char **extra = ARENA_ARRAY(arena, pairs->count + 2, const char *);
    for (size_t i = 0; i < pairs->count; i++)
        extra[i] = arena_printf(arena, "%s=%s", pairs->items[i].key, pairs->items[i].value);
    extra[pairs->count] = arena_printf(arena, "%s=%s", SERVICE_TOKEN_KEY, token);
    return process_env(context->user, extra, error);
}

/* Fill the record of a held child and make it durable. */
static int record_held(const Place *place, pid_t pid, ServiceRecord *record, Error *error) {
    record->pid = pid;
    record->start_ticks = process_start_ticks(pid);
    record->started_ms = clock_wall_ms(clock_system());
    record->exit_status = SERVICE_EXIT_UNKNOWN;
    if (record->start_ticks == 0)
        return error_set(error, ERROR_SYSTEM, "its process ended before it was executed");
    if (process_boot_id(record->boot, error) < 0) return -1;
    return service_record_save(place->folder, record, error);
}

static int launch(const ServiceContext *context, const Place *place, ServiceRecord *record, char *const *env,
                  Error *error) {
    ARENA_AUTO arena = arena_new();
    ProcessUser user;
    FD_AUTO log = -1;
    if (process_user_find(context->user, &user, error) < 0) return -1;
    if (open_log(context, place, &log, error) < 0) return -1;
    ServiceSpawnSpec spec = {.argv = service_command_argv(&context->run->process->command, arena),
                             .env = env,
                             .user = &user,
                             .directory = place->root,
                             .log = log,
                             .lock = place->lock};
    ServiceSpawn spawn;
    if (service_spawn_hold(&spec, &spawn, error) < 0) return -1;
    int result = record_held(place, spawn.pid, record, error);
    if (result == 0) {
        result = service_spawn_release(&spawn, &spec, error);
        if (result < 0) service_record_remove(place->folder, NULL);
    }
    service_spawn_drop(&spawn);
    return result;
}

/* 1 when it runs already as asked, 0 when it may be started now. */
static int clear_the_way(const ServiceContext *context, const Place *place, const char *digest,
                         Error *error) {
    ServiceRecord record = {0};
    int found = service_record_load(place->folder, &record, error);
    if (found <= 0) return found;
    ProcessEntry entry;
    if (find_recorded(&record, &entry) && process_entry_alive(&entry)) {
        if (strcmp(record.digest, digest) == 0) return 1;
        error_set(error, ERROR_ATTENTION, "it runs with another command or release, as process %d",
                  record.pid);
        return error_hint(error, "stop that one first");
    }
    ServiceEnd end; /* a dead service may have left children that hold its port */
    return end_recorded(context, &record, &end, error);
}

static int start(const ServiceContext *context, Error *error) {
    PLACE_AUTO place = PLACE_NONE;
    ServiceRecord record = {0};
    if (context->run->process->command.count == 0)
        return error_set(error, ERROR_INVALID, "the plan does not give its command");
    if (place_open(context, &place, error) < 0) return -1;
    digest_of_start(context, &place, record.digest);
    int way = clear_the_way(context, &place, record.digest, error);
    if (way != 0) return way < 0 ? -1 : 0;
    random_name(record.token, sizeof record.token);
    char **env = environment_of(context, record.token, error);
    if (!env) return -1;
    int result = launch(context, &place, &record, env, error);
    process_env_free(env);
    return result;
}

/* ---- in words */

static const char *describe_start(const ServiceContext *context, Arena *arena) {
    return service_command_text(&context->run->process->command, arena);
}

static const char *describe_stop(const ServiceContext *context, Arena *arena) {
    const PlanProcess *plan = context->run->process;
    char timeout[QUANTITY_TEXT_SIZE];
    quantity_duration_notation(plan->stop_timeout_ms > 0 ? plan->stop_timeout_ms : STOP_TIMEOUT_MS, timeout);
    return arena_printf(arena, "kill -%s; after %s kill -SIGKILL",
                        plan->stop_signal ? plan->stop_signal : "SIGTERM", timeout);
}

static const char *describe_log(const ServiceContext *context, Arena *arena) {
    return arena_printf(arena, "%s/%s", context->root, log_path(context, arena));
}

const ServiceDriver service_driver_process = {drives,         start,         stop,        status,
                                              describe_start, describe_stop, describe_log};
