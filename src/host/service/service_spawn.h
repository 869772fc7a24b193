/* ServiceSpawn: start a program in two steps, so that its starter may be killed at any instruction.
 *
 *   hold      fork; the child becomes all it must be but waits, not yet executed
 *   …         the caller makes its record of the child durable
 *   release   the child executes the program; or drop: it ends unexecuted
 *
 * When the starter dies before release, the child reads the end of its gate and ends. `lock`, an flock the
 * starter holds, is shared with the child until it has executed or ended: whoever gets that lock next knows
 * that no child of a former starter is still on its way.
 *
 * The program runs in a session of its own, as `user`, without new privileges, with the given directory and
 * environment, default signals, umask 022, /dev/null as input, `log` as output, and no other descriptor.
 */
#pragma once
#include "base/error.h"
#include "base/process.h"
#include <sys/types.h>

typedef struct ServiceSpawnSpec {
    const char *const *argv; /* NULL-ended; argv[0] without a slash is looked for in PATH of `env` */
    char *const *env;        /* NULL-ended "KEY=value" */
    const ProcessUser *user;
    int directory, log, lock; /* descriptors; they stay the caller's */
} ServiceSpawnSpec;

typedef struct ServiceSpawn {
    pid_t pid;
    int gate, failure; /* our ends of a socket and a pipe; -1 once closed */
} ServiceSpawn;

int service_spawn_hold(const ServiceSpawnSpec *spec, ServiceSpawn *out, Error *error);
/* 0 once the program has been executed; else the child is gone and the error says what it could not do. */
int service_spawn_release(ServiceSpawn *spawn, const ServiceSpawnSpec *spec, Error *error);
/* Safe after release, and on a zeroed one with both descriptors -1. */
void service_spawn_drop(ServiceSpawn *spawn);
