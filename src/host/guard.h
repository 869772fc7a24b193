/* Guard: the dead man's switch of a host whose engine runs on the same machine.
 *
 * Before the service is stopped for a switch, the host starts this small process; it outlives the engine. As
 * long as the ledger says "armed" it waits for the deadline. A confirmation, a rollback or a commit ends it.
 * When the deadline passes and nobody holds the host's lock, the guard takes it and rolls the host back by
 * itself (invariant I6). One guard a host: a second one finds the first one's lock and leaves.
 */
#pragma once
#include "base/error.h"

/* See to it that one is awake: `upkeep` is the host's .upkeep, `argv` (NULL-ended, argv[0] a path) must come
 * to guard_keep(root). Returns 0 only when a guard holds its lock. */
int guard_ensure(int upkeep, const char *const *argv, Error *error);
