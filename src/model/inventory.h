/* Inventory: the hosts of a fleet, as a fold over those events of the journal that belong to no change.
 *
 *     inventory_check(inventory, event)   may it be written? Ask before it is appended
 *     inventory_fold(inventory, event)    what is true now
 *     inventory_expand(plan, inventory)   the hosts that a plan selects
 *
 * Host
 *
 *   FROM                 TO         BY
 *   unknown              described  host.described    named by people, such as an imported inventory
 *   unknown, described   invited    host.invited      there is a join token for it
 *   revoked              invited    host.invited      it may come back
 *   any of these, joined joined     host.joined       it has a certificate
 *   joined               joined     host.invited      its next join token; it goes on meanwhile
 *   joined               joined     host.renewed      with its next certificate
 *   any of these         revoked    host.revoked      whichever of its certificates was meant
 *   any of these         unknown    host.removed      forgotten: the journal alone remembers it
 *
 * host.renewed, host.facts, host.revoked and host.removed of an unknown host say nothing: it was removed
 * while they were on their way. So does host.renewed of a host that is not joined.
 *
 * What the events carry, beside `type`, `time` and `host`:
 *
 *   host.invited    token_id, expires, labels, vars     host.joined     serial, not_after, address, labels,
 * vars host.renewed    serial, not_after                   host.revoked    why host.described  labels, vars
 * host.facts      facts
 *
 * Times are RFC 3339 in UTC. `labels` and `vars` are maps of texts: each key given is set, null removes it,
 * the others stay. The label `environment` says which environment a host belongs to, `groups` which groups
 * (model/selector.h). Of facts the last ones are kept.
 *
 * An inventory has memory of its own, as much as its hosts need, however many events there were. Facts are
 * shared with the event they came in: nobody may change either. Not for two threads at once while one folds.
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "model/plan.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    INVENTORY_HOSTS_MAX = 200000,
    INVENTORY_PAIRS_MAX = 256, /* labels of a host, and as many vars */
    INVENTORY_KEY_MAX = 128,   /* bytes, from 1 */
    INVENTORY_VALUE_MAX = 4096,
    INVENTORY_TEXT_MAX = 256,         /* of serials, addresses, token ids */
    INVENTORY_FACTS_MAX = 256 * 1024, /* bytes of their canonical text */
};

typedef enum InventoryState {
    INVENTORY_DESCRIBED,
    INVENTORY_INVITED,
    INVENTORY_JOINED,
    INVENTORY_REVOKED,
} InventoryState;

/* Everything it points to lives until the next event of this host is folded. Times are 0 when unknown. */
typedef struct InventoryHost {
    const char *name;
    InventoryState state;
    json_t *labels, *vars;    /* maps of texts; never NULL */
    char *token_id;           /* of the join token that is waiting for it, or NULL */
    int64_t token_expires_ms; /* of that token */
    int64_t joined_ms;        /* the last time */
    char *serial;             /* of its certificate, or NULL */
    int64_t not_after_ms;     /* of its certificate */
    char *address;            /* where it came from when it joined, or NULL */
    json_t *facts;            /* the last ones (host/host_facts.h), or NULL */
    int64_t facts_ms;         /* when they were reported */
    char *why;                /* it was revoked, or NULL */
} InventoryHost;

typedef struct Inventory Inventory;

Inventory *inventory_new(void);
void inventory_free(Inventory *inventory); /* NULL is allowed */

/* Could `event` be folded now? ERROR_INVALID when it breaks a limit or lacks what it needs; other types than
 * those above always may. */
int inventory_check(const Inventory *inventory, const json_t *event, Error *error);
/* One more event, in the journal's order; other types change nothing. ERROR_ATTENTION when it could never
 * have been written (inventory_check): then nothing has changed. */
int inventory_fold(Inventory *inventory, int64_t sequence, const json_t *event, Error *error);

int64_t inventory_sequence(const Inventory *inventory); /* of the last event folded; 0: none yet */
size_t inventory_count(const Inventory *inventory);
/* In constant time; NULL when it is unknown. */
const InventoryHost *inventory_host(const Inventory *inventory, const char *name);
/* All of them in the order of their names (bytes); the list is in the arena. */
typedef struct InventoryList {
    const InventoryHost **items;
    size_t count;
} InventoryList;
InventoryList inventory_list(const Inventory *inventory, Arena *arena);

const char *inventory_label(const InventoryHost *host, const char *key); /* NULL when it has none */
const char *inventory_environment(const InventoryHost *host); /* its label; NULL when it has none */
bool inventory_matches(const InventoryHost *host, const PairList *select);
const char *inventory_state_text(InventoryState state); /* "joined" */
/* What is known of it: name, state and, where known, labels, vars, token_id, token_expires, joined, serial,
 * not_after, address, facts, facts_time, why. New reference. */
json_t *inventory_host_to_json(const InventoryHost *host);

/* Settle an open plan (model/plan.h): each row that selects gives way to the hosts that match and are joined,
 * in the order of their names, with the row's root. Labels and vars of the inventory stand beneath a row's
 * own, also those of a host that a row names; what a row says wins. Nobody is there twice: a row that names a
 * host, then the first that selects it, has it. Unless a row selects by `environment` itself, it passes over
 * hosts that are labelled with another environment than the plan's.
 *
 * Refused with ERROR_INVALID: a row that matches nobody, and whatever plan_settle() refuses. `inventory` may
 * be NULL: then there is none, and a plan that selects hosts is refused. *out is in the arena and shares
 * parts with `plan`, which stays as it is. */
int inventory_expand(Arena *arena, const Plan *plan, const Inventory *inventory, Plan **out, Error *error);

static inline void inventory_cleanup(Inventory **inventory) { inventory_free(*inventory); }
#define INVENTORY_AUTO __attribute__((cleanup(inventory_cleanup))) Inventory *
