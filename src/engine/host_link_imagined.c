#include "engine/host_link_imagined.h"
#include "base/arena.h"
#include "base/json.h"
#include <stdlib.h>
#include <string.h>

enum {
    QUICK_MS = 100,      /* what is only noted down: confirm, commit, giving up what was prepared */
    CANCEL_MS = 1000,    /* until a host has heeded a cancellation */
    REPORT_MS = 2000,    /* a real host that is watched reports as often */
    LEAP_MS = 60 * 1000, /* deadlines of orders are looked at as often */
    SPREAD_PERCENT = 20,
};

typedef enum Happening {
    HAPPENS_PROBE,  /* the service was started: its probing begins */
    HAPPENS_ANSWER, /* an order has come to its end */
    HAPPENS_SICK,   /* the new version was found to be bad */
    HAPPENS_SOAK,   /* those that soak report */
    HAPPENS_ALIVE,  /* all that are watched report */
} Happening;

typedef struct Due {
    int64_t at_ms;
    uint64_t number; /* what is due at the same time happens in the order in which it was planned */
    Happening happening;
    size_t host; /* PROBE, ANSWER, SICK */
    int turn;    /* the host's when it was planned: another one since then has made it void */
} Due;

typedef struct ImaginedHost {
    Order order; /* the last one */
    bool order_open, cancelled;
    int turn;                     /* grows with each order */
    bool on_new, confirmed, sick; /* on_new: and healthy once */
    int64_t healthy_ms;           /* since when */
} ImaginedHost;

typedef struct Imagined {
    HostLink link;
    HostLinkImaginedSpec spec;
    const Plan *plan;
    ImaginedHost *hosts;
    size_t host_count;
    Due *heap; /* the earliest first */
    size_t due_count, due_capacity;
    uint64_t due_number;
    /* a sweep under way: every watched host reports, one at a time */
    bool sweeping, sweep_all;
    size_t sweep_next;
    int64_t sweep_ms;
    int64_t soak_from_ms; /* the soak that was last planned for */
    bool alive_planned;
} Imagined;

/* ---- what the plan's probes mean in time */

int64_t host_link_imagined_healthy_ms(const Plan *plan) {
    int64_t longest_ms = 0;
    for (size_t i = 0; i < plan->health.count; i++) {
        int64_t ms = plan->health.items[i].healthy_after * plan->health.items[i].every_ms;
        if (ms > longest_ms) longest_ms = ms;
    }
    return longest_ms;
}

int64_t host_link_imagined_deadline_ms(const Plan *plan) {
    int64_t shortest_ms = INT64_MAX;
    for (size_t i = 0; i < plan->health.count; i++)
        if (plan->health.items[i].deadline_ms < shortest_ms) shortest_ms = plan->health.items[i].deadline_ms;
    return shortest_ms;
}

int64_t host_link_imagined_notice_ms(const Plan *plan) {
    int64_t shortest_ms = INT64_MAX;
    for (size_t i = 0; i < plan->health.count; i++) {
        int64_t ms = plan->health.items[i].fail_after * plan->health.items[i].every_ms;
        if (ms < shortest_ms) shortest_ms = ms;
    }
    return shortest_ms;
}

/* Just often enough for silence to be no fault. */
static int64_t alive_ms(const Imagined *self) { return rollout_silence_limit_ms(self->plan) * 4 / 5; }

/* ---- what is due */

static bool is_before(const Due *a, const Due *b) {
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->number < b->number;
}

static void plan_due(Imagined *self, Due due) {
    if (self->due_count == self->due_capacity) {
        self->due_capacity = self->due_capacity ? self->due_capacity * 2 : 64;
        self->heap = realloc(self->heap, self->due_capacity * sizeof *self->heap);
        if (!self->heap) abort();
    }
    due.number = self->due_number++;
    size_t at = self->due_count++;
    for (; at > 0 && is_before(&due, &self->heap[(at - 1) / 2]); at = (at - 1) / 2)
        self->heap[at] = self->heap[(at - 1) / 2];
    self->heap[at] = due;
}

static void plan_for(Imagined *self, size_t host, Happening happening, int64_t at_ms) {
    plan_due(self,
             (Due){.at_ms = at_ms, .happening = happening, .host = host, .turn = self->hosts[host].turn});
}

static Due take_due(Imagined *self) {
    Due first = self->heap[0], last = self->heap[--self->due_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= self->due_count) break;
        if (child + 1 < self->due_count && is_before(&self->heap[child + 1], &self->heap[child])) child++;
        if (!is_before(&self->heap[child], &last)) break;
        self->heap[at] = self->heap[child];
        at = child;
    }
    if (self->due_count) self->heap[at] = last;
    return first;
}

/* ---- chance: the same for the same seed, host and turn, whatever happens around them */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t z) {
    z += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static int64_t about_ms(const Imagined *self, size_t host, int64_t ms) {
    uint64_t chance = mix(mix(self->spec.seed) ^ mix(host * 8 + (uint64_t)self->hosts[host].order.kind));
    int64_t spread = ms * SPREAD_PERCENT / 100;
    return spread ? ms - spread + (int64_t)(chance % (uint64_t)(2 * spread + 1)) : ms;
}

/* ---- orders */

static bool never_healthy(const Imagined *self, size_t host) {
    return self->spec.outcomes[host].bad_after_ms == 0;
}

static void begin_switch(Imagined *self, size_t index, int64_t now_ms) {
    int64_t started_ms = now_ms + about_ms(self, index, self->spec.switch_ms);
    int64_t probed_ms = never_healthy(self, index) ? host_link_imagined_deadline_ms(self->plan)
                                                   : host_link_imagined_healthy_ms(self->plan);
    plan_for(self, index, HAPPENS_PROBE, started_ms);
    plan_for(self, index, HAPPENS_ANSWER, started_ms + probed_ms);
}

static int64_t rollback_ms(const Imagined *self, size_t index) {
    if (!self->spec.rollout->hosts[index].switched) return QUICK_MS;
    return about_ms(self, index, self->spec.switch_ms) + host_link_imagined_healthy_ms(self->plan);
}

static int imagined_submit(HostLink *link, const char *name, const Order *order, Error *error) {
    Imagined *self = (Imagined *)link;
    const RolloutHost *known = rollout_host(self->spec.rollout, name);
    if (!known) return error_set(error, ERROR_INVALID, "there is no host %s in the plan", name);
    size_t index = (size_t)(known - self->spec.rollout->hosts);
    ImaginedHost *host = &self->hosts[index];
    int64_t now_ms = self->spec.clock->now_ms;
    host->order = *order;
    host->order_open = true;
    host->cancelled = false;
    host->turn++;
    switch (order->kind) {
    case ORDER_PREPARE:
        plan_for(self, index, HAPPENS_ANSWER, now_ms + about_ms(self, index, self->spec.prepare_ms));
        break;
    case ORDER_SWITCH: begin_switch(self, index, now_ms); break;
    case ORDER_ROLLBACK:
        plan_for(self, index, HAPPENS_ANSWER, now_ms + rollback_ms(self, index));
        host->on_new = false;
        break;
    case ORDER_CONFIRM:
    case ORDER_COMMIT:
        plan_for(self, index, HAPPENS_ANSWER, now_ms + QUICK_MS);
        /* What was to happen to the version does so all the same. */
        if (host->on_new && !host->sick && self->spec.outcomes[index].bad_after_ms > 0)
            plan_for(self, index, HAPPENS_SICK,
                     host->healthy_ms + self->spec.outcomes[index].bad_after_ms +
                         host_link_imagined_notice_ms(self->plan));
        break;
    }
    return 0;
}

static void imagined_cancel(HostLink *link, const char *name) {
    Imagined *self = (Imagined *)link;
    const RolloutHost *known = rollout_host(self->spec.rollout, name);
    if (!known) return;
    size_t index = (size_t)(known - self->spec.rollout->hosts);
    ImaginedHost *host = &self->hosts[index];
    if (!host->order_open || host->cancelled) return;
    host->cancelled = true;
    host->turn++;
    plan_for(self, index, HAPPENS_ANSWER, self->spec.clock->now_ms + CANCEL_MS);
}

/* ---- reports */

static json_t *event_at(const char *type, int64_t at_ms) {
    char time[CLOCK_TEXT_SIZE];
    clock_to_text(at_ms, time);
    json_t *event = json_object();
    json_set_text(event, "type", type);
    json_set_text(event, "time", time);
    return event;
}

static void say_error(json_t *event, const Error *failure) {
    json_set_text(event, "error", failure->en);
    json_set_text(event, "error_zh", failure->zh);
}

static json_t *health_at(const ImaginedHost *host, int64_t at_ms) {
    json_t *event = event_at("host.health", at_ms);
    json_set_text(event, "verdict", verdict_text(host->sick ? VERDICT_FAIL : VERDICT_PASS));
    if (!host->sick) return event;
    Error failure = {0};
    error_set(&failure, ERROR_FAILED, "imagined: the new version has become bad");
    say_error(event, &failure);
    return event;
}

static bool does_fail(const Imagined *self, size_t index, Error *why) {
    const ImaginedHost *host = &self->hosts[index];
    const ImaginedOutcome *outcome = &self->spec.outcomes[index];
    if (host->cancelled)
        error_set(why, ERROR_INTERRUPTED, "cancelled");
    else if (host->order.kind == ORDER_PREPARE && outcome->prepare_fails)
        error_set(why, ERROR_REFUSED, "imagined: this host cannot be prepared");
    else if (host->order.kind == ORDER_SWITCH && never_healthy(self, index))
        error_set(why, ERROR_FAILED, "imagined: the new version does not become healthy");
    else if (host->order.kind == ORDER_ROLLBACK && outcome->rollback_fails)
        error_set(why, ERROR_ATTENTION, "imagined: this host cannot be rolled back");
    else
        return false;
    return true;
}

static json_t *answer(Imagined *self, size_t index, int64_t at_ms) {
    ImaginedHost *host = &self->hosts[index];
    Error failure = {0};
    bool failed = does_fail(self, index, &failure);
    json_t *event = event_at(failed ? "order.failed" : "order.done", at_ms);
    json_set_text(event, "order", order_kind_text(host->order.kind));
    json_set_text(event, "order_id", host->order.id);
    if (failed) say_error(event, &failure);
    host->order_open = false;
    if (failed || host->order.kind != ORDER_SWITCH) return event;
    host->on_new = true;
    host->sick = false;
    host->healthy_ms = at_ms;
    int64_t bad_after_ms = self->spec.outcomes[index].bad_after_ms;
    if (bad_after_ms > 0)
        plan_for(self, index, HAPPENS_SICK, at_ms + bad_after_ms + host_link_imagined_notice_ms(self->plan));
    if (!self->alive_planned) {
        self->alive_planned = true;
        plan_due(self, (Due){.at_ms = at_ms + alive_ms(self), .happening = HAPPENS_ALIVE});
    }
    return event;
}

static bool is_watched(const ImaginedHost *host) { return host->on_new && !host->order_open; }

/* The next report of the sweep; false when it has come to its end. */
static bool sweep(Imagined *self, HostReport *out) {
    for (; self->sweep_next < self->host_count; self->sweep_next++) {
        const RolloutHost *known = &self->spec.rollout->hosts[self->sweep_next];
        const ImaginedHost *host = &self->hosts[self->sweep_next];
        if (!is_watched(host) || (!self->sweep_all && known->state != HOST_HEALTHY)) continue;
        *out = (HostReport){.host = known->name, .event = health_at(host, self->sweep_ms)};
        self->sweep_next++;
        return true;
    }
    self->sweeping = false;
    return false;
}

static void begin_sweep(Imagined *self, const Due *due) {
    self->sweeping = true;
    self->sweep_all = due->happening == HAPPENS_ALIVE;
    self->sweep_next = 0;
    self->sweep_ms = due->at_ms;
    if (self->sweep_all)
        plan_due(self, (Due){.at_ms = due->at_ms + alive_ms(self), .happening = HAPPENS_ALIVE});
}

/* What has happened; false when nothing is to be reported of it. */
static bool happen(Imagined *self, const Due *due, HostReport *out) {
    if (due->happening == HAPPENS_SOAK || due->happening == HAPPENS_ALIVE) {
        begin_sweep(self, due);
        return sweep(self, out);
    }
    ImaginedHost *host = &self->hosts[due->host];
    if (due->turn != host->turn) return false;
    *out = (HostReport){.host = self->spec.rollout->hosts[due->host].name};
    if (due->happening == HAPPENS_PROBE) {
        out->event = event_at("step.started", due->at_ms);
        json_set_text(out->event, "order_id", host->order.id);
        json_set_text(out->event, "step", "probe");
    } else if (due->happening == HAPPENS_ANSWER) {
        out->event = answer(self, due->host, due->at_ms);
    } else {
        host->sick = true;
        out->event = health_at(host, due->at_ms);
    }
    return true;
}

/* ---- time */

/* The rollout says when a soak has begun; its hosts report soon after that, and before it ends. */
static int64_t soak_end_ms(Imagined *self) {
    const Rollout *rollout = self->spec.rollout;
    for (size_t i = 0; i < rollout->stage_count; i++) {
        const RolloutStage *stage = &rollout->stages[i];
        if (stage->state != STAGE_SOAKING) continue;
        if (self->soak_from_ms != stage->soak_from_ms) {
            self->soak_from_ms = stage->soak_from_ms;
            int64_t soak_ms = stage->soak_until_ms - stage->soak_from_ms;
            int64_t after_ms = soak_ms < REPORT_MS ? soak_ms : REPORT_MS;
            plan_due(self, (Due){.at_ms = stage->soak_from_ms + (after_ms > 0 ? after_ms : 1),
                                 .happening = HAPPENS_SOAK});
        }
        if (stage->soak_until_ms > self->spec.clock->now_ms) return stage->soak_until_ms;
    }
    return INT64_MAX;
}

static void leap(Imagined *self, int64_t soak_end) {
    int64_t grain_ms = self->spec.grain_ms, to_ms = self->spec.clock->now_ms + LEAP_MS;
    if (soak_end < to_ms) to_ms = soak_end;
    if (self->due_count && self->heap[0].at_ms < to_ms) to_ms = self->heap[0].at_ms;
    self->spec.clock->now_ms = (to_ms + grain_ms - 1) / grain_ms * grain_ms;
}

static bool report_due(Imagined *self, HostReport *out) {
    if (self->sweeping && sweep(self, out)) return true;
    while (self->due_count && self->heap[0].at_ms <= self->spec.clock->now_ms) {
        Due due = take_due(self);
        if (happen(self, &due, out)) return true;
    }
    return false;
}

static int imagined_receive(HostLink *link, int64_t timeout_ms, HostReport *out) {
    Imagined *self = (Imagined *)link;
    int64_t soak_end = soak_end_ms(self);
    if (report_due(self, out)) return 1;
    if (timeout_ms == 0) return 0;
    leap(self, soak_end);
    return report_due(self, out);
}

static void imagined_close(HostLink *link) {
    Imagined *self = (Imagined *)link;
    free(self->heap);
    free(self->hosts);
    free(self);
}

HostLink *host_link_imagined_open(const HostLinkImaginedSpec *spec) {
    Imagined *self = calloc(1, sizeof *self);
    if (!self) abort();
    self->link = (HostLink){imagined_submit, imagined_cancel, NULL, imagined_receive, NULL, imagined_close};
    self->spec = *spec;
    self->plan = spec->rollout->plan;
    self->host_count = spec->rollout->host_count;
    self->hosts = calloc(self->host_count, sizeof *self->hosts);
    if (!self->hosts) abort();
    self->soak_from_ms = -1;
    if (self->spec.grain_ms < 1) self->spec.grain_ms = 1;
    return &self->link;
}
