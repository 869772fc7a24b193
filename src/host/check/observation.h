/* Observation: what one look at a host or service found — a verdict, and why, in both languages.
 *
 * Probes and preflight checks fill it; looking never fails, it is at worst VERDICT_INCONCLUSIVE. */
#pragma once
#include "base/error.h"
#include "model/verdict.h"
#include <stdint.h>

typedef struct Observation {
    Verdict verdict;
    int64_t latency_ms; /* how long the look took */
    Error detail;       /* what was found and what was needed; its kind is ERROR_NONE after a pass */
} Observation;
