/* Worker: a thread that carries one assignment to its end, however long its controller is silent.
 *
 *   given an order → the change's document (kept in the Home, or fetched once) → the Assignment → reports
 *
 * The document is kept before anything is done, so that a worker can be started for it again after a crash or
 * a reboot with no controller in reach: a switched host is then watched, and goes back at its deadline.
 *
 * Calling order: worker_start → worker_give, as often as it takes → worker_is_over, then worker_stop. One
 * thread calls; the worker has its own.
 */
#pragma once
#include "agent/home.h"
#include "base/error.h"

typedef struct Worker Worker;

typedef struct WorkerSpec {
    const Home *home;
    const char *url;    /* of the controller */
    const char *change; /* home_is_change_name() */
    const char *guard;  /* program to keep guard (engine/host_link_local.h), or NULL */
} WorkerSpec;

/* What `spec` points to, but for `change`, must outlive it. */
Worker *worker_start(const WorkerSpec *spec);
/* {"order"?, "cancel"}: borrowed. What was given before and not taken yet is replaced. False: it is over, and
 * takes no more; another one has to be started. */
bool worker_give(Worker *worker, const json_t *said);
const char *worker_change(const Worker *worker);
/* The controller has closed the change: what it still has to tell is told, as far as somebody listens; then
 * whatever it still has here is let go (a host that was not confirmed keeps its dead man's switch,
 * host/guard.h). Giving it something takes this back. */
void worker_release(Worker *worker);
/* There is nothing left to do or to tell for this change; what the home keeps of it may go. */
bool worker_is_over(Worker *worker);
/* Waits for the order under way, and frees it. What is not over goes on when a worker is started again. */
void worker_stop(Worker *worker);
