/* People: pause, resume, abort and roll back, skip and retry hosts at random, from other processes, by
 * writing to the journal. They do so at any moment, also between what the engine has decided and its writing
 * it down. When all trouble is over, who is waited for decides.
 */
#pragma once
#include "fleet.h"
#include "journal/journal.h"

struct People {
    Fleet *fleet;
    Journal *journal;
    Rollout bare; /* what they need to know of the change to write */
    int meddling; /* one in so many writings of the engine is preceded by one of theirs; 0: never */
    bool meddles; /* right now */
};

void people_begin(Fleet *fleet, People *people);
void people_end(People *people);
/* The rollout is held: wait until somebody has decided. */
void people_decide(Fleet *fleet);
/* Somebody may write just now, before the engine does. */
void people_meddle(Fleet *fleet);
/* A rollback of what has ended. */
void people_roll_back(Fleet *fleet);
