/* Process: run a program to its end — an argv, never a shell — with a deadline and a bound on its output.
 *
 * Children get /dev/null as standard input, no descriptors but 0–2, default signal dispositions, an empty
 * signal mask, and exactly the environment given. Each runs in its own process group; at the deadline, or
 * when `cancel` turns true, the whole group is killed. Whoever runs as another user gains no more rights
 * (no-new-privileges); without `user` nothing is taken away, for the command may be one of sudo's.
 */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct ProcessSpec {
    const char *const *argv; /* NULL-ended; argv[0] is looked up in PATH of `env` when it has no slash */
    const char *const *env;  /* NULL-ended "KEY=value"; NULL: process_env(user) */
    const char *directory;   /* working directory, or NULL */
    const char *user;        /* run as, with its groups; NULL: as we are */
    int64_t timeout_ms;      /* 0: none */
    size_t output_max;       /* bytes of output kept, stdout and stderr together; more is read and dropped */
    const atomic_bool *cancel; /* may be NULL */
    uint64_t
        memory_max; /* bytes of data (RLIMIT_DATA) of each of its processes, and no core dumps; 0: as we */
} ProcessSpec;

/* For what helps an upgrade and must not hurt its host: hooks, probes, checks. Not for what starts a service,
 * which would inherit it. */
#define PROCESS_HELPER_MEMORY ((uint64_t)4 << 30)

typedef struct ProcessResult {
    int exit_status; /* 0–255, or 128 + signal */
    bool timed_out;
    Buffer output; /* caller frees with buffer_free */
    int64_t duration_ms;
} ProcessResult;

/* -1 only when the program could not be started or waited for; a bad exit status is data. */
int process_run(const ProcessSpec *spec, ProcessResult *out, Error *error);

/* A clean environment for a child that runs as `user` (NULL: us): PATH, HOME, USER, LOGNAME, LANG, SHELL, and
 * `extra` ("KEY=value", NULL-ended, may be NULL) over them. NULL-ended; free with process_env_free. */
char **process_env(const char *user, const char *const *extra, Error *error);
void process_env_free(char **env);

/* For code that forks on its own: become `user` (setgroups, setgid, setuid) and mark the process
 * no-new-privileges. Async-signal-safe parts only after process_user_find(). */
typedef struct ProcessUser {
    uid_t uid;
    gid_t gid;
    gid_t groups[64];
    int group_count;
    char home[256];
    char name[64];
} ProcessUser;
int process_user_find(const char *user, ProcessUser *out, Error *error);
int process_user_become(const ProcessUser *user); /* in the child, after fork: -1 with errno */

/* When the process was started, in clock ticks since boot (/proc/PID/stat field 22); 0 when there is no such
 * process or it is a zombie. Together with the boot id it names a process for good. */
uint64_t process_start_ticks(pid_t pid);
/* Of this boot; text of at most 37 bytes with NUL. */
int process_boot_id(char out[static 37], Error *error);
