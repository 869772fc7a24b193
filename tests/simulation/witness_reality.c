/* What really happened, and the end. */
#include "agent.h"
#include "base/cleanup.h"
#include "controller.h"
#include "machine.h"
#include "witness.h"
#include <string.h>

enum { SLACK_MS = MINUTE_MS, CLOCK_SET_MS = 20 * MINUTE_MS };

/* ---- as it goes */

void witness_saw_start(Fleet *fleet, const Rollout *rollout) {
    for (size_t i = 0; i < fleet->host_count; i++) {
        const Witness *witness = fleet->witness;
        if (rollout->hosts[i].order_open != witness->auditor.hosts[i].order_open ||
            rollout->hosts[i].report_number != witness->hosts[i].reports)
            fleet_broken(fleet, "I7: a new controller knows something else of %s", rollout->hosts[i].name);
    }
}

/* Asked in a friendly way, it leaves nothing under way but what may be cut off anywhere. */
void witness_saw_leave(Fleet *fleet, EngineEnd end, int interrupts) {
    bool left = end == ENGINE_PAUSED || end == ENGINE_INTERRUPTED;
    if (left && !interrupts) fleet_broken(fleet, "I5: the engine left by itself");
    if (left) fleet_hit(fleet, interrupts > 1 ? HIT_THROWN_OUT : HIT_LEFT);
    if (end == ENGINE_ENDED && !fleet->witness->auditor.ended)
        fleet_broken(fleet, "I5: the engine ended too early");
    if (end == ENGINE_HELD && !fleet->witness->auditor.held)
        fleet_broken(fleet, "I5: the engine waits for nobody");
    for (size_t i = 0; left && interrupts == 1 && i < fleet->host_count; i++) {
        const Seen *seen = &fleet->witness->auditor.hosts[i];
        if (seen->order_open && seen->order.kind != ORDER_PREPARE)
            fleet_broken(fleet, "I7: the engine left %s alone with %s", fleet->machines[i].name,
                         seen->order.id);
    }
}

void witness_saw_answer(Fleet *fleet, size_t host, const Order *order, bool done) {
    const Ledger *ledger = &fleet->machines[host].ledger;
    fleet_trace(fleet, "%s %s %s", fleet->machines[host].name, done ? "has done" : "fails", order->id);
    for (size_t i = 0; i < ledger->answer_count; i++)
        if (strcmp(ledger->answers[i].id, order->id) == 0)
            fleet_broken(fleet, "I7: %s was carried out twice", order->id);
}

void witness_saw_health(Fleet *fleet, size_t host, const char *verdict) {
    if (strcmp(verdict, "pass") == 0) fleet->witness->hosts[host].really_passed = true;
}

void witness_saw_current(Fleet *fleet, size_t host) {
    const Machine *machine = &fleet->machines[host];
    if (machine->on_new && !machine->ledger.staged)
        fleet_broken(fleet, "I10: %s runs a release that is not whole", machine->name);
}

/* Could go back by itself, and has not been told that it need not. */
static bool is_exposed(const Machine *machine) {
    const Ledger *ledger = &machine->ledger;
    return machine->up && machine->on_new && ledger->confirm_by_ms && !ledger->confirmed &&
           !ledger->committed && !machine->working;
}

/* Blue-green: whoever takes over, or served before, is there already. */
void witness_saw_out(Fleet *fleet, size_t host) {
    const Witness *witness = fleet->witness;
    bool live = witness->auditor.hosts[host].live;
    if (!plan_is_blue_green(fleet->plan) || witness->hosts[host].was_lost) return;
    for (size_t i = 0; i < fleet->host_count; i++) {
        const Seen *other = &witness->auditor.hosts[i];
        bool beyond = witness->hosts[i].was_lost || other->stuck || seen_is_left_out(other);
        if (other->live != live && !beyond && !fleet->machines[i].balancer.in)
            fleet_broken(fleet, "I4: %s went out of traffic before %s was in", fleet->machines[host].name,
                         fleet->machines[i].name);
    }
}

static void look_at_deadline(const Fleet *fleet, Known *known, const Machine *machine) {
    int64_t passed_ms = fleet->now_ms - known->looked_ms;
    int64_t limit_ms = (int64_t)((double)fleet->plan->rollout.confirm_deadline_ms / machine->rate) + SLACK_MS;
    if (fleet->trouble.clock_set) limit_ms += CLOCK_SET_MS;
    known->looked_ms = fleet->now_ms;
    if (!machine->on_new) known->exposed_ms = 0;
    if (known->exposed) known->exposed_ms += passed_ms; /* all the while: what happens is looked at at once */
    known->exposed = is_exposed(machine);
    if (known->exposed_ms > limit_ms)
        fleet_broken(fleet, "I6: %s stands on the new release, and nobody has confirmed it", machine->name);
}

void witness_look(Fleet *fleet) {
    size_t allowed = plan_amount_of(&fleet->plan->rollout.max_unavailable, fleet->host_count);
    size_t out = 0, back = 0;
    for (size_t i = 0; i < fleet->host_count; i++) {
        const Machine *machine = &fleet->machines[i];
        Known *known = &fleet->witness->hosts[i];
        look_at_deadline(fleet, known, machine);
        if (known->was_lost) continue;
        out += machine->out && !machine->being_put_back;
        back += machine->being_put_back;
    }
    if (out > allowed) fleet_broken(fleet, "I4: %d hosts really are out of service", (int)out);
    if (back > allowed) fleet_broken(fleet, "I4: %d hosts really are being put back", (int)back);
}

/* ---- the end */

static void check_balancer(const Fleet *fleet, const Machine *machine, bool in) {
    const Balancer *balancer = &machine->balancer;
    if (!balancer->there) return;
    if (balancer->in != in)
        fleet_broken(fleet, "I4: %s really is %s traffic", machine->name, in ? "out of" : "in");
    if (in && balancer->percent != 100)
        fleet_broken(fleet, "I5: %s was left with %d percent of its traffic", machine->name,
                     balancer->percent);
}

/* Whoever could not be put back, or is lost, is named; where it really is nobody has promised. */
static void check_end(const Fleet *fleet, size_t index) {
    const Auditor *auditor = &fleet->witness->auditor;
    const Seen *seen = &auditor->hosts[index];
    const Machine *machine = &fleet->machines[index];
    bool back = auditor_goes_back(auditor), forward = !back && !seen->live && !seen_is_left_out(seen);
    if (seen->lost || seen->stuck) return;
    if (seen->kept && !machine->on_new)
        fleet_broken(fleet, "I5: %s was kept, and is not on the new version", machine->name);
    if (seen->kept) return;
    if (machine->on_new && !forward)
        fleet_broken(fleet, "I5: %s is said to be rolled back, and is not", machine->name);
    if (forward && (!machine->on_new || !machine->ledger.committed))
        fleet_broken(fleet, "I5: %s is not on the new version", machine->name);
    bool idle = machine->balancer.idle;
    check_balancer(fleet, machine, idle ? forward : !seen->live || back);
}

/* A lost one too: where it can, it has gone back by itself, or never was switched. */
static void check_lost(const Fleet *fleet, size_t index) {
    const Machine *machine = &fleet->machines[index];
    if (fleet->witness->auditor.hosts[index].lost && is_exposed(machine))
        fleet_broken(fleet, "I6: %s was lost on the new release, and stays there", machine->name);
}

void witness_close(Fleet *fleet) {
    int64_t count = 0;
    Error error = {0};
    JOURNAL_AUTO journal = book_open(&fleet->controller->book, NULL);
    auditor_close(&fleet->witness->auditor);
    for (size_t i = 0; i < fleet->host_count; i++) {
        check_end(fleet, i);
        check_lost(fleet, i);
    }
    if (journal_verify(journal, &count, &error) < 0) fleet_broken(fleet, "I8: %s", error.en);
    if (count != (int64_t)fleet->controller->book.count) fleet_broken(fleet, "I8: the journal has holes");
}
