/* Witness: knows what really happened, and holds the invariants of the design (docs/explanation/design.md)
 * against that. What stands in the journal it has read by an auditor, who holds those that can be seen there
 * (auditor.h).
 *
 *   I1   a switch is ordered only where the machine's restore point really is proved
 *   I4   never more hosts really taken out of service by orders, or put back, at one time than
 *        max_unavailable. Reality lags behind: what is promised is about orders that are open or whose
 *        failure is not mended; a host declared lost is beyond promises
 *   I4   blue-green: nobody really goes out of traffic before the others really are in
 *   I5   no order is handed out that is closed, and the rollout ends
 *   I5   every host really is where it is said to be at the end, with all the traffic that it had
 *   I6   a switched machine that could go back does not stand unconfirmed past its deadline
 *   I7   the reports of a host stand in the journal once, in order, as they were said
 *   I7   what it was told that it may forget is there; an answer that is there was really given
 *   I8   the chain of the journal verifies at the end
 *   I10  `current` names a release that was staged whole
 *   I11  nobody is confirmed who never really passed
 *
 * I2 and I3 (environments, approvals) are no business of one rollout's engine; I9 (signatures) is none of a
 * world without packages.
 */
#pragma once
#include "auditor.h"
#include "engine/engine.h"
#include "fleet.h"

typedef struct Known {  /* of one host, beside what the auditor has seen */
    int64_t reports;    /* the number of its last in the journal */
    bool was_lost;      /* ever */
    bool really_passed; /* since its last switch was ordered */
    bool exposed;       /* when it was looked at last */
    int64_t looked_ms, exposed_ms;
} Known;

struct Witness {
    Fleet *fleet;
    Arena *arena;
    Auditor auditor;
    Known hosts[HOSTS_MAX];
};

/* What it keeps of the journal lives in the arena. */
void witness_begin(Fleet *fleet, Witness *witness, Arena *arena);
void witness_read(Fleet *fleet, const json_t *event); /* it is durable now */
void witness_look(Fleet *fleet);                      /* after anything has happened */
/* What the parts of the world have seen. */
void witness_saw_start(Fleet *fleet, const Rollout *rollout);
/* An engine has come to an end, asked to leave or not. */
void witness_saw_leave(Fleet *fleet, EngineEnd end, int interrupts);
void witness_saw_submit(Fleet *fleet, const char *host, const Order *order);
/* What its box hands out (NULL: nothing) while nothing is under way between the link and the journal. */
void witness_saw_box(Fleet *fleet, size_t host, const json_t *message);
/* What it is told that it may forget, likewise. */
void witness_saw_heard(Fleet *fleet, size_t host, int64_t number);
void witness_saw_answer(Fleet *fleet, size_t host, const Order *order, bool done);
void witness_saw_health(Fleet *fleet, size_t host, const char *verdict);
void witness_saw_current(Fleet *fleet, size_t host);
/* Its balancer sends it nothing from now on. */
void witness_saw_out(Fleet *fleet, size_t host);
/* For people, who look at the journal. */
bool witness_is_paused(const Fleet *fleet);
bool witness_has_ended(const Fleet *fleet);
bool witness_is_wrong(const Fleet *fleet, size_t host);
/* The rollout has ended, and what was still under way has come to rest. */
void witness_close(Fleet *fleet);
