#include "cli/daemon.h"
#include "base/log.h"
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

static atomic_bool stop;

static void on_signal(int number) {
    (void)number;
    atomic_store(&stop, true);
}

const atomic_bool *daemon_stop(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    return &stop;
}

void daemon_raise_files(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

int daemon_log(const Arguments *arguments, Error *error) {
    const char *form = arguments_get(arguments, "log", "text");
    bool json = strcmp(form, "json") == 0;
    if (!json && strcmp(form, "text") != 0)
        return error_set(error, ERROR_INVALID, "--log must be text or json, not %s", form);
    log_begin(json, arguments_has(arguments, "verbose") ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
    return 0;
}
