/* FleetPlay: a fleet in a TestFolder with the host "h", the packages 1.0.upk and 2.0.upk, and something that
 * is the host. */
#pragma once
#include "agent/assignment.h"
#include "server/fleet.h"
#include "support/depot_play.h"
#include <pthread.h>

typedef struct FleetPlay {
    const TestFolder *folder;
    Fleet *fleet;
    pthread_t host;
    atomic_bool stop;
    bool host_runs;
    char change[CHANGE_ID_SIZE];
} FleetPlay;

static inline void fleet_play_join(Fleet *fleet, const char *host) {
    json_t *event = json_pack("{s:s,s:s,s:s,s:s}", "type", "host.joined", "host", host, "serial",
                              "00112233445566778899aabbccddeeff", "not_after", "2036-01-01T00:00:00Z");
    assert_done(fleet_write(fleet, event, error));
}

static inline void fleet_play_publish(Fleet *fleet, const TestFolder *folder, const char *name) {
    DepotPiece file = depot_play_file(folder, name);
    json_t *event = NULL;
    depot_play_upload(fleet_depot(fleet), file.sha256, &file.bytes);
    assert_done(depot_publish(fleet_depot(fleet), file.sha256, name, &event, error));
    assert_done(fleet_write(fleet, event, error));
    buffer_free(&file.bytes);
}

static inline void fleet_play_open(FleetPlay *play) {
    assert_done(fleet_open(play->folder->path, clock_system(), &play->fleet, error));
}

static inline void fleet_play_begin(FleetPlay *play, const TestFolder *folder) {
    *play = (FleetPlay){.folder = folder};
    sample_pack_version(folder, "1.0", true);
    sample_pack_version(folder, "2.0", true);
    depot_play_trust(folder, "trust", "k");
    fleet_play_open(play);
    fleet_play_join(play->fleet, "h");
    fleet_play_publish(play->fleet, folder, "1.0.upk");
    fleet_play_publish(play->fleet, folder, "2.0.upk");
}

static inline void fleet_play_host_end(FleetPlay *play) {
    if (!play->host_runs) return;
    atomic_store(&play->stop, true);
    pthread_join(play->host, NULL);
    play->host_runs = false;
}

static inline void fleet_play_end(FleetPlay *play) {
    fleet_play_host_end(play);
    fleet_close(play->fleet);
}

/* As after a crash, or an upgrade of the controller. */
static inline void fleet_play_again(FleetPlay *play) {
    fleet_close(play->fleet);
    fleet_play_open(play);
    fleet_begin(play->fleet);
}

static inline int fleet_play_try(FleetPlay *play, const char *version, const char *more, bool prepare_only,
                                 char id[static CHANGE_ID_SIZE], Error *error) {
    BUFFER_AUTO text = {0};
    sample_write_plan(play->folder, version, more, &text);
    FleetOpening opening = {
        .text = buffer_text(&text), .file = "p.yaml", .by = "test", .prepare_only = prepare_only};
    return fleet_open_change(play->fleet, &opening, id, error);
}

static inline void fleet_play_change(FleetPlay *play, const char *version, bool prepare_only) {
    assert_done(fleet_play_try(play, version, "", prepare_only, play->change, error));
}

/* ---- the host */

static inline int fleet_play_exchange(void *context, const json_t *reports, json_t **answer, Error *error) {
    FleetPlay *play = context;
    int64_t heard = 0, last = 0;
    if (fleet_report(play->fleet, play->change, "h", reports, &heard, &last, error) < 0) return -1;
    JSON_AUTO work = fleet_work(play->fleet, "h");
    json_t *item = json_incref(json_array_get(json_object_get(work, "work"), 0));
    if (!item) item = json_object();
    json_set_integer(item, "heard", heard);
    *answer = item;
    return 0;
}

static inline void *fleet_play_be_host(void *context) {
    FleetPlay *play = context;
    ARENA_AUTO arena = arena_new();
    JSON_AUTO document = NULL;
    Plan *plan = NULL;
    Assignment *assignment = NULL;
    char path[SAMPLE_PATH_SIZE], package[SAMPLE_PATH_SIZE + 16];
    assert_done(fleet_document(play->fleet, play->change, "h", &document, error));
    assert_done(plan_from_json(arena, json_object_get(document, "plan"), &plan, error));
    sample_path(play->folder, "store", path);
    snprintf(package, sizeof package, "%s/%s.upk", play->folder->path,
             json_get_text(document, "version", ""));
    plan->package.file = package;
    HostLinkLocalHost host = {.name = "h",
                              .plan = plan,
                              .store = path,
                              .begun = json_get_bool(document, "begun", false),
                              .settled = json_get_bool(document, "settled", false)};
    AssignmentSpec spec = {.host = {.change = play->change,
                                    .version = json_get_text(document, "version", ""),
                                    .package_digest = json_get_text(document, "package_digest", ""),
                                    .hosts = &host,
                                    .host_count = 1,
                                    .clock = clock_system(),
                                    .alone = true},
                           .dir = play->folder->fd,
                           .heard = json_get_integer(document, "heard", 0),
                           .controller = {fleet_play_exchange, play}};
    assert_done(assignment_open(&spec, &assignment, error));
    while (!atomic_load(&play->stop)) assignment_turn(assignment, 5, NULL);
    assignment_close(assignment);
    return NULL;
}

static inline void fleet_play_host(FleetPlay *play) {
    atomic_store(&play->stop, false);
    assert_int_equal(pthread_create(&play->host, NULL, fleet_play_be_host, play), 0);
    play->host_runs = true;
}

/* ---- looking */

typedef struct FleetPlayView {
    RolloutState state;
    RolloutOutcome outcome;
    bool under_way;
} FleetPlayView;

static inline int fleet_play_see(void *context, const Rollout *rollout, Error *error) {
    (void)error;
    *(FleetPlayView *)context = (FleetPlayView){rollout->state, rollout->outcome, !rollout_ended(rollout)};
    return 0;
}

static inline FleetPlayView fleet_play_look(FleetPlay *play) {
    FleetPlayView view;
    assert_done(fleet_look(play->fleet, play->change, fleet_play_see, &view, error));
    return view;
}

/* Ended, and no engine is at it. */
static inline bool fleet_play_is_over(FleetPlay *play) {
    return !fleet_play_look(play).under_way && fleet_counts(play->fleet).courses == 0;
}

/* How many events of that type, of that change (NULL: any). */
typedef struct FleetPlayCount {
    const char *type;
    size_t count;
} FleetPlayCount;

static inline int fleet_play_count_one(void *context, int64_t sequence, const json_t *event, Error *error) {
    FleetPlayCount *count = context;
    (void)sequence, (void)error;
    count->count += strcmp(json_get_text(event, "type", ""), count->type) == 0;
    return 0;
}

static inline size_t fleet_play_count(Fleet *fleet, const char *type) {
    FleetPlayCount count = {type, 0};
    assert_done(fleet_read(fleet, 0, NULL, fleet_play_count_one, &count, error));
    return count.count;
}
