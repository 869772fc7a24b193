#include "base/clock.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_ms(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_wall_ms(Clock *clock) {
    (void)clock;
    return read_ms(CLOCK_REALTIME);
}

static int64_t system_steady_ms(Clock *clock) {
    (void)clock;
    return read_ms(CLOCK_BOOTTIME); /* goes on while the machine sleeps: a deadline is a deadline */
}

Clock *clock_system(void) {
    static Clock system_clock = {system_wall_ms, system_steady_ms};
    return &system_clock;
}

static pthread_once_t anchor_once = PTHREAD_ONCE_INIT;
static int64_t anchor_ms; /* wall minus steady, at the first call */

static void set_anchor(void) { anchor_ms = read_ms(CLOCK_REALTIME) - read_ms(CLOCK_BOOTTIME); }

static int64_t anchored_wall_ms(Clock *clock) { return anchor_ms + system_steady_ms(clock); }

Clock *clock_anchored(void) {
    static Clock anchored_clock = {anchored_wall_ms, system_steady_ms};
    pthread_once(&anchor_once, set_anchor);
    return &anchored_clock;
}

static int64_t false_ms(Clock *clock) { return ((const ClockFalse *)clock)->now_ms; }

ClockFalse clock_false(int64_t now_ms) { return (ClockFalse){{false_ms, false_ms}, now_ms}; }

void clock_to_text(int64_t wall_ms, char text[static CLOCK_TEXT_SIZE]) {
    int64_t seconds = wall_ms / 1000, rest = wall_ms % 1000;
    if (rest < 0) {
        rest += 1000;
        seconds--;
    }
    time_t time = (time_t)seconds;
    struct tm parts;
    if (!gmtime_r(&time, &parts) || parts.tm_year > 9999 - 1900 || parts.tm_year < -1900) {
        memcpy(text, "0000-00-00T00:00:00.000Z", CLOCK_TEXT_SIZE);
        return;
    }
    char date[CLOCK_TEXT_SIZE];
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, CLOCK_TEXT_SIZE, "%.19s.%03dZ", date, (int)rest);
}

int clock_from_text(const char *text, int64_t *out_ms) {
    struct tm parts = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    if (!rest) return -1;
    int64_t ms = 0;
    if (*rest == '.') {
        int64_t scale = 100;
        for (rest++; *rest >= '0' && *rest <= '9' && scale > 0; rest++, scale /= 10)
            ms += (*rest - '0') * scale;
        if (scale == 100) return -1;
    }
    if (strcmp(rest, "Z") != 0) return -1;
    int64_t result = (int64_t)timegm(&parts) * 1000 + ms;
    /* strptime takes blanks and short numbers, timegm days that no month has: what is right reads back the
     * same. */
    char back[CLOCK_TEXT_SIZE];
    clock_to_text(result, back);
    if (strncmp(back, text, strlen("2026-11-21T20:15:00")) != 0) return -1;
    *out_ms = result;
    return 0;
}

void clock_sleep_ms(int64_t ms) {
    if (ms <= 0) return;
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, &wait) == EINTR) continue;
}
