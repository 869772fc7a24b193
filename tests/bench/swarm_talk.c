/* What agents of a swarm say, and what they make of the answers: docs/reference/agent-protocol.md. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "swarm.h"
#include "trust/certificate.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEALTH_MS = 3000 };

void swarm_note(Span *span) {
    span->last_s = swarm_now_s();
    if (span->count++ == 0) span->first_s = span->last_s;
}

bool swarm_has_errand(const Swarm *swarm, const Agent *agent) {
    if (agent->token || !agent->seen[0])
        return true; /* whoever calls says something: the server is not patient */
    if (agent->order.id[0] && !agent->answered) return swarm->answering; /* it would be busy with it */
    return swarm->wait_ms >= 0;
}

/* ---- asking */

static void request(Agent *agent, AgentErrand errand, const char *method, const char *path,
                    const char *body) {
    agent->errand = errand;
    buffer_clear(&agent->out);
    buffer_printf(&agent->out, "%s %s HTTP/1.1\r\nHost: controller\r\n", method, path);
    if (body)
        buffer_printf(&agent->out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    buffer_text_append(&agent->out, "\r\n");
    if (body) buffer_text_append(&agent->out, body);
}

static void ask_work(const Swarm *swarm, Agent *agent) {
    char path[128];
    int64_t most_ms = swarm->wait_ms < 0                              ? 0
                      : agent->switched && swarm->wait_ms > HEALTH_MS ? HEALTH_MS
                                                                      : swarm->wait_ms;
    int64_t wait_ms = most_ms > 10 ? most_ms - random() % (most_ms / 5) : most_ms;
    snprintf(path, sizeof path, "/agent/v1/work?wait_ms=%" PRId64 "%s%s", wait_ms,
             agent->seen[0] ? "&seen=" : "", agent->seen);
    request(agent, ERRAND_WORK, "GET", path, NULL);
}

static void ask_document(Agent *agent) {
    char path[128];
    snprintf(path, sizeof path, "/agent/v1/changes/%s", agent->change);
    request(agent, ERRAND_DOCUMENT, "GET", path, NULL);
}

static json_t *event_of(const Agent *agent, const char *type) {
    char time[CLOCK_TEXT_SIZE];
    json_t *event = json_object();
    clock_to_text(clock_wall_ms(clock_system()), time);
    json_set_text(event, "type", type);
    json_set_text(event, "time", time);
    if (strcmp(type, "host.health") == 0) {
        json_set_text(event, "verdict", "pass");
        return event;
    }
    json_set_text(event, "order", order_kind_text(agent->order.kind));
    json_set_text(event, "order_id", agent->order.id);
    return event;
}

static void add(Agent *agent, json_t *reports, json_t *event) {
    json_t *report = json_object();
    json_set_integer(report, "number", ++agent->number);
    json_object_set_new(report, "event", event);
    json_array_append_new(reports, report);
}

static void ask_report(Agent *agent) {
    JSON_AUTO body = json_object();
    json_t *reports = json_array();
    char path[128];
    if (!agent->answered && agent->order.id[0]) {
        if (agent->order.kind == ORDER_SWITCH) {
            json_t *probe = event_of(agent, "step.started");
            json_set_text(probe, "step", "probe");
            add(agent, reports, probe);
        }
        add(agent, reports, event_of(agent, "order.done"));
        agent->switched = agent->order.kind == ORDER_SWITCH;
        agent->answered = true;
    }
    if (agent->switched) add(agent, reports, event_of(agent, "host.health"));
    agent->health_due = false;
    json_object_set_new(body, "reports", reports);
    FREE_AUTO char *text = json_text(body);
    snprintf(path, sizeof path, "/agent/v1/changes/%s/reports", agent->change);
    request(agent, ERRAND_REPORT, "POST", path, text);
}

static void ask_join(Agent *agent) {
    JSON_AUTO body = json_object();
    FREE_AUTO char *pem = NULL;
    Error error = {0};
    if (certificate_request_text(agent->key, &pem, &error) < 0) swarm_die(error.en);
    json_set_text(body, "token", agent->token);
    json_set_text(body, "request", pem);
    FREE_AUTO char *text = json_text(body);
    request(agent, ERRAND_JOIN, "POST", "/agent/v1/join", text);
}

void swarm_ask(const Swarm *swarm, Agent *agent) {
    bool ordered = agent->order.id[0] && !agent->answered && swarm->answering;
    if (agent->token)
        ask_join(agent);
    else if (ordered && !agent->documented)
        ask_document(agent);
    else if (ordered || agent->health_due)
        ask_report(agent);
    else
        ask_work(swarm, agent);
}

/* ---- hearing */

static void take_order(Swarm *swarm, Agent *agent, const json_t *item) {
    const json_t *order = json_object_get(item, "order");
    const char *id = json_get_text(order, "id", ""), *change = json_get_text(item, "change", "");
    if (!*id || strcmp(id, agent->order.id) == 0) return;
    if (strcmp(agent->change, change) != 0) {
        agent->documented = false;
        agent->number = 0;
    }
    snprintf(agent->change, sizeof agent->change, "%s", change);
    snprintf(agent->order.id, sizeof agent->order.id, "%s", id);
    if (!order_kind_from_text(json_get_text(order, "kind", NULL), &agent->order.kind))
        swarm_die("an odd order");
    agent->answered = false;
    swarm_note(&swarm->orders[agent->order.kind]);
}

static void hear_work(Swarm *swarm, Agent *agent, int status, const char *body, size_t size) {
    JSON_AUTO answer = NULL;
    size_t index;
    json_t *item;
    swarm->latencies_s[swarm->polls.count % SWARM_LATENCIES] = swarm_now_s() - agent->asked_s;
    swarm_note(&swarm->polls);
    agent->health_due = agent->switched;
    if (status == 204) return;
    if (status != 200 || json_parse(body, size, "work", &answer, NULL) < 0) swarm_die("work: an odd answer");
    snprintf(agent->seen, sizeof agent->seen, "%s", json_get_text(answer, "seen", ""));
    json_array_foreach(json_object_get(answer, "work"), index, item) take_order(swarm, agent, item);
}

void swarm_hear(Swarm *swarm, Agent *agent, int status, const char *body, size_t size) {
    if (agent->errand == ERRAND_WORK) {
        hear_work(swarm, agent, status, body, size);
        return;
    }
    if (status != 200) {
        fprintf(stderr, "%s: %d to errand %d: %.*s\n", agent->name, status, (int)agent->errand, (int)size,
                body);
        swarm_die("refused");
    }
    if (agent->errand == ERRAND_REPORT) swarm_note(&swarm->reports);
    if (agent->errand == ERRAND_DOCUMENT) agent->documented = true;
    if (agent->errand != ERRAND_JOIN) return;
    swarm_note(&swarm->joins);
    free(agent->token);
    agent->token = NULL;
}
