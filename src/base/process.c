#include "base/process.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_STEP_MS = 50, DRAIN_AFTER_EXIT_MS = 200 };

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int process_user_find(const char *user, ProcessUser *out, Error *error) {
    struct passwd record, *found = NULL;
    char strings[4096];
    int number = user ? getpwnam_r(user, &record, strings, sizeof strings, &found)
                      : getpwuid_r(geteuid(), &record, strings, sizeof strings, &found);
    if (number)
        return error_errno(error, ERROR_SYSTEM, number, "cannot look up the user %s", user ? user : "");
    ProcessUser result = {.uid = geteuid(), .gid = getegid(), .home = "/", .name = "nobody"};
    if (!found && user) return error_set(error, ERROR_INVALID, "there is no user %s on this host", user);
    if (found) {
        result.uid = found->pw_uid;
        result.gid = found->pw_gid;
        snprintf(result.home, sizeof result.home, "%s", found->pw_dir);
        snprintf(result.name, sizeof result.name, "%s", found->pw_name);
        result.group_count = (int)(sizeof result.groups / sizeof *result.groups);
        if (getgrouplist(found->pw_name, found->pw_gid, result.groups, &result.group_count) < 0)
            return error_set(error, ERROR_SYSTEM, "the user %s is in too many groups", found->pw_name);
    }
    *out = result;
    return 0;
}

int process_user_become(const ProcessUser *user) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    if (geteuid() == user->uid && getegid() == user->gid) return 0;
    if (setgroups((size_t)user->group_count, user->groups) != 0) return -1;
    if (setresgid(user->gid, user->gid, user->gid) != 0) return -1;
    return setresuid(user->uid, user->uid, user->uid);
}

/* Replace the entry of the same key, or append. */
static void env_set(char ***env, size_t *count, char *entry) {
    size_t key = strcspn(entry, "=") + 1;
    for (size_t i = 0; i < *count; i++) {
        if (strncmp((*env)[i], entry, key) != 0) continue;
        free((*env)[i]);
        (*env)[i] = entry;
        return;
    }
    *env = realloc(*env, (*count + 2) * sizeof **env);
    if (!*env) abort();
    (*env)[(*count)++] = entry;
    (*env)[*count] = NULL;
}

static char *env_entry(const char *key, const char *value) {
    char *entry;
    if (asprintf(&entry, "%s=%s", key, value) < 0) abort();
    return entry;
}

char **process_env(const char *user, const char *const *extra, Error *error) {
    ProcessUser who;
    if (process_user_find(user, &who, error) < 0) return NULL;
    char **env = NULL;
    size_t count = 0;
    const char *path = getenv("PATH");
    env_set(&env, &count, env_entry("PATH", path && *path && !user ? path : DEFAULT_PATH));
    env_set(&env, &count, env_entry("HOME", who.home));
    env_set(&env, &count, env_entry("USER", who.name));
    env_set(&env, &count, env_entry("LOGNAME", who.name));
    env_set(&env, &count, env_entry("SHELL", "/bin/sh"));
    env_set(&env, &count, env_entry("LANG", "C.UTF-8"));
    for (size_t i = 0; extra && extra[i]; i++) {
        char *copy = strdup(extra[i]);
        if (!copy) abort();
        env_set(&env, &count, copy);
    }
    return env;
}

void process_env_free(char **env) {
    if (!env) return;
    for (size_t i = 0; env[i]; i++) free(env[i]);
    free(env);
}

/* Never more than we have ourselves. */
static bool limit_memory(uint64_t bytes) {
    struct rlimit limit, none = {0, 0};
    if (bytes == 0) return true;
    if (getrlimit(RLIMIT_DATA, &limit) != 0 || setrlimit(RLIMIT_CORE, &none) != 0) return false;
    if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > bytes) limit.rlim_max = bytes;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_DATA, &limit) == 0;
}

/* In the child: nothing of the parent's but 0–2. Reports errno through `failure` when it cannot become the
 * program. */
__attribute__((noreturn)) static void child(const ProcessSpec *spec, const ProcessUser *user,
                                            char *const *env, int output, int failure) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    setsid(); /* a group to kill as one, and no terminal of ours to type commands into */
    int null = open("/dev/null", O_RDONLY);
    bool ready = null >= 0 && dup2(null, 0) == 0 && dup2(output, 1) == 1 && dup2(output, 2) == 2;
    if (ready) close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    if (ready) ready = limit_memory(spec->memory_max);
    if (ready && spec->user) ready = process_user_become(user) == 0;
    if (ready && spec->directory) ready = chdir(spec->directory) == 0;
    environ = (char **)env; /* execvp searches the PATH of this one; execvpe would search the parent's */
    if (ready) execvp(spec->argv[0], (char *const *)spec->argv);
    int number = errno;
    ssize_t written = write(failure, &number, sizeof number);
    (void)written;
    _exit(127);
}

typedef struct Pipes {
    int output[2], failure[2];
} Pipes;

static void pipes_close(Pipes *pipes) {
    for (int i = 0; i < 2; i++) {
        if (pipes->output[i] >= 0) close(pipes->output[i]);
        if (pipes->failure[i] >= 0) close(pipes->failure[i]);
        pipes->output[i] = pipes->failure[i] = -1;
    }
}

static int start(const ProcessSpec *spec, char *const *env, Pipes *pipes, pid_t *out, Error *error) {
    ProcessUser user = {0};
    if (spec->user && process_user_find(spec->user, &user, error) < 0) return -1;
    if (pipe2(pipes->output, O_CLOEXEC) != 0 || pipe2(pipes->failure, O_CLOEXEC) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot run %s", spec->argv[0]);
    pid_t pid = fork();
    if (pid < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot run %s", spec->argv[0]);
    if (pid == 0) child(spec, &user, env, pipes->output[1], pipes->failure[1]);
    close(fd_take(&pipes->output[1]));
    close(fd_take(&pipes->failure[1]));
    int number = 0;
    ssize_t got;
    do got = read(pipes->failure[0], &number, sizeof number);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        waitpid(pid, NULL, 0);
        return error_errno(error, ERROR_SYSTEM, number, "cannot run %s", spec->argv[0]);
    }
    *out = pid;
    return 0;
}

/* Read what is there; false at the end of the output. */
static bool collect(int fd, size_t limit, Buffer *output) {
    char part[4096];
    ssize_t got = read(fd, part, sizeof part);
    if (got < 0) return errno == EINTR || errno == EAGAIN;
    if (got == 0) return false;
    size_t room = limit > output->size ? limit - output->size : 0;
    buffer_append(output, part, (size_t)got < room ? (size_t)got : room);
    return true;
}

static bool over(const ProcessSpec *spec, int64_t started_ms, int64_t now_ms) {
    if (spec->cancel && atomic_load(spec->cancel)) return true;
    return spec->timeout_ms > 0 && now_ms - started_ms >= spec->timeout_ms;
}

/* Until the program has ended: its output may be held open longer by what it left behind. */
static int wait_for_end(const ProcessSpec *spec, pid_t pid, int output, ProcessResult *result) {
    Clock *clock = clock_system();
    int64_t started_ms = clock_steady_ms(clock), ended_ms = 0;
    bool open = true, ended = false;
    int status = 0;
    while (!ended || (open && clock_steady_ms(clock) - ended_ms < DRAIN_AFTER_EXIT_MS)) {
        struct pollfd ready = {.fd = open ? output : -1, .events = POLLIN};
        bool readable = poll(&ready, 1, open ? WAIT_STEP_MS : 5) > 0;
        if (readable) open = collect(output, spec->output_max, &result->output);
        if (!ended && waitpid(pid, &status, WNOHANG) == pid) {
            ended = true;
            ended_ms = clock_steady_ms(clock);
        }
        if (ended && !readable) break;
        if (!ended && over(spec, started_ms, clock_steady_ms(clock))) {
            kill(-pid, SIGKILL);
            result->timed_out = true;
            while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
            ended = true;
            ended_ms = clock_steady_ms(clock);
        }
    }
    result->duration_ms = ended_ms - started_ms;
    result->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return 0;
}

int process_run(const ProcessSpec *spec, ProcessResult *out, Error *error) {
    char **own = NULL;
    if (!spec->env && !(own = process_env(spec->user, NULL, error))) return -1;
    Pipes pipes = {{-1, -1}, {-1, -1}};
    pid_t pid = -1;
    ProcessResult result = {0};
    int code = start(spec, own ? own : (char *const *)spec->env, &pipes, &pid, error);
    if (code == 0) code = wait_for_end(spec, pid, pipes.output[0], &result);
    pipes_close(&pipes);
    process_env_free(own);
    if (code < 0) {
        buffer_free(&result.output);
        return -1;
    }
    *out = result;
    return 0;
}

uint64_t process_start_ticks(pid_t pid) {
    char path[40], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t got = read(fd, line, sizeof line - 1);
    if (got <= 0) return 0;
    line[got] = '\0';
    char *at = strrchr(line, ')'); /* the name may hold anything, even spaces and brackets */
    if (!at || at[1] != ' ') return 0;
    at += 2;
    if (*at == 'Z' || *at == 'X') return 0;
    for (int field = 3; field < 22; field++) {
        at = strchr(at, ' ');
        if (!at) return 0;
        at++;
    }
    return strtoull(at, NULL, 10);
}

int process_boot_id(char out[static 37], Error *error) {
    BUFFER_AUTO text = {0};
    if (file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, error) < 0) return -1;
    snprintf(out, 37, "%.36s", buffer_text(&text));
    return 0;
}
