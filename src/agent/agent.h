/* Agent: a host's side of a fleet. It asks its controller for work, has it done, and stands alone when nobody
 * answers.
 *
 *   agent_join()   once, with a join token: key made here, certificate from the controller
 *   agent_run()    until it is stopped: poll → workers (changes), tasker (tasks) → reports; renews its
 * certificate; tells its facts
 *
 * While there is nothing to do an agent has one connection, on which a request is parked; each worker has one
 * more while it reports. Nothing that it was told is only in memory: killed at any instruction, it goes on
 * when it is started again.
 */
#pragma once
#include "agent/home.h"
#include <stdatomic.h>

/* Join the fleet of the controller at `url` ("https://host:port") with a token of trust/token.h. `name` (may
 * be NULL) gets the name it has there, in the arena. ERROR_REFUSED: the controller does not take the token,
 * or this host has joined already and `again` is false. */
int agent_join(const Home *home, const char *url, const char *token, bool again, Arena *arena,
               const char **name, Error *error);

typedef struct AgentSpec {
    const Home *home;  /* opened as running */
    const char *guard; /* program to keep guard (engine/host_link_local.h) */
    /* What this host is: a new reference; called now and then. May be NULL. */
    json_t *(*facts)(void *context);
    void *context;
    const atomic_bool *stop;
} AgentSpec;

/* 0 when it was stopped. An error: it cannot even begin (it has not joined, …). */
int agent_run(const AgentSpec *spec, Error *error);
