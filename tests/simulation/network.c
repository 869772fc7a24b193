#include "network.h"
#include "agent.h"
#include "controller.h"
#include <string.h>

enum { QUICK_MS = 60, SLOW_MS = 5 * SECOND_MS, SLOWEST_MS = 2 * MINUTE_MS, PARTED_MS = 5 * MINUTE_MS };

static bool is_cut(Fleet *fleet, size_t host) {
    if (fleet->network->parted[host]) fleet_hit(fleet, HIT_PARTED);
    return fleet->network->parted[host];
}

static void arrive_there(Fleet *fleet, const Due *due) {
    if (!is_cut(fleet, due->host)) controller_hear(fleet, due->host, due->turn, due->letter);
}

static void arrive_here(Fleet *fleet, const Due *due) {
    if (!is_cut(fleet, due->host)) agent_hear(fleet, due->host, due->turn, due->letter);
}

static int64_t way_ms(Fleet *fleet) {
    if (fleet_is_calm(fleet) || !fleet_one_in(fleet, fleet->trouble.delayed))
        return 1 + fleet_up_to(fleet, QUICK_MS);
    fleet_hit(fleet, HIT_DELAYED);
    return fleet_up_to(fleet, fleet_one_in(fleet, 4) ? SLOWEST_MS : SLOW_MS);
}

static void carry(Fleet *fleet, size_t host, uint64_t question, json_t *letter, bool there) {
    int64_t *last_ms = &fleet->network->last_ms[host][there];
    int64_t at_ms = fleet->now_ms + way_ms(fleet);
    if (at_ms < *last_ms) fleet_hit(fleet, HIT_REORDERED);
    if (at_ms > *last_ms) *last_ms = at_ms;
    fleet_plan(fleet, at_ms, there ? arrive_there : arrive_here, host, question, json_incref(letter));
}

static void send(Fleet *fleet, size_t host, uint64_t question, json_t *letter, bool there) {
    bool calm = fleet_is_calm(fleet);
    bool lost = !calm && fleet_one_in(fleet, fleet->trouble.lost);
    bool doubled = !calm && fleet_one_in(fleet, fleet->trouble.doubled);
    if (lost) fleet_hit(fleet, HIT_LOST);
    if (doubled) fleet_hit(fleet, HIT_DOUBLED);
    if (is_cut(fleet, host)) lost = true;
    for (int copies = lost ? 0 : doubled ? 2 : 1; copies > 0; copies--)
        carry(fleet, host, question, letter, there);
    json_decref(letter);
}

void network_ask(Fleet *fleet, size_t host, uint64_t question, json_t *letter) {
    send(fleet, host, question, letter, true);
}

void network_answer(Fleet *fleet, size_t host, uint64_t question, json_t *letter) {
    send(fleet, host, question, letter, false);
}

/* ---- partitions */

static void heal(Fleet *fleet, const Due *due) {
    (void)due;
    memset(fleet->network->parted, 0, sizeof fleet->network->parted);
    fleet_trace(fleet, "the network is whole");
}

static void part(Fleet *fleet, const Due *due) {
    if (fleet_is_calm(fleet)) return;
    bool all = fleet_one_in(fleet, 3);
    for (size_t i = 0; i < fleet->host_count; i++) fleet->network->parted[i] = all || fleet_one_in(fleet, 2);
    int64_t until_ms = fleet->now_ms + fleet_about(fleet, fleet_one_in(fleet, 4) ? HOUR_MS / 2 : PARTED_MS);
    if (until_ms > fleet->calm_ms) until_ms = fleet->calm_ms;
    fleet_trace(fleet, "the network is parted");
    fleet_plan(fleet, until_ms, heal, 0, 0, NULL);
    fleet_plan(fleet, until_ms + fleet_about(fleet, (int64_t)fleet->trouble.parts * SECOND_MS), part, 0,
               due->turn, NULL);
}

void network_begin(Fleet *fleet) {
    if (fleet->trouble.parts)
        fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, (int64_t)fleet->trouble.parts * SECOND_MS), part,
                   0, 0, NULL);
}
