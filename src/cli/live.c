#include "cli/live.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/quantity.h"
#include "model/words.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

enum { REDRAW_MS = 100, BAR_WIDTH = 20, NAME_WIDTH = 12, STEP_WIDTH = 26 };

typedef struct LiveHost {
    char step[32]; /* under way, or "" */
    int64_t step_began_ms;
    uint64_t done, total;
} LiveHost;

struct Live {
    const Cli *cli;
    LiveHost *hosts;
    size_t host_count;
    size_t drawn_lines; /* live lines now on the screen, below the last printed one */
    int64_t drawn_ms;
    unsigned frame;
};

Live *live_new(const Cli *cli) {
    Live *live = calloc(1, sizeof *live);
    if (!live) abort();
    live->cli = cli;
    return live;
}

/* ---- colour and width */

typedef enum Colour { PLAIN, GREEN, RED, YELLOW, GREY, BOLD } Colour;

static const char *colour(const Live *live, Colour which) {
    static const char *const codes[] = {"\033[0m", "\033[32m", "\033[31m", "\033[33m", "\033[90m", "\033[1m"};
    return live->cli->color ? codes[which] : "";
}

/* Columns that UTF-8 text takes: Chinese characters and full-width signs take two. */
static int columns(const char *text) {
    int width = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if ((*at & 0xC0) == 0x80) continue;
        width += *at >= 0xE3 && *at <= 0xEF ? 2 : 1;
    }
    return width;
}

static void pad(Buffer *line, const char *text, int width) {
    buffer_text_append(line, text);
    for (int i = columns(text); i < width; i++) buffer_text_append(line, " ");
}

/* ---- live lines */

static void erase(Live *live) {
    if (live->drawn_lines) printf("\033[%zuA\033[J", live->drawn_lines);
    live->drawn_lines = 0;
}

static size_t terminal_rows(void) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row < 4) return 24;
    return size.ws_row;
}

static void draw_bar(const Live *live, Buffer *line, const LiveHost *host, int64_t now_ms) {
    char done[QUANTITY_TEXT_SIZE], rate[QUANTITY_TEXT_SIZE], time[QUANTITY_TEXT_SIZE];
    int64_t took_ms = now_ms - host->step_began_ms;
    if (host->total) {
        uint64_t filled = host->done >= host->total ? BAR_WIDTH : host->done * BAR_WIDTH / host->total;
        buffer_text_append(line, colour(live, GREEN));
        for (uint64_t i = 0; i < BAR_WIDTH; i++) buffer_text_append(line, i < filled ? "█" : "░");
        buffer_text_append(line, colour(live, PLAIN));
        buffer_printf(line, " %3d%%  ",
                      (int)(host->done >= host->total ? 100 : host->done * 100 / host->total));
        if (host->total != 100 && took_ms > 200)
            buffer_printf(line, "%s  %s/s  ", quantity_size_text(host->done, done),
                          quantity_size_text(host->done * 1000 / (uint64_t)took_ms, rate));
    }
    buffer_text_append(line, quantity_duration_text(took_ms > 0 ? took_ms : 0, time));
}

static Colour state_colour(const RolloutHost *host) {
    switch (host->state) {
    case HOST_FAILED:
    case HOST_LOST: return RED;
    case HOST_ROLLING_BACK:
    case HOST_ROLLED_BACK: return YELLOW;
    case HOST_CONFIRMED:
    case HOST_COMMITTED:
    case HOST_HEALTHY: return host->health == VERDICT_FAIL ? RED : GREEN;
    default: return PLAIN;
    }
}

static void draw_host(Live *live, Buffer *line, const Rollout *rollout, size_t index, int64_t now_ms) {
    static const char *const spinner[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
    const RolloutHost *host = &rollout->hosts[index];
    const LiveHost *shown = &live->hosts[index];
    const char *mark = host->order_open              ? spinner[live->frame % 10]
                       : host->state == HOST_FAILED  ? "✘"
                       : host->state >= HOST_HEALTHY ? "●"
                                                     : "○";
    buffer_printf(line, " %s%s%s ", colour(live, state_colour(host)), mark, colour(live, PLAIN));
    pad(line, host->name, NAME_WIDTH);
    buffer_text_append(line, " ");
    if (host->order_open && *shown->step) {
        pad(line, cli_text(live->cli, words_step(shown->step)), STEP_WIDTH);
        buffer_text_append(line, " ");
        draw_bar(live, line, shown, now_ms);
    } else {
        const RolloutStage *stage = &rollout->stages[host->stage];
        pad(line, cli_text(live->cli, words_host_state(host->state)), STEP_WIDTH);
        char left[QUANTITY_TEXT_SIZE];
        if (host->state == HOST_HEALTHY && stage->state == STAGE_SOAKING && stage->soak_until_ms > now_ms)
            buffer_printf(line, cli_text(live->cli, " watched, %s left"),
                          quantity_duration_text(stage->soak_until_ms - now_ms, left));
    }
    buffer_text_append(line, "\033[K\n");
}

static void draw(Live *live, const Rollout *rollout, int64_t now_ms) {
    BUFFER_AUTO lines = {0};
    size_t rows = terminal_rows() - 2, drawn = 0;
    for (size_t i = 0; i < rollout->host_count && drawn < rows; i++) {
        if (rollout->host_count > rows && !rollout->hosts[i].order_open) continue; /* only what moves fits */
        draw_host(live, &lines, rollout, i, now_ms);
        drawn++;
    }
    if (live->drawn_lines) printf("\033[%zuA", live->drawn_lines);
    printf("%s\033[J", buffer_text(&lines));
    fflush(stdout);
    live->drawn_lines = drawn;
    live->drawn_ms = now_ms;
    live->frame++;
}

static void know_hosts(Live *live, const Rollout *rollout) {
    if (live->hosts) return;
    live->host_count = rollout->host_count;
    live->hosts = calloc(live->host_count, sizeof *live->hosts);
    if (!live->hosts) abort();
}

void live_tick(void *context, const Rollout *rollout, int64_t now_ms) {
    Live *live = context;
    know_hosts(live, rollout);
    if (!live->cli->terminal || live->cli->quiet || now_ms - live->drawn_ms < REDRAW_MS) return;
    draw(live, rollout, now_ms);
}

void live_free(Live *live) {
    if (!live) return;
    erase(live);
    free(live->hosts);
    free(live);
}

/* ---- lines that stay */

static void print_time(const Live *live, const json_t *event) {
    int64_t ms = 0;
    char text[16] = "--:--:--";
    struct tm parts;
    if (clock_from_text(json_get_text(event, "time", ""), &ms) == 0) {
        time_t seconds = (time_t)(ms / 1000);
        if (localtime_r(&seconds, &parts)) strftime(text, sizeof text, "%H:%M:%S", &parts);
    }
    printf("%s%s%s  ", colour(live, GREY), text, colour(live, PLAIN));
}

static void print_line(Live *live, const json_t *event, Colour which, const char *text) {
    BUFFER_AUTO line = {0};
    erase(live);
    print_time(live, event);
    pad(&line, json_get_text(event, "host", ""), NAME_WIDTH);
    printf("%s %s%s%s\n", buffer_text(&line), colour(live, which), text, colour(live, PLAIN));
}

__attribute__((format(printf, 4, 5))) static void live_say(Live *live, const json_t *event, Colour which,
                                                           const char *format, ...) {
    BUFFER_AUTO text = {0};
    va_list arguments;
    va_start(arguments, format);
    buffer_vprintf(&text, cli_text(live->cli, format), arguments);
    va_end(arguments);
    print_line(live, event, which, buffer_text(&text));
}

static const char *localized(const Live *live, const json_t *event, const char *key) {
    FREE_AUTO char *zh = NULL;
    if (asprintf(&zh, "%s_zh", key) < 0) abort();
    const char *en = json_get_text(event, key, "");
    return live->cli->language == LANGUAGE_ZH ? json_get_text(event, zh, en) : en;
}

/* What a step found or moved, in a few words: "7,441 files, 94.3 MiB". */
static void describe_detail(const Live *live, const json_t *detail, Buffer *out) {
    char size[QUANTITY_TEXT_SIZE];
    int64_t files = json_get_integer(detail, "files", -1), bytes = json_get_integer(detail, "bytes", -1);
    int64_t restored = json_get_integer(detail, "restored_files", -1),
            stored = json_get_integer(detail, "stored_bytes", -1);
    size_t checks = json_array_size(json_object_get(detail, "checks"));
    if (checks)
        buffer_printf(out, cli_text(live->cli, checks == 1 ? ", %zu check passed" : ", %zu checks passed"),
                      checks);
    if (json_get_bool(detail, "already_installed", false))
        buffer_text_append(out, cli_text(live->cli, ", installed already"));
    if (files >= 0)
        buffer_printf(out, cli_text(live->cli, files == 1 ? ", %" PRId64 " file" : ", %" PRId64 " files"),
                      files);
    if (bytes >= 0)
        buffer_printf(out, cli_text(live->cli, ", %s"), quantity_size_text((uint64_t)bytes, size));
    if (stored > 0)
        buffer_printf(out, cli_text(live->cli, ", %s new in the store"),
                      quantity_size_text((uint64_t)stored, size));
    if (restored > 0)
        buffer_printf(out, cli_text(live->cli, ", %" PRId64 " restored and compared"), restored);
    if (json_get_bool(detail, "killed", false))
        buffer_text_append(out, cli_text(live->cli, ", had to be killed"));
    int64_t written = json_get_integer(detail, "written_files", -1);
    if (written >= 0)
        buffer_printf(out,
                      cli_text(live->cli,
                               written == 1 ? ", %" PRId64 " file put back" : ", %" PRId64 " files put back"),
                      written);
    if (json_object_get(detail, "set_aside"))
        buffer_printf(out, cli_text(live->cli, ", the new version's data is kept as %s"),
                      json_get_text(detail, "set_aside", ""));
}

static void step_done(Live *live, const Rollout *rollout, const json_t *event) {
    (void)rollout;
    BUFFER_AUTO detail = {0};
    BUFFER_AUTO step = {0};
    char time[QUANTITY_TEXT_SIZE];
    pad(&step, cli_text(live->cli, words_step(json_get_text(event, "step", ""))), STEP_WIDTH);
    describe_detail(live, json_object_get(event, "detail"), &detail);
    buffer_printf(&step, " %s%s", quantity_duration_text(json_get_integer(event, "duration_ms", 0), time),
                  buffer_text(&detail));
    print_line(live, event, PLAIN, buffer_text(&step));
}

static void step_failed(Live *live, const Rollout *rollout, const json_t *event) {
    (void)rollout;
    live_say(live, event, RED, "%s: %s", cli_text(live->cli, words_step(json_get_text(event, "step", ""))),
             localized(live, event, "error"));
}

static void opened(Live *live, const Rollout *rollout, const json_t *event) {
    live_say(live, event, BOLD, rollout->host_count == 1 ? "%s: %s → %s, %zu host" : "%s: %s → %s, %zu hosts",
             rollout->change, rollout->plan->service.name, rollout->version, rollout->host_count);
}

static void batch_started(Live *live, const Rollout *rollout, const json_t *event) {
    (void)rollout;
    BUFFER_AUTO names = {0};
    size_t index;
    json_t *name;
    json_array_foreach(json_object_get(event, "hosts"), index, name)
        buffer_printf(&names, "%s%s", index ? ", " : "", json_string_value(name));
    live_say(live, event, BOLD, "stage %s, batch %d: %s", json_get_text(event, "stage", ""),
             (int)json_get_integer(event, "batch", 0), buffer_text(&names));
}

static void soaking(Live *live, const Rollout *rollout, const json_t *event) {
    (void)rollout;
    char time[QUANTITY_TEXT_SIZE];
    live_say(live, event, PLAIN, "stage %s is watched for %s", json_get_text(event, "stage", ""),
             quantity_duration_text(json_get_integer(event, "soak_ms", 0), time));
}

static void stage_passed(Live *live, const Rollout *rollout, const json_t *event) {
    (void)rollout;
    live_say(live, event, GREEN, "stage %s passed", json_get_text(event, "stage", ""));
}

static void failing(Live *live, const Rollout *rollout, const json_t *event) {
    live_say(live, event, RED,
             rollout->switch_count ? "stopping, and putting back what was: %s"
                                   : "refused, nothing was switched: %s",
             localized(live, event, "why"));
}

static void held(Live *live, const Rollout *rollout, const json_t *event) {
    (void)rollout;
    live_say(live, event, RED, "held for a person to decide: %s", localized(live, event, "why"));
}

static void paused(Live *live, const Rollout *rollout, const json_t *event) {
    (void)rollout;
    live_say(live, event, YELLOW, "paused: %s", localized(live, event, "why"));
}

static void controlled(Live *live, const Rollout *rollout, const json_t *event) {
    (void)rollout;
    const char *why = json_get_text(event, "why", NULL);
    live_say(live, event, YELLOW, "%s by %s%s%s", json_get_text(event, "type", "") + strlen("control."),
             json_get_text(event, "by", "?"), why ? ": " : "", why ? why : "");
}

static void sick(Live *live, const Rollout *rollout, const json_t *event) {
    (void)rollout;
    if (strcmp(json_get_text(event, "verdict", ""), "fail") != 0) return;
    live_say(live, event, RED, "unhealthy: %s", localized(live, event, "error"));
}

static void lost(Live *live, const Rollout *rollout, const json_t *event) {
    (void)rollout;
    live_say(live, event, RED, "lost: nothing was heard of it before its deadline");
}

static void left_out(Live *live, const Rollout *rollout, const json_t *event) {
    (void)rollout;
    live_say(live, event, YELLOW, "left out, the others go on: %s", localized(live, event, "why"));
}

static void by_itself(Live *live, const Rollout *rollout, const json_t *event) {
    (void)rollout;
    live_say(live, event, YELLOW, "it heard no confirmation in time and rolled back by itself");
}

static const struct {
    const char *type;
    void (*show)(Live *live, const Rollout *rollout, const json_t *event);
} shows[] = {
    {"rollout.started", opened},      {"step.done", step_done},       {"step.failed", step_failed},
    {"batch.started", batch_started}, {"stage.soaking", soaking},     {"stage.passed", stage_passed},
    {"rollout.failing", failing},     {"rollout.held", held},         {"rollout.paused", paused},
    {"control.pause", paused},        {"control.resume", controlled}, {"control.abort", controlled},
    {"control.rollback", controlled}, {"host.health", sick},          {"host.lost", lost},
    {"host.rolled_back", by_itself},  {"host.left_out", left_out},    {"control.skip", controlled},
    {"control.retry", controlled},
};

static void follow_step(Live *live, const Rollout *rollout, const json_t *event) {
    const RolloutHost *host = rollout_host(rollout, json_get_text(event, "host", NULL));
    if (!host) return;
    LiveHost *shown = &live->hosts[host - rollout->hosts];
    const char *type = json_get_text(event, "type", "");
    if (strcmp(type, "step.started") == 0) {
        snprintf(shown->step, sizeof shown->step, "%s", json_get_text(event, "step", ""));
        clock_from_text(json_get_text(event, "time", ""), &shown->step_began_ms);
        shown->done = shown->total = 0;
    } else if (strncmp(type, "order.", 6) == 0) {
        shown->step[0] = '\0';
    }
}

void live_event(void *context, const Rollout *rollout, const json_t *event) {
    Live *live = context;
    know_hosts(live, rollout);
    follow_step(live, rollout, event);
    if (live->cli->json) {
        FREE_AUTO char *text = json_text(event);
        printf("%s\n", text);
        fflush(stdout);
        return;
    }
    if (live->cli->quiet) return;
    for (size_t i = 0; i < sizeof shows / sizeof *shows; i++)
        if (strcmp(shows[i].type, json_get_text(event, "type", "")) == 0) shows[i].show(live, rollout, event);
    fflush(stdout);
}

void live_report(void *context, const Rollout *rollout, const HostReport *report) {
    Live *live = context;
    const RolloutHost *host = rollout_host(rollout, report->host);
    know_hosts(live, rollout);
    if (!host || !report->step) return;
    LiveHost *shown = &live->hosts[host - rollout->hosts];
    shown->done = report->done;
    shown->total = report->total;
}
