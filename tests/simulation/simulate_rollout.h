/* SimulateRollout: what the simulation of the rollout has seen, and what it holds each decision against
 * (simulate_rollout_check.c). */
#pragma once
#include "model/rollout.h"

enum {
    HOSTS_MAX = 9,
    STARTS_MAX = 8,
    RETRIES_MAX = 6,
    EVENTS_MAX = 60000,
    STEPS_MAX = 200000,
    START_MS = 1000000000,
    HOUR_MS = 3600 * 1000
};

typedef struct Imagined { /* one host: what will become of it, and what was seen of it */
    bool live, admit_fails, retire_fails;
    bool prepare_fails, switch_fails, sick_in_soak, silent, falls_silent, rollback_fails, never_answers;
    bool dead;            /* like one that never answers, but it does not roll back by itself either */
    int64_t answer_at_ms; /* 0: no order under way */
    int64_t probe_at_ms;
    int64_t report_at_ms;
    /* seen: */
    bool proved;              /* a PREPARE was answered */
    bool on_new;              /* a SWITCH was given, and no rollback was answered since */
    bool watched;             /* a SWITCH was answered, and neither COMMIT nor a rollback since */
    bool wrong;               /* it failed or fell sick, and no person has said to try again */
    bool gone;                /* lost, or rolled back by itself: trying again is not possible */
    bool down;                /* its switch failed, and nothing has mended it since */
    bool sick;                /* a report said so, and nobody has resumed or put it back since */
    bool missing;             /* it was lost, and has not answered since */
    bool failed_out, skipped; /* left out */
    bool retried;             /* a person asked for another try, and it was not prepared for that yet */
    bool confirmed;
    HostTraffic traffic; /* blue-green */
    bool order_open;
    OrderKind order;
    int orders, switches;
    bool resumed_since_switch;
    bool passed_since_soak;
    int64_t heard_ms;
} Imagined;

typedef struct World {
    uint64_t seed, state;
    Arena *arena;
    const Plan *plan;
    json_t *journal;
    Rollout *rollout;
    Imagined hosts[HOSTS_MAX];
    int64_t now_ms;
    int64_t soak_ms, soak_until_ms; /* of the last soak */
    int starts_left;                /* each gives orders their time again: for ever would be too often */
    int retries_left;
    bool passed; /* blue-green: the take-over */
    bool failing;
    bool given_up; /* a person has aborted it, or asked for a rollback */
    bool held;     /* it waits for a person */
    bool steered;  /* people interfere in this one */
} World;

/* Says the seed, why and the journal, and ends the program. */
_Noreturn void broken(const World *world, const char *why);

bool is_left_out(const Imagined *host);
/* Blue-green: have all that are to take over said that they are in traffic? */
bool all_admitted(const World *world);
/* An event that was decided, before it is folded. */
void check(const World *world, const json_t *event);
/* Is anybody left in it? */
void check_stage_kept(const World *world, size_t stage);
