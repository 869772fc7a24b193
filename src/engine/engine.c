#include "engine/engine.h"
#include "base/cleanup.h"
#include "base/json.h"
#include <stdlib.h>
#include <string.h>

/* So many reports are one write, and one look at all hosts: fleets of a hundred thousand bring them faster
 * than fewer could be decided about. */
enum { TICK_MS = 50, REPORTS_MAX = 4096 };

typedef struct Engine {
    const EngineSpec *spec;
    Rollout *rollout;
    bool leaving; /* asked to: leave as soon as nothing is under way */
    /* Reports are judged before they are written, many at a time: */
    uint64_t batch;
    uint64_t *closed_in; /* of each host: the batch that has a report which closes its order */
    HostReport held;     /* it came after such a one, and is judged when that one was folded */
    bool holds;
} Engine;

static int64_t now_ms(const Engine *engine) { return clock_wall_ms(engine->spec->clock); }

/* ---- act: an event that was just written, carried to its host */

static int act(Engine *engine, const json_t *event, Error *error) {
    const char *type = json_get_text(event, "type", "");
    const RolloutHost *host = rollout_host(engine->rollout, json_get_text(event, "host", NULL));
    if (strcmp(type, "order.given") == 0)
        return engine->spec->link->submit(engine->spec->link, host->name, &host->order, error);
    if (strcmp(type, "order.cancelled") == 0) engine->spec->link->cancel(engine->spec->link, host->name);
    bool closes = strcmp(type, "host.lost") == 0 || strcmp(type, "host.rolled_back") == 0;
    bool closed = closes && !host->order_open; /* what was heard already closes nothing */
    if (closed && engine->spec->link->withdraw) engine->spec->link->withdraw(engine->spec->link, host->name);
    return 0;
}

static int take_event(void *context, int64_t sequence, const json_t *event, Error *error) {
    Engine *engine = context;
    const char *host = json_get_text(event, "host", NULL);
    int64_t report = json_get_integer(event, "report", 0);
    if (rollout_fold(engine->rollout, sequence, event, error) < 0) return -1;
    if (report && host && engine->spec->link->heard)
        engine->spec->link->heard(engine->spec->link, host, report);
    if (engine->spec->observer.event)
        engine->spec->observer.event(engine->spec->observer.context, engine->rollout, event);
    return act(engine, event, error);
}

/* Everything written since — by us, and by people in other processes. */
static int catch_up(Engine *engine, Error *error) {
    return journal_read(engine->spec->journal, engine->rollout->sequence, engine->rollout->change, take_event,
                        engine, error);
}

/* The items of an array, borrowed; the caller frees the list. */
static json_t **list(const json_t *events) {
    size_t count = json_array_size(events);
    json_t **items = calloc(count + 1, sizeof *items);
    if (!items) abort();
    for (size_t i = 0; i < count; i++) items[i] = json_array_get(events, i);
    return items;
}

static int append(Engine *engine, const json_t *events, Error *error) {
    FREE_AUTO json_t **items = list(events);
    if (journal_append(engine->spec->journal, items, json_array_size(events), error) < 0) return -1;
    return catch_up(engine, error);
}

/* ---- decide, until there is nothing to decide */

/* What was decided before a person wrote something else is forgotten: it may be wrong by now. */
static int append_decision(Engine *engine, const json_t *events, Error *error) {
    const Rollout *rollout = engine->rollout;
    FREE_AUTO json_t **items = list(events);
    bool written;
    if (journal_append_unless(engine->spec->journal, rollout->sequence, rollout->change, items,
                              json_array_size(events), &written, error) < 0)
        return -1;
    return catch_up(engine, error);
}

static int decide(Engine *engine, Error *error) {
    for (;;) {
        JSON_AUTO events = rollout_decide(engine->rollout, now_ms(engine));
        if (json_array_size(events) == 0) return 0;
        if (append_decision(engine, events, error) < 0) return -1;
    }
}

/* ---- reports of the hosts */

/* A host says what it did; who it is and what it belongs to is ours to say. */
static void complete(const Engine *engine, const char *host, json_t *event) {
    const Rollout *rollout = engine->rollout;
    const RolloutHost *known = rollout_host(rollout, host);
    json_set_text(event, "change", rollout->change);
    json_set_text(event, "environment", rollout->plan->environment);
    json_set_text(event, "host", host);
    json_set_text(event, "stage", rollout_stage_name(rollout, known));
}

static bool is_answer(const json_t *event) {
    return strncmp(json_get_text(event, "type", ""), "order.", strlen("order.")) == 0;
}

/* Late answers and reports of orders that are closed are dropped: the journal has its answer. */
static bool is_wanted(const Engine *engine, const char *host, const json_t *event) {
    const char *id = json_get_text(event, "order_id", NULL);
    const RolloutHost *known = rollout_host(engine->rollout, host);
    if (!is_answer(event)) return true;
    return known->order_open && id && strcmp(known->order.id, id) == 0;
}

/* Dropped — unless its host counts its reports: then the journal must have the number. */
static bool drop_late(json_t *event) {
    if (json_get_integer(event, "report", 0) == 0) {
        json_decref(event);
        return true;
    }
    json_set_text(event, "type", "host.report_refused");
    json_set_text(event, "why", "its order is closed already");
    return false;
}

static int next_report(Engine *engine, int64_t wait_ms, HostReport *out) {
    if (!engine->holds) return engine->spec->link->receive(engine->spec->link, wait_ms, out);
    *out = engine->held;
    engine->holds = false;
    return 1;
}

/* An answer to an order that an earlier report of this batch closes must wait: the fold would not have it. */
static bool must_wait(Engine *engine, const HostReport *report) {
    const RolloutHost *host = rollout_host(engine->rollout, report->host);
    uint64_t *closed_in = &engine->closed_in[host - engine->rollout->hosts];
    bool answer = is_answer(report->event);
    if (answer && *closed_in == engine->batch) {
        engine->held = *report;
        engine->holds = true;
        return true;
    }
    if (answer || strcmp(json_get_text(report->event, "type", ""), "host.rolled_back") == 0)
        *closed_in = engine->batch;
    return false;
}

/* *any: something came. */
static int receive(Engine *engine, int64_t wait_ms, bool *any, Error *error) {
    JSON_AUTO events = json_array();
    HostReport report;
    engine->batch++;
    for (int i = 0; i < REPORTS_MAX && next_report(engine, i ? 0 : wait_ms, &report); i++) {
        if (!report.event) {
            if (engine->spec->observer.progress)
                engine->spec->observer.progress(engine->spec->observer.context, engine->rollout, &report);
            continue;
        }
        if (must_wait(engine, &report)) break;
        if (!is_wanted(engine, report.host, report.event) && drop_late(report.event)) continue;
        complete(engine, report.host, report.event);
        json_array_append_new(events, report.event);
    }
    *any = engine->holds || json_array_size(events) > 0;
    return json_array_size(events) ? append(engine, events, error) : catch_up(engine, error);
}

/* ---- begin and end */

static int begin(Engine *engine, Error *error) {
    const EngineSpec *spec = engine->spec;
    JSON_AUTO events = json_array();
    if (spec->resume && engine->rollout->state == ROLLOUT_PAUSED && !engine->rollout->held) {
        json_t *resume = rollout_event(engine->rollout, "control.resume", now_ms(engine));
        json_set_text(resume, "by", spec->by);
        json_array_append_new(events, resume);
    }
    json_t *started = rollout_event(engine->rollout, "engine.started", now_ms(engine));
    json_set_text(started, "by", spec->by);
    json_set_bool(started, "prepare_only", spec->prepare_only);
    json_array_append_new(events, started);
    for (size_t i = 0; i < engine->rollout->host_count;
         i++) { /* what was under way when the last engine ended */
        const RolloutHost *host = &engine->rollout->hosts[i];
        if (!host->order_open) continue;
        if (spec->link->submit(spec->link, host->name, &host->order, error) < 0) return -1;
        if (host->order_cancelled) spec->link->cancel(spec->link, host->name);
    }
    return append(engine, events, error);
}

int engine_control(Journal *journal, const Rollout *rollout, const char *verb, const char *by,
                   const char *why, const json_t *fields, Clock *clock, Error *error) {
    FREE_AUTO char *type = NULL;
    if (asprintf(&type, "control.%s", verb) < 0) abort();
    JSON_AUTO event = rollout_event(rollout, type, clock_wall_ms(clock));
    json_set_text(event, "by", by);
    json_set_text(event, "why", why);
    if (fields) json_object_update((json_t *)event, (json_t *)fields);
    return journal_append(journal, &event, 1, error);
}

/* Preparing may be cut off anywhere: it goes on from the ledger. A switch is better let come to its end. */
static bool may_leave(const Rollout *rollout) {
    for (size_t i = 0; i < rollout->host_count; i++)
        if (rollout->hosts[i].order_open && rollout->hosts[i].order.kind != ORDER_PREPARE) return false;
    return true;
}

static int heed_interrupts(Engine *engine, bool *left, Error *error) {
    int interrupts = engine->spec->interrupts ? atomic_load(engine->spec->interrupts) : 0;
    if (interrupts == 0) return 0;
    if (!engine->leaving) {
        engine->leaving = true;
        if (engine_control(engine->spec->journal, engine->rollout, "pause", engine->spec->by, "interrupted",
                           NULL, engine->spec->clock, error) < 0)
            return -1;
        if (catch_up(engine, error) < 0) return -1;
    }
    *left = interrupts > 1 || may_leave(engine->rollout);
    return 0;
}

static bool is_over(const Engine *engine, EngineEnd *end) {
    const Rollout *rollout = engine->rollout;
    bool ended = rollout_ended(rollout);
    if (!ended && engine->spec->stay) return false;
    if (ended)
        *end = ENGINE_ENDED;
    else if (rollout->held && !rollout_busy(rollout))
        *end = ENGINE_HELD;
    else if (rollout->prepare_only && rollout->state == ROLLOUT_PAUSED && !rollout_busy(rollout))
        *end = ENGINE_PAUSED;
    else
        return false;
    return true;
}

static int go_on(Engine *engine, EngineEnd *out, Error *error) {
    const EngineSpec *spec = engine->spec;
    EngineEnd end = ENGINE_ENDED;
    bool left = false;
    if (begin(engine, error) < 0) return -1;
    /* What hosts have done by themselves meanwhile comes before any decision about them. */
    for (bool any = true; any;)
        if (receive(engine, 0, &any, error) < 0) return -1;
    while (!is_over(engine, &end)) {
        if (spec->leave && atomic_load(spec->leave)) {
            end = ENGINE_INTERRUPTED;
            break;
        }
        if (decide(engine, error) < 0) return -1;
        if (is_over(engine, &end)) break;
        bool any;
        if (receive(engine, TICK_MS, &any, error) < 0) return -1;
        if (heed_interrupts(engine, &left, error) < 0) return -1;
        if (left) {
            end = rollout_busy(engine->rollout) ? ENGINE_INTERRUPTED : ENGINE_PAUSED;
            break;
        }
        if (spec->observer.tick) spec->observer.tick(spec->observer.context, engine->rollout, now_ms(engine));
    }
    *out = end;
    return 0;
}

int engine_run(const EngineSpec *spec, EngineEnd *out, Error *error) {
    Engine engine = {.spec = spec, .rollout = spec->rollout};
    engine.closed_in = calloc(spec->rollout->host_count + 1, sizeof *engine.closed_in);
    if (!engine.closed_in) abort();
    int result = go_on(&engine, out, error);
    if (engine.holds) json_decref(engine.held.event);
    free(engine.closed_in);
    return result;
}
