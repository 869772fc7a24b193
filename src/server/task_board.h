/* TaskBoard: what people have asked of single hosts (model/task.h), until they have read the answer.
 *
 *   waiting ── a poll takes it along ──▶ offered ── the host's next poll says so, or the host tells ──▶
 * running │                                    │                                       └─ the host tells ──▶
 * done, failed └── TASK_BOARD_WAIT_MS without ──────┴──▶ failed: nobody came for it; it is not known whether
 * it arrived
 *
 * What was given up is given to nobody any more, so a host that comes back hours later does not do what
 * nobody wants any more. Only in memory: a controller that is started again has forgotten them, says so to
 * whoever asks, and a host that comes with the answer is told that nobody waits for it. What a task changes
 * on a host is journaled by server/fleet_task.c. Places are few: what has ended goes after
 * TASK_BOARD_KEEP_MS, or gives way, the oldest first, then what nobody has heard of for a day. Tickets are
 * kept, whoever takes them out answers them. Any thread.
 */
#pragma once
#include "base/clock.h"
#include "base/error.h"
#include "model/task.h"
#include "wire/server.h"
#include <jansson.h>
#include <stdint.h>

typedef struct TaskBoard TaskBoard;

enum {
    TASK_BOARD_PLACES = 256,
    TASK_BOARD_HOST_MAX = 8, /* of one host at one time */
    TASK_BOARD_WAIT_MS = 60 * 1000,
    TASK_BOARD_KEEP_MS = 10 * 60 * 1000,
    TASK_BOARD_SILENT_MS = 24 * 60 * 60 * 1000,
    TASK_BOARD_WORD_MAX = 1 << 20, /* bytes of JSON that a host may tell of a task */
};

/* `clock` must outlive it. */
TaskBoard *task_board_new(Clock *clock);
void task_board_free(TaskBoard *board); /* NULL is allowed */

/* A place for it, of which the host learns nothing before task_board_open(). `task`: of task_from_json(),
 * borrowed. ERROR_REFUSED when there is no room. */
int task_board_add(TaskBoard *board, const char *host, const json_t *task, char id[static TASK_ID_SIZE],
                   Error *error);
void task_board_open(TaskBoard *board, const char *id);
void task_board_remove(TaskBoard *board, const char *id);

/* What the host is to do: [{"id", "task"}], a new reference; NULL: nothing. It is offered to it. */
json_t *task_board_offer(TaskBoard *board, const char *host);
/* What was offered to it has arrived there. */
void task_board_arrived(TaskBoard *board, const char *host);
/* The host is out: what it was asked for has failed. */
void task_board_drop(TaskBoard *board, const char *host);

/* What a host tells: {"state": "running", "done", "total"} or {"state": "done", "result": object} or
 * {"state": "failed", "error", "error_zh", "kind"}. Of strangers: made harmless in place, or ERROR_INVALID.
 */
int task_board_check(json_t *word, bool *is_last, Error *error);
/* Is it under way, or given up without knowing, and will it have changed the host when it ends? */
bool task_board_expects(TaskBoard *board, const char *host, const char *id);
/* Takes over `word`, which was checked. Said once more after the end it is taken without effect. *ticket: of
 * who waits for it; 0: nobody. ENOENT in error->number: it is not known here. */
int task_board_tell(TaskBoard *board, const char *host, const char *id, json_t *word, ServerTicket *ticket,
                    Error *error);

/* {"task", "host", "state", "revision"} and what was told last; NULL when there is none. A new reference. */
json_t *task_board_look(TaskBoard *board, const char *host, const char *id);
/* Whoever waits for it now; who waited before gets no answer but that of its deadline. */
void task_board_park(TaskBoard *board, const char *host, const char *id, ServerTicket ticket);
