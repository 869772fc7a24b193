/* list, status, watch, and the steering of a change: pause, resume, abort, rollback; of one host: skip,
 * retry. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/quantity.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/drive.h"
#include "cli/remote.h"
#include "cli/session.h"
#include "engine/change.h"
#include "engine/engine.h"
#include "model/words.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void print_json(json_t *row) {
    FREE_AUTO char *text = json_text(row);
    printf("%s\n", text);
    json_decref(row);
}

/* ---- list */

static const char *state_of(const ChangeSummary *item) {
    if (item->outcome != OUTCOME_NONE) return rollout_outcome_text(item->outcome);
    return item->held ? "held" : rollout_state_text(item->state);
}

/* As people write it, in their own time zone: "2026-11-21 21:20". */
static void local_time(const char *rfc3339, char text[static 20]) {
    int64_t ms = 0;
    struct tm parts;
    time_t seconds;
    snprintf(text, 20, "-");
    if (!rfc3339 || clock_from_text(rfc3339, &ms) < 0) return;
    seconds = (time_t)(ms / 1000);
    if (localtime_r(&seconds, &parts)) strftime(text, 20, "%Y-%m-%d %H:%M", &parts);
}

static void print_change(const Cli *cli, const ChangeSummary *item) {
    char opened[20];
    local_time(item->opened, opened);
    cli_print(cli, "%-14s  %s  %-16s %-10s %zu × %-12s %-12s %s\n", item->id, opened, item->service,
              item->version, item->host_count, item->environment,
              cli_text(cli, words_outcome(state_of(item))), item->title ? item->title : "");
}

static int run_list(Cli *cli, const Arguments *arguments) {
    (void)arguments;
    ARENA_AUTO arena = arena_new();
    JOURNAL_AUTO journal = NULL;
    ChangeList list;
    Error error;
    if (session_journal_existing(cli, &journal, &error) < 0 ||
        session_changes(cli, journal, arena, &list, &error) < 0)
        return cli_fail(cli, &error);
    for (size_t i = 0; i < list.count; i++) {
        const ChangeSummary *item = &list.items[i];
        if (!cli->json) {
            print_change(cli, item);
            continue;
        }
        json_t *row = json_object();
        json_set_text(row, "type", "change");
        change_summary_describe(item, row);
        json_set_text(row, "state", state_of(item));
        print_json(row);
    }
    if (list.count == 0) cli_print(cli, "There is no change yet.\n");
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

/* ---- status */

/* The change meant: the one named, or the latest. */
static int find_change(const Cli *cli, Journal *journal, Arena *arena, const Arguments *arguments,
                       const char **id, Error *error) {
    ChangeList list;
    if (arguments->positional_count > 0) {
        *id = arguments->positional[0];
        return 0;
    }
    if (session_changes(cli, journal, arena, &list, error) < 0) return -1;
    if (list.count == 0) return error_set(error, ERROR_INVALID, "there is no change yet");
    *id = list.items[list.count - 1].id;
    return 0;
}

static void print_status_json(const Rollout *rollout) {
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        json_t *row = json_object();
        json_set_text(row, "type", "host");
        json_set_text(row, "change", rollout->change);
        json_set_text(row, "host", host->name);
        json_set_text(row, "stage", rollout_stage_name(rollout, host));
        if (host->live) json_set_bool(row, "live", true);
        json_set_text(row, "state", host_state_text(host->state));
        json_set_text(row, "health", verdict_text(host->health));
        json_set_text(row, "error", host->error);
        if (rollout_is_left_out(host)) json_set_bool(row, "left_out", true);
        print_json(row);
    }
    json_t *row = json_object();
    json_set_text(row, "type", "change");
    json_set_text(row, "change", rollout->change);
    json_set_text(row, "service", rollout->plan->service.name);
    json_set_text(row, "version", rollout->version);
    json_set_text(row, "state", rollout_state_text(rollout->state));
    json_set_bool(row, "held", rollout->held);
    if (rollout->outcome != OUTCOME_NONE)
        json_set_text(row, "outcome", rollout_outcome_text(rollout->outcome));
    json_set_text(row, "reason", rollout->reason);
    print_json(row);
}

static void print_status(const Cli *cli, const Rollout *rollout) {
    cli_print(cli, "%s  %s → %s  %s\n", rollout->change, rollout->plan->service.name, rollout->version,
              cli_text(cli, rollout->held ? "held for a person to decide"
                            : rollout->outcome != OUTCOME_NONE
                                ? words_outcome(rollout_outcome_text(rollout->outcome))
                                : words_rollout_state(rollout->state)));
    if (rollout->reason)
        cli_print(cli, "  %s%s%s\n", rollout->reason_host ? rollout->reason_host : "",
                  rollout->reason_host ? ": " : "",
                  cli->language == LANGUAGE_ZH && rollout->reason_zh ? rollout->reason_zh : rollout->reason);
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        const char *why = host->left_out ? host->left_out : host->error;
        const char *why_zh = host->left_out ? host->left_out_zh : host->error_zh;
        if (cli->language == LANGUAGE_ZH && why_zh) why = why_zh;
        const char *part = cli_text(cli, words_host_part(host->part));
        cli_print(cli, "  %-12s %-12s %-14s %s%s%s\n", host->name,
                  host->live ? cli_text(cli, "live") : rollout_stage_name(rollout, host),
                  cli_text(cli, words_host_now(host)), part, *part && why ? ": " : "", why ? why : "");
    }
}

static int run_status(Cli *cli, const Arguments *arguments) {
    ARENA_AUTO arena = arena_new();
    JOURNAL_AUTO journal = NULL;
    Rollout *rollout = NULL;
    const char *id = NULL;
    Error error;
    if (session_journal_existing(cli, &journal, &error) < 0 ||
        find_change(cli, journal, arena, arguments, &id, &error) < 0 ||
        change_load(journal, arena, id, &rollout, &error) < 0)
        return cli_fail(cli, &error);
    if (cli->json)
        print_status_json(rollout);
    else
        print_status(cli, rollout);
    return 0;
}

static int run_watch(Cli *cli, const Arguments *arguments) {
    JOURNAL_AUTO journal = NULL;
    Error error;
    if (session_journal_existing(cli, &journal, &error) < 0) return cli_fail(cli, &error);
    Drive drive = {.cli = cli, .journal = journal, .change = arguments->positional[0]};
    int result = drive_watch(&drive, &error);
    return result < 0 ? cli_fail(cli, &error) : result;
}

/* ---- steering */

typedef struct Steering {
    const char *verb;
    bool drives; /* when nobody is at it, this process carries it out */
    bool asked;  /* a rolled-back end is what was asked for */
} Steering;

static int check_steerable(const Steering *steering, const Rollout *rollout, Error *error) {
    bool ended = rollout_ended(rollout);
    if (strcmp(steering->verb, "rollback") == 0) {
        if (rollout->outcome == OUTCOME_ROLLED_BACK || rollout->outcome == OUTCOME_ABORTED ||
            rollout->outcome == OUTCOME_REFUSED)
            return error_set(error, ERROR_REFUSED,
                             "%s has ended as “%s” already: there is nothing to roll back", rollout->change,
                             rollout_outcome_text(rollout->outcome));
        return 0;
    }
    if (!ended) return 0;
    error_set(error, ERROR_REFUSED, "%s has ended as “%s” already", rollout->change,
              rollout_outcome_text(rollout->outcome));
    if (rollout->outcome == OUTCOME_SUCCEEDED && strcmp(steering->verb, "abort") == 0)
        return error_hint(error, "“upkeep rollback %s” puts back the old version", rollout->change);
    return -1;
}

enum {
    LOSS_PATIENCE_MS = 15000,
    LOSS_ASKED_MAX = 50, /* through a controller: enough to know what is at stake */
};

/* The hosts that were switched, and so have something to lose. In the arena; how many. */
static size_t ask_losses(Arena *arena, const Rollout *rollout, Ask **out) {
    Ask *asks = ARENA_ARRAY(arena, rollout->host_count + 1, Ask);
    size_t count = 0;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        Plan *plan = NULL;
        if (!host->switched && host->state != HOST_COMMITTED) continue;
        if (plan_for_host(arena, rollout->plan, host->name, rollout->version, &plan, NULL) < 0) continue;
        asks[count++] =
            (Ask){.host = host->name,
                  .task = {.kind = TASK_LOSS, .change = rollout->change, .root = plan->service.root}};
    }
    *out = asks;
    return count;
}

static void print_loss(const Cli *cli, const Ask *asked, bool restores) {
    char bytes[QUANTITY_TEXT_SIZE];
    uint64_t files = (uint64_t)json_get_integer(asked->answer, "files", 0);
    const char *since = json_get_text(asked->answer, "since", "");
    bool one = files == 1;
    quantity_size_text((uint64_t)json_get_integer(asked->answer, "bytes", 0), bytes);
    if (restores)
        cli_print(cli,
                  one ? "  %-12s %" PRIu64 " file (%s) written since %s goes back to the copy; it is set "
                        "aside as a restore point\n"
                      : "  %-12s %" PRIu64 " files (%s) written since %s go back to the copy; they are set "
                        "aside as a restore point\n",
                  asked->host, files, bytes, since);
    else
        cli_print(cli,
                  one ? "  %-12s the data stays as it is; with --restore-data %" PRIu64
                        " file (%s) written since %s would be set aside\n"
                      : "  %-12s the data stays as it is; with --restore-data %" PRIu64
                        " files (%s) written since %s would be set aside\n",
                  asked->host, files, bytes, since);
}

/* What either choice would lose, host by host, before anything is done. */
static void show_loss(const Cli *cli, Arena *arena, const Rollout *rollout, bool restore_data,
                      bool keep_data) {
    Rollout wanted = *rollout;
    wanted.rollback_asked = true;
    wanted.restore_data = restore_data;
    wanted.keep_data = keep_data;
    Ask *asks;
    size_t count = ask_losses(arena, rollout, &asks);
    size_t asked_count = cli->server && count > LOSS_ASKED_MAX ? LOSS_ASKED_MAX : count;
    ask_all(cli, asks, asked_count, LOSS_PATIENCE_MS);
    for (size_t i = 0; i < asked_count; i++) {
        const Ask *asked = &asks[i];
        const char *why = cli->language == LANGUAGE_ZH ? asked->error.zh : asked->error.en;
        if (asked->answer)
            print_loss(cli, asked, rollout_restores_data(&wanted, rollout_host(rollout, asked->host)));
        else
            cli_print(cli, "  %-12s what would be lost is not known: %s\n", asked->host, why);
        json_decref(asked->answer);
    }
    if (asked_count < count)
        cli_print(cli, "  … %zu hosts more, which were not asked\n", count - asked_count);
}

static bool confirmed(Cli *cli, const Arguments *arguments) {
    if (arguments_has(arguments, "yes") || !cli->terminal || !isatty(STDIN_FILENO)) return true;
    printf("%s", cli_text(cli, "Go ahead? [y/N] "));
    fflush(stdout);
    char answer[8] = "";
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* Carry it out here, or — where somebody is at it already — look on until it has ended. */
static int drive_or_follow(const Drive *drive, Error *error) {
    int result = drive_change(drive, error);
    return result < 0 && drive_is_busy(error) ? drive_follow(drive, error) : result;
}

static int control_remotely(Cli *cli, const char *change, const char *verb, const char *why,
                            const json_t *fields, Error *error) {
    FREE_AUTO char *path = NULL;
    JSON_AUTO body = json_deep_copy(fields);
    json_set_text(body, "verb", verb);
    json_set_text(body, "why", why);
    if (asprintf(&path, "/api/v1/changes/%s/control", change) < 0) abort();
    return remote_call(cli, "POST", path, body, NULL, error);
}

/* The controller writes the control and obeys it; here it is followed. */
static int steer_remotely(Cli *cli, const Drive *drive, const Steering *steering) {
    Error error = {0};
    if (control_remotely(cli, drive->change, drive->control, drive->why, drive->fields, &error) < 0)
        return cli_fail(cli, &error);
    if (!steering->drives) {
        cli_print(cli, "%s: no further host is switched; “upkeep resume %s” goes on.\n", drive->change,
                  drive->change);
        return cli_result(cli, drive->change, "paused", 0, NULL);
    }
    int result = drive_watch(drive, &error);
    return result < 0 ? cli_fail(cli, &error) : result;
}

static int steer(Cli *cli, const Arguments *arguments, const Steering *steering) {
    ARENA_AUTO arena = arena_new();
    JOURNAL_AUTO journal = NULL;
    Rollout *rollout = NULL;
    Error error = {0};
    const char *id = arguments->positional[0], *by = session_who(arena);
    bool restore_data = arguments_has(arguments, "restore-data");
    bool keep_data = arguments_has(arguments, "keep-data");
    if (restore_data && keep_data) {
        error_set(&error, ERROR_INVALID, "--restore-data and --keep-data exclude each other");
        return cli_fail(cli, &error);
    }
    if (session_journal_existing(cli, &journal, &error) < 0 ||
        change_load(journal, arena, id, &rollout, &error) < 0 ||
        check_steerable(steering, rollout, &error) < 0)
        return cli_fail(cli, &error);
    if (strcmp(steering->verb, "rollback") == 0) {
        show_loss(cli, arena, rollout, restore_data, keep_data);
        if (!confirmed(cli, arguments)) {
            error_set(&error, ERROR_REFUSED, "not agreed; nothing was touched");
            return cli_fail(cli, &error);
        }
    }
    JSON_AUTO fields = json_object();
    json_set_bool(fields, "restore_data", restore_data);
    json_set_bool(fields, "keep_data", keep_data);
    Drive drive = {.cli = cli,
                   .journal = journal,
                   .change = id,
                   .by = by,
                   .asked = steering->asked,
                   .control = steering->verb,
                   .why = arguments_get(arguments, "why", NULL),
                   .fields = fields};
    if (cli->server) return steer_remotely(cli, &drive, steering);
    if (!steering->drives) {
        if (engine_control(journal, rollout, drive.control, by, drive.why, fields, clock_anchored(), &error) <
            0)
            return cli_fail(cli, &error);
        cli_print(cli, "%s: no further host is switched; “upkeep resume %s” goes on.\n", id, id);
        return cli_result(cli, id, "paused", 0, NULL);
    }
    int result = drive_or_follow(&drive, &error);
    return result < 0 ? cli_fail(cli, &error) : result;
}

/* ---- steering one host: written down for whoever carries the change out */

typedef struct HostSteering {
    const char *verb;
    const char *done; /* with the change, the host, and the change */
} HostSteering;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static int steer_host(Cli *cli, const Arguments *arguments, const HostSteering *steering) {
    ARENA_AUTO arena = arena_new();
    JOURNAL_AUTO journal = NULL;
    Rollout *rollout = NULL;
    Error error = {0};
    const char *id = arguments->positional[0], *host = arguments->positional[1];
    const char *why = arguments_get(arguments, "why", NULL);
    if (session_journal_existing(cli, &journal, &error) < 0 ||
        change_load(journal, arena, id, &rollout, &error) < 0 ||
        rollout_check_control(rollout, steering->verb, host, &error) < 0)
        return cli_fail(cli, &error);
    JSON_AUTO fields = json_object();
    json_set_text(fields, "host", host);
    int result = cli->server ? control_remotely(cli, id, steering->verb, why, fields, &error)
                             : engine_control(journal, rollout, steering->verb, session_who(arena), why,
                                              fields, clock_anchored(), &error);
    if (result < 0) return cli_fail(cli, &error);
    cli_print(cli, steering->done, id, host);
    if (rollout->state == ROLLOUT_PAUSED)
        cli_print(cli, "It is %s: “upkeep resume %s” goes on.\n",
                  cli_text(cli, rollout->held ? "held for a person to decide" : "paused"), id);
    else if (!cli->server)
        cli_print(cli, "If nobody carries it out at the moment, “upkeep resume %s” goes on.\n", id);
    return cli_result(cli, id, rollout->state == ROLLOUT_PAUSED ? "paused" : "succeeded", 0, NULL);
}
#pragma GCC diagnostic pop

static int run_skip(Cli *cli, const Arguments *arguments) {
    return steer_host(
        cli, arguments,
        &(HostSteering){"skip", TEXT("%s: %s is left out, and what was done on it is put back.\n")});
}
static int run_retry(Cli *cli, const Arguments *arguments) {
    return steer_host(cli, arguments,
                      &(HostSteering){"retry", TEXT("%s: %s begins once more, from the old version.\n")});
}

static int run_pause(Cli *cli, const Arguments *arguments) {
    return steer(cli, arguments, &(Steering){"pause", false, false});
}
static int run_resume(Cli *cli, const Arguments *arguments) {
    return steer(cli, arguments, &(Steering){"resume", true, false});
}
static int run_abort(Cli *cli, const Arguments *arguments) {
    return steer(cli, arguments, &(Steering){"abort", true, true});
}
static int run_rollback(Cli *cli, const Arguments *arguments) {
    return steer(cli, arguments, &(Steering){"rollback", true, true});
}

static const Option why_options[] = {
    {"why", 0, "TEXT", TEXT("the reason, for the journal"), false},
    {0},
};

static const Option rollback_options[] = {
    {"why", 0, "TEXT", TEXT("the reason, for the journal"), false},
    {"restore-data", 0, NULL, TEXT("put data and configuration back to the exact copy as well"), false},
    {"keep-data", 0, NULL, TEXT("leave data and configuration as they are, whatever the plan says"), false},
    {"yes", 'y', NULL, TEXT("do not ask"), false},
    {0},
};

const CliVerb cli_verbs_change[] = {
    {"list", "", TEXT("list all changes"), "", "upkeep list", NULL, 0, 0, run_list, true},
    {"status", "[CHANGE]", TEXT("where a change stands (default: the latest)"), "",
     "upkeep status CHG-2026-0001", NULL, 0, 1, run_status, true},
    {"watch", "CHANGE", TEXT("look on while another process carries a change out"), "",
     "upkeep watch CHG-2026-0001", NULL, 1, 1, run_watch, true},
    {"pause", "CHANGE", TEXT("switch no further host; what is under way ends safely"), "",
     "upkeep pause CHG-2026-0001 --why \"peak hours\"", why_options, 1, 1, run_pause, true},
    {"resume", "CHANGE", TEXT("go on with a paused, held or interrupted change"), "",
     "upkeep resume CHG-2026-0001", why_options, 1, 1, run_resume, true},
    {"skip", "CHANGE HOST", TEXT("leave one host out of a change that is under way"),
     TEXT("A host can be left out until it is switched, and when it has failed or was lost. What was done on "
          "it is "
          "put back; "
          "the others go on without it, and it is named when the change ends. Of each stage one host must "
          "remain."),
     "upkeep skip CHG-2026-0001 web7 --why \"disk is being replaced\"", why_options, 2, 2, run_skip, true},
    {"retry", "CHANGE HOST", TEXT("begin once more on one host that failed, was lost or left out"),
     TEXT("While its stage is not over. What the last try has left is put back first; then the host is "
          "prepared, "
          "backed up and "
          "proved again. Nothing is ever retried by itself."),
     "upkeep retry CHG-2026-0001 web7", why_options, 2, 2, run_retry, true},
    {"abort", "CHANGE", TEXT("stop, and put back everything the change has touched"), "",
     "upkeep abort CHG-2026-0001 --why \"wrong package\"", why_options, 1, 1, run_abort, true},
    {"rollback", "CHANGE", TEXT("put the old version back, also after success while the old release is kept"),
     TEXT("Says first what would be lost. Of a host that was confirmed the data stays as it is unless "
          "--restore-data is "
          "given; then it goes back to the exact copy taken with the service stopped, and what was written "
          "since is set aside "
          "as a restore point. Of a host that was not confirmed it goes back as the plan says; --keep-data "
          "leaves it."),
     "upkeep rollback CHG-2026-0001 --why \"orders fail\"", rollback_options, 1, 1, run_rollback, true},
    {0},
};
