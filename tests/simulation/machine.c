#include "machine.h"
#include "agent.h"
#include "witness.h"
#include <stdio.h>
#include <string.h>

enum {
    STEP_MS = 4 * SECOND_MS,
    PREPARE_STEP_MS = 15 * SECOND_MS,
    HANG_MS = 6 * HOUR_MS,
    HEALTH_MS = 8 * SECOND_MS,
    HEALTH_FIRST_MS = 50,
    BOOT_MS = 2 * MINUTE_MS,
    GUARD_LOOK_MS = 500,
    CLOCK_SET_MAX_MS = 10 * MINUTE_MS
};

static void live(Machine *machine);

/* ---- its clock */

static int64_t own_steady_ms(Clock *clock) {
    const Machine *machine = machine_of_clock(clock);
    return (int64_t)((double)machine->fleet->now_ms * machine->rate);
}

static int64_t own_wall_ms(Clock *clock) {
    return own_steady_ms(clock) + machine_of_clock(clock)->wall_offset_ms;
}

Machine *machine_of_clock(Clock *clock) { return (Machine *)((char *)clock - offsetof(Machine, clock)); }

static bool chance(Machine *machine, int64_t n) { return fleet_one_in(machine->fleet, n); }

static bool is_armed(const Ledger *ledger) {
    return ledger->confirm_by_ms && !ledger->confirmed && !ledger->committed && !ledger->rolled_back;
}

/* ---- what it says: in the words of src/host */

static json_t *say_begin(Machine *machine, const char *type) {
    char time[CLOCK_TEXT_SIZE];
    clock_to_text(own_wall_ms(&machine->clock), time);
    json_t *event = json_object();
    json_set_text(event, "type", type);
    json_set_text(event, "time", time);
    return event;
}

static void say(Machine *machine, json_t *event) {
    if (machine->guarding)
        json_array_append_new(machine->ledger.unheard, event);
    else
        agent_keep(&machine->fleet->agents[machine->index], event);
}

static void say_step(Machine *machine, const char *type, const char *step, const char *error) {
    json_t *event = say_begin(machine, type);
    json_set_text(event, "order", order_kind_text(machine->ledger.order.kind));
    json_set_text(event, "order_id", machine->ledger.order.id);
    json_set_text(event, "step", step);
    json_set_text(event, "error", error);
    say(machine, event);
}

static void say_answer(Machine *machine, const Order *order, const char *error) {
    json_t *event = say_begin(machine, error ? "order.failed" : "order.done");
    json_set_text(event, "order", order_kind_text(order->kind));
    json_set_text(event, "order_id", order->id);
    json_set_text(event, "error", error);
    say(machine, event);
}

/* ---- health */

static bool is_sick(const Machine *machine) {
    int64_t age_ms = machine->fleet->now_ms - machine->switched_ms;
    return !machine->serving ||
           (age_ms >= machine->nature.sick_from_ms && age_ms < machine->nature.well_from_ms);
}

static bool is_watched(const Machine *machine) {
    const Ledger *ledger = &machine->ledger;
    return machine->opened && !machine->working && ledger->switched && !ledger->committed &&
           !ledger->rolled_back;
}

static void watch(Fleet *fleet, const Due *due) {
    Machine *machine = &fleet->machines[due->host];
    if (due->turn != machine->turn || !is_watched(machine)) return;
    bool sick = is_sick(machine);
    if (sick && machine->serving) fleet_hit(fleet, HIT_BAD_LATER);
    json_t *event = say_begin(machine, "host.health");
    json_set_text(event, "verdict", sick ? "fail" : chance(machine, 40) ? "inconclusive" : "pass");
    if (!sick) witness_saw_health(fleet, due->host, json_get_text(event, "verdict", ""));
    say(machine, event);
    fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, HEALTH_MS), watch, due->host, due->turn, NULL);
}

/* ---- the steps */

static const char *const steps[ORDER_KINDS][11] = {
    [ORDER_PREPARE] = {"check", "stage", "back_up", "prove"},
    [ORDER_SWITCH] = {"ready", "arm", "check_out", "drain", "stop", "final_copy", "activate", "start",
                      "probe", "readmit"},
    [ORDER_CONFIRM] = {"weight", "confirm"},
    [ORDER_COMMIT] = {"commit"},
    [ORDER_ROLLBACK] = {"drain", "stop", "restore", "activate", "start", "probe", "readmit", "finish"},
    [ORDER_ADMIT] = {"admit"},
    [ORDER_RETIRE] = {"retire"},
};

static bool is_step(const char *step, const char *name) { return strcmp(step, name) == 0; }

static int number_of(OrderKind kind, const char *step) {
    int number = 0;
    while (!is_step(steps[kind][number], step)) number++;
    return number;
}

static bool applies(const Machine *machine, const char *step) {
    const Ledger *ledger = &machine->ledger;
    if (balancer_has(step))
        return balancer_applies(&machine->balancer, ledger->order.kind, step, ledger->stopped);
    if (is_step(step, "arm")) return strcmp(machine->fleet->plan->on_failure, "hold") != 0;
    if (ledger->order.kind != ORDER_ROLLBACK || is_step(step, "finish")) return true;
    if (is_step(step, "restore")) return ledger->order.restore_data && ledger->copied && ledger->started;
    return is_step(step, "activate") ? ledger->activated : ledger->stopped;
}

/* What is written before the step acts. */
static void intend(Machine *machine, const char *step) {
    Ledger *ledger = &machine->ledger;
    bool forward = ledger->order.kind == ORDER_SWITCH;
    if (is_step(step, "arm")) {
        ledger->confirm_given_ms = machine->fleet->plan->rollout.confirm_deadline_ms;
        ledger->confirm_by_ms = own_wall_ms(&machine->clock) + ledger->confirm_given_ms;
    }
    if (balancer_has(step)) balancer_intend(&machine->balancer, step);
    if (forward && (is_step(step, "drain") || is_step(step, "stop"))) machine->out = true;
    if (forward && is_step(step, "stop")) ledger->stopped = true;
    if (forward && is_step(step, "activate")) ledger->activated = true;
    if (forward && is_step(step, "start")) ledger->started = true;
    if (!forward && is_step(step, "stop")) ledger->switched = false;
    if (is_step(step, "stop")) machine->serving = false;
}

static void plan_deadline(Machine *machine);

/* What it has done when it is over. Each may be done once more: it comes to the same. */
static void take_effect(Machine *machine, const char *step) {
    Ledger *ledger = &machine->ledger;
    bool back = ledger->order.kind == ORDER_ROLLBACK;
    if (balancer_has(step))
        balancer_take_effect(&machine->balancer, machine->index, ledger->order.kind, step);
    if (is_step(step, "stage")) ledger->staged = true;
    if (is_step(step, "prove")) ledger->proved = true;
    if (is_step(step, "arm")) {
        machine->guard_awake = true;
        plan_deadline(machine);
    }
    if (is_step(step, "final_copy")) ledger->copied = true;
    if (is_step(step, "activate")) {
        machine->on_new = !back;
        witness_saw_current(machine->fleet, machine->index);
    }
    if (is_step(step, "start")) machine->serving = true;
    if (!back && is_step(step, "probe")) {
        ledger->switched = true;
        machine->switched_ms = machine->fleet->now_ms;
    }
}

static void finish(Machine *machine) {
    Ledger *ledger = &machine->ledger;
    switch (ledger->order.kind) {
    case ORDER_PREPARE: break;
    case ORDER_SWITCH: machine->out = false; break;
    case ORDER_CONFIRM:
        ledger->confirmed = true;
        ledger->confirm_by_ms = 0;
        break;
    case ORDER_COMMIT: ledger->committed = true; break;
    case ORDER_ROLLBACK:
        ledger->rolled_back = true;
        ledger->confirm_by_ms = 0;
        ledger->staged = ledger->confirmed;
        machine->out = false;
        break;
    case ORDER_ADMIT:
    case ORDER_RETIRE: break; /* the balancer knows */
    }
}

/* NULL, or why the step fails. */
static const char *trouble_with(Machine *machine, const char *step) {
    Nature *nature = &machine->nature;
    OrderKind kind = machine->ledger.order.kind;
    if (is_step(step, "check") && nature->refuses) return "imagined: there is no room";
    if (balancer_has(step) && !machine->ledger.by_itself)
        return balancer_trouble(&machine->balancer, kind, step);
    if (is_step(step, "confirm") && machine->ledger.rolled_back) return "it rolled back by itself";
    if (!is_step(step, "probe")) return NULL;
    if (kind == ORDER_ROLLBACK) {
        if (!nature->stubborn || machine->ledger.by_itself) return NULL;
        fleet_hit(machine->fleet, HIT_STUBBORN);
        return "imagined: the old version is dead";
    }
    if (nature->bad_times == 0) return NULL;
    nature->bad_times--;
    fleet_hit(machine->fleet, HIT_BAD_AT_ONCE);
    machine->serving = false;
    return "imagined: the new version does not become healthy";
}

static int64_t duration_ms(Machine *machine, const char *step) {
    bool prepares = machine->ledger.order.kind == ORDER_PREPARE;
    if (machine->nature.hangs_in == machine->orders && !machine->ledger.by_itself && chance(machine, 2)) {
        machine->nature.hangs_in = 0;
        fleet_hit(machine->fleet, HIT_HUNG);
        return prepares ? 4 * HANG_MS : HANG_MS;
    }
    int64_t ms = fleet_about(machine->fleet, prepares ? PREPARE_STEP_MS : STEP_MS);
    return is_step(step, "probe") ? 2 * ms : ms;
}

/* ---- carrying an order out */

static const char *step_of(const Machine *machine) {
    return steps[machine->ledger.order.kind][machine->ledger.step];
}

static void close_order(Machine *machine, const char *error) {
    Ledger *ledger = &machine->ledger;
    witness_saw_answer(machine->fleet, machine->index, &ledger->order, error == NULL);
    if (!error) finish(machine);
    if (ledger->answer_count == ANSWERS_MAX) fleet_broken(machine->fleet, "I5: a host had too many orders");
    ledger->answers[ledger->answer_count] = (Answer){.done = !error};
    memcpy(ledger->answers[ledger->answer_count++].id, ledger->order.id, ORDER_ID_SIZE);
    ledger->order_open = false;
    machine->working = machine->being_put_back = false;
    if (!ledger->by_itself) {
        say_answer(machine, &ledger->order, error);
    } else if (!machine->guarding) {
        agent_keep(&machine->fleet->agents[machine->index], say_begin(machine, "host.rolled_back"));
    }
    machine->guarding = false;
    live(machine);
}

static void end_step(Fleet *fleet, const Due *due);

static void next_step(Machine *machine) {
    Ledger *ledger = &machine->ledger;
    while (step_of(machine) && !applies(machine, step_of(machine))) ledger->step++;
    const char *step = step_of(machine);
    if (!step) {
        close_order(machine, NULL);
        return;
    }
    if (machine->cancelled && !ledger->by_itself) {
        close_order(machine, "cancelled");
        return;
    }
    intend(machine, step);
    say_step(machine, "step.started", step, NULL);
    fleet_plan(machine->fleet, machine->fleet->now_ms + duration_ms(machine, step), end_step, machine->index,
               machine->turn, NULL);
}

static void end_step(Fleet *fleet, const Due *due) {
    Machine *machine = &fleet->machines[due->host];
    if (due->turn != machine->turn) return;
    const char *step = step_of(machine), *error = trouble_with(machine, step);
    if (error) {
        say_step(machine, "step.failed", step, error);
        close_order(machine, error);
        return;
    }
    take_effect(machine, step);
    say_step(machine, "step.done", step, NULL);
    machine->ledger.step++;
    next_step(machine);
}

static void carry_out(Machine *machine, const Order *order, bool by_itself) {
    Ledger *ledger = &machine->ledger;
    bool goes_on = ledger->order_open && strcmp(ledger->order.id, order->id) == 0;
    int stop = number_of(ORDER_SWITCH, "stop"), start = number_of(ORDER_SWITCH, "start");
    bool stopped = goes_on && order->kind == ORDER_SWITCH && ledger->step > stop;
    ledger->order = *order;
    ledger->order_open = true;
    ledger->by_itself = by_itself;
    if (!goes_on) ledger->step = 0;
    if (stopped && ledger->step < start) ledger->step = stop; /* something may have started it meanwhile */
    machine->working = true;
    machine->turn++;
    machine->orders++;
    machine->being_put_back = order->kind == ORDER_ROLLBACK && !by_itself && ledger->stopped;
    fleet_trace(machine->fleet, "%s begins %s (%s)%s", machine->name, order->id, order_kind_text(order->kind),
                goes_on ? " where it was" : "");
    next_step(machine);
}

static const Answer *find_answer(const Ledger *ledger, const char *id) {
    for (size_t i = 0; i < ledger->answer_count; i++)
        if (strcmp(ledger->answers[i].id, id) == 0) return &ledger->answers[i];
    return NULL;
}

/* A person has asked for another try: as if nothing had been done here, but for what was answered. */
static void begin_again(Machine *machine) {
    Ledger *ledger = &machine->ledger, fresh = {.unheard = ledger->unheard};
    memcpy(fresh.answers, ledger->answers, sizeof fresh.answers);
    fresh.answer_count = ledger->answer_count;
    json_array_clear(ledger->unheard);
    *ledger = fresh;
    balancer_forget(&machine->balancer);
    fleet_hit(machine->fleet, HIT_BEGUN_AGAIN);
}

static void begin_waiting(Machine *machine) {
    const Ledger *ledger = &machine->ledger;
    Order order = machine->waiting;
    const Answer *answer = find_answer(ledger, order.id);
    machine->waits = false;
    if (!answer && ledger->rolled_back && order.kind == ORDER_PREPARE) begin_again(machine);
    if (answer) {
        say_answer(machine, &order, answer->done ? NULL : "as it said before");
        live(machine);
    } else if (ledger->rolled_back) {
        witness_saw_answer(machine->fleet, machine->index, &order, order.kind == ORDER_ROLLBACK);
        say_answer(machine, &order, order.kind == ORDER_ROLLBACK ? NULL : "it heard no confirmation in time");
        live(machine);
    } else {
        carry_out(machine, &order, false);
    }
}

/* ---- the dead man's switch */

static void roll_back_by_itself(Machine *machine, bool guarding) {
    Order order = {.kind = ORDER_ROLLBACK, .restore_data = true};
    snprintf(order.id, sizeof order.id, "CHG" ORDER_BY_ITSELF "%zu", machine->ledger.answer_count + 1);
    if (machine->ledger.order_open && machine->ledger.by_itself) order = machine->ledger.order;
    fleet_hit(machine->fleet, HIT_SELF);
    if (guarding) fleet_hit(machine->fleet, HIT_GUARD);
    machine->guarding = guarding;
    carry_out(machine, &order, true);
}

static int64_t left_ms(Machine *machine) {
    return deadline_left_ms(&machine->deadline, machine->ledger.confirm_by_ms,
                            machine->ledger.confirm_given_ms, &machine->clock);
}

static void look_at_deadline(Fleet *fleet, const Due *due) {
    Machine *machine = &fleet->machines[due->host];
    if (due->turn != machine->deadline_turn || !machine->up || !is_armed(&machine->ledger)) return;
    if (machine->working) return; /* live() looks again */
    if (left_ms(machine) > 0)
        plan_deadline(machine);
    else if (machine->opened || machine->guard_awake)
        roll_back_by_itself(machine, !machine->opened);
}

static void plan_deadline(Machine *machine) {
    if (!machine->up || !is_armed(&machine->ledger)) return;
    int64_t left = (int64_t)((double)left_ms(machine) / machine->rate) + 1;
    fleet_plan(machine->fleet, machine->fleet->now_ms + (left > 0 ? left : 0) + GUARD_LOOK_MS,
               look_at_deadline, machine->index, ++machine->deadline_turn, NULL);
}

/* What comes next: its order, its deadline, or watching. */
static void live(Machine *machine) {
    if (machine->working || !machine->up) return;
    plan_deadline(machine);
    if (!machine->opened) {
        machine_open(machine);
        return;
    }
    if (machine->waits) {
        begin_waiting(machine);
        return;
    }
    if (!is_watched(machine)) return;
    fleet_plan(machine->fleet, machine->fleet->now_ms + HEALTH_FIRST_MS, watch, machine->index,
               ++machine->turn, NULL);
}

/* ---- for its agent */

static void tell_unheard(Machine *machine) {
    size_t index;
    json_t *event;
    json_array_foreach(machine->ledger.unheard, index, event)
        agent_keep(&machine->fleet->agents[machine->index], json_deep_copy(event));
}

void machine_open(Machine *machine) {
    Ledger *ledger = &machine->ledger;
    if (machine->opened || machine->working || !machine->fleet->agents[machine->index].alive) return;
    machine->opened = true;
    if (ledger->confirm_by_ms) machine->guard_awake = true;
    tell_unheard(machine);
    if (ledger->order_open && ledger->by_itself) {
        roll_back_by_itself(machine, false);
        return;
    }
    if (ledger->rolled_back && ledger->by_itself)
        agent_keep(&machine->fleet->agents[machine->index], say_begin(machine, "host.rolled_back"));
    live(machine);
}

void machine_drop(Machine *machine) {
    machine->opened = machine->waits = machine->cancelled = false;
    if (machine->guarding && machine->up) return; /* the guard goes on */
    if (machine->working) {
        fleet_hit(machine->fleet, HIT_CUT_OFF);
        if (chance(machine, 2) && !is_step(step_of(machine), "probe"))
            take_effect(machine, step_of(machine)); /* done, and not yet written down */
    }
    machine->working = machine->guarding = machine->being_put_back = false;
    machine->turn++;
    plan_deadline(machine);
}

void machine_submit(Machine *machine, const Order *order) {
    machine->waiting = *order;
    machine->waits = true;
    machine->cancelled = false;
    live(machine);
}

void machine_cancel(Machine *machine) {
    if (!machine->ledger.by_itself) machine->cancelled = true;
}

/* ---- bad luck */

static void boot(Fleet *fleet, const Due *due) {
    Machine *machine = &fleet->machines[due->host];
    if (machine->nature.gone_ms <= fleet->now_ms) return;
    machine->up = true;
    machine->deadline = (Deadline){0}; /* learnt anew */
    fleet_trace(fleet, "%s is up again", machine->name);
    agent_start(&fleet->agents[due->host]);
}

static void switch_off(Machine *machine) {
    fleet_trace(machine->fleet, "%s is switched off", machine->name);
    machine->up = machine->guard_awake = false;
    agent_die(&machine->fleet->agents[machine->index]);
    machine->deadline_turn++;
}

static void go(Fleet *fleet, const Due *due) {
    if (!fleet->machines[due->host].up) return;
    fleet_hit(fleet, HIT_GONE);
    switch_off(&fleet->machines[due->host]);
}

static void reboot(Fleet *fleet, const Due *due) {
    Machine *machine = &fleet->machines[due->host];
    int64_t every_ms = (int64_t)fleet->trouble.reboots * SECOND_MS;
    if (fleet_is_calm(fleet)) return;
    fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, every_ms), reboot, due->host, 0, NULL);
    if (!machine->up) return;
    fleet_hit(fleet, HIT_REBOOTED);
    switch_off(machine);
    fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, fleet_one_in(fleet, 8) ? 5 * HOUR_MS : BOOT_MS),
               boot, due->host, 0, NULL);
}

static void set_clock(Fleet *fleet, const Due *due) {
    Machine *machine = &fleet->machines[due->host];
    if (fleet_is_calm(fleet)) return;
    fleet_hit(fleet, HIT_CLOCK_SET);
    machine->wall_offset_ms = fleet_up_to(fleet, (int64_t)2 * CLOCK_SET_MAX_MS) - CLOCK_SET_MAX_MS;
    fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, (int64_t)fleet->trouble.clock_set * SECOND_MS),
               set_clock, due->host, 0, NULL);
}

/* ---- begin and end */

static Nature imagine(Fleet *fleet) {
    Nature nature = {.refuses = fleet_one_in(fleet, 60),
                     .bad_times = fleet_one_in(fleet, 12) ? 1 + (int)fleet_up_to(fleet, 2) : 0,
                     .sick_from_ms = NEVER_MS,
                     .well_from_ms = NEVER_MS,
                     .stubborn = fleet_one_in(fleet, 25),
                     .hangs_in = fleet_one_in(fleet, 40) ? 1 + (int)fleet_up_to(fleet, 4) : 0,
                     .gone_ms = NEVER_MS};
    if (fleet_one_in(fleet, 20)) nature.sick_from_ms = fleet_up_to(fleet, 2 * MINUTE_MS);
    if (fleet_one_in(fleet, 2) && nature.sick_from_ms != NEVER_MS)
        nature.well_from_ms = nature.sick_from_ms + fleet_up_to(fleet, MINUTE_MS);
    if (fleet_one_in(fleet, 40)) nature.gone_ms = fleet->now_ms + fleet_up_to(fleet, 15 * MINUTE_MS);
    return nature;
}

static void begin_clock(Machine *machine) {
    Fleet *fleet = machine->fleet;
    machine->clock = (Clock){own_wall_ms, own_steady_ms};
    machine->rate = 1;
    if (fleet_one_in(fleet, 4)) {
        fleet_hit(fleet, HIT_CLOCK_WRONG);
        machine->rate = 0.7 + (double)fleet_up_to(fleet, 600) / 1000;
    }
    machine->wall_offset_ms = fleet_up_to(fleet, (int64_t)2 * CLOCK_SET_MAX_MS) - CLOCK_SET_MAX_MS;
    if (fleet->trouble.clock_set)
        fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, (int64_t)fleet->trouble.clock_set * SECOND_MS),
                   set_clock, machine->index, 0, NULL);
}

void machine_begin(Fleet *fleet, Machine *machine, size_t index, const char *name) {
    *machine = (Machine){.fleet = fleet,
                         .index = index,
                         .name = name,
                         .nature = imagine(fleet),
                         .ledger = {.unheard = json_array()},
                         .up = true,
                         .serving = true};
    balancer_begin(fleet, &machine->balancer, index);
    begin_clock(machine);
    if (machine->nature.gone_ms != NEVER_MS) fleet_plan(fleet, machine->nature.gone_ms, go, index, 0, NULL);
    if (fleet->trouble.reboots)
        fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, (int64_t)fleet->trouble.reboots * SECOND_MS),
                   reboot, index, 0, NULL);
}

void machine_end(Machine *machine) { json_decref(machine->ledger.unheard); }
