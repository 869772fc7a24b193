#include "engine/simulation.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "engine/change.h"
#include "engine/engine.h"
#include "engine/host_link_imagined.h"
#include "journal/journal_memory.h"
#include <assert.h>
#include <string.h>

enum { BAD_AFTER_MAX_MS = 30 * 1000, GRAIN_MIN_MS = 50, GRAIN_MAX_MS = 1000, HOSTS_A_GRAIN_MS = 100 };

/* Any time will do, but always the same one. 2026-01-01. */
#define BEGIN_MS INT64_C(1767225600000)

typedef struct Watching {
    Arena *arena;
    const Plan *plan;
    SimulationResult result;
} Watching;

int64_t simulation_bad_after_ms(const PlanStage *stage) {
    int64_t after_ms = stage->soak_ms / 4;
    if (after_ms > BAD_AFTER_MAX_MS) after_ms = BAD_AFTER_MAX_MS;
    return after_ms > 0 ? after_ms : 1;
}

/* ---- what will become of each host */

/* The finalizer of SplitMix64: neighbouring seeds choose hosts that are far apart. */
static uint64_t scatter(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static ImaginedOutcome *imagine(Arena *arena, const SimulationSpec *spec, const Rollout *rollout) {
    ImaginedOutcome *outcomes = ARENA_ARRAY(arena, rollout->host_count, ImaginedOutcome);
    assert(rollout->host_count > 0); /* else the plan would not have compiled */
    for (size_t i = 0; i < rollout->host_count; i++) {
        if (rollout->hosts[i].live) { /* it stays on its version */
            outcomes[i].bad_after_ms = IMAGINED_NEVER;
            continue;
        }
        const PlanStage *stage = &spec->plan->rollout.stages.items[rollout->hosts[i].stage];
        outcomes[i].bad_after_ms = spec->happens == SIMULATION_BAD_AT_ONCE ? 0
                                   : spec->happens == SIMULATION_BAD_LATER ? simulation_bad_after_ms(stage)
                                                                           : IMAGINED_NEVER;
    }
    if (spec->happens == SIMULATION_BAD_HOST)
        outcomes[scatter(spec->seed) % rollout->host_count].bad_after_ms = 0;
    return outcomes;
}

/* ---- what came of it */

static SimulationStage *stage_of(const Watching *watching, const json_t *event) {
    const char *name = json_get_text(event, "stage", "");
    for (size_t i = 0; i < watching->result.stage_count; i++)
        if (strcmp(watching->plan->rollout.stages.items[i].name, name) == 0)
            return &watching->result.stages[i];
    return NULL;
}

static int64_t at_ms(const json_t *event) {
    int64_t time_ms = BEGIN_MS;
    clock_from_text(json_get_text(event, "time", ""), &time_ms);
    return time_ms - BEGIN_MS;
}

static void stopped(Watching *watching, const json_t *event) {
    if (watching->result.stopped_ms >= 0) return;
    watching->result.stopped_ms = at_ms(event);
    watching->result.stop_host = arena_strdup(watching->arena, json_get_text(event, "host", NULL));
    watching->result.stop_why = arena_strdup(watching->arena, json_get_text(event, "why", NULL));
    watching->result.stop_why_zh = arena_strdup(watching->arena, json_get_text(event, "why_zh", NULL));
    watching->result.stop_stage = arena_strdup(watching->arena, json_get_text(event, "stage", NULL));
}

static void left_out(Watching *watching, const json_t *event) {
    if (watching->result.out_host) return;
    watching->result.out_host = arena_strdup(watching->arena, json_get_text(event, "host", NULL));
    watching->result.out_why = arena_strdup(watching->arena, json_get_text(event, "why", NULL));
    watching->result.out_why_zh = arena_strdup(watching->arena, json_get_text(event, "why_zh", NULL));
}

static void see(void *context, const Rollout *rollout, const json_t *event) {
    Watching *watching = context;
    SimulationResult *result = &watching->result;
    const char *type = json_get_text(event, "type", "");
    SimulationStage *stage = stage_of(watching, event);
    result->events++;
    if (rollout->switch_count > 0 && result->first_switch_ms < 0) result->first_switch_ms = at_ms(event);
    if (strcmp(type, "rollout.failing") == 0 || strcmp(type, "rollout.held") == 0)
        stopped(watching, event);
    else if (strcmp(type, "host.left_out") == 0)
        left_out(watching, event);
    else if (stage && strcmp(type, "stage.started") == 0)
        stage->started_ms = at_ms(event);
    else if (stage && strcmp(type, "stage.passed") == 0)
        stage->passed_ms = at_ms(event);
    else if (stage && strcmp(type, "batch.started") == 0)
        stage->batches++;
}

static void sum_up(SimulationResult *result, const Rollout *rollout, int64_t now_ms) {
    result->outcome = rollout->outcome;
    result->ended_ms = now_ms - BEGIN_MS;
    result->touched = rollout->switch_count;
    result->left_out = rollout_left_out(rollout);
    for (size_t i = 0; i < rollout->host_count; i++)
        result->left += rollout->hosts[i].switched && rollout->outcome != OUTCOME_SUCCEEDED;
}

/* ---- carrying it out */

static int64_t grain_ms(size_t hosts) {
    int64_t ms = (int64_t)(hosts / HOSTS_A_GRAIN_MS);
    return ms < GRAIN_MIN_MS ? GRAIN_MIN_MS : ms > GRAIN_MAX_MS ? GRAIN_MAX_MS : ms;
}

static int open_change(Arena *arena, Journal *journal, const SimulationSpec *spec, Clock *clock,
                       Rollout **out, Error *error) {
    static const Digest package = {{0}};
    char id[CHANGE_ID_SIZE];
    ChangeOpening opening = {.plan = spec->plan,
                             .plan_file = "plan",
                             .version = "new",
                             .package = &package,
                             .by = "simulate",
                             .clock = clock};
    if (change_open(journal, &opening, id, error) < 0) return -1;
    return change_load(journal, arena, id, out, error);
}

int simulation_run(Arena *arena, const SimulationSpec *spec, SimulationResult *out, Error *error) {
    JOURNAL_AUTO journal = journal_memory_new_brief();
    ARENA_AUTO own = arena_new();
    ClockFalse clock = clock_false(BEGIN_MS);
    Rollout *rollout = NULL;
    EngineEnd end;
    if (open_change(own, journal, spec, &clock.clock, &rollout, error) < 0) return -1;
    Watching watching = {.arena = arena, .plan = rollout->plan};
    watching.result.stopped_ms = watching.result.first_switch_ms = -1;
    watching.result.stage_count = rollout->stage_count;
    watching.result.stages = ARENA_ARRAY(arena, rollout->stage_count, SimulationStage);
    for (size_t i = 0; i < rollout->stage_count; i++)
        watching.result.stages[i] = (SimulationStage){.started_ms = -1, .passed_ms = -1};
    HostLinkImaginedSpec imagined = {.rollout = rollout,
                                     .clock = &clock,
                                     .outcomes = imagine(own, spec, rollout),
                                     .seed = spec->seed,
                                     .prepare_ms = spec->prepare_ms,
                                     .switch_ms = spec->switch_ms,
                                     .grain_ms = grain_ms(rollout->host_count)};
    HostLink *link = host_link_imagined_open(&imagined);
    EngineSpec engine = {.journal = journal,
                         .link = link,
                         .clock = &clock.clock,
                         .rollout = rollout,
                         .by = "simulate",
                         .observer = {.event = see, .context = &watching}};
    int result = engine_run(&engine, &end, error);
    link->close(link);
    if (result < 0) return -1;
    sum_up(&watching.result, rollout, clock.now_ms);
    *out = watching.result;
    return 0;
}
