/* Engine: load → decide → append → act, until a change has ended or waits for a person.
 *
 *     state  = fold(journal)
 *     orders = decide(state, now)        model/rollout.h
 *     journal ← orders → hosts → journal ← what they report
 *
 * The engine owns no state beside the journal: kill it anywhere, start it again, it goes on. People steer
 * from other processes by appending "control.*" events, which it reads like its own.
 *
 * Calling order: change_load → host_link_*_open(rollout) → engine_run. One engine a change at a time: the
 * hosts' locks see to that.
 */
#pragma once
#include "base/clock.h"
#include "base/error.h"
#include "engine/host_link.h"
#include "journal/journal.h"
#include "model/rollout.h"
#include <stdatomic.h>

/* Who watches the engine work: called in its thread, for each event as it enters the state, and for progress.
 */
typedef struct EngineObserver {
    void (*event)(void *context, const Rollout *rollout, const json_t *event);
    void (*progress)(void *context, const Rollout *rollout, const HostReport *report);
    void (*tick)(void *context, const Rollout *rollout, int64_t now_ms); /* many times a second */
    void *context;
} EngineObserver;

typedef struct EngineSpec {
    Journal *journal;
    HostLink *link;
    Clock *clock;
    Rollout *rollout;
    const char *by; /* who runs it */
    bool prepare_only;
    bool resume;                  /* take a pause back at the start */
    bool stay;                    /* wait here for what a person decides: only the end ends it */
    const atomic_int *interrupts; /* 1: pause and leave when it is safe; 2: leave now. May be NULL */
    const atomic_bool *leave;     /* true: leave at once, as a crash would; nothing is written. May be NULL */
    EngineObserver observer;
} EngineSpec;

typedef enum EngineEnd {
    ENGINE_ENDED,       /* rollout->outcome says how */
    ENGINE_PAUSED,      /* interrupted, or everything is prepared and no more was asked */
    ENGINE_HELD,        /* on_failure: hold — a person must decide */
    ENGINE_INTERRUPTED, /* left at once, orders under way: the caller must exit without closing the link */
} EngineEnd;

int engine_run(const EngineSpec *spec, EngineEnd *out, Error *error);

/* Append one "control.<verb>" event (pause, resume, abort, rollback), `fields` (may be NULL, borrowed) with
 * it. */
int engine_control(Journal *journal, const Rollout *rollout, const char *verb, const char *by,
                   const char *why, const json_t *fields, Clock *clock, Error *error);
