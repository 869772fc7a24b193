/* Auditor: reads the journal event by event, folds it, and holds the invariants of the design
 * (docs/explanation/design.md) that can be seen there against what it has read itself — never against what
 * the fold says of it. Only what became of a person's wish for one host (skip, retry) it asks the fold:
 * whether that may be, it knows.
 *
 *   I1   no host is switched before its restore point is proved
 *   I4   never more hosts taken out of service, or put back, at one time than max_unavailable
 *   I4   blue-green: nobody that is live is retired before all the upgraded are admitted; nobody that was
 *        admitted is put back before every live one is admitted again, or is beyond hope with another one in;
 *        at the end of what failed every live one is in, and whoever was upgraded out
 *   I5   while anything is wrong no host is switched, unless its host was left out: no more of a stage than
 *        max_failed, and never put back or skipped when it is well
 *   I5   at the end every host is where the outcome says, or named
 *   I6   nobody is confirmed after its deadline
 *   I7   orders have names of their own, and one answer
 *   I11  no stage passes without a confirmed host, or with one that is neither confirmed nor left out
 *   I11  silence is never a pass: no host is confirmed without a passing report since its soak began, nor
 *        before the soak is over, and nothing goes on while a switched host has been silent for too long
 *   I12  a failed host is not switched again unless a person resumed or retried it; what was given up or left
 *        out is not switched
 */
#pragma once
#include "model/rollout.h"

enum { AUDITED_HOSTS_MAX = 9 };

typedef struct Seen { /* of one host */
    bool live;
    int orders, switches;
    bool order_open, cancelled;
    Order order;
    bool touched;    /* something was done there, and it was not put back since */
    bool proved;     /* a PREPARE was answered, and no rollback since */
    bool on_new;     /* a SWITCH was given, and no rollback was answered since */
    bool watched;    /* a SWITCH was answered, and neither COMMIT nor a rollback since */
    bool wrong;      /* it failed, and no person has said to try again */
    bool sick;       /* a report said so, and nobody has resumed or put it back since */
    bool gone;       /* lost, or rolled back by itself: trying again is not possible */
    bool down;       /* its switch or rollback failed or was lost, and nothing has mended it since */
    bool lost;       /* declared so, and neither heard nor tried again since */
    bool missing;    /* it was lost, and has not answered since */
    bool stuck;      /* it could not be put back, or not back into traffic */
    bool kept;       /* left on the new version by choice */
    bool failed_out; /* left out for failing */
    bool skipped;    /* left out by a person */
    bool retried;    /* a person asked for another try, and it was not prepared for that yet */
    bool confirmed, committed;
    HostTraffic traffic; /* blue-green */
    bool resumed_since_switch, passed_since_soak;
    int64_t heard_ms;
    int64_t confirm_by_ms; /* of its last switch */
} Seen;

typedef struct Auditor {
    Rollout *rollout; /* the fold */
    const Plan *plan;
    Seen hosts[AUDITED_HOSTS_MAX];
    size_t host_count;
    int64_t time_ms;                /* of the last event */
    int64_t soak_ms, soak_until_ms; /* of the last soak */
    bool taken_over;                /* blue-green: the take-over has passed */
    bool failing, held, paused, ended;
    bool given_up; /* a person has aborted it, or asked for a rollback */
    /* What to do when an invariant does not hold; `why` begins with its number. */
    void (*broken)(void *context, const char *why) __attribute__((noreturn));
    void *context;
} Auditor;

/* From the change's first event, "change.opened"; what it folds lives in the arena. `broken` and `context`
 * are set, the rest is zero. */
void auditor_open(Auditor *auditor, Arena *arena, const json_t *opened);
/* The next event: may it follow the ones before it? */
void auditor_read(Auditor *auditor, const json_t *event);
/* The change has ended. */
void auditor_close(const Auditor *auditor);

_Noreturn void auditor_broken(const Auditor *auditor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- what it has seen */

const char *auditor_name(const Auditor *auditor, const Seen *host);
bool auditor_goes_back(const Auditor *auditor);
bool seen_is_left_out(const Seen *host);
bool seen_is_wrong(const Seen *host);
/* Blue-green: have all that are to take over said that they are in traffic? */
bool auditor_all_admitted(const Auditor *auditor);

/* ---- for its parts */

/* Before an event is folded (auditor_check.c). `host` may be NULL. */
void auditor_check(const Auditor *auditor, const Seen *host, const json_t *event);
/* Is anybody left in the stage of this host? */
void auditor_check_stage_kept(const Auditor *auditor, const Seen *host);
