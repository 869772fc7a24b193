#include "cli/plan_remote.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/quantity.h"
#include "cli/drive.h"
#include "cli/remote.h"
#include "cli/session.h"
#include "package/package.h"
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

static void print_stages(const Cli *cli, const json_t *answer) {
    size_t index, number;
    json_t *stage, *host;
    json_array_foreach(json_object_get(answer, "stages"), index, stage) {
        char soak[QUANTITY_TEXT_SIZE];
        quantity_duration_text(json_get_integer(stage, "soak_ms", 0), soak);
        cli_print(cli, "\nStage %zu: %s — %zu hosts, each batch watched for %s\n", index + 1,
                  json_get_text(stage, "stage", ""), json_array_size(json_object_get(stage, "hosts")), soak);
        json_array_foreach(json_object_get(stage, "hosts"), number, host) {
            cli_print(cli, "  %s\n", json_string_value(host));
        }
    }
}

static void print_json(const json_t *answer) {
    JSON_AUTO row = json_deep_copy(answer);
    json_set_text(row, "type", "plan");
    FREE_AUTO char *text = json_text(row);
    printf("%s\n", text);
}

static int say_plan(Cli *cli, const char *file, bool checking) {
    JSON_AUTO answer = NULL;
    Error error = {0};
    if (compile(cli, file, &answer, &error) < 0) return cli_fail(cli, &error);
    if (cli->json) print_json(answer);
    cli_print(cli, "%s → %s, hosts: %zu\n", json_get_text(answer, "service", ""),
              json_get_text(answer, "version", ""), host_count(answer));
    if (!checking) print_stages(cli, answer);
    if (checking)
        cli_print(
            cli,
            "The plan, its package and its hosts are in order. Each host checks itself while it prepares: "
            "“upkeep run --prepare-only” stops after that.\n");
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

int plan_remote_check(Cli *cli, const char *file) { return say_plan(cli, file, true); }
int plan_remote_show(Cli *cli, const char *file) { return say_plan(cli, file, false); }

/* ---- run */

static int ask_person(Cli *cli, const char *file, Error *error) {
    JSON_AUTO answer = NULL;
    if (!cli->terminal || !isatty(STDIN_FILENO)) return 0;
    if (compile(cli, file, &answer, error) < 0) return -1;
    cli_print(cli, "%s → %s, hosts: %zu\n", json_get_text(answer, "service", ""),
              json_get_text(answer, "version", ""), host_count(answer));
    print_stages(cli, answer);
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
    if (!arguments_has(arguments, "yes") && ask_person(cli, file, error) < 0) return -1;
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
