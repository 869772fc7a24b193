/* The fleet's journal and courses. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "journal/journal_sqlite.h"
#include "server/fleet_room.h"
#include <stdlib.h>
#include <string.h>

void fleet_number_changes_from(Fleet *fleet, int64_t first) { fleet->first_change = first; }
Clock *fleet_clock(const Fleet *fleet) { return fleet->clock; }
Depot *fleet_depot(const Fleet *fleet) { return fleet->depot; }

/* ---- writing */

/* Of events that belong to no change: hosts and packages are what they say. */
static int fold_own(void *context, int64_t sequence, const json_t *event, Error *error) {
    Fleet *fleet = context;
    fleet->sequence = sequence;
    depot_fold(fleet->depot, event);
    pthread_rwlock_wrlock(&fleet->hosts_lock);
    int result = inventory_fold(fleet->inventory, sequence, event, error);
    pthread_rwlock_unlock(&fleet->hosts_lock);
    return result;
}

int fleet_catch_up(Fleet *fleet, Error *error) {
    return journal_read(fleet->journal, fleet->sequence, "", fold_own, fleet, error);
}

static int append(Fleet *fleet, json_t *event, Error *error) {
    pthread_rwlock_rdlock(&fleet->hosts_lock);
    int result = inventory_check(fleet->inventory, event, error);
    pthread_rwlock_unlock(&fleet->hosts_lock);
    if (result < 0 || journal_append(fleet->journal, &event, 1, error) < 0) return -1;
    return fleet_catch_up(fleet, error);
}

int fleet_write(Fleet *fleet, json_t *event, Error *error) {
    JSON_AUTO owned = event;
    char time[CLOCK_TEXT_SIZE];
    clock_to_text(clock_wall_ms(fleet->clock), time);
    json_set_text(owned, "time", time);
    pthread_mutex_lock(&fleet->write_lock);
    int result = append(fleet, owned, error);
    pthread_mutex_unlock(&fleet->write_lock);
    fleet_tell(fleet);
    return result;
}

int fleet_read(Fleet *fleet, int64_t after, const char *change, JournalVisit visit, void *context,
               Error *error) {
    pthread_mutex_lock(&fleet->read_lock);
    int result = journal_read(fleet->read_journal, after, change, visit, context, error);
    pthread_mutex_unlock(&fleet->read_lock);
    return result;
}

int fleet_rows(Fleet *fleet, int64_t after, const char *change, JournalRowVisit visit, void *context,
               Error *error) {
    pthread_mutex_lock(&fleet->read_lock);
    int result = journal_rows(fleet->read_journal, after, change, visit, context, error);
    pthread_mutex_unlock(&fleet->read_lock);
    return result;
}

int fleet_head(Fleet *fleet, int64_t *sequence, Digest *hash, Error *error) {
    pthread_mutex_lock(&fleet->write_lock);
    int result = journal_head(fleet->journal, sequence, hash, error);
    pthread_mutex_unlock(&fleet->write_lock);
    return result;
}

int fleet_verify(Fleet *fleet, int64_t *count, Error *error) {
    JOURNAL_AUTO own = NULL; /* it takes long: nobody shall wait for it */
    if (journal_sqlite_open(fleet->journal_path, &own, error) < 0) return -1;
    return journal_verify(own, count, error);
}

/* ---- what the courses tell */

void fleet_answer(Fleet *fleet, ServerTicket ticket, const json_t *json) {
    BUFFER_AUTO body = {0};
    FREE_AUTO char *text = json_text(json);
    buffer_text_append(&body, text);
    pthread_rwlock_rdlock(&fleet->server_lock);
    if (fleet->server) server_answer_parked(fleet->server, ticket, 200, "application/json", &body);
    pthread_rwlock_unlock(&fleet->server_lock);
}

void fleet_wake(Fleet *fleet, const char *host) {
    ServerTicket ticket = parking_take_poll(fleet->parking, host);
    if (!ticket) return;
    if (!fleet_is_joined(fleet, host)) return; /* revoked while it waited: it is told nothing more */
    JSON_AUTO work = fleet_work(fleet, host);
    fleet_answer(fleet, ticket, work);
}

static void on_wake(void *context, const char *host) { fleet_wake(context, host); }

static void on_heard(void *context, const char *change, const char *host, int64_t number) {
    Fleet *fleet = context;
    ServerTicket tickets[PARKING_REPORTS_MAX];
    size_t count = parking_take_reports(fleet->parking, host, change, number, tickets);
    if (count == 0) return;
    JSON_AUTO json = json_object();
    json_set_integer(json, "heard", number);
    for (size_t i = 0; i < count; i++) fleet_answer(fleet, tickets[i], json);
}

static void on_event(void *context, int64_t sequence, const json_t *event) {
    (void)sequence, (void)event;
    fleet_tell(context);
}

/* ---- courses */

static Course *find_course(const Fleet *fleet, const char *change) {
    for (size_t i = 0; i < fleet->course_count; i++)
        if (strcmp(course_change(fleet->courses[i]), change) == 0) return fleet->courses[i];
    return NULL;
}

Course *fleet_course(Fleet *fleet, const char *change) {
    pthread_rwlock_rdlock(&fleet->courses_lock);
    return find_course(fleet, change);
}

void fleet_course_end(Fleet *fleet) { pthread_rwlock_unlock(&fleet->courses_lock); }

/* Those that are over make room; the catalogue tells of them from now on. They are closed without the list:
 * their last threads may be looking at it yet, to tell hosts that they are over. */
static void drop_finished(Fleet *fleet) {
    Course *dropped[FLEET_COURSES_MAX];
    size_t count = 0, left = 0;
    pthread_rwlock_wrlock(&fleet->courses_lock);
    for (size_t i = 0; i < fleet->course_count; i++) {
        Course *course = fleet->courses[i];
        if (course_is_over(course))
            dropped[count++] = course;
        else
            fleet->courses[left++] = course;
    }
    fleet->course_count = left;
    pthread_rwlock_unlock(&fleet->courses_lock);
    for (size_t i = 0; i < count; i++) course_close(dropped[i]);
}

static int no_room(Error *error) {
    error_set(error, ERROR_REFUSED, "%d changes are under way already", (int)FLEET_COURSES_MAX);
    return error_hint(error, "bring one of them to its end first");
}

int fleet_make_room(Fleet *fleet, Error *error) {
    drop_finished(fleet);
    pthread_rwlock_rdlock(&fleet->courses_lock);
    bool full = fleet->course_count == FLEET_COURSES_MAX;
    pthread_rwlock_unlock(&fleet->courses_lock);
    return full ? no_room(error) : 0;
}

static int add_course(Fleet *fleet, const char *change, Error *error) {
    Course *course = NULL;
    CourseSpec spec = {.journal_path = fleet->journal_path,
                       .change = change,
                       .clock = fleet->clock,
                       .listener = {on_wake, on_heard, on_event, fleet}};
    if (fleet->course_count == FLEET_COURSES_MAX) return no_room(error);
    JOURNAL_AUTO own = NULL; /* everybody waits for the list: this shall not wait for whoever reads */
    if (journal_sqlite_open(fleet->journal_path, &own, error) < 0 ||
        course_open(own, &spec, &course, error) < 0)
        return -1;
    fleet->courses[fleet->course_count++] = course;
    return 0;
}

Course *fleet_need_course(Fleet *fleet, const char *change, Error *error) {
    Course *known = fleet_course(fleet, change);
    if (known) return known;
    fleet_course_end(fleet);
    if (fleet_make_room(fleet, error) < 0) return NULL;
    pthread_rwlock_wrlock(&fleet->courses_lock);
    int result = find_course(fleet, change) ? 0 : add_course(fleet, change, error);
    pthread_rwlock_unlock(&fleet->courses_lock);
    Course *course = fleet_course(fleet, change);
    if (course) return course;
    if (result == 0) error_set(error, ERROR_SYSTEM, "%s was closed just now", change);
    fleet_course_end(fleet);
    return NULL;
}

/* ---- open and close */

static int open_unfinished(Fleet *fleet, Error *error) {
    ARENA_AUTO arena = arena_new();
    ChangeList list;
    if (catalogue_list(fleet->catalogue, NULL, arena, &list, error) < 0) return -1;
    for (size_t i = 0; i < list.count; i++)
        if (list.items[i].outcome == OUTCOME_NONE && add_course(fleet, list.items[i].id, error) < 0)
            return -1;
    return 0;
}

int fleet_open(const char *state, Clock *clock, Fleet **out, Error *error) {
    Fleet *fleet = calloc(1, sizeof *fleet);
    if (!fleet) abort();
    fleet->state = strdup(state);
    fleet->journal_path = file_join(state, "journal.sqlite");
    fleet->clock = clock;
    fleet->parking = parking_new();
    fleet->tasks = task_board_new(clock);
    fleet_allowance_open(fleet);
    fleet->inventory = inventory_new();
    pthread_mutex_init(&fleet->write_lock, NULL);
    pthread_mutex_init(&fleet->read_lock, NULL);
    pthread_mutex_init(&fleet->opening_lock, NULL);
    pthread_mutex_init(&fleet->tell_lock, NULL);
    pthread_cond_init(&fleet->tell_wake, NULL);
    pthread_rwlock_init(&fleet->hosts_lock, NULL);
    pthread_rwlock_init(&fleet->courses_lock, NULL);
    pthread_rwlock_init(&fleet->server_lock, NULL);
    if (depot_open(state, &fleet->depot, error) < 0 ||
        journal_sqlite_open(fleet->journal_path, &fleet->journal, error) < 0 ||
        journal_sqlite_open(fleet->journal_path, &fleet->read_journal, error) < 0 ||
        fleet_catch_up(fleet, error) < 0 ||
        catalogue_open(fleet->journal_path, &fleet->catalogue, error) < 0 ||
        open_unfinished(fleet, error) < 0) {
        fleet_close(fleet);
        return -1;
    }
    *out = fleet;
    return 0;
}

/* Who is about to use the one before has done so when this returns. */
void fleet_set_server(Fleet *fleet, Server *server) {
    pthread_rwlock_wrlock(&fleet->server_lock);
    fleet->server = server;
    pthread_rwlock_unlock(&fleet->server_lock);
}

void fleet_begin(Fleet *fleet) {
    pthread_rwlock_rdlock(&fleet->courses_lock);
    for (size_t i = 0; i < fleet->course_count; i++) {
        bool prepare_only = course_look(fleet->courses[i])->prepare_only;
        course_look_end(fleet->courses[i]);
        course_go(fleet->courses[i], prepare_only);
    }
    pthread_rwlock_unlock(&fleet->courses_lock);
}

void fleet_stop(Fleet *fleet) {
    pthread_rwlock_wrlock(&fleet->courses_lock);
    size_t count = fleet->course_count;
    fleet->course_count = 0;
    pthread_rwlock_unlock(&fleet->courses_lock);
    for (size_t i = 0; i < count; i++) course_close(fleet->courses[i]);
}

void fleet_close(Fleet *fleet) {
    if (!fleet) return;
    fleet_stop(fleet);
    fleet_tell_end(fleet);
    catalogue_close(fleet->catalogue);
    journal_close(fleet->read_journal);
    journal_close(fleet->journal);
    depot_close(fleet->depot);
    inventory_free(fleet->inventory);
    parking_free(fleet->parking);
    task_board_free(fleet->tasks);
    fleet_allowance_close(fleet);
    pthread_mutex_destroy(&fleet->write_lock);
    pthread_mutex_destroy(&fleet->read_lock);
    pthread_mutex_destroy(&fleet->opening_lock);
    pthread_mutex_destroy(&fleet->tell_lock);
    pthread_cond_destroy(&fleet->tell_wake);
    pthread_rwlock_destroy(&fleet->hosts_lock);
    pthread_rwlock_destroy(&fleet->courses_lock);
    pthread_rwlock_destroy(&fleet->server_lock);
    free(fleet->journal_path);
    free(fleet->state);
    free(fleet);
}

FleetCounts fleet_counts(Fleet *fleet) {
    ARENA_AUTO arena = arena_new();
    FleetCounts counts = {0};
    InventoryList list = inventory_list(fleet_inventory(fleet), arena);
    counts.hosts = list.count;
    for (size_t i = 0; i < list.count; i++) counts.joined += list.items[i]->state == INVENTORY_JOINED;
    fleet_inventory_end(fleet);
    pthread_rwlock_rdlock(&fleet->courses_lock);
    for (size_t i = 0; i < fleet->course_count; i++) counts.courses += !course_is_over(fleet->courses[i]);
    pthread_rwlock_unlock(&fleet->courses_lock);
    pthread_mutex_lock(&fleet->write_lock);
    Digest head;
    journal_head(fleet->journal, &counts.sequence, &head, NULL);
    pthread_mutex_unlock(&fleet->write_lock);
    return counts;
}
