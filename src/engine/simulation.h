/* Simulation: a plan carried out by the real engine on imagined hosts under a false clock, and what came of
 * it. Nothing is touched; hours pass in milliseconds. The same spec gives the same result.
 *
 * All hosts are prepared at the same time, and nothing is lost on the way. Times in a result are milliseconds
 * since the rollout began. More than 5,000 hosts are looked at in steps of hosts / 100 ms, at most 1 s: that
 * much later than a real engine this one may decide.
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "model/rollout.h"

typedef enum SimulationCase {
    SIMULATION_GOOD,
    SIMULATION_BAD_AT_ONCE, /* the new version becomes healthy nowhere */
    SIMULATION_BAD_LATER,   /* everywhere, simulation_bad_after_ms() after it was healthy */
    SIMULATION_BAD_HOST,    /* on one host, which the seed chooses, it never becomes healthy */
} SimulationCase;
enum { SIMULATION_CASES = 4 };

typedef struct SimulationSpec {
    const Plan *plan;
    SimulationCase happens;
    uint64_t seed;
    int64_t prepare_ms, switch_ms; /* about, for each host: host_link_imagined.h */
} SimulationSpec;

typedef struct SimulationStage {
    int64_t started_ms, passed_ms; /* -1: it never did */
    size_t batches;
} SimulationStage;

typedef struct SimulationResult {
    RolloutOutcome outcome; /* OUTCOME_NONE: held, for a person to decide */
    int64_t ended_ms;       /* or held since */
    SimulationStage *stages;
    size_t stage_count;
    int64_t first_switch_ms;
    size_t touched;        /* hosts that were switched */
    size_t left;           /* … and stay on the new version though the rollout has failed */
    int64_t stopped_ms;    /* when it began to fail; -1: it never did */
    const char *stop_host; /* whose fault that was, or NULL */
    const char *stop_stage;
    const char *stop_why, *stop_why_zh;
    size_t left_out;      /* hosts that failed within max_failed, and went back while the others went on */
    const char *out_host; /* the first of them, or NULL */
    const char *out_why, *out_why_zh;
    size_t events;
} SimulationResult;

/* The result lives in the arena. An error is the plan's, or a fault of the engine. */
int simulation_run(Arena *arena, const SimulationSpec *spec, SimulationResult *out, Error *error);

/* A few moments into the soak: a quarter of it, at most 30 s, at least 1 ms. */
int64_t simulation_bad_after_ms(const PlanStage *stage);
