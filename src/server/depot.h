/* Depot: the packages that a controller gives to its hosts.
 *
 *   packages/<sha256>.part    being uploaded, piece after piece
 *   packages/<sha256>.whole   being verified: nobody writes to it any more
 *   packages/<sha256>         published: every digest and signature in it was verified, against the
 *                             controller's own trusted keys
 *
 * What is published is an event, "package.published" {sha256, size, name, service, version, digest,
 * replaces}; the list is the fold of them. A file name may be used again for another package of the same
 * service, as whoever builds one “latest.upk” after the other does: it means the newest from then on, and
 * `replaces` is the SHA-256 of the one that it meant before. Files are named by the SHA-256 of all their
 * bytes, so the same name always has the same bytes, and whoever fetches one can hold it against its name.
 * Any thread; lists are copied into the caller's arena.
 */
#pragma once
#include "base/arena.h"
#include "base/digest.h"
#include "base/error.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Depot Depot;

#define DEPOT_PACKAGE_MAX ((uint64_t)64 << 30) /* bytes */
enum { DEPOT_PIECE_MAX = 1 << 20, DEPOT_NAME_SIZE = 256 };

typedef struct DepotPackage {
    const char *sha256, *name, *service, *version;
    const char *digest;    /* of its manifest: names what is in it, whoever signed */
    const char *published; /* RFC 3339 */
    uint64_t size;
} DepotPackage;

typedef struct DepotList {
    DepotPackage *items; /* oldest first */
    size_t count;
} DepotList;

/* `state`: the controller's folder; its trust/ says who may sign. */
int depot_open(const char *state, Depot **out, Error *error);
void depot_close(Depot *depot); /* NULL is allowed */

void depot_fold(Depot *depot, const json_t *event); /* other types change nothing */

DepotList depot_list(Depot *depot, Arena *arena);
/* The newest one with this SHA-256; where there is none, with this digest, or this "SERVICE VERSION", or this
 * file name, in that order: nobody's name stands for what a package is. ERROR_INVALID when there is none. */
int depot_find(Depot *depot, Arena *arena, const char *what, DepotPackage *out, Error *error);

/* How much of it has come; 0 when nothing has. */
int depot_upload_size(Depot *depot, const char *sha256, uint64_t *out, Error *error);
/* The bytes at `offset`, which must be where the last piece ended: ERROR_REFUSED otherwise. At most
 * DEPOT_PIECE_MAX. */
int depot_upload(Depot *depot, const char *sha256, uint64_t offset, const void *bytes, size_t size,
                 Error *error);
/* Could a file have that name, and nobody take it for something else? ERROR_INVALID otherwise. */
int depot_check_name(const char *name, Error *error);
/* All of it has come: verify everything, then keep it. Takes as long as reading it. *event is what must be
 * written before anybody hears of it (a new reference; its "time" is the caller's). ERROR_INVALID for what is
 * no good package, which is removed, and where nothing has come; ERROR_REFUSED where it cannot be judged now,
 * or the name is that of another service's package. */
int depot_publish(Depot *depot, const char *sha256, const char *name, json_t **event, Error *error);

/* Open one that was published. Caller closes. */
int depot_open_file(Depot *depot, const char *sha256, int *fd, uint64_t *size, Error *error);
