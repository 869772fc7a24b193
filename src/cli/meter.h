/* Meter: one live line for one long work on a terminal — a bar, bytes, rate — and Ctrl-C as a wish to stop.
 *
 *     METER_AUTO meter;
 *     ProgressWish wish = meter_begin(&meter, cli, TEXT("packing"));
 *     … the work …                       the line is gone when `meter` leaves its scope
 *
 * One at a time in a process.
 */
#pragma once
#include "cli/cli.h"
#include "package/progress.h"

typedef struct Meter {
    const Cli *cli;
    const char *what;
    int64_t began_ms;
    bool drawn;
} Meter;

/* `what` is a message id. The wish borrows `meter`. */
ProgressWish meter_begin(Meter *meter, const Cli *cli, const char *what);
void meter_end(Meter *meter);
#define METER_AUTO __attribute__((cleanup(meter_end))) Meter
