/* Facts: what this machine is. Read once; what cannot be known is 0, or "" for texts. */
#pragma once
#include "base/error.h"
#include <jansson.h>
#include <stdint.h>

typedef struct Facts {
    int cpu_count;             /* usable: affinity and cgroup (v2) quota, rounded down, at least 1 */
    uint64_t memory_total;     /* bytes; the cgroup's limit where that is less */
    uint64_t memory_available; /* bytes that may be had without swapping, within that limit */
    char os_id[64];            /* "debian" */
    char os_version[64];       /* "12" */
    char os_name[128];         /* "Debian GNU/Linux 12 (bookworm)" */
    char kernel[65];           /* "6.1.0-13-amd64" */
    char architecture[65];     /* as packages name it: "amd64", "arm64"; else what uname says */
    int64_t booted_ms;         /* since 1970 UTC */
} Facts;

typedef struct FactsDisk {
    char path[4096]; /* the nearest parent that exists; that is where was looked */
    uint64_t size, free;
    uint64_t inodes, inodes_free; /* inodes == 0: this file system has no fixed number of them */
} FactsDisk;

void facts_read(Facts *out);
/* `path` is absolute and need not exist yet. `free` is what unprivileged users may write. */
int facts_disk(const char *path, FactsDisk *out, Error *error);
/* A new reference; sorted keys, unknown facts left out. */
json_t *facts_to_json(const Facts *facts);
