#include "host/restore_point/store_proofs.h"
#include "base/cleanup.h"
#include "base/file.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { HEADER_SIZE = 16, RECORD_SIZE = 72, CHECKED_SIZE = 64, CAPACITY_MIN = 1024 };
static const char header[HEADER_SIZE] = "upkeep-proofs 1\n";
#define LOG_SIZE_MAX (UINT64_C(1) << 30)

static uint64_t fnv1a(const uint8_t *bytes, size_t size) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++) hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static void put_number(uint8_t *at, uint64_t number) {
    number = htole64(number);
    memcpy(at, &number, sizeof number);
}

static uint64_t get_number(const uint8_t *at) {
    uint64_t number;
    memcpy(&number, at, sizeof number);
    return le64toh(number);
}

static void encode(const StoreProof *proof, uint8_t record[static RECORD_SIZE]) {
    memcpy(record, proof->digest.bytes, DIGEST_SIZE);
    put_number(record + 32, proof->stamp.inode);
    put_number(record + 40, proof->stamp.size);
    put_number(record + 48, (uint64_t)proof->stamp.modified_ns);
    put_number(record + 56, (uint64_t)proof->stamp.changed_ns);
    put_number(record + 64, fnv1a(record, CHECKED_SIZE));
}

static bool decode(const uint8_t record[static RECORD_SIZE], StoreProof *out) {
    if (get_number(record + 64) != fnv1a(record, CHECKED_SIZE)) return false;
    memcpy(out->digest.bytes, record, DIGEST_SIZE);
    out->stamp = (StoreStamp){get_number(record + 32), get_number(record + 40),
                              (int64_t)get_number(record + 48), (int64_t)get_number(record + 56)};
    return out->stamp.inode != 0;
}

/* The slot of `digest`, or the free one where it would go. SHA-256 is uniform: its first bytes are the hash.
 */
static StoreProof *slot_of(const StoreProofs *proofs, const Digest *digest) {
    uint64_t hash;
    memcpy(&hash, digest->bytes, sizeof hash);
    size_t mask = proofs->capacity - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        StoreProof *slot = &proofs->slots[i];
        if (slot->stamp.inode == 0 || digest_equal(&slot->digest, digest)) return slot;
    }
}

static void grow(StoreProofs *proofs) {
    StoreProofs larger = {.count = proofs->count,
                          .capacity = proofs->capacity ? 2 * proofs->capacity : CAPACITY_MIN};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (!larger.slots) abort();
    for (size_t i = 0; i < proofs->capacity; i++)
        if (proofs->slots[i].stamp.inode != 0) *slot_of(&larger, &proofs->slots[i].digest) = proofs->slots[i];
    free(proofs->slots);
    *proofs = larger;
}

const StoreStamp *store_proofs_find(const StoreProofs *proofs, const Digest *digest) {
    if (proofs->capacity == 0) return NULL;
    const StoreProof *slot = slot_of(proofs, digest);
    return slot->stamp.inode != 0 ? &slot->stamp : NULL;
}

void store_proofs_put(StoreProofs *proofs, const StoreProof *proof) {
    if (proof->stamp.inode == 0) return;
    if (4 * (proofs->count + 1) > 3 * proofs->capacity) grow(proofs);
    StoreProof *slot = slot_of(proofs, &proof->digest);
    if (slot->stamp.inode == 0) proofs->count++;
    *slot = *proof;
}

void store_proofs_free(StoreProofs *proofs) {
    free(proofs->slots);
    *proofs = (StoreProofs){0};
}

int store_proofs_load(StoreProofs *proofs, int dir, const char *name, Error *error) {
    FD_AUTO fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return 0;
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", name);
    uint8_t records[256 * RECORD_SIZE];
    off_t offset = HEADER_SIZE;
    if (pread(fd, records, HEADER_SIZE, 0) != HEADER_SIZE || memcmp(records, header, HEADER_SIZE) != 0)
        return 0;
    while ((uint64_t)offset < LOG_SIZE_MAX) {
        ssize_t got = pread(fd, records, sizeof records, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot read %s", name);
        size_t whole = (size_t)got / RECORD_SIZE;
        for (size_t i = 0; i < whole; i++) {
            StoreProof proof;
            if (decode(records + i * RECORD_SIZE, &proof)) store_proofs_put(proofs, &proof);
        }
        if (whole == 0) break;
        offset += (off_t)(whole * RECORD_SIZE);
    }
    return 0;
}

static void encode_all(const StoreProof *proofs, size_t count, Buffer *out) {
    for (size_t i = 0; i < count; i++) {
        uint8_t record[RECORD_SIZE];
        encode(&proofs[i], record);
        buffer_append(out, record, sizeof record);
    }
}

int store_proofs_append(int dir, const char *name, const StoreProof *added, size_t count, Error *error) {
    FD_AUTO fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct stat status;
    if (fd < 0 || flock(fd, LOCK_EX) != 0 || fstat(fd, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", name);
    uint64_t size = (uint64_t)status.st_size;
    BUFFER_AUTO bytes = {0};
    /* What a dead writer left half at the end is written over. */
    uint64_t end = size < HEADER_SIZE ? 0 : size - (size - HEADER_SIZE) % RECORD_SIZE;
    if (end == 0) buffer_append(&bytes, header, HEADER_SIZE);
    encode_all(added, count, &bytes);
    if (lseek(fd, (off_t)end, SEEK_SET) < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", name);
    if (file_write_all(fd, bytes.data, bytes.size, error) < 0)
        return error_prefix(error, "cannot write %s", name);
    return 0;
}

int store_proofs_replace(int dir, const char *name, const StoreProof *kept, size_t count, Error *error) {
    BUFFER_AUTO bytes = {0};
    buffer_append(&bytes, header, HEADER_SIZE);
    encode_all(kept, count, &bytes);
    return file_replace(dir, name, bytes.data, bytes.size, 0600, error);
}

bool store_stamp_equal(const StoreStamp *a, const StoreStamp *b) {
    return a->inode == b->inode && a->size == b->size && a->modified_ns == b->modified_ns &&
           a->changed_ns == b->changed_ns;
}
