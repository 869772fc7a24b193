/* Courier: the way from this host to its controller and back, over HTTPS with the host's own certificate.
 *
 * One connection, kept between errands; it belongs to one thread at a time. Whoever waits for work and
 * whoever reports have one each. What an errand says when it fails is for logs and for people; every failure
 * is the network's or the controller's, and the same errand may be tried again: all of them are idempotent.
 * ERROR_REFUSED is a controller that was reached and does not want
 * this; with EDQUOT as its number, that does not want it so soon. courier_must_join() tells the one that will
 * not mend itself: this host is no longer known there.
 *
 * A COURIER_PAUSE keeps a crowd from coming back all at once: it doubles from 1 s to 60 s, each time between
 * half and one and a half of that, as chance will have it.
 */
#pragma once
#include "agent/home.h"
#include "base/error.h"
#include "package/progress.h"
#include "trust/identity.h"
#include <jansson.h>
#include <stdatomic.h>

typedef struct Courier Courier;

/* `url`: "https://host:port". The identity is copied. `cancel` must outlive it; it ends an errand early. */
int courier_new(const char *url, const Identity *identity, const atomic_bool *cancel, Courier **out,
                Error *error);
/* The same, with the identity that stands in the home now. */
int courier_open(const Home *home, const char *url, const atomic_bool *cancel, Courier **out, Error *error);
void courier_free(Courier *courier); /* NULL is allowed */

enum { COURIER_PAUSE_LEAST_MS = 1000, COURIER_PAUSE_MOST_MS = 60000 };
/* How long to wait after the n-th failure in a row, from 1. */
int64_t courier_pause_ms(int failures);

/* The host is not known to the controller any more (revoked, removed, its certificate expired). */
bool courier_must_join(const Error *error);

/* ---- Joining: before there is an identity ---- */

typedef struct CourierInvitation {
    const char *url;
    const char *token; /* a secret: it goes into the body of one request */
    const char *fingerprint;
} CourierInvitation;
/* Redeem it with the request for a certificate: {"host", "certificate", "authority"}, a new reference. */
int courier_join(const CourierInvitation *invitation, const char *request_pem, json_t **out, Error *error);

/* ---- Errands; answers are new references ---- */

/* {"work": [{"change", "order"?, "cancel"}], "seen": text}. With the `seen` of the last answer the controller
 * waits up to `wait_ms` for something new; NULL when nothing came. */
int courier_work(Courier *courier, const char *seen, int64_t wait_ms, json_t **out, Error *error);
/* {"heard", "order"?, "cancel"} */
int courier_report(Courier *courier, const char *change, const json_t *reports, json_t **out, Error *error);
/* {"change", "version", "package_digest", "package": {"sha256", "size"}, "plan", "begun", "settled", "heard"}
 */
int courier_document(Courier *courier, const char *change, json_t **out, Error *error);
int courier_facts(Courier *courier, const json_t *facts, Error *error);
/* What there is to say of a task: task_board_check() has the words. ERROR_REFUSED: nobody waits for it. */
int courier_task(Courier *courier, const char *id, const json_t *word, Error *error);
/* {"certificate"} */
int courier_renew(Courier *courier, const char *request_pem, json_t **out, Error *error);

/* A package's bytes into `fd`, going on where an earlier attempt ended. ENOENT in error->number: the
 * controller does not have it. */
int courier_package(Courier *courier, const char *sha256, uint64_t size, int fd, Error *error);
