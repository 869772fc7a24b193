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
        const Seen *seen = &fleet->witness->hosts[i];
        if (rollout->hosts[i].order_open != seen->order_open ||
            rollout->hosts[i].report_number != seen->reports)
            fleet_broken(fleet, "I7: a new controller knows something else of %s", rollout->hosts[i].name);
    }
}

/* Asked in a friendly way, it leaves nothing under way but what may be cut off anywhere. */
void witness_saw_leave(Fleet *fleet, EngineEnd end, int interrupts) {
    bool left = end == ENGINE_PAUSED || end == ENGINE_INTERRUPTED;
    if (left && !interrupts) fleet_broken(fleet, "I5: the engine left by itself");
    if (left) fleet_hit(fleet, interrupts > 1 ? HIT_THROWN_OUT : HIT_LEFT);
    if (end == ENGINE_ENDED && !fleet->witness->ended) fleet_broken(fleet, "I5: the engine ended too early");
    if (end == ENGINE_HELD && !fleet->witness->held) fleet_broken(fleet, "I5: the engine waits for nobody");
    for (size_t i = 0; left && interrupts == 1 && i < fleet->host_count; i++) {
        const Seen *seen = &fleet->witness->hosts[i];
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

static void look_at_deadline(const Fleet *fleet, Seen *seen, const Machine *machine) {
    int64_t passed_ms = fleet->now_ms - seen->looked_ms;
    int64_t limit_ms = (int64_t)((double)fleet->plan->rollout.confirm_deadline_ms / machine->rate) + SLACK_MS;
    if (fleet->trouble.clock_set) limit_ms += CLOCK_SET_MS;
    seen->looked_ms = fleet->now_ms;
    seen->exposed_ms = is_exposed(machine) ? seen->exposed_ms + passed_ms
                       : machine->on_new   ? seen->exposed_ms
                                           : 0;
    if (seen->exposed_ms > limit_ms)
        fleet_broken(fleet, "I6: %s stands on the new release, and nobody has confirmed it", machine->name);
}

void witness_look(Fleet *fleet) {
    size_t allowed = plan_amount_of(&fleet->plan->rollout.max_unavailable, fleet->host_count);
    size_t out = 0, back = 0;
    for (size_t i = 0; i < fleet->host_count; i++) {
        const Machine *machine = &fleet->machines[i];
        Seen *seen = &fleet->witness->hosts[i];
        look_at_deadline(fleet, seen, machine);
        if (seen->was_lost) continue;
        out += machine->out && !machine->being_put_back;
        back += machine->being_put_back;
    }
    if (out > allowed) fleet_broken(fleet, "I4: %d hosts really are out of service", (int)out);
    if (back > allowed) fleet_broken(fleet, "I4: %d hosts really are being put back", (int)back);
}

/* ---- the end */

static void check_end(const Fleet *fleet, size_t index, RolloutOutcome outcome) {
    const Seen *seen = &fleet->witness->hosts[index];
    const Machine *machine = &fleet->machines[index];
    bool untouched = seen->orders == 0;
    if (seen->lost || seen->stuck) {
        if (outcome != OUTCOME_FAILED)
            fleet_broken(fleet, "I5: %s needs a person, and nobody says so", machine->name);
        return;
    }
    if (seen->order_open) fleet_broken(fleet, "I5: %s has an order that nobody answers", machine->name);
    if (outcome == OUTCOME_SUCCEEDED) {
        if (!seen->committed || !machine->on_new || !machine->ledger.committed)
            fleet_broken(fleet, "I5: %s is not on the new version", machine->name);
        return;
    }
    if (seen->kept) {
        if (!machine->on_new)
            fleet_broken(fleet, "I5: %s was kept, and is not on the new version", machine->name);
        return;
    }
    if (!untouched && !seen->rolled_back)
        fleet_broken(fleet, "I5: %s was left between two versions", machine->name);
    if (machine->on_new) fleet_broken(fleet, "I5: %s is said to be rolled back, and is not", machine->name);
}

/* A lost one too: where it can, it has gone back by itself, or never was switched. */
static void check_lost(const Fleet *fleet, size_t index) {
    const Machine *machine = &fleet->machines[index];
    if (fleet->witness->hosts[index].lost && is_exposed(machine))
        fleet_broken(fleet, "I6: %s was lost on the new release, and stays there", machine->name);
}

void witness_close(Fleet *fleet, RolloutOutcome outcome) {
    int64_t count = 0;
    Error error = {0};
    JOURNAL_AUTO journal = book_open(&fleet->controller->book, NULL);
    for (size_t i = 0; i < fleet->host_count; i++) {
        check_end(fleet, i, outcome);
        check_lost(fleet, i);
    }
    if (journal_verify(journal, &count, &error) < 0) fleet_broken(fleet, "I8: %s", error.en);
    if (count != (int64_t)fleet->controller->book.count) fleet_broken(fleet, "I8: the journal has holes");
}
