/* HostLinkRemote: hosts that come and ask — a box for each, with the order that waits for it and the reports
 * it brings.
 *
 *   engine ── submit ──▶ box ── poll ───▶ the host's agent     as often as it asks, until its answer is here
 *                                                              or the order is withdrawn
 *   engine ◀── receive ── box ◀── report ── the host's agent     each report once, in order
 *
 * Reports carry numbers, counted by the host for this change from 1. Those that were heard before are
 * dropped; one that leaves a gap is refused, and the host sends from the missing one on. An event's `time` is
 * when it was heard: everything is decided by one clock, and what the host's own said stands in `host_time`;
 * how long it had waited on the host, by the host's steady clock, stands in `age_ms`. A report that is none
 * of a host's business (of an order it was not given, of a type that only the engine writes) is evidence too:
 * "host.report_refused", and the numbers go on.
 *
 * A host that has an order and neither polls nor reports for `lost_after_ms` is evidence as well:
 * "host.silent", once until it comes again. Time in which there was no link is nobody's silence.
 *
 * A host that tells far more than hosts do, for longer than any was ever cut off, is made to wait: its
 * reports are refused, EDQUOT in error->number, until there is room again, and "host.throttled" says so once.
 *
 * Any thread may poll and report while one thread is the engine. The box remembers nothing across restarts:
 * the journal does (RolloutHost.order, report_number).
 */
#pragma once
#include "base/clock.h"
#include "engine/host_link.h"
#include "model/rollout.h"

typedef struct HostLinkRemoteSpec {
    const Rollout *rollout; /* whose hosts they are, and what was heard of them; only read while opening */
    Clock *clock;
    int64_t lost_after_ms; /* see "host.silent" above; 0: it is never said */
    /* Something new waits for `host`: end its parked poll. Called in the engine's thread; may be NULL. */
    void (*wake)(void *context, const char *host);
    /* Its reports up to `number` stand in the journal now. In the engine's thread; may be NULL. */
    void (*heard)(void *context, const char *host, int64_t number);
    void *context;
} HostLinkRemoteSpec;

int host_link_remote_open(const HostLinkRemoteSpec *spec, HostLink **out, Error *error);

/* What waits for the host: {"order": {"id", "kind", "restore_data"}, "cancel": bool}; NULL when nothing does.
 * A new reference. */
json_t *host_link_remote_poll(HostLink *link, const char *host);

/* Take [{"number", "event", "age_ms"?}, …]; *heard is the number of the last report that need not come again:
 * it stands in the journal. Those taken a moment ago may not stand there yet; they come again, and are
 * dropped then. ERROR_REFUSED for a gap or a message that is none; what stood before it was taken.
 * ERROR_INVALID for a host that is not of this plan. */
int host_link_remote_report(HostLink *link, const char *host, const json_t *reports, int64_t *heard,
                            Error *error);
