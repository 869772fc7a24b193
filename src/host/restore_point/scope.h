/* Scope: the paths that a restore point or a restore speaks for — files or folders, whole, relative to a
 * root. */
#pragma once
#include "base/error.h"
#include "package/tree.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct Scope {
    const char *const *paths;
    size_t count;
} Scope;

/* ERROR_INVALID for paths that are absolute, not UTF-8, lead upwards, or of which one holds another. */
int scope_check(const Scope *scope, Error *error);
/* Is `path` one of the paths or below one? */
bool scope_covers(const Scope *scope, const char *path);

/* ERROR_INVALID when a path itself is a symbolic link in `tree`: what it leads to would silently stay out. */
int scope_refuse_links(const Scope *scope, const Tree *tree, Error *error);

/* Scan every path into one finished tree; no link is followed on the way to it. `options->prefix` is set
 * here. With `above`, the folders that lead to the paths are listed too, where they exist. */
int scope_scan(int dir, const Scope *scope, const TreeScan *options, bool above, Tree **out, Error *error);

/* syncfs: everything written to the file systems that hold the root and the paths. */
int scope_sync(int dir, const Scope *scope, Error *error);
/* Do all paths that exist stand on the file system of `dir`? */
bool scope_is_one_device(int dir, const Scope *scope);
