/* The chapter of the hosts: a row each, the course of all on one axis, and what the interruptions consisted
 * of. */
#include "base/json.h"
#include "model/words.h"
#include "report/retrospective_room.h"
#include <string.h>

enum { LANES_MAX = 40 };

/* ---- the table */

static DocumentTone tone_of(const RolloutHost *host) {
    if (host->rollback_failed || host->state == HOST_FAILED || host->state == HOST_LOST) return DOCUMENT_BAD;
    if (host->state == HOST_ROLLED_BACK || host->state == HOST_ROLLING_BACK || host->kept)
        return DOCUMENT_WARN;
    if (host->state == HOST_COMMITTED || host->state == HOST_CONFIRMED || host->state == HOST_HEALTHY)
        return host->health == VERDICT_FAIL ? DOCUMENT_BAD : DOCUMENT_GOOD;
    return DOCUMENT_QUIET;
}

/* What stands there now, as far as the journal can tell. */
static const char *version_now(const Retrospective *report, const StoryHost *host) {
    switch (host->state->state) {
    case HOST_HEALTHY:
    case HOST_CONFIRMED:
    case HOST_COMMITTED: return report->story->rollout->version;
    case HOST_PENDING:
    case HOST_PREPARING:
    case HOST_PREPARED:
    case HOST_ROLLED_BACK:
        if (!host->old_version) break;
        return *host->old_version ? host->old_version : text_in(report->language, "none");
    case HOST_FAILED:
        if (!host->state->switched && host->old_version && *host->old_version) return host->old_version;
        break;
    default: break;
    }
    return text_in(report->language, "unknown");
}

/* All orders of that kind together; those that have not ended are said. */
static const char *order_time(const Retrospective *report, const char *host, OrderKind kind) {
    int64_t total_ms = 0;
    bool any = false, open = false;
    for (size_t i = 0; i < report->story->order_count; i++) {
        const StoryOrder *order = &report->story->orders[i];
        if (strcmp(order->host, host) != 0 || strcmp(order->order, order_kind_text(kind)) != 0) continue;
        any = true;
        open |= !order->ended_ms;
        if (order->ended_ms) total_ms += order->ended_ms - order->given_ms;
    }
    if (open) return text_in(report->language, "not ended");
    return any ? retrospective_duration(report, total_ms) : "–";
}

static const char *outage_time(const Retrospective *report, const StoryHost *host) {
    if (!host->outage_count) return text_in(report->language, "none");
    if (host->outage_ms < 0) return text_in(report->language, "not over");
    return retrospective_duration(report, host->outage_ms);
}

static void put_host(const Retrospective *report, DocumentTable *table, const StoryHost *host) {
    const Rollout *rollout = report->story->rollout;
    document_row(table, tone_of(host->state));
    document_cell(table, span_text(host->name));
    document_cell(table, span_text(host->state->live ? text_in(report->language, "live")
                                                     : rollout_stage_name(rollout, host->state)));
    document_cell(table,
                  span_badge(tone_of(host->state), text_in(report->language, words_host_now(host->state))));
    document_cell(table, span_text(!host->old_version    ? text_in(report->language, "unknown")
                                   : !*host->old_version ? text_in(report->language, "none")
                                                         : host->old_version));
    document_cell(table, span_text(version_now(report, host)));
    document_cell(table,
                  span_tone(host->outage_ms < 0 ? DOCUMENT_BAD : DOCUMENT_PLAIN, outage_time(report, host)));
    for (int kind = ORDER_PREPARE; kind <= ORDER_ROLLBACK; kind++)
        document_cell(table, span_text(order_time(report, host->name, (OrderKind)kind)));
}

static void put_table(const Retrospective *report) {
    static const char *const columns[] = {TEXT("Host"),   TEXT("Stage"), TEXT("State"),
                                          TEXT("Before"), TEXT("Now"),   TEXT("Interrupted")};
    DocumentTable *table = document_table(
        report->document,
        text_in(report->language,
                "“Interrupted” counts from the stop of the running service until it, or the old "
                "version, had passed its probes often enough in a row: an upper bound."));
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        document_column(table, text_in(report->language, columns[i]), i == 5);
    for (int kind = ORDER_PREPARE; kind <= ORDER_ROLLBACK; kind++)
        document_column(table, text_in(report->language, words_order(order_kind_text((OrderKind)kind))),
                        true);
    for (size_t i = 0; i < report->story->rollout->host_count; i++)
        put_host(report, table, &report->story->hosts[i]);
}

/* ---- the course: hosts × steps over time */

static ChartTone tone_of_step(const StoryStep *step) {
    static const struct {
        const char *order;
        ChartTone tone;
    } tones[] = {{"prepare", CHART_WORK}, {"switch", CHART_SWITCH}, {"rollback", CHART_BACK}};
    if (step->result == STORY_FAILED) return CHART_BAD;
    for (size_t i = 0; i < sizeof tones / sizeof *tones; i++)
        if (strcmp(step->order, tones[i].order) == 0) return tones[i].tone;
    return CHART_NEUTRAL;
}

static void add_bar(ChartLane *lane, ChartBar bar) { lane->bars[lane->bar_count++] = bar; }

static void add_steps(const Retrospective *report, ChartLane *lane) {
    for (size_t i = 0; i < report->story->step_count; i++) {
        const StoryStep *step = &report->story->steps[i];
        int64_t end_ms = step->end_ms ? step->end_ms : step->start_ms;
        if (strcmp(step->host, lane->name) != 0) continue;
        if (step->result == STORY_OPEN) end_ms = report->story->last_ms;
        const char *label = arena_printf(
            report->arena, "%s · %s · %s", text_in(report->language, words_order(step->order)),
            retrospective_step_name(report, step->step), retrospective_duration(report, step->duration_ms));
        add_bar(lane, (ChartBar){step->start_ms, end_ms, tone_of_step(step), false, label});
    }
}

/* From the end of a switch to the next order, the new version was looked after. */
static void add_watches(const Retrospective *report, ChartLane *lane) {
    const Story *story = report->story;
    for (size_t i = 0; i < story->order_count; i++) {
        const StoryOrder *order = &story->orders[i];
        int64_t until_ms = story->closed_ms ? story->closed_ms : story->last_ms;
        bool watched = strcmp(order->order, "switch") == 0 || strcmp(order->order, "confirm") == 0;
        if (strcmp(order->host, lane->name) != 0 || !watched || order->result != STORY_DONE) continue;
        for (size_t j = i + 1; j < story->order_count; j++)
            if (strcmp(story->orders[j].host, lane->name) == 0) {
                until_ms = story->orders[j].given_ms;
                break;
            }
        if (until_ms <= order->ended_ms) continue;
        const char *label = arena_printf(report->arena, "%s · %s", text_in(report->language, "watched"),
                                         retrospective_duration(report, until_ms - order->ended_ms));
        add_bar(lane, (ChartBar){order->ended_ms, until_ms, CHART_WATCH, false, label});
    }
}

static void add_outages(const Retrospective *report, ChartLane *lane) {
    const Story *story = report->story;
    for (size_t i = 0; i < story->outage_count; i++) {
        const StoryOutage *outage = &story->outages[i];
        int64_t to_ms = outage->to_ms ? outage->to_ms : story->last_ms;
        if (strcmp(outage->host, lane->name) != 0) continue;
        add_bar(lane, (ChartBar){outage->from_ms, to_ms, CHART_DOWN, true,
                                 text_in(report->language, "service interrupted")});
    }
}

static void add_legend(const Retrospective *report, Chart *chart, ChartTone tone, const char *text) {
    chart->legend[chart->legend_count++] = (ChartLegend){tone, text_in(report->language, text)};
}

static Chart *new_chart(const Retrospective *report, size_t lanes) {
    Chart *chart = ARENA_NEW(report->arena, Chart);
    chart->lanes = ARENA_ARRAY(report->arena, lanes, ChartLane);
    return chart;
}

static const char *describe_course(const Retrospective *report) {
    const Story *story = report->story;
    int64_t longest_ms = 0;
    const char *host = NULL;
    for (size_t i = 0; i < story->rollout->host_count; i++)
        if (story->hosts[i].outage_ms > longest_ms) {
            longest_ms = story->hosts[i].outage_ms;
            host = story->hosts[i].name;
        }
    if (!host) return text_in(report->language, "No service was interrupted for a known time.");
    return arena_printf(report->arena, text_in(report->language, "The longest interruption was %s, on %s."),
                        retrospective_duration(report, longest_ms), host);
}

static void put_course(const Retrospective *report) {
    const Story *story = report->story;
    size_t count = story->rollout->host_count < LANES_MAX ? story->rollout->host_count : LANES_MAX;
    Chart *chart = new_chart(report, count);
    chart->title = text_in(report->language, "Course of the upgrade");
    chart->alternative = describe_course(report);
    chart->lane_count = count;
    for (size_t i = 0; i < count; i++) {
        ChartLane *lane = &chart->lanes[i];
        lane->name = story->hosts[i].name;
        lane->bars = ARENA_ARRAY(report->arena, story->step_count + story->order_count + story->outage_count,
                                 ChartBar);
        add_outages(report, lane);
        add_watches(report, lane);
        add_steps(report, lane);
    }
    add_legend(report, chart, CHART_WORK, TEXT("prepare"));
    add_legend(report, chart, CHART_SWITCH, TEXT("switch"));
    add_legend(report, chart, CHART_WATCH, TEXT("watched"));
    add_legend(report, chart, CHART_BACK, TEXT("roll back"));
    add_legend(report, chart, CHART_BAD, TEXT("failed"));
    add_legend(report, chart, CHART_DOWN, TEXT("service interrupted"));
    document_chart(report->document, chart);
    if (count < story->rollout->host_count)
        document_paragraph(
            report->document, DOCUMENT_QUIET,
            arena_printf(report->arena,
                         text_in(report->language, "The chart shows the first %zu of %zu hosts."), count,
                         story->rollout->host_count));
}

/* ---- what the interruptions consisted of */

static const struct {
    const char *step;
    ChartTone tone;
} parts[] = {
    {"stop", CHART_NEUTRAL}, {"final_copy", CHART_WORK}, {"set_aside", CHART_WORK},
    {"restore", CHART_WORK}, {"activate", CHART_SWITCH}, {"start", CHART_SWITCH},
    {"probe", CHART_WATCH},
};

static ChartTone tone_of_part(const StoryStep *step) {
    if (step->result == STORY_FAILED) return CHART_BAD;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strcmp(step->step, parts[i].step) == 0) return parts[i].tone;
    return CHART_NEUTRAL;
}

static void put_interruptions(const Retrospective *report) {
    const Story *story = report->story;
    Chart *chart = new_chart(report, LANES_MAX);
    for (size_t i = 0; i < story->outage_count && chart->lane_count < LANES_MAX; i++) {
        const StoryOutage *outage = &story->outages[i];
        if (!outage->to_ms) continue;
        ChartLane *lane = &chart->lanes[chart->lane_count++];
        *lane = (ChartLane){.name = outage->host,
                            .bars = ARENA_ARRAY(report->arena, story->step_count, ChartBar)};
        for (size_t s = 0; s < story->step_count; s++) {
            const StoryStep *step = &story->steps[s];
            bool inside = step->end_ms && step->start_ms >= outage->from_ms && step->end_ms <= outage->to_ms;
            if (!inside || strcmp(step->host, outage->host) != 0) continue;
            add_bar(lane, (ChartBar){step->start_ms - outage->from_ms, step->end_ms - outage->from_ms,
                                     tone_of_part(step), false,
                                     arena_printf(report->arena, "%s · %s",
                                                  retrospective_step_name(report, step->step),
                                                  retrospective_duration(report, step->duration_ms))});
        }
    }
    if (!chart->lane_count) return;
    chart->title = text_in(report->language, "What the interruptions consisted of");
    chart->alternative =
        text_in(report->language, "Each row begins where the service was stopped and ends where it "
                                  "was judged healthy again.");
    chart->relative = true;
    add_legend(report, chart, CHART_NEUTRAL, TEXT("stop"));
    add_legend(report, chart, CHART_WORK, TEXT("copy or restore data"));
    add_legend(report, chart, CHART_SWITCH, TEXT("switch the release and start"));
    add_legend(report, chart, CHART_WATCH, TEXT("wait until healthy"));
    add_legend(report, chart, CHART_BAD, TEXT("failed"));
    document_chart(report->document, chart);
}

void retrospective_hosts(const Retrospective *report) {
    document_section(report->document, text_in(report->language, "Hosts"));
    put_table(report);
    if (!report->story->step_count) return;
    put_course(report);
    put_interruptions(report);
}
