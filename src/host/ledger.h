/* Ledger: what this host has been asked and has done for the change under way — its own memory, beside the
 * engine's.
 *
 * One small document, <root>/.upkeep/ledger.json, replaced durably at each boundary: a step's intent stands
 * in it before the step acts, its evidence before the next one begins. Whoever opens it after a crash knows
 * which step of which order was cut off and does that step again; steps are idempotent. An order that was
 * answered is answered again from here, never carried out twice (I7).
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "model/order.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { LEDGER_STEPS_MAX = 16 };

typedef struct Ledger {
    Arena *arena;
    int dir;          /* <root>/.upkeep; borrowed */
    const char *file; /* its name there */

    const char *change;                                    /* NULL: nothing was ever done here */
    const char *old_version, *new_version;                 /* old NULL: first installation */
    const char *prepare_point, *final_point, *aside_point; /* ids of restore points, or NULL */
    const char *prepare_digest,
        *final_digest; /* of their heads: whoever can write the store is not believed */
    const char *store; /* folder of the restore points */
    bool staged;       /* the new release was installed by this change, so undoing removes it */
    bool was_running;  /* the service, before it was stopped for the switch */
    bool drained;      /* taking it out of traffic was intended, and it has not come back */
    bool admitted;     /* blue-green: putting it into traffic was intended */
    bool stopped;      /* the switch has begun: stopping was intended */
    bool activated;    /* moving `current` was intended */
    bool started;      /* starting the new version was intended: it may have written */
    bool switched, confirmed, committed, rolled_back;
    bool by_itself;           /* rolled back by its dead man's switch, not by order */
    int64_t confirm_by_ms;    /* wall clock; 0: not armed */
    int64_t confirm_given_ms; /* how long that was, when it was armed */

    Order order; /* the one under way, or answered last */
    bool order_open;
    json_t *steps;    /* of `order`: array of names done, in order */
    const char *step; /* the one intended now, or NULL */
    json_t *answers;  /* order id → {"done": true} or {"error", "error_zh", "kind"} */
    json_t *unheard;  /* events of steps that nobody listened to: of rolling back by itself */
} Ledger;

/* Missing: an empty one. `dir` must outlive it. */
int ledger_load(Arena *arena, int dir, Ledger *out, Error *error);
/* The last change that was accepted here is kept beside the one under way, so that it can still be rolled
 * back when that one has gone back by itself. Keep: before ledger_begin(). Load: `change` NULL when there is
 * none. */
int ledger_keep_accepted(const Ledger *ledger, Error *error);
int ledger_load_accepted(Arena *arena, int dir, Ledger *out, Error *error);
/* What was asked of it as a live host (blue-green): it is not upgraded, so that its own ledger, of the change
 * that brought the version it runs, stays as it is. `old_version`: that version. */
int ledger_load_live(Arena *arena, int dir, Ledger *out, Error *error);
/* Durable when it returns 0. On a full disk the room set aside (base/reserve.h) is given up once
 * the service was stopped, and to put things back. */
int ledger_save(const Ledger *ledger, Error *error);
/* Remove what saving left behind where it was cut off. For whoever holds the host's lock. */
int ledger_tidy(int dir, Error *error);
void ledger_free(Ledger *ledger);

/* Forget the last change, begin `change`. Not saved. */
void ledger_begin(Ledger *ledger, const char *change, const char *old_version, const char *new_version);

/* Begin the same change once more, after it was rolled back here: all but the answers given is forgotten, so
 * that no order is carried out twice. Not saved. */
void ledger_begin_again(Ledger *ledger, const char *old_version);

/* Take up `order`: a no-op when it is the one under way. Not saved. */
void ledger_take(Ledger *ledger, const Order *order);
/* The answer given to `id`, or NULL. Borrowed. */
const json_t *ledger_answer(const Ledger *ledger, const char *id);
/* Write the answer to the order under way and close it: done when `failure` is NULL. Not saved. */
void ledger_close(Ledger *ledger, const Error *failure);

/* Has any order of this change been done here? */
bool ledger_has_done(const Ledger *ledger);

bool ledger_step_done(const Ledger *ledger, const char *step);
void ledger_step_unmark(Ledger *ledger, const char *step); /* not saved */
void ledger_step_mark(Ledger *ledger, const char *step);   /* not saved */
