/* Throttle: how often each key — a client's address, a person's name — may try something.
 *
 * A bucket a key: `burst` tries at once, and one more each `interval_ms`. throttle_allow() takes one; where
 * there is none left it says how long to wait, and a try that was refused costs nothing. throttle_charge()
 * takes more, for tries that turned out bad: let a failed sign-in cost five, and guessing is five times as
 * slow as working. What is charged beyond the bucket is owed, at most once its size: nobody waits longer than
 * (`burst` + 1) × `interval_ms`.
 *
 * Memory is bounded: THROTTLE_PLACES keys are kept near each other, and when there is no room, the one that
 * owes least makes place; forgotten, it merely begins again with a full bucket. So a flood of new keys drives
 * out other new ones, not those that are being held off, and locks nobody out. Which keys meet is random in
 * each Throttle (a keyed SHA-256), so nobody can choose them to push a certain one out.
 *
 * Use one Throttle for addresses and another for names, so that neither pushes the other out; ask the one of
 * the addresses first. One client of IPv6 has a whole /64: let that be the key.
 *
 * Calling order: throttle_new(); for each try throttle_allow(), and after a bad one throttle_charge();
 * throttle_free(). Threads: everything but freeing may be called from any thread at once. Units: milliseconds
 * of any clock, a steady one best; time that goes back counts as time that stands still, so that it frees
 * nobody and holds nobody off.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    THROTTLE_KEY_MAX = 256, /* bytes of a key that count */
    THROTTLE_PLACES = 8,
    THROTTLE_KEYS_MAX = 1 << 20,
    THROTTLE_BURST_MAX = 1 << 20,
};
#define THROTTLE_INTERVAL_MAX_MS ((int64_t)24 * 60 * 60 * 1000)

typedef struct ThrottleRule {
    int burst;           /* 1 to THROTTLE_BURST_MAX */
    int64_t interval_ms; /* 1 to THROTTLE_INTERVAL_MAX_MS */
    size_t keys;         /* how many to remember: 1 to THROTTLE_KEYS_MAX, rounded up; 32 bytes each */
} ThrottleRule;

typedef struct Throttle Throttle; /* the caller's until throttle_free() */

Throttle *throttle_new(const ThrottleRule *rule);
void throttle_free(Throttle *throttle); /* NULL is allowed */
static inline void throttle_cleanup(Throttle **throttle) { throttle_free(*throttle); }
#define THROTTLE_AUTO __attribute__((cleanup(throttle_cleanup))) Throttle *

/* May `key` try now? `retry_after_ms` (may be NULL) is 0, or how long until it may. */
bool throttle_allow(Throttle *throttle, const char *key, int64_t now_ms, int64_t *retry_after_ms);
/* Let what `key` just did cost `cost` tries more. */
void throttle_charge(Throttle *throttle, const char *key, int cost, int64_t now_ms);
