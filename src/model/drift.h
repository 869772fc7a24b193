/* Drift: in what two environments of a fleet differ, by the facts of their hosts (host/host_facts.h).
 *
 * Each host that has joined and is labelled with an environment counts there. A row is a key in which the two
 * do not agree; without a row they agree in it:
 *
 *     os.id, os.version, kernel, architecture     every host has them
 *     cpu.cores, memory.total_bytes               every host has them; numbers
 *     disks.PATH                                  total bytes, a number
 *     tools.NAME, releases.SERVICE                versions
 *     facts                                       whether a host has reported any
 *
 * Texts agree when each value that is found on one side is found on the other too, on however many hosts:
 * production has more of them than test. Numbers are summed up as least–most of a side; they agree when
 * neither the least nor the most differ by more than a tenth of the larger. A disk, tool or release that only
 * some hosts of a side have is compared by what these have; that none has it ("absent") differs from any.
 *
 * What is not known (no facts, a fact that is missing, a tool that is there and silent, a root that cannot be
 * read, a disk of no fixed size, a text over DRIFT_TEXT_MAX bytes) is "unknown", and agrees with nothing, not
 * even with itself (I11). So do values past DRIFT_VALUES_MAX different ones of a side ("others").
 *
 * The processor's model, host names and addresses are not compared: they differ between any two machines.
 */
#pragma once
#include "model/inventory.h"
#include <jansson.h>

enum {
    DRIFT_VALUES_MAX = 256,
    DRIFT_TEXT_MAX = 256,
    DRIFT_KEYS_MAX = 256 /* tools, disks, releases a host */
};

typedef enum DriftVerdict {
    DRIFT_SAME,         /* no row */
    DRIFT_DIFFERS,      /* there are known differences */
    DRIFT_INCONCLUSIVE, /* an environment has no host, or none that reported; or all rows are of unknowns */
} DriftVerdict;

typedef enum DriftKind { DRIFT_KNOWN, DRIFT_ABSENT, DRIFT_UNKNOWN, DRIFT_OTHERS } DriftKind;

typedef struct DriftValue {
    DriftKind kind;
    const char *text; /* known: as people read it, "3.0.17", "4–8", "7.7 GiB–15.5 GiB"; else a message id */
    int64_t least, most; /* of numbers that are known */
    size_t hosts;        /* how many have it */
} DriftValue;

typedef struct DriftSide {
    DriftValue *values; /* the most frequent first */
    size_t count;
} DriftSide;

typedef struct DriftRow {
    const char *key;
    bool number;
    DriftSide sides[2];
} DriftRow;

typedef struct Drift {
    const char *environments[2];
    size_t hosts[2], silent[2]; /* of these, hosts without facts */
    DriftRow *rows;             /* sorted by key */
    size_t count;
    size_t compared; /* keys that were looked at, differing or not */
    DriftVerdict verdict;
} Drift;

/* Everything is in the arena. Pure, cannot fail. */
Drift drift_compare(Arena *arena, const Inventory *inventory, const char *environment, const char *other);

const char *drift_verdict_text(DriftVerdict verdict); /* "same", "differs", "inconclusive": message ids */
const char *drift_kind_text(DriftKind kind);          /* "known", "absent", "unknown", "others" */
/* {"environments", "hosts", "silent", "compared", "verdict", "rows": [{"key", "sides": [[{"kind", "value",
 * "least", "most", "hosts"}]]}]}; lists have one member a side. New reference. */
json_t *drift_to_json(const Drift *drift);
