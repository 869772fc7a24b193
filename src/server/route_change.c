/* Changes: opening, looking, steering. */
#include "base/cleanup.h"
#include "base/json.h"
#include "server/route.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_MOST = 5000 };

/* ---- opening */

static int read_opening(RouteCall *call, json_t **body, FleetOpening *out, Error *error) {
    if (route_body(call, body, error) < 0) return -1;
    *out = (FleetOpening){.text = json_get_text(*body, "plan", NULL),
                          .file = json_get_text(*body, "file", "plan.yaml"),
                          .package = json_get_text(*body, "package", NULL),
                          .by = route_who(call),
                          .prepare_only = json_get_bool(*body, "prepare_only", false)};
    if (out->text) return 0;
    return error_set(error, ERROR_INVALID, "“plan” must be the text of a plan");
}

static int open_change(RouteCall *call, Error *error) {
    JSON_AUTO body = NULL;
    FleetOpening opening;
    char id[CHANGE_ID_SIZE];
    if (read_opening(call, &body, &opening, error) < 0 ||
        fleet_open_change(call->controller->fleet, &opening, id, error) < 0)
        return -1;
    json_t *answer = json_object();
    json_set_text(answer, "change", id);
    route_answer(call, 201, answer);
    return 0;
}

static json_t *stage_hosts(const Plan *plan, const size_t *stages, size_t stage) {
    json_t *hosts = json_array();
    for (size_t i = 0; i < plan->hosts.count; i++)
        if (stages[i] == stage) json_array_append_new(hosts, json_string(plan->hosts.items[i].name));
    return hosts;
}

/* What a plan means here, without opening anything. */
static int show_plan(RouteCall *call, Error *error) {
    JSON_AUTO body = NULL;
    FleetOpening opening;
    Plan *plan = NULL;
    DepotPackage package;
    if (read_opening(call, &body, &opening, error) < 0) return -1;
    opening.service = json_get_text(body, "service", NULL);
    opening.version = json_get_text(body, "version", NULL);
    if (fleet_compile(call->controller->fleet, &opening, call->arena, &plan, &package, error) < 0) return -1;
    size_t *stages = ARENA_ARRAY(call->arena, plan->hosts.count, size_t);
    if (plan_stages(plan, stages, error) < 0) return -1;
    json_t *answer = json_object(), *list = json_array();
    for (size_t s = 0; s < plan->rollout.stages.count; s++) {
        json_t *stage = json_object();
        json_set_text(stage, "stage", plan->rollout.stages.items[s].name);
        json_set_integer(stage, "soak_ms", plan->rollout.stages.items[s].soak_ms);
        json_object_set_new(stage, "hosts", stage_hosts(plan, stages, s));
        json_array_append_new(list, stage);
    }
    json_set_text(answer, "service", plan->service.name);
    json_set_text(answer, "version", package.version);
    json_set_text(answer, "package", package.sha256);
    json_object_set_new(answer, "stages", list);
    json_object_set_new(answer, "plan", plan_to_json(plan));
    route_answer(call, 200, answer);
    return 0;
}

/* ---- looking */

static json_t *summary_json(const ChangeSummary *item) {
    json_t *row = json_object();
    change_summary_describe(item, row);
    json_set_integer(row, "hosts", (int64_t)item->host_count);
    json_set_text(row, "state", item->held ? "held" : rollout_state_text(item->state));
    if (item->outcome != OUTCOME_NONE) json_set_text(row, "outcome", rollout_outcome_text(item->outcome));
    return row;
}

static int list_changes(RouteCall *call, Error *error) {
    ChangeList list;
    if (fleet_changes(call->controller->fleet, call->arena, &list, error) < 0) return -1;
    json_t *answer = json_object(), *rows = json_array();
    for (size_t i = 0; i < list.count; i++) json_array_append_new(rows, summary_json(&list.items[i]));
    json_object_set_new(answer, "changes", rows);
    route_answer(call, 200, answer);
    return 0;
}

static json_t *host_json(const Rollout *rollout, const RolloutHost *host) {
    json_t *row = json_object();
    json_set_text(row, "host", host->name);
    json_set_text(row, "stage", rollout_stage_name(rollout, host));
    if (host->live) json_set_bool(row, "live", true);
    json_set_text(row, "state", host_state_text(host->state));
    json_set_text(row, "health", verdict_text(host->health));
    if (host->order_open) json_set_text(row, "order", order_kind_text(host->order.kind));
    json_set_text(row, "error", host->error);
    json_set_text(row, "error_zh", host->error_zh);
    return row;
}

static int look_at_change(void *context, const Rollout *rollout, Error *error) {
    (void)error;
    json_t *answer = json_object(), *hosts = json_array(), *stages = json_array();
    json_set_text(answer, "change", rollout->change);
    json_set_text(answer, "service", rollout->plan->service.name);
    json_set_text(answer, "version", rollout->version);
    json_set_text(answer, "environment", rollout->plan->environment);
    json_set_text(answer, "state", rollout_state_text(rollout->state));
    json_set_bool(answer, "held", rollout->held);
    if (rollout->outcome != OUTCOME_NONE)
        json_set_text(answer, "outcome", rollout_outcome_text(rollout->outcome));
    json_set_text(answer, "reason", rollout->reason);
    json_set_text(answer, "reason_zh", rollout->reason_zh);
    json_set_text(answer, "reason_host", rollout->reason_host);
    json_set_text(answer, "plan_digest", rollout->plan_digest);
    json_set_text(answer, "package_digest", rollout->package_digest);
    json_set_integer(answer, "sequence", rollout->sequence);
    for (size_t i = 0; i < rollout->stage_count; i++) {
        json_t *stage = json_object();
        json_set_text(stage, "stage", rollout->plan->rollout.stages.items[i].name);
        json_set_text(stage, "state", stage_state_text(rollout->stages[i].state));
        json_array_append_new(stages, stage);
    }
    for (size_t i = 0; i < rollout->host_count; i++)
        json_array_append_new(hosts, host_json(rollout, &rollout->hosts[i]));
    json_object_set_new(answer, "stages", stages);
    json_object_set_new(answer, "hosts", hosts);
    *(json_t **)context = answer;
    return 0;
}

static int no_change(Error *error) {
    if (error->kind == ERROR_INVALID) error->number = ENOENT;
    return -1;
}

static int show_change(RouteCall *call, Error *error) {
    json_t *answer = NULL;
    if (fleet_look(call->controller->fleet, call->parameters[0], look_at_change, &answer, error) < 0)
        return no_change(error);
    route_answer(call, 200, answer);
    return 0;
}

static int check_change(RouteCall *call, const char *change, Error *error) {
    if (!change || fleet_check_change(call->controller->fleet, change, error) == 0) return 0;
    return no_change(error);
}

typedef struct Collecting {
    json_t *events;
    int64_t last;
} Collecting;

static int collect(void *context, int64_t sequence, const json_t *event, Error *error) {
    (void)error;
    Collecting *collecting = context;
    if (json_array_size(collecting->events) == EVENTS_MOST) return 1;
    json_t *row = json_object();
    json_set_integer(row, "sequence", sequence);
    json_object_set(row, "event", (json_t *)event);
    json_array_append_new(collecting->events, row);
    collecting->last = sequence;
    return 0;
}

/* {"events": [{"sequence", "event"}], "last"}: at most EVENTS_MOST; the next ones are asked for by
 * ?after=LAST. */
static int answer_events(RouteCall *call, const char *change, Error *error) {
    if (check_change(call, change, error) < 0) return -1;
    Collecting collecting = {.events = json_array()};
    if (route_number(call, "after", 0, &collecting.last, error) < 0 ||
        fleet_read(call->controller->fleet, collecting.last, change, collect, &collecting, error) < 0) {
        json_decref(collecting.events);
        return -1;
    }
    json_t *answer = json_object();
    json_object_set_new(answer, "events", collecting.events);
    json_set_integer(answer, "last", collecting.last);
    route_answer(call, 200, answer);
    return 0;
}

static int give_events(RouteCall *call, Error *error) {
    return answer_events(call, call->parameters[0], error);
}
static int read_past(void *context, int64_t after, const char *change, JournalVisit visit,
                     void *visit_context, Error *error) {
    return fleet_read(context, after, change, visit, visit_context, error);
}

static int stream(RouteCall *call, const char *change, Error *error) {
    Fleet *fleet = call->controller->fleet;
    const char *seen = server_request_header(call->request, "Last-Event-ID");
    HubPast past = {read_past, fleet};
    HubStream wanted = {.change = change, .bearer = access_bearer(call->request)};
    if (check_change(call, change, error) < 0 ||
        route_number(call, "after", change ? 0 : fleet_counts(fleet).sequence, &wanted.after, error) < 0)
        return -1;
    if (seen) wanted.after = strtoll(seen, NULL, 10);
    return hub_add(call->controller->hub, call->request, &wanted, &past, error);
}

static int stream_change(RouteCall *call, Error *error) { return stream(call, call->parameters[0], error); }
static int stream_all(RouteCall *call, Error *error) { return stream(call, NULL, error); }

/* ---- steering */

static const char *const verbs[] = {"pause", "resume", "abort", "rollback", "skip", "retry", NULL};

static int steer(RouteCall *call, Error *error) {
    JSON_AUTO body = NULL;
    JSON_AUTO fields = json_object();
    if (route_body(call, &body, error) < 0) return -1;
    const char *verb = json_get_text(body, "verb", "");
    size_t i = 0;
    while (verbs[i] && strcmp(verbs[i], verb) != 0) i++;
    if (!verbs[i])
        return error_set(error, ERROR_INVALID,
                         "“verb” must be pause, resume, abort, rollback, skip or retry, not “%s”", verb);
    bool restore = json_get_bool(body, "restore_data", false), keep = json_get_bool(body, "keep_data", false);
    if (restore && keep)
        return error_set(error, ERROR_INVALID, "“restore_data” and “keep_data” exclude each other");
    json_set_bool(fields, "restore_data", restore);
    json_set_bool(fields, "keep_data", keep);
    json_set_text(fields, "host", json_get_text(body, "host", NULL)); /* of skip and retry */
    if (fleet_control(call->controller->fleet, call->parameters[0], verb, route_who(call),
                      json_get_text(body, "why", NULL), fields, error) < 0)
        return no_change(error);
    json_t *answer = json_object();
    json_set_text(answer, "change", call->parameters[0]);
    route_answer(call, 202, answer);
    return 0;
}

const Route route_change[] = {
    {"GET", "/api/v1/changes", ACCESS_READ, list_changes, "All changes"},
    {"POST", "/api/v1/changes", ACCESS_OPERATE, open_change, "Open a change of a plan and begin it"},
    {"POST", "/api/v1/plans", ACCESS_READ, show_plan, "What a plan means here; nothing is opened"},
    {"GET", "/api/v1/changes/{change}", ACCESS_READ, show_change, "Where a change stands, host by host"},
    {"GET", "/api/v1/changes/{change}/events", ACCESS_READ, give_events, "Its events, from the journal"},
    {"GET", "/api/v1/changes/{change}/stream", ACCESS_READ, stream_change, "Its events as they happen"},
    {"POST", "/api/v1/changes/{change}/control", ACCESS_OPERATE, steer,
     "Pause, resume, abort, roll back; skip or retry one host"},
    {"GET", "/api/v1/stream", ACCESS_READ, stream_all, "All events as they happen"},
    {0},
};
