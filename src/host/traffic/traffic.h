/* Traffic: taking a host out of its load balancer and putting it back — a seam with three drivers
 * (traffic_driver.h).
 *
 *   haproxy    its runtime API, one or several balancers
 *   nginx      the server's line in an upstream file, then a reload
 *   commands   the user's own
 *
 *         drain: nothing new comes        no connections are left, or drain_timeout has passed
 *   IN ───────────────────▶ DRAINING ──────────────────────────────────────▶ OUT
 *    ▲                                                                         │
 *    └───────────── readmit: until the balancer itself says it serves ─────────┘
 *
 * All operations are idempotent and safe to repeat after a kill -9 of the caller at any instruction. Every
 * wait is bounded: by drain_timeout, or by a limit of the driver on each exchange. Callers hold the host's
 * lock. One thread a host.
 */
#pragma once
#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "model/plan.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct TrafficContext {
    const PlanTraffic *traffic;
    const char *host, *service; /* names, for errors and commands */
    const char *root;           /* of the host, absolute; working directory of commands */
    int percent; /* of its normal weight, that it gets when it is put back; 0: the weight is left alone */
    bool last;   /* it may be taken out even where nobody else serves */
    Clock *clock;
    const atomic_bool *cancel; /* may be NULL */
} TrafficContext;

enum { TRAFFIC_UNKNOWN = -1 };

typedef struct TrafficEnd {
    const char *unit; /* what is counted: "connections", or "workers" that still finish theirs (nginx) */
    int64_t before;   /* when it began, or TRAFFIC_UNKNOWN */
    int64_t left;     /* still there when drain_timeout had passed: cut by what follows; or TRAFFIC_UNKNOWN */
    bool timed_out;
    int64_t duration_ms;
} TrafficEnd;

typedef enum TrafficAction { TRAFFIC_DRAIN, TRAFFIC_READMIT, TRAFFIC_WEIGHT } TrafficAction;

/* Would it go? Every balancer answers and knows the host, its weight can be set to `percent`, and somebody
 * else serves while it is out (but for `last`): ERROR_REFUSED when nobody does. Changes nothing. */
int traffic_check(const TrafficContext *context, Error *error);
/* Is it out of traffic already? ERROR_REFUSED when it gets requests. The user's own commands cannot tell:
 * they are believed. Changes nothing. */
int traffic_check_out(const TrafficContext *context, Error *error);
/* Checks as traffic_check does, then nothing new comes to the host. Connections that do not end within
 * drain_timeout are no error: `out` (may be NULL) says how many. */
int traffic_drain(const TrafficContext *context, TrafficEnd *out, Error *error);
/* Back, with its weight; returns 0 once it gets traffic, as far as the balancer can tell. */
int traffic_readmit(const TrafficContext *context, Error *error);
/* `percent` (1–100) of its normal weight from now on. */
int traffic_weight(const TrafficContext *context, int percent, Error *error);

/* What will be done, as a line to read: for show and reports. In the arena. */
const char *traffic_describe(const TrafficContext *context, TrafficAction action, Arena *arena);
