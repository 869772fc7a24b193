/* PlanTraffic: what the parts of a plan about load balancers say about each other. Only plan.c calls it.
 *
 * Calling order: plan_traffic_complete (once, after decoding) → plan_traffic_check (the whole plan) →
 * plan_traffic_check_host (the plan of each host, variables replaced). ERROR_INVALID, naming the key. */
#pragma once
#include "model/plan.h"

/* Defaults that a table cannot hold: lists. */
void plan_traffic_complete(Arena *arena, PlanTraffic *traffic);
int plan_traffic_check(const Plan *plan, Error *error);
int plan_traffic_check_host(const Plan *own, Error *error);
