#include "balancer.h"
#include "witness.h"
#include <string.h>

enum { WHOLE_PERCENT = 100, REFUSALS_MAX = 2 };

static bool is_step(const char *step, const char *name) { return strcmp(step, name) == 0; }

static int weight_of(const Fleet *fleet, size_t host) {
    size_t stages[HOSTS_MAX];
    if (plan_stages(fleet->plan, stages, NULL) < 0 || stages[host] == PLAN_STAGE_NONE) return 0;
    const Amount *weight = &fleet->plan->rollout.stages.items[stages[host]].weight;
    return weight->set ? (int)weight->value : 0;
}

void balancer_begin(Fleet *fleet, Balancer *balancer, size_t host) {
    bool live = plan_host_is_live(fleet->plan, &fleet->plan->hosts.items[host]);
    bool idle = plan_is_blue_green(fleet->plan) && !live;
    bool refuses = fleet->plan->traffic && fleet_one_in(fleet, 15);
    *balancer = (Balancer){.fleet = fleet,
                           .there = fleet->plan->traffic != NULL,
                           .idle = idle,
                           .weight = weight_of(fleet, host),
                           .refusals = refuses ? 1 + (int)fleet_up_to(fleet, REFUSALS_MAX) : 0,
                           .in = !idle,
                           .percent = WHOLE_PERCENT};
}

void balancer_forget(Balancer *balancer) { balancer->drained = balancer->admitted = false; }

bool balancer_has(const char *step) {
    static const char *const steps[] = {"check_out", "drain", "readmit", "weight", "admit", "retire"};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (is_step(step, steps[i])) return true;
    return false;
}

bool balancer_applies(const Balancer *balancer, OrderKind kind, const char *step, bool stopped) {
    bool back = kind == ORDER_ROLLBACK;
    if (is_step(step, "check_out")) return balancer->idle;
    if (is_step(step, "weight")) return balancer->weight != 0;
    if (is_step(step, "readmit")) return balancer->there && !balancer->idle && (!back || balancer->drained);
    if (!is_step(step, "drain")) return true;
    return balancer->there && (!balancer->idle || balancer->admitted) && (!back || stopped);
}

const char *balancer_trouble(Balancer *balancer, OrderKind kind, const char *step) {
    bool told = !is_step(step, "check_out");
    if (!told) return balancer->in ? "it is in traffic" : NULL;
    if (balancer->refusals == 0 || (kind == ORDER_ROLLBACK && is_step(step, "drain"))) return NULL;
    balancer->refusals--;
    fleet_hit(balancer->fleet, HIT_BALANCER);
    return "imagined: the balancer does not do it";
}

void balancer_intend(Balancer *balancer, const char *step) {
    if (is_step(step, "drain") || is_step(step, "retire")) balancer->drained = true;
    if (is_step(step, "admit")) balancer->admitted = true;
}

void balancer_take_effect(Balancer *balancer, size_t host, OrderKind kind, const char *step) {
    bool weighs = kind == ORDER_SWITCH && balancer->weight != 0;
    if (is_step(step, "drain") || is_step(step, "retire")) {
        witness_saw_out(balancer->fleet, host);
        balancer->in = false;
    }
    if (is_step(step, "readmit") || is_step(step, "admit")) {
        balancer->in = true;
        balancer->drained = false;
        balancer->percent = weighs ? balancer->weight : WHOLE_PERCENT;
    }
    if (!is_step(step, "weight")) return;
    fleet_hit(balancer->fleet, HIT_WEIGHED);
    balancer->percent = WHOLE_PERCENT;
}
