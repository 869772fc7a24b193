/* Deadline: how much time a switched host has left to be confirmed, whatever happens to its wall clock.
 *
 * The ledger says until when, by the wall clock, because that outlives processes and reboots. Whoever waits
 * keeps one of these: it learns the moment once and then counts by the steady clock, so a wall clock that is
 * set meanwhile neither hurries a rollback nor delays it. A wall clock that lies when the moment is learnt —
 * a machine that came up in 1970 — delays it by the whole time that was given at most. Zero-initialise it.
 */
#pragma once
#include "base/clock.h"

typedef struct Deadline {
    int64_t confirm_by_ms; /* the ledger's, by the wall clock */
    int64_t until_ms;      /* the same moment by the steady clock */
} Deadline;

/* Milliseconds left until `confirm_by_ms` (> 0); 0 or less: it has passed. Never more than `given_ms`, the
 * time that was given when it was set (0: not known). Another moment than the last one asked for is learnt
 * anew. */
int64_t deadline_left_ms(Deadline *deadline, int64_t confirm_by_ms, int64_t given_ms, Clock *clock);
