/* The decision: what must be written next. Pure. */
#include "base/cleanup.h"
#include "base/json.h"
#include "model/rollout.h"
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };

/* An order without an answer for this long: its host is lost. Every step inside has a shorter limit of its
 * own. */
static const int64_t order_limit_ms[ORDER_KINDS] = {
    [ORDER_PREPARE] = 24 * HOUR_MS, [ORDER_SWITCH] = 4 * HOUR_MS,   [ORDER_CONFIRM] = 10 * MINUTE_MS,
    [ORDER_COMMIT] = 2 * HOUR_MS,   [ORDER_ROLLBACK] = 4 * HOUR_MS, [ORDER_ADMIT] = 2 * HOUR_MS,
    [ORDER_RETIRE] = 2 * HOUR_MS,
};

/* Where orders are open, so often at least the journal shows that an engine listens; and so long it does
 * before it calls a host lost: who was waiting for an engine needs a while to find it. */
enum { LISTENING_MS = 10 * MINUTE_MS, FINDING_MS = 5 * MINUTE_MS };

/* Preparing ends soon after it was asked to: whoever has not answered by then should not keep a change from
 * its end for as long as a whole backup may take. */
static const int64_t prepare_cancelled_limit_ms = HOUR_MS;

typedef struct Decision {
    const Rollout *rollout;
    int64_t now_ms;
    json_t *events;
} Decision;

static json_t *decided(Decision *decision, const char *type) {
    json_t *event = rollout_event(decision->rollout, type, decision->now_ms);
    json_array_append_new(decision->events, event);
    return event; /* borrowed */
}

static json_t *decided_host(Decision *decision, const char *type, const RolloutHost *host) {
    json_t *event = decided(decision, type);
    json_set_text(event, "host", host->name);
    return event;
}

static json_t *decided_stage(Decision *decision, const char *type, size_t stage) {
    json_t *event = decided(decision, type);
    json_set_text(event, "stage", decision->rollout->plan->rollout.stages.items[stage].name);
    return event;
}

static json_t *give(Decision *decision, const RolloutHost *host, OrderKind kind) {
    assert(!host->order_open);
    json_t *event = decided_host(decision, "order.given", host);
    json_set_text(event, "order", order_kind_text(kind));
    json_object_set_new(
        event, "order_id",
        json_sprintf("%s/%s/%d", decision->rollout->change, host->name, host->order_count + 1));
    return event;
}

/* ---- what is wrong, if anything */

typedef struct Fault {
    const RolloutHost *host;
    const char *why, *why_zh;
} Fault;

static int64_t latest(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t rollout_silence_limit_ms(const Plan *plan) {
    int64_t limit_ms = 10 * SECOND_MS;
    for (size_t i = 0; i < plan->health.count; i++)
        limit_ms = latest(limit_ms, plan->health.items[i].deadline_ms);
    return limit_ms;
}

static bool host_fault(const Rollout *rollout, const RolloutHost *host, int64_t now_ms,
                       int64_t silence_limit_ms, Fault *fault) {
    bool watched = host->state == HOST_HEALTHY || host->state == HOST_CONFIRMED;
    *fault = (Fault){host, NULL, NULL};
    if (host->state == HOST_FAILED || host->state == HOST_LOST || (watched && host->health == VERDICT_FAIL)) {
        fault->why = host->error ? host->error : "failed";
        fault->why_zh = host->error_zh ? host->error_zh : fault->why;
    } else if (host->state == HOST_ROLLED_BACK) {
        fault->why = TEXT("it heard no confirmation in time and rolled back by itself");
    } else if (host->state == HOST_HEALTHY && host->confirm_by_ms && now_ms >= host->confirm_by_ms) {
        fault->why = TEXT("it was not confirmed before its deadline");
    } else if (watched && !host->order_open) { /* while it carries out an order, that has the deadline */
        int64_t heard_ms = latest(latest(host->health_ms, host->heard_ms), rollout->watch_from_ms);
        if (now_ms - heard_ms > silence_limit_ms)
            fault->why = TEXT("no health report came for too long: absence of data is never a pass");
    }
    if (fault->why && !fault->why_zh) fault->why_zh = text_in(LANGUAGE_ZH, fault->why);
    return fault->why != NULL;
}

/* A preparation has failed, and the next has not begun: something may be left of it. */
static bool is_half_prepared(const RolloutHost *host) {
    return host->order_count > 0 && host->order.kind == ORDER_PREPARE;
}

static bool needs_rollback(const RolloutHost *host) {
    if (host->live) return false;
    if (host->part == PART_RETRIED) return true; /* or it would have begun anew */
    if (host->state == HOST_PENDING) return is_half_prepared(host);
    if (host->state == HOST_ROLLED_BACK || host->state == HOST_LOST) return false;
    return !host->rollback_failed && !host->kept;
}

/* Out of service, and nothing is on its way that would change that. */
static bool is_out_for_good(const RolloutHost *host) {
    return rollout_host_unavailable(host) && !host->order_open && !needs_rollback(host);
}

/* Hosts wait to be switched, and those that will not come back leave no room for it, now or later. */
static bool find_exhaustion(const Rollout *rollout, Fault *fault) {
    size_t out = 0, allowed = plan_amount_of(&rollout->plan->rollout.max_unavailable, rollout->host_count);
    bool wanted = false;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        wanted |= !host->live && host->part == PART_TAKEN && host->state <= HOST_PREPARED;
        if (!rollout_is_left_out(host) || !is_out_for_good(host)) continue;
        fault->host = host;
        out++;
    }
    fault->why = TEXT("it is out of service, and with it as many hosts as max_unavailable allows: no further "
                      "one can be switched");
    fault->why_zh = text_in(LANGUAGE_ZH, fault->why);
    return wanted && out >= allowed;
}

static bool find_fault(const Rollout *rollout, int64_t now_ms, Fault *fault) {
    int64_t silence_limit_ms = rollout_silence_limit_ms(rollout->plan);
    for (size_t i = 0; i < rollout->host_count; i++)
        if (rollout->hosts[i].part == PART_TAKEN &&
            host_fault(rollout, &rollout->hosts[i], now_ms, silence_limit_ms, fault))
            return true;
    return rollout_left_out(rollout) > 0 && find_exhaustion(rollout, fault);
}

/* Within what its stage allows, and not the last one of it (I11). */
static bool may_leave_out(const Rollout *rollout, const RolloutHost *host) {
    if (host->live || rollout->take_over.state != STAGE_PENDING) return false;
    const RolloutStage *stage = &rollout->stages[host->stage];
    const PlanStage *plan = &rollout->plan->rollout.stages.items[host->stage];
    return host->part == PART_TAKEN &&
           stage->failed_count < plan_amount_at_most(&plan->max_failed, stage->host_count) &&
           stage->left_out_count + 1 < stage->host_count;
}

static void decide_fault(Decision *decision, const Fault *fault) {
    const Rollout *rollout = decision->rollout;
    bool hold = rollout->switch_count > 0 && strcmp(rollout->plan->on_failure, "hold") == 0;
    const char *type = may_leave_out(rollout, fault->host) ? "host.left_out"
                       : hold                              ? "rollout.held"
                                                           : "rollout.failing";
    json_t *event = decided_host(decision, type, fault->host);
    json_set_text(event, "stage", rollout_stage_name(rollout, fault->host));
    json_set_text(event, "why", fault->why);
    json_set_text(event, "why_zh", fault->why_zh);
}

/* ---- orders whose deadline has passed */

static int64_t order_until_ms(const Rollout *rollout, const RolloutHost *host) {
    bool ending = host->order_cancelled && host->order.kind == ORDER_PREPARE;
    int64_t since_ms = latest(host->order_given_ms, rollout->watch_from_ms) - host->order_spent_ms;
    int64_t until_ms = since_ms + order_limit_ms[host->order.kind];
    int64_t soon_ms = latest(host->order_cancelled_ms, rollout->watch_from_ms) + prepare_cancelled_limit_ms;
    return ending && soon_ms < until_ms ? soon_ms : until_ms;
}

static bool decide_lost(Decision *decision) {
    bool found = decision->now_ms - decision->rollout->watch_from_ms >= FINDING_MS;
    for (size_t i = 0; i < decision->rollout->host_count; i++) {
        const RolloutHost *host = &decision->rollout->hosts[i];
        if (!host->order_open) continue;
        bool late = found && decision->now_ms >= order_until_ms(decision->rollout, host);
        if (!late && !host->silent) continue;
        decided_host(decision, "host.lost", host);
        return true;
    }
    return false;
}

/* ---- back */

/* The sick before the well, the last switched before the first; what was never switched last, as the plan
 * names them. */
static int compare_turns(const void *one, const void *other) {
    const RolloutHost *a = *(const RolloutHost *const *)one, *b = *(const RolloutHost *const *)other;
    bool a_sick = a->state == HOST_FAILED || a->health == VERDICT_FAIL;
    bool b_sick = b->state == HOST_FAILED || b->health == VERDICT_FAIL;
    if (a_sick != b_sick) return a_sick ? -1 : 1;
    if (a->switch_rank != b->switch_rank) return a->switch_rank > b->switch_rank ? -1 : 1;
    return a < b ? -1 : 1;
}

/* Those to be put back that are not at it, in their turn; `alone`: only who has no part in the rollout any
 * more; without `room`, only who was never switched. The caller frees the list. */
static const RolloutHost **list_turns(const Rollout *rollout, bool alone, bool room, size_t *count) {
    const RolloutHost **turns = calloc(rollout->host_count, sizeof *turns);
    if (!turns) abort();
    *count = 0;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        if (alone && host->part == PART_TAKEN) continue;
        if (!room && host->switched) continue;
        if (needs_rollback(host) && !host->order_open) turns[(*count)++] = host;
    }
    qsort(turns, *count, sizeof *turns, compare_turns);
    return turns;
}

bool rollout_restores_data(const Rollout *rollout, const RolloutHost *host) {
    if (rollout->rollback_asked && (rollout->restore_data || rollout->keep_data))
        return rollout->restore_data;
    bool confirmed = host->confirmed || (host->state == HOST_LOST && host->order.kind == ORDER_CONFIRM);
    if (!confirmed) return strcmp(rollout->plan->service.rollback_data, "restore") == 0;
    if (rollout->rollback_asked) return false;
    return !rollout->aborted && strcmp(rollout->plan->service.rollback_confirmed, "restore-data") == 0;
}

/* Blue-green, and none of those that served before serves now. */
static bool has_no_live(const Rollout *rollout) {
    for (size_t i = 0; i < rollout->host_count; i++)
        if (rollout->hosts[i].live && rollout->hosts[i].traffic == TRAFFIC_IN) return false;
    return plan_is_blue_green(rollout->plan);
}

/* A confirmed host stays where it is when the plan says so and no person has said otherwise; and whoever may
 * be the last to serve. */
static bool stays(const Rollout *rollout, const RolloutHost *host) {
    if (host->traffic != TRAFFIC_OUT && has_no_live(rollout)) return true;
    return host->confirmed && host->part != PART_RETRIED && !rollout->rollback_asked && !rollout->aborted &&
           strcmp(rollout->plan->service.rollback_confirmed, "hold") == 0;
}

/* Serving nobody because they are being put back: only these count, else a lost host blocks all. */
static size_t count_going_back(const Rollout *rollout) {
    size_t count = 0;
    for (size_t i = 0; i < rollout->host_count; i++)
        count += rollout->hosts[i].state == HOST_ROLLING_BACK && rollout->hosts[i].switched;
    return count;
}

/* Whatever it is at, unless that is going back. */
static void cancel_order(Decision *decision, const RolloutHost *host) {
    bool goes_back = host->order.kind == ORDER_ROLLBACK || (host->live && host->order.kind == ORDER_ADMIT);
    if (!host->order_open || host->order_cancelled || goes_back) return;
    json_set_text(decided_host(decision, "order.cancelled", host), "order_id", host->order.id);
}

static void give_rollback(Decision *decision, const RolloutHost *host) {
    json_t *event = give(decision, host, ORDER_ROLLBACK);
    json_set_bool(event, "restore_data", host->switched && rollout_restores_data(decision->rollout, host));
}

/* On the new version, and for all that is known of it at work. */
static bool may_serve(const RolloutHost *host) {
    if (host->missing || !host->switched || host->health == VERDICT_FAIL) return false;
    if (host->state == HOST_FAILED) /* that is not how a service is stopped */
        return host->order.kind == ORDER_CONFIRM || host->order.kind == ORDER_COMMIT ||
               host->order.kind == ORDER_ADMIT;
    return host->state >= HOST_HEALTHY && host->state <= HOST_COMMITTED;
}

/* Out of service, but for those of whom nothing better can be hoped. */
static size_t count_out_for_now(const Rollout *rollout) {
    size_t count = 0;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        count += rollout_host_unavailable(host) && !may_serve(host) && !is_out_for_good(host);
    }
    return count;
}

/* Put back all (`alone` false: the rollout fails), or each host that has no part in it any more while the
 * others go on: one that may still be serving when there is room for one more out of service (I4), whatever
 * is being switched or put back elsewhere. */
static void decide_rollback_orders(Decision *decision, bool alone) {
    const Rollout *rollout = decision->rollout;
    size_t allowed = plan_amount_of(&rollout->plan->rollout.max_unavailable, rollout->host_count);
    size_t back = count_going_back(rollout), out = count_out_for_now(rollout), count;
    FREE_AUTO const RolloutHost **turns = list_turns(rollout, alone, back < allowed, &count);
    for (size_t i = 0; i < count; i++) {
        const RolloutHost *host = turns[i];
        bool serving = may_serve(host);
        if (stays(rollout, host)) {
            decided_host(decision, "host.kept", host);
            continue;
        }
        if ((host->switched && back >= allowed) || (serving && out >= allowed)) continue;
        back += host->switched;
        out += serving;
        give_rollback(decision, host);
    }
}

/* True when something was decided: what it means for the others shows once it is folded. */
static bool decide_left_out(Decision *decision) {
    const Rollout *rollout = decision->rollout;
    size_t before = json_array_size(decision->events);
    bool any = false;
    for (size_t i = 0; i < rollout->host_count; i++) {
        if (rollout->hosts[i].part == PART_TAKEN) continue;
        cancel_order(decision, &rollout->hosts[i]);
        any = true;
    }
    if (any) decide_rollback_orders(decision, true);
    return json_array_size(decision->events) > before;
}

static void decide_end_of_rollback(Decision *decision) {
    const Rollout *rollout = decision->rollout;
    bool person_needed = false;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        person_needed |= host->rollback_failed || host->kept || host->state == HOST_LOST;
    }
    RolloutOutcome outcome = person_needed      ? OUTCOME_FAILED
                             : rollout->refused ? OUTCOME_REFUSED
                             : rollout->aborted ? OUTCOME_ABORTED
                                                : OUTCOME_ROLLED_BACK;
    const char *end = person_needed                ? "rollout.failed"
                      : rollout->switch_count == 0 ? "rollout.cancelled"
                                                   : "rollout.rolled_back";
    decided(decision, end);
    json_set_text(decided(decision, "change.closed"), "outcome", rollout_outcome_text(outcome));
}

/* True while live hosts are on their way back into traffic: nobody that was admitted goes out before (I4). */
static bool decide_live_back(Decision *decision) {
    const Rollout *rollout = decision->rollout;
    bool waits = false;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        bool hopeless = host->state == HOST_LOST || host->rollback_failed;
        if (!host->live || host->traffic == TRAFFIC_IN || hopeless) continue;
        if (!host->order_open) give(decision, host, ORDER_ADMIT);
        waits = true;
    }
    return waits;
}

static void decide_back(Decision *decision) {
    const Rollout *rollout = decision->rollout;
    bool left = false;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        left |= needs_rollback(host) || host->order_open;
        cancel_order(decision, host);
    }
    if (decide_live_back(decision)) return;
    if (!left) {
        decide_end_of_rollback(decision);
        return;
    }
    decide_rollback_orders(decision, false);
}

/* ---- forward */

/* True when everything is prepared that takes part, or stages have begun: then only its own stage waits for a
 * host that is tried again. */
static bool decide_prepare(Decision *decision) {
    const Rollout *rollout = decision->rollout;
    bool prepared = true;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        if (host->live) continue;
        if (host->state == HOST_PENDING && rollout->state == ROLLOUT_RUNNING)
            give(decision, host, ORDER_PREPARE);
        prepared &= (host->part == PART_TAKEN && host->state >= HOST_PREPARED) || rollout_is_left_out(host);
    }
    return prepared || rollout->stages[0].state != STAGE_PENDING;
}

static void decide_batch(Decision *decision, size_t stage) {
    const Rollout *rollout = decision->rollout;
    const PlanStage *plan = &rollout->plan->rollout.stages.items[stage];
    size_t limit = plan_amount_of(&plan->batch, rollout->stages[stage].host_count), chosen = 0;
    JSON_AUTO hosts = json_array();
    for (size_t i = 0; i < rollout->host_count && chosen < limit; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        if (host->stage != stage || host->batch || host->part != PART_TAKEN || host->state != HOST_PREPARED)
            continue;
        json_array_append_new(hosts, json_string(host->name));
        chosen++;
    }
    if (chosen == 0) return; /* they are tried again, and being prepared */
    json_t *event = decided_stage(decision, "batch.started", stage);
    json_set_integer(event, "batch", rollout->stages[stage].batch + 1);
    json_object_set(event, "hosts", hosts);
}

typedef struct BatchCount {
    size_t hosts, prepared, healthy, confirmed, waiting; /* waiting: in the stage, in no batch yet */
} BatchCount;

static bool in_batch(const Rollout *rollout, const RolloutHost *host, size_t stage) {
    return host->stage == stage && host->part == PART_TAKEN && host->batch &&
           host->batch == rollout->stages[stage].batch;
}

static bool is_awaited(const RolloutHost *host) {
    return host->part == PART_RETRIED || (host->part == PART_TAKEN && !host->batch);
}

static BatchCount count_batch(const Rollout *rollout, size_t stage) {
    BatchCount count = {0};
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        if (host->stage == stage && is_awaited(host)) count.waiting++;
        if (!in_batch(rollout, host, stage)) continue;
        count.hosts++;
        count.prepared += host->state == HOST_PREPARED;
        count.healthy += host->state == HOST_HEALTHY;
        count.confirmed += host->state == HOST_CONFIRMED;
    }
    return count;
}

static void decide_switches(Decision *decision, size_t stage) {
    const Rollout *rollout = decision->rollout;
    size_t out = rollout_unavailable(rollout);
    size_t allowed = plan_amount_of(&rollout->plan->rollout.max_unavailable, rollout->host_count);
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        if (!in_batch(rollout, host, stage) || host->state != HOST_PREPARED || host->order_open) continue;
        bool adds = !rollout_host_unavailable(host); /* its first switch may have left it out of service */
        if (adds && out >= allowed) continue;
        give(decision, host, ORDER_SWITCH);
        out += adds;
    }
}

/* The soak is over: confirm those that were seen healthy since it began. The others are waited for, until
 * their silence makes them sick. */
static void decide_confirms(Decision *decision, size_t stage) {
    const Rollout *rollout = decision->rollout;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        bool fresh = host->health == VERDICT_PASS && host->health_ms > rollout->stages[stage].soak_from_ms;
        if (in_batch(rollout, host, stage) && host->state == HOST_HEALTHY && !host->order_open && fresh)
            give(decision, host, ORDER_CONFIRM);
    }
}

static void decide_stage(Decision *decision, size_t index) {
    const Rollout *rollout = decision->rollout;
    const RolloutStage *stage = &rollout->stages[index];
    bool running = rollout->state == ROLLOUT_RUNNING;
    BatchCount count = count_batch(rollout, index);
    if (stage->state == STAGE_PENDING) {
        if (running) decided_stage(decision, "stage.started", index);
    } else if (count.confirmed == count.hosts) { /* also before the first batch */
        if (count.waiting == 0)
            decided_stage(decision, "stage.passed", index);
        else if (running)
            decide_batch(decision, index);
    } else if (count.prepared > 0) {
        if (running) decide_switches(decision, index);
    } else if (stage->state == STAGE_RUNNING && count.healthy + count.confirmed == count.hosts) {
        json_t *event = decided_stage(decision, "stage.soaking", index);
        json_set_integer(event, "batch", stage->batch);
        json_set_integer(event, "soak_ms", rollout->plan->rollout.stages.items[index].soak_ms);
    } else if (stage->state == STAGE_SOAKING && decision->now_ms >= stage->soak_until_ms) {
        decide_confirms(decision, index);
    }
}

/* ---- blue-green: the take-over */

/* Is everybody it concerns in traffic, or out of it? Gives the orders that are missing. */
static bool decide_move(Decision *decision, bool live, OrderKind kind, HostTraffic wanted) {
    const Rollout *rollout = decision->rollout;
    bool all = true;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        if (host->live != live || host->part != PART_TAKEN || host->traffic == wanted) continue;
        if (!host->order_open && rollout->state == ROLLOUT_RUNNING) give(decision, host, kind);
        all = false;
    }
    return all;
}

/* Seen healthy with all the requests, since the others stand by. */
static bool passed_last_soak(const Rollout *rollout, int64_t now_ms) {
    if (now_ms < rollout->take_over.soak_until_ms) return false;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        bool fresh = host->health == VERDICT_PASS && host->health_ms > rollout->take_over.soak_from_ms;
        if (!host->live && host->part == PART_TAKEN && !fresh) return false;
    }
    return true;
}

static void decide_take_over(Decision *decision) {
    const Rollout *rollout = decision->rollout;
    if (rollout->take_over.state == STAGE_PENDING) {
        if (rollout->state == ROLLOUT_RUNNING) decided(decision, "take_over.started");
    } else if (rollout->take_over.state == STAGE_SOAKING) {
        if (passed_last_soak(rollout, decision->now_ms)) decided(decision, "take_over.passed");
    } else if (decide_move(decision, false, ORDER_ADMIT, TRAFFIC_IN) &&
               decide_move(decision, true, ORDER_RETIRE, TRAFFIC_OUT)) {
        json_t *event = decided(decision, "take_over.soaking");
        json_set_integer(event, "soak_ms", rollout->plan->rollout.take_over_soak_ms);
    }
}

static void name_left_out(const Rollout *rollout, json_t *event) {
    if (rollout_left_out(rollout) == 0) return;
    json_t *names = json_array();
    for (size_t i = 0; i < rollout->host_count; i++)
        if (rollout_is_left_out(&rollout->hosts[i]))
            json_array_append_new(names, json_string(rollout->hosts[i].name));
    json_object_set_new(event, "left_out", names);
}

static void decide_end_of_forward(Decision *decision) {
    const Rollout *rollout = decision->rollout;
    bool person_needed = false;
    for (size_t i = 0; i < rollout->host_count; i++)
        person_needed |= rollout_needs_person(&rollout->hosts[i]);
    RolloutOutcome outcome = person_needed ? OUTCOME_FAILED : OUTCOME_SUCCEEDED;
    name_left_out(rollout, decided(decision, person_needed ? "rollout.failed" : "rollout.succeeded"));
    json_t *closed = decided(decision, "change.closed");
    json_set_text(closed, "outcome", rollout_outcome_text(outcome));
    name_left_out(rollout, closed);
}

static void decide_commit(Decision *decision) {
    const Rollout *rollout = decision->rollout;
    bool over = true;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        if (host->live) continue;
        if (host->part != PART_TAKEN) {
            over &= !host->order_open && !needs_rollback(host);
            continue;
        }
        over &= host->state == HOST_COMMITTED;
        if (host->state == HOST_CONFIRMED && !host->order_open && rollout->state == ROLLOUT_RUNNING)
            give(decision, host, ORDER_COMMIT);
    }
    if (over) decide_end_of_forward(decision);
}

static void decide_forward(Decision *decision) {
    const Rollout *rollout = decision->rollout;
    Fault fault = {0};
    if (find_fault(rollout, decision->now_ms, &fault)) {
        decide_fault(decision, &fault);
        return;
    }
    if (decide_left_out(decision) || !decide_prepare(decision)) return;
    if (rollout->prepare_only && rollout->switch_count == 0) {
        if (rollout->state != ROLLOUT_RUNNING) return;
        json_t *event = decided(decision, "rollout.paused");
        json_set_text(event, "why", TEXT("everything is prepared; nothing was switched"));
        json_set_text(event, "why_zh", text_in(LANGUAGE_ZH, "everything is prepared; nothing was switched"));
        return;
    }
    for (size_t i = 0; i < rollout->stage_count; i++) {
        if (rollout->stages[i].state == STAGE_PASSED) continue;
        decide_stage(decision, i);
        return;
    }
    if (plan_is_blue_green(rollout->plan) && rollout->take_over.state != STAGE_PASSED)
        decide_take_over(decision);
    else
        decide_commit(decision);
}

/* Nothing else is written, and an order is open: what of its time has passed must outlive this engine. */
static void decide_listening(Decision *decision) {
    const Rollout *rollout = decision->rollout;
    if (decision->now_ms - rollout->listened_ms >= LISTENING_MS && rollout_busy(rollout))
        decided(decision, "engine.listening");
}

json_t *rollout_decide(const Rollout *rollout, int64_t now_ms) {
    Decision decision = {rollout, now_ms, json_array()};
    if (rollout_ended(rollout) || rollout->held) return decision.events;
    if (rollout->state == ROLLOUT_PENDING)
        decided(&decision, "rollout.started");
    else if (decide_lost(&decision))
        ;
    else if (rollout->state == ROLLOUT_ROLLING_BACK)
        decide_back(&decision);
    else
        decide_forward(&decision);
    if (json_array_size(decision.events) == 0) decide_listening(&decision);
    return decision.events;
}
