/* Live: drawing what an engine does — one live line a host on a terminal, plain lines elsewhere, events with
 * --json.
 *
 * It is an EngineObserver and nothing else: whoever reads a journal without an engine (upkeep watch) feeds it
 * the same events. Nothing here decides anything. */
#pragma once
#include "cli/cli.h"
#include "engine/engine.h"

typedef struct Live Live;
Live *live_new(const Cli *cli); /* `cli` must outlive it */
/* Takes the live lines away: what they showed last stands in the lines above. */
void live_free(Live *live);

void live_event(void *live, const Rollout *rollout, const json_t *event);
void live_report(void *live, const Rollout *rollout, const HostReport *report);
void live_tick(void *live, const Rollout *rollout, int64_t now_ms);
