/* GuardKeep: what the guard process does once guard.h has started it. */
#pragma once
#include "base/error.h"

/* Returns when the host at `root` needs no guard any more. 0 also when another guard is at it already.
 * `error` is needed. */
int guard_keep(const char *root, Error *error);
