/* Invariants at each event, before it is folded; and at the end. */
#include "auditor.h"
#include "base/cleanup.h"
#include "base/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t allowed_of(const Auditor *auditor) {
    return plan_amount_of(&auditor->plan->rollout.max_unavailable, auditor->host_count);
}

static size_t stage_of(const Auditor *auditor, const Seen *host) {
    return auditor->rollout->hosts[host - auditor->hosts].stage;
}

/* ---- who is out of service */

static size_t count_rollbacks(const Auditor *auditor) {
    size_t count = 0;
    for (size_t i = 0; i < auditor->host_count; i++) {
        const Seen *host = &auditor->hosts[i];
        count += host->order_open && host->order.kind == ORDER_ROLLBACK && host->on_new;
    }
    return count;
}

static bool is_out(const Seen *host) {
    if (host->live) return false;
    bool going = host->order_open && (host->order.kind == ORDER_SWITCH || host->order.kind == ORDER_ROLLBACK);
    return host->down || host->sick || host->missing || (going && host->on_new);
}

/* Hosts that serve nobody because of us, but for `host`: beside a switch also those that are to be put back
 * (nobody knows how well they serve), beside a rollback not those that may stay out for ever. */
static size_t count_out(const Auditor *auditor, const Seen *host, bool beside_switch) {
    size_t count = 0;
    for (size_t i = 0; i < auditor->host_count; i++) {
        const Seen *other = &auditor->hosts[i];
        bool hopeless = !other->order_open && (other->missing || other->stuck || other->kept);
        bool going = (seen_is_left_out(other) || other->retried) && other->on_new;
        if (other == host) continue;
        count += beside_switch ? is_out(other) || going : is_out(other) && !hopeless;
    }
    return count;
}

/* ---- who is left out */

/* What the plan says, written down once more: percentages rounded down. */
static size_t failures_allowed(const Auditor *auditor, size_t stage) {
    const Amount *amount = &auditor->plan->rollout.stages.items[stage].max_failed;
    size_t members = 0;
    for (size_t i = 0; i < auditor->host_count; i++) members += auditor->rollout->hosts[i].stage == stage;
    return amount->percent ? members * (size_t)amount->value / 100 : (size_t)amount->value;
}

static void check_left_out(const Auditor *auditor, const Seen *host) {
    if (host->live) auditor_broken(auditor, "I5: a live host was left out");
    size_t failed = 0, stage = stage_of(auditor, host);
    for (size_t i = 0; i < auditor->host_count; i++)
        failed += auditor->rollout->hosts[i].stage == stage && auditor->hosts[i].failed_out;
    if (seen_is_left_out(host)) auditor_broken(auditor, "I5: a host was left out twice");
    if (failed >= failures_allowed(auditor, stage))
        auditor_broken(auditor, "I5: more were left out than may fail");
}

void auditor_check_stage_kept(const Auditor *auditor, const Seen *host) {
    size_t stage = stage_of(auditor, host);
    for (size_t i = 0; i < auditor->host_count; i++)
        if (auditor->rollout->hosts[i].stage == stage && !seen_is_left_out(&auditor->hosts[i])) return;
    auditor_broken(auditor, "I11: a stage was left without a host");
}

/* Whoever was left out of what went through is named. */
static void check_named(const Auditor *auditor, const json_t *event) {
    size_t left_out = 0, named = json_array_size(json_object_get(event, "left_out"));
    for (size_t i = 0; i < auditor->host_count; i++) left_out += seen_is_left_out(&auditor->hosts[i]);
    if (!auditor_goes_back(auditor) && named != left_out)
        auditor_broken(auditor, "I5: a host that was left out is not named");
}

/* ---- going on */

static void check_nothing_is_wrong(const Auditor *auditor) {
    int64_t limit_ms = rollout_silence_limit_ms(auditor->plan);
    for (size_t i = 0; i < auditor->host_count; i++) {
        const Seen *host = &auditor->hosts[i];
        if (seen_is_left_out(host) || host->retried) continue;
        if (seen_is_wrong(host)) auditor_broken(auditor, "I5: it went on after a failing verdict");
        if (host->watched && !host->order_open && auditor->time_ms - host->heard_ms > limit_ms)
            auditor_broken(auditor, "I11: it went on though %s was silent", auditor_name(auditor, host));
    }
}

/* Everybody in it is confirmed or left out, and somebody is confirmed. */
static void check_passed(const Auditor *auditor, const char *name) {
    bool any = false;
    check_nothing_is_wrong(auditor);
    for (size_t i = 0; i < auditor->host_count; i++) {
        const Seen *host = &auditor->hosts[i];
        if (host->live || seen_is_left_out(host) ||
            strcmp(auditor->plan->rollout.stages.items[stage_of(auditor, host)].name, name) != 0)
            continue;
        if (!host->confirmed)
            auditor_broken(auditor, "I11: a stage passed before each of its hosts was confirmed");
        any = true;
    }
    if (!any) auditor_broken(auditor, "I11: a stage passed without a host");
}

/* With all requests on the new ones, and for as long as was said. */
static void check_taken_over(const Auditor *auditor) {
    check_nothing_is_wrong(auditor);
    if (auditor->time_ms < auditor->soak_until_ms)
        auditor_broken(auditor, "I11: the last watch was cut short");
    for (size_t i = 0; i < auditor->host_count; i++) {
        const Seen *host = &auditor->hosts[i];
        if (host->live && host->traffic != TRAFFIC_OUT)
            auditor_broken(auditor, "I11: taken over though others still served");
        if (!host->live && !seen_is_left_out(host) && !host->passed_since_soak)
            auditor_broken(auditor, "I11: taken over without a report");
    }
}

/* ---- orders */

static void check_switch(const Auditor *auditor, const Seen *host) {
    if (!host->proved) auditor_broken(auditor, "I1: switched before its restore point was proved");
    if (auditor->failing) auditor_broken(auditor, "I5: switched after a failing verdict");
    if (auditor->given_up) auditor_broken(auditor, "I12: switched after it was given up");
    if (host->switches > 0 && !host->resumed_since_switch)
        auditor_broken(auditor, "I12: switched again by itself");
    if (seen_is_left_out(host) || host->retried)
        auditor_broken(auditor, "I12: switched though it was left out");
    if (!is_out(host) && count_out(auditor, host, true) >= allowed_of(auditor))
        auditor_broken(auditor, "I4: too many hosts out of service");
    check_nothing_is_wrong(auditor);
}

static void check_confirm(const Auditor *auditor, const Seen *host) {
    if (auditor->time_ms >= host->confirm_by_ms) auditor_broken(auditor, "I6: confirmed after its deadline");
    if (!host->passed_since_soak) auditor_broken(auditor, "I11: confirmed without a report");
    if (auditor->time_ms < auditor->soak_until_ms)
        auditor_broken(auditor, "I11: confirmed before its soak was over");
}

/* With all others when the rollout fails; else alone, while they go on. */
static void check_rollback(const Auditor *auditor, const Seen *host) {
    if (host->on_new && count_rollbacks(auditor) >= allowed_of(auditor))
        auditor_broken(auditor, "I4: too many hosts put back at one time");
    if (!auditor_goes_back(auditor) && !seen_is_left_out(host) && !host->retried)
        auditor_broken(auditor, "I5: a host was put back that has its part in it");
    if (host->on_new && !is_out(host) && count_out(auditor, host, false) >= allowed_of(auditor))
        auditor_broken(auditor, "I4: a host was put back when too many were out of service");
}

/* Before anybody that was admitted goes out. */
static void check_live_back(const Auditor *auditor) {
    bool any = false;
    for (size_t i = 0; i < auditor->host_count; i++) {
        const Seen *host = &auditor->hosts[i];
        bool hopeless = !host->order_open && (host->missing || host->stuck);
        if (host->live && host->traffic != TRAFFIC_IN && !hopeless)
            auditor_broken(auditor, "I4: put back before those that served before serve again");
        any |= host->live && host->traffic == TRAFFIC_IN;
    }
    if (!any) auditor_broken(auditor, "I4: put back though nobody else would serve");
}

static void check_moves(const Auditor *auditor, const Seen *host, OrderKind kind) {
    bool back = auditor_goes_back(auditor);
    if (host->live && kind != ORDER_ADMIT && kind != ORDER_RETIRE)
        auditor_broken(auditor, "I5: something was done to a live host");
    if (kind == ORDER_RETIRE && (!host->live || !auditor_all_admitted(auditor)))
        auditor_broken(auditor, "I4: a live host was retired before all were admitted");
    if (kind == ORDER_RETIRE && back)
        auditor_broken(auditor, "I5: a live host was retired after a failing verdict");
    if (kind == ORDER_ADMIT && host->live != back) auditor_broken(auditor, "I5: the wrong host was admitted");
    if (kind == ORDER_ADMIT && !host->live && (!host->confirmed || seen_is_left_out(host)))
        auditor_broken(auditor, "I11: a host was admitted that was not confirmed");
    if (kind == ORDER_RETIRE || (kind == ORDER_ADMIT && !host->live)) check_nothing_is_wrong(auditor);
    if (kind == ORDER_ROLLBACK && host->traffic != TRAFFIC_OUT) check_live_back(auditor);
    if (kind == ORDER_COMMIT && plan_is_blue_green(auditor->plan) && !auditor->taken_over)
        auditor_broken(auditor, "I11: committed before the take-over has passed");
}

static void check_order(const Auditor *auditor, const Seen *host, const json_t *event) {
    OrderKind kind = ORDER_PREPARE;
    FREE_AUTO char *id = NULL;
    if (asprintf(&id, "%s/%s/%d", auditor->rollout->change, auditor_name(auditor, host), host->orders + 1) <
        0)
        abort();
    if (strcmp(id, json_get_text(event, "order_id", "")) != 0)
        auditor_broken(auditor, "I7: an order does not have the next name");
    if (host->order_open) auditor_broken(auditor, "I7: a second order was given beside an open one");
    order_kind_from_text(json_get_text(event, "order", NULL), &kind);
    check_moves(auditor, host, kind);
    if (kind == ORDER_SWITCH) check_switch(auditor, host);
    if (kind == ORDER_ROLLBACK) check_rollback(auditor, host);
    if ((kind == ORDER_CONFIRM || kind == ORDER_COMMIT) && seen_is_left_out(host))
        auditor_broken(auditor, "I5: a host that was left out went on");
    if (kind == ORDER_CONFIRM) check_confirm(auditor, host);
    if (kind == ORDER_CONFIRM || kind == ORDER_COMMIT) check_nothing_is_wrong(auditor);
}

static void check_answer(const Auditor *auditor, const Seen *host, const json_t *event) {
    const char *id = json_get_text(event, "order_id", "");
    if (!host->order_open || strcmp(host->order.id, id) != 0)
        auditor_broken(auditor, "I7: an answer to no open order was taken: %s", id);
}

static void check_of_host(const Auditor *auditor, const Seen *host, const char *type, const json_t *event) {
    if (strcmp(type, "order.given") == 0) check_order(auditor, host, event);
    if (strcmp(type, "order.done") == 0 || strcmp(type, "order.failed") == 0)
        check_answer(auditor, host, event);
    if (strcmp(type, "order.cancelled") == 0 && host->live && host->order.kind == ORDER_ADMIT)
        auditor_broken(auditor, "I4: a live host was told not to come back");
    if (strcmp(type, "host.left_out") == 0) check_left_out(auditor, host);
    if (strcmp(type, "host.lost") == 0 && !host->order_open)
        auditor_broken(auditor, "I7: an answer was forgotten");
}

void auditor_check(const Auditor *auditor, const Seen *host, const json_t *event) {
    const char *type = json_get_text(event, "type", "");
    if (host) check_of_host(auditor, host, type, event);
    if (strcmp(type, "stage.passed") == 0) check_passed(auditor, json_get_text(event, "stage", ""));
    if (strcmp(type, "batch.started") == 0) check_nothing_is_wrong(auditor);
    if (strcmp(type, "take_over.passed") == 0) check_taken_over(auditor);
    if (strcmp(type, "change.closed") == 0) check_named(auditor, event);
}

/* ---- the end */

/* What failed has left the balancer as it was; what went through, the other way round. */
static void check_traffic(const Auditor *auditor, const Seen *host) {
    bool forward = !auditor_goes_back(auditor);
    bool in = host->live ? !forward : forward && !seen_is_left_out(host);
    if (!plan_is_blue_green(auditor->plan) || host->traffic == (in ? TRAFFIC_IN : TRAFFIC_OUT)) return;
    auditor_broken(auditor, host->live ? "I4: a live host was left where it should not be"
                                       : "I4: an upgraded host was left where it should not be");
}

static void check_end(const Auditor *auditor, const Seen *host) {
    const char *name = auditor_name(auditor, host);
    bool forward = !auditor_goes_back(auditor);
    bool back_unknown = host->lost && host->order.kind == ORDER_ROLLBACK && host->on_new;
    bool person = host->stuck || host->kept || back_unknown || (host->lost && (host->live || !forward));
    if (person && auditor->rollout->outcome != OUTCOME_FAILED)
        auditor_broken(auditor, "I5: %s needs a person, and nobody says so", name);
    if (host->order_open) auditor_broken(auditor, "I5: %s has an order that nobody answers", name);
    if (!person && !host->lost) check_traffic(auditor, host);
    if (host->live) return;
    bool accepted = host->committed && host->on_new, named = person || host->lost;
    if (forward && !seen_is_left_out(host) ? !accepted : host->touched && !named)
        auditor_broken(auditor, "I5: %s was left between two versions", name);
}

void auditor_close(const Auditor *auditor) {
    for (size_t i = 0; i < auditor->host_count; i++) check_end(auditor, &auditor->hosts[i]);
}
