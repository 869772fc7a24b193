/* The chapter of the timeline: every order, stage and decision, with who and why; and what people did. */
#include "base/clock.h"
#include "base/json.h"
#include "model/words.h"
#include "report/retrospective_room.h"
#include <string.h>

typedef enum Who { WHO_PERSON, WHO_UPKEEP, WHO_HOST } Who;

typedef struct EventWord {
    const char *type;
    const char *text; /* a message id; with %s: the order */
    Who who;
    DocumentTone tone;
} EventWord;

static const EventWord words[] = {
    {"change.opened", TEXT("change opened"), WHO_PERSON, DOCUMENT_PLAIN},
    {"engine.started", TEXT("execution started"), WHO_PERSON, DOCUMENT_PLAIN},
    {"rollout.started", TEXT("rollout started"), WHO_UPKEEP, DOCUMENT_PLAIN},
    {"stage.started", TEXT("stage started"), WHO_UPKEEP, DOCUMENT_PLAIN},
    {"batch.started", TEXT("batch started"), WHO_UPKEEP, DOCUMENT_PLAIN},
    {"stage.soaking", TEXT("every host of the batch is healthy; soak begins"), WHO_UPKEEP, DOCUMENT_PLAIN},
    {"stage.passed", TEXT("stage passed"), WHO_UPKEEP, DOCUMENT_GOOD},
    {"order.given", TEXT("order given: %s"), WHO_UPKEEP, DOCUMENT_PLAIN},
    {"order.done", TEXT("done: %s"), WHO_HOST, DOCUMENT_PLAIN},
    {"order.failed", TEXT("failed: %s"), WHO_HOST, DOCUMENT_BAD},
    {"order.cancelled", TEXT("asked to end its order early"), WHO_UPKEEP, DOCUMENT_WARN},
    {"host.rolled_back", TEXT("rolled back by itself"), WHO_HOST, DOCUMENT_WARN},
    {"host.lost", TEXT("host lost: it did not answer in time"), WHO_UPKEEP, DOCUMENT_BAD},
    {"host.kept", TEXT("left on the new version"), WHO_UPKEEP, DOCUMENT_WARN},
    {"host.left_out", TEXT("left out; the others go on"), WHO_UPKEEP, DOCUMENT_WARN},
    {"rollout.paused", TEXT("paused"), WHO_UPKEEP, DOCUMENT_WARN},
    {"rollout.held", TEXT("held for a person to decide"), WHO_UPKEEP, DOCUMENT_WARN},
    {"rollout.failing", TEXT("failed: what was touched goes back"), WHO_UPKEEP, DOCUMENT_BAD},
    {"rollout.succeeded", TEXT("rollout succeeded"), WHO_UPKEEP, DOCUMENT_GOOD},
    {"rollout.rolled_back", TEXT("rollout rolled back"), WHO_UPKEEP, DOCUMENT_WARN},
    {"rollout.failed", TEXT("rollout failed: a person is needed"), WHO_UPKEEP, DOCUMENT_BAD},
    {"rollout.cancelled", TEXT("rollout cancelled: nothing was switched"), WHO_UPKEEP, DOCUMENT_WARN},
    {"control.pause", TEXT("pause requested"), WHO_PERSON, DOCUMENT_WARN},
    {"control.resume", TEXT("resume requested"), WHO_PERSON, DOCUMENT_PLAIN},
    {"control.skip", TEXT("asked to leave the host out"), WHO_PERSON, DOCUMENT_WARN},
    {"control.retry", TEXT("asked to begin once more on the host"), WHO_PERSON, DOCUMENT_PLAIN},
    {"control.abort", TEXT("abort requested"), WHO_PERSON, DOCUMENT_WARN},
    {"control.rollback", TEXT("rollback requested"), WHO_PERSON, DOCUMENT_WARN},
    {"change.closed", TEXT("change closed"), WHO_UPKEEP, DOCUMENT_PLAIN},
};

static const EventWord *word_of(const char *type) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].type, type) == 0) return &words[i];
    return NULL;
}

/* Steps and health have chapters of their own: here only that health failed. Types of a later version are
 * shown as they are. */
static bool is_shown(const char *type, const json_t *event) {
    if (strcmp(type, "host.health") == 0) return strcmp(json_get_text(event, "verdict", ""), "fail") == 0;
    return strncmp(type, "step.", 5) != 0;
}

static const char *order_of(const Retrospective *report, const json_t *event) {
    const char *id = json_get_text(event, "order_id", "");
    const char *order = json_get_text(event, "order", NULL);
    for (size_t i = 0; !order && i < report->story->order_count; i++)
        if (strcmp(report->story->orders[i].id, id) == 0) order = report->story->orders[i].order;
    return order ? text_in(report->language, words_order(order)) : "";
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static const char *what(const Retrospective *report, const char *type, const json_t *event) {
    const EventWord *word = word_of(type);
    if (word && strstr(word->text, "%s"))
        return arena_printf(report->arena, text_in(report->language, word->text), order_of(report, event));
    if (word) return text_in(report->language, word->text);
    if (strcmp(type, "host.health") == 0) return text_in(report->language, "unhealthy");
    return type;
}

static const char *where(const Retrospective *report, const json_t *event) {
    const char *host = json_get_text(event, "host", NULL), *stage = json_get_text(event, "stage", NULL);
    int64_t batch = json_get_integer(event, "batch", 0);
    if (host) return host;
    if (stage && batch)
        return arena_printf(report->arena, text_in(report->language, "%s, batch %lld"), stage,
                            (long long)batch);
    return retrospective_or_dash(stage);
}

static const char *who(const Retrospective *report, const EventWord *word, const json_t *event) {
    const char *by = json_get_text(event, "by", NULL);
    if (by) return by;
    if (word && word->who == WHO_PERSON) return text_in(report->language, "unknown");
    if (word && word->who == WHO_UPKEEP) return "Upkeep";
    return json_get_text(event, "host", "Upkeep");
}

static const char *joined(const Retrospective *report, const json_t *names) {
    const char *text = "";
    size_t index;
    json_t *name;
    json_array_foreach(names, index, name) {
        const char *value = json_string_value(name);
        text = arena_printf(report->arena, "%s%s%s", text, index ? ", " : "", value ? value : "?");
    }
    return text;
}

static const char *why(const Retrospective *report, const json_t *event) {
    const char *outcome = json_get_text(event, "outcome", NULL);
    int64_t soak_ms = json_get_integer(event, "soak_ms", -1);
    const char *text =
        retrospective_either(report, json_get_text(event, "why", NULL), json_get_text(event, "why_zh", NULL));
    if (!text)
        text = retrospective_either(report, json_get_text(event, "error", NULL),
                                    json_get_text(event, "error_zh", NULL));
    if (outcome && text)
        return arena_printf(report->arena, "%s: %s", text_in(report->language, words_outcome(outcome)), text);
    if (text) return text;
    if (outcome) return text_in(report->language, words_outcome(outcome));
    if (json_object_get(event, "hosts")) return joined(report, json_object_get(event, "hosts"));
    if (soak_ms >= 0)
        return arena_printf(report->arena, text_in(report->language, "for %s"),
                            retrospective_duration(report, soak_ms));
    if (json_get_bool(event, "restore_data", false))
        return text_in(report->language, "data and configuration go back to the exact copy");
    if (json_get_bool(event, "prepare_only", false)) return text_in(report->language, "prepare only");
    return "";
}

static DocumentTone tone_of(const EventWord *word, const json_t *event) {
    const char *outcome = json_get_text(event, "outcome", NULL);
    if (!word)
        return strcmp(json_get_text(event, "verdict", ""), "fail") == 0 ? DOCUMENT_BAD : DOCUMENT_PLAIN;
    if (!outcome) return word->tone;
    if (strcmp(outcome, "succeeded") == 0) return DOCUMENT_GOOD;
    return strcmp(outcome, "failed") == 0 ? DOCUMENT_BAD : DOCUMENT_WARN;
}

static int64_t time_of(const json_t *event) {
    int64_t time_ms = 0;
    return clock_from_text(json_get_text(event, "time", ""), &time_ms) < 0 ? 0 : time_ms;
}

static void put_event(const Retrospective *report, DocumentTable *table, const json_t *event) {
    const char *type = json_get_text(event, "type", "");
    const EventWord *word = word_of(type);
    document_row(table, tone_of(word, event));
    document_cell(table, span_time(report->arena, time_of(event)));
    document_cell(table, span_text(what(report, type, event)));
    document_cell(table, span_text(where(report, event)));
    document_cell(table, span_text(who(report, word, event)));
    document_cell(table, span_text(why(report, event)));
}

static DocumentTable *new_timeline(const Retrospective *report, const char *caption) {
    static const char *const columns[] = {TEXT("Time"), TEXT("What"), TEXT("Where"), TEXT("Who"),
                                          TEXT("Why")};
    DocumentTable *table = document_timeline(report->document, caption);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        document_column(table, text_in(report->language, columns[i]), false);
    return table;
}

static void put_controls(const Retrospective *report) {
    DocumentTable *table = NULL;
    size_t index;
    json_t *event;
    document_subsection(report->document, text_in(report->language, "What people decided"));
    json_array_foreach(report->story->events, index, event) {
        if (strncmp(json_get_text(event, "type", ""), "control.", 8) != 0) continue;
        if (!table) table = new_timeline(report, NULL);
        put_event(report, table, event);
    }
    if (!table)
        document_paragraph(
            report->document, DOCUMENT_QUIET,
            text_in(report->language, "Nobody paused, resumed, aborted or rolled back this change."));
}

void retrospective_timeline(const Retrospective *report) {
    document_section(report->document, text_in(report->language, "Timeline"));
    DocumentTable *table = new_timeline(report, NULL);
    size_t index;
    json_t *event;
    json_array_foreach(report->story->events, index, event) {
        if (is_shown(json_get_text(event, "type", ""), event)) put_event(report, table, event);
    }
    put_controls(report);
}
