/* check, show, run: what takes a plan. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/quantity.h"
#include "cli/cli.h"
#include "cli/drive.h"
#include "cli/plan_remote.h"
#include "cli/plan_show.h"
#include "cli/session.h"
#include "engine/change.h"
#include "host/installed.h"
#include "host/preflight.h"
#include "host/release.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- check */

typedef struct Checking {
    const Cli *cli;
    const char *host;
} Checking;

static void print_check(void *context, const char *name, const Observation *result) {
    const Checking *checking = context;
    const Cli *cli = checking->cli;
    if (cli->json) {
        JSON_AUTO row = json_object();
        json_set_text(row, "type", "check.done");
        json_set_text(row, "host", checking->host);
        json_set_text(row, "name", name);
        json_set_text(row, "verdict", verdict_text(result->verdict));
        if (result->detail.en[0]) json_set_text(row, "found", result->detail.en);
        FREE_AUTO char *text = json_text(row);
        printf("%s\n", text);
        return;
    }
    const char *green = cli->color ? "\033[32m" : "", *red = cli->color ? "\033[31m" : "",
               *plain = cli->color ? "\033[0m" : "";
    bool pass = result->verdict == VERDICT_PASS;
    const char *detail = cli->language == LANGUAGE_ZH ? result->detail.zh : result->detail.en;
    if (cli->quiet && pass) return;
    printf("  %s%s%s %-10s %s\n", pass ? green : red, pass ? "✔" : "✘", plain, checking->host,
           *detail ? detail : name);
}

static int check_hosts(Cli *cli, Arena *arena, const SessionPlan *plan, size_t *refusals, Error *error) {
    PreflightTaken taken = {0};
    for (size_t i = 0; i < plan->plan->hosts.count; i++) {
        Plan *own = NULL;
        Checking checking = {cli, plan->plan->hosts.items[i].name};
        size_t refused = 0;
        if (plan_host_is_live(plan->plan, &plan->plan->hosts.items[i]))
            continue; /* nothing is installed there */
        if (plan_for_host(arena, plan->plan, checking.host, plan->version, &own, error) < 0) return -1;
        PreflightSpec spec = {.plan = own,
                              .package = plan->package,
                              .store = drive_store(cli, arena, own),
                              .clock = clock_system(),
                              .taken = &taken};
        if (preflight_run(&spec, print_check, &checking, &refused, error) < 0)
            return error_prefix(error, "%s", checking.host);
        *refusals += refused;
    }
    return 0;
}

static int run_check(Cli *cli, const Arguments *arguments) {
    if (cli->server) return plan_remote_check(cli, arguments->positional[0]);
    ARENA_AUTO arena = arena_new();
    SessionPlan plan = {0};
    Error error = {0};
    size_t refusals = 0;
    if (session_plan(arena, arguments->positional[0], &plan, &error) < 0) return cli_fail(cli, &error);
    cli_print(cli, plan.plan->hosts.count == 1 ? "%s %s on %zu host\n" : "%s %s on %zu hosts\n",
              plan.plan->service.name, plan.version, plan.plan->hosts.count);
    int result = check_hosts(cli, arena, &plan, &refusals, &error);
    package_close(plan.package);
    if (result < 0) return cli_fail(cli, &error);
    if (refusals == 0) {
        cli_print(cli, "Every check passed. Nothing was changed.\n");
        return cli_result(cli, NULL, "succeeded", 0, NULL);
    }
    error_set(&error, ERROR_REFUSED,
              refusals == 1 ? "%zu check did not pass; nothing was changed"
                            : "%zu checks did not pass; nothing was changed",
              refusals);
    return cli_fail(cli, &error);
}

/* ---- show */

static const char *current_here(void *context, const Plan *own, Arena *arena) {
    char current[RELEASE_VERSION_SIZE] = "";
    (void)context;
    release_installed(own->service.root, current, NULL, NULL);
    return arena_strdup(arena, current);
}

static void show(const Cli *cli, Arena *arena, const SessionPlan *plan) {
    PlanShow shown = {
        .plan = plan->plan, .version = plan->version, .digest = &plan->digest, .current = current_here};
    plan_show(cli, arena, &shown);
}

static int run_show(Cli *cli, const Arguments *arguments) {
    if (cli->server) return plan_remote_show(cli, arguments->positional[0]);
    ARENA_AUTO arena = arena_new();
    SessionPlan plan = {0};
    Error error = {0};
    if (session_plan(arena, arguments->positional[0], &plan, &error) < 0) return cli_fail(cli, &error);
    if (cli->json) {
        char digest[DIGEST_TEXT_SIZE];
        digest_to_text(&plan.digest, digest);
        JSON_AUTO shown = json_object();
        json_set_text(shown, "type", "plan");
        json_set_text(shown, "plan_digest", digest);
        json_set_text(shown, "version", plan.version);
        json_object_set_new(shown, "plan", plan_to_json(plan.plan));
        FREE_AUTO char *text = json_text(shown);
        printf("%s\n", text);
    } else {
        show(cli, arena, &plan);
    }
    package_close(plan.package);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

/* ---- run */

/* Every host has this very package already. */
static bool is_everywhere(const SessionPlan *plan, Arena *arena) {
    for (size_t i = 0; i < plan->plan->hosts.count; i++) {
        Plan *own = NULL;
        char current[RELEASE_VERSION_SIZE] = "";
        Digest digest = {{0}};
        if (plan_host_is_live(plan->plan, &plan->plan->hosts.items[i])) continue;
        if (plan_for_host(arena, plan->plan, plan->plan->hosts.items[i].name, plan->version, &own, NULL) < 0)
            return false;
        if (release_installed(own->service.root, current, &digest, NULL) < 0) return false;
        if (strcmp(current, plan->version) != 0 || !digest_equal(&digest, &plan->package->digest))
            return false;
    }
    return true;
}

/* There is nothing to do, and that is said — unless what should run does not: starting it is no upgrade. */
static int say_nothing_to_do(Cli *cli, const SessionPlan *plan, Arena *arena, Error *error) {
    for (size_t i = 0; i < plan->plan->hosts.count; i++) {
        const char *name = plan->plan->hosts.items[i].name;
        Plan *own = NULL;
        Installed found;
        if (plan_host_is_live(plan->plan, &plan->plan->hosts.items[i])) continue;
        if (plan_for_host(arena, plan->plan, name, plan->version, &own, error) < 0 ||
            installed_act(own->service.root, INSTALLED_LOOK, &found, error) < 0)
            return -1;
        if (found.status.state == SERVICE_RUNNING) continue;
        error_set(error, ERROR_REFUSED, "%s %s is installed on %s already, but it does not run",
                  plan->plan->service.name, plan->version, name);
        return error_hint(error, "start it with “upkeep service start %s”", own->service.root);
    }
    cli_print(cli, "%s %s is what runs on every host already: nothing to do.\n", plan->plan->service.name,
              plan->version);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static bool same_root(const Plan *a, const Plan *b) {
    for (size_t i = 0; i < a->hosts.count; i++)
        for (size_t j = 0; j < b->hosts.count; j++) {
            const char *one = a->hosts.items[i].root ? a->hosts.items[i].root : a->service.root;
            const char *other = b->hosts.items[j].root ? b->hosts.items[j].root : b->service.root;
            if (one && other && strcmp(one, other) == 0) return true;
        }
    return false;
}

/* A change of this very plan that is not over: its id. "" when there is none; ERROR_REFUSED when another
 * plan's change is unfinished on the same hosts. */
static int find_unfinished(Journal *journal, Arena *arena, const SessionPlan *plan, const char **id,
                           Error *error) {
    ChangeList list;
    char digest[DIGEST_TEXT_SIZE];
    digest_to_text(&plan->digest, digest);
    *id = "";
    if (change_list(journal, arena, &list, error) < 0) return -1;
    for (size_t i = 0; i < list.count; i++) {
        const ChangeSummary *item = &list.items[i];
        if (item->outcome != OUTCOME_NONE || strcmp(item->service, plan->plan->service.name) != 0) continue;
        if (strcmp(item->plan_digest, digest) == 0) {
            *id = item->id;
            return 0;
        }
        Rollout *rollout = NULL;
        if (change_load(journal, arena, item->id, &rollout, error) < 0) return -1;
        if (!same_root(rollout->plan, plan->plan)) continue;
        error_set(error, ERROR_REFUSED,
                  "the change %s of %s is not finished, and its plan or package was another", item->id,
                  item->service);
        return error_hint(error, "finish it with “upkeep resume %s”, or undo it with “upkeep abort %s”",
                          item->id, item->id);
    }
    return 0;
}

static bool agreed(Cli *cli, const Arguments *arguments, Arena *arena, const SessionPlan *plan) {
    if (arguments_has(arguments, "yes") || !cli->terminal || !isatty(STDIN_FILENO)) return true;
    show(cli, arena, plan);
    printf("\n%s", cli_text(cli, "Go ahead? [y/N] "));
    fflush(stdout);
    char answer[8] = "";
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* The change to carry out: one that is unfinished, or a new one. *fresh says which. */
static int find_or_open(const Cli *cli, Journal *journal, Arena *arena, const SessionPlan *plan,
                        const char **id, bool *fresh, Error *error) {
    FD_AUTO lock = -1;
    char opened[CHANGE_ID_SIZE];
    if (change_lock(cli->state, &lock, error) < 0 || find_unfinished(journal, arena, plan, id, error) < 0)
        return -1;
    *fresh = !**id;
    if (!*fresh) return 0;
    ChangeOpening opening = {.plan = plan->plan,
                             .plan_file = plan->file,
                             .version = plan->version,
                             .package = &plan->package->digest,
                             .by = session_who(arena),
                             .clock = clock_system()};
    if (change_open(journal, &opening, opened, error) < 0) return -1;
    *id = arena_strdup(arena, opened);
    return 0;
}

static int run_plan(Cli *cli, const Arguments *arguments, Arena *arena, SessionPlan *plan, Error *error) {
    JOURNAL_AUTO journal = NULL;
    const char *id = "";
    bool fresh = false;
    if (session_journal(cli, &journal, error) < 0 || find_unfinished(journal, arena, plan, &id, error) < 0)
        return -1;
    if (!*id && is_everywhere(plan, arena)) return say_nothing_to_do(cli, plan, arena, error);
    if (!*id && !agreed(cli, arguments, arena, plan))
        return error_set(error, ERROR_REFUSED, "not agreed; nothing was touched");
    if (find_or_open(cli, journal, arena, plan, &id, &fresh, error) < 0) return -1;
    package_close(plan->package); /* hosts open it for themselves; its list of files need not be held twice */
    plan->package = NULL;
    Drive drive = {.cli = cli,
                   .journal = journal,
                   .change = id,
                   .by = session_who(arena),
                   .prepare_only = arguments_has(arguments, "prepare-only"),
                   .resume = true,
                   .fresh = fresh};
    return drive_change(&drive, error);
}

static int run_run(Cli *cli, const Arguments *arguments) {
    if (cli->server) return plan_remote_run(cli, arguments);
    ARENA_AUTO arena = arena_new();
    SessionPlan plan = {0};
    Error error = {0};
    if (session_plan(arena, arguments->positional[0], &plan, &error) < 0) return cli_fail(cli, &error);
    int result = run_plan(cli, arguments, arena, &plan, &error);
    package_close(plan.package);
    return result < 0 ? cli_fail(cli, &error) : result;
}

/* ---- schema */

static int run_schema(Cli *cli, const Arguments *arguments) {
    (void)cli, (void)arguments;
    JSON_AUTO schema = plan_schema_json();
    json_dumpf(schema, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
    printf("\n");
    return 0;
}

static const Option run_options[] = {
    {"prepare-only", 0, NULL, TEXT("stop when every host is prepared; nothing is switched"), false},
    {"yes", 'y', NULL, TEXT("do not ask"), false},
    {0},
};

const CliVerb cli_verbs_plan[] = {
    {"check", "PLAN", TEXT("compile the plan and try every preflight check; changes nothing"),
     TEXT("Reads the plan, verifies its package, and looks at each host: the plan's checks, what the package "
          "asks for, room "
          "for the release, the backup and its proof, and whether the installed release is still what was "
          "installed."),
     "upkeep check node-red.yaml", NULL, 1, 1, run_check, true},
    {"show", "PLAN", TEXT("what would be done, host by host, in order, and what a rollback would lose"), "",
     "upkeep show node-red.yaml", NULL, 1, 1, run_show, true},
    {"run", "PLAN", TEXT("carry a plan out; resumes the change when it was interrupted"),
     TEXT("Prepares every host while the service runs on, then switches stage by stage, watching each batch "
          "before it is "
          "confirmed. At the first anomaly it stops and puts back what was. Ctrl-C pauses when it is safe; a "
          "second one "
          "leaves at once, and the same command goes on later."),
     "upkeep run node-red.yaml", run_options, 1, 1, run_run, true},
    {"schema", "", TEXT("print the JSON Schema of a plan, for editors"), "",
     "upkeep schema > plan.schema.json", NULL, 0, 0, run_schema, false},
    {0},
};
