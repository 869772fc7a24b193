/* Watch: the probes of one host over time — is it healthy yet, is it still?
 *
 *   starting ──every row: healthy_after passes in a row, and the version is right──> healthy
 *      │  a row's deadline passes                     │  a row: fail_after failures in a row
 *      v                                              v
 *   failed                                           sick
 *
 * A service that died is started again, and its death counts as a failure of every row; fail_after deaths end
 * the watch whatever the probes say in between. Nothing seen is never a pass (I11): inconclusive looks count
 * as failures. Times are the steady clock's.
 */
#pragma once
#include "base/clock.h"
#include "base/error.h"
#include "host/service/service.h"
#include "model/plan.h"
#include "model/verdict.h"
#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

typedef struct WatchSpec {
    const Plan *plan;    /* of this host: its health, service.version and service */
    const char *version; /* that the running service must say; NULL: any */
    bool restart;        /* start it again when it died */
    Clock *clock;
    const atomic_bool *cancel;
} WatchSpec;

typedef struct Watch Watch;
Watch *watch_new(const WatchSpec *spec); /* `spec` and what it points to must outlive it */
void watch_free(Watch *watch);           /* NULL is allowed */
static inline void watch_cleanup(Watch **watch) { watch_free(*watch); }
#define WATCH_AUTO __attribute__((cleanup(watch_cleanup))) Watch *

/* Wait until healthy or failed: 0 healthy; ERROR_FAILED says which row, why, and for how long it was tried;
 * ERROR_INTERRUPTED when cancelled. `tick` (may be NULL) is called between looks with the share of the way, 0
 * to 100. */
int watch_until_healthy(Watch *watch, void (*tick)(void *context, int percent), void *context, Error *error);

/* Take for healthy already: the counting of failures begins. */
void watch_begin(Watch *watch);
/* Look at what is due now. How long until the next look is due, in milliseconds. */
int64_t watch_look(Watch *watch);
/* What was seen since the last summary: {"verdict", "passes", "failures", "latency_ms": {"min", "median",
 * "max"}, "deaths", "error", "error_zh"}; inconclusive when nothing was. New reference. */
json_t *watch_summary(Watch *watch);
Verdict watch_verdict(const Watch *watch);
