/* What is read, event by event; what must hold before each: auditor_check.c. */
#include "auditor.h"
#include "base/clock.h"
#include "base/json.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((noreturn)) void auditor_broken(const Auditor *auditor, const char *format, ...) {
    char why[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    auditor->broken(auditor->context, why);
}

const char *auditor_name(const Auditor *auditor, const Seen *host) {
    return auditor->rollout->hosts[host - auditor->hosts].name;
}

bool auditor_goes_back(const Auditor *auditor) { return auditor->failing || auditor->given_up; }

bool seen_is_left_out(const Seen *host) { return host->failed_out || host->skipped; }

bool seen_is_wrong(const Seen *host) { return host->wrong || host->gone || (host->sick && host->watched); }

bool auditor_all_admitted(const Auditor *auditor) {
    for (size_t i = 0; i < auditor->host_count; i++) {
        const Seen *host = &auditor->hosts[i];
        if (!host->live && !seen_is_left_out(host) && host->traffic != TRAFFIC_IN) return false;
    }
    return true;
}

/* ---- orders and their answers */

static void read_order(const Auditor *auditor, Seen *host, const json_t *event) {
    OrderKind kind = ORDER_PREPARE;
    order_kind_from_text(json_get_text(event, "order", NULL), &kind);
    host->order = (Order){.kind = kind};
    snprintf(host->order.id, sizeof host->order.id, "%s", json_get_text(event, "order_id", ""));
    host->order_open = host->touched = true;
    host->cancelled = host->lost = host->stuck = host->kept = host->committed = false;
    host->orders++;
    if (kind == ORDER_PREPARE) host->retried = false;
    if (kind == ORDER_ADMIT || kind == ORDER_RETIRE) host->traffic = TRAFFIC_UNSURE;
    if (kind != ORDER_SWITCH) return;
    host->switches++;
    host->confirm_by_ms = auditor->time_ms + auditor->plan->rollout.confirm_deadline_ms;
    host->on_new = true;
    host->sick = host->resumed_since_switch = host->passed_since_soak = host->confirmed = false;
}

/* Nothing of it is left there. */
static void put_back(Seen *host) {
    host->traffic = TRAFFIC_OUT;
    host->touched = host->proved = host->on_new = host->watched = host->down = host->sick = false;
    host->confirmed = host->stuck = false;
    if (host->retried) host->wrong = host->gone = false;
}

/* Its order stops the service, and was not heard to have started one again. */
static bool may_stand_still(const Seen *host) {
    return host->on_new && (host->order.kind == ORDER_SWITCH || host->order.kind == ORDER_ROLLBACK);
}

static void read_failure(Seen *host) {
    bool back = host->order.kind == ORDER_ROLLBACK || (host->order.kind == ORDER_ADMIT && host->live);
    host->wrong = true;
    host->watched = false;
    host->down |= may_stand_still(host);
    host->stuck = back || host->order.kind == ORDER_COMMIT;
    if (host->stuck) host->retried = false; /* it is a fault again */
}

static void read_answer(const Auditor *auditor, Seen *host, bool done) {
    host->order_open = host->missing = false;
    if (!done) {
        read_failure(host);
        return;
    }
    host->heard_ms = auditor->time_ms;
    switch (host->order.kind) {
    case ORDER_PREPARE: host->proved = true; break;
    case ORDER_SWITCH:
        host->watched = true;
        host->down = false;
        break;
    case ORDER_CONFIRM: host->confirmed = true; break;
    case ORDER_COMMIT:
        host->committed = true;
        host->watched = false;
        break;
    case ORDER_ROLLBACK: put_back(host); break;
    case ORDER_ADMIT: host->traffic = TRAFFIC_IN; break;
    case ORDER_RETIRE: host->traffic = TRAFFIC_OUT; break;
    }
}

/* ---- what a host says or does not say by itself */

/* It says so at least once: what was heard already is no news. */
static void read_rolled_back(Seen *host) {
    if (!host->on_new) return;
    host->gone = !host->retried;
    host->order_open = host->lost = host->missing = false;
    put_back(host);
}

static void read_lost(Seen *host) {
    host->gone = host->lost = host->missing = true;
    host->order_open = host->watched = host->retried = false;
    host->down |= may_stand_still(host);
}

/* Whoever counts its reports is heard by each of them. It is as good as one that has failed: what it has done
 * meanwhile nobody knows. */
static void read_return(Seen *host, const json_t *event) {
    if (json_get_integer(event, "report", 0) == 0) return;
    host->missing = false;
    if (!host->lost) return;
    host->lost = host->gone = false;
    host->wrong = true;
}

static void read_health(const Auditor *auditor, Seen *host, const json_t *event) {
    const char *verdict = json_get_text(event, "verdict", "");
    int64_t seen_ms = auditor->time_ms - json_get_integer(event, "age_ms", 0);
    bool in_soak = seen_ms > auditor->soak_until_ms - auditor->soak_ms;
    host->heard_ms = auditor->time_ms;
    host->missing = false;
    if (strcmp(verdict, "pass") == 0 && in_soak) host->passed_since_soak = true;
    if (strcmp(verdict, "fail") == 0) host->sick = true; /* and stays so */
}

/* ---- what people ask of one host */

static void read_skip(const Auditor *auditor, Seen *host, const RolloutHost *known) {
    bool well = host->on_new && !seen_is_wrong(host) && !host->retried && !auditor->held;
    if (known->part != PART_SKIPPED || host->skipped) return; /* it had no effect */
    if (well || (host->confirmed && !host->retried))
        auditor_broken(auditor, "I5: a host was skipped that runs the new version well");
    host->skipped = true;
    host->retried = false;
    auditor_check_stage_kept(auditor, host);
}

/* At once, where there is nothing to put back. */
static void begin_again(Seen *host) { host->touched = host->proved = host->lost = host->sick = false; }

static void read_retry(const Auditor *auditor, Seen *host, const RolloutHost *known,
                       const RolloutHost *before) {
    bool well = !seen_is_left_out(host) && !seen_is_wrong(host) && !auditor->held;
    if (known->part == before->part && known->state == before->state) return; /* it had no effect */
    if (well) auditor_broken(auditor, "I12: a host was begun again with which nothing was wrong");
    if (auditor_goes_back(auditor)) auditor_broken(auditor, "I12: what was given up was begun again");
    host->failed_out = host->skipped = host->wrong = host->gone = host->stuck = false;
    host->retried = host->resumed_since_switch = true;
    if (known->state == HOST_PENDING) begin_again(host);
}

/* ---- of one host */

static void read_of_host(Auditor *auditor, Seen *host, const RolloutHost *before, const json_t *event) {
    const RolloutHost *known = &auditor->rollout->hosts[host - auditor->hosts];
    const char *type = json_get_text(event, "type", "");
    read_return(host, event);
    if (strcmp(type, "order.given") == 0)
        read_order(auditor, host, event);
    else if (strcmp(type, "order.done") == 0 || strcmp(type, "order.failed") == 0)
        read_answer(auditor, host, strcmp(type, "order.done") == 0);
    else if (strcmp(type, "order.cancelled") == 0)
        host->cancelled = true;
    else if (strcmp(type, "host.lost") == 0)
        read_lost(host);
    else if (strcmp(type, "host.rolled_back") == 0)
        read_rolled_back(host);
    else if (strcmp(type, "host.health") == 0)
        read_health(auditor, host, event);
    else if (strcmp(type, "host.kept") == 0)
        host->kept = true;
    else if (strcmp(type, "control.skip") == 0)
        read_skip(auditor, host, known);
    else if (strcmp(type, "control.retry") == 0)
        read_retry(auditor, host, known, before);
    else if (strcmp(type, "host.left_out") == 0) {
        host->failed_out = true;
        auditor_check_stage_kept(auditor, host);
    }
    bool begins = known->state == HOST_PENDING && before->state != HOST_PENDING && !host->live;
    if (begins && auditor_goes_back(auditor))
        auditor_broken(auditor, "I12: what was given up is to begin again");
}

/* ---- of the rollout */

static void read_soak(Auditor *auditor, int64_t soak_ms) {
    auditor->soak_ms = soak_ms;
    auditor->soak_until_ms = auditor->time_ms + soak_ms;
    for (size_t i = 0; i < auditor->host_count; i++) auditor->hosts[i].passed_since_soak = false;
}

/* A new engine has seen nothing: nobody has passed yet, and the soak begins anew. */
static void read_start(Auditor *auditor) {
    read_soak(auditor, auditor->soak_ms);
    for (size_t i = 0; i < auditor->host_count; i++) auditor->hosts[i].heard_ms = auditor->time_ms;
}

static void resume_host(Seen *host) {
    if (seen_is_left_out(host) || host->retried) return;
    bool goes_on = host->order.kind == ORDER_COMMIT || (host->order.kind == ORDER_ADMIT && !host->live);
    if (host->wrong && goes_on) host->watched = true;
    /* what could not be put back for another try is put back before that all the same */
    host->retried = host->wrong && host->order.kind == ORDER_ROLLBACK;
    host->wrong = host->sick = host->stuck = false;
    host->resumed_since_switch = true;
}

static void read_resume(Auditor *auditor) {
    if (!auditor->paused) return;
    for (size_t i = 0; i < auditor->host_count; i++) {
        auditor->hosts[i].heard_ms = auditor->time_ms;
        if (auditor->held) resume_host(&auditor->hosts[i]);
    }
    auditor->held = auditor->paused = false;
}

static void read_given_up(Auditor *auditor, bool rollback) {
    bool goes_back = auditor_goes_back(auditor) && !auditor->ended;
    if (goes_back || (!rollback && auditor->ended)) return; /* asked too late, or twice */
    auditor->given_up = true;
    auditor->held = auditor->paused = false;
    if (!rollback) return;
    auditor->ended = false;
    for (size_t i = 0; i < auditor->host_count; i++)
        auditor->hosts[i].kept = auditor->hosts[i].stuck = auditor->hosts[i].lost = false;
}

static void read_of_rollout(Auditor *auditor, const json_t *event) {
    const char *type = json_get_text(event, "type", "");
    bool runs = !auditor_goes_back(auditor) && !auditor->ended;
    if (strcmp(type, "engine.started") == 0) read_start(auditor);
    if (strcmp(type, "stage.soaking") == 0 || strcmp(type, "take_over.soaking") == 0)
        read_soak(auditor, json_get_integer(event, "soak_ms", 0));
    if (strcmp(type, "take_over.passed") == 0) auditor->taken_over = true;
    if (strcmp(type, "control.resume") == 0) read_resume(auditor);
    if (strcmp(type, "control.abort") == 0) read_given_up(auditor, false);
    if (strcmp(type, "control.rollback") == 0) read_given_up(auditor, true);
    if ((strcmp(type, "control.pause") == 0 || strcmp(type, "rollout.paused") == 0) && runs)
        auditor->paused = true;
    if (strcmp(type, "rollout.failing") == 0) {
        auditor->failing = true;
        auditor->paused = false;
    }
    if (strcmp(type, "rollout.held") == 0) auditor->held = auditor->paused = true;
    if (strcmp(type, "change.closed") == 0) auditor->ended = true;
    if (!auditor_goes_back(auditor)) return;
    if (auditor->rollout->state == ROLLOUT_RUNNING)
        auditor_broken(auditor, "I12: what was given up runs again");
    if (auditor->rollout->state == ROLLOUT_PAUSED) auditor_broken(auditor, "I5: a rollback was halted");
}

/* ---- the journal */

void auditor_open(Auditor *auditor, Arena *arena, const json_t *opened) {
    Error error = {0};
    if (rollout_open(arena, 1, opened, &auditor->rollout, &error) < 0)
        auditor_broken(auditor, "I7: the change cannot be opened: %s", error.en);
    auditor->plan = auditor->rollout->plan;
    auditor->host_count = auditor->rollout->host_count;
    clock_from_text(json_get_text(opened, "time", ""), &auditor->time_ms);
    for (size_t i = 0; i < auditor->host_count; i++) {
        bool live = plan_host_is_live(auditor->plan, &auditor->plan->hosts.items[i]);
        auditor->hosts[i] = (Seen){.live = live, .traffic = live ? TRAFFIC_IN : TRAFFIC_OUT};
    }
}

void auditor_read(Auditor *auditor, const json_t *event) {
    Error error = {0};
    const RolloutHost *known = rollout_host(auditor->rollout, json_get_text(event, "host", NULL));
    Seen *host = known ? &auditor->hosts[known - auditor->rollout->hosts] : NULL;
    RolloutHost before = known ? *known : (RolloutHost){0};
    clock_from_text(json_get_text(event, "time", ""), &auditor->time_ms);
    auditor_check(auditor, host, event);
    if (rollout_fold(auditor->rollout, auditor->rollout->sequence + 1, event, &error) < 0)
        auditor_broken(auditor, "I7: an event cannot be folded that may come at any moment: %s", error.en);
    if (host) read_of_host(auditor, host, &before, event);
    read_of_rollout(auditor, event);
}
