/* Witness: knows what really happened and what stands in the journal, and holds the invariants of the design
 * (docs/explanation/design.md) against both, by what it has seen itself, never by what the fold says of it.
 *
 *   I1   a switch is ordered only where the machine's restore point really is proved
 *   I4   never more hosts taken out of service by orders, or put back, at one time than max_unavailable: in
 *        the journal as orders are given, and in reality. Reality lags behind: what is promised is about
 *        orders that are open or whose failure is not mended; a host declared lost is beyond promises
 *   I5   after a failing verdict nobody is switched, no order is handed out that is closed, the rollout ends,
 *        and every host ends rolled back, kept by choice, failed for a person, or lost — and really is there
 *   I6   a switched machine that could go back does not stand unconfirmed past its deadline, and nobody is
 *        confirmed after it
 *   I7   the reports of a host stand in the journal once, in order, as they were said; what it was told that
 *        it may forget is there; orders have names of their own, and one answer, which it really gave
 *   I8   the chain of the journal verifies at the end
 *   I10  `current` names a release that was staged whole
 *   I11  nobody is confirmed without a pass since the soak began, nor before it is over, nor who never really
 *        passed; nothing goes on while a switched host is silent
 *   I12  what was given up or has failed is not switched again, unless a person resumed
 *
 * I2 and I3 (environments, approvals) are no business of one rollout's engine; I9 (signatures) is none of a
 * world without packages.
 */
#pragma once
#include "engine/engine.h"
#include "fleet.h"

typedef struct Seen { /* of one host */
    /* in the journal: */
    int orders, switches;
    bool order_open, cancelled;
    Order order;
    int64_t reports; /* the number of the last */
    bool on_new;     /* a SWITCH was given, and no rollback was answered since */
    bool watched;    /* a SWITCH was answered, and neither COMMIT nor a rollback since */
    bool wrong;      /* it failed or fell sick, and no person has said to try again */
    bool gone;       /* lost, or rolled back by itself: trying again is not possible */
    bool lost;       /* and not heard of since */
    bool was_lost;   /* ever */
    bool down;       /* its switch failed, and nothing has mended it since */
    bool rolled_back, committed, kept, stuck; /* its last word; stuck: its rollback failed */
    bool resumed_since_switch, passed_since_soak;
    int64_t heard_ms;
    int64_t confirm_by_ms; /* of its last switch */
    /* in reality: */
    bool really_passed; /* since its last switch was ordered */
    int64_t looked_ms, exposed_ms;
} Seen;

struct Witness {
    Fleet *fleet;
    Seen hosts[HOSTS_MAX];
    int64_t time_ms; /* of the last event, by the controller's clock */
    int64_t soak_ms, soak_until_ms;
    bool failing, given_up, held, paused, ended;
};

void witness_begin(Fleet *fleet, Witness *witness);
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
/* For people, who look at the journal. */
bool witness_is_paused(const Fleet *fleet);
bool witness_has_ended(const Fleet *fleet);
/* The rollout has ended so, and what was still under way has come to rest. */
void witness_close(Fleet *fleet, RolloutOutcome outcome);
