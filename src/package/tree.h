/* Tree: what a directory holds — every entry with type, mode, owner, size, digest and extended attributes.
 *
 * One description serves the package manifest, the record of an installed release, and the restore point.
 * Entries are sorted by path, bytewise; parents stand before what is in them; the root itself has no entry.
 * Written as text a tree is one JSON object a line (so that 50,000 entries never stand in memory as JSON at
 * once):
 *
 *   {"mode":"0755","owner":"0:0","path":"bin","type":"directory"}
 *   {"mode":"0644","owner":"0:0","path":"a.txt","sha256":"…","size":12,"type":"file"}
 *   {"path":"b.txt","target":"a.txt","type":"hardlink"}         target: an earlier file entry's path
 *   {"owner":"0:0","path":"l","target":"a.txt","type":"symlink"}
 *   … "sparse":true on files with holes; "xattrs":{"security.capability":"<base64>"} where there are any;
 *   a path or target that is not UTF-8 stands as "path_base64" / "target_base64".
 *
 * Untrusted text: tree_parse_line refuses absolute paths, empty parts, ".", "..", NUL, paths over 4,095
 * bytes, parts over 255, unknown types and keys, sizes over TREE_FILE_SIZE_MAX, modes beyond 07777, extended
 * attributes that are not part of a tree, and a path that does not come after the one before it; tree_finish
 * refuses duplicates, an entry whose folder is no directory of the tree, hard links to anything but an
 * earlier file, symbolic links that lead out of the tree (followed as the kernel would, over other links of
 * the tree), and sums over the limits.
 */
#pragma once
#include "base/arena.h"
#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TREE_FILE_SIZE_MAX  (UINT64_C(256) << 30)
#define TREE_TOTAL_SIZE_MAX (UINT64_C(1) << 40)
enum {
    TREE_ENTRIES_MAX = 2000000,
    TREE_PATH_MAX = 4095, /* bytes */
    TREE_LINE_MAX = 512 << 10,
    TREE_XATTRS_MAX = 64, /* of one entry, and their values' bytes in all: */
    TREE_XATTRS_SIZE_MAX = 256 << 10,
};

/* TREE_SPECIAL, a device, socket or FIFO, is found only by a scan with keep_special; it has no text. */
typedef enum TreeType { TREE_DIRECTORY, TREE_FILE, TREE_SYMLINK, TREE_HARDLINK, TREE_SPECIAL } TreeType;

/* Part of a tree are user.*, security.capability and POSIX ACLs; other attributes (the labels of this host's
 * security module, an overlay's own) belong to the place, not to the file, and are left alone. */

typedef struct TreeXattr {
    const char *name;
    const uint8_t *value;
    size_t size;
} TreeXattr;

bool tree_xattr_belongs(const char *name);
/* By name, as they stand in every entry. */
void tree_xattrs_sort(TreeXattr *xattrs, size_t count);

/* How a file looked when it was read: if all of it is the same later, so are the bytes (as git's index has
 * it). Not in the text; `changed_ns` == 0 means unknown. A scan reads a file only when the clock tick of its
 * last change is over, so a change after it was read always shows. */
typedef struct TreeStamp {
    uint64_t inode;
    int64_t modified_ns;
    int64_t changed_ns;
} TreeStamp;

typedef struct TreeEntry {
    const char *path;
    const char *target; /* symlink: its text; hardlink: path of the first name */
    const TreeXattr *xattrs;
    uint64_t size;
    TreeStamp stamp;
    Digest digest; /* files only */
    uint32_t xattr_count;
    uid_t uid;
    gid_t gid;
    uint16_t mode; /* permission bits, 07777 */
    uint8_t type;  /* TreeType */
    bool sparse;
} TreeEntry;

/* Both are sorted. */
bool tree_same_xattrs(const TreeEntry *a, const TreeEntry *b);

typedef struct Tree {
    Arena *arena; /* everything lives here */
    TreeEntry *entries;
    size_t count, capacity;
    uint64_t total_size; /* of all files, apparent */
    bool foreign_links;  /* links may lead anywhere, and an entry's folder need not be listed (restore points)
                          */
} Tree;

Tree *tree_new(void); /* empty; add entries in any order, then tree_finish() */
void tree_free(Tree *tree);
static inline void tree_cleanup(Tree **tree) { tree_free(*tree); }
#define TREE_AUTO __attribute__((cleanup(tree_cleanup))) Tree *

/* A zeroed entry at the end; strings put into it must live in tree->arena. */
TreeEntry *tree_add(Tree *tree);
/* Sort, sum up and check the whole (see above). ERROR_INVALID names the offending path. */
int tree_finish(Tree *tree, Error *error);
/* Binary search in a finished tree; NULL when there is no such path. */
TreeEntry *tree_find(const Tree *tree, const char *path);

/* Text, a line an entry. `size` excludes the newline. */
void tree_write_line(const TreeEntry *entry, Buffer *out);
int tree_parse_line(Tree *tree, const char *line, size_t size, Error *error);
/* All lines of a finished tree, each with its newline, less "sparse" (which says how a file lies on a disk,
 * not what it is): the digest of that text names the tree. */
Digest tree_digest(const Tree *tree);

/* Describe what is below `dir`; the result is finished. Sockets, devices and FIFOs are refused (or passed
 * over with skip_special). Files are hashed on all processors; those whose stamp equals `prior`'s entry of
 * the same path are not read again. A file that changes while it is read is read once more, then refused; one
 * that vanishes was never there. Several names of one file become hard links to the first of them. `options`
 * may be NULL. */
typedef struct TreeScan {
    const Tree *prior;  /* may be NULL */
    const char *prefix; /* scan only this entry of `dir` (a file, link or folder, itself included); NULL: all.
                         * Paths in the result begin with it, its parents are not listed, no link is followed
                         * on the way to it; when it is missing the result is empty. Needs foreign_links. */
    bool skip_special;
    bool keep_special;  /* as TREE_SPECIAL */
    bool stamps;        /* keep TreeStamps in the result */
    bool unread;        /* do not read files: those without an equal stamp in `prior` keep a zero digest */
    bool quick;         /* unread, and no extended attributes either */
    bool foreign_links; /* as in Tree: for what is live, not packaged */
    const atomic_bool *cancel; /* ERROR_INTERRUPTED once true; may be NULL */
} TreeScan;
int tree_scan(int dir, const TreeScan *options, Tree **out, Error *error);

/* Hold what is on disk below `dir` against `tree`. Each difference is told to `on_difference` (may be NULL)
 * in order of path, `what` being a message id: "missing", "unexpected", "type", "size", "content", "target",
 * "mode", "owner", "attributes". *count_out is their number. `quick` compares types, targets, modes, owners
 * and sizes; else every byte is read. Owners count only when we are root; times and sparseness never do. */
typedef void (*TreeDifference)(void *context, const char *path, const char *what);
int tree_compare(int dir, const Tree *tree, bool quick, TreeDifference on_difference, void *context,
                 size_t *count_out, Error *error);

/* Fill the empty `dir` in this order: tree_make_folders (mode 0700 for now); the caller writes the files,
 * while there is no link yet to be led astray by; tree_make_links (hard and symbolic); tree_set_metadata,
 * children before parents: chown, chmod, xattrs, times — chown clears set-uid bits and capabilities. */
int tree_make_folders(int dir, const Tree *tree, Error *error);
int tree_make_links(int dir, const Tree *tree, Error *error);
/* Owners are set only when we are root; modified_ns == 0 gives the fixed time TREE_TIME_S. */
int tree_set_metadata(int dir, const Tree *tree, Error *error);
/* The same of one file or folder that is open, and only its time. */
int tree_set_metadata_of(int fd, const TreeEntry *entry, Error *error);
int tree_set_time_of(int fd, const TreeEntry *entry, Error *error);
#define TREE_TIME_S 315532800 /* 1980-01-01: the time stamped on entries that carry none */
