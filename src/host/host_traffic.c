/* The steps that take a host out of its balancer and put it back. The settings are always those of the plan
 * of the change under way, whichever version is coming or going: the balancer that was told is told again. */
#include "base/json.h"
#include "host/host_room.h"
#include "host/traffic/traffic.h"
#include <string.h>

enum { WHOLE_PERCENT = 100 };

static TrafficContext context_of(const Host *host, int percent) {
    const Plan *plan = host->spec.plan;
    return (TrafficContext){.traffic = plan->traffic,
                            .host = plan->hosts.items[0].name,
                            .service = plan->service.name,
                            .root = plan->service.root,
                            .percent = percent,
                            .clock = host->spec.clock,
                            .cancel = host->cancel};
}

/* The weight that the new version gets until it is confirmed. */
static TrafficContext context_new(const Host *host) {
    return context_of(host, plan_host_weight(host->spec.plan));
}

/* The old version gets back what it had. */
static TrafficContext context_old(const Host *host) {
    return context_of(host, plan_host_weight(host->spec.plan) ? WHOLE_PERCENT : 0);
}

static void note_count(const Host *host, const TrafficEnd *end, const char *when, int64_t count) {
    if (count != TRAFFIC_UNKNOWN)
        json_set_integer(host->detail, arena_printf(host->arena, "%s_%s", end->unit, when), count);
}

static void note_end(const Host *host, const TrafficEnd *end) {
    note_count(host, end, "before", end->before);
    note_count(host, end, "left", end->left);
    if (end->timed_out) json_set_bool(host->detail, "drain_timeout", true);
}

/* ---- SWITCH */

bool host_has_traffic(const Host *host) { return host->spec.plan->traffic != NULL; }

/* On a first installation nothing is in traffic yet. */
bool host_drains(const Host *host) {
    return host_has_traffic(host) && host_has_old(host) && !host_is_idle(host);
}

bool host_comes_back(const Host *host) { return host_has_traffic(host) && !host_is_idle(host); }

const char *host_describe_drain(const Host *host) {
    TrafficContext context = context_of(host, 0);
    return traffic_describe(&context, TRAFFIC_DRAIN, host->arena);
}

/* Refused before anything was told to the balancer, it leaves nothing to be put back. */
int host_run_drain(Host *host, Error *error) {
    TrafficContext context = context_new(host);
    TrafficEnd end = {0};
    if (traffic_check(&context, error) < 0) return -1;
    host->ledger.drained = true;
    if (ledger_save(&host->ledger, error) < 0) return -1;
    if (traffic_drain(&context, &end, error) < 0) return -1;
    note_end(host, &end);
    return 0;
}

const char *host_describe_readmit(const Host *host) {
    TrafficContext context = context_new(host);
    return traffic_describe(&context, TRAFFIC_READMIT, host->arena);
}

int host_run_readmit(Host *host, Error *error) {
    TrafficContext context = context_new(host);
    if (traffic_readmit(&context, error) < 0) return -1;
    host->ledger.drained = false;
    if (context.percent) json_set_integer(host->detail, "weight_percent", context.percent);
    return 0;
}

/* ---- CONFIRM */

bool host_has_weight(const Host *host) { return plan_host_weight(host->spec.plan) != 0; }

const char *host_describe_weight(const Host *host) {
    TrafficContext context = context_of(host, 0);
    return traffic_describe(&context, TRAFFIC_WEIGHT, host->arena);
}

int host_run_weight(Host *host, Error *error) {
    TrafficContext context = context_of(host, 0);
    return traffic_weight(&context, WHOLE_PERCENT, error);
}

/* ---- blue-green: switched out of traffic, then ADMIT; RETIRE for those that served */

bool host_is_idle(const Host *host) { return plan_is_blue_green(host->spec.plan) && !host->live; }

/* Before anything is stopped: requests that it gets now would fail. */
int host_run_check_out(Host *host, Error *error) {
    TrafficContext context = context_of(host, 0);
    return traffic_check_out(&context, error);
}

static void intend_admit(Host *host) { host->ledger.admitted = true; }

/* A live one must still run what it ran when it went out: another change may have come since. */
static int check_same(const Host *host, Error *error) {
    char current[RELEASE_VERSION_SIZE];
    if (!host->live) return 0;
    if (release_current(host->root, current, error) < 0) return -1;
    if (strcmp(current, host->ledger.old_version ? host->ledger.old_version : "") == 0) return 0;
    return error_set(error, ERROR_REFUSED, "%s has been upgraded by %s since; roll that one back first",
                     host->spec.plan->service.root, "another change");
}

static int run_admit(Host *host, Error *error) {
    TrafficContext context = context_of(host, 0);
    if (check_same(host, error) < 0 || traffic_readmit(&context, error) < 0) return -1;
    host->ledger.drained = false;
    return 0;
}

static const char *describe_admit(const Host *host) {
    TrafficContext context = context_of(host, 0);
    return traffic_describe(&context, TRAFFIC_READMIT, host->arena);
}

const HostStep host_steps_admit[] = {
    {"admit", NULL, describe_admit, intend_admit, run_admit},
    {0},
};

static int run_retire(Host *host, Error *error) {
    return host_check_own(host, error) < 0 ? -1 : host_run_drain(host, error);
}

const HostStep host_steps_retire[] = {
    {"retire", NULL, host_describe_drain, NULL, run_retire},
    {0},
};

/* ---- ROLLBACK */

/* An idle host that was never admitted is out; one that was goes out again, and stays out. */
bool host_drains_back(const Host *host) {
    return host_has_traffic(host) && host->ledger.stopped && (!host_is_idle(host) || host->ledger.admitted);
}

void host_intend_drain_back(Host *host) { host->ledger.drained = true; }

/* The old version comes back whatever the balancer says: what cannot be told to it is evidence. Nor does it
 * matter that nobody else may serve: this host does not serve well either. */
int host_run_drain_back(Host *host, Error *error) {
    TrafficContext context = context_of(host, 0);
    TrafficEnd end = {0};
    Error problem = {0};
    context.last = true;
    if (traffic_drain(&context, &end, &problem) == 0) {
        note_end(host, &end);
        return 0;
    }
    if (problem.kind == ERROR_INTERRUPTED) {
        if (error) *error = problem;
        return -1;
    }
    json_set_text(host->detail, "warning", problem.en);
    return 0;
}

/* What was taken out comes back, unless nothing serves there: no old version, or one that did not run. */
bool host_readmits_old(const Host *host) {
    bool serves = !host->ledger.stopped || (host_has_old(host) && host->ledger.was_running);
    return host_comes_back(host) && host->ledger.drained && serves;
}

const char *host_describe_readmit_old(const Host *host) {
    TrafficContext context = context_old(host);
    return traffic_describe(&context, TRAFFIC_READMIT, host->arena);
}

int host_run_readmit_old(Host *host, Error *error) {
    TrafficContext context = context_old(host);
    if (traffic_readmit(&context, error) == 0) {
        host->ledger.drained = false;
        return 0;
    }
    if (error && error->kind == ERROR_INTERRUPTED) return -1;
    if (error) error->kind = ERROR_ATTENTION;
    return error_hint(
        error,
        "the old version runs, but gets no traffic; put it back in the balancer, or mend that one "
        "and say “upkeep rollback %s” again",
        host->spec.change);
}
