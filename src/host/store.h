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
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Store Store;

/* Open the store at `path`, making it when it is missing. */
int store_open(const char *path, Store **out, Error *error);
void store_close(Store *store); /* NULL is allowed */
static inline void store_cleanup(Store **store) { store_close(*store); }
#define STORE_AUTO __attribute__((cleanup(store_cleanup))) Store *

/* Borrowed from the store. */
const char *store_path(const Store *store);
int store_points_dir(const Store *store);
int store_temporary_dir(const Store *store);

/* Hold the lock until the descriptor in *out is closed. Shared waits for an exclusive holder, which is brief;
 * exclusive does not wait: ERROR_REFUSED while anybody uses the store. */
typedef enum StoreLock { STORE_SHARED, STORE_EXCLUSIVE } StoreLock;
int store_lock(Store *store, StoreLock mode, int *out, Error *error);

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
} StorePut;

/* Keep the content of the open regular file `fd`, read from 0 to its end, holes as zeros. What is kept is
 * what was read: the digest tells. `cancel` may be NULL. */
int store_put(Store *store, StoreRoom *room, int fd, const atomic_bool *cancel, StorePut *out, Error *error);
/* Is there an object that may be leaned on: known by its proof, or read and hashed now? 1, 0, or -1. */
int store_good(Store *store, StoreRoom *room, const Digest *digest, Error *error);

/* Write the content of `digest` to the empty file `fd`, leaving zero blocks as holes where `sparse`; with fd
 * -1 only verify. Fails (ERROR_REFUSED, naming the object's file) when the object is missing or its content
 * is not what its name says, or its size not `size`; what was written to `fd` is worthless then. */
int store_get(Store *store, StoreRoom *room, const Digest *digest, uint64_t size, int fd, bool sparse,
              const atomic_bool *cancel, Error *error);

/* Make objects durable: each of `digests` by fsync when they are few, else all at once by syncfs. */
int store_sync(Store *store, const Digest *digests, size_t count, Error *error);

/* How an object's file looks; all zero: there is none. */
typedef struct StoreStamp {
    uint64_t inode;
    uint64_t size;
    int64_t modified_ns;
    int64_t changed_ns;
} StoreStamp;
int store_stamp(Store *store, const Digest *digest, StoreStamp *out, Error *error);
/* Does the object's file look as it did when it was proved? A missing object does not. */
bool store_proved(Store *store, const Digest *digest);
/* Remember that these objects, which looked so before they were restored, were restored and compared now. */
int store_proved_add(Store *store, const Digest *digests, const StoreStamp *stamps, size_t count,
                     Error *error);

/* Every object, in no order: called with its digest and the bytes its file takes. A return of -1 ends the
 * walk. Under the exclusive lock, or what comes meanwhile may be missed. */
typedef int (*StoreVisit)(void *context, const Digest *digest, uint64_t stored_bytes, Error *error);
int store_each(Store *store, StoreVisit visit, void *context, Error *error);
/* Under the exclusive lock: remove one object; empty temporary/; keep only proofs of objects that exist. */
int store_remove(Store *store, const Digest *digest, Error *error);
int store_tidy(Store *store, Error *error);
