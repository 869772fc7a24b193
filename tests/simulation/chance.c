#include "chance.h"

/* SplitMix64 (Steele, Lea, Flood 2014): small, good enough, the same everywhere. */
uint64_t chance_next(Chance *chance) {
    uint64_t z = chance->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

int64_t chance_up_to(Chance *chance, int64_t limit) {
    return (int64_t)(chance_next(chance) % (uint64_t)limit);
}

bool chance_one_in(Chance *chance, int64_t n) { return n > 0 && chance_up_to(chance, n) == 0; }
