/* Progress: how far long work has come, told at most every 50 ms, and whether it should stop.
 *
 * Workers call progress_add() from any thread; the callback is never called by two of them at once.
 */
#pragma once
#include "base/error.h"
#include <stdatomic.h>
#include <stdint.h>

typedef void (*PackageProgress)(void *context, uint64_t bytes_done, uint64_t bytes_total);

/* What a caller may say about any long work; a zeroed one asks for nothing. */
typedef struct ProgressWish {
    PackageProgress progress;
    void *context;
    const atomic_bool *cancel; /* true: stop early with ERROR_INTERRUPTED */
} ProgressWish;

typedef struct Progress {
    ProgressWish wish;
    uint64_t total;
    _Atomic uint64_t done;
    _Atomic int64_t told_ms;
    atomic_flag telling;
} Progress;

/* `wish` may be NULL. */
void progress_begin(Progress *progress, const ProgressWish *wish, uint64_t bytes_total);
/* More bytes are done; ERROR_INTERRUPTED when the work is to stop. */
int progress_add(Progress *progress, uint64_t bytes, Error *error);
/* The last word: all of it is done. */
void progress_end(Progress *progress);
