/* Story: what happened in one change, read from its journal — the facts that reports are written from.
 *
 * Nothing is made up: what the journal does not say is 0, NULL or UNKNOWN here, and reports say so. Texts of
 * events are untrusted. Everything lives in the arena and the events the story holds; story_free() gives the
 * events back.
 */
#pragma once
#include "base/arena.h"
#include "base/digest.h"
#include "base/error.h"
#include "journal/journal.h"
#include "model/rollout.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum StoryResult {
    STORY_OPEN, /* no end is known yet */
    STORY_DONE,
    STORY_FAILED,
    STORY_CUT, /* begun, and begun again later: whoever did it was interrupted */
} StoryResult;

typedef struct StoryStep {
    const char *host, *step, *order, *order_id;
    const char *command;                   /* or NULL */
    const char *by;                        /* the person whose engine ran then, or NULL */
    int64_t start_ms, end_ms, duration_ms; /* end 0, duration -1: unknown */
    StoryResult result;
    const json_t *detail; /* evidence, or NULL */
    const char *error, *error_zh;
} StoryStep;

typedef struct StoryOrder {
    const char *host, *order, *id;
    int64_t given_ms, ended_ms; /* ended 0: unknown */
    StoryResult result;
    bool restore_data;
    const char *error, *error_zh;
} StoryOrder;

typedef enum StoryWhen { STORY_BEFORE, STORY_PROBE, STORY_WATCH, STORY_BACK, STORY_WHENS } StoryWhen;

/* One report of probes: one look before, the wait until healthy, the watch, the old version after a rollback.
 */
typedef struct StoryHealth {
    const char *host;
    StoryWhen when;
    int64_t time_ms;
    const char *verdict;
    int64_t passes, failures, deaths;
    bool timed; /* latencies are known */
    int64_t min_ms, median_ms, max_ms;
    const char *error, *error_zh;
} StoryHealth;

/* From the stop of a running service until it, or the old one, was judged healthy. */
typedef struct StoryOutage {
    const char *host;
    int64_t from_ms, to_ms; /* to 0: not over, or unknown */
} StoryOutage;

typedef struct StoryHost {
    const char *name;
    const RolloutHost *state;
    const char *old_version; /* NULL: unknown; "": there was none */
    int64_t outage_ms;       /* all its windows; -1: one has no known end */
    size_t outage_count;
} StoryHost;

typedef struct Story {
    Arena *arena;
    json_t *events; /* of the change, in order, each with "sequence" */
    Rollout *rollout;
    const json_t *opened;
    int64_t opened_ms, started_ms, last_ms; /* of the last event; started 0: never */
    int64_t closed_ms;                      /* 0: not over */
    StoryStep *steps;
    size_t step_count;
    StoryOrder *orders;
    size_t order_count;
    StoryHealth *health;
    size_t health_count;
    StoryOutage *outages;
    size_t outage_count;
    StoryHost *hosts; /* as in the plan */
    int64_t first_sequence, last_sequence;
    Digest last_hash; /* of the change's last event */
    bool chain_whole;
    Error chain_error; /* when it is not */
    int64_t journal_count;
    Digest journal_head;
} Story;

/* Read the change `id` and hold the journal's chain against its hashes; a broken chain is told, not refused.
 * ERROR_INVALID when there is no such change. */
int story_read(Journal *journal, Arena *arena, const char *id, Story *out, Error *error);
void story_free(Story *story);
static inline void story_cleanup(Story *story) { story_free(story); }
#define STORY_AUTO __attribute__((cleanup(story_cleanup))) Story

/* The last step that failed on `host` on the way forward, or NULL. */
const StoryStep *story_failed_step(const Story *story, const char *host);
StoryHost *story_host(const Story *story, const char *name); /* NULL when there is none */
