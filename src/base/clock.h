/* Clock: time as a parameter. Whoever decides takes `now_ms` as an argument; whoever acts holds a Clock.
 *
 * wall_ms: milliseconds since 1970 UTC, may jump; for people and for deadlines that outlive a process.
 * steady_ms: milliseconds from any start, never goes back; for time-outs and intervals.
 */
#pragma once
#include <stdint.h>

typedef struct Clock Clock;
struct Clock {
    int64_t (*wall_ms)(Clock *clock);
    int64_t (*steady_ms)(Clock *clock);
};

Clock *clock_system(void); /* static */
/* Static. Its wall clock is the system's at the first call, and from then on goes as the steady one does: for
 * a process that must not confirm early, or roll back in haste, because somebody set the clock meanwhile. */
Clock *clock_anchored(void);

/* A clock that stands still until its holder moves `now_ms`, which both its times are: for simulations and
 * tests. Used by one thread at a time. */
typedef struct ClockFalse {
    Clock clock;
    int64_t now_ms;
} ClockFalse;
ClockFalse clock_false(int64_t now_ms);

static inline int64_t clock_wall_ms(Clock *clock) { return clock->wall_ms(clock); }
static inline int64_t clock_steady_ms(Clock *clock) { return clock->steady_ms(clock); }

enum { CLOCK_TEXT_SIZE = 25 }; /* "2026-11-21T20:15:00.123Z" and NUL */
void clock_to_text(int64_t wall_ms, char text[static CLOCK_TEXT_SIZE]); /* RFC 3339, UTC */
/* RFC 3339 in UTC with optional milliseconds; -1 when it is not. */
int clock_from_text(const char *text, int64_t *out_ms);
void clock_sleep_ms(int64_t ms);
