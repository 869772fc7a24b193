/* The chapter of the steps: each with its command and parameters, who, when, how long, and the evidence. */
#include "base/json.h"
#include "model/words.h"
#include "report/retrospective_room.h"
#include <stdlib.h>
#include <string.h>

/* ---- evidence: what a step left in its detail */

typedef enum FieldKind { FIELD_COUNT, FIELD_SIZE, FIELD_TEXT, FIELD_TRUE } FieldKind;

static const struct {
    const char *key;
    FieldKind kind;
    const char *text; /* a message id, with %s for the value */
} fields[] = {
    {"restore_point", FIELD_TEXT, TEXT("restore point %s")},
    {"files", FIELD_COUNT, TEXT("files: %s")},
    {"bytes", FIELD_SIZE, TEXT("size: %s")},
    {"stored_bytes", FIELD_SIZE, TEXT("added to the store: %s")},
    {"restored_files", FIELD_COUNT, TEXT("files restored and compared: %s")},
    {"restored_bytes", FIELD_SIZE, TEXT("bytes restored and compared: %s")},
    {"known_files", FIELD_COUNT, TEXT("files known from an earlier proof: %s")},
    {"taken_again", FIELD_TEXT, TEXT("the first copy failed its proof; taken again as %s")},
    {"already_installed", FIELD_TRUE, TEXT("installed already, and undamaged")},
    {"old_version", FIELD_TEXT, TEXT("version before: %s")},
    {"was_running", FIELD_TRUE, TEXT("it was running")},
    {"killed", FIELD_TRUE, TEXT("it did not end in time and was killed")},
    {"exit_status", FIELD_COUNT, TEXT("exit status %s")},
    {"output", FIELD_TEXT, TEXT("output: %s")},
    {"confirm_by", FIELD_TEXT, TEXT("rolls back by itself unless confirmed by %s")},
    {"connections_before", FIELD_COUNT, TEXT("connections before: %s")},
    {"connections_left", FIELD_COUNT, TEXT("connections that had not ended: %s")},
    {"workers_before", FIELD_COUNT, TEXT("nginx workers before the reload: %s")},
    {"workers_left", FIELD_COUNT, TEXT("nginx workers that had not finished: %s")},
    {"drain_timeout", FIELD_TRUE, TEXT("the drain_timeout had passed")},
    {"weight_percent", FIELD_COUNT, TEXT("weight in percent: %s")},
    {"changed", FIELD_COUNT, TEXT("changes by the new version: %s")},
    {"set_aside", FIELD_TEXT, TEXT("set aside as %s")},
    {"written_files", FIELD_COUNT, TEXT("files written: %s")},
    {"written_bytes", FIELD_SIZE, TEXT("bytes written: %s")},
    {"removed", FIELD_COUNT, TEXT("removed: %s")},
    {"removed_releases", FIELD_COUNT, TEXT("old releases removed: %s")},
    {"removed_restore_points", FIELD_COUNT, TEXT("old restore points removed: %s")},
    {"warning", FIELD_TEXT, TEXT("warning: %s")},
};

static const char *line(const Retrospective *report, const char *text, const char *more) {
    if (!more || !*more) return text;
    return arena_printf(report->arena, "%s%s%s", text, *text ? "\n" : "", more);
}

static const char *value_of(const Retrospective *report, const json_t *value, FieldKind kind) {
    switch (kind) {
    case FIELD_TRUE: return json_is_true(value) ? "" : NULL;
    case FIELD_TEXT:
        return json_is_string(value) && *json_string_value(value) ? json_string_value(value) : NULL;
    case FIELD_SIZE:
        return json_is_integer(value) ? retrospective_size(report, json_integer_value(value)) : NULL;
    case FIELD_COUNT: break;
    }
    if (!json_is_integer(value)) return NULL;
    return arena_printf(report->arena, "%lld", (long long)json_integer_value(value));
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static const char *known_fields(const Retrospective *report, const json_t *detail, const char *text) {
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const json_t *value = json_object_get(detail, fields[i].key);
        const char *shown = value ? value_of(report, value, fields[i].kind) : NULL;
        if (!shown) continue;
        text = line(report, text,
                    fields[i].kind == FIELD_TRUE
                        ? text_in(report->language, fields[i].text)
                        : arena_printf(report->arena, text_in(report->language, fields[i].text), shown));
    }
    return text;
}

static bool is_known(const char *key) {
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].key, key) == 0) return true;
    return strcmp(key, "checks") == 0 || strcmp(key, "health") == 0;
}

/* What a later version writes is shown as it is, rather than kept back. */
static const char *other_fields(const Retrospective *report, const json_t *detail, const char *text) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)detail, key, value) {
        if (is_known(key)) continue;
        char *shown = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
        text = line(report, text, arena_printf(report->arena, "%s: %s", key, shown ? shown : ""));
        free(shown);
    }
    return text;
}

static const char *checks(const Retrospective *report, const json_t *list, const char *text) {
    size_t index;
    json_t *check;
    json_array_foreach(list, index, check) {
        bool pass = strcmp(json_get_text(check, "verdict", ""), "pass") == 0;
        const char *found = retrospective_either(report, json_get_text(check, "found", NULL),
                                                 json_get_text(check, "found_zh", NULL));
        text = line(report, text,
                    arena_printf(report->arena, "%s %s", pass ? "✔" : "✘",
                                 found ? found : json_get_text(check, "name", "?")));
    }
    return text;
}

static const char *health(const Retrospective *report, const json_t *summary, const char *text) {
    const json_t *latency = json_object_get(summary, "latency_ms");
    if (!json_is_object(summary)) return text;
    text = line(report, text,
                arena_printf(report->arena, text_in(report->language, "probes: %lld passed, %lld failed"),
                             (long long)json_get_integer(summary, "passes", 0),
                             (long long)json_get_integer(summary, "failures", 0)));
    if (!latency) return text;
    return line(report, text,
                arena_printf(report->arena,
                             text_in(report->language, "latency %lld / %lld / %lld ms (min / median / max)"),
                             (long long)json_get_integer(latency, "min", 0),
                             (long long)json_get_integer(latency, "median", 0),
                             (long long)json_get_integer(latency, "max", 0)));
}

const char *retrospective_evidence_of(const Retrospective *report, const StoryStep *step) {
    const char *text = checks(report, json_object_get(step->detail, "checks"), "");
    text = known_fields(report, step->detail, text);
    text = health(report, json_object_get(step->detail, "health"), text);
    return other_fields(report, step->detail, text);
}

/* ---- parameters: what the plan says to that step */

static const char *paths(const Retrospective *report, const Plan *plan) {
    const char *text = "";
    const StringList *lists[] = {&plan->service.config, &plan->service.data};
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l]->count; i++) text = line(report, text, lists[l]->items[i]);
    return text;
}

static const char *probes(const Retrospective *report, const Plan *plan) {
    const char *text = "";
    for (size_t i = 0; i < plan->health.count; i++) {
        const PlanHealth *row = &plan->health.items[i];
        const char *target = row->http  ? row->http->url
                             : row->tcp ? row->tcp->address
                                        : row->command->run.items[0];
        text = line(
            report, text,
            arena_printf(report->arena,
                         text_in(report->language, "%s: %s, every %s, %lld passes in a row within %s"),
                         row->name, target, retrospective_duration(report, row->every_ms),
                         (long long)row->healthy_after, retrospective_duration(report, row->deadline_ms)));
    }
    return text;
}

static const char *kept(const Retrospective *report, const Plan *plan) {
    return arena_printf(report->arena,
                        text_in(report->language, "keeps %lld releases and %lld restore points"),
                        (long long)plan->service.keep_releases, (long long)plan->restore_point.keep);
}

static const struct {
    const char *step;
    const char *(*text)(const Retrospective *report, const Plan *plan);
} parameters[] = {
    {"back_up", paths}, {"final_copy", paths}, {"set_aside", paths}, {"probe", probes}, {"commit", kept},
};

/* The probes after a rollback are those of the plan that installed the old version: not known here. */
static const char *parameters_of(const Retrospective *report, const StoryStep *step, const Plan *plan) {
    if (!plan || (strcmp(step->order, "rollback") == 0 && strcmp(step->step, "probe") == 0)) return "";
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
        if (strcmp(parameters[i].step, step->step) == 0) return parameters[i].text(report, plan);
    return "";
}

/* ---- the tables */

static Span result_of(const Retrospective *report, const StoryStep *step) {
    switch (step->result) {
    case STORY_DONE: return span_badge(DOCUMENT_GOOD, text_in(report->language, "done"));
    case STORY_FAILED: return span_badge(DOCUMENT_BAD, text_in(report->language, "failed"));
    case STORY_CUT: return span_badge(DOCUMENT_WARN, text_in(report->language, "cut off"));
    case STORY_OPEN: break;
    }
    return span_badge(DOCUMENT_WARN, text_in(report->language, "not ended"));
}

static void put_step(const Retrospective *report, DocumentTable *table, const StoryStep *step,
                     const Plan *plan) {
    const char *error = retrospective_either(report, step->error, step->error_zh);
    const char *evidence = retrospective_evidence_of(report, step),
               *asked = parameters_of(report, step, plan);
    document_row(table, step->result == STORY_FAILED ? DOCUMENT_BAD : DOCUMENT_PLAIN);
    document_cell(table, span_time_of_day(report->arena, step->start_ms));
    document_cell(table, span_tone(DOCUMENT_QUIET, text_in(report->language, words_order(step->order))));
    document_add(table, span_text("\n"));
    document_add(table, span_text(retrospective_step_name(report, step->step)));
    document_cell(table, span_code(step->command ? step->command : ""));
    if (step->command && *asked) document_add(table, span_text("\n"));
    document_add(table, span_text(asked));
    document_cell(table, span_text(retrospective_or_dash(step->by)));
    document_cell(table, span_text(retrospective_duration(report, step->duration_ms)));
    document_cell(table, result_of(report, step));
    document_cell(table, span_tone(DOCUMENT_BAD, error ? error : ""));
    if (error && *evidence) document_add(table, span_text("\n"));
    document_add(table, span_text(evidence));
}

static void put_host(const Retrospective *report, const StoryHost *host) {
    static const char *const columns[] = {TEXT("Start"),   TEXT("Step"),     TEXT("Command and parameters"),
                                          TEXT("Who"),     TEXT("Duration"), TEXT("Result"),
                                          TEXT("Evidence")};
    const Story *story = report->story;
    DocumentTable *table = NULL;
    Plan *plan = NULL;
    if (plan_for_host(report->arena, story->rollout->plan, host->name, story->rollout->version, &plan, NULL) <
        0)
        plan = NULL;
    document_subsection(report->document,
                        plan ? arena_printf(report->arena, "%s — %s", host->name, plan->service.root)
                             : host->name);
    for (size_t i = 0; i < story->step_count; i++) {
        if (strcmp(story->steps[i].host, host->name) != 0) continue;
        if (!table) {
            table = document_table(report->document, NULL);
            for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
                document_column(table, text_in(report->language, columns[c]), c == 4);
        }
        put_step(report, table, &story->steps[i], plan);
    }
    if (!table)
        document_paragraph(report->document, DOCUMENT_QUIET,
                           text_in(report->language, "Nothing was done on this host."));
}

void retrospective_steps(const Retrospective *report) {
    document_section(report->document, text_in(report->language, "Steps"));
    document_paragraph(report->document, DOCUMENT_QUIET,
                       text_in(report->language,
                               "Each step was done by Upkeep on the host named; “who” is the person "
                               "whose command was carrying the change out."));
    for (size_t i = 0; i < report->story->rollout->host_count; i++)
        put_host(report, &report->story->hosts[i]);
}
