#include "agent/agent.h"
#include "agent/courier.h"
#include "agent/tasker.h"
#include "agent/worker.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/random.h"
#include "host/host_facts.h"
#include "trust/identity.h"
#include "trust/token.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORKERS_MAX = 64,
    WAIT_MS = 50000, /* a parked poll; less a random part, so that a fleet does not come back in step */
    WAIT_JITTER_MS = 10000,
    FIRST_JITTER_MS = 2000,
    FACTS_EVERY_MS = 10 * 60 * 1000,
    RENEW_EVERY_MS = 60 * 60 * 1000, /* look whether it is time; a short-lived certificate sooner */
    RENEW_LEAST_MS = 1000,
    RENEW_LOOKS = 12, /* in what is left of its life, at least */
    LOOK_MS = 100,
};

typedef struct Agent {
    const AgentSpec *spec;
    Arena *arena;
    const char *url;
    Courier *courier;
    Worker *workers[WORKERS_MAX];
    size_t worker_count;
    TaskerSpec tasks;
    Tasker *tasker;
    char *seen; /* of the last answer about work */
    int failures;
    int64_t facts_ms, renew_ms; /* steady: when to do it next */
    Digest facts;               /* what was told last */
} Agent;

/* ---- joining */

static int accept_answer(const Home *home, const json_t *answer, const Digest *pin, Arena *arena,
                         const char **name, Error *error) {
    const char *certificate = json_get_text(answer, "certificate", "");
    const char *authority = pin ? json_get_text(answer, "authority", "") : NULL; /* a renewal changes none */
    IdentityAnswer identity = {.certificate = certificate,
                               .certificate_size = strlen(certificate),
                               .authority = authority,
                               .authority_size = authority ? strlen(authority) : 0,
                               .pin = pin};
    if (name) *name = arena_strdup(arena, json_get_text(answer, "host", ""));
    return identity_accept(home_path(home, arena, "identity"), &identity, clock_wall_ms(clock_system()),
                           error);
}

int agent_join(const Home *home, const char *url, const char *token, bool again, Arena *arena,
               const char **name, Error *error) {
    Digest fingerprint;
    char pin[DIGEST_TEXT_SIZE];
    IDENTITY_AUTO before = NULL;
    FREE_AUTO char *request = NULL;
    JSON_AUTO answer = NULL;
    const char *folder = home_path(home, arena, "identity");
    if (token_parse(token, &fingerprint, error) < 0) return -1;
    if (!again && identity_load(folder, &before, NULL) == 0) {
        error_set(error, ERROR_REFUSED, "this host has joined already, as %s", identity_host(before)->name);
        return error_hint(error, "“--again” gives it a new identity");
    }
    digest_to_text(&fingerprint, pin);
    CourierInvitation invitation = {url, token, pin};
    if (identity_request(folder, &request, error) < 0 ||
        courier_join(&invitation, request, &answer, error) < 0 ||
        accept_answer(home, answer, &fingerprint, arena, name, error) < 0)
        return -1;
    return home_set_controller(home, url, error);
}

/* ---- identity */

static int load_identity(Agent *agent, Identity **out, Error *error) {
    const char *folder = home_path(agent->spec->home, agent->arena, "identity");
    if (identity_load(folder, out, error) == 0) return 0;
    if (error && error->number == ENOENT) {
        error_set(error, ERROR_INVALID, "this host has not joined a fleet");
        error_hint(error, "“upkeep-agent join URL” does, with a token of the controller's");
    }
    return -1;
}

static int connect_anew(Agent *agent, Error *error) {
    IDENTITY_AUTO identity = NULL;
    Courier *courier = NULL;
    if (load_identity(agent, &identity, error) < 0 ||
        courier_new(agent->url, identity, agent->spec->stop, &courier, error) < 0)
        return -1;
    courier_free(agent->courier);
    agent->courier = courier;
    return 0;
}

static int renew(Agent *agent, Error *error) {
    ARENA_AUTO arena = arena_new();
    IDENTITY_AUTO identity = NULL;
    FREE_AUTO char *request = NULL;
    JSON_AUTO answer = NULL;
    if (load_identity(agent, &identity, error) < 0) return -1;
    if (!identity_should_renew(identity, clock_wall_ms(clock_system()))) return 0;
    if (identity_request(home_path(agent->spec->home, arena, "identity"), &request, error) < 0 ||
        courier_renew(agent->courier, request, &answer, error) < 0 ||
        accept_answer(agent->spec->home, answer, NULL, arena, NULL, error) < 0)
        return -1;
    log_event(LOG_LEVEL_INFO, "certificate.renewed", NULL);
    return connect_anew(agent, error);
}

/* ---- workers */

static Worker *find_worker(Agent *agent, const char *change) {
    for (size_t i = 0; i < agent->worker_count; i++)
        if (strcmp(worker_change(agent->workers[i]), change) == 0) return agent->workers[i];
    return NULL;
}

static Worker *need_worker(Agent *agent, const char *change) {
    Worker *worker = find_worker(agent, change);
    if (worker || agent->worker_count == WORKERS_MAX || !home_is_change_name(change)) return worker;
    WorkerSpec spec = {
        .home = agent->spec->home, .url = agent->url, .change = change, .guard = agent->spec->guard};
    worker = worker_start(&spec);
    agent->workers[agent->worker_count++] = worker;
    log_text(LOG_LEVEL_INFO, "change.begun", "change", change);
    return worker;
}

/* What an earlier agent was at: it does not wait for a controller to be reached. */
static int take_up_changes(Agent *agent, Error *error) {
    StringList changes;
    if (home_changes(agent->spec->home, agent->arena, &changes, error) < 0) return -1;
    for (size_t i = 0; i < changes.count; i++) {
        JSON_AUTO document = NULL;
        Error missing = {0};
        bool there = home_document_load(agent->spec->home, changes.items[i], &document, &missing) == 0;
        if (there || missing.number != ENOENT)
            need_worker(agent, changes.items[i]);
        else /* nothing was done yet */
            home_forget_change(agent->spec->home, changes.items[i], NULL);
    }
    return 0;
}

static void tidy_packages(Agent *agent) {
    ARENA_AUTO arena = arena_new();
    StringList needed = {.items = ARENA_ARRAY(arena, WORKERS_MAX, const char *)};
    for (size_t i = 0; i < agent->worker_count; i++) {
        JSON_AUTO document = NULL;
        if (home_document_load(agent->spec->home, worker_change(agent->workers[i]), &document, NULL) < 0)
            return; /* it may be about to come */
        const char *sha256 = json_get_text(json_object_get(document, "package"), "sha256", NULL);
        if (sha256) needed.items[needed.count++] = arena_strdup(arena, sha256);
    }
    home_tidy_packages(agent->spec->home, &needed, NULL);
}

static void drop_finished(Agent *agent) {
    bool any = false;
    for (size_t i = agent->worker_count; i-- > 0;) {
        Worker *worker = agent->workers[i];
        if (!worker_is_over(worker)) continue;
        log_text(LOG_LEVEL_INFO, "change.over", "change", worker_change(worker));
        home_forget_change(agent->spec->home, worker_change(worker), NULL);
        worker_stop(worker);
        agent->workers[i] = agent->workers[--agent->worker_count];
        any = true;
    }
    if (!any) return;
    tidy_packages(agent);
    free(agent->seen); /* what one of them was given a moment ago is asked for again */
    agent->seen = NULL;
}

/* ---- asking for work */

static bool is_listed(const json_t *changes, const char *change) {
    size_t index;
    json_t *name;
    json_array_foreach(changes, index, name) if (strcmp(json_string_value(name), change) == 0) return true;
    return false;
}

/* One that came to its end just now makes place for another. */
static void give(Agent *agent, const char *change, const json_t *item) {
    Worker *worker = need_worker(agent, change);
    if (!worker || worker_give(worker, item)) return;
    drop_finished(agent);
    worker = need_worker(agent, change);
    if (worker) worker_give(worker, item);
}

static int obey(Agent *agent, const json_t *answer, Error *error) {
    const json_t *work = json_object_get(answer, "work"), *changes = json_object_get(answer, "changes");
    size_t index;
    const json_t *item, *name;
    if (!json_is_array(work) || !json_is_array(changes))
        return error_set(error, ERROR_SYSTEM, "the controller's answer makes no sense");
    json_array_foreach(changes, index, name) if (!json_is_string(name)) return error_set(
        error, ERROR_SYSTEM, "the controller's answer makes no sense");
    drop_finished(agent); /* those whose next order is in this very answer are begun anew */
    json_array_foreach(work, index, item) { give(agent, json_get_text(item, "change", ""), item); }
    for (size_t i = 0; i < agent->worker_count; i++)
        if (!is_listed(changes, worker_change(agent->workers[i]))) worker_release(agent->workers[i]);
    tasker_give(agent->tasker, json_object_get(answer, "tasks"));
    const char *seen = json_get_text(answer, "seen", NULL);
    free(agent->seen);
    agent->seen = seen ? strdup(seen) : NULL;
    return 0;
}

static int64_t wait_ms(void) {
    uint32_t chance;
    random_bytes(&chance, sizeof chance);
    return WAIT_MS - (int64_t)(chance % WAIT_JITTER_MS);
}

static int tell_facts(Agent *agent, Error *error) {
    if (!agent->spec->facts) return 0;
    JSON_AUTO facts = agent->spec->facts(agent->spec->context);
    Digest digest = host_facts_digest(facts);
    if (digest_equal(&digest, &agent->facts)) return 0;
    if (courier_facts(agent->courier, facts, error) < 0) return -1;
    agent->facts = digest;
    return 0;
}

static int64_t renew_after_ms(const Identity *identity) {
    int64_t left_ms = identity_host(identity)->not_after_ms - clock_wall_ms(clock_system());
    int64_t after_ms = left_ms / RENEW_LOOKS;
    if (after_ms > RENEW_EVERY_MS) return RENEW_EVERY_MS;
    return after_ms > RENEW_LEAST_MS ? after_ms : RENEW_LEAST_MS;
}

static int renew_in_time(Agent *agent, int64_t now_ms, Error *error) {
    IDENTITY_AUTO identity = NULL;
    if (renew(agent, error) < 0 || load_identity(agent, &identity, error) < 0) return -1;
    agent->renew_ms = now_ms + renew_after_ms(identity);
    return 0;
}

/* What is due beside the work. */
static int do_chores(Agent *agent, Error *error) {
    int64_t now_ms = clock_steady_ms(clock_system());
    if (now_ms >= agent->renew_ms && renew_in_time(agent, now_ms, error) < 0) return -1;
    if (now_ms < agent->facts_ms) return 0;
    Error problem = {0};
    int result = tell_facts(agent, &problem);
    bool refused = result < 0 && problem.kind == ERROR_REFUSED && !courier_must_join(&problem);
    if (refused) log_failure(LOG_LEVEL_WARNING, "facts.refused", &problem, NULL, NULL);
    if (result == 0 || refused) agent->facts_ms = now_ms + FACTS_EVERY_MS; /* work does not wait for them */
    if (error) *error = problem;
    return result < 0 && !refused ? -1 : 0;
}

/* No longer than until the next chore that cannot wait. */
static int64_t poll_ms(const Agent *agent) {
    int64_t usual_ms = wait_ms(), left_ms = agent->renew_ms - clock_steady_ms(clock_system());
    if (left_ms >= usual_ms) return usual_ms;
    return left_ms > RENEW_LEAST_MS ? left_ms : RENEW_LEAST_MS;
}

static int turn(Agent *agent, Error *error) {
    JSON_AUTO answer = NULL;
    if (!agent->courier && connect_anew(agent, error) < 0) return -1;
    if (do_chores(agent, error) < 0) return -1;
    if (courier_work(agent->courier, agent->seen, poll_ms(agent), &answer, error) < 0) return -1;
    if (answer) return obey(agent, answer, error);
    drop_finished(agent);
    return 0;
}

static void rest(Agent *agent, int64_t pause_ms) {
    int64_t until_ms = clock_steady_ms(clock_system()) + pause_ms;
    while (!atomic_load(agent->spec->stop) && clock_steady_ms(clock_system()) < until_ms)
        clock_sleep_ms(LOOK_MS);
}

static void note_failure(Agent *agent, const Error *error) {
    if (atomic_load(agent->spec->stop)) return;
    agent->failures++;
    log_failure(LOG_LEVEL_WARNING, "controller.trouble", error, NULL, NULL);
    courier_free(agent->courier);
    agent->courier = NULL;
    rest(agent, courier_pause_ms(agent->failures));
}

static void close_agent(Agent *agent) {
    for (size_t i = 0; i < agent->worker_count; i++) worker_stop(agent->workers[i]);
    if (agent->tasker) tasker_stop(agent->tasker);
    courier_free(agent->courier);
    free(agent->seen);
    arena_free(agent->arena);
}

int agent_run(const AgentSpec *spec, Error *error) {
    Agent agent = {.spec = spec, .arena = arena_new()};
    IDENTITY_AUTO identity = NULL;
    if (load_identity(&agent, &identity, error) < 0 ||
        home_controller(spec->home, agent.arena, &agent.url, error) < 0 ||
        take_up_changes(&agent, error) < 0) {
        close_agent(&agent);
        return -1;
    }
    log_text(LOG_LEVEL_INFO, "agent.started", "host", identity_host(identity)->name);
    agent.tasks = (TaskerSpec){spec->home, agent.url};
    agent.tasker = tasker_start(&agent.tasks);
    rest(&agent, wait_ms() % FIRST_JITTER_MS); /* a fleet that was started at one moment */
    while (!atomic_load(spec->stop)) {
        Error trouble = {0};
        if (turn(&agent, &trouble) < 0)
            note_failure(&agent, &trouble);
        else
            agent.failures = 0;
    }
    close_agent(&agent);
    log_event(LOG_LEVEL_INFO, "agent.stopped", NULL);
    return 0;
}
