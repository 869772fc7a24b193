/* HostLock: <root>/.upkeep/lock, held by whoever changes anything on a host. It goes with the process. */
#pragma once
#include "base/error.h"

/* `upkeep` is the host's .upkeep; `holder` names the change or command that wants it, for whoever is refused.
 * Waits for a moment (file_lock()). ERROR_REFUSED, with the number EWOULDBLOCK, names who has it. Close *out
 * to give it back. */
int host_lock_take(int upkeep, const char *root, const char *holder, int *out, Error *error);
