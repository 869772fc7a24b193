#include "host/restore_point/store.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum {
    SHARDS = 256,
    LOCK_RETRY_MS = 5,
    SYNC_EACH_MAX = 16,
    RANDOM_SIZE = 9,
    DEAD_NAME_SIZE = STORE_NAME_SIZE + 8
};
static const char format_text[] = "upkeep-store 1\n";
static const char dead_prefix[] = "dead-";

struct Store {
    char *path;
    int dir, objects, points, temporary;
    char random[RANDOM_SIZE]; /* of this opening, in temporary names */
    atomic_ullong counter;
    pthread_mutex_t guard; /* of the proofs */
    StoreProofs proofs;
    bool proofs_loaded;
};

const char *store_path(const Store *store) { return store->path; }
int store_points_dir(const Store *store) { return store->points; }
int store_temporary_dir(const Store *store) { return store->temporary; }
int store_objects_dir(const Store *store) { return store->objects; }

void store_temporary_name(Store *store, char name[static STORE_NAME_SIZE]) {
    unsigned long long number = atomic_fetch_add(&store->counter, 1);
    if (snprintf(name, STORE_NAME_SIZE, "%s-%llx", store->random, number) < 0) abort();
}

/* ---- opening ---- */

static bool is_ours(const char *name) {
    static const char *const ours[] = {".",      "..",        "lock",   "objects",
                                       "points", "temporary", "proofs", "lost+found"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcmp(name, ours[i]) == 0) return true;
    return strncmp(name, ".format.", 8) == 0;
}

/* A folder with other people's files in it must not become a store by a slip of the keyboard. */
static int check_foreign(Store *store, Error *error) {
    int again = openat(store->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = again < 0 ? NULL : fdopendir(again);
    if (!listing) {
        if (again >= 0) close(again);
        return error_errno(error, ERROR_SYSTEM, errno, "cannot list the folder %s", store->path);
    }
    int result = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(listing));)
        if (!is_ours(entry->d_name))
            result = error_set(error, ERROR_INVALID,
                               "%s holds %s and is no store of restore points; name an empty folder",
                               store->path, entry->d_name);
    closedir(listing);
    return result;
}

void store_spread(int dir) {
    int flags = 0;
    if (ioctl(dir, FS_IOC_GETFLAGS, &flags) != 0) return;
    flags |= FS_TOPDIR_FL;
    (void)ioctl(dir, FS_IOC_SETFLAGS, &flags);
}

static int make_folder(int dir, const char *name, Error *error) {
    if (mkdirat(dir, name, 0700) == 0 || errno == EEXIST) return 0;
    return error_errno(error, ERROR_SYSTEM, errno, "cannot make the folder %s", name);
}

/* Everything but the format file, which is written last: a store that has it is complete. */
static int make_layout(Store *store, Error *error) {
    if (check_foreign(store, error) < 0) return -1;
    if (fchmod(store->dir, 0700) != 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot set the mode");
    if (make_folder(store->dir, "objects", error) < 0 || make_folder(store->dir, "points", error) < 0 ||
        make_folder(store->dir, "temporary", error) < 0)
        return -1;
    for (unsigned i = 0; i < SHARDS; i++) {
        char name[16];
        snprintf(name, sizeof name, "objects/%02x", i);
        if (make_folder(store->dir, name, error) < 0) return -1;
    }
    if (file_sync_all(store->dir, error) < 0) return -1;
    return file_replace(store->dir, "format", format_text, sizeof format_text - 1, 0600, error);
}

static int check_format(Store *store, Error *error) {
    BUFFER_AUTO text = {0};
    Error reading = {0};
    if (file_read(store->dir, "format", 256, &text, &reading) < 0) {
        if (reading.number == ENOENT) return make_layout(store, error);
        if (error) *error = reading;
        return -1;
    }
    if (strcmp(buffer_text(&text), format_text) == 0) return 0;
    return error_set(error, ERROR_INVALID, "its format is not the one this program knows");
}

static int open_folder(Store *store, const char *name, int *out, Error *error) {
    *out = file_open_no_links(store->dir, name, O_RDONLY | O_DIRECTORY, 0);
    if (*out >= 0) return 0;
    return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", name);
}

int store_open(const char *path, Store **out, Error *error) {
    STORE_AUTO store = calloc(1, sizeof *store);
    if (!store || !(store->path = strdup(path))) abort();
    store->dir = store->objects = store->points = store->temporary = -1;
    pthread_mutex_init(&store->guard, NULL);
    random_name(store->random, sizeof store->random);
    if (file_open_dir(path, &store->dir, error) < 0 || check_format(store, error) < 0 ||
        file_check_private(store->dir, path, error) < 0 ||
        open_folder(store, "objects", &store->objects, error) < 0 ||
        open_folder(store, "points", &store->points, error) < 0 ||
        open_folder(store, "temporary", &store->temporary, error) < 0)
        return error_prefix(error, "cannot open the store %s", path);
    store_spread(store->temporary);
    *out = pointer_take(&store);
    return 0;
}

void store_close(Store *store) {
    if (!store) return;
    int fds[] = {store->dir, store->objects, store->points, store->temporary};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0) close(fds[i]);
    store_proofs_free(&store->proofs);
    pthread_mutex_destroy(&store->guard);
    free(store->path);
    free(store);
}

/* ---- lock ---- */

int store_lock(Store *store, StoreLock mode, int *out, Error *error) {
    /* A descriptor a holder: flock belongs to the open file, so closing it ends exactly this hold. */
    FD_AUTO fd = openat(store->dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot lock the store %s", store->path);
    Clock *clock = clock_system();
    int64_t deadline_ms = clock_steady_ms(clock) + STORE_LOCK_WAIT_MS;
    while (flock(fd, (mode == STORE_SHARED ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK)
            return error_errno(error, ERROR_SYSTEM, errno, "cannot lock the store %s", store->path);
        if (mode == STORE_EXCLUSIVE || clock_steady_ms(clock) >= deadline_ms)
            return error_set(error, ERROR_REFUSED, "the store %s is in use; try again later", store->path);
        clock_sleep_ms(LOCK_RETRY_MS);
    }
    *out = fd_take(&fd);
    return 0;
}

/* ---- proofs ---- */

/* With the guard held. */
static int load_proofs(Store *store, Error *error) {
    if (store->proofs_loaded) return 0;
    if (store_proofs_load(&store->proofs, store->dir, "proofs", error) < 0)
        return error_prefix(error, "cannot open the store %s", store->path);
    store->proofs_loaded = true;
    return 0;
}

bool store_is_proved(Store *store, const Digest *digest) {
    StoreStamp known = {0}, now;
    pthread_mutex_lock(&store->guard);
    const StoreStamp *found = NULL;
    if (load_proofs(store, NULL) == 0) found = store_proofs_find(&store->proofs, digest);
    if (found) known = *found;
    pthread_mutex_unlock(&store->guard);
    return found && store_stamp(store, digest, &now, NULL) == 0 && store_stamp_equal(&known, &now);
}

int store_add_proofs(Store *store, const StoreProof *proofs, size_t count, Error *error) {
    if (count == 0) return 0;
    pthread_mutex_lock(&store->guard);
    int result = load_proofs(store, error);
    if (result == 0) result = store_proofs_append(store->dir, "proofs", proofs, count, error);
    for (size_t i = 0; result == 0 && i < count; i++) store_proofs_put(&store->proofs, &proofs[i]);
    pthread_mutex_unlock(&store->guard);
    return result;
}

int store_forget_proofs(Store *store, Error *error) {
    FD_AUTO lock = -1;
    if (store_lock(store, STORE_EXCLUSIVE, &lock, error) < 0) return -1;
    pthread_mutex_lock(&store->guard);
    /* Read the log again: others may have added to it since. */
    store_proofs_free(&store->proofs);
    store->proofs_loaded = false;
    int result = load_proofs(store, error);
    ARENA_AUTO arena = arena_new();
    StoreProof *kept = ARENA_ARRAY(arena, store->proofs.count + 1, StoreProof);
    size_t count = 0;
    for (size_t i = 0; result == 0 && i < store->proofs.capacity; i++) {
        StoreProof *slot = &store->proofs.slots[i];
        StoreStamp now;
        if (slot->stamp.inode != 0 && store_stamp(store, &slot->digest, &now, NULL) == 0 &&
            store_stamp_equal(&slot->stamp, &now))
            kept[count++] = *slot;
    }
    if (result == 0) result = store_proofs_replace(store->dir, "proofs", kept, count, error);
    pthread_mutex_unlock(&store->guard);
    return result;
}

/* ---- walking and removing ---- */

typedef struct Shard {
    Store *store;
    char name[3];
    int fd;
    DIR *listing;
} Shard;

static int shard_open(Store *store, unsigned number, Shard *shard, Error *error) {
    *shard = (Shard){.store = store};
    snprintf(shard->name, sizeof shard->name, "%02x", number & 0xff);
    shard->fd = file_open_no_links(store->objects, shard->name, O_RDONLY | O_DIRECTORY, 0);
    shard->listing = shard->fd < 0 ? NULL : fdopendir(shard->fd);
    if (shard->listing) return 0;
    error_errno(error, ERROR_SYSTEM, errno, "cannot list the folder %s", shard->name);
    if (shard->fd >= 0) close(shard->fd);
    return -1;
}

/* The next object; NULL at the end. Names that are none are passed over. */
static struct dirent *shard_next(Shard *shard, Digest *digest) {
    for (struct dirent *entry; (entry = readdir(shard->listing));) {
        char text[NAME_MAX + sizeof shard->name];
        snprintf(text, sizeof text, "%s%s", shard->name, entry->d_name);
        size_t length = strlen(text);
        if (length == DIGEST_TEXT_SIZE + 3 && strcmp(text + DIGEST_TEXT_SIZE - 1, ".zst") == 0)
            text[DIGEST_TEXT_SIZE - 1] = '\0';
        if (digest_from_text(text, digest)) return entry;
    }
    return NULL;
}

int store_each(Store *store, StoreVisit visit, void *context, Error *error) {
    int result = 0;
    for (unsigned number = 0; result == 0 && number < SHARDS; number++) {
        Shard shard;
        Digest digest;
        if (shard_open(store, number, &shard, error) < 0) return -1;
        for (struct dirent *entry; result == 0 && (entry = shard_next(&shard, &digest));) {
            struct stat status;
            if (fstatat(shard.fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
                result = visit(context, &digest, (uint64_t)status.st_size, error);
        }
        closedir(shard.listing);
    }
    return result;
}

static int sweep_shard(Store *store, unsigned number, const StoreSweep *sweep, uint64_t *freed,
                       Error *error) {
    FD_AUTO lock = -1;
    Shard shard;
    Digest digest;
    if (store_lock(store, STORE_EXCLUSIVE, &lock, error) < 0) return -1;
    if (sweep->refresh(sweep->context, error) < 0) return -1;
    if (shard_open(store, number, &shard, error) < 0) return -1;
    int result = 0;
    for (struct dirent *entry; result == 0 && (entry = shard_next(&shard, &digest));) {
        struct stat status;
        if (sweep->is_needed(sweep->context, &digest)) continue;
        if (fstatat(shard.fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
            *freed += (uint64_t)status.st_size;
        if (unlinkat(shard.fd, entry->d_name, 0) != 0 && errno != ENOENT)
            result = error_errno(error, ERROR_SYSTEM, errno, "cannot remove %s", entry->d_name);
    }
    closedir(shard.listing);
    return result;
}

int store_sweep(Store *store, const StoreSweep *sweep, uint64_t *freed_bytes, Error *error) {
    uint64_t freed = 0;
    int result = 0;
    for (unsigned number = 0; result == 0 && number < SHARDS; number++)
        result = sweep_shard(store, number, sweep, &freed, error);
    if (freed_bytes) *freed_bytes = freed;
    return result;
}

typedef int (*NameVisit)(Store *store, const char *name, Error *error);

static int each_temporary(Store *store, NameVisit visit, Error *error) {
    int again = openat(store->temporary, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = again < 0 ? NULL : fdopendir(again);
    if (!listing) {
        if (again >= 0) close(again);
        return error_errno(error, ERROR_SYSTEM, errno, "cannot list the folder %s", "temporary");
    }
    int result = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(listing));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = visit(store, entry->d_name, error);
    closedir(listing);
    return result;
}

/* Give it a name in temporary/ that says so; 1 when it is missing. */
static int declare_dead(Store *store, int dir, const char *name, char dead[static DEAD_NAME_SIZE],
                        Error *error) {
    char unique[STORE_NAME_SIZE];
    store_temporary_name(store, unique);
    snprintf(dead, DEAD_NAME_SIZE, "%s%s", dead_prefix, unique);
    if (renameat(dir, name, store->temporary, dead) == 0) return 0;
    if (errno == ENOENT) return 1;
    return error_errno(error, ERROR_SYSTEM, errno, "cannot remove %s", name);
}

static int declare_leftover(Store *store, const char *name, Error *error) {
    char dead[DEAD_NAME_SIZE];
    if (strncmp(name, dead_prefix, strlen(dead_prefix)) == 0) return 0;
    return declare_dead(store, store->temporary, name, dead, error) < 0 ? -1 : 0;
}

int store_discard(Store *store, int dir, const char *name, Error *error) {
    char dead[DEAD_NAME_SIZE];
    int result = declare_dead(store, dir, name, dead, error);
    if (result != 0) return result < 0 ? -1 : 0;
    if (file_sync_dir(dir, error) < 0) return -1;
    return file_remove_tree(store->temporary, dead, error);
}

static int bury(Store *store, const char *name, Error *error) {
    if (strncmp(name, dead_prefix, strlen(dead_prefix)) != 0) return 0;
    return file_remove_tree(store->temporary, name, error);
}

int store_tidy(Store *store, Error *error) {
    FD_AUTO lock = -1;
    if (store_lock(store, STORE_EXCLUSIVE, &lock, error) < 0) return -1;
    /* Under the lock nothing in temporary/ belongs to the living; removing may take long, so it comes after.
     */
    if (each_temporary(store, declare_leftover, error) < 0 ||
        file_replace_tidy(store->dir, "proofs", error) < 0 ||
        file_replace_tidy(store->dir, "format", error) < 0)
        return -1;
    close(fd_take(&lock));
    return each_temporary(store, bury, error);
}

/* ---- durability ---- */

static int sync_shard(Store *store, const Digest *digest, Error *error) {
    char name[3];
    snprintf(name, sizeof name, "%02x", digest->bytes[0]);
    FD_AUTO fd = file_open_no_links(store->objects, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", name);
    return file_sync_dir(fd, error);
}

int store_sync(Store *store, const Digest *digests, size_t count, Error *error) {
    if (count > SYNC_EACH_MAX) return file_sync_all(store->dir, error);
    for (size_t i = 0; i < count; i++) {
        FD_AUTO fd = store_object_open(store, &digests[i], NULL, error);
        if (fd < 0) return -1;
        if (fsync(fd) != 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot make durable");
        if (sync_shard(store, &digests[i], error) < 0) return -1;
    }
    return 0;
}
