/* Network: carries letters between the controller and the agents, and does to them what networks do.
 *
 * A letter is {"reports": […]} to the controller, {"heard", "order"?, "cancel"?} or {"trouble": true} from
 * it, each with the number of its question. It may be lost, wait for up to two minutes, come twice, be
 * overtaken, or go into a partition: some hosts and the controller do not reach each other for a time.
 */
#pragma once
#include "fleet.h"

struct Network {
    bool parted[HOSTS_MAX];
    int64_t last_ms[HOSTS_MAX][2]; /* when the last letter in each direction arrives */
};

void network_begin(Fleet *fleet);
/* Takes over `letter`. */
void network_ask(Fleet *fleet, size_t host, uint64_t question, json_t *letter);
void network_answer(Fleet *fleet, size_t host, uint64_t question, json_t *letter);
