#include "report/retrospective.h"
#include "base/json.h"
#include "model/words.h"
#include "report/retrospective_room.h"
#include <string.h>

/* ---- what the chapters share */

const char *retrospective_either(const Retrospective *report, const char *en, const char *zh) {
    return report->language == LANGUAGE_ZH && zh && *zh ? zh : en;
}

const char *retrospective_or_dash(const char *text) { return text && *text ? text : "–"; }

const char *retrospective_duration(const Retrospective *report, int64_t ms) {
    char text[QUANTITY_TEXT_SIZE];
    if (ms < 0) return text_in(report->language, "unknown");
    return arena_strdup(report->arena, quantity_duration_text(ms, text));
}

const char *retrospective_size(const Retrospective *report, int64_t bytes) {
    char text[QUANTITY_TEXT_SIZE];
    return arena_strdup(report->arena, quantity_size_text(bytes < 0 ? 0 : (uint64_t)bytes, text));
}

const char *retrospective_step_name(const Retrospective *report, const char *step) {
    return text_in(report->language, words_step(step));
}

/* ---- the conclusion: one plain sentence, and why */

typedef struct Conclusion {
    DocumentTone tone;
    const char *title, *text;
} Conclusion;

/* Who asked for it, by the last control event of that type. */
static const char *who_asked(const Retrospective *report, const char *type) {
    const char *by = NULL;
    size_t index;
    json_t *event;
    json_array_foreach(report->story->events, index, event) {
        if (strcmp(json_get_text(event, "type", ""), type) == 0) by = json_get_text(event, "by", NULL);
    }
    return by ? by : text_in(report->language, "unknown");
}

static Conclusion conclude_unfinished(const Retrospective *report) {
    const Rollout *rollout = report->story->rollout;
    Language language = report->language;
    if (rollout->held)
        return (Conclusion){DOCUMENT_WARN, text_in(language, "Held: a person must decide"),
                            text_in(language,
                                    "Something failed, and the plan says to hold. Nothing further is "
                                    "switched or rolled back until a person decides.")};
    if (rollout->state == ROLLOUT_PAUSED)
        return (Conclusion){DOCUMENT_WARN, text_in(language, "Paused"),
                            text_in(language, "No further host is switched until the change is resumed.")};
    return (Conclusion){DOCUMENT_WARN, text_in(language, "Not finished"),
                        text_in(language, "The change has not ended. What follows is how it stood when this "
                                          "report was written.")};
}

static Conclusion conclude_back(const Retrospective *report) {
    const Rollout *rollout = report->story->rollout;
    Language language = report->language;
    size_t back = 0, switched = 0;
    for (size_t i = 0; i < rollout->host_count; i++) {
        back += rollout->hosts[i].state == HOST_ROLLED_BACK;
        switched += rollout->hosts[i].switch_rank > 0;
    }
    if (rollout->rollback_asked)
        return (Conclusion){
            DOCUMENT_WARN, text_in(language, "Rolled back on request"),
            arena_printf(report->arena,
                         text_in(language, "Rolled back on request of %s; %zu of %zu hosts are "
                                           "back on the version before."),
                         who_asked(report, "control.rollback"), back, rollout->host_count)};
    return (Conclusion){
        DOCUMENT_BAD, text_in(language, "Failed and rolled back"),
        arena_printf(report->arena,
                     text_in(language, "The upgrade failed and was undone: %zu of %zu hosts had "
                                       "been switched, and every one is back on the version "
                                       "before."),
                     switched, rollout->host_count)};
}

static Conclusion conclude_without_some(const Retrospective *report) {
    const Rollout *rollout = report->story->rollout;
    Language language = report->language;
    size_t left_out = rollout_left_out(rollout);
    const char *text = arena_printf(
        report->arena,
        text_in(language, "%zu of %zu hosts run %s %s; each of them was judged healthy before it was "
                          "confirmed, and watched until then. Left out: %zu."),
        rollout->host_count - left_out, rollout->host_count, rollout->plan->service.name, rollout->version,
        left_out);
    if (rollout->outcome == OUTCOME_FAILED)
        return (Conclusion){DOCUMENT_BAD, text_in(language, "Failed: a person is needed"), text};
    return (Conclusion){DOCUMENT_WARN, text_in(language, "Succeeded, without some hosts"), text};
}

static Conclusion conclude(const Retrospective *report) {
    const Rollout *rollout = report->story->rollout;
    Language language = report->language;
    if (rollout_went_through(rollout) && rollout_left_out(rollout) > 0) return conclude_without_some(report);
    switch (rollout->outcome) {
    case OUTCOME_NONE: return conclude_unfinished(report);
    case OUTCOME_ROLLED_BACK: return conclude_back(report);
    case OUTCOME_SUCCEEDED:
        return (Conclusion){
            DOCUMENT_GOOD, text_in(language, "Succeeded"),
            arena_printf(report->arena,
                         text_in(language, "All %zu hosts run %s %s. Each was judged healthy before it was "
                                           "confirmed, and watched until then."),
                         rollout->host_count, rollout->plan->service.name, rollout->version)};
    case OUTCOME_REFUSED:
        return (Conclusion){DOCUMENT_WARN, text_in(language, "Refused"),
                            text_in(language, "A check said no before anything was switched. No service was "
                                              "interrupted, and nothing was left behind.")};
    case OUTCOME_ABORTED:
        return (Conclusion){
            DOCUMENT_WARN, text_in(language, "Aborted"),
            arena_printf(report->arena,
                         text_in(language, "Aborted on request of %s; what had been touched was "
                                           "put back."),
                         who_asked(report, "control.abort"))};
    case OUTCOME_FAILED: break;
    }
    return (Conclusion){DOCUMENT_BAD, text_in(language, "Failed: a person is needed"),
                        text_in(language,
                                "The upgrade failed, and not every host could be put back. The hosts "
                                "that need a person are named below.")};
}

/* Where and why: of the automatic decision, or the words of the person. */
static const char *reason_of(const Retrospective *report) {
    const Story *story = report->story;
    const Rollout *rollout = story->rollout;
    const char *why = retrospective_either(report, rollout->reason, rollout->reason_zh);
    const json_t *last = json_array_get(story->events, json_array_size(story->events) - 1);
    const StoryStep *step = story_failed_step(story, rollout->reason_host);
    if (!why) /* a change whose hosts could not be had says why where it ends */
        why = retrospective_either(report, json_get_text(last, "why", NULL),
                                   json_get_text(last, "why_zh", NULL));
    if (!why) return NULL;
    if (!rollout->reason_host)
        return arena_printf(report->arena, text_in(report->language, "Reason: %s"), why);
    if (!step)
        return arena_printf(report->arena, text_in(report->language, "Reason: on host %s: %s"),
                            rollout->reason_host, why);
    return arena_printf(report->arena, text_in(report->language, "Reason: on host %s, at the step “%s”: %s"),
                        rollout->reason_host, retrospective_step_name(report, step->step), why);
}

/* Who was left out, how it stands there, and why. */
static const char *left_out_of(const Retrospective *report, const char *text) {
    const Rollout *rollout = report->story->rollout;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        if (!rollout_is_left_out(host)) continue;
        const char *why = retrospective_either(report, host->left_out, host->left_out_zh);
        text = arena_printf(report->arena, "%s\n%s: %s, %s%s%s", text, host->name,
                            text_in(report->language, words_host_part(host->part)),
                            text_in(report->language, words_host_state(host->state)), why ? ": " : "",
                            why ? why : "");
    }
    return text;
}

/* What each host in need of a person needs. */
static const char *needs_of(const Retrospective *report, const char *text) {
    const Rollout *rollout = report->story->rollout;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        bool lost = host->state == HOST_LOST && !rollout_is_left_out(host);
        if (!rollout_needs_person(host) && !lost) continue;
        const char *why = host->kept ? text_in(report->language,
                                               "left on the new version, as the plan says; a person decides")
                                     : retrospective_either(report, host->error, host->error_zh);
        text = arena_printf(report->arena, "%s\n%s: %s", text, host->name,
                            why ? why : text_in(report->language, words_host_state(host->state)));
    }
    return text;
}

static void put_conclusion(const Retrospective *report) {
    Conclusion conclusion = conclude(report);
    const char *text = needs_of(report, left_out_of(report, conclusion.text)), *reason = reason_of(report);
    if (reason) text = arena_printf(report->arena, "%s\n%s", text, reason);
    document_callout(report->document, conclusion.tone, conclusion.title, text);
}

/* ---- the summary */

/* "1.0.0, 1.1.0": each version that was there before, once. */
static const char *versions_before(const Retrospective *report) {
    const Story *story = report->story;
    const char *text = "";
    for (size_t i = 0; i < story->rollout->host_count; i++) {
        const char *version = story->hosts[i].old_version;
        bool seen = false;
        for (size_t j = 0; j < i; j++) {
            const char *other = story->hosts[j].old_version;
            seen |= version == other || (version && other && strcmp(version, other) == 0);
        }
        if (seen) continue;
        const char *shown = !version    ? text_in(report->language, "unknown")
                            : !*version ? text_in(report->language, "none (first installation)")
                                        : version;
        text = arena_printf(report->arena, "%s%s%s", text, *text ? ", " : "", shown);
    }
    return text;
}

/* Everybody whose engine ran, once. */
static const char *carried_out_by(const Retrospective *report) {
    const char *text = "";
    size_t index;
    json_t *event;
    json_array_foreach(report->story->events, index, event) {
        const char *by = json_get_text(event, "by", NULL);
        if (strcmp(json_get_text(event, "type", ""), "engine.started") != 0 || !by || strstr(text, by))
            continue;
        text = arena_printf(report->arena, "%s%s%s", text, *text ? ", " : "", by);
    }
    return retrospective_or_dash(text);
}

static void put_identity(const Retrospective *report, DocumentTable *facts) {
    Conclusion conclusion = conclude(report);
    const Story *story = report->story;
    const Rollout *rollout = story->rollout;
    Language language = report->language;
    bool emergency = strcmp(rollout->plan->change.kind, "emergency") == 0;
    document_fact(facts, text_in(language, "Change"), span_strong(rollout->change));
    document_fact(facts, text_in(language, "Outcome"), span_badge(conclusion.tone, conclusion.title));
    document_fact(facts, text_in(language, "Title"),
                  span_text(retrospective_or_dash(rollout->plan->change.title)));
    document_fact(facts, text_in(language, "Service"), span_text(rollout->plan->service.name));
    document_fact(
        facts, text_in(language, "Version"),
        span_text(arena_printf(report->arena, "%s → %s", versions_before(report), rollout->version)));
    document_fact(facts, text_in(language, "Environment"), span_text(rollout->plan->environment));
    document_fact(facts, text_in(language, "Kind"),
                  span_text(emergency ? text_in(language, "emergency") : text_in(language, "normal")));
    document_fact(facts, text_in(language, "Hosts"),
                  span_text(arena_printf(report->arena, text_in(language, "%zu hosts in %zu stages"),
                                         rollout->host_count, rollout->stage_count)));
    document_fact(facts, text_in(language, "Opened by"),
                  span_text(retrospective_or_dash(json_get_text(story->opened, "by", NULL))));
    document_fact(facts, text_in(language, "Carried out by"), span_text(carried_out_by(report)));
}

static void put_times(const Retrospective *report, DocumentTable *facts) {
    const Story *story = report->story;
    Language language = report->language;
    int64_t end_ms = story->closed_ms;
    document_fact(facts, text_in(language, "Start"), span_time(report->arena, story->opened_ms));
    document_fact(facts, text_in(language, "End"),
                  end_ms ? span_time(report->arena, end_ms) : span_text(text_in(language, "not ended")));
    document_fact(facts, text_in(language, "Duration"),
                  span_text(end_ms ? retrospective_duration(report, end_ms - story->opened_ms)
                                   : text_in(language, "not ended")));
    document_fact(facts, text_in(language, "Plan file"),
                  span_code(retrospective_or_dash(json_get_text(story->opened, "plan_file", NULL))));
    document_fact(facts, text_in(language, "Plan digest"), span_code(story->rollout->plan_digest));
    document_fact(facts, text_in(language, "Package digest"), span_code(story->rollout->package_digest));
}

void retrospective_summary(const Retrospective *report) {
    put_conclusion(report);
    DocumentTable *facts = document_facts(report->document);
    put_identity(report, facts);
    put_times(report, facts);
}

/* ---- the whole */

static const char *title_of(const Story *story, Language language) {
    const Rollout *rollout = story->rollout;
    const char *kind = rollout_ended(rollout) ? text_in(language, "Upgrade retrospective")
                                              : text_in(language, "Interim report (change not finished)");
    return arena_printf(story->arena, text_in(language, "%s: %s %s"), kind, rollout->plan->service.name,
                        rollout->version);
}

Document *retrospective_build(const Story *story, Language language, int64_t now_ms) {
    Document *document = document_new(story->arena, language, title_of(story, language));
    Retrospective report = {story, language, now_ms, story->arena, document};
    retrospective_summary(&report);
    retrospective_hosts(&report);
    retrospective_timeline(&report);
    retrospective_health(&report);
    retrospective_data(&report);
    retrospective_problems(&report);
    retrospective_steps(&report);
    retrospective_evidence(&report);
    document->footer =
        arena_printf(story->arena, text_in(language, "Written by Upkeep %s from its journal, %s."),
                     UPKEEP_VERSION, span_time(story->arena, now_ms).text);
    return document;
}
