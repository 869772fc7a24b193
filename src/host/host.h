/* Host: carrying out orders on one host — a root directory, its lock, its ledger, and the steps of each
 * order.
 *
 *   PREPARE   fetch  check  stage  back_up  prove        the service runs on, untouched
 *   SWITCH    arm  drain  stop  final_copy  activate  start  probe  readmit
 *   CONFIRM   weight  confirm
 *   COMMIT    commit
 *   ADMIT     admit                                      blue-green: whoever was upgraded, out of traffic
 *   RETIRE    retire                                     blue-green: whoever was live; its service runs on
 *   ROLLBACK  drain  stop  set_aside  restore  activate  start  probe  readmit  discard
 *
 * Hooks of the package stand between them. Each step writes its intent in the ledger, acts idempotently, and
 * writes its evidence; killed anywhere, host_carry_out() with the same order goes on where it was. A step
 * that fails ends its order: the answer is remembered, and given again to whoever asks again.
 *
 * Blue-green: a host that is upgraded must be out of traffic already (check_out stands for drain), and is put
 * into it by ADMIT alone; after ROLLBACK it is out again. A live host has a ledger of its own for this.
 *
 * After ROLLBACK the same change may begin again with PREPARE.
 *
 * Calling order: host_open (takes the host's lock) → host_carry_out for each order → host_close. One thread a
 * host.
 */
#pragma once
#include "base/clock.h"
#include "base/error.h"
#include "host/deadline.h"
#include "host/watch.h"
#include "model/order.h"
#include "model/plan.h"
#include "package/progress.h"
#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

/* What the host tells while it works. Called in its own thread. */
typedef struct HostSay {
    /* "step.started", "step.done", "step.failed", …: with "time", "step" and what belongs to it. Takes over
     * `event`. */
    void (*event)(void *context, json_t *event);
    /* How far the step has come, in bytes or percent (total 100). Not evidence: may be dropped. */
    void (*progress)(void *context, const char *step, uint64_t done, uint64_t total);
    void *context;
} HostSay;

/* Where the package is when it is not there yet: brings plan->package.file, or says why not. */
typedef struct HostFetch {
    int (*fetch)(void *context, const ProgressWish *wish, Error *error); /* NULL: the file is there */
    void *context;
} HostFetch;

typedef struct HostSpec {
    const Plan *plan; /* of this host (plan_for_host); must outlive it */
    const char *change;
    const char *version;        /* the new one */
    const char *package_digest; /* that the package must have */
    const char *store;          /* folder of the restore points, absolute */
    bool settled; /* its journal knows how this host ended: what it did by itself meanwhile is not told again
                   */
    bool begun;   /* this change has had answers from here: a ledger of another change is refused */
    const char *const *guard; /* command line of its guard (guard.h), NULL-ended; NULL: it has none */
    Clock *clock;
    HostSay say;
    HostFetch fetch;
} HostSpec;

typedef struct Host Host;

/* Takes the lock of the root, making the folder when it is missing. ERROR_REFUSED names who holds
 * it, and its number is EWOULDBLOCK then. */
int host_open(const HostSpec *spec, Host **out, Error *error);
void host_close(Host *host); /* NULL is allowed */

/* 0: done. -1: the order failed, as data: `failure` says why. `cancel` makes it end early with
 * ERROR_INTERRUPTED where it can. */
int host_carry_out(Host *host, const Order *order, const atomic_bool *cancel, Error *failure);

/* Nobody confirmed it in time: back to the old release, without an order. Cut off, host_open() finishes it.
 */
int host_roll_back_by_itself(Host *host, Error *error);

/* Switched, and neither committed nor rolled back: someone must watch it. */
bool host_is_switched(const Host *host);
/* Its dead man's switch runs: nobody has confirmed it yet. */
bool host_is_armed(const Host *host);
/* Milliseconds until it has to roll back by itself; only while it is armed. */
int64_t host_left_ms(const Host *host, Deadline *deadline);
/* This change is over here: committed or rolled back. */
bool host_is_settled(const Host *host); /* a live one: no order is under way */
/* It rolled back by itself, because nobody confirmed it in time. */
bool host_rolled_back_by_itself(const Host *host);
/* A watch over the new version, begun. Caller frees; `cancel` must outlive it. */
Watch *host_watch(const Host *host, const atomic_bool *cancel);

/* Does the host at `root` know of `change`, as the one under way or the one last accepted? 1, 0, or -1 when
 * that cannot be read. */
int host_has_trace(const char *root, const char *change);

/* Has that change installed a release there, so that the host took its package? 1, 0, or -1. */
int host_has_staged(const char *root, const char *change);

/* What putting the data back to the exact copy would set aside: files changed since, and when that copy was
 * taken. */
typedef struct HostLoss {
    uint64_t files, bytes;
    char since[CLOCK_TEXT_SIZE];
} HostLoss;
/* ERROR_REFUSED when that change is not the one to be rolled back there. */
int host_loss(const char *root, const char *change, HostLoss *out, Error *error);
