/* Assignment: what this host has to do for one change of a controller, and what it has to tell about it.
 *
 *   collect:  what the host did → outbox
 *   exchange: outbox → controller; what was heard is forgotten     ┐ assignment_turn() does both
 *   take:     an order → the host (its ledger does each order once) ┘
 *
 * It may die at any instruction: the order comes again, the host's ledger goes on where it was or gives its
 * answer again, and the outbox says what was not heard. A controller that cannot be reached stops nothing:
 * the host goes on with its order, watches what it switched, and rolls back by itself when nobody confirms it
 * in time.
 *
 * A host that cannot be opened (its root is not there, its ledger is another change's) is no reason to be
 * silent: the order that needs it is answered with that error. One whose lock is held is waited for, at most
 * ASSIGNMENT_BUSY_MS; assignment_take() fails with EWOULDBLOCK in the error's number meanwhile.
 *
 * Calling order: assignment_open → assignment_turn, again and again → assignment_close. One thread.
 */
#pragma once
#include "agent/outbox.h"
#include "engine/host_link_local.h"

enum { ASSIGNMENT_BUSY_MS = 15 * 60 * 1000 };

/* The seam to the controller. */
typedef struct AssignmentController {
    /* Bring reports: the answer is {"heard": number, "order"?: {"id", "kind", "restore_data"}, "cancel":
     * bool}, a new reference. It may take as long as the controller parks it. An error: it could not be
     * reached. */
    int (*exchange)(void *context, const json_t *reports, json_t **answer, Error *error);
    void *context;
} AssignmentController;

typedef struct AssignmentSpec {
    HostLinkLocalSpec host; /* exactly one */
    Error refusal;          /* kind not ERROR_NONE: why this host will do nothing for this change */
    int dir;                /* where the outbox stands; must outlive the assignment */
    int64_t heard;          /* the last report that the controller had before there was an outbox here */
    AssignmentController controller;
} AssignmentSpec;

typedef struct Assignment Assignment;

/* An error is the outbox's: without it nothing that is done here would be told. */
int assignment_open(const AssignmentSpec *spec, Assignment **out, Error *error);
void assignment_close(Assignment *assignment); /* waits for the order under way; NULL is allowed */

/* What a controller said: {"order"?: …, "cancel"}. ERROR_SYSTEM when it makes no sense. */
int assignment_take(Assignment *assignment, const json_t *said, Error *error);
/* Wait up to `wait_ms` for something to say, and keep it. A full disk under the outbox is ERROR_SYSTEM:
 * nothing is lost, collecting is tried again. */
int assignment_collect(Assignment *assignment, int64_t wait_ms, Error *error);
/* Is there anything that was not heard? */
bool assignment_has_reports(const Assignment *assignment);
/* Say what there is to say, and take what comes back. An error is the controller's silence or nonsense: the
 * caller lets some time pass, more each time, and tries again. */
int assignment_exchange(Assignment *assignment, Error *error);
/* Collect, then exchange. */
int assignment_turn(Assignment *assignment, int64_t wait_ms, Error *error);
/* The change is over on this host, or was never begun, and everything about it was heard. */
bool assignment_is_over(const Assignment *assignment);
