/* Ask: have a task (model/task.h) done — here, or with --server by the agent of the host that is meant.
 *
 * Of a task that takes long it is shown how far it is. A controller gives a host a minute to come for a task;
 * what it has begun it ends, whether or not somebody still waits here.
 */
#pragma once
#include "base/error.h"
#include "cli/cli.h"
#include "model/task.h"
#include <jansson.h>
#include <stdint.h>

typedef struct Ask {
    const char *host;  /* with --server: whom */
    const char *store; /* here: where the restore points are; NULL: in the state folder */
    Task task;
    /* afterwards: */
    json_t *answer; /* the caller's; NULL: `error` says why there is none */
    Error error;
    char id[TASK_ID_SIZE]; /* at the controller */
} Ask;

/* All at once. What is not answered within `patience_ms` (0: whatever it takes) is given up here. */
void ask_all(const Cli *cli, Ask *asks, size_t count, int64_t patience_ms);
/* One, until it has ended. */
int ask(const Cli *cli, Ask *asked, Error *error);
