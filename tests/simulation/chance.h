/* Chance: what is left to it in an imagined world, all from one seed: the same seed is the same world. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct Chance {
    uint64_t state; /* begins as the seed */
} Chance;

uint64_t chance_next(Chance *chance);
int64_t chance_up_to(Chance *chance, int64_t limit); /* 0 … limit - 1 */
bool chance_one_in(Chance *chance, int64_t n);       /* 0: never */
