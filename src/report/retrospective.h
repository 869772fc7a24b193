/* Retrospective: 升级复盘报告 — what was done in one change, by whom, when, and how it went, with the
 * evidence.
 *
 * A change that has not ended gives an interim report, and its title says so. */
#pragma once
#include "report/document.h"
#include "report/story.h"

/* `now_ms` is the time of writing. Everything lives in the story's arena, and borrows from the story. */
Document *retrospective_build(const Story *story, Language language, int64_t now_ms);
