#include "host/deadline.h"

static int64_t learn_ms(int64_t confirm_by_ms, int64_t given_ms, Clock *clock) {
    int64_t left_ms = confirm_by_ms - clock_wall_ms(clock);
    return given_ms > 0 && left_ms > given_ms ? given_ms : left_ms;
}

int64_t deadline_left_ms(Deadline *deadline, int64_t confirm_by_ms, int64_t given_ms, Clock *clock) {
    int64_t steady_ms = clock_steady_ms(clock);
    if (deadline->confirm_by_ms != confirm_by_ms)
        *deadline = (Deadline){confirm_by_ms, steady_ms + learn_ms(confirm_by_ms, given_ms, clock)};
    return deadline->until_ms - steady_ms;
}
