#include "engine/change.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

int change_lock(const char *state, int *out, Error *error) {
    enum { TRIES = 200, PAUSE_MS = 50 };
    FD_AUTO dir = -1;
    if (file_open_dir(state, &dir, error) < 0) return -1;
    FD_AUTO fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s/lock", state);
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (i == TRIES)
            return error_set(error, ERROR_REFUSED, "%s is in use by another Upkeep for too long", state);
        clock_sleep_ms(PAUSE_MS);
    }
    *out = fd_take(&fd);
    return 0;
}

/* ---- reading all changes */

typedef struct Listing {
    Arena *arena;
    Rollout **rollouts;
    size_t count, capacity;
} Listing;

static int add(Listing *listing, int64_t sequence, const json_t *event, Error *error) {
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity ? listing->capacity * 2 : 16;
        Rollout **rollouts = ARENA_ARRAY(listing->arena, capacity, Rollout *);
        if (listing->count) memcpy(rollouts, listing->rollouts, listing->count * sizeof *rollouts);
        listing->rollouts = rollouts;
        listing->capacity = capacity;
    }
    return rollout_open(listing->arena, sequence, event, &listing->rollouts[listing->count++], error);
}

static int list_event(void *context, int64_t sequence, const json_t *event, Error *error) {
    Listing *listing = context;
    const char *id = json_get_text(event, "change", "");
    if (change_is_opened_by(event)) return add(listing, sequence, event, error);
    for (size_t i = listing->count; i-- > 0;)
        if (strcmp(listing->rollouts[i]->change, id) == 0)
            return rollout_fold(listing->rollouts[i], sequence, event, error);
    return 0;
}

bool change_is_opened_by(const json_t *event) {
    return strcmp(json_get_text(event, "type", ""), "change.opened") == 0;
}

ChangeSummary change_summarise(const Rollout *rollout) {
    return (ChangeSummary){.id = rollout->change,
                           .service = rollout->plan->service.name,
                           .version = rollout->version,
                           .title = rollout->plan->change.title,
                           .environment = rollout->plan->environment,
                           .opened = rollout->opened,
                           .ended = rollout->ended,
                           .plan_digest = rollout->plan_digest,
                           .state = rollout->state,
                           .outcome = rollout->outcome,
                           .host_count = rollout->host_count,
                           .held = rollout->held};
}

int change_list(Journal *journal, Arena *arena, ChangeList *out, Error *error) {
    Listing listing = {.arena = arena};
    if (journal_read(journal, 0, NULL, list_event, &listing, error) < 0) return -1;
    ChangeSummary *items = ARENA_ARRAY(arena, listing.count, ChangeSummary);
    for (size_t i = 0; i < listing.count; i++) items[i] = change_summarise(listing.rollouts[i]);
    *out = (ChangeList){items, listing.count};
    return 0;
}

void change_summary_describe(const ChangeSummary *summary, json_t *row) {
    json_set_text(row, "change", summary->id);
    json_set_text(row, "service", summary->service);
    json_set_text(row, "version", summary->version);
    json_set_text(row, "environment", summary->environment);
    json_set_text(row, "opened", summary->opened);
    json_set_text(row, "ended", summary->ended);
    json_set_text(row, "title", summary->title);
}

/* ---- reading one */

typedef struct Loading {
    Arena *arena;
    Rollout *rollout;
} Loading;

static int load_event(void *context, int64_t sequence, const json_t *event, Error *error) {
    Loading *loading = context;
    if (!loading->rollout) return rollout_open(loading->arena, sequence, event, &loading->rollout, error);
    return rollout_fold(loading->rollout, sequence, event, error);
}

int change_unknown(const char *id, Error *error) {
    error_set(error, ERROR_INVALID, "there is no change %s", id);
    return error_hint(error, "“upkeep list” shows those there are");
}

int change_load(Journal *journal, Arena *arena, const char *id, Rollout **out, Error *error) {
    Loading loading = {.arena = arena};
    if (journal_read(journal, 0, id, load_event, &loading, error) < 0) return -1;
    if (!loading.rollout) return change_unknown(id, error);
    *out = loading.rollout;
    return 0;
}

/* ---- opening one */

typedef struct Numbering {
    const char *prefix;
    int64_t highest;
} Numbering;

/* Rows, not events: what stands in them does not matter, and a journal is long. */
static int note_number(void *context, const JournalRow *row, Error *error) {
    (void)error;
    Numbering *numbering = context;
    size_t length = strlen(numbering->prefix);
    if (strncmp(row->change, numbering->prefix, length) != 0) return 0;
    int64_t number = strtoll(row->change + length, NULL, 10);
    if (number > numbering->highest) numbering->highest = number;
    return 0;
}

static int next_id(Journal *journal, int64_t first, int64_t now_ms, char id[static CHANGE_ID_SIZE],
                   Error *error) {
    char time[CLOCK_TEXT_SIZE], prefix[sizeof "CHG-2026-"];
    clock_to_text(now_ms, time);
    snprintf(prefix, sizeof prefix, "CHG-%.4s-", time);
    Numbering numbering = {prefix, first > 1 ? first - 1 : 0};
    if (journal_rows(journal, 0, NULL, note_number, &numbering, error) < 0) return -1;
    snprintf(id, CHANGE_ID_SIZE, "%s%04" PRId64, prefix, numbering.highest + 1);
    return 0;
}

/* What is opened must be readable as long as the journal is: a plan that could not be read back would stop
 * everybody who reads it. */
static int check_plan(const Plan *plan, Error *error) {
    ARENA_AUTO arena = arena_new();
    Plan *back = NULL;
    JSON_AUTO json = plan_to_json(plan);
    return plan_from_json(arena, json, &back, error);
}

int change_open(Journal *journal, const ChangeOpening *opening, char id[static CHANGE_ID_SIZE],
                Error *error) {
    if (check_plan(opening->plan, error) < 0) return -1;
    char time[CLOCK_TEXT_SIZE], package[DIGEST_TEXT_SIZE], plan[DIGEST_TEXT_SIZE];
    int64_t now_ms = clock_wall_ms(opening->clock);
    if (next_id(journal, opening->first, now_ms, id, error) < 0) return -1;
    Digest digest = plan_digest(opening->plan, opening->package);
    clock_to_text(now_ms, time);
    digest_to_text(opening->package, package);
    digest_to_text(&digest, plan);
    JSON_AUTO event = json_object();
    json_set_text(event, "type", "change.opened");
    json_set_text(event, "time", time);
    json_set_text(event, "change", id);
    json_set_text(event, "environment", opening->plan->environment);
    json_set_text(event, "service", opening->plan->service.name);
    json_set_text(event, "version", opening->version);
    json_set_text(event, "title", opening->plan->change.title);
    json_set_text(event, "by", opening->by);
    json_set_text(event, "plan_file", opening->plan_file);
    json_set_text(event, "plan_digest", plan);
    json_set_text(event, "package_digest", package);
    json_object_set_new(event, "plan", plan_to_json(opening->plan));
    return journal_append(journal, &event, 1, error);
}
