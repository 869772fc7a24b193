/* HostLink to hosts that are only imagined: they take their time by a false clock and do as they are told.
 *
 * Each host has its outcome: whether, and when, the new version is bad on it. Steps take what the spec says,
 * 20 % more or less by the seed; the same spec gives the same reports. receive() moves the false clock to
 * when the next thing happens instead of waiting for it, so that hours pass in milliseconds. It lets more
 * time pass than it was asked to wait where nothing can happen meanwhile, and never leaps over the end of a
 * soak.
 *
 * A good host reports its health when it has become healthy, once after each soak of its has begun, and else
 * seldom: just often enough for its silence to be no fault. A host on which the new version is bad reports so
 * as soon as its probes have failed `fail_after` times in a row. The reports are those of hosts without a
 * guard: an engine that works confirms in time.
 */
#pragma once
#include "base/clock.h"
#include "engine/host_link.h"
#include "model/rollout.h"

#define IMAGINED_NEVER INT64_C(-1)

typedef struct ImaginedOutcome {
    bool prepare_fails;
    bool rollback_fails;
    int64_t bad_after_ms; /* since it was healthy on the new version; 0: it never is; IMAGINED_NEVER: good */
} ImaginedOutcome;

typedef struct HostLinkImaginedSpec {
    const Rollout *rollout;          /* the engine's own: who soaks is seen in it */
    ClockFalse *clock;               /* moved by receive() */
    const ImaginedOutcome *outcomes; /* one a host of the plan */
    uint64_t seed;
    int64_t prepare_ms, switch_ms; /* about; a rollback takes as long as a switch. Without the probing */
    int64_t grain_ms;              /* the clock is moved to multiples of it; events keep their exact time */
} HostLinkImaginedSpec;

/* What the spec points to must outlive the link. Never fails. */
HostLink *host_link_imagined_open(const HostLinkImaginedSpec *spec);

/* By the plan's probes: how long a good version needs to become healthy, how long a bad one is waited for,
 * and how long a version that has become bad goes unnoticed. */
int64_t host_link_imagined_healthy_ms(const Plan *plan);
int64_t host_link_imagined_deadline_ms(const Plan *plan);
int64_t host_link_imagined_notice_ms(const Plan *plan);
