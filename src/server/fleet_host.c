/* What hosts ask and tell. */
#include "base/cleanup.h"
#include "base/json.h"
#include "server/fleet_room.h"
#include <stdlib.h>
#include <string.h>

enum { LATE_DEPTH_MAX = 12, REPORTS_MAX = 1000, LATE_MAX = 64 * 1024 };

const Inventory *fleet_inventory(Fleet *fleet) {
    pthread_rwlock_rdlock(&fleet->hosts_lock);
    return fleet->inventory;
}

void fleet_inventory_end(Fleet *fleet) { pthread_rwlock_unlock(&fleet->hosts_lock); }

bool fleet_is_joined(Fleet *fleet, const char *host) {
    const InventoryHost *known = inventory_host(fleet_inventory(fleet), host);
    bool joined = known && known->state == INVENTORY_JOINED;
    fleet_inventory_end(fleet);
    return joined;
}

/* ---- work */

static void name_answer(json_t *answer) {
    char text[DIGEST_TEXT_SIZE];
    Digest digest = json_digest(answer);
    digest_to_text(&digest, text);
    text[32] = '\0';
    json_set_text(answer, "seen", text);
}

json_t *fleet_work(Fleet *fleet, const char *host) {
    json_t *answer = json_object(), *work = json_array(), *changes = json_array();
    pthread_rwlock_rdlock(&fleet->courses_lock);
    for (size_t i = 0; i < fleet->course_count; i++) {
        Course *course = fleet->courses[i];
        if (!course_has_host(course, host) || course_is_over(course)) continue;
        json_array_append_new(changes, json_string(course_change(course)));
        json_t *item = course_poll(course, host);
        if (!item) continue;
        json_set_text(item, "change", course_change(course));
        json_array_append_new(work, item);
    }
    pthread_rwlock_unlock(&fleet->courses_lock);
    json_object_set_new(answer, "work", work);
    json_object_set_new(answer, "changes", changes);
    json_t *tasks = task_board_offer(fleet->tasks, host);
    if (tasks) json_object_set_new(answer, "tasks", tasks);
    name_answer(answer);
    return answer;
}

void fleet_park_poll(Fleet *fleet, const char *host, const char *seen, ServerTicket ticket) {
    parking_put_poll(fleet->parking, host, ticket);
    JSON_AUTO work = fleet_work(fleet, host); /* something may have come while it was being parked */
    if (seen && strcmp(json_get_text(work, "seen", ""), seen) == 0) return;
    ServerTicket parked = parking_take_poll(fleet->parking, host);
    if (parked) fleet_answer(fleet, parked, work);
}

/* ---- reports */

static int64_t highest_of(const json_t *reports) {
    size_t index;
    json_t *report;
    int64_t highest = 0;
    json_array_foreach(reports, index, report) {
        int64_t number = json_get_integer(report, "number", 0);
        if (number > highest) highest = number;
    }
    return highest;
}

/* The change is over, and the host comes with something all the same: it is evidence, and kept. */
static int keep_late(Fleet *fleet, const char *change, const char *host, const json_t *reports,
                     Error *error) {
    JSON_AUTO event = json_object();
    char time[CLOCK_TEXT_SIZE];
    clock_to_text(clock_wall_ms(fleet->clock), time);
    json_set_text(event, "type", "host.reported_late");
    json_set_text(event, "time", time);
    json_set_text(event, "change", change);
    json_set_text(event, "host", host);
    json_t *kept = json_deep_copy(reports);
    if (json_disarm(kept, LATE_DEPTH_MAX) == 0 && json_dumpb(kept, NULL, 0, JSON_COMPACT) <= LATE_MAX)
        json_object_set(event, "reports", kept);
    json_decref(kept);
    if (fleet_allow(fleet, host, event, error) < 0) return -1;
    pthread_mutex_lock(&fleet->write_lock);
    int result = journal_append(fleet->journal, &event, 1, error);
    pthread_mutex_unlock(&fleet->write_lock);
    fleet_tell(fleet);
    return result;
}

typedef struct Knowing {
    const char *host;
    bool known, ended;
    int64_t heard; /* number of its last report that stands in the journal */
} Knowing;

static int look_for_host(void *context, const Rollout *rollout, Error *error) {
    (void)error;
    Knowing *knowing = context;
    const RolloutHost *host = rollout_host(rollout, knowing->host);
    knowing->known = host != NULL;
    knowing->heard = host ? host->report_number : 0;
    knowing->ended = rollout_ended(rollout);
    return 0;
}

static int report_late(Fleet *fleet, const char *change, const char *host, const json_t *reports,
                       int64_t last, int64_t *heard, Error *error) {
    Knowing knowing = {.host = host};
    if (fleet_look(fleet, change, look_for_host, &knowing, error) < 0) return -1;
    if (!knowing.known) return error_set(error, ERROR_INVALID, "there is no host %s in the plan", host);
    if (!knowing.ended) /* what is answered here is forgotten there: its engine would wait for it for ever */
        return error_set(error, ERROR_INTERRUPTED, "nobody hears reports of %s just now", change);
    if (last > knowing.heard && keep_late(fleet, change, host, reports, error) < 0) return -1;
    *heard = last;
    return 0;
}

int fleet_report(Fleet *fleet, const char *change, const char *host, const json_t *reports, int64_t *heard,
                 int64_t *last, Error *error) {
    if (!json_is_array(reports) || json_array_size(reports) > REPORTS_MAX)
        return error_set(error, ERROR_INVALID, "that is no report of a host");
    *last = highest_of(reports);
    Course *course = fleet_course(fleet, change);
    bool over = !course || course_is_over(course);
    int result = over ? 0 : course_report(course, host, reports, heard, error);
    fleet_course_end(fleet);
    return over ? report_late(fleet, change, host, reports, *last, heard, error) : result;
}

void fleet_park_report(Fleet *fleet, const char *change, const char *host, int64_t last,
                       ServerTicket ticket) {
    JSON_AUTO none = json_array();
    int64_t heard = 0;
    parking_put_report(fleet->parking, host, change, last, ticket);
    Course *course = fleet_course(fleet, change); /* it may have been heard while it was being parked */
    int result = course ? course_report(course, host, none, &heard, NULL) : -1;
    fleet_course_end(fleet);
    if (result < 0 || heard < last) return;
    ServerTicket tickets[PARKING_REPORTS_MAX];
    size_t count = parking_take_reports(fleet->parking, host, change, heard, tickets);
    JSON_AUTO answer = json_object();
    json_set_integer(answer, "heard", heard);
    for (size_t i = 0; i < count; i++) fleet_answer(fleet, tickets[i], answer);
}

/* ---- documents */

int fleet_document(Fleet *fleet, const char *change, const char *host, json_t **out, Error *error) {
    ARENA_AUTO arena = arena_new();
    DepotPackage package;
    json_t *document = NULL;
    Course *course = fleet_course(fleet, change);
    int result = course ? course_document(course, host, &document, error)
                        : error_set(error, ERROR_INVALID, "%s is not under way", change);
    fleet_course_end(fleet);
    if (result < 0) return -1;
    if (depot_find(fleet->depot, arena, json_get_text(document, "package_digest", ""), &package, error) < 0) {
        json_decref(document);
        return -1;
    }
    json_t *file = json_object();
    json_set_text(file, "sha256", package.sha256);
    json_set_integer(file, "size", (int64_t)package.size);
    json_object_set_new(document, "package", file);
    *out = document;
    return 0;
}
