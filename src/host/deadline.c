#include "host/deadline.h"

int64_t deadline_left_ms(Deadline *deadline, int64_t confirm_by_ms, Clock *clock) {
    int64_t steady_ms = clock_steady_ms(clock);
    if (deadline->confirm_by_ms != confirm_by_ms)
        *deadline = (Deadline){confirm_by_ms, steady_ms + confirm_by_ms - clock_wall_ms(clock)};
    return deadline->until_ms - steady_ms;
}
