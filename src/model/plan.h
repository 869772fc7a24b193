/* Plan: the YAML that people write, compiled into an immutable, checked document with a digest.
 *
 * plan_compile() reads YAML, refuses what it does not know (with line and column), fills in every default and
 * checks what the parts say about each other. plan_to_json() writes the compiled plan canonically;
 * plan_from_json() reads it back — the engine runs only that. The plan's digest is the digest of that
 * canonical text with the digest of the package in it: a changed plan or a changed package is another digest.
 *
 * Where a controller's inventory knows the hosts, a plan may select them by label, and use variables that
 * stand in the inventory. Such a plan is open until its hosts are known:
 *
 *     plan_read() or plan_read_json()     all that can be said without the hosts
 *     inventory_expand()                  names the hosts (model/inventory.h), and settles the plan
 *     plan_settle()                       default stages, and all that is checked of hosts and stages
 *
 * plan_compile() and plan_from_json() read and settle: a plan that selects hosts is refused by them.
 *
 * Strings may name ${host.name}, ${service.name}, ${service.root}, ${package.version} and ${vars.NAME};
 * plan_for_host() replaces them for one host. Everything lives in the arena given.
 */
#pragma once
#include "base/arena.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/node.h"
#include "model/schema.h"
#include <jansson.h>

typedef struct PlanProcess {
    StringList command;
    PairList env;
    const char *stop_signal;
    int64_t stop_timeout_ms;
    const char *log; /* relative to the host's root */
} PlanProcess;

typedef struct PlanCommands {
    StringList start, stop, status;
    int64_t timeout_ms; /* for each of them */
} PlanCommands;

typedef struct PlanRun { /* exactly one is set */
    PlanProcess *process;
    const char *systemd;
    PlanCommands *commands;
} PlanRun;

typedef struct PlanHttp {
    const char *url;
    int64_t status;   /* 0: any 2xx or 3xx */
    const char *body; /* text the body must contain, or NULL */
    int64_t timeout_ms;
} PlanHttp;

typedef struct PlanTcp {
    const char *address; /* host:port */
    int64_t timeout_ms;
} PlanTcp;

typedef struct PlanCommand {
    StringList run;
    const char *version; /* a range the version in the output must be in, or NULL */
    const char *regex;   /* how to find it: first group; NULL: the first thing that looks like one */
    int64_t timeout_ms;
} PlanCommand;

typedef struct PlanVersionProbe { /* http + json, or command */
    const char *http;
    const char *json; /* RFC 6901 pointer */
    StringList command;
    const char *regex;
    int64_t timeout_ms;
} PlanVersionProbe;

typedef struct PlanHealth {
    const char *name;
    PlanHttp *http; /* exactly one of the three */
    PlanTcp *tcp;
    PlanCommand *command;
    int64_t every_ms;
    int64_t healthy_after;
    int64_t deadline_ms;
    int64_t fail_after;
} PlanHealth;
typedef struct PlanHealthList {
    PlanHealth *items;
    size_t count;
} PlanHealthList;

typedef struct PlanCpu {
    int64_t cores;
} PlanCpu;
typedef struct PlanMemory {
    Amount free;
} PlanMemory; /* bytes or percent of the total */
typedef struct PlanDisk {
    const char *path;
    Amount free;
    Amount inodes;
} PlanDisk; /* inodes: number or percent */
typedef struct PlanOs {
    const char *id;
    const char *version;
} PlanOs;
typedef struct PlanKernel {
    const char *version;
} PlanKernel;
typedef struct PlanTls {
    const char *address;
    int64_t valid_for_ms;
    const char *ca;
    int64_t timeout_ms;
} PlanTls;
typedef struct PlanPortFree {
    const char *port;
} PlanPortFree;
typedef struct PlanClock {
    int64_t skew_ms;
} PlanClock;

typedef struct PlanCheck { /* a name, and exactly one check */
    const char *name;      /* never NULL once compiled */
    PlanCpu *cpu;
    PlanMemory *memory;
    PlanDisk *disk;
    PlanOs *os;
    PlanKernel *kernel;
    PlanCommand *command;
    PlanTcp *tcp;
    PlanHttp *http;
    PlanTls *tls;
    PlanPortFree *port_free;
    PlanClock *clock;
} PlanCheck;
typedef struct PlanCheckList {
    PlanCheck *items;
    size_t count;
} PlanCheckList;

typedef struct PlanService {
    const char *name;
    const char *root;
    const char *user; /* NULL: whoever runs the agent */
    PlanRun run;
    PlanVersionProbe *version; /* NULL: the running version is not asked for */
    StringList config, data;
    const char *rollback_data;      /* restore | keep */
    const char *rollback_confirmed; /* keep-data | restore-data | hold */
    int64_t keep_releases;
} PlanService;

typedef struct PlanPackage {
    const char *file;   /* absolute once compiled */
    StringList trust;   /* absolute paths of public keys */
    int64_t signatures; /* how many of them must have signed */
    const char *from;   /* version range or NULL */
    bool downgrade;     /* allowed */
} PlanPackage;

typedef struct PlanHost { /* a name, or labels to select hosts of the inventory by */
    const char *name;     /* never NULL once settled */
    PairList select;      /* never given once settled */
    const char *root;     /* NULL: service.root */
    PairList labels, vars;
} PlanHost;
typedef struct PlanHostList {
    PlanHost *items;
    size_t count;
} PlanHostList;

typedef struct PlanRestorePoint {
    const char *to; /* NULL: <state>/restore-points */
    int64_t keep;
} PlanRestorePoint;

typedef struct PlanHaproxy {
    StringList sockets; /* of the runtime API: absolute paths once compiled, or HOST:PORT */
    const char *backend, *server;
} PlanHaproxy;

typedef struct PlanNginx {
    const char *file;   /* absolute once compiled */
    const char *server; /* as its `server` line writes it */
    StringList test, reload;
    int64_t timeout_ms; /* for each of them */
} PlanNginx;

typedef struct PlanTrafficCommands {
    StringList drain, connections, readmit, weight; /* connections, weight: empty where there is none */
    int64_t timeout_ms;                             /* for each of them */
} PlanTrafficCommands;

typedef struct PlanTraffic { /* exactly one of the three is set */
    PlanHaproxy *haproxy;
    PlanNginx *nginx;
    PlanTrafficCommands *commands;
    int64_t drain_timeout_ms;
    const char *last_server; /* refuse | drain */
} PlanTraffic;

typedef struct PlanStage {
    const char *name;
    Amount hosts;    /* how many of those not yet in an earlier stage; 0 items: all selected */
    PairList select; /* labels that must all match */
    Amount batch;
    int64_t soak_ms;
    Amount max_failed; /* of its hosts, rounded down: plan_amount_at_most() */
    Amount weight; /* share of its normal weight that a host gets until it is confirmed; not set: all of it */
} PlanStage;
typedef struct PlanStageList {
    PlanStage *items;
    size_t count;
} PlanStageList;

typedef struct PlanRollout {
    const char *strategy; /* rolling | canary */
    PlanStageList stages;
    Amount max_unavailable;
    int64_t confirm_deadline_ms;
    int64_t lost_after_ms; /* of silence; with a controller */
} PlanRollout;

typedef struct PlanChange {
    const char *title;
    const char *kind; /* normal | emergency */
} PlanChange;

/* Each member's meaning stands beside its field in plan_schema.c, where defaults and bounds are too. */
typedef struct Plan {
    int64_t upkeep; /* format of the plan: 1 */
    PlanChange change;
    const char *environment;
    PlanService service;
    PlanPackage package;
    PlanHostList hosts;
    PlanCheckList preflight;
    PlanRestorePoint restore_point;
    PlanTraffic *traffic; /* NULL: no balancer is told */
    PlanRollout rollout;
    PlanHealthList health;
    const char *on_failure; /* rollback | hold */
} Plan;

/* Compile the YAML `text` of `file`; relative paths start at `folder` (absolute). Its hosts are folders of
 * this one machine, so each needs a root of its own. ERROR_INVALID with line and column. */
int plan_compile(Arena *arena, const char *file, const char *folder, const char *text, size_t size,
                 Plan **out, Error *error);

/* The same, left open: hosts may be selected, and variables come from the inventory. */
int plan_read(Arena *arena, const char *file, const char *folder, const char *text, size_t size, Plan **out,
              Error *error);
/* Back from what plan_to_json() wrote of an open plan. */
int plan_read_json(Arena *arena, const json_t *json, Plan **out, Error *error);
/* An open plan whose hosts all have names: stages it did not give, and every check of hosts and stages, but
 * that their roots differ: machines of a fleet have theirs in the same place.
 * Changes `plan`; it is fit for nothing when refused. ERROR_INVALID. */
int plan_settle(Arena *arena, Plan *plan, Error *error);
/* Does any row select hosts? */
bool plan_selects(const Plan *plan);

/* The canonical document (new reference), and back. */
json_t *plan_to_json(const Plan *plan);
int plan_from_json(Arena *arena, const json_t *json, Plan **out, Error *error);

/* Names plan and package together: what approvals and evidence are bound to. */
Digest plan_digest(const Plan *plan, const Digest *package);

/* The plan as the host called `host` sees it: variables replaced, service.root its own, `hosts` only itself.
 */
int plan_for_host(Arena *arena, const Plan *plan, const char *host, const char *version, Plan **out,
                  Error *error);

/* The same plan for `count` hosts (at least 1), for imagining: its first ones, or all of them and copies in
 * turn with names and roots of their own. Parts that nobody may change are shared with `plan`. ERROR_INVALID
 * when its stages do not fit so many. */
int plan_with_hosts(Arena *arena, const Plan *plan, size_t count, Plan **out, Error *error);

/* Which stage each host belongs to: stages[i] for plan->hosts.items[i]. A stage takes, of the hosts that no
 * earlier one took and whose labels match `select` (model/selector.h), the first `hosts` of them (percentages
 * of the whole plan, rounded up; nothing said: all). ERROR_INVALID when a stage gets none or a host is left
 * over. */
int plan_stages(const Plan *plan, size_t *stages, Error *error);

/* Of a plan of one host: the percentage of its normal weight that it gets until it is confirmed; 0: its
 * weight is left alone. */
int plan_host_weight(const Plan *own);

/* `amount` of `whole`: a count as it is, a percentage rounded up; at least 1, at most `whole` (which is > 0).
 */
size_t plan_amount_of(const Amount *amount, size_t whole);
/* The same as a limit that must not be more generous than it says: a percentage rounded down, and 0 is 0. */
size_t plan_amount_at_most(const Amount *amount, size_t whole);

/* The number of the signal called `name` ("SIGTERM"), or 0. */
int plan_signal_number(const char *name);

/* JSON Schema (draft 2020-12) of a plan. New reference. */
json_t *plan_schema_json(void);
