/* Opening, steering and looking at changes. */
#include "base/cleanup.h"
#include "base/json.h"
#include "engine/engine.h"
#include "server/fleet_room.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Where relative paths of a plan would lead: hosts have no folder in common with whoever wrote it. */
#define NOWHERE "/relative-to-the-plan"

/* ---- compiling */

static int check_absolute(const char *what, const char *path, Error *error) {
    if (!path || strncmp(path, NOWHERE, strlen(NOWHERE)) != 0) return 0;
    const char *written = path + strlen(NOWHERE);
    error_set(error, ERROR_INVALID, "%s: “%s” is relative, and hosts have no common folder", what,
              *written == '/' ? written + 1 : ".");
    return error_hint(error, "begin it with “/”");
}

static int check_paths(const Plan *plan, Error *error) {
    if (check_absolute("service.root", plan->service.root, error) < 0 ||
        check_absolute("restore_point.to", plan->restore_point.to, error) < 0)
        return -1;
    for (size_t i = 0; i < plan->hosts.count; i++)
        if (check_absolute("hosts.root", plan->hosts.items[i].root, error) < 0) return -1;
    return 0;
}

static int check_hosts(const Plan *plan, const Inventory *inventory, Error *error) {
    for (size_t i = 0; i < plan->hosts.count; i++) {
        const char *name = plan->hosts.items[i].name; /* NULL: the row selects hosts */
        if (!name) continue;
        const InventoryHost *host = inventory_host(inventory, name);
        if (host && host->state == INVENTORY_JOINED) continue;
        error_set(error, ERROR_INVALID, "the host %s has not joined this controller", name);
        return error_hint(error, "“upkeep host invite %s” makes a token for “upkeep-agent join”", name);
    }
    return 0;
}

static int expand(Fleet *fleet, Arena *arena, const Plan *plan, Plan **out, Error *error) {
    const Inventory *inventory = fleet_inventory(fleet);
    int result = check_hosts(plan, inventory, error); /* before anybody misses its variables */
    if (result == 0) result = inventory_expand(arena, plan, inventory, out, error);
    fleet_inventory_end(fleet);
    return result;
}

int fleet_compile(Fleet *fleet, const FleetOpening *opening, Arena *arena, Plan **plan, DepotPackage *package,
                  Error *error) {
    Plan *open = NULL, *settled = NULL;
    DepotPackage found;
    if (plan_read(arena, opening->file, NOWHERE, opening->text, strlen(opening->text), &open, error) < 0 ||
        check_paths(open, error) < 0 || expand(fleet, arena, open, &settled, error) < 0)
        return -1;
    assert(settled);
    const char *slash = strrchr(settled->package.file, '/');
    assert(slash); /* it was made absolute */
    const char *wanted = opening->package ? opening->package : slash + 1;
    if (depot_find(fleet->depot, arena, wanted, &found, error) < 0) {
        if (!opening->service || !opening->version) return -1;
        found = (DepotPackage){.service = opening->service, .version = opening->version, .name = wanted};
    }
    if (strcmp(found.service, settled->service.name) != 0)
        return error_set(error, ERROR_INVALID, "%s: the package is of the service %s, the plan of %s",
                         opening->file, found.service, settled->service.name);
    *plan = settled;
    *package = found;
    return 0;
}

/* ---- writing */

typedef struct Controlling {
    Fleet *fleet;
    const char *verb, *by, *why;
    const json_t *fields;
    bool ended; /* before it */
} Controlling;

static int write_control(void *context, const Rollout *rollout, Error *error) {
    Controlling *controlling = context;
    controlling->ended = rollout_ended(rollout);
    if (controlling->ended && strcmp(controlling->verb, "rollback") != 0)
        return error_set(error, ERROR_REFUSED, "%s has ended as “%s” already", rollout->change,
                         rollout_outcome_text(rollout->outcome));
    if (controlling->ended && rollout->outcome != OUTCOME_SUCCEEDED && rollout->outcome != OUTCOME_FAILED)
        return error_set(error, ERROR_REFUSED, "%s has ended as “%s” already: there is nothing to roll back",
                         rollout->change, rollout_outcome_text(rollout->outcome));
    if (rollout_check_control(rollout, controlling->verb, json_get_text(controlling->fields, "host", NULL),
                              error) < 0)
        return -1;
    Fleet *fleet = controlling->fleet;
    pthread_mutex_lock(&fleet->write_lock);
    int result = engine_control(fleet->journal, rollout, controlling->verb, controlling->by, controlling->why,
                                controlling->fields, fleet->clock, error);
    pthread_mutex_unlock(&fleet->write_lock);
    fleet_tell(fleet);
    return result;
}

/* ---- opening */

static bool shares_host(const Plan *a, const Rollout *b) {
    for (size_t i = 0; i < a->hosts.count; i++)
        if (rollout_host(b, a->hosts.items[i].name)) return true;
    return false;
}

/* One of this very plan that is under way: its id. ERROR_REFUSED for another one that a host of it is busy
 * with. With the courses held. */
static int find_unfinished(Fleet *fleet, const Plan *plan, const char *digest, char id[static CHANGE_ID_SIZE],
                           Error *error) {
    int result = 0;
    id[0] = '\0';
    for (size_t i = 0; i < fleet->course_count && result == 0 && !*id; i++) {
        Course *course = fleet->courses[i];
        if (course_is_over(course)) continue;
        const Rollout *view = course_look(course);
        if (strcmp(view->plan_digest, digest) == 0)
            snprintf(id, CHANGE_ID_SIZE, "%s", course_change(course));
        else if (strcmp(view->plan->service.name, plan->service.name) == 0 && shares_host(plan, view))
            result = error_set(error, ERROR_REFUSED,
                               "the change %s of %s is not finished, and its plan or package was another",
                               course_change(course), plan->service.name);
        course_look_end(course);
        if (result < 0)
            error_hint(error, "finish it with “upkeep resume %s”, or undo it with “upkeep abort %s”",
                       course_change(course), course_change(course));
    }
    return result;
}

static int write_opening(Fleet *fleet, const FleetOpening *opening, const Plan *plan,
                         const DepotPackage *package, char id[static CHANGE_ID_SIZE], Error *error) {
    Digest digest;
    if (!digest_from_text(package->digest, &digest))
        return error_set(error, ERROR_ATTENTION, "the journal has no digest of the package %s",
                         package->name);
    ChangeOpening change = {.plan = plan,
                            .plan_file = opening->file,
                            .version = package->version,
                            .package = &digest,
                            .by = opening->by,
                            .clock = fleet->clock,
                            .first = fleet->first_change};
    FD_AUTO lock = -1;
    if (change_lock(fleet->state, &lock, error) < 0) return -1;
    pthread_mutex_lock(&fleet->write_lock);
    int result = change_open(fleet->journal, &change, id, error);
    pthread_mutex_unlock(&fleet->write_lock);
    fleet_tell(fleet);
    return result;
}

/* One that was taken up again: whoever opens it wants it to go on, also when it was paused, or waits for that
 * because everything is prepared. What is held waits for a decision. */
static int go_on(void *context, const Rollout *rollout, Error *error) {
    Controlling *controlling = context;
    if (rollout->state != ROLLOUT_PAUSED || rollout->held) return 0;
    return write_control(controlling, rollout, error);
}

static int begin(Fleet *fleet, const FleetOpening *opening, const char *change, bool again, Error *error) {
    Controlling controlling = {.fleet = fleet, .verb = "resume", .by = opening->by};
    if (again && !opening->prepare_only && fleet_look(fleet, change, go_on, &controlling, error) < 0)
        return -1;
    Course *course = fleet_need_course(fleet, change, error);
    if (!course) return -1;
    course_go(course, opening->prepare_only);
    fleet_course_end(fleet);
    return 0;
}

/* With the opening lock held: two that come at once find one change, and a place that is free stays so. */
static int open_or_take_up(Fleet *fleet, const FleetOpening *opening, const Plan *plan,
                           const DepotPackage *package, char id[static CHANGE_ID_SIZE], Error *error) {
    Digest file;
    char digest[DIGEST_TEXT_SIZE];
    digest_from_text(package->digest, &file);
    Digest whole = plan_digest(plan, &file);
    digest_to_text(&whole, digest);
    pthread_rwlock_rdlock(&fleet->courses_lock);
    int result = find_unfinished(fleet, plan, digest, id, error);
    pthread_rwlock_unlock(&fleet->courses_lock);
    if (result < 0) return -1;
    bool again = *id != '\0';
    if (!again &&
        (fleet_make_room(fleet, error) < 0 || write_opening(fleet, opening, plan, package, id, error) < 0))
        return -1;
    return begin(fleet, opening, id, again, error);
}

int fleet_open_change(Fleet *fleet, const FleetOpening *opening, char id[static CHANGE_ID_SIZE],
                      Error *error) {
    ARENA_AUTO arena = arena_new();
    Plan *plan = NULL;
    DepotPackage package;
    char found[CHANGE_ID_SIZE];
    if (fleet_compile(fleet, opening, arena, &plan, &package, error) < 0) return -1;
    pthread_mutex_lock(&fleet->opening_lock);
    int result = open_or_take_up(fleet, opening, plan, &package, found, error);
    pthread_mutex_unlock(&fleet->opening_lock);
    if (result < 0) return -1;
    memcpy(id, found, sizeof found);
    return 0;
}

/* ---- steering */

/* The course comes first: a change that is asked to roll back and has no room to do so would be left half
 * ended. */
static int control(Fleet *fleet, const char *change, Controlling *controlling, Error *error) {
    if (!fleet_need_course(fleet, change, error)) return -1;
    fleet_course_end(fleet);
    if (fleet_look(fleet, change, write_control, controlling, error) < 0) return -1;
    Course *course = fleet_need_course(fleet, change, error);
    if (!course) return -1;
    course_go(course, false);
    fleet_course_end(fleet);
    return 0;
}

int fleet_control(Fleet *fleet, const char *change, const char *verb, const char *by, const char *why,
                  const json_t *fields, Error *error) {
    Controlling controlling = {fleet, verb, by, why, fields, false};
    pthread_mutex_lock(&fleet->opening_lock);
    int result = control(fleet, change, &controlling, error);
    pthread_mutex_unlock(&fleet->opening_lock);
    return result;
}

/* ---- looking */

/* With the catalogue's lock held. */
static void tell_courses(void *context, Catalogue *catalogue) {
    Fleet *fleet = context;
    pthread_rwlock_rdlock(&fleet->courses_lock);
    for (size_t i = 0; i < fleet->course_count; i++) {
        catalogue_note(catalogue, course_look(fleet->courses[i]));
        course_look_end(fleet->courses[i]);
    }
    pthread_rwlock_unlock(&fleet->courses_lock);
}

int fleet_changes(Fleet *fleet, Arena *arena, ChangeList *out, Error *error) {
    CatalogueSource courses = {tell_courses, fleet};
    return catalogue_list(fleet->catalogue, &courses, arena, out, error);
}

int fleet_check_change(Fleet *fleet, const char *change, Error *error) {
    return catalogue_check(fleet->catalogue, change, error);
}

int fleet_look(Fleet *fleet, const char *change, FleetLook look, void *context, Error *error) {
    Course *course = fleet_course(fleet, change);
    int result = 0;
    if (course) {
        result = look(context, course_look(course), error);
        course_look_end(course);
    }
    fleet_course_end(fleet);
    return course ? result : catalogue_look(fleet->catalogue, change, look, context, error);
}
