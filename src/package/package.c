#include "package/package.h"

#include "base/cleanup.h"
#include "package/envelope.h"
#include "package/output.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_file(const char *path, Package *package, Error *error) {
    struct stat status;
    package->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (package->fd < 0 || fstat(package->fd, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open it");
    if (!S_ISREG(status.st_mode)) return error_set(error, ERROR_INVALID, "it is no regular file");
    package->size = (uint64_t)status.st_size;
    package->path = strdup(path);
    if (!package->path) abort();
    return 0;
}

static int read_package(Package *package, const Envelope *envelope, const Trust *trust, Error *error) {
    if (signature_list_parse(envelope->signatures, envelope->signatures_size, &package->signatures, error) <
        0)
        return -1;
    if (trust && trust_verify(trust, &package->signatures, envelope->manifest, envelope->manifest_size,
                              &package->report, error) < 0)
        return -1;
    package->trusted = trust != NULL;
    package->digest = digest_of(envelope->manifest, envelope->manifest_size);
    if (manifest_parse(envelope->manifest, envelope->manifest_size, &package->manifest, error) < 0) return -1;
    size_t count = package->manifest->frame_count;
    package->offsets = calloc(count + 1, sizeof *package->offsets);
    if (!package->offsets) abort();
    return envelope_find_frames(package->fd, package->size, package->manifest->frames, count,
                                package->offsets, error);
}

static int open_package(const char *path, const Trust *trust, Package **out, Error *error) {
    PACKAGE_AUTO package = calloc(1, sizeof *package);
    if (!package) abort();
    package->fd = -1;
    Envelope envelope = {0};
    int result = open_file(path, package, error);
    if (result == 0) result = envelope_read(package->fd, package->size, &envelope, error);
    if (result == 0) result = read_package(package, &envelope, trust, error);
    free(envelope.manifest);
    free(envelope.signatures);
    if (result < 0) return error_prefix(error, "the package %s", path);
    *out = pointer_take(&package);
    return 0;
}

int package_open(const char *path, const Trust *trust, Package **out, Error *error) {
    assert(trust);
    return open_package(path, trust, out, error);
}

int package_open_untrusted(const char *path, Package **out, Error *error) {
    return open_package(path, NULL, out, error);
}

void package_close(Package *package) {
    if (!package) return;
    if (package->fd >= 0) close(package->fd);
    manifest_free(package->manifest);
    free(package->offsets);
    free(package->path);
    free(package);
}

static int read_exactly(int fd, void *bytes, size_t size, uint64_t offset) {
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(fd, (char *)bytes + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) errno = EIO; /* cut off since it was opened */
        if (got <= 0) return -1;
        done += (size_t)got;
    }
    return 0;
}

int package_read_frame(const Package *package, size_t index, FrameDecoder *decoder, void *bytes,
                       void *content, Error *error) {
    const Frame *frame = &package->manifest->frames[index];
    if (read_exactly(package->fd, bytes, frame->bytes, package->offsets[index]) < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot read the package %s", package->path);
    if (frame_decode(decoder, frame, bytes, content, error) < 0)
        return error_prefix(error, "frame %zu of the package %s", index, package->path);
    return 0;
}

/* ---- One signature more ---- */

static int rewrite(const Package *package, const Envelope *envelope, Output *output, Error *error) {
    FREE_AUTO char *signatures = signature_list_text(&package->signatures);
    EnvelopeWriter *writer = NULL;
    if (envelope_writer_new(output->fd, &writer, error) < 0) return -1;
    int result = envelope_write_head(writer, envelope->manifest, envelope->manifest_size, signatures,
                                     strlen(signatures), error);
    for (size_t i = 0; i < package->manifest->frame_count && result == 0; i++)
        result = envelope_write_frame(writer, package->fd, package->offsets[i],
                                      package->manifest->frames[i].bytes, error);
    if (result == 0) result = envelope_writer_end(writer, error);
    envelope_writer_free(writer);
    return result;
}

static int sign_again(Package *package, const Envelope *envelope, const Key *key, Error *error) {
    Digest digest = digest_of(envelope->manifest, envelope->manifest_size);
    if (!digest_equal(&digest, &package->digest))
        return error_set(error, ERROR_REFUSED, "the package %s changed while it was verified", package->path);
    if (signature_list_add(&package->signatures, key, envelope->manifest, envelope->manifest_size, error) < 0)
        return -1;
    Output output;
    if (output_begin(&output, package->path, error) < 0) return -1;
    int result = rewrite(package, envelope, &output, error);
    return result == 0 ? output_commit(&output, error) : output_abort(&output);
}

int package_sign(const char *path, const Key *key, const ProgressWish *wish, size_t *count_out,
                 Error *error) {
    PACKAGE_AUTO package = NULL;
    if (package_open_untrusted(path, &package, error) < 0) return -1;
    assert(package);
    if (package_verify(package, wish, error) < 0) return -1;
    Envelope envelope = {0};
    if (envelope_read(package->fd, package->size, &envelope, error) < 0)
        return error_prefix(error, "the package %s", path);
    int result = sign_again(package, &envelope, key, error);
    free(envelope.manifest);
    free(envelope.signatures);
    if (result == 0) *count_out = package->signatures.count;
    return result;
}
