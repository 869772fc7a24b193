#include "agent/worker.h"
#include "agent/assignment.h"
#include "agent/courier.h"
#include "agent/fetch.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "trust/certificate.h"
#include "trust/keyring.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { COLLECT_MS = 50, LOOK_MS = 100, TAKE_AGAIN_MS = 1000 };

struct Worker {
    WorkerSpec spec;
    char *change;
    pthread_t thread;
    pthread_mutex_t lock; /* of what was given */
    json_t *given;
    bool over; /* nothing is taken any more */
    atomic_bool stop, released;
    /* the thread's own: */
    Arena *arena;
    int dir; /* the change's folder in the home */
    HostLinkLocalHost host;
    Fetch fetch;
    Courier *courier;
    Assignment *assignment;
    int failures;          /* of talking to the controller, in a row */
    int64_t not_before_ms; /* talk again */
    int64_t take_after_ms; /* what could not be taken: its host is busy, say */
    bool noted;            /* its places, in the home */
    bool refused;          /* what it told last, by the controller: it wants to hear no more */
};

/* ---- what the controller said of the change */

/* What the host decides for itself: where things are here, and whose packages it takes. */
static int make_own(Worker *worker, Plan *plan, Error *error) {
    const Home *home = worker->spec.home;
    const char *trusted = home_path(home, worker->arena, "trust");
    if (keyring_list(trusted, worker->arena, &plan->package.trust, error) < 0) return -1;
    if (plan->package.trust.count == 0) {
        error_set(error, ERROR_REFUSED, "this host trusts no key: no package may be installed");
        return error_hint(error, "trust one here with “upkeep-agent trust add NAME.pub”");
    }
    plan->package.file = home_package_path(home, worker->arena, worker->fetch.sha256);
    worker->host.store =
        plan->restore_point.to ? plan->restore_point.to : home_path(home, worker->arena, "restore-points");
    return 0;
}

static int read_document(Worker *worker, const json_t *document, Error *error) {
    Plan *plan = NULL;
    Arena *arena = worker->arena;
    const json_t *package = json_object_get(document, "package");
    Digest digest;
    if (plan_from_json(arena, json_object_get(document, "plan"), &plan, error) < 0) return -1;
    worker->fetch = (Fetch){.home = worker->spec.home,
                            .url = worker->spec.url,
                            .sha256 = arena_strdup(arena, json_get_text(package, "sha256", "")),
                            .size = (uint64_t)json_get_integer(package, "size", 0)};
    if (!digest_from_text(worker->fetch.sha256, &digest) || plan->hosts.count != 1 ||
        !digest_from_text(json_get_text(document, "package_digest", ""), &digest) ||
        !certificate_is_host_name(
            json_get_text(document, "version", ""))) /* it becomes the name of a folder */
        return error_set(error, ERROR_SYSTEM, "the controller's answer makes no sense");
    worker->host = (HostLinkLocalHost){.name = plan->hosts.items[0].name,
                                       .plan = plan,
                                       .begun = json_get_bool(document, "begun", false),
                                       .settled = json_get_bool(document, "settled", false),
                                       .fetch = {fetch_package, &worker->fetch}};
    return make_own(worker, plan, error);
}

static int exchange(void *context, const json_t *reports, json_t **answer, Error *error) {
    Worker *worker = context;
    return courier_report(worker->courier, worker->change, reports, answer, error);
}

/* A document that cannot be obeyed is an answer, not a reason to try again. */
static AssignmentSpec specify(Worker *worker, const json_t *document) {
    AssignmentSpec spec = {.dir = worker->dir,
                           .heard = json_get_integer(document, "heard", 0),
                           .controller = {exchange, worker}};
    read_document(worker, document, &spec.refusal);
    spec.host = (HostLinkLocalSpec){
        .change = worker->change,
        .version = arena_strdup(worker->arena, json_get_text(document, "version", "")),
        .package_digest = arena_strdup(worker->arena, json_get_text(document, "package_digest", "")),
        .hosts = &worker->host,
        .host_count = 1,
        .clock = clock_anchored(),
        .guard = worker->spec.guard,
        .alone = true};
    return spec;
}

static int load_document(Worker *worker, json_t **out, Error *error) {
    Error missing = {0};
    if (home_document_load(worker->spec.home, worker->change, out, &missing) == 0) return 0;
    if (missing.number != ENOENT) {
        if (error) *error = missing;
        return -1;
    }
    json_t *document = NULL;
    if (courier_document(worker->courier, worker->change, &document, error) < 0) return -1;
    if (home_document_save(worker->spec.home, worker->change, document, error) < 0) {
        json_decref(document);
        return -1;
    }
    *out = document;
    return 0;
}

/* ---- one thing after another */

static int need_courier(Worker *worker, Error *error) {
    if (worker->courier) return 0;
    return courier_open(worker->spec.home, worker->spec.url, &worker->stop, &worker->courier, error);
}

static int open_assignment(Worker *worker, Error *error) {
    JSON_AUTO document = NULL;
    if (worker->dir < 0 && home_change_dir(worker->spec.home, worker->change, &worker->dir, error) < 0)
        return -1;
    if (load_document(worker, &document, error) < 0) return -1;
    AssignmentSpec spec = specify(worker, document);
    return assignment_open(&spec, &worker->assignment, error);
}

static json_t *take_given(Worker *worker) {
    pthread_mutex_lock(&worker->lock);
    json_t *given = worker->given;
    worker->given = NULL;
    pthread_mutex_unlock(&worker->lock);
    return given;
}

/* What could not be taken now is taken later, unless something newer has come. */
static void give_back(Worker *worker, json_t *said) {
    pthread_mutex_lock(&worker->lock);
    if (!worker->given) worker->given = json_incref(said);
    pthread_mutex_unlock(&worker->lock);
}

static int take(Worker *worker, Error *error) {
    int64_t now_ms = clock_steady_ms(clock_system());
    if (now_ms < worker->take_after_ms) return 0;
    JSON_AUTO said = take_given(worker);
    if (!said || assignment_take(worker->assignment, said, error) == 0) return 0;
    give_back(worker, said);
    worker->take_after_ms = now_ms + TAKE_AGAIN_MS;
    return -1;
}

static bool may_talk(const Worker *worker) {
    return clock_steady_ms(clock_system()) >= worker->not_before_ms;
}

/* Facts and tasks look there from now on: a document alone, whose package this host has not taken, opens no
 * door. */
static void note_places(Worker *worker) {
    const Plan *plan = worker->host.plan;
    if (worker->noted || !plan || host_has_staged(plan->service.root, worker->change) != 1) return;
    Error error = {0};
    worker->noted =
        home_note_places(worker->spec.home, plan->service.root, plan->restore_point.to, &error) == 0;
}

static int talk(Worker *worker, Error *error) {
    if (!assignment_has_reports(worker->assignment)) return 0;
    note_places(worker);
    if (!may_talk(worker)) return 0;
    if (need_courier(worker, error) < 0) return -1;
    Error problem = {0};
    int result = assignment_exchange(worker->assignment, &problem);
    worker->refused = result < 0 && problem.kind == ERROR_REFUSED && problem.number != EDQUOT;
    if (result < 0 && error) *error = problem;
    return result;
}

static int step(Worker *worker, Error *error) {
    if (!worker->assignment) {
        if (!may_talk(worker)) return 0;
        if (need_courier(worker, error) < 0) return -1;
        if (open_assignment(worker, error) < 0) return -1;
    }
    if (take(worker, error) < 0) return -1;
    if (assignment_collect(worker->assignment, COLLECT_MS, error) < 0) return -1;
    return talk(worker, error);
}

/* Once in a pause: what fails again and again meanwhile is the same. */
static void note_failure(Worker *worker, const Error *error) {
    if (atomic_load(&worker->stop) || !may_talk(worker)) return;
    worker->failures++;
    worker->not_before_ms = clock_steady_ms(clock_system()) + courier_pause_ms(worker->failures);
    log_failure(LOG_LEVEL_WARNING, "change.trouble", error, "change", worker->change);
    courier_free(worker->courier); /* the next one has the identity that is valid then */
    worker->courier = NULL;
}

static bool has_done_all(const Worker *worker) {
    const Assignment *assignment = worker->assignment;
    if (!atomic_load(&worker->released)) return assignment && assignment_is_over(assignment);
    return !assignment || !assignment_has_reports(assignment) || worker->refused;
}

/* Judged and noted in one: what is given after it is given to nobody. */
static bool is_over(Worker *worker) {
    pthread_mutex_lock(&worker->lock);
    worker->over = !worker->given && has_done_all(worker);
    bool over = worker->over;
    pthread_mutex_unlock(&worker->lock);
    return over;
}

static void *work(void *argument) {
    Worker *worker = argument;
    do {
        Error error = {0};
        if (step(worker, &error) < 0) {
            note_failure(worker, &error);
            clock_sleep_ms(LOOK_MS);
        } else if (may_talk(worker)) {
            worker->failures = 0;
        }
        if (!worker->assignment) clock_sleep_ms(LOOK_MS);
    } while (!atomic_load(&worker->stop) && !is_over(worker));
    return NULL;
}

/* ---- from outside */

Worker *worker_start(const WorkerSpec *spec) {
    Worker *worker = calloc(1, sizeof *worker);
    if (!worker) abort();
    worker->spec = *spec;
    worker->change = strdup(spec->change);
    worker->dir = -1;
    worker->arena = arena_new();
    pthread_mutex_init(&worker->lock, NULL);
    if (pthread_create(&worker->thread, NULL, work, worker) != 0) abort();
    return worker;
}

bool worker_give(Worker *worker, const json_t *said) {
    pthread_mutex_lock(&worker->lock);
    bool takes = !worker->over;
    if (takes) {
        json_decref(worker->given);
        worker->given = json_deep_copy(said);
        atomic_store(&worker->released, false);
    }
    pthread_mutex_unlock(&worker->lock);
    return takes;
}

const char *worker_change(const Worker *worker) { return worker->change; }

void worker_release(Worker *worker) { atomic_store(&worker->released, true); }

bool worker_is_over(Worker *worker) {
    pthread_mutex_lock(&worker->lock);
    bool over = worker->over;
    pthread_mutex_unlock(&worker->lock);
    return over;
}

void worker_stop(Worker *worker) {
    atomic_store(&worker->stop, true);
    pthread_join(worker->thread, NULL);
    assignment_close(worker->assignment);
    courier_free(worker->courier);
    json_decref(worker->given);
    if (worker->dir >= 0) close(worker->dir);
    arena_free(worker->arena);
    pthread_mutex_destroy(&worker->lock);
    free(worker->change);
    free(worker);
}
