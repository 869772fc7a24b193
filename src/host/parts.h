/* Parts: what of a host belongs to its restore points — the old release with its record, configuration, data.
 */
#pragma once
#include "base/arena.h"
#include "host/restore_point/restore_point.h"
#include "model/plan.h"

enum { PARTS_MAX = 3 };

/* Fill `parts` and return how many there are. `version`: of the installed release; NULL: leave the release
 * out. */
size_t parts_of_service(Arena *arena, const PlanService *service, const char *version,
                        RestorePointPart parts[static PARTS_MAX]);
