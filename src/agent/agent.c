#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/json.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { REPORTS_MAX = 100 };

struct Agent {
    AgentSpec spec;
    HostLink *link;
    Outbox *outbox;
    char order[ORDER_ID_SIZE]; /* the one the host has from us; "": none */
    bool cancelled;
    json_t *unkept; /* an event that the outbox could not take yet */
};

int agent_open(const AgentSpec *spec, Agent **out, Error *error) {
    assert(spec->host.host_count == 1);
    Agent *agent = calloc(1, sizeof *agent);
    if (!agent) abort();
    agent->spec = *spec;
    if (outbox_open(spec->dir, spec->host.change, &agent->outbox, error) < 0 ||
        host_link_local_open(&agent->spec.host, &agent->link, error) < 0) {
        agent_close(agent);
        return -1;
    }
    *out = agent;
    return 0;
}

void agent_close(Agent *agent) {
    if (!agent) return;
    if (agent->link) agent->link->close(agent->link);
    outbox_close(agent->outbox);
    json_decref(agent->unkept);
    free(agent);
}

/* ---- from the host to the outbox */

static int keep(Agent *agent, Error *error) {
    if (!agent->unkept) return 0;
    if (outbox_put(agent->outbox, json_incref(agent->unkept), error) < 0) return -1;
    json_decref(agent->unkept);
    agent->unkept = NULL;
    return 0;
}

static int collect(Agent *agent, int64_t wait_ms, Error *error) {
    HostReport report;
    if (keep(agent, error) < 0) return -1;
    while (agent->link->receive(agent->link, wait_ms, &report)) {
        agent->unkept = report.event; /* progress has none, and is not evidence */
        if (keep(agent, error) < 0) return -1;
        wait_ms = 0;
    }
    return 0;
}

/* ---- from the controller to the host */

static int odd_answer(Error *error) {
    return error_set(error, ERROR_SYSTEM, "the controller's answer makes no sense");
}

static int take_order(Agent *agent, const json_t *said, bool cancel, Error *error) {
    Order order = {.restore_data = json_get_bool(said, "restore_data", false)};
    const char *id = json_get_text(said, "id", "");
    if (!order_kind_from_text(json_get_text(said, "kind", NULL), &order.kind) || !*id ||
        strlen(id) >= sizeof order.id || order_is_by_itself(id))
        return odd_answer(error);
    memcpy(order.id, id, strlen(id) + 1);
    if (strcmp(agent->order, id) != 0) {
        if (agent->link->submit(agent->link, agent->spec.host.hosts[0].name, &order, error) < 0) return -1;
        memcpy(agent->order, order.id, sizeof agent->order);
        agent->cancelled = false;
    }
    if (cancel && !agent->cancelled) agent->link->cancel(agent->link, agent->spec.host.hosts[0].name);
    agent->cancelled |= cancel;
    return 0;
}

int agent_turn(Agent *agent, int64_t wait_ms, Error *error) {
    if (collect(agent, wait_ms, error) < 0) return -1;
    const AgentController *controller = &agent->spec.controller;
    JSON_AUTO reports = outbox_reports(agent->outbox, REPORTS_MAX);
    JSON_AUTO answer = NULL;
    if (controller->exchange(controller->context, reports, &answer, error) < 0) return -1;
    if (!json_is_object(answer) || !json_is_integer(json_object_get(answer, "heard")))
        return odd_answer(error);
    if (outbox_heard(agent->outbox, json_get_integer(answer, "heard", 0), error) < 0) return -1;
    const json_t *order = json_object_get(answer, "order");
    return order ? take_order(agent, order, json_get_bool(answer, "cancel", false), error) : 0;
}
