/* PlanRemote: check, show and run, where a controller carries the plan out. The plan's text is sent and
 * compiled there, against its inventory; a package whose file is here is published first where that is
 * needed. Each gives back the exit status.
 */
#pragma once
#include "base/arena.h"
#include "cli/cli.h"
#include "model/plan.h"

int plan_remote_check(Cli *cli, const char *file);
int plan_remote_show(Cli *cli, const char *file);
int plan_remote_run(Cli *cli, const Arguments *arguments);

/* The plan as the controller compiles it, with all of its hosts; its package need not be anywhere. */
int plan_remote_compile(Cli *cli, Arena *arena, const char *file, Plan **out, Error *error);
