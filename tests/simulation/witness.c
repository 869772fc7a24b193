/* What stands in the journal, event by event. Reality: witness_reality.c. */
#include "witness.h"
#include "agent.h"
#include "base/cleanup.h"
#include "controller.h"
#include "machine.h"
#include <string.h>

/* ---- reports: what a host has said stands there */

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
    Known *host = &witness->hosts[index];
    const char *type = json_get_text(event, "type", ""), *name = fleet->machines[index].name;
    int64_t number = json_get_integer(event, "report", 0);
    if (number == 0) return;
    if (number != host->reports + 1)
        fleet_broken(fleet, "I7: report %d of %s stands where %d should", (int)number, name,
                     (int)host->reports + 1);
    host->reports = number;
    if (witness->auditor.hosts[index].lost) fleet_hit(witness->fleet, HIT_RETURNED);
    const json_t *said = json_array_get(fleet->agents[index].history, (size_t)number - 1);
    static const char *const keys[] = {"order_id", "step", "verdict"};
    if (!said) fleet_broken(fleet, "I7: a report that %s never made", name);
    check_is_its_to_say(fleet, index, event);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(event, keys[i]) &&
            !json_equal(json_object_get(event, keys[i]), json_object_get(said, keys[i])))
            fleet_broken(fleet, "I7: report %d of %s is not what it said", (int)number, name);
    if (strcmp(type, "host.report_refused") == 0) {
        if (strncmp(json_get_text(said, "type", ""), "order.", strlen("order.")) != 0 &&
            !json_object_get(said, "lie"))
            fleet_broken(fleet, "I7: a report of %s was refused: %s", name, json_get_text(event, "why", ""));
    } else if (strcmp(type, json_get_text(said, "type", "")) != 0) {
        fleet_broken(fleet, "I7: report %d of %s is not what it said", (int)number, name);
    }
}

/* ---- what it says of reality */

static void read_order(Witness *witness, size_t index, const json_t *event) {
    const Fleet *fleet = witness->fleet;
    Known *known = &witness->hosts[index];
    const Machine *machine = &fleet->machines[index];
    const char *order = json_get_text(event, "order", "");
    if (strcmp(order, "switch") == 0 && !machine->ledger.proved)
        fleet_broken(fleet, "I1: %s is switched before its restore point was proved", machine->name);
    if (strcmp(order, "confirm") == 0 && !known->really_passed)
        fleet_broken(fleet, "I11: %s is confirmed, and it never passed", machine->name);
    if (strcmp(order, "switch") == 0) known->really_passed = false;
}

static void check_answer(const Witness *witness, size_t index, const json_t *event, bool done) {
    const Ledger *ledger = &witness->fleet->machines[index].ledger;
    const char *id = json_get_text(event, "order_id", "");
    for (size_t i = 0; i < ledger->answer_count; i++)
        if (strcmp(ledger->answers[i].id, id) == 0 && ledger->answers[i].done == done) return;
    if (!ledger->rolled_back) fleet_broken(witness->fleet, "I7: an answer that was never given: %s", id);
}

static void read_of_host(Witness *witness, size_t index, const json_t *event) {
    const char *type = json_get_text(event, "type", "");
    check_report(witness, index, event);
    if (strcmp(type, "order.given") == 0) read_order(witness, index, event);
    if (strcmp(type, "order.done") == 0) check_answer(witness, index, event, true);
    if (strcmp(type, "order.failed") == 0) check_answer(witness, index, event, false);
    if (strcmp(type, "host.lost") == 0) witness->hosts[index].was_lost = true;
}

/* ---- what was met */

static void count_event(Fleet *fleet, const char *type) {
    static const struct {
        const char *type;
        Hit hit;
    } hits[] = {
        {"order.cancelled", HIT_CANCELLED},  {"host.lost", HIT_LOST_HOST},         {"host.kept", HIT_KEPT},
        {"host.left_out", HIT_LEFT_OUT},     {"host.report_refused", HIT_REFUSED}, {"rollout.held", HIT_HELD},
        {"take_over.passed", HIT_TAKEN_OVER}};
    for (size_t i = 0; i < sizeof hits / sizeof *hits; i++)
        if (strcmp(hits[i].type, type) == 0) fleet_hit(fleet, hits[i].hit);
}

static void count_change(Fleet *fleet, const Seen *before, const Seen *after) {
    if (after->skipped && !before->skipped) fleet_hit(fleet, HIT_SKIPPED);
    if (after->retried && !before->retried) fleet_hit(fleet, HIT_RETRIED);
    if (after->traffic == before->traffic) return;
    if (after->traffic == TRAFFIC_IN) fleet_hit(fleet, after->live ? HIT_LIVE_BACK : HIT_ADMITTED);
    if (after->traffic == TRAFFIC_OUT && after->live) fleet_hit(fleet, HIT_RETIRED);
}

void witness_read(Fleet *fleet, const json_t *event) {
    Witness *witness = fleet->witness;
    Auditor *auditor = &witness->auditor;
    if (!auditor->rollout) {
        auditor_open(auditor, witness->arena, event);
        return;
    }
    const RolloutHost *host = rollout_host(auditor->rollout, json_get_text(event, "host", NULL));
    size_t index = host ? (size_t)(host - auditor->rollout->hosts) : 0;
    Seen before = auditor->hosts[index];
    if (host) read_of_host(witness, index, event);
    auditor_read(auditor, event);
    count_event(fleet, json_get_text(event, "type", ""));
    count_change(fleet, &before, &auditor->hosts[index]);
}

__attribute__((noreturn)) static void audit_broken(void *context, const char *why) {
    fleet_broken(context, "%s", why);
}

void witness_begin(Fleet *fleet, Witness *witness, Arena *arena) {
    *witness =
        (Witness){.fleet = fleet, .arena = arena, .auditor = {.broken = audit_broken, .context = fleet}};
    for (size_t i = 0; i < fleet->host_count; i++) witness->hosts[i].looked_ms = fleet->now_ms;
}

bool witness_is_paused(const Fleet *fleet) { return fleet->witness->auditor.paused; }
bool witness_has_ended(const Fleet *fleet) { return fleet->witness->auditor.ended; }
bool witness_is_wrong(const Fleet *fleet, size_t host) {
    return seen_is_wrong(&fleet->witness->auditor.hosts[host]);
}

/* ---- what the link says to a host */

void witness_saw_heard(Fleet *fleet, size_t host, int64_t number) {
    const Known *known = &fleet->witness->hosts[host];
    const char *name = fleet->machines[host].name;
    if (number > known->reports)
        fleet_broken(fleet, "I7: %s may forget report %d, and the journal does not have it", name,
                     (int)number);
    if (number < known->reports)
        fleet_broken(fleet, "I7: %s is not told that report %d was heard", name, (int)known->reports);
}

void witness_saw_box(Fleet *fleet, size_t host, const json_t *message) {
    const Seen *seen = &fleet->witness->auditor.hosts[host];
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
    const Auditor *auditor = &fleet->witness->auditor;
    const Seen *seen = &auditor->hosts[rollout_host(auditor->rollout, host) - auditor->rollout->hosts];
    if (!seen->order_open || strcmp(seen->order.id, order->id) != 0)
        fleet_broken(fleet, "I7: %s was acted upon and does not stand open in the journal", order->id);
    if (fleet->controller->lives > 1 && fleet->controller->fresh) fleet_hit(fleet, HIT_SENT_AGAIN);
}
