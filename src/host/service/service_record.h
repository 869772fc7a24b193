/* ServiceRecord: the pid file of the process driver, <root>/.upkeep/service.pid — a JSON object, replaced
 * durably.
 *
 * It names a process for good (pid, start and boot together), so a pid that was given to another process
 * since, or before a reboot, is never taken for the service. `token` stands in the environment of the service
 * and of all it starts, and finds those that left its session or outlived it.
 */
#pragma once
#include "base/digest.h"
#include "base/error.h"
#include <stdint.h>
#include <sys/types.h>

enum { SERVICE_TOKEN_SIZE = 33, SERVICE_BOOT_SIZE = 37 };
#define SERVICE_TOKEN_KEY "UPKEEP_SERVICE"

typedef struct ServiceRecord {
    pid_t pid;
    uint64_t start_ticks;
    char boot[SERVICE_BOOT_SIZE];
    char token[SERVICE_TOKEN_SIZE];
    char digest[DIGEST_TEXT_SIZE]; /* of what was started: command, environment, user, release */
    int64_t started_ms;            /* wall clock */
    int64_t ended_ms;              /* when we saw that it had exited; 0: not seen */
    int exit_status;               /* or SERVICE_EXIT_UNKNOWN */
} ServiceRecord;

/* `folder` is <root>/.upkeep. 1 loaded, 0 there is none, -1 error; ERROR_ATTENTION when it cannot be
 * understood. */
int service_record_load(int folder, ServiceRecord *out, Error *error);
int service_record_save(int folder, const ServiceRecord *record, Error *error);
/* Remove what saving left behind where it was cut off. For whoever holds the service's lock. */
int service_record_tidy(int folder, Error *error);
int service_record_remove(int folder, Error *error);
