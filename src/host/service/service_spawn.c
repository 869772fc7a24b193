#include "host/service/service_spawn.h"
#include "base/cleanup.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child's descriptors, by number. Those from GATE on are closed by exec. */
enum { INPUT, OUTPUT, ERRORS, GATE, FAILURE, DIRECTORY, LOCK, DESCRIPTORS };
enum { BEYOND_DESCRIPTORS = 16 };

typedef enum Step { STEP_PREPARE, STEP_USER, STEP_DIRECTORY, STEP_PROGRAM } Step;
typedef struct Failure {
    Step step;
    int number; /* errno */
} Failure;

/* Paths to try, in order, as execvp would with the PATH of `env` (which is the service's, not ours).
 * NULL-ended. */
static char **candidates_of(const char *program, char *const *env) {
    const char *path = "";
    for (size_t i = 0; env[i]; i++)
        if (strncmp(env[i], "PATH=", 5) == 0) path = env[i] + 5;
    size_t parts = 2;
    for (const char *at = path; *at; at++) parts += *at == ':';
    char **list = calloc(parts + 1, sizeof *list);
    if (!list) abort();
    if (strchr(program, '/')) {
        if (!(list[0] = strdup(program))) abort();
        return list;
    }
    size_t count = 0;
    for (const char *at = path; *at;) {
        int length = (int)strcspn(at, ":");
        if (length && asprintf(&list[count++], "%.*s/%s", length, at, program) < 0) abort();
        at += length;
        if (*at) at++;
    }
    return list;
}

static void candidates_free(char **list) {
    for (size_t i = 0; list[i]; i++) free(list[i]);
    free(list);
}

/* From here to exec only async-signal-safe calls: other threads may have held any lock when we forked. */

static bool take_descriptors(int descriptors[DESCRIPTORS]) {
    for (int i = 0; i < DESCRIPTORS; i++) {
        int copy = fcntl(descriptors[i], F_DUPFD, BEYOND_DESCRIPTORS);
        if (copy < 0) return false;
        descriptors[i] = copy;
    }
    for (int i = 0; i < DESCRIPTORS; i++) {
        if (dup2(descriptors[i], i) < 0) return false;
        if (i >= GATE && fcntl(i, F_SETFD, FD_CLOEXEC) != 0) return false;
    }
    return close_range(DESCRIPTORS, ~0U, 0) == 0; /* also the gates of siblings, so that theirs can end */
}

static void reset_signals(void) {
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

__attribute__((noreturn)) static void fail(Step step, int number) {
    Failure failure = {step, number};
    ssize_t written = write(FAILURE, &failure, sizeof failure);
    (void)written;
    _exit(127);
}

__attribute__((noreturn)) static void child(const ServiceSpawnSpec *spec, int descriptors[DESCRIPTORS],
                                            char *const *candidates) {
    setsid();
    if (!take_descriptors(descriptors)) {
        int number = errno;
        dup2(descriptors[FAILURE], FAILURE);
        fail(STEP_PREPARE, number);
    }
    char go;
    ssize_t got;
    do got = read(GATE, &go, 1);
    while (got < 0 && errno == EINTR);
    if (got != 1) _exit(127);
    reset_signals();
    umask(022);
    if (process_user_become(spec->user) != 0) fail(STEP_USER, errno);
    if (fchdir(DIRECTORY) != 0) fail(STEP_DIRECTORY, errno);
    int number = ENOENT;
    for (size_t i = 0; candidates[i]; i++) {
        execve(candidates[i], (char *const *)spec->argv, spec->env);
        if (errno != ENOENT && errno != ENOTDIR) number = errno;
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) break;
    }
    fail(STEP_PROGRAM, number);
}

int service_spawn_hold(const ServiceSpawnSpec *spec, ServiceSpawn *out, Error *error) {
    int gate[2], failure[2];
    FD_AUTO null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot start %s", spec->argv[0]);
    FD_AUTO gate_read = gate[0];
    FD_AUTO gate_write = gate[1];
    if (pipe2(failure, O_CLOEXEC) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot start %s", spec->argv[0]);
    FD_AUTO failure_read = failure[0];
    FD_AUTO failure_write = failure[1];
    int descriptors[DESCRIPTORS] = {null,          spec->log,       spec->log, gate_read,
                                    failure_write, spec->directory, spec->lock};
    char **candidates = candidates_of(spec->argv[0], spec->env);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* our handlers must not run in the child */
    pid_t pid = fork();
    if (pid == 0) child(spec, descriptors, candidates);
    int number = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    candidates_free(candidates);
    if (pid < 0) return error_errno(error, ERROR_SYSTEM, number, "cannot start %s", spec->argv[0]);
    *out = (ServiceSpawn){pid, fd_take(&gate_write), fd_take(&failure_read)};
    return 0;
}

static void close_end(int *fd) {
    if (*fd >= 0) close(fd_take(fd));
}

static void reap(pid_t pid) {
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
}

int service_spawn_release(ServiceSpawn *spawn, const ServiceSpawnSpec *spec, Error *error) {
    Failure failure = {STEP_PREPARE, EIO};
    ssize_t got = 0;
    bool gone = send(spawn->gate, "g", 1, MSG_NOSIGNAL) != 1;
    close_end(&spawn->gate);
    do got = read(spawn->failure, &failure, sizeof failure);
    while (got < 0 && errno == EINTR);
    close_end(&spawn->failure);
    if (got == 0 && !gone) return 0;
    reap(spawn->pid);
    spawn->pid = 0;
    const char *program = spec->argv[0], *user = spec->user->name;
    switch (failure.step) {
    case STEP_USER:
        return error_errno(error, ERROR_SYSTEM, failure.number, "cannot become the user %s", user);
    case STEP_DIRECTORY:
        return error_errno(error, ERROR_SYSTEM, failure.number, "%s may not enter the service's folder",
                           user);
    case STEP_PROGRAM:
        return error_errno(error, ERROR_SYSTEM, failure.number, "cannot run %s as %s", program, user);
    case STEP_PREPARE: break;
    }
    return error_errno(error, ERROR_SYSTEM, failure.number, "cannot start %s", program);
}

void service_spawn_drop(ServiceSpawn *spawn) {
    bool held = spawn->gate >= 0;
    close_end(&spawn->gate);
    close_end(&spawn->failure);
    if (held) reap(spawn->pid);
}
