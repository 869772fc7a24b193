#include "cli/meter.h"

#include "base/clock.h"
#include "base/quantity.h"
#include <inttypes.h>
#include <signal.h>
#include <string.h>

enum { BAR_WIDTH = 24, QUIET_MS = 200 /* work shorter than this shows nothing */ };

static atomic_bool interrupted;

static void on_signal(int number) {
    atomic_store(&interrupted, true);
    signal(number, SIG_DFL); /* the second one ends us */
}

static void draw(void *context, uint64_t done, uint64_t total) {
    Meter *meter = context;
    int64_t took_ms = clock_steady_ms(clock_system()) - meter->began_ms;
    if (took_ms < QUIET_MS || total == 0) return;
    char bar[BAR_WIDTH * 3 + 1] = "", bytes[QUANTITY_TEXT_SIZE], rate[QUANTITY_TEXT_SIZE];
    uint64_t filled = done * BAR_WIDTH / total;
    for (uint64_t i = 0; i < BAR_WIDTH; i++) memcpy(bar + i * 3, i < filled ? "█" : "░", 4);
    bool color = meter->cli->color;
    printf("\r\033[K %s  %s%s%s %3" PRIu64 "%%  %s  %s/s", cli_text(meter->cli, meter->what),
           color ? "\033[32m" : "", bar, color ? "\033[0m" : "", done * 100 / total,
           quantity_size_text(done, bytes), quantity_size_text(done * 1000 / (uint64_t)took_ms, rate));
    fflush(stdout);
    meter->drawn = true;
}

ProgressWish meter_begin(Meter *meter, const Cli *cli, const char *what) {
    *meter = (Meter){cli, what, clock_steady_ms(clock_system()), false};
    atomic_store(&interrupted, false);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    bool is_shown = cli->terminal && !cli->quiet;
    return (ProgressWish){.progress = is_shown ? draw : NULL, .context = meter, .cancel = &interrupted};
}

void meter_end(Meter *meter) {
    if (meter->drawn) printf("\r\033[K");
    fflush(stdout);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}
