/* HostFacts: the document a host of a fleet reports about itself (the event host.facts, model/inventory.h).
 *
 *     {"os": {"id": "debian", "version": "12", "name": "Debian GNU/Linux 12 (bookworm)"},
 *      "kernel": "6.1.0-13-amd64", "architecture": "amd64", "hostname": "web1", "address": "10.0.0.1",
 *      "cpu": {"cores": 4, "model": "…"}, "memory": {"total_bytes": 8317624320},
 *      "disks": [{"path": "/", "type": "ext4", "total_bytes": 21474836480}],
 *      "tools": {"openssl": "3.0.17", "java": null},
 *      "releases": [{"service": "shop", "root": "/srv/shop", "version": "2.0", "previous": "1.0",
 *                    "change": "CHG-2026-0003", "installed": "2026-11-21T20:15:00.000Z"}],
 *      "now": {"memory_available_bytes": 1234, "booted": "…", "disks": {"/": {"free_bytes": 1234}}}}
 *
 * What cannot be known is left out. A tool that is not there is left out too; one that is there and does not
 * say its version is null. A root with nothing installed is left out; one that cannot be read is
 * {"root", "error", "error_zh"}. What changes all the time stands in "now" and nowhere else, so the digest of
 * the rest is the same until something changed: then only is it worth a report.
 *
 * Disks are those of file systems on this machine, one a device, at most HOST_FACTS_DISKS_MAX, sorted by
 * path. Network file systems are not touched: to look at one whose server is gone takes forever. Where a file
 * system has no size of its own (zfs), the disk has no total_bytes.
 */
#pragma once
#include "base/digest.h"
#include <jansson.h>
#include <stdatomic.h>
#include <stddef.h>

enum { HOST_FACTS_DISKS_MAX = 64, HOST_FACTS_ROOTS_MAX = 64 };

typedef struct HostFactsSpec {
    const char *const *roots; /* of services; those past HOST_FACTS_ROOTS_MAX are not looked at */
    size_t root_count;
    const char *address; /* of this host, as its controller should know it, or NULL */
    const char *path;    /* PATH where tools are looked for; NULL: as for any program (base/process.h) */
    const char *proc;    /* NULL: "/proc"; for disks and the model of the processor */
    const atomic_bool *cancel; /* end tools early; may be NULL */
} HostFactsSpec;

/* Asks every tool in turn, which takes a second, and at worst some seconds for each. Cannot fail: what cannot
 * be found out is unknown. New reference. */
json_t *host_facts(const HostFactsSpec *spec);
/* Of all but "now". */
Digest host_facts_digest(const json_t *facts);
