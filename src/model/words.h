/* Words: what steps, states and events are called to people. All are message ids; text_in() translates them.
 */
#pragma once
#include "model/rollout.h"

/* "final_copy" → "final copy of data"; the name itself when it is unknown. */
const char *words_step(const char *step);
const char *words_host_state(HostState state);
const char *words_host_part(HostPart part); /* "" for the usual one */
const char *words_rollout_state(RolloutState state);
const char *words_outcome(const char *outcome);
const char *words_order(const char *order);
const char *words_service_state(const char *state);
