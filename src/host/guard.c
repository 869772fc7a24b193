#include "host/guard.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAKE_LIMIT_MS = 10000, WAKE_LOOK_MS = 5 };

/* In a child of a process with threads: nothing but system calls. */
__attribute__((noreturn)) static void become(const char *const *argv) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0) _exit(127);
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    if (setsid() < 0 || chdir("/") != 0) _exit(127);
    pid_t pid = fork(); /* nobody's child: whoever started us need not wait for it */
    if (pid != 0) _exit(pid < 0 ? 127 : 0);
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

static int guard_start(const char *const *argv, Error *error) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) become(argv);
    if (pid < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot start the host's guard");
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return error_errno(error, ERROR_SYSTEM, errno, "cannot start the host's guard");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_set(error, ERROR_SYSTEM, "cannot start the host's guard");
    return 0;
}

/* Holding its lock is how a guard shows that it is awake. */
static int is_awake(int upkeep, Error *error) {
    FD_AUTO lock = openat(upkeep, "guard.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the guard's lock");
    return flock(lock, LOCK_EX | LOCK_NB) != 0;
}

int guard_ensure(int upkeep, const char *const *argv, Error *error) {
    int awake = is_awake(upkeep, error);
    if (awake == 0 && guard_start(argv, error) < 0) return -1;
    for (int waited_ms = 0; awake == 0 && waited_ms < WAKE_LIMIT_MS; waited_ms += WAKE_LOOK_MS) {
        clock_sleep_ms(WAKE_LOOK_MS);
        awake = is_awake(upkeep, error);
    }
    if (awake == 0) return error_set(error, ERROR_SYSTEM, "the host's guard did not wake up");
    return awake < 0 ? -1 : 0;
}
