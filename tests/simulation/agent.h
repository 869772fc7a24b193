/* Agent: the imagined process on a host that asks the controller for orders and tells it what happened.
 *
 *   what the machine says ─▶ kept in memory ─▶ outbox: numbered, durable ─▶ told until it was heard
 *
 * It polls without anything to say (the controller may park that), and tells reports beside it, a few at a
 * time, some agents several letters at once. A letter that gets no answer is given up after a while. When it
 * dies, what was not in the outbox yet is gone; the order comes again, and the ledger knows the rest.
 */
#pragma once
#include "fleet.h"

struct Agent {
    Fleet *fleet;
    size_t host;
    bool alive;
    bool hasty;      /* several letters under way at once */
    bool lies;       /* says what is not its to say */
    bool gullible;   /* takes answers to earlier questions too */
    json_t *said;    /* not durable yet */
    json_t *outbox;  /* [{"number", "event"}, …], not heard yet; durable */
    json_t *history; /* all events it ever numbered, for the witness */
    int64_t heard, last;
    char order[ORDER_ID_SIZE]; /* the one the machine has from it; "": none */
    bool cancelled;
    uint64_t question, first_question; /* the last one, and the first of this life */
    uint64_t polling, telling;         /* the question that waits for an answer; 0: none */
    int64_t polled_ms, told_ms;
    int64_t idle_ms, poll_from_ms; /* how long it lets pass between polls, and when the next one goes */
    uint64_t turn;
    int64_t turn_ms; /* when its next turn is planned */
};

void agent_begin(Fleet *fleet, Agent *agent, size_t host);
void agent_end(Agent *agent);
void agent_start(Agent *agent);
void agent_die(Agent *agent);
/* Takes over `event`. */
void agent_keep(Agent *agent, json_t *event);
void agent_hear(Fleet *fleet, size_t host, uint64_t question, const json_t *answer);
