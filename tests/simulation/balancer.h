/* Balancer: how the requests stand for one imagined host, and the steps of its orders that change it. What
 * src/host/host_traffic.c does, without a balancer. */
#pragma once
#include "fleet.h"

struct Balancer {
    Fleet *fleet;
    bool there;   /* the plan names one */
    bool idle;    /* blue-green: the host is switched out of traffic */
    int weight;   /* canary: percent of its normal one until it is confirmed; 0: all of it */
    int refusals; /* so often, it does not do as it is told */
    /* What is really there: */
    bool in;
    int percent;
    /* What the host's ledger knows of it; durable: */
    bool drained, admitted;
};

void balancer_begin(Fleet *fleet, Balancer *balancer, size_t host);
/* The change begins again on this host. */
void balancer_forget(Balancer *balancer);
/* Is it one of its steps? */
bool balancer_has(const char *step);
bool balancer_applies(const Balancer *balancer, OrderKind kind, const char *step, bool stopped);
/* NULL, or why the step fails. */
const char *balancer_trouble(Balancer *balancer, OrderKind kind, const char *step);
void balancer_intend(Balancer *balancer, const char *step);
void balancer_take_effect(Balancer *balancer, size_t host, OrderKind kind, const char *step);
