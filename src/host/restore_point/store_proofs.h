/* StoreProofs: which objects were restored and compared, and how their files looked just before.
 *
 * While an object's file still looks so (inode, size, times), it need not be restored again. The file is a
 * log: a line "upkeep-proofs 1\n" padded with NUL to 16 bytes, then records of 72 bytes, the last one of a
 * digest counting:
 *
 *    0  SHA-256 of the content        40  size of the object's file      56  changed, ns since 1970
 *   32  inode of the object's file    48  modified, ns since 1970        64  FNV-1a (64 bit) of the 64 bytes
 * before
 *
 * Numbers are little-endian. The log is a memory, not a truth: it is not made durable, records whose check
 * does not hold are passed over, and whatever is lost is proved again.
 */
#pragma once
#include "base/digest.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct StoreStamp {
    uint64_t inode;
    uint64_t size;
    int64_t modified_ns;
    int64_t changed_ns;
} StoreStamp;

typedef struct StoreProof {
    Digest digest;
    StoreStamp stamp;
} StoreProof;

/* Not thread-safe: the store guards it. */
typedef struct StoreProofs {
    StoreProof *slots; /* open addressing; a slot is free when its inode is 0 */
    size_t count, capacity;
} StoreProofs;

/* Read the log `name` in `dir`; a missing one is empty. */
int store_proofs_load(StoreProofs *proofs, int dir, const char *name, Error *error);
void store_proofs_free(StoreProofs *proofs);

/* NULL when nothing is known; valid until the next put. */
const StoreStamp *store_proofs_find(const StoreProofs *proofs, const Digest *digest);
void store_proofs_put(StoreProofs *proofs, const StoreProof *proof);

/* Add records at the end of the log; other processes may do so at the same time. */
int store_proofs_append(int dir, const char *name, const StoreProof *added, size_t count, Error *error);
/* Write the log anew with exactly these; nobody else may be appending. */
int store_proofs_replace(int dir, const char *name, const StoreProof *kept, size_t count, Error *error);

bool store_stamp_equal(const StoreStamp *a, const StoreStamp *b);
