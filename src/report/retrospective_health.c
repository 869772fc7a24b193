/* The chapter of health: before against after, as numbers and over time. */
#include "report/retrospective_room.h"
#include <stdlib.h>
#include <string.h>

enum { PANELS_MAX = 12, POINTS_MAX = 300 };

typedef struct Sum {
    size_t reports;
    int64_t passes, failures, deaths;
    int64_t min_ms, max_ms, median_ms;
    size_t timed;
    int64_t *medians_ms;
} Sum;

static int compare_ms(const void *a, const void *b) {
    int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;
    return one < other ? -1 : one > other;
}

/* All reports of one host and one time together. */
static Sum sum_up(const Retrospective *report, const char *host, StoryWhen when) {
    const Story *story = report->story;
    Sum sum = {.medians_ms = ARENA_ARRAY(report->arena, story->health_count + 1, int64_t)};
    for (size_t i = 0; i < story->health_count; i++) {
        const StoryHealth *health = &story->health[i];
        if (health->when != when || strcmp(health->host, host) != 0) continue;
        sum.reports++;
        sum.passes += health->passes;
        sum.failures += health->failures;
        sum.deaths += health->deaths;
        if (!health->timed) continue;
        if (!sum.timed || health->min_ms < sum.min_ms) sum.min_ms = health->min_ms;
        if (!sum.timed || health->max_ms > sum.max_ms) sum.max_ms = health->max_ms;
        sum.medians_ms[sum.timed++] = health->median_ms;
    }
    qsort(sum.medians_ms, sum.timed, sizeof *sum.medians_ms, compare_ms);
    if (sum.timed) sum.median_ms = sum.medians_ms[sum.timed / 2];
    return sum;
}

static const char *milliseconds(const Retrospective *report, const Sum *sum, int64_t value_ms) {
    return sum->timed ? arena_printf(report->arena, "%lld ms", (long long)value_ms) : "–";
}

static void put_sum(const Retrospective *report, DocumentTable *table, const char *host, StoryWhen when,
                    const Sum *sum) {
    static const char *const names[STORY_WHENS] = {
        TEXT("old version, before the upgrade"), TEXT("new version, until healthy"),
        TEXT("new version, watched"), TEXT("old version, after the rollback")};
    bool waits = when == STORY_PROBE || when == STORY_BACK; /* failures while it starts are no fault */
    document_row(table, sum->failures && !waits ? DOCUMENT_BAD : DOCUMENT_PLAIN);
    document_cell(table, span_text(host));
    document_cell(table, span_text(text_in(report->language, names[when])));
    document_cell(table, span_text(arena_printf(report->arena, "%lld", (long long)sum->passes)));
    document_cell(table, span_tone(sum->failures && !waits ? DOCUMENT_BAD : DOCUMENT_PLAIN,
                                   arena_printf(report->arena, "%lld", (long long)sum->failures)));
    document_cell(table, span_text(milliseconds(report, sum, sum->min_ms)));
    document_cell(table, span_text(milliseconds(report, sum, sum->median_ms)));
    document_cell(table, span_text(milliseconds(report, sum, sum->max_ms)));
    document_cell(table, span_text(arena_printf(report->arena, "%lld", (long long)sum->deaths)));
}

static void put_table(const Retrospective *report) {
    static const char *const columns[] = {TEXT("Host"), TEXT("When"),   TEXT("Passes"), TEXT("Failures"),
                                          TEXT("Min"),  TEXT("Median"), TEXT("Max"),    TEXT("Deaths")};
    DocumentTable *table = document_table(
        report->document,
        text_in(report->language,
                "What the probes saw. Min, median and max are latencies of passed looks; the median "
                "of several reports is the median of their medians. Failures while a version is "
                "starting are expected."));
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        document_column(table, text_in(report->language, columns[i]), i >= 2);
    for (size_t h = 0; h < report->story->rollout->host_count; h++)
        for (int when = 0; when < STORY_WHENS; when++) {
            const char *host = report->story->hosts[h].name;
            Sum sum = sum_up(report, host, (StoryWhen)when);
            if (sum.reports) put_sum(report, table, host, (StoryWhen)when, &sum);
        }
}

/* ---- over time */

static bool ever_failed(const Story *story, const char *host) {
    for (size_t i = 0; i < story->health_count; i++)
        if (story->health[i].failures && strcmp(story->health[i].host, host) == 0) return true;
    return false;
}

static size_t count_of(const Story *story, const char *host) {
    size_t count = 0;
    for (size_t i = 0; i < story->health_count; i++) count += strcmp(story->health[i].host, host) == 0;
    return count;
}

/* Neighbours become one point where there are more than can be told apart. */
static void merge_point(ChartPoint *into, const StoryHealth *health) {
    if (health->timed) {
        if (!into->known || health->min_ms < into->low) into->low = health->min_ms;
        if (!into->known || health->max_ms > into->high) into->high = health->max_ms;
        into->middle = into->known ? (into->middle + health->median_ms) / 2 : health->median_ms;
        into->known = true;
    }
    into->failed |= health->failures > 0;
    into->time_ms = health->time_ms;
}

/* Were the probes asked all the time between these two? */
static bool goes_on(const StoryHealth *before, const StoryHealth *after) {
    enum { SILENCE_MS = 10 * 1000 };
    bool watched = before->when == STORY_PROBE || before->when == STORY_WATCH;
    return watched && after->when == STORY_WATCH && after->time_ms - before->time_ms <= SILENCE_MS;
}

static void add_points(const Retrospective *report, ChartLane *lane) {
    const Story *story = report->story;
    size_t each = count_of(story, lane->name) / POINTS_MAX + 1, seen = 0;
    const StoryHealth *before = NULL;
    lane->points = ARENA_ARRAY(report->arena, count_of(story, lane->name), ChartPoint);
    for (size_t i = 0; i < story->health_count; i++) {
        if (strcmp(story->health[i].host, lane->name) != 0) continue;
        bool begins = before && !goes_on(before, &story->health[i]);
        if (seen++ % each == 0 || begins) lane->points[lane->point_count++].begins = begins;
        merge_point(&lane->points[lane->point_count - 1], &story->health[i]);
        before = &story->health[i];
    }
}

static void add_outages(const Retrospective *report, ChartLane *lane) {
    const Story *story = report->story;
    lane->bars = ARENA_ARRAY(report->arena, story->outage_count + 1, ChartBar);
    for (size_t i = 0; i < story->outage_count; i++) {
        const StoryOutage *outage = &story->outages[i];
        if (strcmp(outage->host, lane->name) != 0) continue;
        lane->bars[lane->bar_count++] =
            (ChartBar){outage->from_ms, outage->to_ms ? outage->to_ms : story->last_ms, CHART_DOWN, true,
                       text_in(report->language, "service interrupted")};
    }
}

/* The hosts that failed come first, so that they are among those shown. */
static void choose_lanes(const Retrospective *report, Chart *chart) {
    const Story *story = report->story;
    for (int failed = 1; failed >= 0; failed--)
        for (size_t i = 0; i < story->rollout->host_count && chart->lane_count < PANELS_MAX; i++) {
            const char *host = story->hosts[i].name;
            if (count_of(story, host) && ever_failed(story, host) == (failed == 1))
                chart->lanes[chart->lane_count++].name = host;
        }
}

static void put_chart(const Retrospective *report) {
    Chart *chart = ARENA_NEW(report->arena, Chart);
    chart->title = text_in(report->language, "Latency of the probes over time");
    chart->alternative = text_in(report->language,
                                 "Line: median; band: lowest to highest; cross: a report with failed looks.");
    chart->unit = "ms";
    chart->lanes = ARENA_ARRAY(report->arena, PANELS_MAX, ChartLane);
    choose_lanes(report, chart);
    for (size_t i = 0; i < chart->lane_count; i++) {
        add_points(report, &chart->lanes[i]);
        add_outages(report, &chart->lanes[i]);
    }
    chart->legend[chart->legend_count++] =
        (ChartLegend){CHART_DOWN, text_in(report->language, "service interrupted")};
    document_chart(report->document, chart);
    if (chart->lane_count < report->story->rollout->host_count)
        document_paragraph(report->document, DOCUMENT_QUIET,
                           arena_printf(report->arena,
                                        text_in(report->language, "The chart shows %zu of %zu hosts."),
                                        chart->lane_count, report->story->rollout->host_count));
}

void retrospective_health(const Retrospective *report) {
    document_section(report->document, text_in(report->language, "Health before and after"));
    if (!report->story->health_count) {
        document_paragraph(report->document, DOCUMENT_QUIET,
                           text_in(report->language, "Nothing is known: no probe was run in this change."));
        return;
    }
    put_table(report);
    put_chart(report);
}
