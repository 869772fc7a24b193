/* Controller: one process after the other that carries the change out — each reads the journal, opens the
 * real HostLinkRemote, runs the real engine over it, and may die at any operation; then the next one starts
 * as a daemon would, without taking back a person's pause.
 *
 * Between the engine and its link stands one more HostLink: while the engine waits for reports, the world
 * goes on by one step, all in one thread. What agents ask meanwhile is answered here.
 */
#pragma once
#include "book.h"
#include "engine/change.h"
#include "engine/engine.h"
#include "engine/host_link_remote.h"

struct Controller {
    HostLink link; /* first: what the engine sees */
    Fleet *fleet;
    HostLink *remote; /* NULL: there is no process */
    Clock clock;      /* of this process */
    int64_t clock_offset_ms;
    Fuse fuse;
    atomic_int interrupts;      /* it was asked to leave: 1, or at once: 2 */
    int64_t leap_ms;            /* how long nothing has happened */
    uint64_t parked[HOSTS_MAX]; /* questions that wait for an order; 0: none */
    bool parks;
    int lives;  /* so far */
    bool fresh; /* it has not written anything yet */
    char change[CHANGE_ID_SIZE];
    Book book;
};

void controller_begin(Fleet *fleet, Controller *controller);
void controller_end(Controller *controller);
/* Until the rollout has ended; its outcome. */
RolloutOutcome controller_carry_out(Controller *controller);
/* A letter of an agent has arrived. */
void controller_hear(Fleet *fleet, size_t host, uint64_t question, const json_t *letter);
