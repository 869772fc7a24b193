/* Daemon: what programs that run until they are told to stop have in common.
 */
#pragma once
#include "cli/cli.h"
#include <stdatomic.h>

/* SIGTERM and SIGINT turn it true; SIGHUP and SIGPIPE are ignored. For the process's life. */
const atomic_bool *daemon_stop(void);
/* As many open files as the machine allows: the soft limit is for programs that select(). */
void daemon_raise_files(void);
/* Begin the log as --log and --verbose say; ERROR_INVALID. */
int daemon_log(const Arguments *arguments, Error *error);

#define DAEMON_OPTIONS                                                                                       \
    {"log", 0, "text|json", TEXT("form of the log on standard error (default: text)"), false}, {             \
        "verbose", 'v', NULL, TEXT("log every detail"), false                                                \
    }
