/* DepotPlay: a depot in a TestFolder that trusts the key "k", and packages on their way into it. */
#pragma once
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "server/depot.h"
#include "support/sample_run.h"
#include "trust/keyring.h"

/* The folder trusts the key NAME.pub in it, as a controller or host does. */
static inline void depot_play_trust(const TestFolder *folder, const char *where, const char *name) {
    char ring[SAMPLE_PATH_SIZE], path[SAMPLE_PATH_SIZE], file[64], id[KEY_ID_SIZE];
    key_free(sample_key(folder, name));
    snprintf(file, sizeof file, "%s.pub", name);
    sample_path(folder, where, ring);
    sample_path(folder, file, path);
    assert_done(keyring_add(ring, path, id, error));
}

/* Bytes of a file, and their SHA-256. */
typedef struct DepotPiece {
    Buffer bytes;
    char sha256[DIGEST_TEXT_SIZE];
} DepotPiece;

static inline DepotPiece depot_play_file(const TestFolder *folder, const char *name) {
    DepotPiece piece = {0};
    assert_done(file_read(folder->fd, name, 64 << 20, &piece.bytes, error));
    Digest digest = digest_of(piece.bytes.data, piece.bytes.size);
    digest_to_text(&digest, piece.sha256);
    return piece;
}

static inline void depot_play_upload(Depot *depot, const char *sha256, const Buffer *bytes) {
    for (size_t at = 0; at < bytes->size; at += DEPOT_PIECE_MAX) {
        size_t size = bytes->size - at < DEPOT_PIECE_MAX ? bytes->size - at : DEPOT_PIECE_MAX;
        assert_done(depot_upload(depot, sha256, at, bytes->data + at, size, error));
    }
}
