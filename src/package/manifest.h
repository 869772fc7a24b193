/* Manifest: what a package is, what it needs, and everything in it.
 *
 * As text it is one JSON document, laid out so that it can be read a line at a time:
 *
 *   {…head…,"frames":[
 *   {"bytes":1200345,"sha256":"…","size":4194304},
 *   {"bytes":200345,"sha256":"…","size":604160}
 *   ],"entries":[
 *   {"mode":"0755","owner":"0:0","path":"bin","type":"directory"},
 *   {"mode":"0755","owner":"0:0","path":"bin/tool","sha256":"…","size":4798464,"type":"file"}
 *   ]}
 *
 * The head has the keys of ManifestHead in the order of their names; frames are those of package/frame.h,
 * entries those of package/tree.h. Signatures are over these exact bytes, and their SHA-256 names the
 * package.
 */
#pragma once
#include "model/plan.h"
#include "package/content.h"
#include "package/tree.h"

enum {
    MANIFEST_FORMAT = 1,
    MANIFEST_SIZE_MAX = 512 << 20, /* of the text; a package of TREE_ENTRIES_MAX ordinary entries fits */
    MANIFEST_HEAD_MAX = 1 << 20,
};

/* Where the content was built from; all optional. */
typedef struct ManifestBuild {
    const char *number, *commit, *tag, *time;
} ManifestBuild;

typedef struct ManifestOsList {
    PlanOs *items;
    size_t count;
} ManifestOsList;

typedef struct ManifestCommandList {
    PlanCommand *items;
    size_t count;
} ManifestCommandList;

/* What the package needs of a host; what is not said does not matter. */
typedef struct ManifestCompatibility {
    ManifestOsList os;       /* any one of them */
    StringList architecture; /* any one of them, as `uname -m` says (amd64, arm64 are understood as x86_64,
                                aarch64) */
    const char *kernel;      /* version range */
    ManifestCommandList commands; /* all of them */
    const char *from;             /* range of versions that it may upgrade; NULL: any */
} ManifestCompatibility;

/* A program run with this package's release as its working directory. */
typedef struct ManifestHook {
    StringList run; /* argv; the program is looked up from the release when its name has a slash */
    int64_t timeout_ms;
} ManifestHook;

typedef struct ManifestHooks { /* NULL: none */
    ManifestHook *prepare;     /* staged; the old version runs on */
    ManifestHook *before_stop; /* in the window, before the old version is stopped */
    ManifestHook *after_start; /* the new version was started and is not yet probed */
    ManifestHook *rollback;    /* the new version is stopped again, the old one not yet started */
} ManifestHooks;

typedef struct ManifestHead {
    int64_t upkeep_package;        /* MANIFEST_FORMAT */
    const char *service, *version; /* both are names (SCHEMA_NAME), safe in a path */
    ManifestBuild build;
    ManifestCompatibility compatibility;
    ManifestHooks hooks;
    StringList migrations; /* none in format 1 */
    int64_t content_size;  /* bytes of the content, all frames together */
} ManifestHead;

typedef struct Manifest {
    Arena *arena; /* of the head and the frames */
    ManifestHead head;
    Frame *frames;
    size_t frame_count;
    Tree *tree;
} Manifest;

/* The part of a head that people write, build, compatibility and hooks, from strict YAML. The texts live in
 * `arena`. `head` must be zeroed; its other members stay so. */
int manifest_read_details(Arena *arena, const char *path, ManifestHead *head, Error *error);
/* For editors: the JSON Schema of that file. New reference. */
json_t *manifest_details_schema(void);

/* Is this what manifest_parse() accepts as a head? `upkeep_package` and `content_size` are taken as right. */
int manifest_check_head(const ManifestHead *head, Error *error);
/* New reference. */
json_t *manifest_head_json(const ManifestHead *head);

/* Append the text. */
void manifest_write(const ManifestHead *head, const Frame *frames, size_t frame_count, const Tree *tree,
                    Buffer *out);
/* Check the whole: form, limits, the tree (finished), and that the frames are just those the content needs.
 * The caller frees. */
int manifest_parse(const char *text, size_t size, Manifest **out, Error *error);
void manifest_free(Manifest *manifest); /* NULL is allowed */
static inline void manifest_cleanup(Manifest **manifest) { manifest_free(*manifest); }
#define MANIFEST_AUTO __attribute__((cleanup(manifest_cleanup))) Manifest *
