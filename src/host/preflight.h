/* Preflight: is this host fit for this upgrade? Every check of the plan, what the package asks for, room for
 * what will be written, and the installed release still being what was installed. Changes nothing; the root
 * need not exist.
 */
#pragma once
#include "base/clock.h"
#include "base/error.h"
#include "host/check/observation.h"
#include "model/plan.h"
#include "package/package.h"
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Room on this machine's file systems that hosts looked at before will need: hosts may share one. */
typedef struct PreflightTaken {
    struct {
        uint64_t device, bytes, inodes;
    } disks[16]; /* more than that are looked at one by one */
    size_t count;
} PreflightTaken;

typedef struct PreflightSpec {
    const Plan *plan; /* of this host */
    const Package *package;
    const char *store; /* folder of the restore points, absolute */
    Clock *clock;
    const atomic_bool *cancel; /* may be NULL */
    PreflightTaken *taken;     /* what this host needs is added; NULL: each host is looked at for itself */
} PreflightSpec;

/* Each result as it is known; `name` says what was looked at: a check's name, or "package os", "space",
 * "drift" … The detail of a pass says what was found, if there is anything to say. */
typedef void (*PreflightResult)(void *context, const char *name, const Observation *result);

/* How many did not pass (inconclusive is not a pass). -1 only where the host could not be looked at at all.
 */
int preflight_run(const PreflightSpec *spec, PreflightResult on_result, void *context, size_t *refusals,
                  Error *error);
