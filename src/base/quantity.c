#include "base/quantity.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct Unit {
    const char *name;
    uint64_t factor;
} Unit;

static const Unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000}, {NULL, 0}};

static const Unit size_units[] = {{"B", 1},
                                  {"KB", 1000},
                                  {"MB", 1000 * 1000},
                                  {"GB", 1000 * 1000 * 1000},
                                  {"TB", UINT64_C(1000) * 1000 * 1000 * 1000},
                                  {"KiB", 1024},
                                  {"MiB", 1024 * 1024},
                                  {"GiB", 1024 * 1024 * 1024},
                                  {"TiB", UINT64_C(1) << 40},
                                  {NULL, 0}};

/* A whole number directly followed by one of `units`, that fits an int64_t. */
static int parse(const char *text, const Unit *units, uint64_t *out) {
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(number, UINT64_C(10), &number)) return -1;
        if (__builtin_add_overflow(number, (uint64_t)(*at - '0'), &number)) return -1;
    }
    if (at == text) return -1;
    for (const Unit *unit = units; unit->name; unit++) {
        if (strcmp(at, unit->name) != 0) continue;
        uint64_t value;
        if (__builtin_mul_overflow(number, unit->factor, &value) || value > INT64_MAX) return -1;
        *out = value;
        return 0;
    }
    return -1;
}

int quantity_duration_parse(const char *text, int64_t *out_ms) {
    uint64_t value;
    if (parse(text, duration_units, &value) < 0) return -1;
    *out_ms = (int64_t)value;
    return 0;
}

int quantity_size_parse(const char *text, uint64_t *out_bytes) { return parse(text, size_units, out_bytes); }

char *quantity_size_text(uint64_t bytes, char text[static QUANTITY_TEXT_SIZE]) {
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    double value = (double)bytes;
    while (value >= (unit == 0 ? 1024 : 1023.5) && unit < 6) { /* 1023.5 would read "1024" */
        value /= 1024;
        unit++;
    }
    snprintf(text, QUANTITY_TEXT_SIZE, unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value,
             names[unit]);
    return text;
}

char *quantity_duration_text(int64_t ms, char text[static QUANTITY_TEXT_SIZE]) {
    int64_t seconds = ms / 1000 + (ms % 1000 >= 500);
    if (ms < 1000)
        snprintf(text, QUANTITY_TEXT_SIZE, "%" PRId64 " ms", ms);
    else if (ms < 9950)
        snprintf(text, QUANTITY_TEXT_SIZE, "%.1f s", (double)ms / 1000);
    else if (seconds < 60)
        snprintf(text, QUANTITY_TEXT_SIZE, "%" PRId64 " s", seconds);
    else if (seconds < 3600)
        snprintf(text, QUANTITY_TEXT_SIZE, "%" PRId64 " min %" PRId64 " s", seconds / 60, seconds % 60);
    else
        snprintf(text, QUANTITY_TEXT_SIZE, "%" PRId64 " h %" PRId64 " min", seconds / 3600,
                 seconds % 3600 / 60);
    return text;
}

char *quantity_duration_notation(int64_t ms, char text[static QUANTITY_TEXT_SIZE]) {
    const Unit *best = duration_units;
    for (const Unit *unit = duration_units; unit->name; unit++)
        if (ms && (uint64_t)ms % unit->factor == 0) best = unit;
    snprintf(text, QUANTITY_TEXT_SIZE, "%" PRId64 "%s", ms / (int64_t)best->factor, best->name);
    return text;
}
