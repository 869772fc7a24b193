/* The chapter of the evidence: where in the journal it stands, whether that is whole, and the plan itself. */
#include "base/json.h"
#include "report/retrospective_room.h"
#include <stdlib.h>

static const char *digest_text(const Retrospective *report, const Digest *digest) {
    char text[DIGEST_TEXT_SIZE];
    digest_to_text(digest, text);
    return arena_strdup(report->arena, text);
}

static const char *number(const Retrospective *report, int64_t value) {
    return arena_printf(report->arena, "%lld", (long long)value);
}

static void put_facts(const Retrospective *report) {
    const Story *story = report->story;
    Language language = report->language;
    DocumentTable *facts = document_facts(report->document);
    document_fact(facts, text_in(language, "Events"),
                  span_text(number(report, (int64_t)json_array_size(story->events))));
    document_fact(facts, text_in(language, "Sequence"),
                  span_text(arena_printf(report->arena, "%lld – %lld", (long long)story->first_sequence,
                                         (long long)story->last_sequence)));
    document_fact(facts, text_in(language, "Hash of the last"),
                  span_code(digest_text(report, &story->last_hash)));
    document_fact(facts, text_in(language, "Journal head"),
                  span_code(digest_text(report, &story->journal_head)));
    document_fact(facts, text_in(language, "Journal events"),
                  span_text(number(report, story->journal_count)));
    document_fact(facts, text_in(language, "Hash chain"),
                  story->chain_whole ? span_badge(DOCUMENT_GOOD, text_in(language, "whole"))
                                     : span_badge(DOCUMENT_BAD, text_in(language, "broken")));
}

void retrospective_evidence(const Retrospective *report) {
    const Story *story = report->story;
    Language language = report->language;
    const char *why = retrospective_either(report, story->chain_error.en, story->chain_error.zh);
    document_section(report->document, text_in(language, "Evidence"));
    if (!story->chain_whole)
        document_callout(
            report->document, DOCUMENT_BAD, text_in(language, "The journal's chain of hashes is broken"),
            arena_printf(report->arena,
                         text_in(language, "%s\nThis report may rest on events that were altered."), why));
    put_facts(report);
    document_paragraph(
        report->document, DOCUMENT_QUIET,
        text_in(language,
                "Everybody can hold the events against their hashes; whoever noted the head elsewhere "
                "also sees whether the end was cut off."));
    document_command(report->document, "upkeep journal verify");
    document_section(report->document, text_in(language, "Appendix: the plan"));
    char *plan = json_dumps(json_object_get(story->opened, "plan"), JSON_INDENT(2) | JSON_SORT_KEYS);
    document_code(report->document, text_in(language, "The compiled plan that was carried out (JSON)"),
                  arena_strdup(report->arena, plan ? plan : "{}"));
    free(plan);
}
