/* Fleet: the imagined world of one seed — its time, its chance, what will happen in it, and who is in it.
 *
 *   controller     the real engine and the real HostLinkRemote, in a process that dies   controller.h
 *        │  ▲
 *   network        loses, delays, doubles and reorders messages, and parts               network.h
 *        ▼  │
 *   agent, machine a host: its outbox; its ledger, service, guard and clock              agent.h, machine.h
 *   balancer       sends a host its requests, or not                                     balancer.h
 *
 * People steer it (people.h); the auditor reads what stands in the journal (auditor.h), the witness knows
 * what really happened (witness.h), and both hold the invariants. Time stands still while something happens,
 * and leaps to the next thing on the agenda. Everything is chosen by one seed's chance: the same seed is the
 * same world, to the byte.
 */
#pragma once
#include "base/json.h"
#include "chance.h"
#include "model/rollout.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOSTS_MAX = 6, SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };
#define NEVER_MS INT64_MAX

/* What must have been met by many seeds together, or the simulation does not try enough. */
typedef enum Hit {
    HIT_LOST,
    HIT_DELAYED,
    HIT_DOUBLED,
    HIT_REORDERED,
    HIT_PARTED,
    HIT_GAP,
    HIT_STALE,
    HIT_DIED_BEFORE,
    HIT_DIED_AFTER,
    HIT_DIED_TAKING,
    HIT_DIED_READING,
    HIT_LEFT,
    HIT_THROWN_OUT,
    HIT_SENT_AGAIN,
    HIT_CONTROLLER_CLOCK,
    HIT_AGENT_DIED,
    HIT_CUT_OFF,
    HIT_REBOOTED,
    HIT_GONE,
    HIT_SELF,
    HIT_GUARD,
    HIT_CLOCK_SET,
    HIT_CLOCK_WRONG,
    HIT_BAD_AT_ONCE,
    HIT_BAD_LATER,
    HIT_HUNG,
    HIT_STUBBORN,
    HIT_PAUSE,
    HIT_RESUME,
    HIT_ABORT,
    HIT_SKIP,
    HIT_RETRY,
    HIT_ROLLBACK,
    HIT_AFTER_END,
    HIT_BETWEEN,
    HIT_HELD,
    HIT_KEPT,
    HIT_CANCELLED,
    HIT_LEFT_OUT,
    HIT_SKIPPED,
    HIT_RETRIED,
    HIT_BEGUN_AGAIN,
    HIT_BALANCER,
    HIT_WEIGHED,
    HIT_ADMITTED,
    HIT_RETIRED,
    HIT_LIVE_BACK,
    HIT_TAKEN_OVER,
    HIT_LOST_HOST,
    HIT_RETURNED,
    HIT_REFUSED,
    HIT_LIE,
    HIT_COUNT
} Hit;
extern const char *const hit_texts[HIT_COUNT];

/* How often each kind of trouble comes in this world; 0: never. */
typedef struct Trouble {
    int lost, delayed, doubled;                                 /* one message in so many */
    int parts, controller_dies, agent_dies, reboots, clock_set; /* about so many seconds in between */
    int people;                                                 /* likewise */
} Trouble;

typedef struct Fleet Fleet;
typedef struct Machine Machine;
typedef struct Balancer Balancer;
typedef struct Agent Agent;
typedef struct Network Network;
typedef struct Controller Controller;
typedef struct Book Book;
typedef struct People People;
typedef struct Witness Witness;

/* Something that will happen. */
typedef struct Due Due;
typedef void (*Happening)(Fleet *fleet, const Due *due);
struct Due {
    int64_t at_ms;
    uint64_t rank; /* among those of one time: first come, first served */
    Happening happen;
    size_t host;    /* whose, where it is a host's */
    uint64_t turn;  /* of its owner, who may have thought better of it since */
    json_t *letter; /* what it carries, or NULL; freed with it */
};

struct Fleet {
    uint64_t seed;
    Chance chance;
    bool traced; /* tell everything */
    int64_t now_ms;
    int64_t calm_ms; /* when all trouble ends */
    Trouble trouble;
    const Plan *plan;
    size_t host_count;
    Machine *machines; /* one a host */
    Agent *agents;     /* one a host */
    Network *network;
    Controller *controller;
    People *people;
    Witness *witness;
    Due *agenda; /* a heap */
    size_t due_count, due_capacity;
    uint64_t rank;
    unsigned long *hits; /* [HIT_COUNT] */
};

/* ---- chance */

static inline int64_t fleet_up_to(Fleet *fleet, int64_t limit) { return chance_up_to(&fleet->chance, limit); }
static inline bool fleet_one_in(Fleet *fleet, int64_t n) { return chance_one_in(&fleet->chance, n); }
int64_t fleet_about(Fleet *fleet, int64_t ms);
bool fleet_is_calm(const Fleet *fleet);
static inline void fleet_hit(Fleet *fleet, Hit hit) { fleet->hits[hit]++; }

/* ---- time */

/* Takes over `letter`. */
void fleet_plan(Fleet *fleet, int64_t at_ms, Happening happen, size_t host, uint64_t turn, json_t *letter);
/* The next thing that happens, or nothing until `until_ms`, when that comes first. */
void fleet_step(Fleet *fleet, int64_t until_ms);
void fleet_run_until(Fleet *fleet, int64_t until_ms);
void fleet_forget_agenda(Fleet *fleet);

/* ---- telling */

void fleet_trace(const Fleet *fleet, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An invariant does not hold: the seed, what, how to see it, and the end of this process. `why` begins with
 * its number. */
_Noreturn void fleet_broken(const Fleet *fleet, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
