/* PlanShow: a plan for people to read before it is carried out — each stage, each host, each step, and what
 * going back would lose.
 */
#pragma once
#include "base/arena.h"
#include "base/digest.h"
#include "cli/cli.h"
#include "model/plan.h"

typedef struct PlanShow {
    const Plan *plan; /* with all of its hosts */
    const char *version;
    const Digest *digest; /* of plan and package; NULL: not known */
    /* The version that stands in the root of `own`, the plan of one host; "": none. In the arena. */
    const char *(*current)(void *context, const Plan *own, Arena *arena);
    void *context;
} PlanShow;

/* On standard output; not for --json. */
void plan_show(const Cli *cli, Arena *arena, const PlanShow *show);
