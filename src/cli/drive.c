#include "cli/drive.h"
#include "base/json.h"
#include "cli/live.h"
#include "engine/change.h"
#include "engine/engine.h"
#include "engine/host_link_local.h"
#include "model/words.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLLOW_MS = 200, TAKE_OVER_MS = 5000, SERVER_PATIENCE_MS = 120000, FOLLOW_QUIET = -2 };

/* The one thing a signal handler may touch: how often we were asked to stop. */
static atomic_int interrupts;

static void on_interrupt(int number) {
    (void)number;
    atomic_fetch_add(&interrupts, 1);
}

static void heed_signals(void) {
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader of our output that goes away must not end an upgrade */
}

const char *drive_store(const Cli *cli, Arena *arena, const Plan *plan) {
    if (plan->restore_point.to) return plan->restore_point.to;
    return arena_printf(arena, "%s/restore-points", cli->state);
}

/* ---- how it ended */

static void print_failures(const Cli *cli, const Rollout *rollout) {
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        bool lost = host->state == HOST_LOST && !rollout_went_through(rollout);
        if (!rollout_needs_person(host) && !lost) continue;
        const char *why =
            host->kept    ? cli_text(cli, "left on the new version, as the plan says; a person decides")
            : host->error ? (cli->language == LANGUAGE_ZH && host->error_zh ? host->error_zh : host->error)
                          : cli_text(cli, words_host_state(host->state));
        fprintf(stderr, "upkeep: %s: %s\n", host->name, why);
    }
}

static const char *reason(const Cli *cli, const Rollout *rollout) {
    if (!rollout->reason) return "";
    return cli->language == LANGUAGE_ZH && rollout->reason_zh ? rollout->reason_zh : rollout->reason;
}

static void print_left_out(const Cli *cli, const Rollout *rollout) {
    if (!rollout_went_through(rollout)) return;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        const char *why =
            cli->language == LANGUAGE_ZH && host->left_out_zh ? host->left_out_zh : host->left_out;
        if (rollout_is_left_out(host))
            cli_print(cli, "  %s: %s, %s%s%s\n", host->name, cli_text(cli, words_host_part(host->part)),
                      cli_text(cli, words_host_state(host->state)), why ? ": " : "", why ? why : "");
    }
}

static void print_outcome(const Cli *cli, const Rollout *rollout, const char *outcome) {
    size_t left_out = rollout_went_through(rollout) ? rollout_left_out(rollout) : 0;
    const char *text = cli_text(cli, rollout->held ? "held for a person to decide" : words_outcome(outcome));
    if (left_out == 0)
        cli_print(cli, "%s: %s\n", rollout->change, text);
    else
        cli_print(cli,
                  left_out == 1 ? "%s: %s; %zu host was left out\n" : "%s: %s; %zu hosts were left out\n",
                  rollout->change, text, left_out);
    print_left_out(cli, rollout);
}

static int exit_of(const Drive *drive, const Rollout *rollout) {
    switch (rollout->outcome) {
    case OUTCOME_SUCCEEDED: return 0;
    case OUTCOME_REFUSED: return 3;
    case OUTCOME_ROLLED_BACK:
    case OUTCOME_ABORTED: return drive->asked ? 0 : 4;
    case OUTCOME_FAILED: return 5;
    case OUTCOME_NONE: break;
    }
    return rollout->held ? 5 : rollout->prepare_only ? 0 : 130;
}

/* What can be done about the one host whose fault it was. */
static void hint_host(const Cli *cli, const Rollout *rollout) {
    const RolloutHost *host = rollout_host(rollout, rollout->reason_host);
    if (!host) return;
    if (rollout_check_skip(rollout, host, NULL) == 0)
        fprintf(stderr, cli_text(cli, "upkeep: “upkeep skip %s %s” first goes on without that host\n"),
                rollout->change, host->name);
    if (rollout_check_retry(rollout, host, NULL) == 0)
        fprintf(stderr, cli_text(cli, "upkeep: “upkeep retry %s %s” first begins once more on it\n"),
                rollout->change, host->name);
}

static int finish(const Drive *drive, const Rollout *rollout) {
    Cli *cli = drive->cli;
    int status = exit_of(drive, rollout);
    const char *outcome = rollout->outcome != OUTCOME_NONE ? rollout_outcome_text(rollout->outcome)
                          : rollout->held                  ? "failed"
                                                           : "paused";
    Error error = {.kind = ERROR_NONE};
    if (rollout->reason) error_set(&error, ERROR_FAILED, "%s", rollout->reason);
    fflush(stdout);
    if (status != 0 && rollout->reason)
        fprintf(stderr, "upkeep: %s%s%s\n", rollout->reason_host ? rollout->reason_host : "",
                rollout->reason_host ? ": " : "", reason(cli, rollout));
    print_failures(cli, rollout);
    print_outcome(cli, rollout, outcome);
    if (rollout->held) {
        fprintf(
            stderr,
            cli_text(cli,
                     "upkeep: decide with “upkeep resume %s”, “upkeep rollback %s” or “upkeep abort %s”\n"),
            rollout->change, rollout->change, rollout->change);
        hint_host(cli, rollout);
    } else if (rollout->outcome == OUTCOME_FAILED && rollout_went_through(rollout)) {
        fprintf(stderr,
                cli_text(
                    cli,
                    "upkeep: the other hosts run the new version; mend this by hand, or “upkeep rollback %s” "
                    "puts the old version back everywhere\n"),
                rollout->change);
    } else if (rollout->outcome == OUTCOME_FAILED) {
        fprintf(
            stderr,
            cli_text(cli,
                     "upkeep: once its cause is mended, “upkeep rollback %s” puts the old version back\n"),
            rollout->change);
    } else if (rollout->outcome == OUTCOME_NONE) {
        cli_print(cli, "Go on with “upkeep resume %s”.\n", rollout->change);
    } else if (rollout->outcome != OUTCOME_REFUSED) {
        cli_print(cli, "“upkeep report %s --form retrospective -o report.html” writes what happened.\n",
                  rollout->change);
    }
    return cli_result(cli, rollout->change, outcome, status, status && rollout->reason ? &error : NULL);
}

/* ---- being the engine */

/* A change whose hosts could not even be had was never begun: say so in the journal, so that it does not stay
 * open. */
static void close_refused(const Drive *drive, const Rollout *rollout, const Error *why) {
    json_t *closed = rollout_event(rollout, "change.closed", clock_wall_ms(clock_system()));
    json_set_text(closed, "outcome", rollout_outcome_text(OUTCOME_REFUSED));
    json_set_text(closed, "why", why->en);
    json_set_text(closed, "why_zh", why->zh);
    journal_append(drive->journal, &closed, 1, NULL);
    json_decref(closed);
}

static int write_control(const Drive *drive, const Rollout *rollout, Error *error) {
    if (!drive->control) return 0;
    return engine_control(drive->journal, rollout, drive->control, drive->by, drive->why, drive->fields,
                          clock_anchored(), error);
}

bool drive_is_busy(const Error *error) { return error->number == EWOULDBLOCK; }

static bool is_switching(const Rollout *rollout) {
    for (size_t i = 0; i < rollout->host_count; i++)
        if (rollout->hosts[i].order_open && rollout->hosts[i].order.kind != ORDER_PREPARE) return true;
    return false;
}

int drive_change(const Drive *drive, Error *error) {
    ARENA_AUTO arena = arena_new();
    Rollout *rollout = NULL;
    HostLink *link = NULL;
    if (change_load(drive->journal, arena, drive->change, &rollout, error) < 0) return -1;
    HostLinkLocalSpec local;
    if (host_link_local_spec(arena, rollout, drive->cli->state, &local, error) < 0) return -1;
    local.clock = clock_anchored();
    local.guard = "/proc/self/exe";
    if (host_link_local_open(&local, &link, error) < 0) {
        if (drive->fresh) close_refused(drive, rollout, error);
        return -1;
    }
    if (write_control(drive, rollout, error) < 0) {
        link->close(link);
        return -1;
    }
    heed_signals();
    Live *live = live_new(drive->cli);
    EngineSpec spec = {.journal = drive->journal,
                       .link = link,
                       .clock = clock_anchored(),
                       .rollout = rollout,
                       .by = drive->by,
                       .prepare_only = drive->prepare_only,
                       .resume = drive->resume,
                       .interrupts = &interrupts,
                       .observer = {live_event, live_report, live_tick, live}};
    EngineEnd end = ENGINE_ENDED;
    int result = engine_run(&spec, &end, error);
    live_free(live);
    int status = result < 0 ? cli_fail(drive->cli, error) : finish(drive, rollout);
    fflush(NULL);
    if (end == ENGINE_INTERRUPTED || (result < 0 && !is_switching(rollout)))
        _exit(status); /* hosts may be at work: leave as a crash would, which is safe */
    link->close(link); /* no journal is no reason to leave a service stopped: what was begun is ended first */
    return status;
}

/* ---- looking on */

typedef struct Following {
    Rollout *rollout;
    Live *live;
    int64_t silent_ms; /* steady: since when the controller does not answer; 0: it does */
} Following;

static int follow_event(void *context, int64_t sequence, const json_t *event, Error *error) {
    Following *following = context;
    if (rollout_fold(following->rollout, sequence, event, error) < 0) return -1;
    live_event(following->live, following->rollout, event);
    return 0;
}

/* There is nothing to look at until a person does something. */
static bool rests(const Rollout *rollout) {
    bool prepared = rollout->prepare_only && rollout->state == ROLLOUT_PAUSED && !rollout_busy(rollout);
    return rollout_ended(rollout) || (rollout->held && !rollout_busy(rollout)) || prepared;
}

/* A controller goes on whether or not anybody looks. */
static int leave_it(const Drive *drive, const Rollout *rollout) {
    cli_print(drive->cli,
              "%s goes on at the controller; “upkeep watch %s” looks on, “upkeep pause %s” pauses it.\n",
              rollout->change, rollout->change, rollout->change);
    return cli_result(drive->cli, rollout->change, "paused", 130, NULL);
}

/* What came since. A controller that is being started again is waited for: what it carries out goes on. */
static int catch_up(const Drive *drive, Following *following, Error *error) {
    int64_t now_ms = clock_steady_ms(clock_system());
    Error why = {0};
    if (journal_read(drive->journal, following->rollout->sequence, drive->change, follow_event, following,
                     &why) == 0) {
        following->silent_ms = 0;
        return 0;
    }
    if (!following->silent_ms) {
        following->silent_ms = now_ms;
        if (drive->cli->server && why.kind == ERROR_SYSTEM)
            fprintf(stderr, cli_text(drive->cli, "upkeep: the controller does not answer; waiting for it\n"));
    }
    if (drive->cli->server && why.kind == ERROR_SYSTEM && now_ms - following->silent_ms < SERVER_PATIENCE_MS)
        return 0;
    if (error) *error = why;
    return -1;
}

/* Until it ends, or FOLLOW_QUIET when nothing was heard of it for `quiet_ms` (0: however long that lasts). */
static int follow(const Drive *drive, int64_t quiet_ms, Error *error) {
    ARENA_AUTO arena = arena_new();
    Following following = {0};
    if (change_load(drive->journal, arena, drive->change, &following.rollout, error) < 0) return -1;
    heed_signals();
    following.live = live_new(drive->cli);
    int result = 0;
    int64_t heard_ms = clock_steady_ms(clock_system());
    while (result == 0 && !rests(following.rollout) && atomic_load(&interrupts) == 0) {
        int64_t sequence = following.rollout->sequence, now_ms = clock_steady_ms(clock_system());
        result = catch_up(drive, &following, error);
        if (following.rollout->sequence != sequence) heard_ms = now_ms;
        if (result == 0 && quiet_ms && now_ms - heard_ms >= quiet_ms) result = FOLLOW_QUIET;
        live_tick(following.live, following.rollout, clock_wall_ms(clock_system()));
        clock_sleep_ms(FOLLOW_MS);
    }
    live_free(following.live);
    if (result == 0 && drive->cli->server && !rests(following.rollout))
        return leave_it(drive, following.rollout);
    return result < 0 ? result : finish(drive, following.rollout);
}

int drive_watch(const Drive *drive, Error *error) { return follow(drive, 0, error); }

int drive_follow(const Drive *drive, Error *error) {
    ARENA_AUTO arena = arena_new();
    Rollout *rollout = NULL;
    Drive looking = *drive;
    looking.control = NULL;
    if (change_load(drive->journal, arena, drive->change, &rollout, error) < 0 ||
        write_control(drive, rollout, error) < 0)
        return -1;
    for (;;) {
        int result = follow(&looking, TAKE_OVER_MS, error);
        if (result != FOLLOW_QUIET) return result;
        result = drive_change(&looking, error);
        if (result >= 0 || !drive_is_busy(error)) return result;
    }
}
