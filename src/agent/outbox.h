/* Outbox: what a host has to tell the controller about one change, numbered from 1, kept until it was heard.
 *
 *   put ──▶ [ n, n+1, … ] ── reports ──▶ sent, as often as it takes ── heard(n) ──▶ forgotten
 *
 * A report is durable before put() returns, so what a host did is told even if its agent dies right after it
 * did it; numbers go on where they were, whatever dies. One file, a line of JSON each, below a header that
 * says how far the controller has heard; a last line that was cut off never was. One thread.
 */
#pragma once
#include "base/error.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Outbox Outbox;

/* The outbox of `change` in `dir`, which must outlive it; made when it is missing, and then goes on after the
 * number `heard`: what the controller has of this host from before the change was forgotten here. A file of
 * another change is replaced: that change is over here. ERROR_ATTENTION when it cannot be read. */
int outbox_open(int dir, const char *change, int64_t heard, Outbox **out, Error *error);
void outbox_close(Outbox *outbox); /* NULL is allowed */

/* Takes over `event`. */
int outbox_put(Outbox *outbox, json_t *event, Error *error);

/* Of a report that an agent before this one put: nobody knows how old it is. */
#define OUTBOX_AGE_UNKNOWN_MS (INT64_C(7) * 24 * 60 * 60 * 1000)

/* The oldest `max` reports at most, as the controller wants them: [{"number", "event", "age_ms"}, …]. The age
 * counts from when it was put, so that old good news is not taken for new. A new reference. */
json_t *outbox_reports(const Outbox *outbox, size_t max);
size_t outbox_count(const Outbox *outbox);

/* The controller has everything up to `number`. Forgetting is lazy: who opens it again may find some of them
 * once more. ERROR_REFUSED for a number that was never given. */
int outbox_heard(Outbox *outbox, int64_t number, Error *error);
