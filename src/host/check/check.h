/* Check: the preflight checks of a plan — is this host fit for the upgrade?
 *
 * Each kind is a row of a table in check.c. A check changes nothing on the host and is bounded in time. Where
 * a host cannot be asked (no /proc, no synchronised clock) the verdict is inconclusive, and preflight refuses
 * as it does for a failure.
 *
 *   cpu        processors this process may use: affinity and cgroup quota (rounded down, at least one)
 *   memory     available: MemAvailable, or what the cgroup still allows if that is less; percent is of the
 * total disk       free bytes and inodes for unprivileged users where `path` is, or will be: its nearest
 * existing parent os         ID and VERSION_ID of os-release kernel     the release of uname, compared as a
 * version command    exit status 0 and, where asked, a version in range tcp http   as the probes of the same
 * names tls        a handshake that verifies chain and name, and every certificate of the chain valid long
 * enough port_free  nothing listens there, on any address — but for the service being upgraded itself clock
 * the kernel says that the clock is synchronised (adjtimex) and its greatest possible error (maxerror) is
 * below `skew`. Needs no network. Unsynchronised: inconclusive.
 */
#pragma once
#include "base/clock.h"
#include "host/check/observation.h"
#include "model/plan.h"
#include <stdatomic.h>
#include <sys/types.h>

typedef struct CheckContext {
    const char *root;          /* of the host, absolute; relative paths of checks start here */
    const char *user;          /* commands run as; NULL: as we are */
    pid_t service_pid;         /* of the service as it runs now: it, its session and its descendants may hold
                                * the port of port_free; 0: none */
    Clock *clock;              /* NULL: clock_system() */
    const atomic_bool *cancel; /* may be NULL */
} CheckContext;

/* Never fails; `out` is always filled. The detail is complete: "memory: 312 MiB free, 512 MiB needed" — it
 * begins with the check's name. */
void check_run(const PlanCheck *check, const CheckContext *context, Observation *out);

/* "memory", "tls" …: the key of the one check that is set. */
const char *check_kind(const PlanCheck *check);
