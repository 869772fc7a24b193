#include "agent/assignment.h"
#include "base/cleanup.h"
#include "base/json.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { REPORTS_MAX = 100 };

struct Assignment {
    AssignmentSpec spec;
    HostLink *link; /* NULL: the host could not be opened yet */
    Outbox *outbox;
    char order[ORDER_ID_SIZE]; /* the one the host has from us; "": none */
    bool cancelled;
    int64_t busy_since_ms; /* its lock is somebody else's; 0: it is not */
    json_t *unkept;        /* an event that the outbox could not take yet */
};

int assignment_open(const AssignmentSpec *spec, Assignment **out, Error *error) {
    assert(spec->host.host_count == 1);
    Assignment *assignment = calloc(1, sizeof *assignment);
    if (!assignment) abort();
    assignment->spec = *spec;
    if (outbox_open(spec->dir, spec->host.change, spec->heard, &assignment->outbox, error) < 0) {
        assignment_close(assignment);
        return -1;
    }
    if (spec->refusal.kind == ERROR_NONE) /* where it fails, the order that needs it says so */
        host_link_local_open(&assignment->spec.host, &assignment->link, NULL);
    *out = assignment;
    return 0;
}

void assignment_close(Assignment *assignment) {
    if (!assignment) return;
    if (assignment->link) assignment->link->close(assignment->link);
    outbox_close(assignment->outbox);
    json_decref(assignment->unkept);
    free(assignment);
}

/* ---- from the host to the outbox */

static int keep(Assignment *assignment, Error *error) {
    if (!assignment->unkept) return 0;
    if (outbox_put(assignment->outbox, json_incref(assignment->unkept), error) < 0) return -1;
    json_decref(assignment->unkept);
    assignment->unkept = NULL;
    return 0;
}

int assignment_collect(Assignment *assignment, int64_t wait_ms, Error *error) {
    HostReport report;
    if (keep(assignment, error) < 0) return -1;
    if (!assignment->link) {
        clock_sleep_ms(wait_ms);
        return 0;
    }
    while (assignment->link->receive(assignment->link, wait_ms, &report)) {
        assignment->unkept = report.event; /* progress has none, and is not evidence */
        if (keep(assignment, error) < 0) return -1;
        wait_ms = 0;
    }
    return 0;
}

bool assignment_has_reports(const Assignment *assignment) {
    return assignment->unkept || outbox_count(assignment->outbox) > 0;
}

bool assignment_is_over(const Assignment *assignment) {
    if (assignment_has_reports(assignment)) return false;
    return assignment->link ? host_link_local_is_settled(assignment->link) : assignment->order[0] != '\0';
}

/* ---- from the controller to the host */

static int odd_answer(Error *error) {
    return error_set(error, ERROR_SYSTEM, "the controller's answer makes no sense");
}

static int read_order(const json_t *said, Order *out, Error *error) {
    Order order = {.restore_data = json_get_bool(said, "restore_data", false)};
    const char *id = json_get_text(said, "id", "");
    if (!order_kind_from_text(json_get_text(said, "kind", NULL), &order.kind) || !*id ||
        strlen(id) >= sizeof order.id || order_is_by_itself(id))
        return odd_answer(error);
    memcpy(order.id, id, strlen(id) + 1);
    *out = order;
    return 0;
}

/* The host could not even be opened. Where this change has never been, there is nothing to put back. */
static int answer_for_host(Assignment *assignment, const Order *order, const Error *why, Error *error) {
    const HostLinkLocalSpec *spec = &assignment->spec.host;
    const Plan *plan = spec->hosts[0].plan; /* NULL: it could not even be read */
    bool done =
        order->kind == ORDER_ROLLBACK && plan && host_has_trace(plan->service.root, spec->change) == 0;
    char time[CLOCK_TEXT_SIZE];
    clock_to_text(clock_wall_ms(spec->clock), time);
    json_t *event = json_object();
    json_set_text(event, "type", done ? "order.done" : "order.failed");
    json_set_text(event, "time", time);
    json_set_text(event, "order", order_kind_text(order->kind));
    json_set_text(event, "order_id", order->id);
    if (!done) {
        json_set_text(event, "error", why->en);
        json_set_text(event, "error_zh", why->zh);
        json_set_integer(event, "exit", error_exit_status(why->kind));
    }
    assignment->unkept = event;
    return keep(assignment, error);
}

/* 1: it is open; 0: it cannot be, and `order` is answered; -1: not now. */
static int open_host(Assignment *assignment, const Order *order, Error *error) {
    Error why = assignment->spec.refusal;
    int64_t now_ms = clock_steady_ms(clock_system());
    if (assignment->link || (why.kind == ERROR_NONE &&
                             host_link_local_open(&assignment->spec.host, &assignment->link, &why) == 0)) {
        assignment->busy_since_ms = 0;
        return 1;
    }
    if (why.number == EWOULDBLOCK) {
        if (!assignment->busy_since_ms) assignment->busy_since_ms = now_ms;
        if (now_ms - assignment->busy_since_ms < ASSIGNMENT_BUSY_MS) {
            if (error) *error = why;
            return -1;
        }
    }
    if (keep(assignment, error) < 0 || answer_for_host(assignment, order, &why, error) < 0) return -1;
    memcpy(assignment->order, order->id, sizeof assignment->order);
    return 0;
}

static int give(Assignment *assignment, const Order *order, Error *error) {
    if (strcmp(assignment->order, order->id) == 0) return 0;
    int opened = open_host(assignment, order, error);
    if (opened <= 0) return opened;
    HostLink *link = assignment->link;
    if (link->submit(link, assignment->spec.host.hosts[0].name, order, error) < 0) return -1;
    memcpy(assignment->order, order->id, sizeof assignment->order);
    assignment->cancelled = false;
    return 0;
}

int assignment_take(Assignment *assignment, const json_t *said, Error *error) {
    const json_t *wanted = json_object_get(said, "order");
    bool cancel = json_get_bool(said, "cancel", false);
    Order order;
    if (!wanted) return 0;
    if (read_order(wanted, &order, error) < 0 || give(assignment, &order, error) < 0) return -1;
    HostLink *link = assignment->link;
    if (link && cancel && !assignment->cancelled) link->cancel(link, assignment->spec.host.hosts[0].name);
    assignment->cancelled |= cancel;
    return 0;
}

int assignment_exchange(Assignment *assignment, Error *error) {
    const AssignmentController *controller = &assignment->spec.controller;
    JSON_AUTO reports = outbox_reports(assignment->outbox, REPORTS_MAX);
    JSON_AUTO answer = NULL;
    if (controller->exchange(controller->context, reports, &answer, error) < 0) return -1;
    if (!json_is_object(answer) || !json_is_integer(json_object_get(answer, "heard")))
        return odd_answer(error);
    if (outbox_heard(assignment->outbox, json_get_integer(answer, "heard", 0), error) < 0) return -1;
    return assignment_take(assignment, answer, error);
}

int assignment_turn(Assignment *assignment, int64_t wait_ms, Error *error) {
    if (assignment_collect(assignment, wait_ms, error) < 0) return -1;
    return assignment_exchange(assignment, error);
}
