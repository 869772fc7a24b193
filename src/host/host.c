#include "host/host.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/process.h"
#include "base/reserve.h"
#include "host/guard.h"
#include "host/host_lock.h"
#include "host/host_room.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- open and close */

static int load_releases(Host *host, Error *error) {
    if (release_load(host->root, host->spec.version, host->arena, &host->fresh, NULL) < 0)
        host->fresh = (Release){0};
    if (!host->ledger.old_version) return 0;
    return release_load(host->root, host->ledger.old_version, host->arena, &host->old, error);
}

/* An unconfirmed switch of another change must not be forgotten, nor a rollback that did not come to its end,
 * nor — where we only want to go back to an earlier one — what it has prepared. */
static int check_finished(const Ledger *other, bool ours_begun, Error *error) {
    bool going_back =
        other->order.kind == ORDER_ROLLBACK && (other->order_open || ledger_step_done(other, "stop"));
    bool prepared = other->staged || ledger_has_done(other);
    if (other->rolled_back || (other->committed && !going_back)) return 0;
    if (!other->stopped && !other->drained && !(ours_begun && prepared)) return 0;
    error_set(error, ERROR_REFUSED, "the change %s is not finished here", other->change);
    if (going_back) return error_hint(error, "finish it with “upkeep rollback %s”", other->change);
    return error_hint(error, "finish it with “upkeep resume %s” or “upkeep abort %s”", other->change,
                      other->change);
}

/* Back to a change that was accepted here, when what came after it has left nothing. */
static int return_to_accepted(Host *host, Error *error) {
    const Ledger *later = &host->ledger;
    Ledger accepted;
    char current[RELEASE_VERSION_SIZE];
    if (ledger_load_accepted(host->arena, host->upkeep, &accepted, error) < 0) return -1;
    bool ours = accepted.change && strcmp(accepted.change, host->spec.change) == 0;
    if (!ours || (later->committed && !later->rolled_back)) {
        ledger_free(&accepted);
        return error_set(error, ERROR_REFUSED, "%s has been upgraded by %s since; roll that one back first",
                         host->spec.plan->service.root, later->change ? later->change : "another change");
    }
    ledger_free(&host->ledger);
    host->ledger = accepted;
    if (release_current(host->root, current, error) < 0) return -1;
    if (strcmp(current, accepted.new_version) == 0) return load_releases(host, error);
    return error_set(error, ERROR_ATTENTION, "%s runs “%s”, not the %s that %s has brought",
                     host->spec.plan->service.root, current, accepted.new_version, accepted.change);
}

/* A controller that was restored from an older copy gives numbers of changes once more: what was answered for
 * the one says nothing of the other. */
static int go_on_with_change(Host *host, Error *error) {
    const Ledger *ledger = &host->ledger;
    if (strcmp(ledger->new_version, host->spec.version) == 0) return load_releases(host, error);
    error_set(error, ERROR_REFUSED,
              "the %s that is known here brought %s, not %s: its number was given twice", ledger->change,
              ledger->new_version, host->spec.version);
    return error_hint(error,
                      "open the change anew, with a number that is free (“upkeepd serve --first-change”)");
}

/* The ledger here is this change's, or another's — which is over, or is it? */
static int begin_change(Host *host, Error *error) {
    Ledger *ledger = &host->ledger;
    if (ledger->change && strcmp(ledger->change, host->spec.change) == 0)
        return go_on_with_change(host, error);
    if (ledger->change && check_finished(ledger, host->spec.begun, error) < 0) return -1;
    if (host->spec.begun) return return_to_accepted(host, error);
    char current[RELEASE_VERSION_SIZE];
    if (release_current(host->root, current, error) < 0) return -1;
    bool accepted = ledger->committed && !ledger->rolled_back;
    if ((accepted && ledger_keep_accepted(ledger, error) < 0) || reserve_keep(host->upkeep, error) < 0)
        return error_prefix(error, "%s", host->spec.plan->service.root);
    ledger_begin(ledger, host->spec.change, current[0] ? current : NULL, host->spec.version);
    return load_releases(host, error);
}

int host_check_own(const Host *host, Error *error) {
    Ledger own;
    if (ledger_load(host->arena, host->upkeep, &own, error) < 0) return -1;
    int result = own.change ? check_finished(&own, false, error) : 0;
    ledger_free(&own);
    return result;
}

/* Its own ledger is only looked at, and only before it goes out: whoever never went may always come back. */
static int begin_live(Host *host, Error *error) {
    Ledger *ledger = &host->ledger;
    char current[RELEASE_VERSION_SIZE];
    if (ledger->change && strcmp(ledger->change, host->spec.change) == 0) return 0;
    if (host->spec.begun)
        return error_set(error, ERROR_REFUSED, "%s has been upgraded by %s since; roll that one back first",
                         host->spec.plan->service.root, ledger->change ? ledger->change : "another change");
    if (release_current(host->root, current, error) < 0 || reserve_keep(host->upkeep, error) < 0) return -1;
    ledger_begin(ledger, host->spec.change, current[0] ? current : NULL, host->spec.version);
    return 0;
}

/* What its guard did while nobody listened, for the journal: at least once. */
static void tell_unheard(const Host *host) {
    size_t index;
    json_t *event;
    if (host->spec.settled || !host->spec.say.event) return;
    json_array_foreach(host->ledger.unheard, index, event)
        host->spec.say.event(host->spec.say.context, json_deep_copy(event));
}

static int open_all(Host *host, Error *error) {
    const char *root = host->spec.plan->service.root;
    if (file_open_dir(root, &host->root, error) < 0) return -1;
    if (file_open_dir_beneath(host->root, ".upkeep", 0700, &host->upkeep, error) < 0)
        return error_prefix(error, "%s", root);
    FREE_AUTO char *upkeep = file_join(root, ".upkeep");
    if (file_check_private(host->upkeep, upkeep, error) < 0) return -1;
    if (host_lock_take(host->upkeep, root, host->spec.change, &host->lock, error) < 0) return -1;
    if (ledger_tidy(host->upkeep, error) < 0) return -1;
    if (host->live)
        return ledger_load_live(host->arena, host->upkeep, &host->ledger, error) < 0
                   ? -1
                   : begin_live(host, error);
    if (ledger_load(host->arena, host->upkeep, &host->ledger, error) < 0) return -1;
    if (begin_change(host, error) < 0) return -1;
    tell_unheard(host);
    if (host->ledger.order_open && host->ledger.by_itself) return host_roll_back_by_itself(host, error);
    return host_is_guarded(host) ? guard_ensure(host->upkeep, host->spec.guard, error)
                                 : 0; /* a reboot may have ended the last one */
}

int host_open(const HostSpec *spec, Host **out, Error *error) {
    Host *host = calloc(1, sizeof *host);
    if (!host) abort();
    host->spec = *spec;
    host->arena = arena_new();
    host->live = plan_host_is_live(spec->plan, &spec->plan->hosts.items[0]);
    host->root = host->lock = host->upkeep = -1;
    if (open_all(host, error) < 0) {
        host_close(host);
        return -1;
    }
    *out = host;
    return 0;
}

void host_close(Host *host) {
    if (!host) return;
    if (host->ledger.arena) ledger_free(&host->ledger);
    if (host->lock >= 0) close(host->lock);
    if (host->upkeep >= 0) close(host->upkeep);
    if (host->root >= 0) close(host->root);
    arena_free(host->arena);
    free(host);
}

/* ---- what the steps share */

bool host_is_guarded(const Host *host) { return host->spec.guard && host_is_armed(host); }

bool host_has_old(const Host *host) { return host->old.version != NULL; }

ServiceContext host_service_new(const Host *host) {
    const PlanService *service = &host->spec.plan->service;
    return (ServiceContext){service->name, service->root, service->user, &service->run};
}

ServiceContext host_service_old(const Host *host) {
    assert(host_has_old(host));
    const PlanService *service = &host->old.plan->service;
    return (ServiceContext){service->name, host->spec.plan->service.root, service->user, &service->run};
}

size_t host_parts(const Host *host, bool with_release, RestorePointPart parts[static PARTS_MAX]) {
    const char *version = with_release && host_has_old(host) ? host->old.version : NULL;
    return parts_of_service(host->arena, &host->spec.plan->service, version, parts);
}

RestorePointSpec host_point_spec(const Host *host, RestorePointKind kind, const RestorePointPart *parts,
                                 size_t count) {
    return (RestorePointSpec){
        .id =
            arena_printf(host->arena, "%s-%s-%d-%s", host->spec.change, host->spec.plan->hosts.items[0].name,
                         (int)json_object_size(host->ledger.answers) + 1, restore_point_kind_name(kind)),
        .change = host->spec.change,
        .service = host->spec.plan->service.name,
        .host = host->spec.plan->hosts.items[0].name,
        .root = host->spec.plan->service.root,
        .version = host->ledger.old_version,
        .kind = kind,
        .parts = parts,
        .part_count = count,
        .now_ms = clock_wall_ms(host->spec.clock),
        .wish = {host_progress, (void *)host, host->cancel},
    };
}

void host_progress(void *context, uint64_t done, uint64_t total) {
    Host *host = context;
    if (host->spec.say.progress) host->spec.say.progress(host->spec.say.context, host->step, done, total);
}

void host_percent(void *context, int percent) { host_progress(context, (uint64_t)percent, 100); }

bool host_is_switched(const Host *host) {
    const Ledger *ledger = &host->ledger;
    return ledger->switched && !ledger->committed && !ledger->rolled_back;
}

bool host_is_armed(const Host *host) {
    const Ledger *ledger = &host->ledger;
    return ledger->confirm_by_ms && !ledger->confirmed && !ledger->committed && !ledger->rolled_back;
}

int64_t host_left_ms(const Host *host, Deadline *deadline) {
    assert(host_is_armed(host));
    return deadline_left_ms(deadline, host->ledger.confirm_by_ms, host->ledger.confirm_given_ms,
                            host->spec.clock);
}

bool host_is_settled(const Host *host) {
    return host->live ? !host->ledger.order_open : host->ledger.committed || host->ledger.rolled_back;
}

bool host_rolled_back_by_itself(const Host *host) {
    return host->ledger.rolled_back && host->ledger.by_itself;
}

Watch *host_watch(const Host *host, const atomic_bool *cancel) {
    WatchSpec spec = {.plan = host->spec.plan,
                      .version = host->spec.version,
                      .restart = true,
                      .clock = host->spec.clock,
                      .cancel = cancel};
    Watch *watch = watch_new(&spec);
    watch_begin(watch);
    return watch;
}

static void forget_point(Host *host) {
    restore_point_free(host->point);
    restore_point_free(host->aside);
    store_close(host->store);
    host->point = host->aside = NULL;
    host->store = NULL;
}

const char *host_point_digest(const Host *host, const RestorePoint *point) {
    char text[DIGEST_TEXT_SIZE];
    digest_to_text(&point->head_digest, text);
    return arena_strdup(host->arena, text);
}

int host_read_point(Host *host, const char *id, const char *digest, Error *error) {
    RESTORE_POINT_AUTO point = NULL;
    if (host->point && id && strcmp(host->point->id, id) == 0) return 0;
    if (!host->store && store_open(host->ledger.store, &host->store, error) < 0) return -1;
    if (id && restore_point_load(host->store, id, &point, error) < 0) return -1;
    if (point && digest && strcmp(host_point_digest(host, point), digest) != 0)
        return error_set(error, ERROR_REFUSED, "the restore point %s is not the one that was taken", id);
    if (point && restore_point_read_trees(host->store, point, error) < 0) return -1;
    restore_point_free(host->point);
    host->point = pointer_take(&point);
    return 0;
}

/* ---- the step runner */

static json_t *say_begin(const Host *host, const char *type) {
    char time[CLOCK_TEXT_SIZE];
    clock_to_text(clock_wall_ms(host->spec.clock), time);
    json_t *event = json_object();
    json_set_text(event, "type", type);
    json_set_text(event, "time", time);
    json_set_text(event, "order", order_kind_text(host->order->kind));
    json_set_text(event, "order_id", host->order->id);
    json_set_text(event, "step", host->step);
    return event;
}

static void say(const Host *host, json_t *event) {
    if (host->spec.say.event)
        host->spec.say.event(host->spec.say.context, event);
    else
        json_array_append_new(host->ledger.unheard, event); /* saved with the next step, or the answer */
}

static bool cancelled(const Host *host) { return host->cancel && atomic_load(host->cancel); }

static void say_end(Host *host, int result, int64_t duration_ms, const Error *error) {
    json_t *event = say_begin(host, result == 0 ? "step.done" : "step.failed");
    json_set_integer(event, "duration_ms", duration_ms);
    if (json_object_size(host->detail)) json_object_set(event, "detail", host->detail);
    if (result < 0) {
        json_set_text(event, "error", error->en);
        json_set_text(event, "error_zh", error->zh);
    }
    say(host, event);
}

static const HostStep *find_step(const HostStep *steps, const char *name) {
    while (name && steps->name && strcmp(steps->name, name) != 0) steps++;
    return name && steps->name ? steps : NULL;
}

/* An order that was cut off while the service had to stand still: something else — its init system after a
 * reboot, a person — may have started it since. And before it stood still, a balancer that was started again
 * may have forgotten that nothing must come. */
static void stop_again(Host *host, const HostStep *steps) {
    const HostStep *stop = find_step(steps, "stop"), *start = find_step(steps, "start");
    const HostStep *cut = find_step(steps, host->ledger.step);
    if (host->ledger.order_open && stop && start && cut && cut > stop && cut < start)
        ledger_step_unmark(&host->ledger, "stop");
    if (host->ledger.order_open && stop && cut == stop) ledger_step_unmark(&host->ledger, "drain");
}

static int run_step(Host *host, const HostStep *step, Error *error) {
    if (ledger_step_done(&host->ledger, step->name) || (step->applies && !step->applies(host))) return 0;
    if (cancelled(host)) return error_set(error, ERROR_INTERRUPTED, "cancelled");
    host->step = step->name;
    host->ledger.step = step->name;
    if (step->intend) step->intend(host);
    if (ledger_save(&host->ledger, error) < 0)
        return error_prefix(error, "%s", host->spec.plan->service.root);
    JSON_AUTO detail = json_object();
    host->detail = detail;
    json_t *started = say_begin(host, "step.started");
    if (step->describe) json_set_text(started, "command", step->describe(host));
    say(host, started);
    int64_t begun_ms = clock_steady_ms(host->spec.clock);
    int result = step->run(host, error);
    say_end(host, result, clock_steady_ms(host->spec.clock) - begun_ms, error);
    host->detail = NULL;
    if (result == 0) ledger_step_mark(&host->ledger, step->name);
    return result;
}

static const HostStep *steps_of(OrderKind kind) {
    switch (kind) {
    case ORDER_PREPARE: return host_steps_prepare;
    case ORDER_SWITCH: return host_steps_switch;
    case ORDER_CONFIRM: return host_steps_confirm;
    case ORDER_COMMIT: return host_steps_commit;
    case ORDER_ROLLBACK: return host_steps_rollback;
    case ORDER_ADMIT: return host_steps_admit;
    case ORDER_RETIRE: return host_steps_retire;
    }
    abort();
}

/* 1: answered already (then `failure` is the answer's), with *result; 0: not yet. */
static int answered(const Host *host, const Order *order, int *result, Error *failure) {
    const json_t *answer = ledger_answer(&host->ledger, order->id);
    if (!answer) return 0;
    *result = json_get_bool(answer, "done", false) ? 0 : -1;
    if (*result == 0) return 1;
    error_set(failure, (ErrorKind)json_get_integer(answer, "kind", ERROR_SYSTEM), "%s", "");
    if (failure) {
        snprintf(failure->en, sizeof failure->en, "%s", json_get_text(answer, "error", ""));
        snprintf(failure->zh, sizeof failure->zh, "%s", json_get_text(answer, "error_zh", failure->en));
    }
    return 1;
}

/* A person asked for another try of what has gone back: all of it is prepared anew. */
static int begin_again(Host *host, Error *error) {
    char current[RELEASE_VERSION_SIZE];
    if (release_current(host->root, current, error) < 0 || reserve_keep(host->upkeep, error) < 0) return -1;
    ledger_begin_again(&host->ledger, current[0] ? current : NULL);
    return load_releases(host, error);
}

/* A live host is only moved; whoever is upgraded is never retired. */
static int check_kind(const Host *host, const Order *order, Error *error) {
    bool moves = order->kind == ORDER_ADMIT || order->kind == ORDER_RETIRE;
    bool fits = host->live ? moves : order->kind != ORDER_RETIRE;
    if (fits && (!moves || host->spec.plan->traffic)) return 0;
    return error_set(error, ERROR_REFUSED, "the order “%s” is not for this host",
                     order_kind_text(order->kind));
}

/* What stands between two versions is not to be taken for the new one, by an order that was on its way when
 * its rollback began. */
static int check_switched(const Host *host, const Order *order, Error *error) {
    bool takes = order->kind == ORDER_CONFIRM || order->kind == ORDER_COMMIT || order->kind == ORDER_ADMIT;
    if (host->live || !takes || !host->ledger.stopped || host->ledger.switched) return 0;
    return error_set(error, ERROR_FAILED, "its rollback has begun: it goes back to the old version first");
}

int host_carry_out(Host *host, const Order *order, const atomic_bool *cancel, Error *failure) {
    int result = 0;
    if (answered(host, order, &result, failure)) return result;
    if (check_kind(host, order, failure) < 0) return -1;
    if (host->ledger.rolled_back && order->kind == ORDER_PREPARE && begin_again(host, failure) < 0) return -1;
    if (host->ledger.rolled_back && order->kind != ORDER_ROLLBACK)
        return error_set(failure, ERROR_FAILED, "it heard no confirmation in time and rolled back by itself");
    if (host->ledger.rolled_back)
        return 0; /* what people have written since must not be put back once more */
    if (check_switched(host, order, failure) < 0) return -1;
    ledger_take(&host->ledger, order); /* forgets the steps of another order */
    stop_again(host, steps_of(order->kind));
    host->ledger.by_itself = order_is_by_itself(order->id);
    host->order = order;
    host->cancel = cancel;
    Error error = {0};
    for (const HostStep *step = steps_of(order->kind); step->name && result == 0; step++)
        result = run_step(host, step, &error);
    ledger_close(&host->ledger, result < 0 ? &error : NULL);
    if (ledger_save(&host->ledger, result < 0 ? NULL : &error) < 0) result = -1;
    if (result < 0 && failure) *failure = error;
    host->order = NULL;
    forget_point(host);
    return result;
}

int host_roll_back_by_itself(Host *host, Error *error) {
    Order order = {.kind = ORDER_ROLLBACK,
                   .restore_data = strcmp(host->spec.plan->service.rollback_data, "restore") == 0};
    /* What was cut off goes on; what failed is a new attempt, or its stored answer would be all there ever
     * is. */
    if (host->ledger.order_open && host->ledger.by_itself)
        order = host->ledger.order;
    else
        snprintf(order.id, sizeof order.id, "%.40s" ORDER_BY_ITSELF "%zu", host->spec.change,
                 json_object_size(host->ledger.answers) + 1);
    return host_carry_out(host, &order, NULL, error);
}
