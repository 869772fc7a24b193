/* RetrospectiveRoom: what the chapters of the retrospective share. Private to retrospective*.c. */
#pragma once
#include "base/quantity.h"
#include "report/retrospective.h"

typedef struct Retrospective {
    const Story *story;
    Language language;
    int64_t now_ms;
    Arena *arena;
    Document *document;
} Retrospective;

/* The chapters, in the order they stand. */
void retrospective_summary(const Retrospective *report);
void retrospective_hosts(const Retrospective *report);
void retrospective_timeline(const Retrospective *report);
void retrospective_health(const Retrospective *report);
void retrospective_data(const Retrospective *report);
void retrospective_problems(const Retrospective *report);
void retrospective_steps(const Retrospective *report);
void retrospective_evidence(const Retrospective *report);

/* Of two texts of one thing the one in the report's language; NULL where there is none. */
const char *retrospective_either(const Retrospective *report, const char *en, const char *zh);
/* "–" where it is NULL or empty. */
const char *retrospective_or_dash(const char *text);
const char *retrospective_duration(const Retrospective *report, int64_t ms); /* negative: "unknown" */
const char *retrospective_size(const Retrospective *report, int64_t bytes);
/* The name of a step as people call it. */
const char *retrospective_step_name(const Retrospective *report, const char *step);
/* The evidence a step left, a line each, failed checks first among the marks; "" when there is none. */
const char *retrospective_evidence_of(const Retrospective *report, const StoryStep *step);
