#include "engine/host_link_local.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/parallel.h"
#include "host/host.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A watch reports at once, soon again, then at doubling distances: a short soak need not wait for its
 * evidence. */
enum {
    HEALTH_REPORT_FIRST_MS = 50,
    HEALTH_REPORT_MS = 2000,
    SELF_ROLLBACK_PAUSE_MS = 15000,
    IDLE_MS = 60000
};

typedef struct Queued Queued;
struct Queued {
    Queued *next;
    HostReport report;
};

typedef struct Local Local;

typedef struct LocalHost {
    Local *local;
    const char *name;
    Host *host;
    pthread_t thread;
    bool started; /* the thread was */
    pthread_cond_t wake;
    /* under local->lock: */
    Order order;
    bool order_waiting, closing;
    bool working; /* an order is under way */
    atomic_bool cancel;
    Deadline deadline; /* of a host that stands alone; the thread's own */
} LocalHost;

struct Local {
    HostLink link;
    Arena *arena;
    Clock *clock;
    bool alone;
    LocalHost *hosts;
    size_t count;
    sem_t preparing;
    pthread_mutex_t lock;
    pthread_cond_t reported;
    Queued *first, **last; /* reports not yet received */
};

/* ---- reports */

static void put(LocalHost *host, HostReport report) {
    Local *local = host->local;
    Queued *queued = calloc(1, sizeof *queued);
    if (!queued) abort();
    report.host = host->name;
    queued->report = report;
    pthread_mutex_lock(&local->lock);
    *local->last = queued;
    local->last = &queued->next;
    pthread_cond_signal(&local->reported);
    pthread_mutex_unlock(&local->lock);
}

static void put_event(void *context, json_t *event) { put(context, (HostReport){.event = event}); }

static void put_progress(void *context, const char *step, uint64_t done, uint64_t total) {
    put(context, (HostReport){.step = step, .done = done, .total = total});
}

static json_t *event_now(const LocalHost *host, const char *type) {
    char time[CLOCK_TEXT_SIZE];
    clock_to_text(clock_wall_ms(host->local->clock), time);
    json_t *event = json_object();
    json_set_text(event, "type", type);
    json_set_text(event, "time", time);
    return event;
}

/* ---- the thread of one host */

static void carry_out(LocalHost *host, const Order *order) {
    Error failure = {0};
    bool prepares = order->kind == ORDER_PREPARE;
    if (prepares)
        while (sem_wait(&host->local->preparing) != 0) continue;
    int result = host_carry_out(host->host, order, &host->cancel, &failure);
    if (prepares) sem_post(&host->local->preparing);
    json_t *event = event_now(host, result == 0 ? "order.done" : "order.failed");
    json_set_text(event, "order", order_kind_text(order->kind));
    json_set_text(event, "order_id", order->id);
    if (result < 0) {
        json_set_text(event, "error", failure.en);
        json_set_text(event, "error_zh", failure.zh);
        json_set_integer(event, "exit", error_exit_status(failure.kind));
    }
    put_event(host, event);
}

static void report_health(LocalHost *host, Watch *watch) {
    json_t *event = watch_summary(watch), *head = event_now(host, "host.health");
    json_object_update(event, head);
    json_decref(head);
    put_event(host, event);
}

static int64_t next_distance_ms(int64_t every_ms) {
    if (every_ms == 0) return HEALTH_REPORT_FIRST_MS;
    return every_ms < HEALTH_REPORT_MS / 2 ? every_ms * 2 : HEALTH_REPORT_MS;
}

static struct timespec in_ms(int64_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    return until;
}

/* How long it may still stand unconfirmed. A far time where nobody but an engine decides that. */
static int64_t left_ms(LocalHost *host) {
    if (!host->local->alone || !host_is_armed(host->host)) return INT64_MAX;
    return host_left_ms(host->host, &host->deadline);
}

/* Nobody confirmed it in time (I6). What failed is tried again, until an order says otherwise. */
static void roll_back_by_itself(LocalHost *host) {
    Error error = {0};
    if (host_roll_back_by_itself(host->host, &error) == 0) {
        put_event(host, event_now(host, "host.rolled_back"));
        return;
    }
    struct timespec until = in_ms(SELF_ROLLBACK_PAUSE_MS);
    pthread_mutex_lock(&host->local->lock);
    if (!host->order_waiting && !host->closing)
        pthread_cond_timedwait(&host->wake, &host->local->lock, &until);
    pthread_mutex_unlock(&host->local->lock);
}

/* Watch until there is something else to do. */
static void watch(LocalHost *host) {
    Local *local = host->local;
    Watch *watching = host_watch(host->host, &host->cancel);
    int64_t reported_ms = 0, every_ms = 0;
    pthread_mutex_lock(&local->lock);
    while (!host->order_waiting && !host->closing && left_ms(host) > 0) {
        pthread_mutex_unlock(&local->lock);
        int64_t wait_ms = watch_look(watching), now_ms = clock_steady_ms(local->clock);
        bool sick = watch_verdict(watching) == VERDICT_FAIL;
        if (sick || now_ms - reported_ms >= every_ms) {
            report_health(host, watching);
            reported_ms = now_ms;
            every_ms = next_distance_ms(every_ms);
        }
        if (sick) { /* said once; what a person decides then deserves a fresh look */
            watch_free(watching);
            watching = host_watch(host->host, &host->cancel);
            wait_ms = HEALTH_REPORT_MS;
        }
        int64_t left = left_ms(host);
        struct timespec until = in_ms(left < wait_ms ? left : wait_ms);
        pthread_mutex_lock(&local->lock);
        if (!host->order_waiting && !host->closing) pthread_cond_timedwait(&host->wake, &local->lock, &until);
    }
    pthread_mutex_unlock(&local->lock);
    watch_free(watching);
}

/* One thing at a time, with the lock let go meanwhile. */
static void do_one(LocalHost *host) {
    Local *local = host->local;
    if (host->order_waiting) {
        Order order = host->order;
        host->order_waiting = false; /* before its answer goes out: the next one may come right after that */
        host->working = true;
        pthread_mutex_unlock(&local->lock);
        carry_out(host, &order);
        pthread_mutex_lock(&local->lock);
        host->working = false;
        return;
    }
    int64_t left = left_ms(host);
    if (left > 0 && !host_is_switched(host->host)) { /* it has nothing to do, or its switch has failed */
        struct timespec until = in_ms(left < IDLE_MS ? left : IDLE_MS);
        pthread_cond_timedwait(&host->wake, &local->lock, &until);
        return;
    }
    pthread_mutex_unlock(&local->lock);
    if (left > 0)
        watch(host);
    else
        roll_back_by_itself(host);
    pthread_mutex_lock(&local->lock);
}

static void *live(void *argument) {
    LocalHost *host = argument;
    pthread_mutex_lock(&host->local->lock);
    while (!host->closing || host->order_waiting) do_one(host);
    pthread_mutex_unlock(&host->local->lock);
    return NULL;
}

/* ---- the seam */

static LocalHost *find(Local *local, const char *name) {
    for (size_t i = 0; i < local->count; i++)
        if (strcmp(local->hosts[i].name, name) == 0) return &local->hosts[i];
    return NULL;
}

static int local_submit(HostLink *link, const char *name, const Order *order, Error *error) {
    Local *local = (Local *)link;
    LocalHost *host = find(local, name);
    if (!host) return error_set(error, ERROR_INVALID, "there is no host %s in the plan", name);
    pthread_mutex_lock(&local->lock);
    host->order = *order;
    host->order_waiting = true;
    atomic_store(&host->cancel, false);
    pthread_cond_signal(&host->wake);
    pthread_mutex_unlock(&local->lock);
    return 0;
}

static void local_cancel(HostLink *link, const char *name) {
    Local *local = (Local *)link;
    LocalHost *host = find(local, name);
    pthread_mutex_lock(&local->lock);
    if (host) atomic_store(&host->cancel, true); /* until the next order */
    pthread_mutex_unlock(&local->lock);
}

static int local_receive(HostLink *link, int64_t timeout_ms, HostReport *out) {
    Local *local = (Local *)link;
    struct timespec until = in_ms(timeout_ms);
    pthread_mutex_lock(&local->lock);
    while (!local->first)
        if (pthread_cond_timedwait(&local->reported, &local->lock, &until) != 0) break;
    Queued *queued = local->first;
    if (queued) {
        local->first = queued->next;
        if (!local->first) local->last = &local->first;
    }
    pthread_mutex_unlock(&local->lock);
    if (!queued) return 0;
    *out = queued->report;
    free(queued);
    return 1;
}

static void local_close(HostLink *link) {
    Local *local = (Local *)link;
    HostReport report;
    for (size_t i = 0; i < local->count; i++) {
        LocalHost *host = &local->hosts[i];
        pthread_mutex_lock(&local->lock);
        host->closing = true;
        pthread_cond_signal(&host->wake);
        pthread_mutex_unlock(&local->lock);
        if (host->started) pthread_join(host->thread, NULL);
        host_close(host->host);
        pthread_cond_destroy(&host->wake);
    }
    while (local_receive(link, 0, &report)) json_decref(report.event);
    sem_destroy(&local->preparing);
    pthread_mutex_destroy(&local->lock);
    pthread_cond_destroy(&local->reported);
    arena_free(local->arena);
    free(local);
}

static void condition_init(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

static int open_host(Local *local, const HostLinkLocalSpec *spec, size_t index, Error *error) {
    LocalHost *host = &local->hosts[index];
    const HostLinkLocalHost *wanted = &spec->hosts[index];
    host->local = local;
    host->name = wanted->name;
    const char **guard = ARENA_ARRAY(local->arena, 4, const char *);
    guard[0] = spec->guard;
    guard[1] = "guard";
    guard[2] = wanted->plan->service.root;
    HostSpec own = {.plan = wanted->plan,
                    .change = spec->change,
                    .version = spec->version,
                    .package_digest = spec->package_digest,
                    .store = wanted->store,
                    .guard = spec->guard ? guard : NULL,
                    .settled = wanted->settled,
                    .begun = wanted->begun,
                    .clock = spec->clock,
                    .say = {put_event, put_progress, host},
                    .fetch = wanted->fetch};
    if (host_open(&own, &host->host, error) < 0) return error_prefix(error, "%s", host->name);
    if (host_rolled_back_by_itself(host->host) && !wanted->settled)
        put_event(host, event_now(host, "host.rolled_back"));
    return 0;
}

static int open_hosts(Local *local, const HostLinkLocalSpec *spec, Error *error) {
    for (size_t i = 0; i < spec->host_count; i++) {
        condition_init(&local->hosts[i].wake);
        local->count = i + 1;
        if (open_host(local, spec, i, error) < 0) return -1;
    }
    for (size_t i = 0; i < local->count; i++) {
        int number = pthread_create(&local->hosts[i].thread, NULL, live, &local->hosts[i]);
        if (number)
            return error_errno(error, ERROR_SYSTEM, number, "cannot start a thread for %s",
                               local->hosts[i].name);
        local->hosts[i].started = true;
    }
    return 0;
}

int host_link_local_spec(Arena *arena, const Rollout *rollout, const char *state, HostLinkLocalSpec *out,
                         Error *error) {
    HostLinkLocalHost *hosts = ARENA_ARRAY(arena, rollout->host_count, HostLinkLocalHost);
    for (size_t i = 0; i < rollout->host_count; i++) {
        const RolloutHost *host = &rollout->hosts[i];
        Plan *plan = NULL;
        if (plan_for_host(arena, rollout->plan, host->name, rollout->version, &plan, error) < 0) return -1;
        const char *store = plan->restore_point.to;
        hosts[i] = (HostLinkLocalHost){
            .name = host->name,
            .plan = plan,
            .store = store ? store : arena_printf(arena, "%s/restore-points", state),
            .begun = rollout_host_has_begun(host),
            .settled = host->state == HOST_ROLLED_BACK,
        };
    }
    *out = (HostLinkLocalSpec){.change = rollout->change,
                               .version = rollout->version,
                               .package_digest = rollout->package_digest,
                               .hosts = hosts,
                               .host_count = rollout->host_count};
    return 0;
}

int host_link_local_open(const HostLinkLocalSpec *spec, HostLink **out, Error *error) {
    Local *local = calloc(1, sizeof *local);
    if (!local) abort();
    local->link = (HostLink){local_submit, local_cancel, NULL, local_receive, NULL, local_close};
    local->arena = arena_new();
    local->clock = spec->clock;
    local->alone = spec->alone;
    local->hosts = ARENA_ARRAY(local->arena, spec->host_count, LocalHost);
    local->last = &local->first;
    sem_init(&local->preparing, 0, parallel_workers());
    pthread_mutex_init(&local->lock, NULL);
    condition_init(&local->reported);
    if (open_hosts(local, spec, error) < 0) {
        local_close(&local->link);
        return -1;
    }
    *out = &local->link;
    return 0;
}

bool host_link_local_is_settled(HostLink *link) {
    Local *local = (Local *)link;
    pthread_mutex_lock(&local->lock);
    bool settled = !local->first; /* what was not received yet is not settled */
    for (size_t i = 0; i < local->count; i++) {
        LocalHost *host = &local->hosts[i];
        settled &= !host->order_waiting && !host->working && host_is_settled(host->host);
    }
    pthread_mutex_unlock(&local->lock);
    return settled;
}
