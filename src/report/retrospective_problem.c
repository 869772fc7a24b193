/* The chapters of what went wrong, what went well, and what is for people to add. */
#include "base/json.h"
#include "report/retrospective_room.h"
#include <string.h>

static size_t put_problem(const Retrospective *report, DocumentTable *table, int64_t time_ms,
                          const char *host, const char *what, const char *why) {
    document_row(table, DOCUMENT_BAD);
    document_cell(table, span_time(report->arena, time_ms));
    document_cell(table, span_text(retrospective_or_dash(host)));
    document_cell(table, span_text(what));
    document_cell(table, span_text(retrospective_or_dash(why)));
    return 1;
}

static size_t put_step_problem(const Retrospective *report, DocumentTable *table, const StoryStep *step) {
    const char *name = retrospective_step_name(report, step->step);
    const char *warning = json_get_text(step->detail, "warning", NULL);
    if (step->result == STORY_FAILED)
        return put_problem(report, table, step->end_ms, step->host, name,
                           retrospective_either(report, step->error, step->error_zh));
    if (step->result == STORY_CUT)
        return put_problem(report, table, step->start_ms, step->host, name,
                           text_in(report->language, "cut off before its end, and done again later"));
    return warning ? put_problem(report, table, step->end_ms, step->host, name, warning) : 0;
}

/* An order that failed without a step of its own having failed. */
static bool explained(const Story *story, const StoryOrder *order) {
    for (size_t i = 0; i < story->step_count; i++)
        if (story->steps[i].result == STORY_FAILED && strcmp(story->steps[i].order_id, order->id) == 0)
            return true;
    return false;
}

static size_t put_problems(const Retrospective *report, DocumentTable *table) {
    const Story *story = report->story;
    size_t count = 0;
    for (size_t i = 0; i < story->step_count; i++) count += put_step_problem(report, table, &story->steps[i]);
    for (size_t i = 0; i < story->order_count; i++) {
        const StoryOrder *order = &story->orders[i];
        if (order->result == STORY_FAILED && !explained(story, order))
            count += put_problem(report, table, order->ended_ms, order->host, order->order,
                                 retrospective_either(report, order->error, order->error_zh));
    }
    for (size_t i = 0; i < story->health_count; i++) {
        const StoryHealth *health = &story->health[i];
        if (health->when == STORY_WATCH && strcmp(health->verdict, "fail") == 0)
            count += put_problem(report, table, health->time_ms, health->host,
                                 text_in(report->language, "unhealthy while it was watched"),
                                 retrospective_either(report, health->error, health->error_zh));
    }
    for (size_t i = 0; i < story->rollout->host_count; i++)
        if (story->hosts[i].state->state == HOST_LOST)
            count += put_problem(report, table, story->last_ms, story->hosts[i].name,
                                 text_in(report->language, "host lost: it did not answer in time"), NULL);
    return count;
}

/* ---- what went well: only what the journal proves */

static bool is_proved(const Story *story, const char *host) {
    for (size_t i = 0; i < story->step_count; i++)
        if (strcmp(story->steps[i].step, "prove") == 0 && strcmp(story->steps[i].host, host) == 0 &&
            story->steps[i].result == STORY_DONE)
            return true;
    return false;
}

static void put_well(const Retrospective *report) {
    const Story *story = report->story;
    Language language = report->language;
    size_t proved = 0, back = 0;
    int64_t back_ms = 0;
    for (size_t i = 0; i < story->rollout->host_count; i++) proved += is_proved(story, story->hosts[i].name);
    for (size_t i = 0; i < story->order_count; i++) {
        const StoryOrder *order = &story->orders[i];
        if (strcmp(order->order, "rollback") != 0 || order->result != STORY_DONE) continue;
        back++;
        if (order->ended_ms - order->given_ms > back_ms) back_ms = order->ended_ms - order->given_ms;
    }
    document_subsection(report->document, text_in(language, "What went well"));
    if (proved)
        document_item(
            report->document, DOCUMENT_PLAIN,
            arena_printf(report->arena,
                         text_in(language, "Backups proved by a restore before anything was switched: %zu of "
                                           "%zu hosts."),
                         proved, story->rollout->host_count));
    if (back)
        document_item(report->document, DOCUMENT_PLAIN,
                      arena_printf(report->arena,
                                   text_in(language, "Hosts rolled back: %zu, each within %s."), back,
                                   retrospective_duration(report, back_ms)));
    if (story->chain_whole)
        document_item(report->document, DOCUMENT_PLAIN,
                      text_in(language, "Every event of the record stands in an unbroken chain of hashes."));
}

/* The finding is known; what follows from it is for people. */
static void put_lessons(const Retrospective *report, size_t problems) {
    static const char *const columns[] = {TEXT("No."), TEXT("Lesson or cause"), TEXT("Measure"),
                                          TEXT("Responsible"), TEXT("Until")};
    document_subsection(report->document, text_in(report->language, "Lessons and measures"));
    DocumentTable *table = document_table(
        report->document,
        text_in(report->language, "For the people concerned to fill in: the journal cannot know it."));
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        document_column(table, text_in(report->language, columns[i]), false);
    for (size_t i = 0; i < (problems ? problems : 1) && i < 5; i++) {
        document_row(table, DOCUMENT_PLAIN);
        document_cell(table, span_text(arena_printf(report->arena, "%zu", i + 1)));
    }
}

void retrospective_problems(const Retrospective *report) {
    static const char *const columns[] = {TEXT("Time"), TEXT("Host"), TEXT("What"), TEXT("Why")};
    document_section(report->document, text_in(report->language, "Problems and lessons"));
    DocumentTable *table = ARENA_NEW(report->arena, DocumentTable), *shown;
    table->arena = report->arena;
    size_t count = put_problems(report, table);
    if (count) {
        shown = document_table(report->document, NULL);
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
            document_column(shown, text_in(report->language, columns[i]), false);
        shown->first = table->first;
        shown->last = table->last;
    } else {
        document_paragraph(report->document, DOCUMENT_QUIET,
                           text_in(report->language, "The journal knows of no problem."));
    }
    put_well(report);
    put_lessons(report, count);
}
