/* What stands in the journal, event by event. Reality: witness_reality.c. */
#include "witness.h"
#include "agent.h"
#include "base/cleanup.h"
#include "controller.h"
#include "machine.h"
#include <string.h>

static size_t allowed_of(const Fleet *fleet) {
    return plan_amount_of(&fleet->plan->rollout.max_unavailable, fleet->host_count);
}

static size_t index_of(const Fleet *fleet, const char *name) {
    size_t i = 0;
    while (name && i < fleet->host_count && strcmp(fleet->machines[i].name, name) != 0) i++;
    return name ? i : fleet->host_count;
}

/* ---- an order is given */

static size_t count_rollbacks(const Witness *witness) {
    size_t count = 0;
    for (size_t i = 0; i < witness->fleet->host_count; i++) {
        const Seen *host = &witness->hosts[i];
        count += host->order_open && host->order.kind == ORDER_ROLLBACK && host->on_new;
    }
    return count;
}

/* Hosts that serve nobody because of us, but for `host`. */
static size_t count_out(const Witness *witness, const Seen *host) {
    size_t count = 0;
    for (size_t i = 0; i < witness->fleet->host_count; i++) {
        const Seen *other = &witness->hosts[i];
        count += other != host && (other->down || (other->order_open && other->order.kind == ORDER_SWITCH));
    }
    return count;
}

static void check_nothing_is_wrong(const Witness *witness) {
    const Fleet *fleet = witness->fleet;
    int64_t limit_ms = rollout_silence_limit_ms(fleet->plan);
    for (size_t i = 0; i < fleet->host_count; i++) {
        const Seen *host = &witness->hosts[i];
        if (host->wrong || host->gone) fleet_broken(fleet, "I5: it went on after a failing verdict");
        if (host->watched && !host->order_open && witness->time_ms - host->heard_ms > limit_ms)
            fleet_broken(fleet, "I11: it went on though %s was silent", fleet->machines[i].name);
    }
}

static void check_switch(const Witness *witness, size_t index) {
    const Fleet *fleet = witness->fleet;
    const Seen *host = &witness->hosts[index];
    if (!fleet->machines[index].ledger.proved)
        fleet_broken(fleet, "I1: %s is switched before its restore point was proved",
                     fleet->machines[index].name);
    if (witness->given_up) fleet_broken(fleet, "I12: switched after it was given up");
    if (witness->failing) fleet_broken(fleet, "I5: switched after a failing verdict");
    if (host->switches > 0 && !host->resumed_since_switch)
        fleet_broken(fleet, "I12: switched again by itself");
    if (count_out(witness, host) >= allowed_of(fleet))
        fleet_broken(fleet, "I4: too many hosts out of service");
    check_nothing_is_wrong(witness);
}

static void check_confirm(const Witness *witness, const Seen *host) {
    const Fleet *fleet = witness->fleet;
    if (witness->time_ms >= host->confirm_by_ms) fleet_broken(fleet, "I6: confirmed after its deadline");
    if (!host->passed_since_soak) fleet_broken(fleet, "I11: confirmed without a report");
    if (!host->really_passed) fleet_broken(fleet, "I11: confirmed, and it never passed");
    if (witness->time_ms < witness->soak_until_ms)
        fleet_broken(fleet, "I11: confirmed before its soak was over");
}

static void check_order(const Witness *witness, size_t index, const json_t *event, OrderKind kind) {
    const Fleet *fleet = witness->fleet;
    const Seen *host = &witness->hosts[index];
    FREE_AUTO char *id = NULL;
    if (asprintf(&id, "%s/%s/%d", fleet->controller->change, fleet->machines[index].name, host->orders + 1) <
        0)
        abort();
    if (strcmp(id, json_get_text(event, "order_id", "")) != 0)
        fleet_broken(fleet, "I7: an order does not have the next name");
    if (host->order_open) fleet_broken(fleet, "I7: a second order was given beside an open one");
    if (kind == ORDER_SWITCH) check_switch(witness, index);
    if (kind == ORDER_ROLLBACK && host->on_new && count_rollbacks(witness) >= allowed_of(fleet))
        fleet_broken(fleet, "I4: too many hosts put back at one time");
    if (kind == ORDER_CONFIRM) check_confirm(witness, host);
    if (kind == ORDER_CONFIRM || kind == ORDER_COMMIT) check_nothing_is_wrong(witness);
}

static void read_order_given(Witness *witness, size_t index, const json_t *event) {
    Seen *host = &witness->hosts[index];
    OrderKind kind = ORDER_PREPARE;
    order_kind_from_text(json_get_text(event, "order", NULL), &kind);
    check_order(witness, index, event, kind);
    host->order = (Order){.kind = kind};
    snprintf(host->order.id, sizeof host->order.id, "%s", json_get_text(event, "order_id", ""));
    host->order_open = true;
    host->cancelled = false;
    host->orders++;
    if (kind == ORDER_ROLLBACK) host->rolled_back = host->committed = host->kept = host->stuck = false;
    if (kind != ORDER_SWITCH) return;
    host->switches++;
    host->confirm_by_ms = witness->time_ms + witness->fleet->plan->rollout.confirm_deadline_ms;
    host->on_new = true;
    host->resumed_since_switch = host->passed_since_soak = host->really_passed = false;
}

/* ---- a host answers, or does not */

static void check_answer(const Witness *witness, size_t index, const json_t *event, bool done) {
    const Seen *host = &witness->hosts[index];
    const Ledger *ledger = &witness->fleet->machines[index].ledger;
    const char *id = json_get_text(event, "order_id", "");
    if (!host->order_open || strcmp(host->order.id, id) != 0)
        fleet_broken(witness->fleet, "I7: an answer to no open order was taken: %s", id);
    for (size_t i = 0; i < ledger->answer_count; i++)
        if (strcmp(ledger->answers[i].id, id) == 0 && ledger->answers[i].done == done) return;
    if (!ledger->rolled_back) fleet_broken(witness->fleet, "I7: an answer that was never given: %s", id);
}

static void read_answer(Witness *witness, size_t index, const json_t *event, bool done) {
    Seen *host = &witness->hosts[index];
    check_answer(witness, index, event, done);
    OrderKind kind = host->order.kind;
    host->order_open = false;
    host->wrong |= !done;
    if (kind == ORDER_SWITCH) host->down = !done;
    if (!done) {
        host->watched = false;
        host->stuck = kind == ORDER_ROLLBACK || kind == ORDER_COMMIT;
        return;
    }
    host->heard_ms = witness->time_ms;
    if (kind == ORDER_SWITCH) host->watched = true;
    if (kind == ORDER_COMMIT || kind == ORDER_ROLLBACK) host->watched = false;
    if (kind == ORDER_COMMIT) host->committed = true;
    if (kind != ORDER_ROLLBACK) return;
    host->down = host->on_new = false;
    host->rolled_back = true;
}

static void read_lost(Witness *witness, size_t index) {
    Seen *host = &witness->hosts[index];
    fleet_hit(witness->fleet, HIT_LOST_HOST);
    if (!host->order_open) fleet_broken(witness->fleet, "I7: an answer was forgotten");
    host->gone = host->lost = host->was_lost = true;
    host->order_open = host->watched = false;
}

static void read_rolled_back(Witness *witness, size_t index) {
    Seen *host = &witness->hosts[index];
    host->gone = host->rolled_back = true;
    host->order_open = host->watched = host->on_new = host->down = host->stuck = false;
}

static void read_health(Witness *witness, Seen *host, const json_t *event) {
    const char *verdict = json_get_text(event, "verdict", "");
    host->heard_ms = witness->time_ms;
    host->passed_since_soak |= strcmp(verdict, "pass") == 0;
    if (strcmp(verdict, "fail") == 0 && host->watched) host->wrong = true;
}

/* It is as good as one that has failed: a person may have it tried again. */
static void read_return(Witness *witness, Seen *host) {
    fleet_hit(witness->fleet, HIT_RETURNED);
    host->lost = host->gone = false;
    host->wrong = true;
}

static void check_is_its_to_say(const Fleet *fleet, size_t index, const json_t *event) {
    static const char *const types[] = {"step.started",     "step.done",          "step.failed",
                                        "order.done",       "order.failed",       "host.health",
                                        "host.rolled_back", "host.report_refused"};
    const char *type = json_get_text(event, "type", ""), *name = fleet->machines[index].name;
    const char *id = json_get_text(event, "order_id", NULL);
    size_t i = 0, count = sizeof types / sizeof *types;
    while (i < count && strcmp(types[i], type) != 0) i++;
    if (i == count) fleet_broken(fleet, "I7: %s has said %s", name, type);
    if (!id || order_is_by_itself(id) || i == count - 1) return;
    FREE_AUTO char *own = NULL;
    if (asprintf(&own, "%s/%s/", fleet->controller->change, name) < 0) abort();
    if (strncmp(id, own, strlen(own)) != 0) fleet_broken(fleet, "I7: %s has spoken of %s", name, id);
}

/* A report of a host: the next one, and what it said. */
static void check_report(Witness *witness, size_t index, const json_t *event) {
    const Fleet *fleet = witness->fleet;
    Seen *host = &witness->hosts[index];
    const char *type = json_get_text(event, "type", ""), *name = fleet->machines[index].name;
    int64_t number = json_get_integer(event, "report", 0);
    if (number == 0) return;
    if (number != host->reports + 1)
        fleet_broken(fleet, "I7: report %d of %s stands where %d should", (int)number, name,
                     (int)host->reports + 1);
    host->reports = number;
    if (host->lost) read_return(witness, host);
    const json_t *said = json_array_get(fleet->agents[index].history, (size_t)number - 1);
    static const char *const keys[] = {"order_id", "step", "verdict"};
    if (!said) fleet_broken(fleet, "I7: a report that %s never made", name);
    check_is_its_to_say(fleet, index, event);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(event, keys[i]) &&
            !json_equal(json_object_get(event, keys[i]), json_object_get(said, keys[i])))
            fleet_broken(fleet, "I7: report %d of %s is not what it said", (int)number, name);
    if (strcmp(type, "host.report_refused") == 0) {
        fleet_hit(witness->fleet, HIT_REFUSED);
        if (strncmp(json_get_text(said, "type", ""), "order.", strlen("order.")) != 0 &&
            !json_object_get(said, "lie"))
            fleet_broken(fleet, "I7: a report of %s was refused: %s", name, json_get_text(event, "why", ""));
    } else if (strcmp(type, json_get_text(said, "type", "")) != 0) {
        fleet_broken(fleet, "I7: report %d of %s is not what it said", (int)number, name);
    }
}

static void read_of_host(Witness *witness, size_t index, const char *type, const json_t *event) {
    Seen *host = &witness->hosts[index];
    check_report(witness, index, event);
    if (strcmp(type, "order.given") == 0)
        read_order_given(witness, index, event);
    else if (strcmp(type, "order.done") == 0 || strcmp(type, "order.failed") == 0)
        read_answer(witness, index, event, strcmp(type, "order.done") == 0);
    else if (strcmp(type, "order.cancelled") == 0)
        host->cancelled = true, fleet_hit(witness->fleet, HIT_CANCELLED);
    else if (strcmp(type, "host.lost") == 0)
        read_lost(witness, index);
    else if (strcmp(type, "host.rolled_back") == 0)
        read_rolled_back(witness, index);
    else if (strcmp(type, "host.health") == 0)
        read_health(witness, host, event);
    else if (strcmp(type, "host.kept") == 0)
        host->kept = true, fleet_hit(witness->fleet, HIT_KEPT);
}

/* ---- the rollout */

static void read_start(Witness *witness) {
    witness->soak_until_ms = witness->time_ms + witness->soak_ms;
    for (size_t i = 0; i < witness->fleet->host_count; i++) {
        witness->hosts[i].passed_since_soak = false;
        witness->hosts[i].heard_ms = witness->time_ms;
    }
}

static void read_soak(Witness *witness, const json_t *event) {
    witness->soak_ms = json_get_integer(event, "soak_ms", 0);
    witness->soak_until_ms = witness->time_ms + witness->soak_ms;
    for (size_t i = 0; i < witness->fleet->host_count; i++) witness->hosts[i].passed_since_soak = false;
}

static void read_resume(Witness *witness) {
    if (!witness->paused) return;
    for (size_t i = 0; i < witness->fleet->host_count; i++) {
        Seen *host = &witness->hosts[i];
        host->heard_ms = witness->time_ms;
        if (!witness->held) continue;
        host->wrong = host->stuck = false;
        host->resumed_since_switch = true;
    }
    witness->held = witness->paused = false;
}

static void read_given_up(Witness *witness, bool rollback) {
    bool goes_back = (witness->failing || witness->given_up) && !witness->ended;
    if (goes_back || (!rollback && witness->ended)) return; /* asked too late, or twice */
    witness->given_up = true;
    witness->held = witness->paused = false;
    if (!rollback) return;
    witness->ended = false;
    for (size_t i = 0; i < witness->fleet->host_count; i++)
        witness->hosts[i].kept = witness->hosts[i].stuck = witness->hosts[i].lost = false;
}

static void read_of_rollout(Witness *witness, const char *type, const json_t *event) {
    if (strcmp(type, "engine.started") == 0) read_start(witness);
    if (strcmp(type, "stage.soaking") == 0) read_soak(witness, event);
    if (strcmp(type, "control.resume") == 0) read_resume(witness);
    if (strcmp(type, "control.abort") == 0) read_given_up(witness, false);
    if (strcmp(type, "control.rollback") == 0) read_given_up(witness, true);
    if (strcmp(type, "control.pause") == 0 && !witness->failing && !witness->given_up && !witness->ended)
        witness->paused = true;
    if (strcmp(type, "rollout.failing") == 0) {
        witness->failing = true;
        witness->paused = false;
    }
    if (strcmp(type, "rollout.held") == 0) {
        fleet_hit(witness->fleet, HIT_HELD);
        witness->held = witness->paused = true;
    }
    if (strcmp(type, "stage.passed") == 0 || strcmp(type, "batch.started") == 0)
        check_nothing_is_wrong(witness);
    if (strcmp(type, "change.closed") == 0) witness->ended = true;
}

void witness_read(Fleet *fleet, const json_t *event) {
    Witness *witness = fleet->witness;
    const char *type = json_get_text(event, "type", "");
    int64_t time_ms = 0;
    clock_from_text(json_get_text(event, "time", ""), &time_ms);
    witness->time_ms = time_ms;
    size_t index = index_of(fleet, json_get_text(event, "host", NULL));
    if (index < fleet->host_count) read_of_host(witness, index, type, event);
    read_of_rollout(witness, type, event);
}

bool witness_is_paused(const Fleet *fleet) { return fleet->witness->paused; }
bool witness_has_ended(const Fleet *fleet) { return fleet->witness->ended; }

void witness_begin(Fleet *fleet, Witness *witness) {
    *witness = (Witness){.fleet = fleet};
    for (size_t i = 0; i < fleet->host_count; i++) witness->hosts[i].looked_ms = fleet->now_ms;
}

/* ---- what the link says to a host */

void witness_saw_heard(Fleet *fleet, size_t host, int64_t number) {
    const Seen *seen = &fleet->witness->hosts[host];
    const char *name = fleet->machines[host].name;
    if (number > seen->reports)
        fleet_broken(fleet, "I7: %s may forget report %d, and the journal does not have it", name,
                     (int)number);
    if (number < seen->reports)
        fleet_broken(fleet, "I7: %s is not told that report %d was heard", name, (int)seen->reports);
}

void witness_saw_box(Fleet *fleet, size_t host, const json_t *message) {
    const Seen *seen = &fleet->witness->hosts[host];
    const char *name = fleet->machines[host].name;
    const char *id = json_get_text(json_object_get(message, "order"), "id", NULL);
    if (id && (!seen->order_open || strcmp(seen->order.id, id) != 0))
        fleet_broken(fleet, "I5: %s is handed %s, which is closed", name, id);
    if (!id && seen->order_open) fleet_broken(fleet, "I7: %s is not handed %s", name, seen->order.id);
    if (id && seen->cancelled != json_get_bool(message, "cancel", false))
        fleet_broken(fleet, "I7: %s hears of a cancel that is none, or not of one", name);
}

/* An order goes out only when it stands in the journal. */
void witness_saw_submit(Fleet *fleet, const char *host, const Order *order) {
    const Seen *seen = &fleet->witness->hosts[index_of(fleet, host)];
    if (!seen->order_open || strcmp(seen->order.id, order->id) != 0)
        fleet_broken(fleet, "I7: %s was acted upon and does not stand open in the journal", order->id);
    if (fleet->controller->lives > 1 && fleet->controller->fresh) fleet_hit(fleet, HIT_SENT_AGAIN);
}
