/* Pack: making a package of a folder. The same folder, head, keys and level give the same bytes.
 *
 * The folder is described first (tree_scan), then its content is compressed, each file being held against the
 * stamp of the description: a file that changed in between is an error. Compressed frames wait in an unnamed
 * file beside the output until the manifest, which stands before them, can be written.
 */
#pragma once
#include "package/manifest.h"
#include "package/progress.h"
#include "trust/key.h"

typedef struct PackSpec {
    const char *directory;
    const char *output; /* must not lie in `directory` */
    const ManifestHead
        *head;        /* service and version at least; upkeep_package and content_size are filled in */
    Key *const *keys; /* private ones; at least one */
    size_t key_count;
    int level;      /* FRAME_LEVEL_MIN … FRAME_LEVEL_MAX */
    bool set_owner; /* write `uid` and `gid` for every entry instead of what was found */
    uid_t uid;
    gid_t gid;
    ProgressWish wish;
} PackSpec;

typedef struct PackResult {
    Digest digest; /* of the manifest: names the package */
    size_t entries;
    uint64_t tree_size, content_size, package_size; /* bytes */
} PackResult;

/* Nothing is left of a package that could not be finished. `result` may be NULL. */
int pack_write(const PackSpec *spec, PackResult *result, Error *error);
