/* Release: a package's tree installed on a host, and what the host remembers of it.
 *
 *   <root>/releases/<version>/                 the tree; complete and verified as soon as it has this name
 *   <root>/.upkeep/releases/<version>/record.json   how it is run: the plan of that host that installed it
 *   <root>/.upkeep/releases/<version>/tree     what was installed, a line an entry (package/tree.h)
 *   <root>/.upkeep/staging/                    unfinished work; emptied by whoever holds the host's lock
 *   <root>/current -> releases/<version>       moved by one rename; always names a complete release (I10)
 *
 * A record is written before its tree appears, so a release without a record is not one of ours. All
 * functions take the descriptor of the host's root; callers that change anything hold the host's lock.
 */
#pragma once
#include "base/arena.h"
#include "base/digest.h"
#include "base/error.h"
#include "model/plan.h"
#include "package/manifest.h"
#include "package/tree.h"
#include <jansson.h>
#include <stdint.h>

enum { RELEASE_VERSION_SIZE = 65 };

typedef struct Release {
    const char *version;
    Digest package;       /* of the package it came from */
    int64_t installed_ms; /* wall clock */
    const char *change;   /* that installed it */
    Plan *plan;           /* of this host: how it is run, probed and asked for its version */
    ManifestHooks hooks;
} Release;

/* What `current` names; "" when there is no such link. ERROR_ATTENTION when it is something else. */
int release_current(int root, char version[static RELEASE_VERSION_SIZE], Error *error);

/* ERROR_REFUSED when there is no record: that release was not installed by Upkeep. In the arena. */
int release_load(int root, const char *version, Arena *arena, Release *out, Error *error);

/* What the host at `path` runs: its version ("" when nothing is installed), and the digest of the package it
 * came from. */
int release_installed(const char *path, char version[static RELEASE_VERSION_SIZE], Digest *package,
                      Error *error);

/* Remember `release` and its tree, durably. */
int release_remember(int root, const Release *release, const Tree *tree, Error *error);
/* The tree as it was installed. Caller frees. */
int release_tree(int root, const char *version, Tree **out, Error *error);

/* Hold the installed tree against what was installed; *differences counts, *first (in the arena) shows a few.
 */
int release_drift(int root, const char *version, Arena *arena, size_t *differences, const char **first,
                  Error *error);

/* Is the tree there, under its name? */
int release_exists(int root, const char *version, Error *error);

/* A new empty folder for staging; *out is its descriptor. What an earlier attempt left is removed. */
int release_stage_begin(int root, const char *version, int *out, Error *error);
/* Make what was staged durable and give it its name. */
int release_stage_end(int root, const char *version, Error *error);

/* Point `current` at `version`, or at nothing (NULL): one rename, durable. */
int release_activate(int root, const char *version, Error *error);

/* Remove tree and record; refuses what `current` names. Missing is success. */
int release_remove(int root, const char *version, Error *error);

/* Versions with a record, the one installed last first, in the arena. */
typedef struct ReleaseList {
    const char **versions;
    size_t count;
} ReleaseList;
int release_list(int root, Arena *arena, ReleaseList *out, Error *error);
