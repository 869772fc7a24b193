#include "server/metrics.h"
#include "engine/change.h"
#include <inttypes.h>

static void head(Buffer *out, const char *name, const char *type, const char *help) {
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(Buffer *out, const char *name, const char *type, const char *help, int64_t value) {
    head(out, name, type, help);
    buffer_printf(out, "%s %" PRId64 "\n", name, value);
}

/* ---- hosts */

static void write_hosts(Fleet *fleet, Arena *arena, int64_t now_ms, Buffer *out) {
    int64_t counts[INVENTORY_REVOKED + 1] = {0}, soonest_ms = 0;
    InventoryList list = inventory_list(fleet_inventory(fleet), arena);
    for (size_t i = 0; i < list.count; i++) {
        const InventoryHost *host = list.items[i];
        counts[host->state]++;
        if (host->state == INVENTORY_JOINED && (!soonest_ms || host->not_after_ms < soonest_ms))
            soonest_ms = host->not_after_ms;
    }
    fleet_inventory_end(fleet);
    head(out, "upkeep_hosts", "gauge", "Hosts by state.");
    for (int i = 0; i <= INVENTORY_REVOKED; i++)
        buffer_printf(out, "upkeep_hosts{state=\"%s\"} %" PRId64 "\n",
                      inventory_state_text((InventoryState)i), counts[i]);
    single(out, "upkeep_certificate_expiry_seconds", "gauge",
           "Until the first certificate of a joined host ends; 0 without hosts.",
           soonest_ms ? (soonest_ms - now_ms) / 1000 : 0);
}

/* ---- changes */

static void write_changes(const ChangeList *list, Buffer *out) {
    int64_t outcomes[OUTCOME_ABORTED + 1] = {0};
    for (size_t i = 0; i < list->count; i++) outcomes[list->items[i].outcome]++;
    head(out, "upkeep_changes_total", "counter", "Changes that have ended, by outcome.");
    for (int i = OUTCOME_SUCCEEDED; i <= OUTCOME_ABORTED; i++)
        buffer_printf(out, "upkeep_changes_total{outcome=\"%s\"} %" PRId64 "\n",
                      rollout_outcome_text((RolloutOutcome)i), outcomes[i]);
    single(out, "upkeep_changes_under_way", "gauge", "Changes that have not ended.", outcomes[OUTCOME_NONE]);
}

/* Samples of one name stand together, behind what is said of them. */
typedef struct Rollouts {
    Buffer hosts, unavailable, needs_person;
} Rollouts;

/* Label values: backslash, quote and newline are escaped. Names of services and changes hold none of them. */
static int write_rollout(void *context, const Rollout *rollout, Error *error) {
    (void)error;
    Rollouts *out = context;
    int64_t counts[HOST_LOST + 1] = {0};
    for (size_t i = 0; i < rollout->host_count; i++) counts[rollout->hosts[i].state]++;
    for (int i = 0; i <= HOST_LOST; i++)
        buffer_printf(&out->hosts,
                      "upkeep_rollout_hosts{change=\"%s\",service=\"%s\",state=\"%s\"} %" PRId64 "\n",
                      rollout->change, rollout->plan->service.name, host_state_text((HostState)i), counts[i]);
    buffer_printf(&out->unavailable, "upkeep_rollout_unavailable{change=\"%s\",service=\"%s\"} %zu\n",
                  rollout->change, rollout->plan->service.name, rollout_unavailable(rollout));
    buffer_printf(&out->needs_person, "upkeep_rollout_needs_person{change=\"%s\",service=\"%s\"} %d\n",
                  rollout->change, rollout->plan->service.name, rollout->held);
    return 0;
}

static void write_rollouts(Fleet *fleet, const ChangeList *list, Buffer *out) {
    Rollouts rollouts = {0};
    head(&rollouts.hosts, "upkeep_rollout_hosts", "gauge", "Hosts of changes under way, by state.");
    head(&rollouts.unavailable, "upkeep_rollout_unavailable", "gauge",
         "Hosts of a change that serve nobody.");
    head(&rollouts.needs_person, "upkeep_rollout_needs_person", "gauge",
         "1 while a change is held for a person to decide.");
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].outcome == OUTCOME_NONE)
            fleet_look(fleet, list->items[i].id, write_rollout, &rollouts, NULL);
    buffer_text_append(out, buffer_text(&rollouts.hosts));
    buffer_text_append(out, buffer_text(&rollouts.unavailable));
    buffer_text_append(out, buffer_text(&rollouts.needs_person));
    buffer_free(&rollouts.hosts);
    buffer_free(&rollouts.unavailable);
    buffer_free(&rollouts.needs_person);
}

int metrics_write(Controller *controller, const ServerCounts *server, Buffer *out, Error *error) {
    ARENA_AUTO arena = arena_new();
    ChangeList list;
    int64_t now_ms = clock_wall_ms(controller->clock);
    if (fleet_changes(controller->fleet, arena, &list, error) < 0) return -1;
    FleetCounts counts = fleet_counts(controller->fleet);
    head(out, "upkeep_build_info", "gauge", "Which version runs.");
    buffer_printf(out, "upkeep_build_info{version=\"%s\"} 1\n", UPKEEP_VERSION);
    single(out, "upkeep_start_time_seconds", "gauge", "When the controller started, since 1970 UTC.",
           controller->started_ms / 1000);
    single(out, "upkeep_journal_events_total", "counter", "Events in the journal.", counts.sequence);
    single(out, "upkeep_connections", "gauge", "Open connections.", server->connections);
    single(out, "upkeep_connections_refused_total", "counter",
           "Connections that were closed at once: too many of one address, of nobody who is known.",
           (int64_t)server->refused);
    single(out, "upkeep_parked_requests", "gauge", "Requests and streams that wait.", server->parked);
    single(out, "upkeep_requests_total", "counter", "Requests since the start.", (int64_t)server->requests);
    write_hosts(controller->fleet, arena, now_ms, out);
    write_changes(&list, out);
    write_rollouts(controller->fleet, &list, out);
    return 0;
}
