/* Machine: one imagined host — its releases and service, the ledger that outlives every crash, the steps of
 * an order, its guard, its clock. What src/host does, without files and processes:
 *
 * An order is answered once, and its answer given again to whoever asks again; cut off, it goes on at the
 * step it had come to. "Rolled back" is the end of the change here, until another PREPARE begins it again. A
 * switch that nobody confirmed by its deadline, by the machine's own steady clock, goes back by itself, be
 * its agent alive or dead.
 *
 * A machine may hang, fail, fall sick, be switched off for minutes or for good, and its clock may go wrong or
 * be set at any time.
 */
#pragma once
#include "balancer.h"
#include "fleet.h"
#include "host/deadline.h"

enum { ANSWERS_MAX = 256 };

typedef struct Answer {
    char id[ORDER_ID_SIZE];
    bool done;
} Answer;

/* Durable. */
typedef struct Ledger {
    Order order;
    bool order_open, by_itself;
    int step; /* of its order: the next one */
    bool staged, proved, stopped, copied, activated, started;
    bool switched, confirmed, committed, rolled_back;
    int64_t confirm_by_ms; /* by its wall clock; 0: not armed */
    int64_t confirm_given_ms;
    Answer answers[ANSWERS_MAX];
    size_t answer_count;
    json_t *unheard; /* events that its guard could tell nobody */
} Ledger;

/* Its nature, for good or ill. */
typedef struct Nature {
    bool refuses;         /* to be prepared */
    int bad_times;        /* so often, its new version does not become healthy */
    int64_t sick_from_ms; /* so long after its switch the new version is sick; NEVER_MS */
    int64_t well_from_ms; /* and well again; NEVER_MS */
    bool stubborn;        /* the old version does not come back */
    int hangs_in;         /* the order of that number takes hours; 0: none */
    int64_t gone_ms;      /* it is switched off for good; NEVER_MS */
} Nature;

struct Machine {
    Fleet *fleet;
    size_t index;
    const char *name;
    Nature nature;
    Ledger ledger;
    Balancer balancer;
    bool up;
    /* What is really there: */
    bool on_new;         /* `current` names the new release */
    bool serving;        /* whichever version is there does its work */
    bool out;            /* taken out of service by a SWITCH, and not back yet */
    bool being_put_back; /* a ROLLBACK that was ordered is at it, and it served before */
    int64_t switched_ms; /* when its switch ended */
    /* Of the process that is at it; gone when that dies: */
    bool opened;   /* its agent has it */
    bool working;  /* an order is under way, by the agent or … */
    bool guarding; /* … by its guard */
    bool waits;    /* another order waits */
    bool cancelled;
    Order waiting;
    uint64_t turn; /* what was planned for an earlier one does not happen */
    int orders;    /* begun */
    /* Its clock: steady ones go on through reboots, as CLOCK_BOOTTIME's differences do for us. */
    Clock clock; /* its own */
    double rate;
    int64_t wall_offset_ms;
    bool guard_awake;
    Deadline deadline;
    uint64_t deadline_turn;
};

void machine_begin(Fleet *fleet, Machine *machine, size_t index, const char *name);
void machine_end(Machine *machine);
Machine *machine_of_clock(Clock *clock);

/* ---- for its agent */

/* It lives, and has the host's lock; what the guard did is told. */
void machine_open(Machine *machine);
/* It died: what was under way is cut off. */
void machine_drop(Machine *machine);
void machine_submit(Machine *machine, const Order *order);
void machine_cancel(Machine *machine);
