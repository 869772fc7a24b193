/* restore-points, restore: what there is to go back to, and going back. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/quantity.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* The task's answer as a line of --json. */
static void print_json(const json_t *answer, const char *type) {
    JSON_AUTO row = json_copy((json_t *)answer);
    json_set_text(row, "type", type);
    FREE_AUTO char *text = json_text(row);
    printf("%s\n", text);
}

static Ask ask_for(const Arguments *arguments, TaskKind kind) {
    return (Ask){.host = arguments_get(arguments, "host", NULL),
                 .store = arguments_get(arguments, "store", NULL),
                 .task = {.kind = kind}};
}

static uint64_t count_of(const json_t *answer, const char *key) {
    return (uint64_t)json_get_integer(answer, key, 0);
}

static const char *size_of(const json_t *answer, const char *key, char text[static QUANTITY_TEXT_SIZE]) {
    return quantity_size_text(count_of(answer, key), text);
}

/* Where it was looked. */
static const char *store_of(const json_t *answer) {
    const json_t *store = json_array_get(json_object_get(answer, "stores"), 0);
    return json_is_string(store) ? json_string_value(store) : "-";
}

/* ---- restore-points */

static const char *kind_text(const char *kind) {
    if (strcmp(kind, "final") == 0) return TEXT("exact");
    return strcmp(kind, "aside") == 0 ? TEXT("set aside") : TEXT("prepared");
}

static void print_point(const Cli *cli, const json_t *point) {
    char size[QUANTITY_TEXT_SIZE];
    const char *version = json_get_text(point, "version", ""), *kind = json_get_text(point, "kind", "");
    if (cli->json) {
        print_json(point, "restore_point");
        return;
    }
    cli_print(cli, "%s\n", json_get_text(point, "id", ""));
    cli_print(
        cli, "    %s %s on %s, %.19sZ, %s, %" PRIu64 " files, %s, %s\n", json_get_text(point, "service", ""),
        *version ? version : "-", json_get_text(point, "host", ""), json_get_text(point, "time", ""),
        cli_text(cli, kind_text(kind)), count_of(point, "files"), size_of(point, "bytes", size),
        json_object_get(point, "proved") ? cli_text(cli, TEXT("proved")) : cli_text(cli, TEXT("not proved")));
}

/* With --server the host has been chosen by asking it. */
static int list_points(const Cli *cli, const Arguments *arguments, Error *error) {
    Ask asked = ask_for(arguments, TASK_RESTORE_POINTS);
    asked.task.service = arguments_get(arguments, "service", NULL);
    asked.task.host = cli->server ? NULL : asked.host;
    if (ask(cli, &asked, error) < 0) return -1;
    JSON_AUTO answer = asked.answer;
    size_t index;
    const json_t *point, *points = json_object_get(answer, "points");
    json_array_foreach(points, index, point) { print_point(cli, point); }
    if (json_array_size(points) == 0) cli_print(cli, "There is no restore point in %s.\n", store_of(answer));
    uint64_t unreadable = count_of(answer, "unreadable");
    if (json_get_error(json_object_get(answer, "unusable"), error)) return -1;
    if (unreadable == 0) return 0;
    error_set(error, ERROR_ATTENTION, "%zu restore points in %s cannot be read", (size_t)unreadable,
              store_of(answer));
    return error_hint(error, "“upkeep restore-points --fsck” says why");
}

static int prove_point(const Cli *cli, const Arguments *arguments, Error *error) {
    char size[QUANTITY_TEXT_SIZE];
    Ask asked = ask_for(arguments, TASK_PROVE);
    asked.task.id = arguments_get(arguments, "prove", NULL);
    if (ask(cli, &asked, error) < 0) return -1;
    JSON_AUTO answer = asked.answer;
    cli_print(cli, "%s is proved: %" PRIu64 " files (%s) were restored and are what they were.\n",
              asked.task.id, count_of(answer, "restored_files"), size_of(answer, "restored_bytes", size));
    if (cli->json) print_json(answer, "restore_point");
    return 0;
}

static void print_problems(const Cli *cli, const json_t *answer) {
    size_t index;
    const json_t *problem, *examples = json_object_get(answer, "examples");
    json_array_foreach(examples, index, problem) {
        if (cli->json)
            print_json(problem, "problem");
        else
            printf("%s\n", json_get_text(problem, cli->language == LANGUAGE_ZH ? "error_zh" : "error", ""));
    }
    if (json_array_size(examples) < count_of(answer, "problems"))
        cli_print(cli, "… and %" PRIu64 " more\n", count_of(answer, "problems") - json_array_size(examples));
}

static int check_store(const Cli *cli, const Arguments *arguments, Error *error) {
    char size[QUANTITY_TEXT_SIZE];
    Ask asked = ask_for(arguments, TASK_FSCK);
    if (ask(cli, &asked, error) < 0) return -1;
    JSON_AUTO answer = asked.answer;
    print_problems(cli, answer);
    cli_print(cli,
              "%" PRIu64 " objects (%s) and %" PRIu64 " restore points were read: %" PRIu64 " problems.\n",
              count_of(answer, "objects"), size_of(answer, "bytes", size), count_of(answer, "points"),
              count_of(answer, "problems"));
    if (json_get_error(json_object_get(answer, "unusable"), error)) return -1;
    if (count_of(answer, "problems") == 0) return 0;
    error_set(error, ERROR_ATTENTION, "the store %s is damaged", store_of(answer));
    return error_hint(error, "take new restore points: what is still on its host is stored again");
}

static int run_list(Cli *cli, const Arguments *arguments) {
    Error error = {0};
    int result = arguments_has(arguments, "prove")  ? prove_point(cli, arguments, &error)
                 : arguments_has(arguments, "fsck") ? check_store(cli, arguments, &error)
                                                    : list_points(cli, arguments, &error);
    return result < 0 ? cli_fail(cli, &error) : cli_result(cli, NULL, "succeeded", 0, NULL);
}

/* ---- restore */

static void print_counts(const Cli *cli, const json_t *counts) {
    char written[QUANTITY_TEXT_SIZE], removed[QUANTITY_TEXT_SIZE];
    cli_print(cli,
              "%s: %" PRIu64 " files to write (%s), %" PRIu64 " entries to remove (%s), %" PRIu64
              " others to set right, %" PRIu64 " unchanged\n",
              json_get_text(counts, "root", ""), count_of(counts, "written_files"),
              size_of(counts, "written_bytes", written), count_of(counts, "removed"),
              size_of(counts, "removed_bytes", removed), count_of(counts, "other"),
              count_of(counts, "unchanged"));
    if (!json_get_bool(counts, "proved", false)) cli_print(cli, "This restore point was never proved.\n");
}

static int agree(const Cli *cli, const Arguments *arguments, const json_t *counts, Error *error) {
    if (arguments_has(arguments, "yes")) return 0;
    bool is_elsewhere = arguments_has(arguments, "to");
    if (is_elsewhere && (count_of(counts, "removed") > 0 || count_of(counts, "replaced_bytes") > 0)) {
        error_set(error, ERROR_REFUSED, "files in %s would be replaced or removed",
                  arguments_get(arguments, "to", ""));
        return error_hint(error, "name an empty folder, or add --yes");
    }
    if (is_elsewhere || !cli->terminal || !isatty(STDIN_FILENO)) return 0;
    char answer[8] = "";
    printf("%s", cli_text(cli, "Go ahead? [y/N] "));
    fflush(stdout);
    if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y')) return 0;
    return error_set(error, ERROR_REFUSED, "not agreed; nothing was touched");
}

/* Look, show, ask, restore. */
static int restore(const Cli *cli, const Arguments *arguments, json_t **out, Error *error) {
    Ask asked = ask_for(arguments, TASK_RESTORE);
    asked.task.id = arguments->positional[0];
    asked.task.only = arguments_get(arguments, "only", NULL);
    asked.task.to = arguments_get(arguments, "to", NULL);
    asked.task.look = true;
    if (ask(cli, &asked, error) < 0) return -1;
    JSON_AUTO counts = asked.answer;
    print_counts(cli, counts);
    if (agree(cli, arguments, counts, error) < 0) return -1;
    asked.task.look = false;
    if (!arguments_has(arguments, "yes")) asked.task.seen = json_get_text(counts, "seen", NULL);
    if (ask(cli, &asked, error) < 0) return -1;
    *out = asked.answer;
    return 0;
}

static int run_restore(Cli *cli, const Arguments *arguments) {
    JSON_AUTO answer = NULL;
    Error error = {0};
    if (restore(cli, arguments, &answer, &error) < 0) return cli_fail(cli, &error);
    cli_print(cli, "%s is as it was in %s.\n", json_get_text(answer, "root", ""),
              json_get_text(answer, "restore_point", ""));
    if (cli->json) print_json(answer, "restored");
    return cli_result(cli, json_get_text(answer, "change", NULL), "succeeded", 0, NULL);
}

/* ---- the table */

static const Option list_options[] = {
    {"service", 0, "NAME", TEXT("only those of this service"), false},
    {"host", 0, "NAME", TEXT("only those of this host; with --server, the host that is asked"), false},
    {"prove", 0, "ID", TEXT("restore all of this one to a scratch folder and compare it"), false},
    {"fsck", 0, NULL, TEXT("read every object and every restore point"), false},
    {"store", 0, "DIR", TEXT("folder of the restore points (default: in the state folder)"), false},
    {0},
};

static const Option restore_options[] = {
    {"only", 0, "NAME", TEXT("one part (release, config, data) or one path"), false},
    {"to", 0, "DIR", TEXT("write there, not where it came from"), false},
    {"host", 0, "NAME", TEXT("with --server, the host that is meant"), false},
    {"yes", 'y', NULL, TEXT("do not ask"), false},
    {"store", 0, "DIR", TEXT("folder of the restore points (default: in the state folder)"), false},
    {0},
};

const CliVerb cli_verbs_restore[] = {
    {"restore-points", "", TEXT("list the backups that can be gone back to, prove or check them"),
     TEXT(
         "A restore point is proved when it was restored to a scratch folder and compared, digest by digest. "
         "Objects that did not change since are not restored again by an upgrade; --prove restores every "
         "one."),
     "upkeep restore-points --service node-red", list_options, 0, 0, run_list, true},
    {"restore", "ID", TEXT("put files back from a restore point, all or some"),
     TEXT("The target becomes exactly what the restore point says: what differs is written, what is missing "
          "comes back, what came since is removed. Every object is verified before anything is touched. Stop "
          "the "
          "service first."),
     "upkeep restore CHG-2026-0001-local-2-final --only data", restore_options, 1, 1, run_restore, true},
    {0},
};
