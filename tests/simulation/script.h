/* Script: the plan of an imagined world — every strategy, every choice that decides how a rollout goes on, by
 * chance. */
#pragma once
#include "base/buffer.h"
#include "chance.h"
#include <stddef.h>

/* A plan for `hosts` hosts, h0 …, as people would write it. */
void script_write(Chance *chance, size_t hosts, Buffer *out);
