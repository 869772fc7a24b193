#include "agent.h"
#include "machine.h"
#include "network.h"
#include "witness.h"
#include <string.h>

enum {
    REPORTS_MAX = 100,
    HASTY_REPORTS_MAX = 2,
    HASTY_LETTERS = 4,
    COLLECT_MS = 200,
    PATIENCE_MS = 20 * SECOND_MS, /* with a letter of reports */
    POLL_PATIENCE_MS = 3 * MINUTE_MS,
    RESTART_MS = 20 * SECOND_MS,
    IDLE_MIN_MS = SECOND_MS,
    IDLE_MAX_MS = 5 * MINUTE_MS
};

static void plan_turn(Agent *agent, int64_t at_ms);

/* ---- what it has to tell */

void agent_keep(Agent *agent, json_t *event) {
    agent->idle_ms = IDLE_MIN_MS;
    json_array_append_new(agent->said, event);
    plan_turn(agent, agent->fleet->now_ms + 1 + fleet_up_to(agent->fleet, COLLECT_MS));
}

/* What no host may say, or not of that order. */
static void lie(Agent *agent) {
    static const struct {
        const char *type, *order_id;
    } lies[] = {{"control.abort", NULL},
                {"control.resume", NULL},
                {"change.closed", NULL},
                {"host.lost", NULL},
                {"order.given", NULL},
                {"order.done", "CHG-2026-0001/x/1"},
                {"step.started", "CHG-2026-0001/x/1"}};
    size_t which = (size_t)fleet_up_to(agent->fleet, sizeof lies / sizeof *lies);
    json_t *event = json_object();
    json_set_text(event, "type", lies[which].type);
    json_set_text(event, "time", "2026-01-01T00:00:00.000Z");
    json_set_text(event, "order_id", lies[which].order_id);
    json_set_bool(event, "lie", true);
    json_array_append_new(agent->said, event);
    fleet_hit(agent->fleet, HIT_LIE);
}

static void collect(Agent *agent) {
    if (agent->lies && !fleet_is_calm(agent->fleet) && fleet_one_in(agent->fleet, 20)) lie(agent);
    size_t index;
    json_t *event;
    json_array_foreach(agent->said, index, event) {
        json_t *report = json_object();
        json_set_integer(report, "number", ++agent->last);
        json_object_set(report, "event", event);
        json_set_integer(report, "put_ms", agent->fleet->now_ms);
        json_array_append_new(agent->outbox, report);
        json_array_append(agent->history, event);
    }
    json_array_clear(agent->said);
}

static void forget_heard(Agent *agent, int64_t heard) {
    if (heard > agent->last) fleet_broken(agent->fleet, "I7: the controller has heard of more than was said");
    for (; agent->heard < heard; agent->heard++) json_array_remove(agent->outbox, 0);
}

/* ---- letters out */

static void tell_some(Agent *agent, size_t from, size_t max) {
    json_t *letter = json_object(), *reports = json_array();
    for (size_t i = from; i < json_array_size(agent->outbox) && i < from + max; i++) {
        json_t *report = json_copy(json_array_get(agent->outbox, i));
        json_set_integer(report, "age_ms", agent->fleet->now_ms - json_get_integer(report, "put_ms", 0));
        json_array_append_new(reports, report);
    }
    json_object_set_new(letter, "reports", reports);
    agent->telling = ++agent->question;
    agent->told_ms = agent->fleet->now_ms;
    network_ask(agent->fleet, agent->host, agent->question, letter);
}

static void tell(Agent *agent) {
    size_t count = json_array_size(agent->outbox);
    if (!agent->hasty) {
        tell_some(agent, 0, REPORTS_MAX);
        return;
    }
    for (size_t i = 0; i < HASTY_LETTERS && i * HASTY_REPORTS_MAX < count; i++)
        tell_some(agent, i * HASTY_REPORTS_MAX, HASTY_REPORTS_MAX);
}

static void poll(Agent *agent) {
    json_t *letter = json_object();
    json_object_set_new(letter, "reports", json_array());
    agent->polling = ++agent->question;
    agent->polled_ms = agent->fleet->now_ms;
    network_ask(agent->fleet, agent->host, agent->question, letter);
}

static void take_turn(Fleet *fleet, const Due *due) {
    Agent *agent = &fleet->agents[due->host];
    if (due->turn != agent->turn || !agent->alive) return;
    agent->turn_ms = NEVER_MS;
    collect(agent);
    if (fleet->now_ms - agent->told_ms >= PATIENCE_MS) agent->telling = 0; /* given up */
    if (json_array_size(agent->outbox) && !agent->telling) tell(agent);
    if (agent->polling && fleet->now_ms - agent->polled_ms >= POLL_PATIENCE_MS) agent->polling = 0;
    if (!agent->polling && fleet->now_ms >= agent->poll_from_ms) poll(agent);
    int64_t next_ms = agent->polling ? agent->polled_ms + POLL_PATIENCE_MS : agent->poll_from_ms;
    if (agent->telling && agent->told_ms + PATIENCE_MS < next_ms) next_ms = agent->told_ms + PATIENCE_MS;
    plan_turn(agent, next_ms);
}

static void plan_turn(Agent *agent, int64_t at_ms) {
    if (!agent->alive || agent->turn_ms <= at_ms) return;
    agent->turn_ms = at_ms;
    fleet_plan(agent->fleet, at_ms, take_turn, agent->host, ++agent->turn, NULL);
}

/* ---- answers in */

static void take_order(Agent *agent, const json_t *said, bool cancel) {
    Machine *machine = &agent->fleet->machines[agent->host];
    Order order = {.restore_data = json_get_bool(said, "restore_data", false)};
    const char *id = json_get_text(said, "id", "");
    if (!order_kind_from_text(json_get_text(said, "kind", NULL), &order.kind) ||
        strlen(id) >= sizeof order.id)
        fleet_broken(agent->fleet, "I7: an order makes no sense");
    memcpy(order.id, id, strlen(id) + 1);
    if (strcmp(agent->order, id) != 0) {
        memcpy(agent->order, id, strlen(id) + 1);
        agent->cancelled = false;
        machine_submit(machine, &order);
    }
    if (cancel && !agent->cancelled) machine_cancel(machine);
    agent->cancelled |= cancel;
}

/* The longer nothing happens, the more seldom it asks. */
static int64_t idle_ms(Agent *agent) {
    agent->idle_ms = 2 * agent->idle_ms;
    if (agent->idle_ms < IDLE_MIN_MS) agent->idle_ms = IDLE_MIN_MS;
    if (agent->idle_ms > IDLE_MAX_MS) agent->idle_ms = IDLE_MAX_MS;
    return fleet_about(agent->fleet, agent->idle_ms);
}

void agent_hear(Fleet *fleet, size_t host, uint64_t question, const json_t *answer) {
    Agent *agent = &fleet->agents[host];
    bool expected = question == agent->polling || question == agent->telling;
    if (!agent->alive || question < agent->first_question) return;
    if (!expected && !agent->gullible && !agent->hasty) return;
    if (!expected) fleet_hit(fleet, HIT_STALE);
    bool polled = question == agent->polling;
    if (polled) agent->polling = 0;
    if (question == agent->telling) agent->telling = 0;
    if (json_object_get(answer, "trouble")) {
        plan_turn(agent, fleet->now_ms + SECOND_MS);
        return;
    }
    forget_heard(agent, json_get_integer(answer, "heard", 0));
    const json_t *order = json_object_get(answer, "order");
    if (order) take_order(agent, order, json_get_bool(answer, "cancel", false));
    if (json_array_size(agent->outbox)) plan_turn(agent, fleet->now_ms + COLLECT_MS);
    if (!polled) return;
    agent->poll_from_ms = fleet->now_ms + idle_ms(agent);
    plan_turn(agent, agent->poll_from_ms);
}

/* ---- life and death */

void agent_start(Agent *agent) {
    if (agent->alive || !agent->fleet->machines[agent->host].up) return;
    agent->alive = true;
    agent->polling = agent->telling = 0;
    agent->first_question = agent->question + 1;
    agent->order[0] = '\0';
    agent->cancelled = false;
    agent->turn_ms = NEVER_MS;
    machine_open(&agent->fleet->machines[agent->host]);
    plan_turn(agent, agent->fleet->now_ms + fleet_up_to(agent->fleet, SECOND_MS));
}

void agent_die(Agent *agent) {
    if (!agent->alive) return;
    agent->alive = false;
    agent->turn++;
    json_array_clear(agent->said);
    machine_drop(&agent->fleet->machines[agent->host]);
}

static void restart(Fleet *fleet, const Due *due) { agent_start(&fleet->agents[due->host]); }

static void die_some_day(Fleet *fleet, const Due *due) {
    Agent *agent = &fleet->agents[due->host];
    if (fleet_is_calm(fleet)) return;
    if (agent->alive) {
        fleet_hit(fleet, HIT_AGENT_DIED);
        fleet_trace(fleet, "the agent of %s dies", fleet->machines[due->host].name);
        agent_die(agent);
        int64_t down_ms = fleet_about(fleet, fleet_one_in(fleet, 6) ? HOUR_MS : RESTART_MS);
        fleet_plan(fleet, fleet->now_ms + down_ms, restart, due->host, 0, NULL);
    }
    fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, (int64_t)fleet->trouble.agent_dies * SECOND_MS),
               die_some_day, due->host, 0, NULL);
}

void agent_begin(Fleet *fleet, Agent *agent, size_t host) {
    *agent = (Agent){.fleet = fleet,
                     .host = host,
                     .hasty = fleet_one_in(fleet, 4),
                     .lies = fleet_one_in(fleet, 30),
                     .gullible = fleet_one_in(fleet, 3),
                     .said = json_array(),
                     .outbox = json_array(),
                     .history = json_array(),
                     .turn_ms = NEVER_MS};
    agent_start(agent);
    if (fleet->trouble.agent_dies)
        fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, (int64_t)fleet->trouble.agent_dies * SECOND_MS),
                   die_some_day, host, 0, NULL);
}

void agent_end(Agent *agent) {
    json_decref(agent->said);
    json_decref(agent->outbox);
    json_decref(agent->history);
}
