/* HostLink to hosts on this machine: a thread each, which carries out its orders and watches between them.
 *
 * A link may stand alone: nobody decides at the other end when a host has to go back, so its thread does,
 * once nobody has confirmed it by its deadline ("host.rolled_back"). A link of an engine leaves that to the
 * engine.
 *
 * Opening takes every host's lock, so two upgrades of one service never meet; ERROR_REFUSED names the host
 * and the holder. Closing while orders are open waits for them; a process that wants to leave at once just
 * exits: hosts go on from their ledgers. Preparing is disk-bound, so only as many hosts prepare at once as
 * there are processors.
 */
#pragma once
#include "base/arena.h"
#include "base/clock.h"
#include "engine/host_link.h"
#include "host/host.h"
#include "model/rollout.h"

typedef struct HostLinkLocalHost {
    const char *name;
    const Plan *plan;  /* of this host (plan_for_host) */
    const char *store; /* folder of its restore points, absolute */
    bool begun;        /* it has answered orders of this change before */
    bool settled;      /* and how it ended is known: see HostSpec */
    HostFetch fetch;   /* of its package, where that is not there */
} HostLinkLocalHost;

/* All of it must outlive the link. */
typedef struct HostLinkLocalSpec {
    const char *change, *version, *package_digest;
    const HostLinkLocalHost *hosts;
    size_t host_count;
    Clock *clock;
    const char *guard; /* program that keeps guard when it is run as "PROGRAM guard ROOT"; NULL: no guards */
    bool alone;
} HostLinkLocalSpec;

/* The spec of all hosts of a rollout, in the arena. `state`: folder of the journal; restore points live in it
 * unless the plan says otherwise. Clock and guard are the caller's to fill in. */
int host_link_local_spec(Arena *arena, const Rollout *rollout, const char *state, HostLinkLocalSpec *out,
                         Error *error);

int host_link_local_open(const HostLinkLocalSpec *spec, HostLink **out, Error *error);

/* Every host has come to its end here (committed or rolled back), nothing is under way, and every report was
 * received. */
bool host_link_local_is_settled(HostLink *link);
