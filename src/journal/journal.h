/* Journal: the append-only, hash-chained list of events. It is the state and the audit both.
 *
 * An event is a JSON object with at least "type" and "time" (milliseconds since 1970 UTC are written as RFC
 * 3339); "change" says which change it belongs to. What is stored is the event's canonical text, and for each
 *
 *     hash(n) = SHA-256( hash(n-1) as 64 hexadecimal digits, "\n", text(n) )      hash(0) = 64 zeros
 *
 * so altering, removing or reordering an event is detected by journal_verify() (invariant I8); cutting off
 * the end is detected by whoever kept an earlier head (journal_head). Sequence numbers begin at 1 and have no
 * gaps.
 *
 * Appending is durable when it returns: nothing may be acted upon before. Several processes may append to one
 * SQLite journal; each batch is one transaction. A Journal is used by one thread at a time.
 */
#pragma once
#include "base/digest.h"
#include "base/error.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Journal Journal;

/* What one driver does; `self` is its own. */
typedef struct JournalRow {
    int64_t sequence;
    const char *change; /* "" when the event belongs to none */
    const char *text;   /* canonical JSON */
    size_t size;
    Digest hash;
} JournalRow;
typedef int (*JournalRowVisit)(void *context, const JournalRow *row, Error *error);

typedef struct JournalDriver {
    int (*begin)(void *self, Error *error); /* exclusive among writers */
    int (*commit)(void *self, Error *error);
    void (*cancel)(void *self);
    /* After a write failed with `error`: true when room was made and it deserves a second try. May be NULL.
     */
    bool (*make_room)(void *self, const Error *error);
    int (*last)(void *self, int64_t *sequence, Digest *hash, Error *error); /* 0 and zeros when empty */
    int (*insert)(void *self, const JournalRow *row, Error *error);
    /* Rows after `after`, in order; of one change unless NULL. */
    int (*read)(void *self, int64_t after, const char *change, JournalRowVisit visit, void *context,
                Error *error);
    void (*close)(void *self);
} JournalDriver;

Journal *journal_new(const JournalDriver *driver, void *self); /* takes over `self` */
void journal_close(Journal *journal);                          /* NULL is allowed */
static inline void journal_cleanup(Journal **journal) { journal_close(*journal); }
#define JOURNAL_AUTO __attribute__((cleanup(journal_cleanup))) Journal *

/* Append `count` events as one durable step, all or none. */
int journal_append(Journal *journal, json_t *const *events, size_t count, Error *error);

/* The same, unless `change` has got events after sequence number `after`, which whoever chose these has not
 * seen: then nothing is written, and *written is false. */
int journal_append_unless(Journal *journal, int64_t after, const char *change, json_t *const *events,
                          size_t count, bool *written, Error *error);

/* Events after sequence number `after`, of `change` or (NULL) all, in order. A visit that fails ends the
 * reading, and so does one that gives 1: it has seen enough. */
typedef int (*JournalVisit)(void *context, int64_t sequence, const json_t *event, Error *error);
int journal_read(Journal *journal, int64_t after, const char *change, JournalVisit visit, void *context,
                 Error *error);

/* The same as they are stored, with their hashes: for export. */
int journal_rows(Journal *journal, int64_t after, const char *change, JournalRowVisit visit, void *context,
                 Error *error);

/* The last sequence number and hash: what to write down somewhere else to prove the end. */
int journal_head(Journal *journal, int64_t *sequence, Digest *hash, Error *error);

/* Read everything and hold it against the chain. ERROR_ATTENTION names the first event that does not fit. */
int journal_verify(Journal *journal, int64_t *count, Error *error);
