#include "base/throttle.h"

#include "base/digest.h"
#include "base/random.h"
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SEED_SIZE = 16, NAME_SIZE = 16 };

/* All zero: free. */
typedef struct Place {
    uint8_t name[NAME_SIZE]; /* of the key: its keyed hash */
    int64_t debt_ms;         /* until the bucket is full again, as of then */
    int64_t seen_ms;
} Place;

/* Places near each other: a key is in the one row that its hash names. */
typedef struct Row {
    Place places[THROTTLE_PLACES];
} Row;

struct Throttle {
    ThrottleRule rule;
    uint8_t seed[SEED_SIZE];
    size_t mask; /* there are mask + 1 rows, a power of two */
    pthread_mutex_t lock;
    Row rows[];
};

Throttle *throttle_new(const ThrottleRule *rule) {
    assert(rule->burst >= 1 && rule->burst <= THROTTLE_BURST_MAX);
    assert(rule->interval_ms >= 1 && rule->interval_ms <= THROTTLE_INTERVAL_MAX_MS);
    assert(rule->keys >= 1 && rule->keys <= THROTTLE_KEYS_MAX);
    size_t rows = 1;
    while (rows * THROTTLE_PLACES < rule->keys) rows *= 2;
    Throttle *throttle = calloc(1, sizeof *throttle + rows * sizeof(Row));
    if (!throttle || pthread_mutex_init(&throttle->lock, NULL) != 0) abort();
    throttle->rule = *rule;
    throttle->mask = rows - 1;
    random_bytes(throttle->seed, sizeof throttle->seed);
    return throttle;
}

void throttle_free(Throttle *throttle) {
    if (!throttle) return;
    pthread_mutex_destroy(&throttle->lock);
    free(throttle);
}

static Digest hash(const Throttle *throttle, const char *key) {
    uint8_t bytes[SEED_SIZE + THROTTLE_KEY_MAX];
    size_t length = strnlen(key, THROTTLE_KEY_MAX);
    memcpy(bytes, throttle->seed, SEED_SIZE);
    memcpy(bytes + SEED_SIZE, key, length);
    return digest_of(bytes, SEED_SIZE + length);
}

static int64_t debt_at(const Place *place, int64_t now_ms) {
    if (now_ms <= place->seen_ms) return place->debt_ms;
    uint64_t passed = (uint64_t)now_ms - (uint64_t)place->seen_ms;
    return passed >= (uint64_t)place->debt_ms ? 0 : place->debt_ms - (int64_t)passed;
}

/* Where the key stands, or shall: then in the place of whoever owes least, of several the one not seen for
 * longest. Its debt is that of now. */
static Place *place_of(Throttle *throttle, const char *key, int64_t now_ms) {
    Digest name = hash(throttle, key);
    size_t at;
    memcpy(&at, name.bytes + NAME_SIZE, sizeof at);
    Row *row = &throttle->rows[at & throttle->mask];
    Place *best = NULL;
    int64_t best_debt_ms = 0;
    for (size_t i = 0; i < THROTTLE_PLACES; i++) {
        Place *place = &row->places[i];
        int64_t debt_ms = debt_at(place, now_ms);
        bool is_its_own = memcmp(place->name, name.bytes, NAME_SIZE) == 0;
        bool is_better =
            !best || debt_ms < best_debt_ms || (debt_ms == best_debt_ms && place->seen_ms < best->seen_ms);
        if (!is_its_own && !is_better) continue;
        best = place;
        best_debt_ms = debt_ms;
        if (is_its_own) break;
    }
    if (memcmp(best->name, name.bytes, NAME_SIZE) != 0) best_debt_ms = 0; /* another one's */
    memcpy(best->name, name.bytes, NAME_SIZE);
    best->debt_ms = best_debt_ms;
    best->seen_ms = now_ms; /* also where time went back: from here it goes on */
    return best;
}

bool throttle_allow(Throttle *throttle, const char *key, int64_t now_ms, int64_t *retry_after_ms) {
    int64_t full_ms = throttle->rule.burst * throttle->rule.interval_ms;
    pthread_mutex_lock(&throttle->lock);
    Place *place = place_of(throttle, key, now_ms);
    int64_t wait_ms = place->debt_ms + throttle->rule.interval_ms - full_ms;
    if (wait_ms <= 0) {
        place->debt_ms += throttle->rule.interval_ms;
        wait_ms = 0;
    }
    pthread_mutex_unlock(&throttle->lock);
    if (retry_after_ms) *retry_after_ms = wait_ms;
    return wait_ms == 0;
}

void throttle_charge(Throttle *throttle, const char *key, int cost, int64_t now_ms) {
    assert(cost >= 0);
    int64_t most_ms = 2 * throttle->rule.burst * throttle->rule.interval_ms;
    pthread_mutex_lock(&throttle->lock);
    Place *place = place_of(throttle, key, now_ms);
    place->debt_ms += cost * throttle->rule.interval_ms;
    if (place->debt_ms > most_ms) place->debt_ms = most_ms;
    pthread_mutex_unlock(&throttle->lock);
}
