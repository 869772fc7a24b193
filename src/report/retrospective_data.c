/* The chapter of the data: restore points, what was restored and set aside, and what a later rollback would
 * do. */
#include "base/json.h"
#include "report/retrospective_room.h"
#include <string.h>

static const struct {
    const char *step;
    const char *kind;
} kinds[] = {
    {"back_up", TEXT("before the switch, service running")},
    {"final_copy", TEXT("exact copy, service stopped")},
    {"set_aside", TEXT("set aside: what the new version had written")},
};

static const char *kind_of(const char *step) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].step, step) == 0) return kinds[i].kind;
    return NULL;
}

/* The evidence that has the proof of `id`: its own step's, or of the step that proved it later. */
static const json_t *proof_of(const Story *story, const char *id) {
    const json_t *proof = NULL;
    for (size_t i = 0; i < story->step_count; i++) {
        const json_t *detail = story->steps[i].detail;
        if (strcmp(json_get_text(detail, "restore_point", ""), id) == 0 &&
            json_object_get(detail, "restored_files"))
            proof = detail;
    }
    return proof;
}

static const char *proof_text(const Retrospective *report, const char *id) {
    const json_t *proof = proof_of(report->story, id);
    if (!proof) return text_in(report->language, "not proved");
    return arena_printf(report->arena,
                        text_in(report->language,
                                "proved; files restored and compared: %lld, known from an earlier "
                                "proof: %lld"),
                        (long long)json_get_integer(proof, "restored_files", 0),
                        (long long)json_get_integer(proof, "known_files", 0));
}

static void put_point(const Retrospective *report, DocumentTable *table, const StoryStep *step) {
    const char *id = json_get_text(step->detail, "restore_point", "");
    document_row(table, DOCUMENT_PLAIN);
    document_cell(table, span_code(id));
    document_cell(table, span_text(step->host));
    document_cell(table, span_text(text_in(report->language, kind_of(step->step))));
    document_cell(table, span_time(report->arena, step->start_ms));
    document_cell(table, span_text(arena_printf(report->arena, "%lld",
                                                (long long)json_get_integer(step->detail, "files", 0))));
    document_cell(table, span_text(retrospective_size(report, json_get_integer(step->detail, "bytes", 0))));
    document_cell(table, span_text(proof_text(report, id)));
}

static DocumentTable *new_points(const Retrospective *report) {
    static const char *const columns[] = {TEXT("Restore point"), TEXT("Host"), TEXT("Kind"), TEXT("Taken"),
                                          TEXT("Files"),         TEXT("Size"), TEXT("Proof")};
    DocumentTable *table = document_table(report->document, NULL);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        document_column(table, text_in(report->language, columns[i]), i == 4 || i == 5);
    return table;
}

static const char *command_of(const Retrospective *report, const char *id) {
    return arena_printf(report->arena, "upkeep restore %s --to DIR", id);
}

static void put_points(const Retrospective *report) {
    const Story *story = report->story;
    const char *store = story->rollout->plan->restore_point.to, *last = NULL;
    DocumentTable *table = NULL;
    for (size_t i = 0; i < story->step_count; i++) {
        const StoryStep *step = &story->steps[i];
        if (!kind_of(step->step) || !json_object_get(step->detail, "restore_point")) continue;
        if (!table) table = new_points(report);
        put_point(report, table, step);
        last = json_get_text(step->detail, "restore_point", "");
    }
    if (!last) {
        document_paragraph(report->document, DOCUMENT_QUIET,
                           text_in(report->language, "No restore point was taken."));
        return;
    }
    document_paragraph(
        report->document, DOCUMENT_PLAIN,
        store ? arena_printf(report->arena, text_in(report->language, "They are kept in %s."), store)
              : text_in(report->language, "They are kept in the folder restore-points of the state."));
    document_paragraph(report->document, DOCUMENT_PLAIN,
                       text_in(report->language, "To get one back, whole or in part:"));
    document_command(report->document, command_of(report, last));
}

/* ---- what went back */

static void put_restore(const Retrospective *report, const StoryStep *step) {
    const json_t *detail = step->detail;
    const char *aside = json_get_text(detail, "set_aside", NULL);
    const char *text = arena_printf(
        report->arena,
        text_in(report->language,
                "%s: data and configuration went back to %s (files written: %lld, %s; removed: %lld)."),
        step->host, json_get_text(detail, "restore_point", "?"),
        (long long)json_get_integer(detail, "written_files", 0),
        retrospective_size(report, json_get_integer(detail, "written_bytes", 0)),
        (long long)json_get_integer(detail, "removed", 0));
    const char *since = aside
                            ? text_in(report->language, "What had been written since was set aside:")
                            : text_in(report->language, "Nothing had been written since: nothing was lost.");
    document_item(report->document, aside ? DOCUMENT_WARN : DOCUMENT_PLAIN,
                  arena_printf(report->arena, "%s\n%s", text, since));
    if (aside) document_command(report->document, command_of(report, aside));
}

static void put_restored(const Retrospective *report) {
    const Story *story = report->story;
    size_t restored = 0, kept = 0;
    document_subsection(report->document, text_in(report->language, "Restored and set aside"));
    for (size_t i = 0; i < story->step_count; i++) {
        if (strcmp(story->steps[i].step, "restore") != 0 || story->steps[i].result != STORY_DONE) continue;
        put_restore(report, &story->steps[i]);
        restored++;
    }
    for (size_t i = 0; i < story->order_count; i++) {
        const StoryOrder *order = &story->orders[i];
        const StoryHost *host = story_host(story, order->host);
        bool switched = host && host->state->switch_rank > 0;
        if (strcmp(order->order, "rollback") != 0 || order->restore_data || order->result != STORY_DONE ||
            !switched)
            continue;
        document_item(report->document, DOCUMENT_PLAIN,
                      arena_printf(report->arena,
                                   text_in(report->language, "%s: rolled back; its data was left as it was."),
                                   order->host));
        kept++;
    }
    if (!restored && !kept)
        document_paragraph(report->document, DOCUMENT_QUIET,
                           text_in(report->language, "Nothing was restored, and nothing was set aside."));
}

/* ---- a rollback later */

static void put_choices(const Retrospective *report) {
    const Plan *plan = report->story->rollout->plan;
    Language language = report->language;
    bool any_confirmed = false;
    for (size_t i = 0; i < report->story->rollout->host_count; i++)
        any_confirmed |= report->story->hosts[i].state->confirmed;
    document_paragraph(
        report->document, DOCUMENT_PLAIN,
        arena_printf(report->arena,
                     text_in(language, "The old version can be put back while its release is kept (the plan "
                                       "keeps %lld releases):"),
                     (long long)plan->service.keep_releases));
    document_command(report->document,
                     arena_printf(report->arena, "upkeep rollback %s", report->story->rollout->change));
    if (any_confirmed) {
        document_item(
            report->document, DOCUMENT_PLAIN,
            text_in(language,
                    "On confirmed hosts the data stays as it is: nothing that users have written is "
                    "lost, and the old version must cope with it."));
        document_item(report->document, DOCUMENT_WARN,
                      text_in(language,
                              "With --restore-data it goes back to the exact copy; what was written since is "
                              "set aside as a restore point."));
    }
    if (!any_confirmed)
        document_item(
            report->document, DOCUMENT_PLAIN,
            strcmp(plan->service.rollback_data, "restore") == 0
                ? text_in(language,
                          "No host is confirmed yet: data and configuration would go back to the exact "
                          "copy, and what was written since would be set aside.")
                : text_in(language, "before a host is confirmed: the data stays; nothing is lost"));
    document_paragraph(
        report->document, DOCUMENT_QUIET,
        text_in(language, "How much either would lose grows with time; the command says it before it asks."));
}

static void put_later(const Retrospective *report) {
    const Rollout *rollout = report->story->rollout;
    bool switched = false;
    document_subsection(report->document, text_in(report->language, "What a rollback would do now"));
    for (size_t i = 0; i < rollout->host_count; i++) switched |= rollout->hosts[i].switched;
    if (switched) {
        put_choices(report);
        return;
    }
    document_paragraph(
        report->document, DOCUMENT_QUIET,
        text_in(report->language, "Nothing: no host runs the new version because of this change."));
}

void retrospective_data(const Retrospective *report) {
    document_section(report->document, text_in(report->language, "Backups and data"));
    put_points(report);
    put_restored(report);
    put_later(report);
}
