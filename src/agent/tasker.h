/* Tasker: carries out what is asked of this host outside of any change (model/task.h), one task after the
 * other, and tells the controller how far it is and how it ended.
 *
 * The controller gives a task again until it has an answer. What only looks is done again by an agent that
 * was killed in the middle; what changes the host is begun once, and then answered with what is known. What a
 * host will not do for a controller — write where no service of its changes is — it refuses itself
 * (host/host_task.h).
 *
 * Calling order: tasker_start → tasker_give, with every answer about work → tasker_stop. One thread calls;
 * the tasker has its own.
 */
#pragma once
#include "agent/home.h"

typedef struct Tasker Tasker;

typedef struct TaskerSpec { /* must outlive it */
    const Home *home;
    const char *url; /* of the controller */
} TaskerSpec;

Tasker *tasker_start(const TaskerSpec *spec);
/* All that the controller wants now: [{"id", "task"}]; NULL or nothing in it: nothing. Those that are known
 * are not begun again. */
void tasker_give(Tasker *tasker, const json_t *tasks);
/* Ends what is under way early, and waits for it. */
void tasker_stop(Tasker *tasker);
