/* Sample packages: keys, packages of a folder, and packages that pack_write would never write. */
#pragma once
#include "support/sample.h"

#include "package/envelope.h"
#include "package/install.h"
#include "package/pack.h"
#include "package/package.h"

enum { SAMPLE_PATH_SIZE = 160 };

static inline void sample_path(const TestFolder *folder, const char *name,
                               char out[static SAMPLE_PATH_SIZE]) {
    snprintf(out, SAMPLE_PATH_SIZE, "%s/%s", folder->path, name);
}

/* Make NAME.key and NAME.pub unless they are there, and load the private one. */
static inline Key *sample_key(const TestFolder *folder, const char *name) {
    char base[SAMPLE_PATH_SIZE], path[SAMPLE_PATH_SIZE + 8], id[KEY_ID_SIZE];
    sample_path(folder, name, base);
    snprintf(path, sizeof path, "%s.key", base);
    if (access(path, F_OK) != 0) assert_done(key_create(base, id, error));
    Key *key = NULL;
    assert_done(key_load_private(path, &key, error));
    return key;
}

static inline Trust *sample_trust(const TestFolder *folder, const char *name) {
    char path[SAMPLE_PATH_SIZE];
    const char *paths[] = {path};
    snprintf(path, sizeof path, "%s/%s.pub", folder->path, name);
    Trust *trust = NULL;
    assert_done(trust_load(paths, 1, 1, &trust, error));
    return trust;
}

/* Pack the folder `from` (a name in `folder`) as `to`, signed by the key "k". */
static inline int sample_try_pack(const TestFolder *folder, const char *from, const char *to, Error *error) {
    char directory[SAMPLE_PATH_SIZE], output[SAMPLE_PATH_SIZE];
    sample_path(folder, from, directory);
    sample_path(folder, to, output);
    KEY_AUTO key = sample_key(folder, "k");
    ManifestHead head = {.service = "sample", .version = "1.0"};
    PackSpec spec = {
        .directory = directory, .output = output, .head = &head, .keys = &key, .key_count = 1, .level = 3};
    return pack_write(&spec, NULL, error);
}

static inline void sample_pack(const TestFolder *folder, const char *from, const char *to) {
    assert_done(sample_try_pack(folder, from, to, error));
}

static inline int sample_open(const TestFolder *folder, const char *name, Package **out, Error *error) {
    char path[SAMPLE_PATH_SIZE];
    sample_path(folder, name, path);
    TRUST_AUTO trust = sample_trust(folder, "k");
    return package_open(path, trust, out, error);
}

/* A folder in the folder; the caller closes. */
static inline int sample_folder(const TestFolder *folder, const char *name) {
    assert_int_equal(mkdirat(folder->fd, name, 0755), 0);
    int fd = openat(folder->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* A package with just this manifest and these frames, signed by the key "k". */
static inline void sample_forge(const TestFolder *folder, const char *name, const char *manifest, size_t size,
                                const void *const *frames, const uint32_t *sizes, size_t count) {
    KEY_AUTO key = sample_key(folder, "k");
    SignatureList list = {.count = 0};
    assert_done(signature_list_add(&list, key, manifest, size, error));
    char *signatures = signature_list_text(&list);
    int out = openat(folder->fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int source = openat(folder->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(out >= 0 && source >= 0);
    EnvelopeWriter *writer = NULL;
    assert_done(envelope_writer_new(out, &writer, error));
    assert_done(envelope_write_head(writer, manifest, size, signatures, strlen(signatures), error));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pwrite(source, frames[i], sizes[i], 0), (ssize_t)sizes[i]);
        assert_done(envelope_write_frame(writer, source, 0, sizes[i], error));
    }
    assert_done(envelope_writer_end(writer, error));
    envelope_writer_free(writer);
    free(signatures);
    close(source);
    close(out);
}
