/* Store: file contents, each kept once under the name of its SHA-256, for the restore points that need them.
 *
 * Layout (docs/reference/restore-point-format.md):
 *
 *   format                "upkeep-store 1"; another number is refused
 *   lock                  flock: shared by whoever adds or reads, exclusive for whoever removes objects
 *   objects/ab/<62>       the plain bytes whose SHA-256 is ab<62 hexadecimal digits>
 *   objects/ab/<62>.zst   or one zstd frame of them: `zstd -dc FILE | sha256sum` prints the name
 *   proofs                how each object's file looked when it was last restored and compared
 *   points/<id>/          restore points (restore_point.h)
 *   temporary/            unfinished work of the living and the dead; emptied under the exclusive lock
 *
 * An object appears by one rename, but is not durable before store_sync(): after a power cut a name may stand
 * for less than it should. Nobody trusts a name: an object counts as known only while its file looks as it
 * did when it was proved, any other is read and hashed before a new restore point leans on it, and written
 * anew when it is damaged.
 *
 * Folders are 0700, files 0600. A Store may be used by several threads, each with a StoreRoom of its own.
 */
#pragma once
#include "base/digest.h"
#include "base/error.h"
#include "host/restore_point/store_proofs.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Store Store;

/* Open the store at `path`, making it when it is missing. */
int store_open(const char *path, Store **out, Error *error);
void store_close(Store *store); /* NULL is allowed */
static inline void store_cleanup(Store **store) { store_close(*store); }
#define STORE_AUTO __attribute__((cleanup(store_cleanup), unused)) Store *

/* Borrowed from the store. */
const char *store_path(const Store *store);
int store_points_dir(const Store *store);
int store_temporary_dir(const Store *store);
int store_objects_dir(const Store *store);

/* Hold the lock until the descriptor in *out is closed. Shared waits for an exclusive holder, who is brief,
 * for at most STORE_LOCK_WAIT_MS; exclusive does not wait: ERROR_REFUSED while anybody uses the store. */
enum { STORE_LOCK_WAIT_MS = 60000 };
typedef enum StoreLock { STORE_SHARED, STORE_EXCLUSIVE } StoreLock;
int store_lock(Store *store, StoreLock mode, int *out, Error *error);

/* Let each new folder below `dir` be given a place of its own on the disk, where the file system knows that
 * mark (ext4); temporary/ has it. An ext4 without a journal, as many virtual machines have, steps over every
 * inode that was given back beside it in the last minutes: many files made where many were removed take ten
 * times as long. */
void store_spread(int dir);

/* A new name for something in temporary/, unique among processes and threads. */
enum { STORE_NAME_SIZE = 32 };
void store_temporary_name(Store *store, char name[static STORE_NAME_SIZE]);

/* One worker's buffers and compressors, about 3 MiB; not thread-safe. */
typedef struct StoreRoom StoreRoom;
StoreRoom *store_room_new(void);
void store_room_free(StoreRoom *room); /* NULL is allowed */

/* What store_put read and wrote. */
typedef struct StorePut {
    Digest digest;
    uint64_t size;         /* of the content */
    uint64_t stored_bytes; /* of the object's file, when it was written now; else 0 */
    bool stored;           /* false: a good object was there already */
    bool settled;          /* it was there and proved, hence durable: no store_sync needed */
} StorePut;

/* Keep the content of the open regular file `fd`, from 0 to its end, holes as zeros. What is kept is what was
 * read: the digest tells. `cancel` may be NULL. */
int store_put(Store *store, StoreRoom *room, int fd, const atomic_bool *cancel, StorePut *out, Error *error);

/* Write the content of `digest` to the empty file `fd`, leaving zero blocks as holes where `sparse`; with fd
 * -1 only verify. ERROR_REFUSED names the object's file when it is missing or when its content is not what
 * its name says or not `size` bytes (STORE_ANY_SIZE: any); what was written to `fd` is worthless then. */
#define STORE_ANY_SIZE UINT64_MAX
typedef struct StoreGet {
    const Digest *digest;
    uint64_t size;
    int fd;
    bool sparse;
    const atomic_bool *cancel;
} StoreGet;
int store_get(Store *store, StoreRoom *room, const StoreGet *get, Error *error);

/* Open the object's file to read; ERROR_REFUSED when it is missing. `compressed` may be NULL. Caller closes.
 */
int store_object_open(Store *store, const Digest *digest, bool *compressed, Error *error);

/* Make objects durable: each by fsync when they are few, else all at once by syncfs. */
int store_sync(Store *store, const Digest *digests, size_t count, Error *error);

/* How an object's file looks now; all zero when there is none. */
int store_stamp(Store *store, const Digest *digest, StoreStamp *out, Error *error);
/* Does the object's file look as it did when it was proved? A missing object does not. */
bool store_is_proved(Store *store, const Digest *digest);
/* Remember proofs: objects that looked so before they were restored and compared. */
int store_add_proofs(Store *store, const StoreProof *proofs, size_t count, Error *error);

/* Every object, in no order; -1 from `visit` ends the walk. Without the exclusive lock, objects that come or
 * go meanwhile may be missed. */
typedef int (*StoreVisit)(void *context, const Digest *digest, uint64_t stored_bytes, Error *error);
int store_each(Store *store, StoreVisit visit, void *context, Error *error);

/* Remove every object that is not `is_needed`. The exclusive lock is held for one folder of objects at a
 * time, so that a restore point inside an upgrade window waits for milliseconds; `refresh` is called at the
 * start of each hold, to learn of points that came meanwhile. ERROR_REFUSED when somebody uses the store: try
 * again later. */
typedef struct StoreSweep {
    bool (*is_needed)(void *context, const Digest *digest);
    int (*refresh)(void *context, Error *error);
    void *context;
} StoreSweep;
int store_sweep(Store *store, const StoreSweep *sweep, uint64_t *freed_bytes, Error *error);
/* Take `name` out of `dir` (of the store) by one rename, then remove it with all below. Missing is success.
 */
int store_discard(Store *store, int dir, const char *name, Error *error);
/* Remove what the dead left behind half-done. ERROR_REFUSED as above. */
int store_tidy(Store *store, Error *error);
/* Forget proofs of objects that are no more, or no more what they were. ERROR_REFUSED as above. */
int store_forget_proofs(Store *store, Error *error);
