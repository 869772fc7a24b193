/* Install: a package's tree written into an empty folder, and read back.
 *
 * What is written: folders, files (decoded in parallel, whole blocks of zeros left as holes in sparse files),
 * links, metadata. Then every byte is read back from the file system and compared with the signed manifest.
 * Making it durable (file_sync_all) and giving it its name is the caller's: a folder is a release only after
 * both.
 */
#pragma once
#include "package/package.h"

/* `dir` must be empty and its owner's alone. On failure something may be left in it: remove it. `wish` may be
 * NULL; its total is the content's size. */
int install_tree(const Package *package, int dir, const ProgressWish *wish, Error *error);

/* What an installation needs of the file system: bytes in whole blocks of `block_size`, and inodes. Holes of
 * sparse files are counted as data, for they may be filled. */
typedef struct InstallSpace {
    uint64_t bytes;
    uint64_t inodes;
} InstallSpace;
InstallSpace install_space(const Tree *tree, uint64_t block_size);
