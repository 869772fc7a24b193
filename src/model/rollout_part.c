/* The part of each host in the rollout: who is left out, and what people may ask of one host. */
#include "model/rollout.h"
#include <string.h>

bool rollout_is_left_out(const RolloutHost *host) {
    return host->part == PART_FAILED || host->part == PART_SKIPPED;
}

bool rollout_host_has_begun(const RolloutHost *host) {
    return host->live ? host->retired : host->order_count > host->order_open;
}

const char *rollout_stage_name(const Rollout *rollout, const RolloutHost *host) {
    return host->live ? NULL : rollout->plan->rollout.stages.items[host->stage].name;
}

bool rollout_all_admitted(const Rollout *rollout) {
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        if (!host->live && !rollout_is_left_out(host) && host->traffic != TRAFFIC_IN) return false;
    }
    return true;
}

size_t rollout_left_out(const Rollout *rollout) {
    size_t count = 0;
    for (size_t i = 0; i < rollout->stage_count; i++) count += rollout->stages[i].left_out_count;
    return count;
}

bool rollout_went_through(const Rollout *rollout) {
    for (size_t i = 0; i < rollout->host_count; i++)
        if (rollout->hosts[i].state != HOST_COMMITTED && !rollout->hosts[i].live &&
            !rollout_is_left_out(&rollout->hosts[i]))
            return false;
    return rollout_ended(rollout);
}

bool rollout_needs_person(const RolloutHost *host) {
    bool back_unknown = host->state == HOST_LOST && host->order.kind == ORDER_ROLLBACK && host->switched;
    bool live_unknown = host->live && host->state == HOST_LOST;
    return host->rollback_failed || host->kept || back_unknown || live_unknown;
}

/* Something went wrong there, and users have not been given to it: it can be put back as if nothing had been.
 */
static bool has_failed(const Rollout *rollout, const RolloutHost *host) {
    if (host->confirmed) return false;
    switch (host->state) {
    case HOST_FAILED:
    case HOST_LOST:
    case HOST_ROLLED_BACK: return true;
    case HOST_HEALTHY: /* silence is no verdict: there only the hold names it */
        return host->health == VERDICT_FAIL ||
               (rollout->held && rollout->reason_host && strcmp(rollout->reason_host, host->name) == 0);
    default: return false;
    }
}

static int check_under_way(const Rollout *rollout, const RolloutHost *host, Error *error) {
    if (rollout_ended(rollout))
        return error_set(error, ERROR_REFUSED, "%s has ended as “%s” already", rollout->change,
                         rollout_outcome_text(rollout->outcome));
    if (rollout->state == ROLLOUT_ROLLING_BACK)
        return error_set(error, ERROR_REFUSED, "%s is being rolled back, with every host it touched",
                         rollout->change);
    if (host->live)
        return error_set(error, ERROR_REFUSED, "%s is live: %s does not upgrade it", host->name,
                         rollout->change);
    if (rollout->stages[host->stage].state == STAGE_PASSED)
        return error_set(error, ERROR_REFUSED, "the stage %s of %s is over",
                         rollout->plan->rollout.stages.items[host->stage].name, host->name);
    return 0;
}

int rollout_check_skip(const Rollout *rollout, const RolloutHost *host, Error *error) {
    if (check_under_way(rollout, host, error) < 0) return -1;
    const RolloutStage *stage = &rollout->stages[host->stage];
    bool untouched = host->state <= HOST_PREPARED && !host->switched;
    if (rollout_is_left_out(host))
        return error_set(error, ERROR_REFUSED, "%s is left out already", host->name);
    if (!untouched && host->part != PART_RETRIED && !has_failed(rollout, host)) {
        error_set(error, ERROR_REFUSED, "%s has been switched, and nothing is wrong with it", host->name);
        return error_hint(error, "“upkeep abort %s” puts back every host", rollout->change);
    }
    if (stage->left_out_count + 1 < stage->host_count) return 0;
    error_set(error, ERROR_REFUSED, "%s is the last host of the stage %s: a stage without hosts is no pass",
              host->name, rollout->plan->rollout.stages.items[host->stage].name);
    return error_hint(error, "“upkeep abort %s” puts back every host", rollout->change);
}

int rollout_check_retry(const Rollout *rollout, const RolloutHost *host, Error *error) {
    if (check_under_way(rollout, host, error) < 0) return -1;
    if (host->kept)
        return error_set(error, ERROR_REFUSED, "%s was left on the new version, as the plan says",
                         host->name);
    if (host->part == PART_RETRIED)
        return error_set(error, ERROR_REFUSED, "%s is being tried again already", host->name);
    if (rollout_is_left_out(host) || has_failed(rollout, host)) return 0;
    error_set(error, ERROR_REFUSED, "%s has not failed, and is not left out", host->name);
    return rollout->held ? error_hint(error, "“upkeep resume %s” goes on with it", rollout->change) : -1;
}

int rollout_check_control(const Rollout *rollout, const char *verb, const char *name, Error *error) {
    static const struct {
        const char *verb;
        int (*check)(const Rollout *rollout, const RolloutHost *host, Error *error);
    } checks[] = {{"skip", rollout_check_skip}, {"retry", rollout_check_retry}};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        if (strcmp(checks[i].verb, verb) != 0) continue;
        const RolloutHost *host = rollout_host(rollout, name);
        if (!host)
            return error_set(error, ERROR_INVALID, "%s has no host %s", rollout->change, name ? name : "");
        return checks[i].check(rollout, host, error);
    }
    return 0;
}
