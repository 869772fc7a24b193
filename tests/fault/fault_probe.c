/* What the library of fault.c is tested on: a known row of calls beneath the folder given, one name a line on
 * standard output as each was done, or "failed <call> <errno>". With "child", the writing happens in
 * children; with "thread", in another thread. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void did(const char *call, long result) {
    if (result < 0)
        printf("failed %s %d\n", call, errno);
    else
        printf("%s\n", call);
    fflush(stdout);
}

static void write_files(int dir) {
    struct open_how how = {.flags = O_WRONLY | O_CREAT | O_CLOEXEC, .mode = 0600, .resolve = RESOLVE_BENEATH};
    int fd = (int)syscall(SYS_openat2, dir, "a", &how, sizeof how);
    did("openat2", fd);
    if (fd < 0) return;
    did("write", write(fd, "0123456789", 10));
    did("pwrite", pwrite(fd, "abcd", 4, 10));
    char first[] = "ef", second[] = "gh";
    struct iovec parts[2] = {{.iov_base = first, .iov_len = 2}, {.iov_base = second, .iov_len = 2}};
    did("writev", writev(fd, parts, 2));
    did("fchmod", fchmod(fd, 0640));
    did("fdatasync", fdatasync(fd));
    did("fsync", fsync(fd));
    did("ftruncate", ftruncate(fd, 5));
    did("close", close(fd));
    did("symlinkat", symlinkat("a", dir, "s"));
    did("linkat", linkat(dir, "a", dir, "l", 0));
    did("renameat", renameat(dir, "a", dir, "b"));
    did("mkdirat", mkdirat(dir, "d", 0755));
    did("unlinkat", unlinkat(dir, "s", 0));
    did("unlinkat", unlinkat(dir, "d", AT_REMOVEDIR));
    fd = openat(dir, "b", O_RDONLY | O_CLOEXEC); /* neither this nor its close is counted */
    close(fd);
    did("syncfs", syncfs(dir));
}

static void let_a_child_go(void) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) abort();
    pid_t probe = getpid(), pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* the probe may be killed before it kills, or have been already */
        while (getppid() == probe) poll(NULL, 0, 10);
        _exit(0);
    }
    did("fork", pid);
    did("write", write(ends[1], "x", 1));
    did("kill", kill(pid, SIGKILL));
    int child = pidfd_open(pid, 0);
    did("pidfd_send_signal", pidfd_send_signal(child, SIGKILL, NULL, 0));
    waitpid(pid, NULL, 0);
    close(child);
    close(ends[0]);
    close(ends[1]);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) abort();
    did("send", send(ends[0], "x", 1, 0));
    close(ends[0]);
    close(ends[1]);
}

static void *write_files_too(void *dir) {
    write_files(*(int *)dir);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    int dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return 2;
    if (argc > 2 && strcmp(argv[2], "child") == 0) {
        pid_t pid = fork();
        if (pid == 0) {
            write_files(dir);
            execlp("sh", "sh", "-c", "echo \"preload [$LD_PRELOAD]\"; : > \"$0/shell\"; rm \"$0/shell\"",
                   argv[1], (char *)NULL);
            _exit(127);
        }
        waitpid(pid, NULL, 0);
        return 0;
    }
    pthread_t thread;
    if (argc > 2 && strcmp(argv[2], "thread") == 0) {
        if (pthread_create(&thread, NULL, write_files_too, &dir) != 0) abort();
        pthread_join(thread, NULL);
    } else {
        write_files(dir);
    }
    let_a_child_go();
    return 0;
}
