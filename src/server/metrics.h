/* Metrics: figures about the controller in Prometheus' text format 0.0.4.
 *
 * Everything is counted from what is there at that moment: the inventory, the views of the changes under way,
 * the server. Names begin with upkeep_; docs/reference/metrics.md lists them, and a test holds the two
 * together.
 */
#pragma once
#include "base/buffer.h"
#include "server/controller_room.h"

int metrics_write(Controller *controller, const ServerCounts *server, Buffer *out, Error *error);
