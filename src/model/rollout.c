/* The fold: what the events so far mean. */
#include "model/rollout.h"
#include "base/clock.h"
#include "base/json.h"
#include <assert.h>
#include <inttypes.h>
#include <string.h>

const char *host_state_text(HostState state) {
    static const char *const texts[] = {"pending",      "preparing",   "prepared",  "switching",
                                        "probing",      "healthy",     "confirmed", "committed",
                                        "rolling_back", "rolled_back", "failed",    "lost"};
    return texts[state];
}

const char *stage_state_text(StageState state) {
    static const char *const texts[] = {"pending", "running", "soaking", "passed", "failed"};
    return texts[state];
}

const char *rollout_state_text(RolloutState state) {
    static const char *const texts[] = {"pending",   "running",     "paused", "rolling_back",
                                        "succeeded", "rolled_back", "failed", "cancelled"};
    return texts[state];
}

const char *rollout_outcome_text(RolloutOutcome outcome) {
    static const char *const texts[] = {"none", "succeeded", "rolled_back", "failed", "refused", "aborted"};
    return texts[outcome];
}

static RolloutOutcome outcome_from_text(const char *text) {
    for (int i = OUTCOME_SUCCEEDED; i <= OUTCOME_ABORTED; i++)
        if (strcmp(text, rollout_outcome_text((RolloutOutcome)i)) == 0) return (RolloutOutcome)i;
    return OUTCOME_NONE;
}

bool rollout_ended(const Rollout *rollout) { return rollout->outcome != OUTCOME_NONE; }

bool rollout_busy(const Rollout *rollout) {
    for (size_t i = 0; i < rollout->host_count; i++)
        if (rollout->hosts[i].order_open) return true;
    return false;
}

RolloutHost *rollout_host(const Rollout *rollout, const char *name) {
    size_t index = name ? text_index_find(rollout->host_index, name) : TEXT_INDEX_NONE;
    return index == TEXT_INDEX_NONE ? NULL : &rollout->hosts[index];
}

bool rollout_host_unavailable(const RolloutHost *host) {
    if (host->live) return false; /* what becomes of it, the take-over says */
    if (host->missing || (host->part != PART_TAKEN && host->switched)) return true;
    switch (host->state) {
    case HOST_SWITCHING:
    case HOST_PROBING:
    case HOST_LOST: return true;
    case HOST_PREPARED: /* its switch failed, and is to be tried again */
    case HOST_ROLLING_BACK:
    case HOST_FAILED: return host->switched;
    case HOST_HEALTHY:
    case HOST_CONFIRMED: return host->health == VERDICT_FAIL;
    default: return false;
    }
}

size_t rollout_unavailable(const Rollout *rollout) {
    size_t count = 0;
    for (size_t i = 0; i < rollout->host_count; i++) count += rollout_host_unavailable(&rollout->hosts[i]);
    return count;
}

json_t *rollout_event(const Rollout *rollout, const char *type, int64_t now_ms) {
    char time[CLOCK_TEXT_SIZE];
    clock_to_text(now_ms, time);
    json_t *event = json_object();
    json_set_text(event, "type", type);
    json_set_text(event, "time", time);
    json_set_text(event, "change", rollout->change);
    json_set_text(event, "environment", rollout->plan->environment);
    return event;
}

static void assert_host(const Rollout *rollout, const RolloutHost *host) {
    if (host->live) {
        assert(!host->switched && !host->confirmed && host->part == PART_TAKEN);
        return;
    }
    assert(host->stage < rollout->stage_count);
    assert(!host->switched || host->proved);           /* I1 */
    assert(!host->confirmed || host->switch_rank > 0); /* only what was switched is confirmed */
    assert(host->state != HOST_COMMITTED || host->confirmed);
    assert(!(host->order_open && host->state == HOST_PENDING));
    assert(rollout->stages[host->stage].left_out_count < rollout->stages[host->stage].host_count); /* I11 */
}

void rollout_assert(const Rollout *rollout) {
    for (size_t i = 0; i < rollout->host_count; i++) assert_host(rollout, &rollout->hosts[i]);
    assert(rollout->take_over.state == STAGE_PENDING ||
           rollout->stages[rollout->stage_count - 1].state == STAGE_PASSED);
    for (size_t i = 1; i < rollout->stage_count;
         i++) /* a stage begins only after the one before it has passed */
        assert(rollout->stages[i].state == STAGE_PENDING || rollout->stages[i - 1].state == STAGE_PASSED);
    assert(!(rollout->state == ROLLOUT_SUCCEEDED && rollout_busy(rollout)));
}

int rollout_open(Arena *arena, int64_t sequence, const json_t *opened, Rollout **out, Error *error) {
    Plan *plan = NULL;
    const json_t *document = json_object_get(opened, "plan");
    const char *change = json_get_text(opened, "change", NULL);
    if (strcmp(json_get_text(opened, "type", ""), "change.opened") != 0 || !document || !change)
        return error_set(error, ERROR_ATTENTION, "event %" PRId64 " does not open a change", sequence);
    if (plan_from_json(arena, document, &plan, error) < 0) return -1;
    if (plan->rollout.stages.count == 0)
        return error_set(error, ERROR_INVALID,
                         "rollout.live: every host of the plan has these labels, so that "
                         "nobody could take over");
    Rollout *rollout = ARENA_NEW(arena, Rollout);
    rollout->arena = arena;
    rollout->plan = plan;
    rollout->change = arena_strdup(arena, change);
    rollout->version = arena_strdup(arena, json_get_text(opened, "version", ""));
    rollout->package_digest = arena_strdup(arena, json_get_text(opened, "package_digest", ""));
    rollout->plan_digest = arena_strdup(arena, json_get_text(opened, "plan_digest", ""));
    rollout->opened = arena_strdup(arena, json_get_text(opened, "time", ""));
    rollout->host_count = plan->hosts.count;
    rollout->hosts = ARENA_ARRAY(arena, rollout->host_count, RolloutHost);
    rollout->stage_count = plan->rollout.stages.count;
    rollout->stages = ARENA_ARRAY(arena, rollout->stage_count, RolloutStage);
    rollout->host_index = text_index_new(arena, rollout->host_count);
    size_t *stages = ARENA_ARRAY(arena, rollout->host_count, size_t);
    if (plan_stages(plan, stages, error) < 0) return -1;
    for (size_t i = 0; i < rollout->host_count; i++) {
        rollout->hosts[i].name = plan->hosts.items[i].name;
        text_index_add(rollout->host_index, rollout->hosts[i].name, i);
        rollout->hosts[i].stage = stages[i];
        rollout->hosts[i].live = stages[i] == PLAN_STAGE_NONE;
        rollout->hosts[i].traffic = rollout->hosts[i].live ? TRAFFIC_IN : TRAFFIC_OUT;
        rollout->hosts[i].health = VERDICT_INCONCLUSIVE;
        if (!rollout->hosts[i].live) rollout->stages[stages[i]].host_count++;
    }
    rollout->sequence = sequence;
    *out = rollout;
    return 0;
}

/* One event being folded. */
typedef struct Fold {
    Rollout *rollout;
    const json_t *event;
    int64_t time_ms;
    RolloutHost *host;   /* or NULL */
    RolloutStage *stage; /* or NULL */
} Fold;

static void remember_reason(Fold *fold) {
    Rollout *rollout = fold->rollout;
    rollout->reason = arena_strdup(rollout->arena, json_get_text(fold->event, "why", NULL));
    rollout->reason_zh = arena_strdup(rollout->arena, json_get_text(fold->event, "why_zh", rollout->reason));
    rollout->reason_host = fold->host ? fold->host->name : NULL;
}

/* ---- the part that a host has in it */

static bool goes_forward(const Rollout *rollout) {
    return rollout->state != ROLLOUT_ROLLING_BACK && !rollout_ended(rollout);
}

static void set_part(Rollout *rollout, RolloutHost *host, HostPart part) {
    RolloutStage *stage = &rollout->stages[host->stage];
    stage->left_out_count -= rollout_is_left_out(host);
    stage->failed_count -= host->part == PART_FAILED;
    host->part = part;
    stage->left_out_count += rollout_is_left_out(host);
    stage->failed_count += host->part == PART_FAILED;
}

static void leave_out(Fold *fold, HostPart part) {
    RolloutHost *host = fold->host;
    set_part(fold->rollout, host, part);
    host->left_out = arena_strdup(fold->rollout->arena, json_get_text(fold->event, "why", NULL));
    host->left_out_zh =
        arena_strdup(fold->rollout->arena, json_get_text(fold->event, "why_zh", host->left_out));
}

/* As if nothing had been done there: its next backup is another one, to be proved again (I1). */
static void begin_again(Rollout *rollout, RolloutHost *host) {
    set_part(rollout, host, PART_TAKEN);
    host->state = HOST_PENDING;
    host->switched = host->confirmed = host->proved = host->rollback_failed = false;
    host->switch_rank = 0;
    host->batch = 0;
    host->health = VERDICT_INCONCLUSIVE;
    host->health_ms = host->confirm_by_ms = 0;
    host->error = host->error_zh = host->left_out = host->left_out_zh = NULL;
}

/* Between the decision and this event people may have changed its part, or its fellows' (I11). */
static bool fold_left_out(Fold *fold) {
    if (!fold->host || fold->host->live) return false;
    const RolloutStage *stage = &fold->rollout->stages[fold->host->stage];
    bool last = stage->left_out_count + 1 >= stage->host_count;
    if (goes_forward(fold->rollout) && fold->host->part == PART_TAKEN && !last) leave_out(fold, PART_FAILED);
    return true;
}

static bool fold_skip(Fold *fold) {
    if (!fold->host) return false;
    if (rollout_check_skip(fold->rollout, fold->host, NULL) == 0) leave_out(fold, PART_SKIPPED);
    return true;
}

static bool fold_retry(Fold *fold) {
    RolloutHost *host = fold->host;
    if (!host) return false;
    if (rollout_check_retry(fold->rollout, host, NULL) < 0) return true;
    bool back_first = host->switched || host->rollback_failed || host->order_open;
    set_part(fold->rollout, host, PART_RETRIED);
    host->rollback_failed = false; /* whatever kept it from going back, a person has seen to */
    if (!back_first) begin_again(fold->rollout, host);
    return true;
}

/* What was to be put back first could not be: it is a fault like any other. */
static void give_up_retry(Fold *fold) {
    if (fold->host->part == PART_RETRIED) set_part(fold->rollout, fold->host, PART_TAKEN);
}

static void came_back(Fold *fold) {
    RolloutHost *host = fold->host;
    host->state = HOST_ROLLED_BACK;
    host->traffic = TRAFFIC_OUT;
    host->switched = host->proved = false; /* another switch needs another proof (I1) */
    host->confirm_by_ms = 0;
    if (host->part == PART_RETRIED) begin_again(fold->rollout, host);
}

/* ---- orders and their answers */

static bool fold_order_given(Fold *fold) {
    RolloutHost *host = fold->host;
    OrderKind kind;
    if (!host || host->order_open || !order_kind_from_text(json_get_text(fold->event, "order", NULL), &kind))
        return false;
    const char *id = json_get_text(fold->event, "order_id", "");
    if (strlen(id) >= ORDER_ID_SIZE) return false;
    if (kind == ORDER_SWITCH && !host->proved) return false; /* I1 */
    if (host->live && kind != ORDER_ADMIT && kind != ORDER_RETIRE) return false;
    if (kind == ORDER_RETIRE && !(host->live && rollout_all_admitted(fold->rollout))) return false; /* I4 */
    host->order = (Order){.kind = kind, .restore_data = json_get_bool(fold->event, "restore_data", false)};
    memcpy(host->order.id, id, strlen(id) + 1);
    host->order_open = true;
    host->order_cancelled = host->silent = false;
    host->order_given_ms = fold->time_ms;
    host->order_spent_ms = 0;
    host->order_count++;
    if (kind == ORDER_ADMIT || kind == ORDER_RETIRE ||
        (kind == ORDER_ROLLBACK && host->traffic == TRAFFIC_IN))
        host->traffic = TRAFFIC_UNSURE;
    if (kind == ORDER_PREPARE) host->state = HOST_PREPARING;
    if (kind == ORDER_ROLLBACK) host->state = HOST_ROLLING_BACK;
    /* It was to be put back alone, and people have just asked for another try: that is what comes of it. */
    if (kind == ORDER_ROLLBACK && host->part == PART_TAKEN && goes_forward(fold->rollout))
        set_part(fold->rollout, host, PART_RETRIED);
    if (kind != ORDER_SWITCH) return true;
    host->state = HOST_SWITCHING;
    host->switched = true;
    host->health = VERDICT_INCONCLUSIVE;
    host->health_ms = 0;
    host->switch_rank = ++fold->rollout->switch_count;
    host->confirm_by_ms = fold->time_ms + fold->rollout->plan->rollout.confirm_deadline_ms;
    return true;
}

static bool answers(const Fold *fold) {
    return fold->host && fold->host->order_open &&
           strcmp(fold->host->order.id, json_get_text(fold->event, "order_id", "")) == 0;
}

/* A live one whose last order failed has done what was asked of it now. */
static void moved(RolloutHost *host, HostTraffic traffic) {
    host->traffic = traffic;
    if (host->live) host->state = HOST_PENDING;
}

static bool fold_order_done(Fold *fold) {
    if (!answers(fold)) return false;
    RolloutHost *host = fold->host;
    host->order_open = false;
    host->heard_ms = fold->time_ms;
    host->missing = false;
    host->error = host->error_zh = NULL;
    switch (host->order.kind) {
    case ORDER_PREPARE:
        host->state = HOST_PREPARED;
        host->proved = true;
        break;
    case ORDER_SWITCH: host->state = HOST_HEALTHY; break;
    case ORDER_CONFIRM:
        host->state = HOST_CONFIRMED;
        host->confirmed = true;
        host->confirm_by_ms = 0;
        break;
    case ORDER_COMMIT: host->state = HOST_COMMITTED; break;
    case ORDER_ROLLBACK: came_back(fold); break;
    case ORDER_ADMIT: moved(host, TRAFFIC_IN); break;
    case ORDER_RETIRE:
        moved(host, TRAFFIC_OUT);
        host->retired = true;
        break;
    }
    return true;
}

static bool fold_order_failed(Fold *fold) {
    if (!answers(fold)) return false;
    RolloutHost *host = fold->host;
    host->order_open = false;
    host->missing = false;
    host->state = HOST_FAILED;
    host->rollback_failed = host->order.kind == ORDER_ROLLBACK || host->order.kind == ORDER_COMMIT ||
                            (host->order.kind == ORDER_ADMIT && host->live);
    host->error = arena_strdup(fold->rollout->arena, json_get_text(fold->event, "error", "unknown"));
    host->error_zh = arena_strdup(fold->rollout->arena, json_get_text(fold->event, "error_zh", host->error));
    if (host->rollback_failed) give_up_retry(fold);
    return true;
}

static bool fold_order_cancelled(Fold *fold) {
    if (!fold->host || !fold->host->order_open) return false;
    fold->host->order_cancelled = true;
    fold->host->order_cancelled_ms = fold->time_ms;
    return true;
}

static bool fold_step_started(Fold *fold) {
    if (!fold->host) return false;
    if (fold->host->state == HOST_SWITCHING && strcmp(json_get_text(fold->event, "step", ""), "probe") == 0)
        fold->host->state = HOST_PROBING;
    return true;
}

/* A failing verdict stays until a person resumes: better reports that come in the same breath, as after a
 * partition, must not hide it from the decision (I5). */
static bool fold_health(Fold *fold) {
    if (!fold->host) return false;
    const char *verdict = json_get_text(fold->event, "verdict", "");
    fold->host->health_ms = fold->time_ms - json_get_integer(fold->event, "age_ms", 0); /* when it was seen */
    if (fold->host->health == VERDICT_FAIL) return true;
    fold->host->health = strcmp(verdict, "pass") == 0   ? VERDICT_PASS
                         : strcmp(verdict, "fail") == 0 ? VERDICT_FAIL
                                                        : VERDICT_INCONCLUSIVE;
    fold->host->missing = false;
    if (fold->host->health != VERDICT_FAIL) return true;
    fold->host->error = arena_strdup(fold->rollout->arena, json_get_text(fold->event, "error", "unhealthy"));
    fold->host->error_zh =
        arena_strdup(fold->rollout->arena, json_get_text(fold->event, "error_zh", fold->host->error));
    return true;
}

/* The host put itself back: nobody had confirmed it in time. It says so at least once: what was heard already
 * must not be taken for the end of another try. */
static bool fold_host_rolled_back(Fold *fold) {
    if (!fold->host) return false;
    if (!fold->host->switched) return true;
    fold->host->order_open = false;
    fold->host->missing = false;
    came_back(fold);
    return true;
}

static bool fold_host_silent(Fold *fold) {
    if (!fold->host) return false;
    fold->host->silent = fold->host->order_open;
    return true;
}

static bool fold_host_lost(Fold *fold) {
    if (!fold->host) return false;
    fold->host->silent = false;
    fold->host->state = HOST_LOST;
    fold->host->order_open = false;
    fold->host->missing = true;
    fold->host->error = TEXT("nothing was heard of it before the deadline of its order");
    fold->host->error_zh = text_in(LANGUAGE_ZH, fold->host->error);
    give_up_retry(fold);
    return true;
}

static bool fold_host_kept(Fold *fold) {
    if (!fold->host) return false;
    fold->host->kept = true;
    return true;
}

static bool fold_stage_started(Fold *fold) {
    if (!fold->stage) return false;
    fold->stage->state = STAGE_RUNNING;
    return true;
}

static bool fold_batch_started(Fold *fold) {
    if (!fold->stage) return false;
    fold->stage->state = STAGE_RUNNING;
    fold->stage->batch = (int)json_get_integer(fold->event, "batch", 0);
    size_t index;
    json_t *name;
    json_array_foreach(json_object_get(fold->event, "hosts"), index, name) {
        RolloutHost *host = rollout_host(fold->rollout, json_string_value(name));
        if (!host) return false;
        host->batch = fold->stage->batch;
    }
    return true;
}

static void begin_soak(const Rollout *rollout, RolloutStage *stage, int64_t now_ms) {
    stage->state = STAGE_SOAKING;
    stage->soak_from_ms = now_ms;
    stage->soak_until_ms = now_ms + rollout->plan->rollout.stages.items[stage - rollout->stages].soak_ms;
}

static bool fold_stage_soaking(Fold *fold) {
    if (!fold->stage) return false;
    begin_soak(fold->rollout, fold->stage, fold->time_ms);
    return true;
}

/* Unless people have asked for another try of one of its hosts since that was decided. */
static bool fold_stage_passed(Fold *fold) {
    if (!fold->stage) return false;
    const Rollout *rollout = fold->rollout;
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        bool confirmed = host->part == PART_TAKEN && host->state == HOST_CONFIRMED;
        if (!host->live && &rollout->stages[host->stage] == fold->stage && !confirmed &&
            !rollout_is_left_out(host))
            return true;
    }
    fold->stage->state = STAGE_PASSED;
    return true;
}

/* ---- the take-over */

static void begin_last_soak(Rollout *rollout, int64_t now_ms) {
    rollout->take_over.state = STAGE_SOAKING;
    rollout->take_over.soak_from_ms = now_ms;
    rollout->take_over.soak_until_ms = now_ms + rollout->plan->rollout.take_over_soak_ms;
}

/* What a person has written since it was decided comes first. */
static bool fold_take_over(Fold *fold) {
    Rollout *rollout = fold->rollout;
    const char *type = json_get_text(fold->event, "type", "");
    if (!plan_is_blue_green(rollout->plan)) return false;
    if (!goes_forward(rollout)) return true;
    if (strcmp(type, "take_over.started") == 0) rollout->take_over.state = STAGE_RUNNING;
    if (strcmp(type, "take_over.soaking") == 0) begin_last_soak(rollout, fold->time_ms);
    if (strcmp(type, "take_over.passed") == 0) rollout->take_over.state = STAGE_PASSED;
    return true;
}

static bool fold_started(Fold *fold) {
    fold->rollout->state = ROLLOUT_RUNNING;
    return true;
}

/* The time of a dead engine counts as far as the journal shows that it lived: else one that is started again
 * and again would never call a dead host lost. */
static void spend(const Rollout *rollout, RolloutHost *host) {
    int64_t since_ms =
        host->order_given_ms > rollout->watch_from_ms ? host->order_given_ms : rollout->watch_from_ms;
    if (host->order_open && rollout->listened_ms > since_ms)
        host->order_spent_ms += rollout->listened_ms - since_ms;
}

/* Nobody has watched since the last engine ended, for however long that was, and the clock may have been set:
 * what was seen before is no pass (I11), the soak begins anew, and no time from before is waited for. */
static bool fold_engine_started(Fold *fold) {
    Rollout *rollout = fold->rollout;
    for (size_t i = 0; i < rollout->host_count; i++) spend(rollout, &rollout->hosts[i]);
    rollout->watch_from_ms = rollout->listened_ms = fold->time_ms;
    rollout->prepare_only = json_get_bool(fold->event, "prepare_only", false);
    for (size_t i = 0; i < rollout->host_count; i++) {
        RolloutHost *host = &rollout->hosts[i];
        if (host->health == VERDICT_PASS) host->health = VERDICT_INCONCLUSIVE;
        host->health_ms = 0;
        host->order_given_ms = host->heard_ms = fold->time_ms;
    }
    for (size_t i = 0; i < rollout->stage_count; i++)
        if (rollout->stages[i].state == STAGE_SOAKING)
            begin_soak(rollout, &rollout->stages[i], fold->time_ms);
    if (rollout->take_over.state == STAGE_SOAKING) begin_last_soak(rollout, fold->time_ms);
    return true;
}

static bool fold_pause(Fold *fold) {
    if (fold->rollout->state != ROLLOUT_RUNNING) return true; /* asked too late, or twice: nothing changes */
    fold->rollout->state = ROLLOUT_PAUSED;
    remember_reason(fold);
    return true;
}

static bool fold_held(Fold *fold) {
    fold->rollout->state = ROLLOUT_PAUSED;
    fold->rollout->held = true;
    remember_reason(fold);
    return true;
}

/* The order that failed is given once more; another try after going back goes back first all the same. */
static void resume_failed(Rollout *rollout, RolloutHost *host) {
    if (host->order.kind == ORDER_ROLLBACK)
        set_part(rollout, host, PART_RETRIED);
    else if (host->order.kind == ORDER_COMMIT || (host->order.kind == ORDER_ADMIT && !host->live))
        host->state = HOST_CONFIRMED;
    else if (host->live)
        host->state = HOST_PENDING;
    else
        host->state = host->proved ? HOST_PREPARED : HOST_PENDING;
    host->rollback_failed = false;
}

/* A person may order a failed or sick host to be tried again; by itself that never happens (I12). */
static bool fold_resume(Fold *fold) {
    Rollout *rollout = fold->rollout;
    if (rollout->state != ROLLOUT_PAUSED) return true;
    rollout->state = ROLLOUT_RUNNING;
    rollout->prepare_only = false; /* who goes on when everything is prepared wants it switched */
    rollout->watch_from_ms = fold->time_ms;
    for (size_t i = 0; rollout->held && i < rollout->host_count; i++) {
        RolloutHost *host = &rollout->hosts[i];
        if (host->part != PART_TAKEN) continue;
        if (host->state == HOST_FAILED) resume_failed(rollout, host);
        if (host->health == VERDICT_FAIL) host->health = VERDICT_INCONCLUSIVE;
    }
    rollout->held = false;
    rollout->reason = rollout->reason_zh = rollout->reason_host = NULL;
    return true;
}

static bool fold_failing(Fold *fold) {
    Rollout *rollout = fold->rollout;
    rollout->state = ROLLOUT_ROLLING_BACK;
    rollout->held = false; /* what a person decides ends the waiting for one */
    rollout->refused = rollout->switch_count == 0;
    remember_reason(fold);
    for (size_t i = 0; i < rollout->host_count; i++) /* nobody is tried again any more */
        if (rollout->hosts[i].part == PART_RETRIED) set_part(rollout, &rollout->hosts[i], PART_TAKEN);
    for (size_t i = 0; i < rollout->stage_count; i++)
        if (rollout->stages[i].state == STAGE_RUNNING || rollout->stages[i].state == STAGE_SOAKING)
            rollout->stages[i].state = STAGE_FAILED;
    if (rollout->take_over.state == STAGE_RUNNING || rollout->take_over.state == STAGE_SOAKING)
        rollout->take_over.state = STAGE_FAILED;
    return true;
}

static bool fold_abort(Fold *fold) {
    if (rollout_ended(fold->rollout) || fold->rollout->state == ROLLOUT_ROLLING_BACK) return true;
    fold_failing(fold);
    fold->rollout->refused = false;
    fold->rollout->aborted = true;
    return true;
}

/* Also after success, while the old releases are kept. */
static bool fold_rollback(Fold *fold) {
    Rollout *rollout = fold->rollout;
    if (rollout->state == ROLLOUT_ROLLING_BACK || rollout->outcome == OUTCOME_ROLLED_BACK) return true;
    fold_failing(fold);
    rollout->refused = false;
    rollout->rollback_asked = true;
    rollout->restore_data = json_get_bool(fold->event, "restore_data", false);
    rollout->keep_data = json_get_bool(fold->event, "keep_data", false);
    rollout->outcome = OUTCOME_NONE;
    rollout->ended = NULL;
    for (size_t i = 0; i < rollout->host_count; i++) {
        rollout->hosts[i].rollback_failed = false;
        rollout->hosts[i].kept = false;
        if (rollout->hosts[i].state == HOST_LOST) rollout->hosts[i].state = HOST_FAILED;
    }
    return true;
}

static bool fold_ended(Fold *fold) {
    static const struct {
        const char *type;
        RolloutState state;
    } ends[] = {{"rollout.succeeded", ROLLOUT_SUCCEEDED},
                {"rollout.rolled_back", ROLLOUT_ROLLED_BACK},
                {"rollout.failed", ROLLOUT_FAILED},
                {"rollout.cancelled", ROLLOUT_CANCELLED}};
    const char *type = json_get_text(fold->event, "type", "");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strcmp(type, ends[i].type) == 0) fold->rollout->state = ends[i].state;
    return true;
}

static bool fold_closed(Fold *fold) {
    Rollout *rollout = fold->rollout;
    rollout->outcome = outcome_from_text(json_get_text(fold->event, "outcome", ""));
    rollout->ended = arena_strdup(rollout->arena, json_get_text(fold->event, "time", ""));
    return rollout->outcome != OUTCOME_NONE;
}

static const struct {
    const char *type;
    bool (*fold)(Fold *fold);
} folds[] = {
    {"rollout.started", fold_started},
    {"engine.started", fold_engine_started},
    {"order.given", fold_order_given},
    {"order.done", fold_order_done},
    {"order.failed", fold_order_failed},
    {"order.cancelled", fold_order_cancelled},
    {"step.started", fold_step_started},
    {"host.health", fold_health},
    {"host.rolled_back", fold_host_rolled_back},
    {"host.silent", fold_host_silent},
    {"host.lost", fold_host_lost},
    {"host.kept", fold_host_kept},
    {"host.left_out", fold_left_out},
    {"stage.started", fold_stage_started},
    {"batch.started", fold_batch_started},
    {"stage.soaking", fold_stage_soaking},
    {"stage.passed", fold_stage_passed},
    {"take_over.started", fold_take_over},
    {"take_over.soaking", fold_take_over},
    {"take_over.passed", fold_take_over},
    {"rollout.paused", fold_pause},
    {"rollout.held", fold_held},
    {"rollout.failing", fold_failing},
    {"control.pause", fold_pause},
    {"control.resume", fold_resume},
    {"control.skip", fold_skip},
    {"control.retry", fold_retry},
    {"control.abort", fold_abort},
    {"control.rollback", fold_rollback},
    {"rollout.succeeded", fold_ended},
    {"rollout.rolled_back", fold_ended},
    {"rollout.failed", fold_ended},
    {"rollout.cancelled", fold_ended},
    {"change.closed", fold_closed},
};

static RolloutStage *find_stage(const Rollout *rollout, const char *name) {
    for (size_t i = 0; name && i < rollout->stage_count; i++)
        if (strcmp(rollout->plan->rollout.stages.items[i].name, name) == 0) return &rollout->stages[i];
    return NULL;
}

/* Who speaks is not lost; what it has done meanwhile nobody knows, so it has failed, and goes back. */
static void fold_report_number(Fold *fold) {
    int64_t number = json_get_integer(fold->event, "report", 0);
    if (number <= fold->host->report_number) return;
    fold->host->report_number = number;
    fold->host->missing = false;
    if (fold->host->state == HOST_LOST) fold->host->state = HOST_FAILED;
}

int rollout_fold(Rollout *rollout, int64_t sequence, const json_t *event, Error *error) {
    const char *type = json_get_text(event, "type", "");
    Fold fold = {.rollout = rollout, .event = event};
    fold.host = rollout_host(rollout, json_get_text(event, "host", NULL));
    fold.stage = find_stage(rollout, json_get_text(event, "stage", NULL));
    if (clock_from_text(json_get_text(event, "time", ""), &fold.time_ms) < 0)
        return error_set(error, ERROR_ATTENTION, "event %" PRId64 " has no time", sequence);
    for (size_t i = 0; i < sizeof folds / sizeof *folds; i++) {
        if (strcmp(type, folds[i].type) != 0) continue;
        if (!folds[i].fold(&fold))
            return error_set(error, ERROR_ATTENTION,
                             "event %" PRId64 " (%s) cannot follow the ones before it", sequence, type);
        break;
    }
    if (fold.host) fold_report_number(&fold);
    bool by_person = strncmp(type, "control.", strlen("control.")) == 0; /* who has another clock */
    if (!by_person && fold.time_ms > rollout->listened_ms) rollout->listened_ms = fold.time_ms;
    rollout->sequence = sequence; /* other types are evidence: they change nothing here */
    if (fold.host)
        assert_host(rollout, fold.host); /* it changed no other one */
    else
        rollout_assert(rollout);
    return 0;
}
