/* HostLink to hosts on this machine: a thread each, which carries out its orders and watches between them.
 *
 * Opening takes every host's lock, so two upgrades of one service never meet; ERROR_REFUSED names the host
 * and the holder. Closing while orders are open waits for them; a process that wants to leave at once just
 * exits: hosts go on from their ledgers. Preparing is disk-bound, so only as many hosts prepare at once as
 * there are processors.
 */
#pragma once
#include "base/clock.h"
#include "engine/host_link.h"
#include "model/rollout.h"

typedef struct HostLinkLocalSpec {
    const Rollout *rollout;
    const char *state; /* folder of the journal; restore points live in it unless the plan says otherwise */
    Clock *clock;
    const char *guard; /* program that keeps guard when it is run as "PROGRAM guard ROOT"; NULL: no guards */
} HostLinkLocalSpec;

int host_link_local_open(const HostLinkLocalSpec *spec, HostLink **out, Error *error);
