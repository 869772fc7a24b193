#include "agent/tasker.h"
#include "agent/courier.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "host/host_task.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 50, TELL_EVERY_MS = 1000, KNOWN_MAX = 16, ANSWER_MAX = 900 << 10 };

/* The one that is being done: by a thread of its own, while the tasker tells how far it is. */
typedef struct Doing {
    Tasker *tasker;
    const char *id;
    const json_t *task;
    json_t *result;
    Error error;
    bool failed;
    _Atomic uint64_t done, total;
    atomic_bool over;
} Doing;

struct Tasker {
    const TaskerSpec *spec;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    json_t *wanted;                         /* as they were given last */
    char answered[KNOWN_MAX][TASK_ID_SIZE]; /* those of them that need not be done again */
    size_t answered_count;
    atomic_bool stop;
    Courier *courier; /* the thread's own */
};

/* ---- doing */

static void note_progress(void *context, uint64_t done, uint64_t total) {
    Doing *doing = context;
    atomic_store(&doing->done, done);
    atomic_store(&doing->total, total);
}

/* What changes the host is begun once: whoever was killed in the middle does not know how far it came, and
 * people may have gone on from there. */
static int begin(const Doing *doing, const Task *task, Arena *arena, Error *error) {
    const Home *home = doing->tasker->spec->home;
    if (!task_changes(task)) return 0;
    if (strcmp(home_task(home, arena), doing->id) != 0) return home_note_task(home, doing->id, error);
    error_set(error, ERROR_ATTENTION, "the agent ended while it was at this: how far it came is not known");
    return error_hint(error, "look at the host, then ask once more");
}

static int do_task(Doing *doing, Error *error) {
    ARENA_AUTO arena = arena_new();
    const Home *home = doing->tasker->spec->home;
    StringList roots = home_roots(home, arena);
    HostTaskSpec spec = {.stores = home_stores(home, arena),
                         .roots = &roots,
                         .now_ms = clock_wall_ms(clock_system()),
                         .wish = {note_progress, doing, &doing->tasker->stop}};
    Task task;
    if (task_from_json(doing->task, &task, error) < 0 || begin(doing, &task, arena, error) < 0) return -1;
    return host_task(&spec, &task, &doing->result, error);
}

static void *carry_out(void *context) {
    Doing *doing = context;
    doing->failed = do_task(doing, &doing->error) < 0;
    atomic_store(&doing->over, true);
    return NULL;
}

/* ---- telling */

/* It was reached, and nobody waits there. A host that is not known there just now may be again. */
static bool is_unwanted(const Error *error) {
    return error->kind == ERROR_REFUSED && !courier_must_join(error);
}

static int tell(Tasker *tasker, const char *id, const json_t *word, Error *error) {
    const TaskerSpec *spec = tasker->spec;
    if (!tasker->courier && courier_open(spec->home, spec->url, &tasker->stop, &tasker->courier, error) < 0)
        return -1;
    if (courier_task(tasker->courier, id, word, error) == 0) return 0;
    if (is_unwanted(error)) return -1;
    courier_free(tasker->courier);
    tasker->courier = NULL;
    return -1;
}

/* Not evidence: where it cannot be told, the next time will do. */
static void tell_progress(Tasker *tasker, const char *id, const Doing *doing) {
    Error error = {0};
    JSON_AUTO word = json_object();
    json_set_text(word, "state", "running");
    json_set_integer(word, "done", (int64_t)atomic_load(&doing->done));
    json_set_integer(word, "total", (int64_t)atomic_load(&doing->total));
    tell(tasker, id, word, &error);
}

static json_t *last_word(const Doing *doing) {
    Error error = doing->error;
    bool failed = doing->failed;
    if (!failed && json_dumpb(doing->result, NULL, 0, JSON_COMPACT) > ANSWER_MAX) {
        error_set(&error, ERROR_REFUSED, "the answer is too long to be told");
        error_hint(&error, "ask for less, or on the host itself");
        failed = true;
    }
    json_t *word = json_object();
    json_set_text(word, "state", failed ? "failed" : "done");
    if (!failed) {
        json_object_set(word, "result", doing->result);
        return word;
    }
    json_set_error(word, &error);
    return word;
}

static void rest(Tasker *tasker, int64_t pause_ms) {
    int64_t until_ms = clock_steady_ms(clock_system()) + pause_ms;
    while (!atomic_load(&tasker->stop) && clock_steady_ms(clock_system()) < until_ms) clock_sleep_ms(LOOK_MS);
}

/* Until the controller has it, or wants it no more. */
static void tell_end(Tasker *tasker, const char *id, const json_t *word) {
    for (int failures = 1; !atomic_load(&tasker->stop); failures++) {
        Error error = {0};
        if (tell(tasker, id, word, &error) == 0) return;
        log_failure(LOG_LEVEL_WARNING, "task.trouble", &error, "task", id);
        if (is_unwanted(&error)) return;
        rest(tasker, courier_pause_ms(failures));
    }
}

/* ---- one after the other */

static bool was_answered(const Tasker *tasker, const char *id) {
    for (size_t i = 0; i < tasker->answered_count; i++)
        if (strcmp(tasker->answered[i], id) == 0) return true;
    return false;
}

/* A name that may stand in a path of the controller's. */
static bool is_id(const char *id) {
    size_t length = strlen(id);
    return length > 0 && length < TASK_ID_SIZE &&
           strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789") == length;
}

static json_t *find_next(const Tasker *tasker) {
    size_t index;
    json_t *item;
    json_array_foreach(tasker->wanted, index, item) {
        const char *id = json_get_text(item, "id", "");
        if (is_id(id) && !was_answered(tasker, id)) return json_incref(item);
    }
    return NULL;
}

/* NULL when it is to stop. */
static json_t *wait_for_next(Tasker *tasker) {
    json_t *next = NULL;
    pthread_mutex_lock(&tasker->lock);
    while (!atomic_load(&tasker->stop) && !(next = find_next(tasker)))
        pthread_cond_wait(&tasker->wake, &tasker->lock);
    pthread_mutex_unlock(&tasker->lock);
    return next;
}

static bool is_wanted(const json_t *tasks, const char *id) {
    size_t index;
    json_t *item;
    json_array_foreach(tasks, index, item) if (strcmp(json_get_text(item, "id", ""), id) == 0) return true;
    return false;
}

/* What the controller has forgotten need not be remembered here. */
static void note_answered(Tasker *tasker, const char *id) {
    pthread_mutex_lock(&tasker->lock);
    size_t kept = 0;
    for (size_t i = 0; i < tasker->answered_count; i++)
        if (is_wanted(tasker->wanted, tasker->answered[i]))
            memmove(tasker->answered[kept++], tasker->answered[i], TASK_ID_SIZE);
    if (kept == KNOWN_MAX) kept--;
    memcpy(tasker->answered[kept++], id, strlen(id) + 1);
    tasker->answered_count = kept;
    pthread_mutex_unlock(&tasker->lock);
}

static void do_one(Tasker *tasker, const json_t *item) {
    const char *id = json_get_text(item, "id", "");
    Doing doing = {.tasker = tasker, .id = id, .task = json_object_get(item, "task")};
    int64_t told_ms = clock_steady_ms(clock_system());
    uint64_t told = 0;
    pthread_t thread;
    log_text(LOG_LEVEL_INFO, "task.begun", "task", id);
    if (pthread_create(&thread, NULL, carry_out, &doing) != 0) abort();
    while (!atomic_load(&doing.over)) {
        clock_sleep_ms(LOOK_MS);
        int64_t now_ms = clock_steady_ms(clock_system());
        if (now_ms - told_ms < TELL_EVERY_MS || atomic_load(&doing.done) == told) continue;
        told = atomic_load(&doing.done);
        tell_progress(tasker, id, &doing);
        told_ms = clock_steady_ms(clock_system());
    }
    pthread_join(thread, NULL);
    JSON_AUTO word = last_word(&doing);
    json_decref(doing.result);
    bool was_stopped = atomic_load(&tasker->stop); /* then the next agent does it anew */
    if (!was_stopped) tell_end(tasker, id, word);
    note_answered(tasker, id);
}

static void *work(void *context) {
    Tasker *tasker = context;
    for (;;) {
        JSON_AUTO item = wait_for_next(tasker);
        if (!item) return NULL;
        do_one(tasker, item);
    }
}

/* ---- from outside */

Tasker *tasker_start(const TaskerSpec *spec) {
    Tasker *tasker = calloc(1, sizeof *tasker);
    if (!tasker) abort();
    tasker->spec = spec;
    pthread_mutex_init(&tasker->lock, NULL);
    pthread_cond_init(&tasker->wake, NULL);
    if (pthread_create(&tasker->thread, NULL, work, tasker) != 0) abort();
    return tasker;
}

void tasker_give(Tasker *tasker, const json_t *tasks) {
    pthread_mutex_lock(&tasker->lock);
    json_decref(tasker->wanted);
    tasker->wanted = json_deep_copy(tasks);
    pthread_cond_signal(&tasker->wake);
    pthread_mutex_unlock(&tasker->lock);
}

void tasker_stop(Tasker *tasker) {
    pthread_mutex_lock(&tasker->lock);
    atomic_store(&tasker->stop, true);
    pthread_cond_signal(&tasker->wake);
    pthread_mutex_unlock(&tasker->lock);
    pthread_join(tasker->thread, NULL);
    courier_free(tasker->courier);
    json_decref(tasker->wanted);
    pthread_cond_destroy(&tasker->wake);
    pthread_mutex_destroy(&tasker->lock);
    free(tasker);
}
