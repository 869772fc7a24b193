/* SampleRun: a change of the service of sample_service.h, with a journal. */
#pragma once
#include "base/json.h"
#include "engine/change.h"
#include "engine/engine.h"
#include "engine/host_link_local.h"
#include "support/sample_service.h"

typedef struct SampleRun {
    Arena *arena;
    const TestFolder *folder;
    Journal *journal;
    Plan *plan;
    char change[CHANGE_ID_SIZE];
    Rollout *rollout;
    EngineEnd end;
} SampleRun;

static inline SampleRun sample_run_open(const TestFolder *folder, Journal *journal, const char *version,
                                        const char *more) {
    SampleRun run = {.arena = arena_new(), .folder = folder, .journal = journal};
    BUFFER_AUTO text = {0};
    PACKAGE_AUTO package = NULL;
    char file[32];
    sample_write_plan(folder, version, more, &text);
    snprintf(file, sizeof file, "%s.upk", version);
    assert_done(plan_compile(run.arena, "p", "/", buffer_text(&text), text.size, &run.plan, error));
    assert_done(sample_open(folder, file, &package, error));
    ChangeOpening opening = {.plan = run.plan,
                             .plan_file = "p",
                             .version = version,
                             .package = &package->digest,
                             .by = "test",
                             .clock = clock_system()};
    assert_done(change_open(journal, &opening, run.change, error));
    return run;
}

static inline HostLinkLocalSpec sample_run_local(const SampleRun *run) {
    HostLinkLocalSpec spec;
    assert_done(host_link_local_spec(run->arena, run->rollout, run->folder->path, &spec, error));
    spec.clock = clock_system();
    return spec;
}

static inline void sample_run_close(SampleRun *run) { arena_free(run->arena); }
