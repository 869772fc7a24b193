/* SystemdPeer: a real systemd as process 1 of namespaces of its own, with nothing but the units given, and a
 * function that runs in there.
 *
 *     systemd_peer_run(units, function, &status)     NULL, or why it cannot be done here
 *
 * The keeper makes the namespaces and a control group below the one it is in; its children are the manager
 * and the runner. When the runner is done the keeper kills the manager, and with it all in there, and removes
 * the group. Everything dies with the process that called. */
#pragma once
#include "support/test.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define SYSTEMD_PEER_UNITS  "/run/upkeep-units"
#define SYSTEMD_PEER_GROUPS "/run/upkeep-groups"
enum { SYSTEMD_PEER_CANNOT = 99 };

typedef struct SystemdPeerUnit {
    const char *name, *text;
} SystemdPeerUnit;

static inline bool systemd_peer_write(const char *folder, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) close(fd);
    return written;
}

/* A control group's folders; the files in them go with them. What was killed may take a moment to leave. */
static inline int systemd_peer_remove_group(const char *path, const struct stat *status, int type,
                                            struct FTW *at) {
    (void)status, (void)at;
    for (int i = 0; type == FTW_DP && i < 500 && rmdir(path) != 0 && errno == EBUSY; i++) usleep(10000);
    return 0;
}

/* Our own /run, units and control group. */
static inline bool systemd_peer_prepare(const SystemdPeerUnit *units, char *group, size_t size) {
    static const char *const targets[] = {"sysinit.target", "basic.target", "shutdown.target",
                                          "default.target"};
    bool good = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                mount("tmpfs", "/run", "tmpfs", 0, NULL) == 0 && mkdir(SYSTEMD_PEER_UNITS, 0755) == 0 &&
                mkdir(SYSTEMD_PEER_GROUPS, 0755) == 0 &&
                mount("cgroup2", SYSTEMD_PEER_GROUPS, "cgroup2", 0, NULL) == 0;
    for (size_t i = 0; good && i < 4; i++)
        good = systemd_peer_write(SYSTEMD_PEER_UNITS, targets[i], "[Unit]\nDefaultDependencies=no\n");
    for (const SystemdPeerUnit *unit = units; good && unit->name; unit++)
        good = systemd_peer_write(SYSTEMD_PEER_UNITS, unit->name, unit->text);
    snprintf(group, size, "%s/upkeep-test-%d", SYSTEMD_PEER_GROUPS, (int)getpid());
    return good && mkdir(group, 0755) == 0 && systemd_peer_write(group, "cgroup.procs", "0");
}

__attribute__((noreturn)) static inline void systemd_peer_manager(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    umount2("/sys/fs/cgroup", MNT_DETACH);
    if (mount("proc", "/proc", "proc", 0, NULL) != 0 ||
        mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL) != 0)
        _exit(SYSTEMD_PEER_CANNOT);
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++) dup2(null, i);
    close_range(3, ~0U, 0);
    char *const env[] = {(char *)"container=upkeep-test", (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                         (char *)"SYSTEMD_UNIT_PATH=" SYSTEMD_PEER_UNITS, NULL};
    execle("/lib/systemd/systemd", "systemd", "--system", "--log-target=null", "--show-status=no",
           "--default-standard-output=null", "--default-standard-error=null", (char *)NULL, env);
    _exit(SYSTEMD_PEER_CANNOT);
}

/* The manager listens when it is up. */
static inline bool systemd_peer_wait(pid_t manager) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/private"};
    for (int i = 0; i < 1000 && waitpid(manager, NULL, WNOHANG) == 0; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool up = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
        close(fd);
        if (up) return true;
        usleep(20000);
    }
    return false;
}

__attribute__((noreturn)) static inline void systemd_peer_keeper(const SystemdPeerUnit *units,
                                                                 int (*function)(void)) {
    char group[128];
    int status = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWNS) != 0 || !systemd_peer_prepare(units, group, sizeof group))
        _exit(SYSTEMD_PEER_CANNOT);
    if (unshare(CLONE_NEWCGROUP | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET) != 0)
        _exit(SYSTEMD_PEER_CANNOT);
    pid_t manager = fork();
    if (manager == 0) systemd_peer_manager();
    pid_t runner = systemd_peer_wait(manager) ? fork() : -1;
    if (runner == 0) exit(function());
    if (runner < 0 || waitpid(runner, &status, 0) != runner) status = SYSTEMD_PEER_CANNOT << 8;
    kill(manager, SIGKILL);
    waitpid(manager, NULL, 0);
    systemd_peer_write(SYSTEMD_PEER_GROUPS, "cgroup.procs", "0"); /* leave the group */
    nftw(group, systemd_peer_remove_group, 16, FTW_DEPTH | FTW_PHYS);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static inline const char *systemd_peer_run(const SystemdPeerUnit *units, int (*function)(void),
                                           int *out_status) {
    if (geteuid() != 0) return "needs root to make namespaces for a systemd";
    if (access("/lib/systemd/systemd", X_OK) != 0) return "there is no /lib/systemd/systemd";
    int status = 0;
    fflush(stdout);
    pid_t keeper = fork();
    if (keeper == 0) systemd_peer_keeper(units, function);
    if (keeper < 0 || waitpid(keeper, &status, 0) != keeper) return "cannot fork";
    if (WIFEXITED(status) && WEXITSTATUS(status) == SYSTEMD_PEER_CANNOT)
        return "a systemd of its own cannot be started here (namespaces or cgroup v2 are not allowed)";
    *out_status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    return NULL;
}
