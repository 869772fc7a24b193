/* Fleet: all that a controller is in charge of — its hosts, its packages, its changes — and the one place
 * where it writes about them.
 *
 * The journal is the truth: opening folds it, fleet_write() appends to it and folds what was appended.
 * Changes that are not over have a Course each, with an engine; what there is to say of all of them, and
 * those that are over, are in a Catalogue.
 *
 * Calling order: fleet_open → fleet_set_server → fleet_begin → fleet_stop (engines leave) → fleet_close.
 * Everything in between from any thread.
 */
#pragma once
#include "base/arena.h"
#include "base/clock.h"
#include "engine/change.h"
#include "model/inventory.h"
#include "server/course.h"
#include "server/depot.h"
#include "server/task_board.h"
#include "wire/server.h"

typedef struct Fleet Fleet;

enum { FLEET_COURSES_MAX = 64 /* changes under way at one time */ };

/* `state`: the controller's folder, which exists. */
int fleet_open(const char *state, Clock *clock, Fleet **out, Error *error);
void fleet_set_server(Fleet *fleet, Server *server); /* NULL: parked requests cannot be answered */
void fleet_begin(Fleet *fleet);                      /* the engines of changes that are not over */
void fleet_stop(Fleet *fleet);
void fleet_close(Fleet *fleet); /* NULL is allowed */

/* Changes are numbered from there on at least; before fleet_begin(). Of a journal that was restored hosts may
 * remember changes that it has lost: an order with an id that they know is answered from their ledgers. */
void fleet_number_changes_from(Fleet *fleet, int64_t first);

Clock *fleet_clock(const Fleet *fleet);
Depot *fleet_depot(const Fleet *fleet);

/* Who hears every event that is written from now on, whoever writes it, in the journal's order and each once;
 * in a thread for that, until fleet_close(). At most one. */
typedef void (*FleetEventHeard)(void *context, int64_t sequence, const json_t *event);
int fleet_listen(Fleet *fleet, FleetEventHeard heard, void *context, Error *error);

/* ---- writing */

/* Append one event (taken over); "time" is set here. Of those that the inventory knows ERROR_INVALID says
 * what is wrong with it, and nothing is written. */
int fleet_write(Fleet *fleet, json_t *event, Error *error);

/* ---- hosts */

/* The inventory, until fleet_inventory_end(): look quickly. */
const Inventory *fleet_inventory(Fleet *fleet);
void fleet_inventory_end(Fleet *fleet);
bool fleet_is_joined(Fleet *fleet, const char *host);

/* {"work": [{"change", "order"?, "cancel"}], "changes": [id, …], "tasks"?: [{"id", "task"}], "seen": text}:
 * what waits for the host, those changes it takes part in that are not over, and a name for this answer. A
 * new reference. */
json_t *fleet_work(Fleet *fleet, const char *host);
/* A parked poll of that host: answer it as soon as there is something else than `seen` (may be NULL). */
void fleet_park_poll(Fleet *fleet, const char *host, const char *seen, ServerTicket ticket);
/* What the host says of itself; borrowed until the next facts of it, and not to be changed. What is known
 * already is not written again. As for reports of changes that are over: ERROR_REFUSED, and EDQUOT in
 * error->number, when this host has filled too much of the journal in so short a time. */
int fleet_take_facts(Fleet *fleet, const char *host, json_t *facts, Error *error);
/* Take reports of a host. *heard is the last number that stands in the journal, *last the highest of these.
 */
int fleet_report(Fleet *fleet, const char *change, const char *host, const json_t *reports, int64_t *heard,
                 int64_t *last, Error *error);
/* A parked report: answer it as soon as everything up to `last` stands in the journal. */
void fleet_park_report(Fleet *fleet, const char *change, const char *host, int64_t last, ServerTicket ticket);
/* What the host must know of a change, with "package": {"sha256", "size"}. */
int fleet_document(Fleet *fleet, const char *change, const char *host, json_t **out, Error *error);

/* ---- tasks of single hosts (server/task_board.h) */

typedef struct FleetTask {
    const char *host, *by;
    const json_t *task; /* task_to_json() */
} FleetTask;
/* Ask it: the host's poll carries it off. ENOENT in error->number: there is no such host. */
int fleet_ask(Fleet *fleet, const FleetTask *asked, char id[static TASK_ID_SIZE], Error *error);
/* The host has the last answer about work; it is out of the fleet. */
void fleet_tasks_arrived(Fleet *fleet, const char *host);
void fleet_tasks_drop(Fleet *fleet, const char *host);
/* How it stands: task_board_look(). A new reference; NULL: it is not known here (any more). */
json_t *fleet_task(Fleet *fleet, const char *host, const char *id);
/* A parked look at it: answer it as soon as there is something newer than `revision`. */
void fleet_park_task(Fleet *fleet, const char *host, const char *id, int64_t revision, ServerTicket ticket);
/* What the host says of it (borrowed, made harmless). ENOENT in error->number: nobody waits for that. */
int fleet_tell_task(Fleet *fleet, const char *host, const char *id, json_t *word, Error *error);

/* ---- changes */

typedef struct FleetOpening {
    const char *text;    /* of the plan, YAML */
    const char *file;    /* its name, for errors and the journal */
    const char *package; /* depot_find(); NULL: by the name of the plan's package.file */
    const char *service,
        *version; /* only to look: of a package that is not published yet; NULL: it must be */
    const char *by;
    bool prepare_only;
} FleetOpening;
/* Compile the plan against the inventory, without opening anything: the plan with all of its hosts, and its
 * package. In the arena. */
int fleet_compile(Fleet *fleet, const FleetOpening *opening, Arena *arena, Plan **plan, DepotPackage *package,
                  Error *error);
/* Open a change and begin it; one of the same plan that is not over is taken up instead. */
int fleet_open_change(Fleet *fleet, const FleetOpening *opening, char id[static CHANGE_ID_SIZE],
                      Error *error);
/* Append a control ("pause", …) and see to it that somebody obeys. */
int fleet_control(Fleet *fleet, const char *change, const char *verb, const char *by, const char *why,
                  const json_t *fields, Error *error);

/* All of them, oldest first. The list is the arena's, its texts stand until fleet_close(). */
int fleet_changes(Fleet *fleet, Arena *arena, ChangeList *out, Error *error);
int fleet_check_change(Fleet *fleet, const char *change, Error *error); /* ERROR_INVALID: there is none */
/* Do something with the state of a change while nobody changes it. ERROR_INVALID when there is none. */
typedef int (*FleetLook)(void *context, const Rollout *rollout, Error *error);
int fleet_look(Fleet *fleet, const char *change, FleetLook look, void *context, Error *error);
/* Events after `after`, of `change` or (NULL) all. */
int fleet_read(Fleet *fleet, int64_t after, const char *change, JournalVisit visit, void *context,
               Error *error);
/* The same as they are stored, with their hashes. */
int fleet_rows(Fleet *fleet, int64_t after, const char *change, JournalRowVisit visit, void *context,
               Error *error);
/* The last sequence number and its hash. */
int fleet_head(Fleet *fleet, int64_t *sequence, Digest *hash, Error *error);
/* Verify the whole chain. */
int fleet_verify(Fleet *fleet, int64_t *count, Error *error);

typedef struct FleetCounts {
    size_t hosts, joined, courses;
    int64_t sequence; /* of the journal's last event */
} FleetCounts;
FleetCounts fleet_counts(Fleet *fleet);
