/* restore-points, restore: what there is to go back to, and going back. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/quantity.h"
#include "cli/cli.h"
#include "host/restore_point/restore_point.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* ---- what both verbs need ---- */

/* Looking for a store must not make one. */
static int open_store(const Cli *cli, const Arguments *arguments, Store **out, Error *error) {
    FREE_AUTO char *usual = file_join(cli->state, "restore-points");
    const char *path = arguments_get(arguments, "store", usual);
    if (access(path, F_OK) != 0) {
        error_errno(error, ERROR_INVALID, errno, "there is no store of restore points at %s", path);
        return error_hint(error, "name it with --store, as “restore_point.to” does in the plan");
    }
    return store_open(path, out, error);
}

static void draw_progress(void *context, uint64_t bytes_done, uint64_t bytes_total) {
    const Cli *cli = context;
    char done[QUANTITY_TEXT_SIZE], total[QUANTITY_TEXT_SIZE];
    if (!cli->terminal || cli->quiet) return;
    printf("\r\033[K%s / %s", quantity_size_text(bytes_done, done), quantity_size_text(bytes_total, total));
    fflush(stdout);
}

static void erase_progress(const Cli *cli) {
    if (cli->terminal && !cli->quiet) printf("\r\033[K");
}

static void print_json(const json_t *json) {
    FREE_AUTO char *text = json_text(json);
    printf("%s\n", text);
}

static uint64_t size_of(const RestorePoint *point, uint64_t *files) {
    uint64_t bytes = 0;
    *files = 0;
    for (size_t i = 0; i < point->part_count; i++) {
        bytes += point->parts[i].size_bytes;
        *files += point->parts[i].file_count;
    }
    return bytes;
}

/* ---- restore-points ---- */

static void set_time(json_t *json, const char *key, int64_t time_ms) {
    char time[CLOCK_TEXT_SIZE];
    clock_to_text(time_ms, time);
    json_set_text(json, key, time);
}

static json_t *parts_to_json(const RestorePoint *point) {
    json_t *parts = json_array();
    for (size_t i = 0; i < point->part_count; i++) {
        const RestorePointPart *part = &point->parts[i];
        json_t *json = json_object(), *paths = json_array();
        for (size_t j = 0; j < part->path_count; j++)
            json_array_append_new(paths, json_string(part->paths[j]));
        json_object_set_new(json, "paths", paths);
        json_set_text(json, "name", part->name);
        json_set_integer(json, "files", (int64_t)part->file_count);
        json_set_integer(json, "bytes", (int64_t)part->size_bytes);
        json_array_append_new(parts, json);
    }
    return parts;
}

static void print_point_json(const RestorePoint *point) {
    JSON_AUTO json = json_object();
    uint64_t files, bytes = size_of(point, &files);
    json_set_text(json, "type", "restore_point");
    json_set_text(json, "id", point->id);
    json_set_text(json, "change", point->change);
    json_set_text(json, "service", point->service);
    json_set_text(json, "host", point->host);
    json_set_text(json, "root", point->root);
    json_set_text(json, "version", point->version);
    json_set_text(json, "kind", restore_point_kind_name(point->kind));
    set_time(json, "time", point->time_ms);
    json_set_integer(json, "files", (int64_t)files);
    json_set_integer(json, "bytes", (int64_t)bytes);
    json_set_integer(json, "stored_bytes", (int64_t)point->stored_bytes);
    json_object_set_new(json, "parts", parts_to_json(point));
    if (point->proof.time_ms != 0) set_time(json, "proved", point->proof.time_ms);
    print_json(json);
}

static const char *kind_text(RestorePointKind kind) {
    static const char *const texts[] = {
        [RESTORE_POINT_PREPARE] = TEXT("prepared"),
        [RESTORE_POINT_FINAL] = TEXT("exact"),
        [RESTORE_POINT_ASIDE] = TEXT("set aside"),
    };
    return texts[kind];
}

static void print_point(const Cli *cli, const RestorePoint *point) {
    char time[CLOCK_TEXT_SIZE], size[QUANTITY_TEXT_SIZE];
    uint64_t files, bytes = size_of(point, &files);
    if (cli->json) {
        print_point_json(point);
        return;
    }
    clock_to_text(point->time_ms, time);
    cli_print(cli, "%s\n", point->id);
    cli_print(cli, "    %s %s on %s, %.19sZ, %s, %" PRIu64 " files, %s, %s\n", point->service,
              point->version[0] ? point->version : "-", point->host, time,
              cli_text(cli, kind_text(point->kind)), files, quantity_size_text(bytes, size),
              point->proof.time_ms != 0 ? cli_text(cli, TEXT("proved")) : cli_text(cli, TEXT("not proved")));
}

static int list_points(Cli *cli, const Arguments *arguments, Store *store, Error *error) {
    RESTORE_POINT_LIST_AUTO list = {0};
    const char *service = arguments_get(arguments, "service", NULL),
               *host = arguments_get(arguments, "host", NULL);
    if (restore_point_list(store, service, host, &list, error) < 0) return -1;
    for (size_t i = 0; i < list.count; i++) print_point(cli, list.points[i]);
    if (list.count == 0) cli_print(cli, "There is no restore point in %s.\n", store_path(store));
    if (list.unreadable == 0) return 0;
    error_set(error, ERROR_ATTENTION, "%zu restore points in %s cannot be read", list.unreadable,
              store_path(store));
    return error_hint(error, "“upkeep restore-points --fsck” says why");
}

static int prove_point(Cli *cli, const char *id, Store *store, Error *error) {
    RESTORE_POINT_AUTO point = NULL;
    RestorePointProve options = {.full = true,
                                 .now_ms = clock_wall_ms(clock_system()),
                                 .wish = {.progress = draw_progress, .context = cli}};
    if (restore_point_load(store, id, &point, error) < 0) return -1;
    int result = restore_point_prove(store, point, &options, error);
    erase_progress(cli);
    if (result < 0) return -1;
    char size[QUANTITY_TEXT_SIZE];
    cli_print(cli, "%s is proved: %" PRIu64 " files (%s) were restored and are what they were.\n", id,
              point->proof.restored_files, quantity_size_text(point->proof.restored_bytes, size));
    if (cli->json) print_point_json(point);
    return 0;
}

static void tell_problem(void *context, const Error *problem) {
    const Cli *cli = context;
    if (cli->json) {
        JSON_AUTO json = json_object();
        json_set_text(json, "type", "problem");
        json_set_text(json, "error", problem->en);
        print_json(json);
        return;
    }
    printf("%s\n", cli->language == LANGUAGE_ZH ? problem->zh : problem->en);
}

static int check_store(Cli *cli, Store *store, Error *error) {
    RestorePointCheck counts;
    char size[QUANTITY_TEXT_SIZE];
    if (restore_point_fsck(store, tell_problem, cli, &counts, error) < 0) return -1;
    cli_print(cli,
              "%" PRIu64 " objects (%s) and %" PRIu64 " restore points were read: %" PRIu64 " problems.\n",
              counts.objects, quantity_size_text(counts.bytes, size), counts.points, counts.problems);
    if (counts.problems == 0) return 0;
    error_set(error, ERROR_ATTENTION, "the store %s is damaged", store_path(store));
    return error_hint(error, "take new restore points: what is still on its host is stored again");
}

static int run_list(Cli *cli, const Arguments *arguments) {
    STORE_AUTO store = NULL;
    Error error = {0};
    const char *prove = arguments_get(arguments, "prove", NULL);
    int result = open_store(cli, arguments, &store, &error);
    if (result == 0 && prove)
        result = prove_point(cli, prove, store, &error);
    else if (result == 0 && arguments_has(arguments, "fsck"))
        result = check_store(cli, store, &error);
    else if (result == 0)
        result = list_points(cli, arguments, store, &error);
    return result < 0 ? cli_fail(cli, &error) : cli_result(cli, NULL, "succeeded", 0, NULL);
}

/* ---- restore ---- */

/* Nobody may upgrade the host while its files are put back. A root that was never upgraded has no lock. */
static int lock_root(const char *path, int *out, Error *error) {
    FD_AUTO root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 && errno == ENOENT) return 0;
    if (root < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", path);
    FD_AUTO lock = file_open_no_links(root, ".upkeep/lock", O_RDWR, 0);
    if (lock < 0 && errno == ENOENT) return 0;
    if (lock < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the lock of %s", path);
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return error_errno(error, ERROR_SYSTEM, errno, "cannot take the lock of %s", path);
        error_set(error, ERROR_REFUSED, "%s is being upgraded", path);
        return error_hint(error, "wait for it, or look with “upkeep status”");
    }
    *out = fd_take(&lock);
    return 0;
}

static void print_counts(const Cli *cli, const char *root, const RestoreCounts *counts) {
    char written[QUANTITY_TEXT_SIZE], removed[QUANTITY_TEXT_SIZE];
    cli_print(cli,
              "%s: %" PRIu64 " files to write (%s), %" PRIu64 " entries to remove (%s), %" PRIu64
              " others to set right, %" PRIu64 " unchanged\n",
              root, counts->written_files, quantity_size_text(counts->written_bytes, written),
              counts->removed, quantity_size_text(counts->removed_bytes, removed), counts->other,
              counts->unchanged);
}

static int agree(const Cli *cli, const Arguments *arguments, const RestoreCounts *counts, Error *error) {
    if (arguments_has(arguments, "yes")) return 0;
    bool is_elsewhere = arguments_has(arguments, "to");
    if (is_elsewhere && (counts->removed > 0 || counts->replaced_bytes > 0)) {
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

static void print_restored(const Cli *cli, const char *root, const RestorePoint *point,
                           const RestoreCounts *counts) {
    cli_print(cli, "%s is as it was in %s.\n", root, point->id);
    if (!cli->json) return;
    JSON_AUTO json = json_object();
    json_set_text(json, "type", "restored");
    json_set_text(json, "restore_point", point->id);
    json_set_text(json, "root", root);
    json_set_integer(json, "written_files", (int64_t)counts->written_files);
    json_set_integer(json, "written_bytes", (int64_t)counts->written_bytes);
    json_set_integer(json, "removed", (int64_t)counts->removed);
    json_set_integer(json, "unchanged", (int64_t)counts->unchanged);
    print_json(json);
}

/* Look, show, ask, restore. */
static int restore(Cli *cli, const Arguments *arguments, Store *store, RestorePoint *point, Error *error) {
    const char *only = arguments_get(arguments, "only", NULL);
    bool is_part = only && restore_point_part(point, only);
    RestorePointApply options = {.part = is_part ? only : NULL,
                                 .only = is_part ? NULL : only,
                                 .root = arguments_get(arguments, "to", point->root),
                                 .mode = RESTORE_LOOK,
                                 .wish = {.progress = draw_progress, .context = cli}};
    RestoreCounts counts;
    if (restore_point_apply(store, point, &options, &counts, error) < 0) return -1;
    print_counts(cli, options.root, &counts);
    if (point->proof.time_ms == 0) cli_print(cli, "This restore point was never proved.\n");
    if (agree(cli, arguments, &counts, error) < 0) return -1;
    options.mode = RESTORE_EXACT;
    int result = restore_point_apply(store, point, &options, &counts, error);
    erase_progress(cli);
    if (result == 0) print_restored(cli, options.root, point, &counts);
    return result;
}

static int run_restore(Cli *cli, const Arguments *arguments) {
    STORE_AUTO store = NULL;
    RESTORE_POINT_AUTO point = NULL;
    FD_AUTO lock = -1;
    Error error = {0};
    if (open_store(cli, arguments, &store, &error) < 0 ||
        restore_point_load(store, arguments->positional[0], &point, &error) < 0 ||
        (!arguments_has(arguments, "to") && lock_root(point->root, &lock, &error) < 0) ||
        restore(cli, arguments, store, point, &error) < 0)
        return cli_fail(cli, &error);
    return cli_result(cli, point->change[0] ? point->change : NULL, "succeeded", 0, NULL);
}

/* ---- the table ---- */

static const Option list_options[] = {
    {"service", 0, "NAME", TEXT("only those of this service"), false},
    {"host", 0, "NAME", TEXT("only those of this host"), false},
    {"prove", 0, "ID", TEXT("restore all of this one to a scratch folder and compare it"), false},
    {"fsck", 0, NULL, TEXT("read every object and every restore point"), false},
    {"store", 0, "DIR", TEXT("folder of the restore points (default: in the state folder)"), false},
    {0},
};

static const Option restore_options[] = {
    {"only", 0, "NAME", TEXT("one part (release, config, data) or one path"), false},
    {"to", 0, "DIR", TEXT("write there, not where it came from"), false},
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
     "upkeep restore-points --service node-red", list_options, 0, 0, run_list, false},
    {"restore", "ID", TEXT("put files back from a restore point, all or some"),
     TEXT("The target becomes exactly what the restore point says: what differs is written, what is missing "
          "comes back, what came since is removed. Every object is verified before anything is touched. Stop "
          "the "
          "service first."),
     "upkeep restore CHG-2026-0001-local-2-final --only data", restore_options, 1, 1, run_restore, false},
    {0},
};
