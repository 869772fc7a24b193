/* Service: start, stop and look at the thing being upgraded — a seam with three drivers (service_driver.h).
 *
 *   process    a plain process in a session of its own, known by its pid file <root>/.upkeep/service.pid
 *   systemd    a unit of the system's manager
 *   commands   the user's own start, stop and status
 *
 *             start                    it exits
 *   STOPPED ──────────▶ RUNNING ───────────────────▶ DEAD
 *      ▲                   │ stop                      │ start → RUNNING
 *      └───────────────────┴───────── stop ────────────┘
 *
 * DEAD is told apart from STOPPED where the driver can: it was started, nobody stopped it, and it is gone.
 *
 * All operations are idempotent and safe to repeat after a kill -9 of the caller at any instruction: a
 * service is never lost and never started twice. Callers hold the host's lock, so that nobody else starts or
 * stops meanwhile. Start the service with the PlanRun of the release it runs, stop it with the PlanRun it was
 * started with.
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "model/plan.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct ServiceContext {
    const char *name; /* of the service */
    const char *root; /* of the host, absolute; the working directory of process and commands */
    const char *user; /* run as; NULL: as we are. systemd: the unit says */
    const PlanRun *run;
} ServiceContext;

typedef enum ServiceState { SERVICE_STOPPED, SERVICE_RUNNING, SERVICE_DEAD } ServiceState;

enum { SERVICE_EXIT_UNKNOWN = -1 };

typedef struct ServiceStatus {
    ServiceState state;
    pid_t pid;        /* of the main process while running; 0 where the driver cannot know */
    int64_t since_ms; /* since when it is in this state, wall clock; 0 unknown */
    int exit_status;  /* DEAD: 0–255 or 128 + signal, or SERVICE_EXIT_UNKNOWN (we were not its parent) */
} ServiceStatus;

typedef struct ServiceEnd {
    bool was_running;
    bool killed;         /* it did not stop when asked, within its stop_timeout */
    int exit_status;     /* as in ServiceStatus; unknown where systemd has forgotten the unit already */
    int64_t duration_ms; /* from asking until nothing of it lived */
} ServiceEnd;

/* Success when it runs already as `context->run` says, in the release `current` names; ERROR_ATTENTION when
 * it runs otherwise: that one must be stopped first. Success means that the program was executed (process),
 * that the unit is active (systemd), that start exited 0 (commands) — not that it is healthy. */
int service_start(const ServiceContext *context, Error *error);

/* Returns 0 only when nothing of it lives: neither the main process nor what it left in its session.
 * `out` may be NULL. */
int service_stop(const ServiceContext *context, ServiceEnd *out, Error *error);

int service_status(const ServiceContext *context, ServiceStatus *out, Error *error);

/* "stopped", "running", "dead": as the journal writes it. */
const char *service_state_text(ServiceState state);

/* What start and stop will do, as a command line to read: for show and reports. In the arena. */
const char *service_describe_start(const ServiceContext *context, Arena *arena);
const char *service_describe_stop(const ServiceContext *context, Arena *arena);
/* Where what it says can be read: a path or a command line; NULL where only its operators know. Never its
 * contents: a log may hold what no journal should. */
const char *service_describe_log(const ServiceContext *context, Arena *arena);
