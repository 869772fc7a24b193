/* Rollout: carrying out one plan on its hosts, as a fold over the journal and a pure decision.
 *
 *     rollout_fold(rollout, event)      what is true now
 *     rollout_decide(rollout, now)      the events that must be written next: orders, stages, ends
 *
 * The engine appends what was decided, folds it, acts on it (an "order.given" goes to its host), and asks
 * again until nothing is decided. No I/O, no clock, no randomness: the same events and the same `now` give
 * the same decision, so whoever starts after a crash goes on as the dead one would have.
 *
 * Rollout                                     Stage
 *
 *   pending ─> running <──> paused              pending ─> running <──> soaking ─> passed
 *                │  ╲_________ │                              ╲___________╱
 *                │            ╲│                                   │
 *                v             v                                   v
 *            succeeded ──> rolling_back ─> rolled_back           failed
 *                               │            cancelled (nothing was switched)
 *                               └────────> failed (a person is needed)
 *
 * Host
 *
 *   FROM          TO             BY
 *   pending       preparing      order.given prepare
 *   preparing     prepared       order.done
 *   preparing     failed         order.failed
 *   prepared      switching      order.given switch         (its restore point is proved: I1)
 *   switching     probing        step.started probe
 *   probing       healthy        order.done                 (the watch begins; its deadline runs: I6)
 *   switching     failed         order.failed               also from probing
 *   healthy       confirmed      order.done confirm
 *   confirmed     committed      order.done commit
 *   any of these  rolling_back   order.given rollback
 *   rolling_back  rolled_back    order.done
 *   rolling_back  failed         order.failed
 *   healthy       rolled_back    host.rolled_back           (its dead man's switch)
 *   any           lost           host.lost                  (an order's deadline passed, or host.silent)
 *   lost          failed         any report of it           (what it did meanwhile nobody knows)
 *   lost          failed         control.rollback           (a person has it tried again)
 *
 * Its part in the rollout, beside its state
 *
 *   FROM          TO             BY
 *   taken         failed         host.left_out              (a fault within the stage's max_failed)
 *   taken         skipped        control.skip               (also from retried)
 *   failed,       retried        control.retry              (also from taken, when it has failed)
 *   skipped
 *   retried       taken          order.done rollback        (at once when there is nothing to put back)
 *
 * Whoever is left out (failed, skipped) is put back alone and never confirmed, committed or switched; the
 * rollout goes on without it. A retried host begins anew, from pending: it is prepared and proved again, so
 * whatever the last try left is put back first. Nothing is retried by itself (I12), and nobody else waits for
 * it but its own stage. While it is out of service each of them counts against max_unavailable (I4); when
 * those that will not come back by themselves use that up, no host can be switched any more, and the rollout
 * stops as at a fault: it would wait for ever (I5).
 *
 * A stage keeps at least one host that takes part: one of which nobody is left would be a pass without
 * evidence (I11). The fault of its last one stops the rollout, and people cannot skip it.
 *
 * A host whose rollback fails does not stop the others: that it could not be put back says nothing of the new
 * version, and would only make the rollout try the same on all that are well. The change ends `failed` then,
 * as it does for one that the plan's rollback_confirmed leaves on the new version: a person is needed.
 *
 * Blue-green: hosts that are live keep their version and stay out of all of the above but `lost`; they are in
 * no stage, and switching is done on hosts that get no requests. When all stages have passed:
 *
 *   take-over    pending ─> running ─> soaking ─> passed           (or failed, as a stage)
 *                           admit all  all live   commit the
 *                           upgraded,  ones stand upgraded
 *                           then       by
 *                           retire all
 *                           live
 *
 *   traffic      FROM     TO       BY
 *                any      unsure   order.given admit, retire; rollback of an upgraded one
 *                unsure   in       order.done admit
 *                unsure   out      order.done retire, rollback
 *
 * Whoever is upgraded begins out of traffic, whoever is live in it. Capacity never drops below the live group
 * (I4): nobody is retired before all the upgraded are in, and when it fails nobody that was admitted is put
 * back before every live one is in again. A live one that is lost, or cannot be admitted any more, is not
 * waited for (I5); but when no live one is in, the upgraded that may be serving are kept: a person is needed.
 * From the first admit on no fault is within max_failed: it would take capacity away.
 *
 * A rollout that fails rolls back every host it touched, the sick ones first, then the others in reverse
 * order of their switching. Nothing waits without a deadline or a named person (I5): orders have deadlines,
 * health reports that do not come make a host sick (I11), `held` waits for resume, rollback or abort.
 */
#pragma once
#include "base/text.h"
#include "base/text_index.h"
#include "model/order.h"
#include "model/plan.h"
#include "model/verdict.h"
#include <jansson.h>
#include <stdint.h>

typedef enum HostState {
    HOST_PENDING,
    HOST_PREPARING,
    HOST_PREPARED,
    HOST_SWITCHING,
    HOST_PROBING,
    HOST_HEALTHY,
    HOST_CONFIRMED,
    HOST_COMMITTED,
    HOST_ROLLING_BACK,
    HOST_ROLLED_BACK,
    HOST_FAILED,
    HOST_LOST,
} HostState;

typedef enum HostPart {
    PART_TAKEN,
    PART_FAILED,  /* left out: it failed, and its stage's max_failed allows for it */
    PART_SKIPPED, /* left out by a person: no failure */
    PART_RETRIED, /* a person asked for another try: it is put back first */
} HostPart;

typedef enum HostTraffic { /* of a blue-green rollout */
                           TRAFFIC_OUT,
                           TRAFFIC_UNSURE,
                           TRAFFIC_IN,
} HostTraffic;

typedef enum StageState {
    STAGE_PENDING,
    STAGE_RUNNING,
    STAGE_SOAKING,
    STAGE_PASSED,
    STAGE_FAILED
} StageState;

typedef enum RolloutState {
    ROLLOUT_PENDING,
    ROLLOUT_RUNNING,
    ROLLOUT_PAUSED,
    ROLLOUT_ROLLING_BACK,
    ROLLOUT_SUCCEEDED,
    ROLLOUT_ROLLED_BACK,
    ROLLOUT_FAILED,
    ROLLOUT_CANCELLED,
} RolloutState;

typedef struct RolloutHost {
    const char *name;
    size_t stage; /* PLAN_STAGE_NONE: it is live */
    bool live;    /* it serves while others are upgraded, and is not itself */
    HostState state;
    HostPart part;
    HostTraffic traffic;
    bool retired;    /* it has said so once */
    bool order_open; /* `order` was given and neither done nor failed */
    bool order_cancelled;
    bool silent;            /* while it has an order, its controller hears nothing of it for too long */
    int64_t order_given_ms; /* or since when this engine listens for its answer */
    int64_t order_spent_ms; /* how long engines before it have */
    int64_t order_cancelled_ms;
    int order_count;
    bool switched;        /* SWITCH was given, and no rollback has ended since */
    bool confirmed;       /* users may have written: decides what happens to data */
    bool proved;          /* its restore point is (I1) */
    bool rollback_failed; /* a person is needed */
    bool kept;            /* left on the new version by the plan's rollback_confirmed: hold */
    bool missing;         /* it was lost, and not heard since */
    size_t switch_rank;   /* 1 for the first one switched … */
    int batch;            /* in its stage, from 1; 0: not yet */
    Verdict health;
    int64_t health_ms;     /* of the last report: when it was seen on the host; 0: none */
    int64_t report_number; /* of its last report; 0: it does not count them */
    int64_t heard_ms;      /* of its last answer, or since when an engine listens */
    int64_t confirm_by_ms; /* when it rolls back by itself; 0: not armed */
    const char *error;     /* why it failed, or NULL */
    const char *error_zh;
    const char *left_out; /* why it is, or NULL: people need not say */
    const char *left_out_zh;
    Order order; /* the last one given. Last: decisions look at all hosts, and seldom as far as this */
} RolloutHost;

typedef struct RolloutStage {
    StageState state;
    int batch; /* the one under way, from 1; 0: none yet */
    int64_t soak_from_ms, soak_until_ms;
    size_t host_count, left_out_count; /* left out: for failing or by a person */
    size_t failed_count;               /* left out for failing: max_failed at most */
} RolloutStage;

typedef struct RolloutTakeOver { /* blue-green, after the stages */
    StageState state;
    int64_t soak_from_ms, soak_until_ms;
} RolloutTakeOver;

/* How it ended: interface.md, "outcome". */
typedef enum RolloutOutcome {
    OUTCOME_NONE,
    OUTCOME_SUCCEEDED,
    OUTCOME_ROLLED_BACK,
    OUTCOME_FAILED,
    OUTCOME_REFUSED,
    OUTCOME_ABORTED,
} RolloutOutcome;

typedef struct Rollout {
    Arena *arena; /* everything lives here */
    const Plan *plan;
    const char *change, *version, *package_digest, *plan_digest;
    const char *opened, *ended; /* RFC 3339; ended NULL: it goes on */
    RolloutState state;
    RolloutHost *hosts;
    RolloutStage *stages;
    size_t host_count, stage_count;
    RolloutTakeOver take_over;
    TextIndex *host_index; /* by name */
    size_t switch_count;
    bool held;             /* paused by on_failure: hold, for a person */
    bool prepare_only;     /* pause when everything is prepared */
    bool aborted;          /* a person asked for it */
    bool rollback_asked;   /* a person asked for it */
    bool restore_data;     /* … with --restore-data */
    bool keep_data;        /* … with --keep-data */
    bool refused;          /* it failed before anything was switched */
    int64_t watch_from_ms; /* reports can be expected since then: the engine's last start */
    int64_t listened_ms;   /* and until then at least: the last event that was not a person's */
    const char *reason;    /* why it is paused or rolling back, or NULL */
    const char *reason_zh;
    const char *reason_host; /* whose fault it was, or NULL */
    RolloutOutcome outcome;
    int64_t sequence; /* of the last event folded */
} Rollout;

/* Begins with the "change.opened" event, which carries the compiled plan. ERROR_INVALID for what does not
 * fit. */
int rollout_open(Arena *arena, int64_t sequence, const json_t *opened, Rollout **out, Error *error);
/* One more event of the same change, in order. ERROR_ATTENTION when the event cannot follow the ones before
 * it. */
int rollout_fold(Rollout *rollout, int64_t sequence, const json_t *event, Error *error);

/* The events to write next, as an array (new reference), empty when there is nothing to do but wait. Each has
 * "type", "time", "change", "environment" and what belongs to it. */
json_t *rollout_decide(const Rollout *rollout, int64_t now_ms);

/* What must hold in every state; aborts otherwise. */
void rollout_assert(const Rollout *rollout);

/* Would a rollback put this host's data back to the exact copy? Before CONFIRM the plan says, after it users
 * have written; a person who asks for either is obeyed. */
bool rollout_restores_data(const Rollout *rollout, const RolloutHost *host);

bool rollout_ended(const Rollout *rollout);
/* Is any order given and not answered? */
bool rollout_busy(const Rollout *rollout);
RolloutHost *rollout_host(const Rollout *rollout, const char *name); /* NULL when there is none */
/* How long a switched host may stay silent: its slowest probe's deadline, and at least 10 s. */
int64_t rollout_silence_limit_ms(const Plan *plan);
/* Hosts that serve nobody now, or may not, or are about to be put back alone. */
size_t rollout_unavailable(const Rollout *rollout);
bool rollout_host_unavailable(const RolloutHost *host);

/* Has it answered an order of this change in a way that its own memory must show? A live one: that it was
 * retired; one that only failed may never have been reached. */
bool rollout_host_has_begun(const RolloutHost *host);
/* Blue-green: the stage's name, or NULL for a live host. */
const char *rollout_stage_name(const Rollout *rollout, const RolloutHost *host);
/* Is every upgraded host that is not left out in traffic, as it has said itself? */
bool rollout_all_admitted(const Rollout *rollout);

bool rollout_is_left_out(const RolloutHost *host);
size_t rollout_left_out(const Rollout *rollout); /* how many are */
/* Did it end with the new version accepted everywhere but on the hosts left out? */
bool rollout_went_through(const Rollout *rollout);
/* Could it not be put back, or was it left on the new version: must a person look after it? */
bool rollout_needs_person(const RolloutHost *host);

/* Would "control.skip" or "control.retry" of this host have an effect now? ERROR_REFUSED says why not. One
 * that comes too late is folded all the same, and changes nothing. */
int rollout_check_skip(const Rollout *rollout, const RolloutHost *host, Error *error);
int rollout_check_retry(const Rollout *rollout, const RolloutHost *host, Error *error);
/* The same by the verb of the control, "skip" or "retry"; ERROR_INVALID when there is no such host. Every
 * other verb is of no one host: 0. */
int rollout_check_control(const Rollout *rollout, const char *verb, const char *host, Error *error);

const char *host_state_text(HostState state);
const char *stage_state_text(StageState state);
const char *rollout_state_text(RolloutState state);
const char *rollout_outcome_text(RolloutOutcome outcome);

/* An event of this rollout: {"type", "time", "change", "environment"}. New reference. */
json_t *rollout_event(const Rollout *rollout, const char *type, int64_t now_ms);
