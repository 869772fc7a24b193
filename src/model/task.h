/* Task: what a person asks of one host outside of any change — to look at its restore points, to put files
 * back, to start or stop its service. Here a command line carries it out, with a controller the host's agent.
 *
 * Delivered at least once; what changes a host (task_changes()) is begun once by whoever carries it out. As
 * JSON: {"kind": "restore", "id": …, …}.
 */
#pragma once
#include "base/error.h"
#include <jansson.h>
#include <stdbool.h>

typedef enum TaskKind {
    TASK_RESTORE_POINTS, /* list them; `service`, `host`: only those */
    TASK_PROVE,          /* restore all of the restore point `id` to a scratch folder, and compare */
    TASK_FSCK,           /* read every object and every restore point */
    TASK_RESTORE, /* put back the restore point `id`: `only` a part or path, `to` another folder; `seen`: only
                     if a look still finds what that look found */
    TASK_SERVICE, /* the installed service in `root`: `action` */
    TASK_LOSS,    /* what a rollback of `change` in `root` to the exact copy would set aside */
} TaskKind;
enum { TASK_KINDS = 6, TASK_ID_SIZE = 33, TASK_TEXT_MAX = 4096 };

const char *task_kind_text(TaskKind kind); /* "restore_points" …: in JSON and in the journal */

typedef struct Task { /* what a kind does not know is NULL */
    TaskKind kind;
    const char *id, *only, *to, *seen, *service, *host, *root, *action, *change;
    bool look; /* RESTORE: only count what it would do */
} Task;

/* Is anything of the host another afterwards? */
bool task_changes(const Task *task);

json_t *task_to_json(const Task *task);
/* Texts belong to `json`. ERROR_INVALID names what is missing, unknown or too long. */
int task_from_json(const json_t *json, Task *out, Error *error);
