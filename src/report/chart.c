#include "report/chart.h"
#include "base/arena.h"
#include "base/quantity.h"
#include "report/character.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* In the units of the viewBox. */
enum {
    WIDTH = 960,
    LEFT = 132,
    RIGHT = 16,
    TOP = 6,
    AXIS_HEIGHT = 26,
    LEGEND_HEIGHT = 24,
    BAR_LANE = 34,
    VALUE_LANE = 104,
    LANE_GAP = 6,
    CUT_WIDTH = 22,
    LABEL_SPACE = 62
};

enum { MINUTE_MS = 60 * 1000, DAY_MS = 24 * 60 * MINUTE_MS };

/* A stretch of time that is drawn; between two of them the axis is cut. */
typedef struct AxisPart {
    int64_t from_ms, to_ms;
    double x;
} AxisPart;

typedef struct Axis {
    Arena *arena;
    AxisPart *parts;
    size_t count;
    double per_ms; /* width of a millisecond */
} Axis;

/* ---- the axis */

static int compare_parts(const void *a, const void *b) {
    const AxisPart *one = a, *other = b;
    return one->from_ms < other->from_ms ? -1 : one->from_ms > other->from_ms;
}

/* Every stretch in which something is, in order. */
static size_t collect(const Chart *chart, AxisPart *parts) {
    size_t count = 0;
    for (size_t l = 0; l < chart->lane_count; l++) {
        const ChartLane *lane = &chart->lanes[l];
        for (size_t i = 0; i < lane->bar_count; i++)
            parts[count++] = (AxisPart){.from_ms = lane->bars[i].from_ms, .to_ms = lane->bars[i].to_ms};
        for (size_t i = 0; i < lane->point_count; i++)
            parts[count++] = (AxisPart){.from_ms = lane->points[i].time_ms, .to_ms = lane->points[i].time_ms};
    }
    qsort(parts, count, sizeof *parts, compare_parts);
    return count;
}

/* Longest gap that is still drawn: a minute, or an eighth of what would be drawn without any cut. */
static int64_t gap_limit_ms(const AxisPart *parts, size_t count) {
    enum { SHARE = 8 };
    int64_t end_ms = parts[0].to_ms;
    for (size_t i = 0; i < count; i++)
        if (parts[i].to_ms > end_ms) end_ms = parts[i].to_ms;
    int64_t share_ms = (end_ms - parts[0].from_ms) / SHARE;
    return share_ms > MINUTE_MS ? share_ms : MINUTE_MS;
}

static size_t merge(AxisPart *parts, size_t count) {
    int64_t limit_ms = gap_limit_ms(parts, count);
    size_t last = 0;
    for (size_t i = 1; i < count; i++) {
        if (parts[i].from_ms - parts[last].to_ms > limit_ms)
            parts[++last] = parts[i];
        else if (parts[i].to_ms > parts[last].to_ms)
            parts[last].to_ms = parts[i].to_ms;
    }
    return last + 1;
}

static void axis_open(const Chart *chart, Axis *axis) {
    size_t most = 1;
    int64_t total_ms = 0;
    *axis = (Axis){.arena = arena_new()};
    for (size_t l = 0; l < chart->lane_count; l++)
        most += chart->lanes[l].bar_count + chart->lanes[l].point_count;
    axis->parts = ARENA_ARRAY(axis->arena, most, AxisPart);
    axis->count = collect(chart, axis->parts);
    axis->count = axis->count ? merge(axis->parts, axis->count) : 1;
    for (size_t i = 0; i < axis->count; i++) total_ms += axis->parts[i].to_ms - axis->parts[i].from_ms;
    if (total_ms <= 0) axis->parts[axis->count - 1].to_ms += total_ms = 1000; /* one instant is no axis */
    double width = WIDTH - LEFT - RIGHT - (double)(axis->count - 1) * CUT_WIDTH, x = LEFT;
    axis->per_ms = width / (double)total_ms;
    for (size_t i = 0; i < axis->count; i++) {
        axis->parts[i].x = x;
        x += (double)(axis->parts[i].to_ms - axis->parts[i].from_ms) * axis->per_ms + CUT_WIDTH;
    }
}

static double axis_x(const Axis *axis, int64_t time_ms) {
    for (size_t i = axis->count; i-- > 0;) {
        const AxisPart *part = &axis->parts[i];
        if (time_ms < part->from_ms && i > 0) continue;
        int64_t at_ms = time_ms < part->from_ms ? part->from_ms
                        : time_ms > part->to_ms ? part->to_ms
                                                : time_ms;
        return part->x + (double)(at_ms - part->from_ms) * axis->per_ms;
    }
    return LEFT;
}

/* The shortest round step that leaves room for its labels. */
static int64_t tick_step_ms(const Axis *axis) {
    static const int64_t steps_ms[] = {10,       20,       50,       100,       200,      500,     1000,
                                       2000,     5000,     10000,    15000,     30000,    60000,   120000,
                                       300000,   600000,   900000,   1800000,   3600000,  7200000, 10800000,
                                       21600000, 43200000, 86400000, 172800000, 604800000};
    size_t last = sizeof steps_ms / sizeof *steps_ms - 1;
    for (size_t i = 0; i < last; i++)
        if ((double)steps_ms[i] * axis->per_ms >= LABEL_SPACE + 30) return steps_ms[i];
    return steps_ms[last];
}

/* Milliseconds that local time is ahead of UTC then. */
static int64_t zone_ms(int64_t time_ms) {
    struct tm parts;
    time_t seconds = (time_t)(time_ms / 1000);
    return localtime_r(&seconds, &parts) ? parts.tm_gmtoff * 1000 : 0;
}

static void tick_text(const Chart *chart, int64_t time_ms, int64_t step_ms,
                      char text[static QUANTITY_TEXT_SIZE]) {
    struct tm parts;
    time_t seconds = (time_t)(time_ms / 1000);
    if (chart->relative) {
        snprintf(text, QUANTITY_TEXT_SIZE, "%.*f s", step_ms % 1000 ? 2 : 0, (double)time_ms / 1000);
        return;
    }
    if (!localtime_r(&seconds, &parts)) memset(&parts, 0, sizeof parts);
    if (step_ms >= DAY_MS)
        strftime(text, QUANTITY_TEXT_SIZE, "%m-%d", &parts);
    else if (step_ms >= MINUTE_MS)
        strftime(text, QUANTITY_TEXT_SIZE, "%H:%M", &parts);
    else
        strftime(text, QUANTITY_TEXT_SIZE, "%H:%M:%S", &parts);
}

static void put_ticks(const Chart *chart, const Axis *axis, int bottom, Buffer *out) {
    int64_t step_ms = tick_step_ms(axis);
    double last_x = -LABEL_SPACE;
    for (size_t i = 0; i < axis->count; i++) {
        const AxisPart *part = &axis->parts[i];
        int64_t zone = chart->relative ? 0 : zone_ms(part->from_ms);
        int64_t first_ms = (part->from_ms + zone + step_ms - 1) / step_ms * step_ms - zone;
        for (int64_t at_ms = first_ms; at_ms <= part->to_ms; at_ms += step_ms) {
            char text[QUANTITY_TEXT_SIZE];
            double x = axis_x(axis, at_ms);
            if (x - last_x < LABEL_SPACE) continue;
            tick_text(chart, at_ms, step_ms, text);
            buffer_printf(out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>", x, TOP,
                          x, bottom);
            buffer_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s</text>\n", x, bottom + 16,
                          x > WIDTH - RIGHT - 24 ? "end"
                          : x < LEFT + 6         ? "start"
                                                 : "middle",
                          text);
            last_x = x;
        }
        if (i == 0) continue;
        buffer_printf(out, "<line class=\"cut\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n",
                      part->x - CUT_WIDTH / 2.0, TOP, part->x - CUT_WIDTH / 2.0, bottom + 8);
    }
}

/* ---- what stands in a lane */

static const char *tone_class(ChartTone tone) {
    static const char *const classes[CHART_TONES] = {"neutral", "work", "switch", "back",
                                                     "watch",   "bad",  "down"};
    return classes[tone];
}

static void put_bar(const Axis *axis, const ChartBar *bar, double y, double height, Buffer *out) {
    double from = axis_x(axis, bar->from_ms), width = axis_x(axis, bar->to_ms) - from;
    if (width < 2) width = 2; /* too short to be drawn is not the same as not there */
    buffer_printf(
        out, "<rect class=\"tone-%s%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"%d\">",
        tone_class(bar->tone), bar->behind ? " behind" : "", from, y, width, height, bar->behind ? 0 : 2);
    if (bar->label) {
        buffer_text_append(out, "<title>");
        character_put_markup(out, bar->label);
        buffer_text_append(out, "</title>");
    }
    buffer_text_append(out, "</rect>\n");
}

static void put_bars(const Axis *axis, const ChartLane *lane, int top, int height, Buffer *out) {
    for (size_t i = 0; i < lane->bar_count; i++)
        if (lane->bars[i].behind) put_bar(axis, &lane->bars[i], top, height, out);
    for (size_t i = 0; i < lane->bar_count; i++)
        if (!lane->bars[i].behind) put_bar(axis, &lane->bars[i], top + 8, height - 16, out);
}

/* The least of 1, 2, 5 × 10^n that is not below. */
static int64_t round_up(int64_t value) {
    static const int64_t factors[] = {1, 2, 5};
    for (int64_t power = 1; power < INT64_MAX / 100; power *= 10)
        for (size_t i = 0; i < 3; i++)
            if (factors[i] * power >= value) return factors[i] * power;
    return value;
}

static int64_t highest(const Chart *chart) {
    int64_t high = 1;
    for (size_t l = 0; l < chart->lane_count; l++)
        for (size_t i = 0; i < chart->lanes[l].point_count; i++)
            if (chart->lanes[l].points[i].high > high) high = chart->lanes[l].points[i].high;
    return round_up(high);
}

typedef struct Scale {
    double bottom, height;
    int64_t high;
} Scale;

static double scale_y(const Scale *scale, int64_t value) {
    return scale->bottom - (double)value / (double)scale->high * scale->height;
}

static bool joined(const Axis *axis, const ChartPoint *a, const ChartPoint *b) {
    for (size_t i = 0; i < axis->count; i++) /* on the same side of every cut */
        if (axis->parts[i].from_ms > a->time_ms && axis->parts[i].from_ms <= b->time_ms) return false;
    return a->known && b->known && !b->begins;
}

/* Points `from` … `to`-1, which follow each other without a gap. */
static void put_run(const Axis *axis, const Scale *scale, const ChartPoint *points, size_t from, size_t to,
                    Buffer *out) {
    buffer_text_append(out, "<polygon class=\"band\" points=\"");
    for (size_t i = from; i < to; i++)
        buffer_printf(out, "%.1f,%.1f ", axis_x(axis, points[i].time_ms), scale_y(scale, points[i].high));
    for (size_t i = to; i-- > from;)
        buffer_printf(out, "%.1f,%.1f ", axis_x(axis, points[i].time_ms), scale_y(scale, points[i].low));
    buffer_text_append(out, "\"/><polyline class=\"line\" points=\"");
    for (size_t i = from; i < to; i++)
        buffer_printf(out, "%.1f,%.1f ", axis_x(axis, points[i].time_ms), scale_y(scale, points[i].middle));
    buffer_text_append(out, "\"/>\n");
}

static void put_points(const Axis *axis, const Scale *scale, const ChartLane *lane, Buffer *out) {
    const ChartPoint *points = lane->points;
    for (size_t from = 0, to; from < lane->point_count; from = to) {
        to = from + 1;
        if (!points[from].known) continue;
        while (to < lane->point_count && joined(axis, &points[to - 1], &points[to])) to++;
        put_run(axis, scale, points, from, to, out);
        if (to - from == 1)
            buffer_printf(out, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>\n",
                          axis_x(axis, points[from].time_ms), scale_y(scale, points[from].middle));
    }
    for (size_t i = 0; i < lane->point_count; i++) {
        double x = axis_x(axis, points[i].time_ms), y = scale->bottom - 7;
        if (points[i].failed)
            buffer_printf(out, "<path class=\"miss\" d=\"M%.1f %.1fl7 7m0 -7l-7 7\"/>\n", x - 3.5, y - 3.5);
    }
}

static void put_scale(const Chart *chart, const Scale *scale, Buffer *out) {
    for (int i = 0; i <= 2; i++) {
        int64_t value = scale->high * i / 2;
        if (i == 1 && scale->high % 2) continue;
        double y = scale_y(scale, value);
        buffer_printf(out, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>", LEFT, y,
                      WIDTH - RIGHT, y);
        buffer_printf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%lld %s</text>\n", LEFT - 8, y + 4,
                      (long long)value, i == 2 ? chart->unit : "");
    }
}

/* ---- the whole */

static void put_name(const ChartLane *lane, double y, Buffer *out) {
    enum { NAME_MAX_SHOWN = 16 };
    const char *at = lane->name;
    buffer_printf(out, "<text class=\"name\" x=\"0\" y=\"%.1f\">", y);
    BUFFER_AUTO shown = {0};
    for (int i = 0; i < NAME_MAX_SHOWN && *at; i++) character_put(&shown, character_next(&at));
    if (*at) buffer_text_append(&shown, "…");
    character_put_markup(out, buffer_text(&shown));
    buffer_text_append(out, "</text>\n");
}

static void put_lane(const Chart *chart, const Axis *axis, size_t index, int top, int height, Buffer *out) {
    const ChartLane *lane = &chart->lanes[index];
    if (!chart->unit) {
        put_name(lane, top + height / 2.0 + 4, out);
        put_bars(axis, lane, top, height, out);
        return;
    }
    Scale scale = {top + height - 4.0, height - 12.0, highest(chart)};
    put_bars(axis, lane, top, height, out);
    put_name(lane, top + height / 2.0 - 10, out);
    put_scale(chart, &scale, out);
    put_points(axis, &scale, lane, out);
}

static void put_legend(const Chart *chart, int y, Buffer *out) {
    double x = LEFT;
    for (size_t i = 0; i < chart->legend_count; i++) {
        const ChartLegend *legend = &chart->legend[i];
        const char *at = legend->text;
        buffer_printf(out,
                      "<rect class=\"tone-%s\" x=\"%.1f\" y=\"%d\" width=\"12\" height=\"12\" rx=\"2\"/>",
                      tone_class(legend->tone), x, y);
        buffer_printf(out, "<text x=\"%.1f\" y=\"%d\">", x + 17, y + 10);
        character_put_markup(out, legend->text);
        buffer_text_append(out, "</text>\n");
        x += 17 + 18;
        for (uint32_t c; (c = character_next(&at));) x += c < 0x2E80 ? 6.6 : 12.4;
    }
}

void chart_svg(const Chart *chart, unsigned number, Buffer *out) {
    Axis axis;
    int lane_height = chart->unit ? VALUE_LANE : BAR_LANE;
    int bottom = TOP + (int)chart->lane_count * (lane_height + LANE_GAP);
    int height = bottom + AXIS_HEIGHT + (chart->legend_count ? LEGEND_HEIGHT : 0);
    axis_open(chart, &axis);
    buffer_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" "
                  "aria-labelledby=\"chart%u-title chart%u-text\"><title id=\"chart%u-title\">",
                  WIDTH, height, number, number, number);
    character_put_markup(out, chart->title);
    buffer_printf(out, "</title><desc id=\"chart%u-text\">", number);
    character_put_markup(out, chart->alternative ? chart->alternative : "");
    buffer_text_append(out, "</desc>\n");
    for (size_t i = 0; i < chart->lane_count; i++)
        buffer_printf(out, "<rect class=\"lane\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"3\"/>\n",
                      LEFT, TOP + (int)i * (lane_height + LANE_GAP), WIDTH - LEFT - RIGHT, lane_height);
    put_ticks(chart, &axis, bottom, out);
    for (size_t i = 0; i < chart->lane_count; i++)
        put_lane(chart, &axis, i, TOP + (int)i * (lane_height + LANE_GAP), lane_height, out);
    put_legend(chart, bottom + AXIS_HEIGHT + 2, out);
    buffer_text_append(out, "</svg>\n");
    arena_free(axis.arena);
}
