#include "model/plan.h"
#include "base/json.h"
#include "base/text_index.h"
#include "model/plan_schema.h"
#include "model/plan_traffic.h"
#include "model/selector.h"
#include "model/version.h"
#include <regex.h>
#include <signal.h>
#include <string.h>

static const struct {
    const char *name;
    int number;
} signals[] = {{"SIGTERM", SIGTERM}, {"SIGINT", SIGINT},   {"SIGQUIT", SIGQUIT}, {"SIGHUP", SIGHUP},
               {"SIGUSR1", SIGUSR1}, {"SIGUSR2", SIGUSR2}, {"SIGKILL", SIGKILL}};

int plan_signal_number(const char *name) {
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (strcmp(signals[i].name, name) == 0) return signals[i].number;
    return 0;
}

size_t plan_amount_of(const Amount *amount, size_t whole) {
    size_t value = (size_t)amount->value;
    if (amount->percent) value = (whole * value + 99) / 100;
    if (value < 1) value = 1;
    return value < whole ? value : whole;
}

size_t plan_amount_at_most(const Amount *amount, size_t whole) {
    size_t value = (size_t)amount->value;
    if (amount->percent) value = whole * value / 100;
    return value < whole ? value : whole;
}

/* Names of what was not named, and paths made absolute. */

static const char *absolute(Arena *arena, const char *folder, const char *path) {
    size_t length = strlen(folder);
    if (!path || path[0] == '/' || path[0] == '$') return path;
    /* The folder is a real path, so that steps up from it may be taken here: one place has one name. */
    for (;;) {
        bool up = strncmp(path, "../", 3) == 0;
        if (!up && strncmp(path, "./", 2) != 0) break;
        path += up ? 3 : 2;
        while (up && length > 0 && folder[--length] != '/') continue;
    }
    return arena_printf(arena, "%.*s/%s", (int)length, folder, path);
}

static void resolve_traffic(Arena *arena, const char *folder, PlanTraffic *traffic) {
    if (traffic && traffic->nginx) traffic->nginx->file = absolute(arena, folder, traffic->nginx->file);
    for (size_t i = 0; traffic && traffic->haproxy && i < traffic->haproxy->sockets.count; i++)
        if (strchr(traffic->haproxy->sockets.items[i], '/')) /* or it is HOST:PORT */
            traffic->haproxy->sockets.items[i] = absolute(arena, folder, traffic->haproxy->sockets.items[i]);
}

static void resolve_paths(Arena *arena, const char *folder, Plan *plan) {
    plan->service.root = absolute(arena, folder, plan->service.root);
    plan->package.file = absolute(arena, folder, plan->package.file);
    plan->restore_point.to = absolute(arena, folder, plan->restore_point.to);
    resolve_traffic(arena, folder, plan->traffic);
    for (size_t i = 0; i < plan->package.trust.count; i++)
        plan->package.trust.items[i] = absolute(arena, folder, plan->package.trust.items[i]);
    for (size_t i = 0; i < plan->hosts.count; i++)
        plan->hosts.items[i].root = absolute(arena, folder, plan->hosts.items[i].root);
    for (size_t i = 0; i < plan->preflight.count; i++)
        if (plan->preflight.items[i].tls)
            plan->preflight.items[i].tls->ca = absolute(arena, folder, plan->preflight.items[i].tls->ca);
}

static const char *check_kind(const PlanCheck *check) {
    const void *const given[] = {check->cpu,    check->memory,    check->disk, check->os,
                                 check->kernel, check->command,   check->tcp,  check->http,
                                 check->tls,    check->port_free, check->clock};
    for (size_t i = 0; plan_check_kinds[i]; i++)
        if (given[i]) return plan_check_kinds[i];
    return "check";
}

static void name_parts(Arena *arena, Plan *plan) {
    for (size_t i = 0; i < plan->preflight.count; i++) {
        PlanCheck *check = &plan->preflight.items[i];
        if (!check->name) check->name = check_kind(check);
    }
    for (size_t i = 0; i < plan->health.count; i++) {
        PlanHealth *health = &plan->health.items[i];
        if (!health->name) health->name = health->http ? "http" : health->tcp ? "tcp" : "command";
    }
    PlanProcess *process = plan->service.run.process;
    if (process && !process->log) process->log = arena_printf(arena, "shared/log/%s.log", plan->service.name);
}

/* ---- blue-green */

static const char *label_of(const void *host, const char *key) {
    return pair_find(&((const PlanHost *)host)->labels, key);
}

bool plan_is_blue_green(const Plan *plan) { return strcmp(plan->rollout.strategy, "blue-green") == 0; }

bool plan_host_is_live(const Plan *plan, const PlanHost *host) {
    return plan->rollout.live.count && selector_matches(&plan->rollout.live, label_of, host);
}

static size_t count_live(const Plan *plan) {
    size_t count = 0;
    for (size_t i = 0; i < plan->hosts.count; i++) count += plan_host_is_live(plan, &plan->hosts.items[i]);
    return count;
}

/* Somebody serves, and somebody can take over. */
static int check_groups(const Plan *plan, Error *error) {
    size_t live = count_live(plan);
    if (!plan_is_blue_green(plan)) return 0;
    if (live == 0)
        return error_set(error, ERROR_INVALID, "rollout.live: no host of the plan has these labels");
    if (live == plan->hosts.count)
        return error_set(error, ERROR_INVALID,
                         "rollout.live: every host of the plan has these labels, so that nobody could take "
                         "over");
    return 0;
}

/* One host alone, watched, before the others: the careful default. */
static void default_stages(Arena *arena, Plan *plan) {
    size_t upgraded = plan->hosts.count - count_live(plan);
    if (plan->rollout.stages.count || upgraded == 0) return;
    bool several = upgraded > 1;
    PlanStage *stages = ARENA_ARRAY(arena, 2, PlanStage);
    stages[0] = (PlanStage){.name = several ? "pilot" : "all",
                            .hosts = {.value = 1, .set = true},
                            .batch = {.value = 100, .percent = true, .set = true},
                            .soak_ms = 10000,
                            .max_failed = {.set = true}};
    stages[1] = stages[0];
    stages[1].name = "rest";
    stages[1].hosts = (Amount){0};
    plan->rollout.stages = (PlanStageList){stages, several ? 2 : 1};
}

/* What the parts say about each other. */

static bool beneath(const char *path) {
    if (!*path || *path == '/') return false;
    while (*path) {
        size_t length = strcspn(path, "/");
        if (length == 0 || (length == 2 && strncmp(path, "..", 2) == 0) || (length == 1 && *path == '.'))
            return false;
        path += length;
        if (*path) path++;
        if (*path == '\0' && path[-1] == '/') return false;
    }
    return true;
}

static bool inside(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static int check_part(const Plan *plan, const char *what, const char *path, Error *error) {
    (void)plan;
    static const char *const ours[] = {"releases", "current", ".upkeep"};
    if (!beneath(path))
        return error_set(error, ERROR_INVALID, "%s: “%s” must be a path beneath the service's root", what,
                         path);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (inside(path, ours[i]))
            return error_set(error, ERROR_INVALID, "%s: “%s” belongs to Upkeep itself", what, path);
    return 0;
}

static int check_parts(const Plan *plan, Error *error) {
    const PlanService *service = &plan->service;
    for (size_t i = 0; i < service->config.count; i++)
        if (check_part(plan, "service.config", service->config.items[i], error) < 0) return -1;
    for (size_t i = 0; i < service->data.count; i++)
        if (check_part(plan, "service.data", service->data.items[i], error) < 0) return -1;
    for (size_t i = 0; i < service->config.count + service->data.count; i++)
        for (size_t j = 0; j < service->config.count + service->data.count; j++) {
            const char *a = i < service->config.count ? service->config.items[i]
                                                      : service->data.items[i - service->config.count];
            const char *b = j < service->config.count ? service->config.items[j]
                                                      : service->data.items[j - service->config.count];
            if (i != j && strcmp(a, b) == 0)
                return error_set(error, ERROR_INVALID, "service: “%s” is given twice in config and data", a);
        }
    if (service->run.process && !beneath(service->run.process->log))
        return error_set(error, ERROR_INVALID, "%s: “%s” must be a path beneath the service's root",
                         "service.run.process.log", service->run.process->log);
    return 0;
}

static int check_range(const char *where, const char *range, Error *error) {
    if (!range || version_range_valid(range)) return 0;
    return error_set(error, ERROR_INVALID, "%s: “%s” is not a version range such as “>=3.1 <4”", where,
                     range);
}

static int check_regex(const char *where, const char *regex, Error *error) {
    regex_t compiled;
    if (!regex) return 0;
    int result = regcomp(&compiled, regex, REG_EXTENDED);
    if (result == 0) {
        bool group = compiled.re_nsub > 0;
        regfree(&compiled);
        if (group) return 0;
    }
    return error_set(error, ERROR_INVALID, "%s: “%s” is not an extended regular expression with a group",
                     where, regex);
}

static int check_service(const Plan *plan, Error *error) {
    const PlanService *service = &plan->service;
    if (check_parts(plan, error) < 0) return -1;
    if (service->run.process && !plan_signal_number(service->run.process->stop_signal))
        return error_set(error, ERROR_INVALID,
                         "service.run.process.stop_signal: “%s” is no signal to stop with",
                         service->run.process->stop_signal);
    const PlanVersionProbe *version = service->version;
    if (version && version->http && !version->json)
        return error_set(error, ERROR_INVALID, "service.version: “json” must say where the version stands");
    if (version && version->command.count && !version->regex)
        return error_set(error, ERROR_INVALID, "service.version: “regex” must say which part is the version");
    if (version && check_regex("service.version.regex", version->regex, error) < 0) return -1;
    return check_range("package.from", plan->package.from, error);
}

static int check_preflight(const Plan *plan, Error *error) {
    for (size_t i = 0; i < plan->preflight.count; i++) {
        const PlanCheck *check = &plan->preflight.items[i];
        if (check->os && check_range("preflight.os.version", check->os->version, error) < 0) return -1;
        if (check->kernel && check_range("preflight.kernel.version", check->kernel->version, error) < 0)
            return -1;
        if (check->command && check_range("preflight.command.version", check->command->version, error) < 0)
            return -1;
        if (check->command && check_regex("preflight.command.regex", check->command->regex, error) < 0)
            return -1;
        if (check->disk && !check->disk->free.set && !check->disk->inodes.set)
            return error_set(error, ERROR_INVALID,
                             "preflight.disk: say how much must be “free”, or how many “inodes”");
    }
    return 0;
}

/* What lies between arming the dead man's switch and the confirmation must fit in before it acts. */
static int check_deadlines(const Plan *plan, int64_t health_ms, Error *error) {
    int64_t drain_ms = plan->traffic ? plan->traffic->drain_timeout_ms : 0;
    for (size_t i = 0; i < plan->rollout.stages.count; i++) {
        const PlanStage *stage = &plan->rollout.stages.items[i];
        if (stage->soak_ms + health_ms + drain_ms < plan->rollout.confirm_deadline_ms) continue;
        error_set(error, ERROR_INVALID,
                  "rollout.stages.%s: soak and health deadline together reach the confirm_deadline, so every "
                  "host would roll back by itself; raise rollout.confirm_deadline",
                  stage->name);
        return drain_ms ? error_hint(error, "traffic.drain_timeout counts as well") : -1;
    }
    return 0;
}

static int check_health(const Plan *plan, Error *error) {
    int64_t slowest_ms = 0;
    for (size_t i = 0; i < plan->health.count; i++) {
        const PlanHealth *health = &plan->health.items[i];
        if (health->healthy_after * health->every_ms > health->deadline_ms)
            return error_set(
                error, ERROR_INVALID,
                "health.%s: %d passes do not fit into its deadline; raise “deadline” or lower “every”",
                health->name, (int)health->healthy_after);
        if (health->deadline_ms > slowest_ms) slowest_ms = health->deadline_ms;
        for (size_t j = 0; j < i; j++)
            if (strcmp(plan->health.items[j].name, health->name) == 0)
                return error_set(error, ERROR_INVALID, "health: “%s” is given twice; give each a name",
                                 health->name);
    }
    return check_deadlines(plan, slowest_ms, error);
}

typedef struct HostNames {
    const Plan *plan;
    const PlanHost *host;
    const char *version;
} HostNames;

static const char *resolve(void *context, const char *name) {
    HostNames *names = context;
    if (strcmp(name, "host.name") == 0) return names->host->name;
    if (strcmp(name, "service.name") == 0) return names->plan->service.name;
    if (strcmp(name, "service.root") == 0)
        return names->host->root ? names->host->root : names->plan->service.root;
    if (strcmp(name, "package.version") == 0) return names->version;
    if (strncmp(name, "vars.", 5) == 0) return pair_find(&names->host->vars, name + 5);
    return NULL;
}

/* A host's root may itself name variables, but not ${service.root}. */
static int host_root(Arena *arena, const Plan *plan, const PlanHost *host, const char **out, Error *error) {
    PlanHost bare = *host;
    bare.root = "";
    HostNames names = {plan, &bare, ""};
    PlanRestorePoint one = {.to = host->root ? host->root : plan->service.root}, expanded;
    static const Field fields[] = {
        {.key = "root", .type = FIELD_STRING, .offset = offsetof(PlanRestorePoint, to)}};
    static const Schema schema = SCHEMA("root", PlanRestorePoint, fields, NULL);
    if (!one.to)
        return error_set(error, ERROR_INVALID, "host %s has no root; set service.root or the host's root",
                         host->name);
    if (schema_expand(&schema, arena, &one, resolve, &names, &expanded, error) < 0)
        return error_prefix(error, "host %s", host->name);
    if (expanded.to[0] != '/' || expanded.to[1] == '\0')
        return error_set(error, ERROR_INVALID, "host %s: “%s” cannot be a service's root", host->name,
                         expanded.to);
    *out = expanded.to;
    return 0;
}

/* The one stage that a host sees: its own, without the others. */
static PlanStageList host_stage(Arena *arena, const Plan *plan, size_t stage) {
    if (stage == PLAN_STAGE_NONE) return (PlanStageList){0};
    PlanStage *own = ARENA_NEW(arena, PlanStage);
    *own = plan->rollout.stages.items[stage];
    own->hosts = (Amount){0};
    own->select = (PairList){0};
    return (PlanStageList){own, 1};
}

/* The plan as its host number `host`, which is in `stage`, sees it. */
static int expand_for(Arena *arena, const Plan *plan, size_t host, size_t stage, const char *version,
                      Plan **out, Error *error) {
    Plan own = *plan;
    PlanHost *only = ARENA_NEW(arena, PlanHost);
    *only = plan->hosts.items[host];
    if (host_root(arena, plan, only, &only->root, error) < 0) return -1;
    own.rollout.stages = host_stage(arena, plan, stage);
    if (stage != PLAN_STAGE_NONE) own.rollout.live = (PairList){0};
    own.service.root = only->root;
    own.hosts = (PlanHostList){only, 1};
    HostNames names = {&own, only, version};
    Plan *expanded = ARENA_NEW(arena, Plan);
    if (schema_expand(&plan_schema, arena, &own, resolve, &names, expanded, error) < 0)
        return error_prefix(error, "host %s", only->name);
    *out = expanded;
    return 0;
}

int plan_for_host(Arena *arena, const Plan *plan, const char *host, const char *version, Plan **out,
                  Error *error) {
    for (size_t i = 0; i < plan->hosts.count; i++) {
        if (strcmp(plan->hosts.items[i].name, host) != 0) continue;
        size_t *stages = ARENA_ARRAY(arena, plan->hosts.count, size_t);
        if (plan_stages(plan, stages, error) < 0) return -1;
        return expand_for(arena, plan, i, stages[i], version, out, error);
    }
    return error_set(error, ERROR_INVALID, "there is no host %s in the plan", host);
}

/* Each host by itself: its variables, and what only shows once they are replaced. */
static int check_host(Arena *arena, const Plan *plan, size_t host, size_t stage, const char **root,
                      Error *error) {
    Plan *own;
    if (expand_for(arena, plan, host, stage, "0", &own, error) < 0) return -1;
    for (size_t i = 0; i < own->health.count; i++) {
        const PlanHttp *http = own->health.items[i].http;
        if (http && strncmp(http->url, "http://", 7) != 0 && strncmp(http->url, "https://", 8) != 0)
            return error_set(error, ERROR_INVALID, "health.%s: “%s” must begin with http:// or https://",
                             own->health.items[i].name, http->url);
        const PlanTcp *tcp = own->health.items[i].tcp;
        if (tcp && !strrchr(tcp->address, ':'))
            return error_set(error, ERROR_INVALID, "health.%s: “%s” must be host:port",
                             own->health.items[i].name, tcp->address);
    }
    *root = own->service.root;
    return plan_traffic_check_host(own, error);
}

/* Lexically the same: blank, "." and ".." parts do not count. What links do, the host's lock finds out. */
static const char *plain_path(Arena *arena, const char *path) {
    char *plain = arena_strdup(arena, ""), *last;
    while (*path) {
        size_t length = strcspn(path, "/");
        if (length == 2 && strncmp(path, "..", 2) == 0) {
            if ((last = strrchr(plain, '/'))) *last = '\0';
        } else if (length > 0 && !(length == 1 && *path == '.')) {
            plain = arena_printf(arena, "%s/%.*s", plain, (int)length, path);
        }
        path += length + (path[length] == '/');
    }
    return plain;
}

/* Each host's name is its own, and on `one_machine` so is its root. Every host is compared with all before it
 * at once, and what its look at the plan takes is given back: fleets have many. */
static int check_hosts(Arena *arena, const Plan *plan, const size_t *stages, bool one_machine, Error *error) {
    size_t count = plan->hosts.count;
    const char **roots = ARENA_ARRAY(arena, count, const char *);
    TextIndex *names = text_index_new(arena, count), *places = text_index_new(arena, count);
    for (size_t i = 0; i < count; i++) {
        ARENA_AUTO own = arena_new();
        const PlanHost *host = &plan->hosts.items[i];
        if (check_host(own, plan, i, stages[i], &roots[i], error) < 0) return -1;
        roots[i] = arena_strdup(arena, plain_path(own, roots[i]));
        if (!*roots[i])
            return error_set(error, ERROR_INVALID, "host %s: “%s” cannot be a service's root", host->name,
                             "/");
        size_t same_name = text_index_add(names, host->name, i);
        size_t same_root = text_index_add(places, roots[i], i);
        if (same_name != TEXT_INDEX_NONE)
            return error_set(error, ERROR_INVALID, "hosts: “%s” is given twice", host->name);
        if (one_machine && same_root != TEXT_INDEX_NONE)
            return error_set(error, ERROR_INVALID, "hosts: %s and %s have the same root %s",
                             plan->hosts.items[same_root].name, host->name, roots[i]);
    }
    return 0;
}

int plan_stages(const Plan *plan, size_t *stages, Error *error) {
    size_t count = plan->hosts.count - count_live(plan);
    for (size_t i = 0; i < plan->hosts.count; i++) stages[i] = PLAN_STAGE_NONE;
    for (size_t s = 0; s < plan->rollout.stages.count; s++) {
        const PlanStage *stage = &plan->rollout.stages.items[s];
        size_t limit = stage->hosts.set ? plan_amount_of(&stage->hosts, count) : count;
        size_t taken = 0;
        for (size_t i = 0; i < plan->hosts.count && taken < limit; i++) {
            const PlanHost *host = &plan->hosts.items[i];
            if (stages[i] != PLAN_STAGE_NONE || plan_host_is_live(plan, host) ||
                !selector_matches(&stage->select, label_of, host))
                continue;
            stages[i] = s;
            taken++;
        }
        if (taken == 0)
            return error_set(error, ERROR_INVALID, "rollout.stages.%s: no host is left for it", stage->name);
    }
    for (size_t i = 0; i < plan->hosts.count; i++)
        if (stages[i] == PLAN_STAGE_NONE && !plan_host_is_live(plan, &plan->hosts.items[i]))
            return error_set(error, ERROR_INVALID, "rollout: no stage takes the host %s",
                             plan->hosts.items[i].name);
    return 0;
}

/* Every row means somebody. (That it does not do both, the schema has seen.) */
static int check_rows(const Plan *plan, Error *error) {
    for (size_t i = 0; i < plan->hosts.count; i++)
        if (!plan->hosts.items[i].name && plan->hosts.items[i].select.count == 0)
            return error_set(error, ERROR_INVALID, "hosts[%d]: give a “name”, or labels to “select” hosts by",
                             (int)i + 1);
    return 0;
}

/* What can be said while the hosts are still open. */
static int check_open(const Plan *plan, Error *error) {
    if (plan->package.signatures > (int64_t)plan->package.trust.count)
        return error_set(error, ERROR_INVALID, "package: %d signatures are asked of %d trusted keys",
                         (int)plan->package.signatures, (int)plan->package.trust.count);
    if (check_rows(plan, error) < 0 || check_service(plan, error) < 0 || check_preflight(plan, error) < 0 ||
        check_health(plan, error) < 0)
        return -1;
    for (size_t i = 0; i < plan->rollout.stages.count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(plan->rollout.stages.items[i].name, plan->rollout.stages.items[j].name) == 0)
                return error_set(error, ERROR_INVALID, "rollout.stages: “%s” is given twice",
                                 plan->rollout.stages.items[i].name);
    return plan_traffic_check(plan, error);
}

bool plan_selects(const Plan *plan) {
    for (size_t i = 0; i < plan->hosts.count; i++)
        if (!plan->hosts.items[i].name) return true;
    return false;
}

/* The stages that it did not give come with checks of their own. `own`: it may be the plan of one host alone,
 * without the group that it takes over from, or that takes over from it. */
static int settle(Arena *arena, Plan *plan, bool one_machine, bool own, Error *error) {
    if (plan_selects(plan))
        return error_set(error, ERROR_INVALID,
                         "hosts: they are selected from a controller's inventory; use --server");
    if (!(own && plan->hosts.count == 1) && check_groups(plan, error) < 0) return -1;
    default_stages(arena, plan);
    if (check_health(plan, error) < 0) return -1;
    size_t *stages = ARENA_ARRAY(arena, plan->hosts.count, size_t);
    if (plan_stages(plan, stages, error) < 0) return -1;
    return check_hosts(arena, plan, stages, one_machine, error);
}

int plan_settle(Arena *arena, Plan *plan, Error *error) { return settle(arena, plan, false, false, error); }

int plan_read(Arena *arena, const char *file, const char *folder, const char *text, size_t size, Plan **out,
              Error *error) {
    Node *node = NULL;
    Plan *plan = ARENA_NEW(arena, Plan);
    if (node_from_yaml(arena, file, text, size, &node, error) < 0) return -1;
    if (schema_decode(&plan_schema, arena, file, node, plan, error) < 0) return -1;
    resolve_paths(arena, folder, plan);
    name_parts(arena, plan);
    plan_traffic_complete(arena, plan->traffic);
    if (check_open(plan, error) < 0) return error_prefix(error, "%s", file);
    *out = plan;
    return 0;
}

int plan_compile(Arena *arena, const char *file, const char *folder, const char *text, size_t size,
                 Plan **out, Error *error) {
    Plan *plan = NULL;
    if (plan_read(arena, file, folder, text, size, &plan, error) < 0) return -1;
    if (settle(arena, plan, true, false, error) < 0) return error_prefix(error, "%s", file);
    *out = plan;
    return 0;
}

/* One host alone has one stage unless it was given others: not what more of them would have got. */
static bool has_stage_of_one(const Plan *plan) {
    const PlanStageList *stages = &plan->rollout.stages;
    return plan->hosts.count == 1 && stages->count == 1 && stages->items[0].hosts.set;
}

int plan_with_hosts(Arena *arena, const Plan *plan, size_t count, Plan **out, Error *error) {
    Plan *other = ARENA_NEW(arena, Plan);
    *other = *plan;
    other->hosts = (PlanHostList){ARENA_ARRAY(arena, count, PlanHost), count};
    for (size_t i = 0; i < count; i++) {
        PlanHost *host = &other->hosts.items[i];
        *host = plan->hosts.items[i % plan->hosts.count];
        if (i < plan->hosts.count) continue;
        host->name = arena_printf(arena, "%.40s.%zu", host->name, i + 1);
        host->root = "/imagined/${host.name}";
    }
    if (count > 1 && has_stage_of_one(plan)) other->rollout.stages = (PlanStageList){0};
    if (plan_settle(arena, other, error) < 0) return -1;
    *out = other;
    return 0;
}

json_t *plan_to_json(const Plan *plan) { return schema_encode(&plan_schema, plan); }

int plan_read_json(Arena *arena, const json_t *json, Plan **out, Error *error) {
    ARENA_AUTO scratch = arena_new(); /* a plan of 10,000 hosts stays for long, its nodes need not */
    Plan *plan = ARENA_NEW(arena, Plan);
    if (schema_decode(&plan_schema, arena, "compiled plan", node_from_json(scratch, json), plan, error) < 0)
        return -1;
    name_parts(arena, plan);
    if (check_open(plan, error) < 0) return error_prefix(error, "compiled plan");
    *out = plan;
    return 0;
}

int plan_from_json(Arena *arena, const json_t *json, Plan **out, Error *error) {
    Plan *plan = NULL;
    if (plan_read_json(arena, json, &plan, error) < 0) return -1;
    if (settle(arena, plan, false, true, error) < 0) return error_prefix(error, "compiled plan");
    *out = plan;
    return 0;
}

Digest plan_digest(const Plan *plan, const Digest *package) {
    char text[DIGEST_TEXT_SIZE];
    digest_to_text(package, text);
    JSON_AUTO both = json_pack("{s:o, s:s}", "plan", plan_to_json(plan), "package", text);
    return json_digest(both);
}

json_t *plan_schema_json(void) { return schema_publish(&plan_schema, "Upkeep plan"); }
