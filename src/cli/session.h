/* Session: what verbs open before they work — the journal of the state folder, a plan with its package, who
 * we are. */
#pragma once
#include "base/arena.h"
#include "cli/cli.h"
#include "engine/change.h"
#include "journal/journal.h"
#include "model/plan.h"
#include "package/package.h"

/* Made with its folder when missing. Caller closes. */
int session_journal(const Cli *cli, Journal **out, Error *error);
/* The same, but where there is none yet that is ERROR_INVALID: for verbs that only read. */
int session_journal_existing(const Cli *cli, Journal **out, Error *error);

/* All changes: of the journal, or (with --server) as the controller lists them. In the arena. */
int session_changes(const Cli *cli, Journal *journal, Arena *arena, ChangeList *out, Error *error);

/* The text of a plan, appended to `out`. */
int session_plan_text(const char *file, Buffer *out, Error *error);
/* Read the plan, and leave open which hosts it selects (model/plan.h). */
int session_plan_open(Arena *arena, const char *file, Plan **out, Error *error);
/* Read and compile the plan alone: its package need not be there. */
int session_plan_only(Arena *arena, const char *file, Plan **out, Error *error);

typedef struct SessionPlan {
    const char *file; /* as given */
    Plan *plan;
    Package *package; /* open and verified; caller closes */
    const char *version;
    Digest digest; /* of plan and package */
} SessionPlan;
/* Read and compile the plan, open its package and verify its signatures: nothing else has been touched. */
int session_plan(Arena *arena, const char *file, SessionPlan *out, Error *error);

/* "alice@host": the person behind sudo where that is known. In the arena. */
const char *session_who(Arena *arena);
