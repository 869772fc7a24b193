/* Fetch: bringing a package to this host, however often the link breaks, and holding it against its digest.
 *
 * What came stays as "<sha256>.part" and is gone on with, also by the next agent; only a file whose bytes
 * have that SHA-256 gets the final name. That it is signed by a key this host trusts is for the step "check"
 * to see: a digest that the controller names proves no more than that this is what the controller means.
 */
#pragma once
#include "agent/home.h"
#include "package/progress.h"

typedef struct Fetch {
    const Home *home;
    const char *url; /* the controller's */
    const char *sha256;
    uint64_t size; /* bytes; more are refused */
} Fetch;

/* How long nothing may come before it fails for good. */
enum { FETCH_PATIENCE_MS = 30 * 60 * 1000, FETCH_MISSING_PATIENCE_MS = 60 * 1000 /* that it is not there */ };

/* A HostFetch: `context` is a Fetch. ERROR_SYSTEM for the network or the disk, ERROR_REFUSED for other bytes
 * than were promised, ERROR_INTERRUPTED. */
int fetch_package(void *context, const ProgressWish *wish, Error *error);
