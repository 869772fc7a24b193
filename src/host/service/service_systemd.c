#include "base/clock.h"
#include "base/process.h"
#include "base/quantity.h"
#include "host/service/service_driver.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A unit of the system's manager, steered through systemctl. The unit says user, environment and time-outs;
 * ours is only a bound against a manager that does not answer. */

enum { OUTPUT_MAX = 64 << 10, UNIT_NAME_MAX = 255 };
#define JOB_TIMEOUT_MS  (INT64_C(15) * 60 * 1000)
#define SHOW_TIMEOUT_MS (INT64_C(30) * 1000)

static bool drives(const PlanRun *run) { return run->systemd != NULL; }

/* systemd.unit(5): letters, digits and :-_.\ and @, with a type; and never an option. */
static int check_unit(const char *unit, Error *error) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@";
    size_t length = strlen(unit);
    const char *type = strrchr(unit, '.');
    bool valid = length <= UNIT_NAME_MAX && strspn(unit, letters) == length && unit[0] != '-' && type != unit;
    if (valid && type && strcmp(type, ".service") == 0) return 0;
    return error_set(error, ERROR_INVALID, "%s is not the name of a service unit, such as node-red.service",
                     unit);
}

static int check_manager(Error *error) {
    if (access("/run/systemd/system", F_OK) == 0) return 0; /* as sd_booted(3) */
    error_set(error, ERROR_REFUSED, "this machine was not started by systemd");
    return error_hint(error, "run the service as a process or with commands instead");
}

/* systemctl VERB [properties] [UNIT]; a checked unit never looks like an option. A bad exit status is for the
 * caller. */
static int systemctl(const char *verb, const char *properties, const char *unit, ProcessResult *out,
                     Error *error) {
    const char *argv[8] = {"systemctl", "--system", "--no-ask-password", "--no-pager", verb};
    size_t count = 5;
    if (properties) argv[count++] = properties;
    if (*unit) argv[count++] = unit;
    static const char *const extra[] = {"LC_ALL=C.UTF-8", NULL};
    char **env = process_env(NULL, extra, error);
    if (!env) return -1;
    ProcessSpec spec = {.argv = argv,
                        .env = (const char *const *)env,
                        .timeout_ms = properties ? SHOW_TIMEOUT_MS : JOB_TIMEOUT_MS,
                        .output_max = OUTPUT_MAX};
    ProcessResult result = {0};
    int code = process_run(&spec, &result, error);
    process_env_free(env);
    if (code < 0) return -1;
    if (result.timed_out) {
        char limit[QUANTITY_TEXT_SIZE];
        buffer_free(&result.output);
        return error_set(error, ERROR_SYSTEM, "systemctl %s %s did not end within %s", verb, unit,
                         quantity_duration_text(spec.timeout_ms, limit));
    }
    *out = result;
    return 0;
}

/* The same for start, stop and their like, where only success will do. */
static int systemctl_well(const char *verb, const char *unit, Error *error) {
    ProcessResult result = {0};
    if (systemctl(verb, NULL, unit, &result, error) < 0) return -1;
    int code = 0;
    if (result.exit_status != 0) {
        const char *text = buffer_text(&result.output);
        code = error_set(error, ERROR_SYSTEM, "systemctl %s %s: %.*s", verb, unit, (int)strcspn(text, "\n"),
                         text);
        if (*unit) error_hint(error, "journalctl --unit %s says more", unit);
    }
    buffer_free(&result.output);
    return code;
}

typedef struct Unit {
    char load[32], active[32], sub[32], result[32];
    bool needs_reload;
    pid_t main_pid;
    int64_t changed_us; /* CLOCK_MONOTONIC */
    int code, status;   /* how the main process ended: CLD_… of <signal.h>, and exit status or signal */
} Unit;

#define PROPERTIES                                                                                           \
    "--property=LoadState,ActiveState,SubState,Result,NeedDaemonReload,MainPID,"                             \
    "StateChangeTimestampMonotonic,"                                                                         \
    "ExecMainCode,ExecMainStatus"

static void set_property(Unit *unit, const char *key, size_t key_length, const char *value, size_t length) {
    struct {
        const char *key;
        char *text; /* of 32 bytes */
    } texts[] = {{"LoadState", unit->load},
                 {"ActiveState", unit->active},
                 {"SubState", unit->sub},
                 {"Result", unit->result}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strlen(texts[i].key) == key_length && strncmp(texts[i].key, key, key_length) == 0)
            snprintf(texts[i].text, sizeof unit->load, "%.*s", (int)length, value);
    if (strncmp(key, "NeedDaemonReload=", 17) == 0) unit->needs_reload = strncmp(value, "yes", 3) == 0;
    if (strncmp(key, "MainPID=", 8) == 0) unit->main_pid = (pid_t)strtol(value, NULL, 10);
    if (strncmp(key, "StateChangeTimestampMonotonic=", 30) == 0) unit->changed_us = strtoll(value, NULL, 10);
    if (strncmp(key, "ExecMainCode=", 13) == 0) unit->code = (int)strtol(value, NULL, 10);
    if (strncmp(key, "ExecMainStatus=", 15) == 0) unit->status = (int)strtol(value, NULL, 10);
}

/* How the manager sees the unit; ERROR_INVALID when it does not know it. */
static int show(const char *name, Unit *out, Error *error) {
    ProcessResult result = {0};
    Unit unit = {0};
    if (check_unit(name, error) < 0 || check_manager(error) < 0) return -1;
    if (systemctl("show", PROPERTIES, name, &result, error) < 0) return -1;
    const char *text = buffer_text(&result.output);
    int code = 0;
    if (result.exit_status != 0)
        code = error_set(error, ERROR_SYSTEM, "systemctl %s %s: %.*s", "show", name, (int)strcspn(text, "\n"),
                         text);
    for (const char *line = text; code == 0 && *line;) {
        size_t length = strcspn(line, "\n"), key = strcspn(line, "=\n");
        if (key < length) set_property(&unit, line, key, line + key + 1, length - key - 1);
        line += length + (line[length] == '\n');
    }
    buffer_free(&result.output);
    if (code < 0) return -1;
    if (strcmp(unit.load, "loaded") != 0) {
        error_set(error, ERROR_INVALID, "systemd cannot load the unit %s (%s)", name, unit.load);
        return error_hint(error, "install the unit file, then run systemctl daemon-reload");
    }
    *out = unit;
    return 0;
}

static bool lives(const Unit *unit) {
    return strcmp(unit->active, "inactive") != 0 && strcmp(unit->active, "failed") != 0 &&
           strcmp(unit->sub, "auto-restart") != 0;
}

static int exit_status_of(const Unit *unit) {
    if (unit->code == CLD_EXITED) return unit->status;
    if (unit->code == CLD_KILLED || unit->code == CLD_DUMPED) return 128 + unit->status;
    return SERVICE_EXIT_UNKNOWN;
}

static int64_t wall_ms_of(int64_t monotonic_us) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    return monotonic_us ? clock_wall_ms(clock_system()) - (now_us - monotonic_us) / 1000 : 0;
}

static int status(const ServiceContext *context, ServiceStatus *out, Error *error) {
    Unit unit;
    if (show(context->run->systemd, &unit, error) < 0) return -1;
    out->since_ms = wall_ms_of(unit.changed_us);
    if (lives(&unit)) {
        out->state = SERVICE_RUNNING;
        out->pid = unit.main_pid;
        return 0;
    }
    out->state = strcmp(unit.active, "inactive") == 0 ? SERVICE_STOPPED : SERVICE_DEAD;
    if (out->state == SERVICE_DEAD) out->exit_status = exit_status_of(&unit);
    return 0;
}

static int start(const ServiceContext *context, Error *error) {
    const char *name = context->run->systemd;
    Unit unit;
    if (show(name, &unit, error) < 0) return -1;
    if (strcmp(unit.active, "active") == 0 || strcmp(unit.active, "reloading") == 0) return 0;
    /* A release may have brought another unit file; and a unit that failed too often would not be started. */
    if (unit.needs_reload && systemctl_well("daemon-reload", "", error) < 0) return -1;
    if (strcmp(unit.active, "failed") == 0 && systemctl_well("reset-failed", name, error) < 0) return -1;
    return systemctl_well("start", name, error);
}

static int stop(const ServiceContext *context, ServiceEnd *out, Error *error) {
    const char *name = context->run->systemd;
    Clock *clock = clock_system();
    int64_t started_ms = clock_steady_ms(clock);
    Unit unit;
    if (show(name, &unit, error) < 0) return -1;
    out->was_running = lives(&unit);
    /* Also a unit that waits for its next restart must be told to stop. */
    if (strcmp(unit.active, "inactive") != 0 && systemctl_well("stop", name, error) < 0) return -1;
    if (show(name, &unit, error) < 0) return -1;
    if (lives(&unit))
        return error_set(error, ERROR_SYSTEM, "systemd still says that %s is %s (%s)", name, unit.active,
                         unit.sub);
    out->killed = strcmp(unit.result, "timeout") == 0;
    if (out->was_running) out->exit_status = exit_status_of(&unit);
    out->duration_ms = clock_steady_ms(clock) - started_ms;
    /* Stopped on request is no failure: else it would later count as dead. */
    if (strcmp(unit.active, "failed") == 0) return systemctl_well("reset-failed", name, error);
    return 0;
}

static const char *describe_start(const ServiceContext *context, Arena *arena) {
    return arena_printf(arena, "systemctl start %s", context->run->systemd);
}

static const char *describe_stop(const ServiceContext *context, Arena *arena) {
    return arena_printf(arena, "systemctl stop %s", context->run->systemd);
}

static const char *describe_log(const ServiceContext *context, Arena *arena) {
    return arena_printf(arena, "journalctl -u %s", context->run->systemd);
}

const ServiceDriver service_driver_systemd = {drives,         start,         stop,        status,
                                              describe_start, describe_stop, describe_log};
