/* HostLink: the seam between the engine and its hosts. Orders go out, events come back.
 *
 * Orders are delivered at least once: the engine sends those that are open again after a restart, and the
 * host's ledger sees to it that each is carried out once. Reports of one host arrive in the order they
 * happened. Drivers: host_link_local (threads of this process), host_link_remote (hosts that come and ask).
 */
#pragma once
#include "base/error.h"
#include "model/order.h"
#include <jansson.h>
#include <stdint.h>

typedef struct HostReport {
    const char *host; /* its name in the plan */
    json_t *event;    /* evidence to be journaled, or NULL. The receiver's */
    /* without an event: how far a step has come */
    const char *step; /* static */
    uint64_t done, total;
} HostReport;

typedef struct HostLink HostLink;
struct HostLink {
    /* Take `order` for `host`. An error means that it could not even be taken. */
    int (*submit)(HostLink *link, const char *host, const Order *order, Error *error);
    /* Ask it to end what it is doing early; its answer still comes. */
    void (*cancel)(HostLink *link, const char *host);
    /* The order it was given last is closed without its answer: it must not begin with that any more. NULL:
     * whoever was given an order has it. */
    void (*withdraw)(HostLink *link, const char *host);
    /* Wait up to `timeout_ms` for the next report: 1, or 0 when none came. */
    int (*receive)(HostLink *link, int64_t timeout_ms, HostReport *out);
    /* The report with that number (field "report" of its event) stands in the journal now. NULL: nobody
     * counts. */
    void (*heard)(HostLink *link, const char *host, int64_t number);
    void (*close)(HostLink *link);
};
