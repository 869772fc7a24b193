/* What hosts add to the journal without being asked. They are known, and may be in wrong hands all the same:
 * a journal is never cut, so what one host can fill of it is bounded. */
#include "base/cleanup.h"
#include "base/json.h"
#include "host/host_facts.h"
#include "server/fleet_room.h"
#include <errno.h>
#include <string.h>

/* Facts of a host are some 3 KiB every ten minutes at most, what it comes with too late some 64 KiB: both are
 * far below a MiB at once and 4 KiB a minute, which are 6 MiB a day. */
enum {
    UNIT_BYTES = 256,
    BURST_UNITS = 4096,
    INTERVAL_MS = 3750,
    HOSTS = 16384,
    NOTED_EVERY_MS = 60 * 60 * 1000
};

void fleet_allowance_open(Fleet *fleet) {
    fleet->allowance = throttle_new(&(ThrottleRule){BURST_UNITS, INTERVAL_MS, HOSTS});
    fleet->noted = throttle_new(&(ThrottleRule){1, NOTED_EVERY_MS, HOSTS});
}

void fleet_allowance_close(Fleet *fleet) {
    throttle_free(fleet->allowance);
    throttle_free(fleet->noted);
}

/* Once an hour: or what keeps the journal small would fill it. */
static void note(Fleet *fleet, const char *host, const json_t *refused) {
    if (!throttle_allow(fleet->noted, host, clock_steady_ms(fleet->clock), NULL)) return;
    json_t *event = json_object();
    json_set_text(event, "type", "host.throttled");
    json_set_text(event, "host", host);
    json_set_text(event, "refused", json_get_text(refused, "type", NULL));
    fleet_write(fleet, event, NULL);
}

int fleet_allow(Fleet *fleet, const char *host, const json_t *event, Error *error) {
    int64_t now_ms = clock_steady_ms(fleet->clock);
    if (throttle_allow(fleet->allowance, host, now_ms, NULL)) {
        throttle_charge(fleet->allowance, host, (int)(json_dumpb(event, NULL, 0, JSON_COMPACT) / UNIT_BYTES),
                        now_ms);
        return 0;
    }
    note(fleet, host, event);
    error_set(error, ERROR_REFUSED,
              "the host %s tells more than the journal takes of one; it may again later", host);
    if (error) error->number = EDQUOT;
    return error_hint(error, "see what it tells with “upkeep host show %s”; if nobody knows why, revoke it",
                      host);
}

static bool are_known(Fleet *fleet, const char *host, const json_t *facts) {
    const InventoryHost *known = inventory_host(fleet_inventory(fleet), host);
    Digest told = host_facts_digest(facts);
    Digest before = known && known->facts ? host_facts_digest(known->facts) : (Digest){{0}};
    fleet_inventory_end(fleet);
    return digest_equal(&told, &before);
}

int fleet_take_facts(Fleet *fleet, const char *host, json_t *facts, Error *error) {
    JSON_AUTO event = json_object();
    if (are_known(fleet, host, facts)) return 0;
    json_set_text(event, "type", "host.facts");
    json_set_text(event, "host", host);
    json_object_set(event, "facts", facts);
    if (fleet_allow(fleet, host, event, error) < 0) return -1;
    return fleet_write(fleet, json_incref(event), error);
}
