/* Chart: bars and lines over time, drawn as SVG.
 *
 * One lane a host (or whatever is compared), one under the other over a common axis. Each lane has bars (from
 * → to) and, in a chart of values, points with a lowest, middle and highest value. Long stretches in which
 * nothing happened in any lane are cut out of the axis, and the cut is shown.
 *
 * The SVG carries no colours of its own: classes (tone-good, tone-bad …) are styled by the page, so that it
 * follows light, dark and paper. Title and description make it readable without eyes.
 */
#pragma once
#include "base/buffer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ChartTone {
    CHART_NEUTRAL,
    CHART_WORK,   /* done while the service runs on */
    CHART_SWITCH, /* done while it may not */
    CHART_BACK,   /* rolling back */
    CHART_WATCH,  /* looked after */
    CHART_BAD,    /* failed */
    CHART_DOWN,   /* the service was not available */
    CHART_TONES
} ChartTone;

typedef struct ChartBar {
    int64_t from_ms, to_ms;
    ChartTone tone;
    bool behind;       /* a window drawn over the lane's full height, behind the others */
    const char *label; /* what a pointer resting on it shows */
} ChartBar;

typedef struct ChartPoint {
    int64_t time_ms;
    bool known; /* there are values */
    int64_t low, middle, high;
    bool failed;
    bool begins; /* nothing was measured between the point before and this one */
} ChartPoint;

typedef struct ChartLane {
    const char *name;
    ChartBar *bars;
    size_t bar_count;
    ChartPoint *points; /* in order of time */
    size_t point_count;
} ChartLane;

typedef struct ChartLegend {
    ChartTone tone;
    const char *text;
} ChartLegend;

enum { CHART_LEGENDS_MAX = 8 };

typedef struct Chart {
    const char *title;
    const char *alternative; /* what it shows, in words */
    const char *unit;        /* of the values, "ms"; NULL: a chart of bars alone */
    bool relative;           /* times count from 0 instead of being times of day */
    ChartLane *lanes;
    size_t lane_count;
    ChartLegend legend[CHART_LEGENDS_MAX];
    size_t legend_count;
} Chart;

/* Append one <svg> element. `number` makes its ids unique in the page. */
void chart_svg(const Chart *chart, unsigned number, Buffer *out);
