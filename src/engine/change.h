/* Change: opening one in the journal, finding those that are there. */
#pragma once
#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "journal/journal.h"
#include "model/rollout.h"

enum { CHANGE_ID_SIZE = 32 };

typedef struct ChangeOpening {
    const Plan *plan;
    const char *plan_file;
    const char *version;   /* of the package */
    const Digest *package; /* its digest */
    const char *by;        /* who */
    Clock *clock;
    int64_t first; /* its number is at least that: hosts may remember others that this journal has lost */
} ChangeOpening;

/* Write "change.opened" with the next free id, CHG-<year>-<number>. The caller holds the state folder's lock,
 * so that two never choose the same one. */
int change_open(Journal *journal, const ChangeOpening *opening, char id[static CHANGE_ID_SIZE], Error *error);

/* Everything the journal says of one change. ERROR_INVALID when there is none of that id. */
int change_load(Journal *journal, Arena *arena, const char *id, Rollout **out, Error *error);
/* That error, for whoever knows it without reading: -1. */
int change_unknown(const char *id, Error *error);

typedef struct ChangeSummary {
    const char *id, *service, *version, *title, *environment;
    const char *opened, *ended; /* RFC 3339; ended NULL: under way */
    const char *plan_digest;
    RolloutState state;
    RolloutOutcome outcome;
    size_t host_count;
    bool held;
} ChangeSummary;

typedef struct ChangeList {
    ChangeSummary *items; /* oldest first */
    size_t count;
} ChangeList;
int change_list(Journal *journal, Arena *arena, ChangeList *out, Error *error);
/* What the list says of one; the texts are the rollout's. */
ChangeSummary change_summarise(const Rollout *rollout);
/* Is it the event that a change begins with? */
bool change_is_opened_by(const json_t *event);

/* What every list of changes says of one, set in `row`: all but how it stands and how many hosts it has. */
void change_summary_describe(const ChangeSummary *summary, json_t *row);

/* The state folder's lock, until the descriptor in *out is closed; waits up to 10 s. */
int change_lock(const char *state, int *out, Error *error);
