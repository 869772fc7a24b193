#include "cli/ask.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/quantity.h"
#include "cli/remote.h"
#include "host/host_task.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 30000, TROUBLE_MS = 60000, PAUSE_MS = 500 };

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

/* ---- here */

static int ask_here(const Cli *cli, Ask *asked, Error *error) {
    FREE_AUTO char *usual = file_join(cli->state, "restore-points");
    const char *stores[] = {asked->store ? asked->store : usual};
    HostTaskSpec spec = {.stores = {stores, 1},
                         .now_ms = clock_wall_ms(clock_system()),
                         .wish = {.progress = draw_progress, .context = (void *)cli}};
    int result = host_task(&spec, &asked->task, &asked->answer, error);
    erase_progress(cli);
    if (result < 0 && error->number == ENOENT)
        return error_hint(error, "name it with --store, as “restore_point.to” does in the plan");
    return result;
}

/* ---- there */

static int send(const Cli *cli, Ask *asked, Error *error) {
    FREE_AUTO char *path = NULL;
    JSON_AUTO body = task_to_json(&asked->task);
    JSON_AUTO answer = NULL;
    if (!asked->host) {
        error_set(error, ERROR_INVALID, "which host is meant?");
        return error_hint(error, "with --server, name it: --host NAME");
    }
    if (asked->store)
        return error_set(error, ERROR_INVALID,
                         "--store is a folder of this machine; a host of a fleet knows its own");
    if (asprintf(&path, "/api/v1/hosts/%s/tasks", asked->host) < 0) abort();
    if (remote_call(cli, "POST", path, body, &answer, error) < 0) return -1;
    snprintf(asked->id, sizeof asked->id, "%s", json_get_text(answer, "task", ""));
    return 0;
}

/* 1: it has ended, one way or the other; 0: there is news, or none came in that time; -1: the controller does
 * not say. */
static int look(const Cli *cli, Ask *asked, int64_t wait_ms, int64_t *revision, Error *error) {
    FREE_AUTO char *path = NULL;
    JSON_AUTO answer = NULL;
    if (asprintf(&path, "/api/v1/hosts/%s/tasks/%s?revision=%" PRId64 "&wait_ms=%" PRId64, asked->host,
                 asked->id, *revision, wait_ms) < 0)
        abort();
    if (remote_call(cli, "GET", path, NULL, &answer, error) < 0) return -1;
    const char *state = json_get_text(answer, "state", "");
    *revision = json_get_integer(answer, "revision", *revision);
    if (strcmp(state, "running") == 0)
        draw_progress((void *)cli, (uint64_t)json_get_integer(answer, "done", 0),
                      (uint64_t)json_get_integer(answer, "total", 0));
    if (strcmp(state, "done") == 0) asked->answer = json_incref(json_object_get(answer, "result"));
    return asked->answer || (strcmp(state, "failed") == 0 && json_get_error(answer, &asked->error));
}

/* It says that it knows nothing of it, or that we may not ask: trying again mends nothing. */
static bool is_final(const Error *error) { return error->number == ENOENT || error->kind == ERROR_INVALID; }

/* A controller that is away or busy for a moment is no reason to give up what a host is at. Each is looked at
 * once at least: its answer may be there when the time is over. */
static void collect(const Cli *cli, Ask *asked, int64_t until_ms) {
    int64_t revision = 0, trouble_ms = 0, now_ms = clock_steady_ms(clock_system());
    do {
        Error error = {0};
        int64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        int ended = look(cli, asked, left_ms < WAIT_MS ? left_ms : WAIT_MS, &revision, &error);
        if (ended > 0) return;
        asked->error = error;
        if (ended == 0) trouble_ms = 0;
        if (ended < 0 && !trouble_ms) trouble_ms = now_ms;
        if (ended < 0 && (is_final(&error) || now_ms - trouble_ms > TROUBLE_MS)) return;
        if (ended < 0) clock_sleep_ms(PAUSE_MS);
        now_ms = clock_steady_ms(clock_system());
    } while (now_ms < until_ms);
    if (asked->error.kind == ERROR_NONE)
        error_set(&asked->error, ERROR_REFUSED, "%s has not answered yet", asked->host);
}

static void ask_there(const Cli *cli, Ask *asks, size_t count, int64_t patience_ms) {
    int64_t until_ms = patience_ms ? clock_steady_ms(clock_system()) + patience_ms : INT64_MAX;
    for (size_t i = 0; i < count; i++)
        if (send(cli, &asks[i], &asks[i].error) < 0)
            asks[i].id[0] = '\0'; /* that of an earlier one is not meant */
    for (size_t i = 0; i < count; i++)
        if (asks[i].id[0]) collect(cli, &asks[i], until_ms);
    erase_progress(cli);
}

/* ---- either */

void ask_all(const Cli *cli, Ask *asks, size_t count, int64_t patience_ms) {
    for (size_t i = 0; i < count; i++) {
        asks[i].answer = NULL;
        asks[i].error = (Error){0};
    }
    if (cli->server) {
        ask_there(cli, asks, count, patience_ms);
        return;
    }
    for (size_t i = 0; i < count; i++) ask_here(cli, &asks[i], &asks[i].error);
}

int ask(const Cli *cli, Ask *asked, Error *error) {
    ask_all(cli, asked, 1, 0);
    if (asked->answer) return 0;
    if (error) *error = asked->error;
    return -1;
}
