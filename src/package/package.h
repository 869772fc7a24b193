/* Package: an opened .upk, its signatures checked before anything in it is believed.
 *
 * The file is opened once; everything is read from that descriptor, and the manifest that was verified is the
 * very copy that is parsed, so nobody can put other bytes in between. Frames are compared with the digests of
 * the signed manifest each time they are read.
 *
 *     package_open(path, trust, &package, …)          or package_open_untrusted(), only to look
 *     package_verify(…), install_tree(package, …)     install.h
 *     package_close(package)
 */
#pragma once
#include "package/manifest.h"
#include "package/progress.h"
#include "trust/trust.h"

enum {
    PACKAGE_WORKERS_MAX = 4, /* each takes 8 MiB: more would not keep the whole below 64 MiB */
};

typedef struct Package { /* read only */
    int fd;
    char *path;
    uint64_t size; /* of the file */
    Manifest *manifest;
    uint64_t *offsets; /* of each frame's bytes in the file */
    Digest digest;     /* of the manifest's bytes: names the package */
    bool trusted;
    SignatureList signatures;
    TrustReport report; /* zero when not trusted */
} Package;

/* ERROR_INVALID for anything that is no whole package or not signed as `trust` demands. Nothing of the
 * manifest is parsed before its signatures are verified. The caller closes. */
int package_open(const char *path, const Trust *trust, Package **out, Error *error);
/* For inspection only: nobody is asked for. */
int package_open_untrusted(const char *path, Package **out, Error *error);
void package_close(Package *package); /* NULL is allowed */
static inline void package_cleanup(Package **package) { package_close(*package); }
#define PACKAGE_AUTO __attribute__((cleanup(package_cleanup))) Package *

/* Read frame `index`, hold it against its digest and decode it into `content` (room for FRAME_SIZE), by way
 * of `bytes` (room for FRAME_BYTES_MAX). */
int package_read_frame(const Package *package, size_t index, FrameDecoder *decoder, void *bytes,
                       void *content, Error *error);

/* Every digest: of each frame, and of each file in them. `wish` may be NULL; its total is the content's size.
 */
int package_verify(const Package *package, const ProgressWish *wish, Error *error);

/* Add a signature to the package at `path`: it is verified as package_verify does, then rewritten beside
 * itself and renamed. `count_out` gets the number of signatures it then has. */
int package_sign(const char *path, const Key *key, const ProgressWish *wish, size_t *count_out, Error *error);
