/* HostRoom: what the steps of one host share. Private to host*.c. */
#pragma once
#include "base/arena.h"
#include "host/host.h"
#include "host/ledger.h"
#include "host/parts.h"
#include "host/release.h"
#include "host/restore_point/restore_point.h"
#include "host/restore_point/store.h"

struct Host {
    HostSpec spec;
    Arena *arena;
    int root, lock;
    int upkeep; /* <root>/.upkeep */
    Ledger ledger;
    bool live;     /* blue-green: it serves, and is not upgraded; the ledger is ledger_load_live() */
    Release old;   /* of ledger.old_version; `version` NULL: none */
    Release fresh; /* the one this change brings, once it is staged; `version` NULL before */
    /* of the order under way: */
    Store *store;        /* open once host_read_point() was called */
    RestorePoint *point; /* the one last read, with its trees */
    RestorePoint *aside; /* the one just taken of what stands there; NULL: none */
    const Order *order;
    const atomic_bool *cancel;
    const char *step;
    json_t *detail; /* evidence that the step leaves in its "step.done" */
};

typedef struct HostStep {
    const char *name;
    /* Does this order need it here? NULL: always. */
    bool (*applies)(const Host *host);
    /* What will be done, as a command line to read, or NULL. In host->arena. */
    const char *(*describe)(const Host *host);
    /* What the ledger must know before it acts. NULL: only its name. */
    void (*intend)(Host *host);
    int (*run)(Host *host, Error *error);
} HostStep;

/* Each ended by a row without a name. */
extern const HostStep host_steps_prepare[], host_steps_switch[], host_steps_confirm[], host_steps_commit[],
    host_steps_rollback[], host_steps_admit[], host_steps_retire[];

void host_progress(void *host, uint64_t done, uint64_t total); /* a callback of long work */
void host_percent(void *host, int percent);

/* How the old and the new version are run. */
ServiceContext host_service_new(const Host *host);
ServiceContext host_service_old(const Host *host); /* only where there is an old release */
bool host_has_old(const Host *host);
/* Is its dead man's switch armed, and is there a guard to start for it? */
bool host_is_guarded(const Host *host);

/* The parts of a restore point of this host. `with_release`: the old release and its record too. */
size_t host_parts(const Host *host, bool with_release, RestorePointPart parts[static PARTS_MAX]);
/* A spec of the host's names; id, kind, parts and prior are the caller's. */
RestorePointSpec host_point_spec(const Host *host, RestorePointKind kind, const RestorePointPart *parts,
                                 size_t count);

/* host->store and host->point: the point `id` with its trees, read once for all steps of an order. NULL: no
 * point. `digest` is what the ledger says of it; ERROR_REFUSED when it is another point. */
int host_read_point(Host *host, const char *id, const char *digest, Error *error);
/* The digest of a point, for the ledger. In host->arena. */
const char *host_point_digest(const Host *host, const RestorePoint *point);

/* Take (or find, when an earlier attempt was cut off) and prove; a point whose proof fails is taken once more
 * without any prior. *out is NULL where the spec counts differences and there are none. Leaves its evidence
 * in host->detail. Caller frees. */
int host_take_and_prove(Host *host, Store *store, const RestorePointSpec *spec, RestorePoint **out,
                        Error *error);

/* Hooks of the new package (host_hook.c): argv lists, run in the release's folder as the service's user. */
bool host_has_hook_prepare(const Host *host);
bool host_has_hook_before_stop(const Host *host);
bool host_has_hook_after_start(const Host *host);
bool host_has_hook_rollback(const Host *host);
int host_run_hook_prepare(Host *host, Error *error);
int host_run_hook_before_stop(Host *host, Error *error);
int host_run_hook_after_start(Host *host, Error *error);
int host_run_hook_rollback(Host *host, Error *error);

/* Traffic (host_traffic.c): out of the balancer before the service stops, back once it was probed. */
bool host_has_traffic(const Host *host);
bool host_drains(const Host *host);
bool host_comes_back(const Host *host);
const char *host_describe_drain(const Host *host);
int host_run_drain(Host *host, Error *error);
const char *host_describe_readmit(const Host *host);
int host_run_readmit(Host *host, Error *error);
bool host_has_weight(const Host *host); /* less than the whole, until it is confirmed */
const char *host_describe_weight(const Host *host);
int host_run_weight(Host *host, Error *error);
/* Blue-green: it is switched while it is out of traffic already, and stays out. */
bool host_is_idle(const Host *host);
int host_run_check_out(Host *host, Error *error);
/* Of a live host: is no other change under way in its own ledger? */
int host_check_own(const Host *host, Error *error);
/* The same for ROLLBACK. */
bool host_drains_back(const Host *host);
void host_intend_drain_back(Host *host);
int host_run_drain_back(Host *host, Error *error);
bool host_readmits_old(const Host *host);
const char *host_describe_readmit_old(const Host *host);
int host_run_readmit_old(Host *host, Error *error);
