/* Invariants at each event that was decided, before it is folded. */
#include "base/cleanup.h"
#include "base/json.h"
#include "simulate_rollout.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool is_left_out(const Imagined *host) { return host->failed_out || host->skipped; }

bool all_admitted(const World *world) {
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        const Imagined *host = &world->hosts[i];
        if (!host->live && !is_left_out(host) && host->traffic != TRAFFIC_IN) return false;
    }
    return true;
}

static size_t count_rollbacks(const World *world) {
    size_t count = 0;
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        const Imagined *host = &world->hosts[i];
        count += host->order_open && host->order == ORDER_ROLLBACK && host->on_new;
    }
    return count;
}

static bool is_out(const Imagined *host) {
    if (host->live) return false;
    bool going = host->order_open && (host->order == ORDER_SWITCH || host->order == ORDER_ROLLBACK);
    return host->down || host->sick || host->missing || (going && host->on_new);
}

/* Hosts that serve nobody because of us, but for `host`: beside a switch also those that are to be put back
 * (nobody knows how well they serve), beside a rollback not those that may stay out for ever. */
static size_t count_out(const World *world, const Imagined *host, bool beside_switch) {
    size_t count = 0;
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        const Imagined *other = &world->hosts[i];
        const RolloutHost *known = &world->rollout->hosts[i];
        bool hopeless = !other->order_open && (other->missing || known->rollback_failed || known->kept);
        bool going = (is_left_out(other) || other->retried) && other->on_new;
        if (other == host) continue;
        count += beside_switch ? is_out(other) || going : is_out(other) && !hopeless;
    }
    return count;
}

/* What the plan says, written down once more: percentages rounded down. */
static size_t failures_allowed(const World *world, size_t stage) {
    const Amount *amount = &world->plan->rollout.stages.items[stage].max_failed;
    size_t members = 0;
    for (size_t i = 0; i < world->rollout->host_count; i++)
        members += world->rollout->hosts[i].stage == stage;
    return amount->percent ? members * (size_t)amount->value / 100 : (size_t)amount->value;
}

static void check_left_out(const World *world, const RolloutHost *known) {
    size_t failed = 0;
    const Imagined *host = &world->hosts[known - world->rollout->hosts];
    for (size_t i = 0; i < world->rollout->host_count; i++)
        failed += world->rollout->hosts[i].stage == known->stage && world->hosts[i].failed_out;
    if (is_left_out(host)) broken(world, "I5: a host was left out twice");
    if (failed >= failures_allowed(world, known->stage))
        broken(world, "I5: more were left out than may fail");
}

void check_stage_kept(const World *world, size_t stage) {
    for (size_t i = 0; i < world->rollout->host_count; i++)
        if (world->rollout->hosts[i].stage == stage && !is_left_out(&world->hosts[i])) return;
    broken(world, "I11: a stage was left without a host");
}

/* Everybody in it is confirmed or left out, and somebody is confirmed. */
static void check_passed(const World *world, const char *name) {
    bool any = false;
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        const Imagined *host = &world->hosts[i];
        size_t stage = world->rollout->hosts[i].stage;
        if (host->live || strcmp(world->plan->rollout.stages.items[stage].name, name) != 0 ||
            is_left_out(host))
            continue;
        if (!host->confirmed) broken(world, "I11: a stage passed before each of its hosts was confirmed");
        any = true;
    }
    if (!any) broken(world, "I11: a stage passed without a host");
}

/* With all others when the rollout fails; else alone, while they go on. */
static void check_rollback(const World *world, const Imagined *host, size_t allowed) {
    if (!world->failing && !world->given_up && !is_left_out(host) && !host->retried)
        broken(world, "I5: a host was put back that has its part in it");
    if (host->on_new && !is_out(host) && count_out(world, host, false) >= allowed)
        broken(world, "I4: a host was put back when too many were out of service");
}

static void check_nothing_is_wrong(const World *world) {
    int64_t limit_ms = world->plan->health.items[0].deadline_ms;
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        const Imagined *host = &world->hosts[i];
        if (is_left_out(host) || host->retried) continue;
        if (host->wrong || host->gone) broken(world, "I5: it went on after a failing verdict");
        if (host->watched && !host->order_open && world->now_ms - host->heard_ms > limit_ms)
            broken(world, "I11: it went on though a host was silent");
    }
}

static void check_switch(const World *world, const Imagined *host) {
    size_t allowed = plan_amount_of(&world->plan->rollout.max_unavailable, world->rollout->host_count);
    if (!host->proved) broken(world, "I1: switched before its restore point was proved");
    if (world->failing) broken(world, "I5: switched after a failing verdict");
    if (world->given_up) broken(world, "I12: switched after it was given up");
    if (host->switches > 0 && !host->resumed_since_switch) broken(world, "I12: switched again by itself");
    if (is_left_out(host) || host->retried) broken(world, "I12: switched though it was left out");
    if (!is_out(host) && count_out(world, host, true) >= allowed)
        broken(world, "I4: too many hosts out of service");
    check_nothing_is_wrong(world);
}

/* Before anybody that was admitted goes out. */
static void check_live_back(const World *world) {
    bool any = false;
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        const RolloutHost *known = &world->rollout->hosts[i];
        const Imagined *host = &world->hosts[i];
        bool hopeless = !host->order_open && (host->missing || known->rollback_failed);
        if (host->live && host->traffic != TRAFFIC_IN && !hopeless)
            broken(world, "I4: put back before those that served before serve again");
        any |= host->live && host->traffic == TRAFFIC_IN;
    }
    if (!any) broken(world, "I4: put back though nobody else would serve");
}

static void check_moves(const World *world, const Imagined *host, OrderKind kind) {
    bool back = world->failing || world->given_up;
    if (host->live && kind != ORDER_ADMIT && kind != ORDER_RETIRE)
        broken(world, "I5: something was done to a live host");
    if (kind == ORDER_RETIRE && (!host->live || !all_admitted(world)))
        broken(world, "I4: a live host was retired before all were admitted");
    if (kind == ORDER_RETIRE && back) broken(world, "I5: a live host was retired after a failing verdict");
    if (kind == ORDER_ADMIT && host->live != back) broken(world, "I5: the wrong host was admitted");
    if (kind == ORDER_ADMIT && !host->live && (!host->confirmed || is_left_out(host)))
        broken(world, "I11: a host was admitted that was not confirmed");
    if (kind == ORDER_RETIRE || (kind == ORDER_ADMIT && !host->live)) check_nothing_is_wrong(world);
    if (kind == ORDER_ROLLBACK && host->traffic != TRAFFIC_OUT) check_live_back(world);
    if (kind == ORDER_COMMIT && plan_is_blue_green(world->plan) && !world->passed)
        broken(world, "I11: committed before the take-over has passed");
}

/* With all requests on the new ones, and for as long as was said. */
static void check_taken_over(const World *world) {
    check_nothing_is_wrong(world);
    if (world->now_ms < world->soak_until_ms) broken(world, "I11: the last watch was cut short");
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        const Imagined *host = &world->hosts[i];
        if (host->live && host->traffic != TRAFFIC_OUT)
            broken(world, "I11: taken over though others still served");
        if (!host->live && !is_left_out(host) && !host->passed_since_soak)
            broken(world, "I11: taken over without a report");
    }
}

static void check_order(const World *world, const json_t *event) {
    const RolloutHost *known = rollout_host(world->rollout, json_get_text(event, "host", NULL));
    const Imagined *host = &world->hosts[known - world->rollout->hosts];
    size_t allowed = plan_amount_of(&world->plan->rollout.max_unavailable, world->rollout->host_count);
    OrderKind kind = ORDER_PREPARE;
    FREE_AUTO char *id = NULL;
    if (asprintf(&id, "%s/%s/%d", world->rollout->change, known->name, host->orders + 1) < 0) abort();
    if (strcmp(id, json_get_text(event, "order_id", "")) != 0)
        broken(world, "I7: an order does not have the next name");
    if (host->order_open) broken(world, "I7: a second order was given beside an open one");
    order_kind_from_text(json_get_text(event, "order", NULL), &kind);
    check_moves(world, host, kind);
    if (kind == ORDER_SWITCH) check_switch(world, host);
    if (kind == ORDER_ROLLBACK && host->on_new && count_rollbacks(world) >= allowed)
        broken(world, "I4: too many hosts put back at one time");
    if (kind == ORDER_ROLLBACK) check_rollback(world, host, allowed);
    if ((kind == ORDER_CONFIRM || kind == ORDER_COMMIT) && is_left_out(host))
        broken(world, "I5: a host that was left out went on");
    if (kind == ORDER_CONFIRM && !host->passed_since_soak) broken(world, "I11: confirmed without a report");
    if (kind == ORDER_CONFIRM && world->now_ms < world->soak_until_ms)
        broken(world, "I11: confirmed before its soak was over");
    if (kind == ORDER_CONFIRM || kind == ORDER_COMMIT) check_nothing_is_wrong(world);
}

/* Whoever was left out of what went through is named. */
static void check_named(const World *world, const json_t *event) {
    size_t left_out = 0, named = json_array_size(json_object_get(event, "left_out"));
    for (size_t i = 0; i < world->rollout->host_count; i++) left_out += is_left_out(&world->hosts[i]);
    if (!world->failing && !world->given_up && named != left_out)
        broken(world, "I5: a host that was left out is not named");
}

void check(const World *world, const json_t *event) {
    const char *type = json_get_text(event, "type", "");
    const RolloutHost *known = rollout_host(world->rollout, json_get_text(event, "host", NULL));
    if (strcmp(type, "order.given") == 0) check_order(world, event);
    if (strcmp(type, "order.cancelled") == 0 && known->live && known->order.kind == ORDER_ADMIT)
        broken(world, "I4: a live host was told not to come back");
    if (strcmp(type, "stage.passed") == 0 || strcmp(type, "batch.started") == 0)
        check_nothing_is_wrong(world);
    if (strcmp(type, "stage.passed") == 0) check_passed(world, json_get_text(event, "stage", ""));
    if (strcmp(type, "take_over.passed") == 0) check_taken_over(world);
    if (strcmp(type, "host.left_out") == 0) check_left_out(world, known);
    if (strcmp(type, "change.closed") == 0) check_named(world, event);
    if (strcmp(type, "host.lost") == 0 && !world->hosts[known - world->rollout->hosts].order_open)
        broken(world, "I7: an answer was forgotten");
}
