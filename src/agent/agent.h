/* Agent: carries out on this host what a controller asks for one change, and tells it what happened.
 *
 *   turn:  what the host said → outbox → exchange with the controller → what was heard is forgotten
 *                                                     └─▶ an order → the host (its ledger does each order
 * once)
 *
 * It may die at any instruction: the order comes again, the host's ledger goes on where it was or gives its
 * answer again, and the outbox says what was not heard. A controller that cannot be reached stops nothing:
 * the host goes on with its order, watches what it switched, and rolls back by itself when nobody confirms it
 * (host/guard.h).
 *
 * Calling order: agent_open (takes the host's lock) → agent_turn, again and again → agent_close. One thread.
 */
#pragma once
#include "agent/outbox.h"
#include "engine/host_link_local.h"

/* The seam to the controller. */
typedef struct AgentController {
    /* Bring reports, ask for work: the answer is {"heard": number, "order"?: {"id", "kind", "restore_data"},
     * "cancel": bool}, a new reference. It may take as long as the controller parks it. An error: it could
     * not be reached. */
    int (*exchange)(void *context, const json_t *reports, json_t **answer, Error *error);
    void *context;
} AgentController;

typedef struct AgentSpec {
    HostLinkLocalSpec host; /* exactly one */
    int dir;                /* where the outbox stands; must outlive the agent */
    AgentController controller;
} AgentSpec;

typedef struct Agent Agent;

int agent_open(const AgentSpec *spec, Agent **out, Error *error);
/* Wait up to `wait_ms` for something to say, then exchange once. An error is the controller's silence or
 * nonsense: the caller lets some time pass, more each time, and turns again. A full disk under the outbox is
 * ERROR_SYSTEM too: nothing is lost, the turn is tried again. */
int agent_turn(Agent *agent, int64_t wait_ms, Error *error);
void agent_close(Agent *agent); /* waits for the order under way; NULL is allowed */
