#include "package/progress.h"

#include "base/clock.h"

enum { INTERVAL_MS = 50 };

void progress_begin(Progress *progress, const ProgressWish *wish, uint64_t bytes_total) {
    *progress = (Progress){
        .wish = wish ? *wish : (ProgressWish){0}, .total = bytes_total, .telling = ATOMIC_FLAG_INIT};
}

int progress_add(Progress *progress, uint64_t bytes, Error *error) {
    uint64_t done = atomic_fetch_add(&progress->done, bytes) + bytes;
    if (progress->wish.cancel && atomic_load(progress->wish.cancel))
        return error_set(error, ERROR_INTERRUPTED, "stopped on request");
    if (!progress->wish.progress || atomic_flag_test_and_set(&progress->telling)) return 0;
    int64_t now_ms = clock_steady_ms(clock_system());
    if (now_ms - atomic_load(&progress->told_ms) >= INTERVAL_MS) {
        atomic_store(&progress->told_ms, now_ms);
        progress->wish.progress(progress->wish.context, done, progress->total);
    }
    atomic_flag_clear(&progress->telling);
    return 0;
}

void progress_end(Progress *progress) {
    if (progress->wish.progress)
        progress->wish.progress(progress->wish.context, progress->total, progress->total);
}
