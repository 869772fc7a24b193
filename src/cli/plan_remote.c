#include "cli/plan_remote.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/quantity.h"
#include "cli/drive.h"
#include "cli/plan_show.h"
#include "cli/remote.h"
#include "cli/session.h"
#include "package/package.h"
#include "trust/trust.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what is sent */

/* The package that the plan names, where its file is at hand: published, or — only to look — described. */
static int name_package(Cli *cli, Arena *arena, const char *file, bool publish, json_t *body, Error *error) {
    char sha256[DIGEST_TEXT_SIZE];
    Plan *plan = NULL;
    PACKAGE_AUTO package = NULL;
    if (session_plan_open(arena, file, &plan, error) < 0) return -1;
    if (access(plan->package.file, R_OK) != 0) return 0; /* it may have been published before */
    if (publish) {
        if (remote_publish(cli, plan->package.file, sha256, error) < 0) return -1;
        json_set_text(body, "package", sha256);
        return 0;
    }
    if (package_open_untrusted(plan->package.file, &package, error) < 0) return -1;
    json_set_text(body, "service", package->manifest->head.service);
    json_set_text(body, "version", package->manifest->head.version);
    return 0;
}

static int make_body(Cli *cli, Arena *arena, const char *file, bool publish, json_t **out, Error *error) {
    BUFFER_AUTO text = {0};
    JSON_AUTO body = json_object();
    if (session_plan_text(file, &text, error) < 0) return -1;
    json_set_text(body, "plan", buffer_text(&text));
    json_set_text(body, "file", file);
    if (name_package(cli, arena, file, publish, body, error) < 0) return -1;
    *out = pointer_take(&body);
    return 0;
}

static int compile(Cli *cli, const char *file, json_t **answer, Error *error) {
    ARENA_AUTO arena = arena_new();
    JSON_AUTO body = NULL;
    if (make_body(cli, arena, file, false, &body, error) < 0) return -1;
    return remote_call(cli, "POST", "/api/v1/plans", body, answer, error);
}

int plan_remote_compile(Cli *cli, Arena *arena, const char *file, Plan **out, Error *error) {
    JSON_AUTO body = NULL;
    JSON_AUTO answer = NULL;
    Plan *plan = NULL;
    if (session_plan_open(arena, file, &plan, error) < 0 ||
        make_body(cli, arena, file, false, &body, error) < 0)
        return -1;
    if (!json_object_get(body, "version")) { /* any will do: only times and hosts are looked at */
        json_set_text(body, "service", plan->service.name);
        json_set_text(body, "version", "0");
    }
    if (remote_call(cli, "POST", "/api/v1/plans", body, &answer, error) < 0) return -1;
    return plan_from_json(arena, json_object_get(answer, "plan"), out, error);
}

/* ---- check and show */

static size_t host_count(const json_t *answer) {
    size_t index, count = 0;
    json_t *stage;
    json_array_foreach(json_object_get(answer, "stages"), index, stage) {
        count += json_array_size(json_object_get(stage, "hosts"));
    }
    return count;
}

static void print_json(const json_t *answer) {
    JSON_AUTO row = json_deep_copy(answer);
    json_set_text(row, "type", "plan");
    FREE_AUTO char *text = json_text(row);
    printf("%s\n", text);
}

/* What stands in the way of saying that all is in order: a package that nobody has verified. The controller
 * has verified what was published; a file here is held against the plan's keys, where these are here as well.
 */
static int check_package(Cli *cli, Arena *arena, const char *file, const json_t *answer, Error *error) {
    Plan *plan = NULL;
    TRUST_AUTO trust = NULL;
    PACKAGE_AUTO package = NULL;
    if (json_object_get(answer, "package")) return 0;
    if (session_plan_open(arena, file, &plan, error) < 0) return -1;
    const PlanPackage *wanted = &plan->package;
    if (trust_load(wanted->trust.items, wanted->trust.count, wanted->signatures, &trust, NULL) < 0) {
        cli_print(
            cli,
            "The package is not published yet, and the plan's keys are not here: nobody has verified it.\n");
        return 0;
    }
    if (package_open(wanted->file, trust, &package, error) < 0) return -1;
    cli_print(cli, "The package is not published yet; its signatures are good.\n");
    return 0;
}

int plan_remote_check(Cli *cli, const char *file) {
    ARENA_AUTO arena = arena_new();
    JSON_AUTO answer = NULL;
    Error error = {0};
    if (compile(cli, file, &answer, &error) < 0 || check_package(cli, arena, file, answer, &error) < 0)
        return cli_fail(cli, &error);
    if (cli->json) print_json(answer);
    cli_print(cli, "%s → %s, hosts: %zu\n", json_get_text(answer, "service", ""),
              json_get_text(answer, "version", ""), host_count(answer));
    cli_print(
        cli,
        "The plan is in order, and its hosts are of this fleet. Each host checks itself while it prepares: "
        "“upkeep run --prepare-only” stops after that.\n");
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

/* As the host has told. */
static const char *current_there(void *context, const Plan *own, Arena *arena) {
    size_t index, number;
    const json_t *host, *release, *hosts = context;
    json_array_foreach(hosts, index, host) {
        if (strcmp(json_get_text(host, "name", ""), own->hosts.items[0].name) != 0) continue;
        const json_t *releases = json_object_get(json_object_get(host, "facts"), "releases");
        json_array_foreach(releases, number, release) {
            if (strcmp(json_get_text(release, "root", ""), own->service.root) == 0)
                return arena_strdup(arena, json_get_text(release, "version", ""));
        }
    }
    return "";
}

static int show(Cli *cli, Arena *arena, const json_t *answer, Error *error) {
    JSON_AUTO hosts = NULL;
    Plan *plan = NULL;
    if (plan_from_json(arena, json_object_get(answer, "plan"), &plan, error) < 0 ||
        remote_call(cli, "GET", "/api/v1/hosts", NULL, &hosts, error) < 0)
        return -1;
    PlanShow shown = {.plan = plan,
                      .version = json_get_text(answer, "version", ""),
                      .current = current_there,
                      .context = json_object_get(hosts, "hosts")};
    plan_show(cli, arena, &shown);
    return 0;
}

int plan_remote_show(Cli *cli, const char *file) {
    ARENA_AUTO arena = arena_new();
    JSON_AUTO answer = NULL;
    Error error = {0};
    if (compile(cli, file, &answer, &error) < 0 || (!cli->json && show(cli, arena, answer, &error) < 0))
        return cli_fail(cli, &error);
    if (cli->json) print_json(answer);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

/* ---- run */

static int ask_person(Cli *cli, Arena *arena, const char *file, Error *error) {
    JSON_AUTO answer = NULL;
    if (!cli->terminal || !isatty(STDIN_FILENO)) return 0;
    if (compile(cli, file, &answer, error) < 0) return -1;
    if (show(cli, arena, answer, error) < 0) return -1;
    printf("\n%s", cli_text(cli, "Go ahead? [y/N] "));
    fflush(stdout);
    char reply[8] = "";
    if (fgets(reply, sizeof reply, stdin) && (reply[0] == 'y' || reply[0] == 'Y')) return 0;
    return error_set(error, ERROR_REFUSED, "not agreed; nothing was touched");
}

static int begin(Cli *cli, const Arguments *arguments, Arena *arena, const char **change, Error *error) {
    JSON_AUTO body = NULL;
    JSON_AUTO answer = NULL;
    const char *file = arguments->positional[0];
    if (make_body(cli, arena, file, true, &body, error) < 0) return -1;
    if (!arguments_has(arguments, "yes") && ask_person(cli, arena, file, error) < 0) return -1;
    json_set_bool(body, "prepare_only", arguments_has(arguments, "prepare-only"));
    if (remote_call(cli, "POST", "/api/v1/changes", body, &answer, error) < 0) return -1;
    *change = arena_strdup(arena, json_get_text(answer, "change", ""));
    return 0;
}

int plan_remote_run(Cli *cli, const Arguments *arguments) {
    ARENA_AUTO arena = arena_new();
    JOURNAL_AUTO journal = NULL;
    const char *change = NULL;
    Error error = {0};
    if (begin(cli, arguments, arena, &change, &error) < 0 ||
        session_journal_existing(cli, &journal, &error) < 0)
        return cli_fail(cli, &error);
    Drive drive = {.cli = cli, .journal = journal, .change = change};
    int result = drive_watch(&drive, &error);
    return result < 0 ? cli_fail(cli, &error) : result;
}
