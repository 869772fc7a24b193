#include "server/course.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/change.h"
#include "engine/engine.h"
#include "engine/host_link_remote.h"
#include "journal/journal_sqlite.h"
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PAUSE_AFTER_ERROR_MS = 5000, LOOK_MS = 100 };

struct Course {
    CourseSpec spec;
    char *change, *journal_path;
    pthread_mutex_t view_lock; /* of the view */
    Arena *arena;              /* the view's */
    Rollout *view;
    TextIndex *hosts; /* names, for whoever does not want the lock */
    Arena *names;

    pthread_mutex_t link_lock; /* of the link */
    HostLink *link;            /* NULL: no engine is at it */

    pthread_mutex_t run_lock; /* of what follows */
    pthread_t thread;
    bool started, running;
    bool prepare_only;
    bool again; /* asked to go on while it was about to stop */
    atomic_bool leave;
};

/* ---- the view */

static int fold_view(void *context, int64_t sequence, const json_t *event, Error *error) {
    Course *course = context;
    pthread_mutex_lock(&course->view_lock);
    int result = sequence > course->view->sequence ? rollout_fold(course->view, sequence, event, error) : 0;
    pthread_mutex_unlock(&course->view_lock);
    return result;
}

static int read_view(const Course *course, Journal *journal, Arena **arena_out, Rollout **out, Error *error) {
    Arena *arena = arena_new();
    if (change_load(journal, arena, course->change, out, error) < 0) {
        arena_free(arena);
        return -1;
    }
    *arena_out = arena;
    return 0;
}

static int load_view(Course *course, Journal *journal, Error *error) {
    Arena *arena = NULL;
    Rollout *view = NULL;
    if (read_view(course, journal, &arena, &view, error) < 0) return -1;
    pthread_mutex_lock(&course->view_lock);
    arena_free(course->arena);
    course->arena = arena;
    course->view = view;
    pthread_mutex_unlock(&course->view_lock);
    return 0;
}

const Rollout *course_look(Course *course) {
    pthread_mutex_lock(&course->view_lock);
    return course->view;
}

void course_look_end(Course *course) { pthread_mutex_unlock(&course->view_lock); }

const char *course_change(const Course *course) { return course->change; }

bool course_has_host(const Course *course, const char *host) {
    return text_index_find(course->hosts, host) != TEXT_INDEX_NONE;
}

/* ---- open and close */

static void index_hosts(Course *course) {
    course->names = arena_new();
    course->hosts = text_index_new(course->names, course->view->host_count);
    for (size_t i = 0; i < course->view->host_count; i++)
        text_index_add(course->hosts, arena_strdup(course->names, course->view->hosts[i].name), i);
}

int course_open(Journal *journal, const CourseSpec *spec, Course **out, Error *error) {
    Course *course = calloc(1, sizeof *course);
    if (!course) abort();
    course->spec = *spec;
    course->change = strdup(spec->change);
    course->journal_path = strdup(spec->journal_path);
    pthread_mutex_init(&course->view_lock, NULL);
    pthread_mutex_init(&course->link_lock, NULL);
    pthread_mutex_init(&course->run_lock, NULL);
    /* Without its lock: nobody has it yet, and who opens it may hold locks that come after that one. */
    if (read_view(course, journal, &course->arena, &course->view, error) < 0) {
        course_close(course);
        return -1;
    }
    index_hosts(course);
    *out = course;
    return 0;
}

void course_close(Course *course) {
    if (!course) return;
    if (!course->view || !course_is_over(course))
        atomic_store(&course->leave, true); /* its last words are soon said */
    if (course->started) pthread_join(course->thread, NULL);
    pthread_mutex_destroy(&course->view_lock);
    pthread_mutex_destroy(&course->link_lock);
    pthread_mutex_destroy(&course->run_lock);
    arena_free(course->arena);
    arena_free(course->names);
    free(course->journal_path);
    free(course->change);
    free(course);
}

/* ---- the engine's thread */

static void on_event(void *context, const Rollout *rollout, const json_t *event) {
    Course *course = context;
    Error error = {0};
    if (fold_view(course, rollout->sequence, event, &error) < 0)
        log_failure(LOG_LEVEL_ERROR, "view.broken", &error, "change", course->change);
    if (course->spec.listener.event)
        course->spec.listener.event(course->spec.listener.context, rollout->sequence, event);
}

static void on_wake(void *context, const char *host) {
    Course *course = context;
    course->spec.listener.wake(course->spec.listener.context, host);
}

static void on_heard(void *context, const char *host, int64_t number) {
    Course *course = context;
    course->spec.listener.heard(course->spec.listener.context, course->change, host, number);
}

static void set_link(Course *course, HostLink *link) {
    pthread_mutex_lock(&course->link_lock);
    HostLink *before = course->link;
    course->link = link;
    pthread_mutex_unlock(&course->link_lock);
    if (before) before->close(before);
}

/* The view first, then the engine's own, then what came in between. */
static int load(Course *course, Journal *journal, Arena *arena, Rollout **out, Error *error) {
    if (load_view(course, journal, error) < 0 || change_load(journal, arena, course->change, out, error) < 0)
        return -1;
    return journal_read(journal, course->view->sequence, course->change, fold_view, course, error);
}

static int run_engine(Course *course, bool prepare_only, Error *error) {
    ARENA_AUTO arena = arena_new();
    JOURNAL_AUTO journal = NULL;
    Rollout *rollout = NULL;
    HostLink *link = NULL;
    EngineEnd end;
    if (journal_sqlite_open(course->journal_path, &journal, error) < 0 ||
        load(course, journal, arena, &rollout, error) < 0)
        return -1;
    if (rollout_ended(rollout)) return 0;
    HostLinkRemoteSpec remote = {.rollout = rollout,
                                 .clock = course->spec.clock,
                                 .lost_after_ms = rollout->plan->rollout.lost_after_ms,
                                 .wake = on_wake,
                                 .heard = on_heard,
                                 .context = course};
    if (host_link_remote_open(&remote, &link, error) < 0) return -1;
    set_link(course, link);
    EngineSpec spec = {.journal = journal,
                       .link = link,
                       .clock = course->spec.clock,
                       .rollout = rollout,
                       .by = "upkeepd",
                       .prepare_only = prepare_only,
                       .stay = true,
                       .leave = &course->leave,
                       .observer = {.event = on_event, .context = course}};
    int result = engine_run(&spec, &end, error);
    set_link(course, NULL);
    return result;
}

static void rest(const Course *course, int64_t pause_ms) {
    for (int64_t i = 0; i < pause_ms && !atomic_load(&course->leave); i += LOOK_MS) clock_sleep_ms(LOOK_MS);
}

/* True when it shall run once more. */
static bool go_again(Course *course) {
    pthread_mutex_lock(&course->run_lock);
    bool again = course->again && !atomic_load(&course->leave);
    course->again = false;
    course->running = again;
    pthread_mutex_unlock(&course->run_lock);
    return again;
}

static void *carry_out(void *argument) {
    Course *course = argument;
    do {
        Error error = {0};
        pthread_mutex_lock(&course->run_lock);
        bool prepare_only = course->prepare_only;
        pthread_mutex_unlock(&course->run_lock);
        while (run_engine(course, prepare_only, &error) < 0 && !atomic_load(&course->leave)) {
            log_failure(LOG_LEVEL_ERROR, "engine.failed", &error, "change", course->change);
            rest(course, PAUSE_AFTER_ERROR_MS); /* a full disk may have room again, a journal may be mended */
        }
    } while (go_again(course));
    pthread_mutex_lock(&course->view_lock);
    size_t count = course->view->host_count;
    pthread_mutex_unlock(&course->view_lock);
    for (size_t i = 0; i < count && !atomic_load(&course->leave); i++)
        on_wake(course, course->view->hosts[i].name); /* so that they let go of it */
    /* Reports of thousands of hosts went through small pieces of memory, between those of the connections
     * that stay: the allocator gives none of it back by itself. */
    malloc_trim(0);
    return NULL;
}

/* The thread before this one may be telling its hosts yet that it is over: it asks course_is_over() then, so
 * it is waited for without the lock. Whoever comes meanwhile finds `running`, and leaves it to us. */
void course_go(Course *course, bool prepare_only) {
    pthread_mutex_lock(&course->run_lock);
    course->prepare_only = prepare_only;
    bool running = course->running, started = course->started;
    pthread_t before = course->thread;
    course->again |= running; /* it may be about to stop, and then has not seen what was written just now */
    course->started = course->running = true;
    pthread_mutex_unlock(&course->run_lock);
    if (running) return;
    if (started) pthread_join(before, NULL);
    pthread_mutex_lock(&course->run_lock);
    if (pthread_create(&course->thread, NULL, carry_out, course) != 0) abort();
    pthread_mutex_unlock(&course->run_lock);
}

bool course_is_over(Course *course) {
    pthread_mutex_lock(&course->run_lock);
    bool running = course->running;
    pthread_mutex_unlock(&course->run_lock);
    bool ended = rollout_ended(course_look(course));
    course_look_end(course);
    return ended && !running;
}

/* ---- for hosts */

json_t *course_poll(Course *course, const char *host) {
    pthread_mutex_lock(&course->link_lock);
    json_t *message = course->link ? host_link_remote_poll(course->link, host) : NULL;
    pthread_mutex_unlock(&course->link_lock);
    return message;
}

int course_report(Course *course, const char *host, const json_t *reports, int64_t *heard, Error *error) {
    pthread_mutex_lock(&course->link_lock);
    int result = course->link ? host_link_remote_report(course->link, host, reports, heard, error)
                              : error_set(error, ERROR_INTERRUPTED, "nobody hears reports of %s just now",
                                          course->change);
    pthread_mutex_unlock(&course->link_lock);
    return result;
}

int course_document(Course *course, const char *host, json_t **out, Error *error) {
    ARENA_AUTO arena = arena_new();
    Plan *plan = NULL;
    const Rollout *view = course_look(course);
    const RolloutHost *known = rollout_host(view, host);
    int result = known ? plan_for_host(arena, view->plan, host, view->version, &plan, error)
                       : error_set(error, ERROR_INVALID, "there is no host %s in the plan", host);
    if (result == 0) {
        json_t *document = json_object();
        json_set_text(document, "change", course->change);
        json_set_text(document, "version", view->version);
        json_set_text(document, "package_digest", view->package_digest);
        json_object_set_new(document, "plan", plan_to_json(plan));
        json_set_bool(document, "begun", rollout_host_has_begun(known));
        json_set_bool(document, "settled", known->state == HOST_ROLLED_BACK);
        json_set_integer(document, "heard", known->report_number);
        *out = document;
    }
    course_look_end(course);
    return result;
}
