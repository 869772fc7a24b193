/* Parallel: the same function over 0 … count-1 on a few threads.
 *
 * `function` gets the index and the worker's number (0 … workers-1), so callers may keep one scratch room a
 * worker. The first failure stops the handing out of further indices; its error is the one returned. With one
 * worker or one index everything happens in the calling thread. */
#pragma once
#include "base/error.h"
#include <stddef.h>

typedef int (*ParallelFunction)(size_t index, unsigned worker, void *context, Error *error);

enum { PARALLEL_WORKERS_MAX = 16 };
/* The processors this process may use, at most PARALLEL_WORKERS_MAX. */
unsigned parallel_workers(void);
int parallel_for(size_t count, unsigned workers, ParallelFunction function, void *context, Error *error);
