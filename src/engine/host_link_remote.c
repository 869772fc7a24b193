#include "engine/host_link_remote.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/text_index.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    EVENT_DEPTH_MAX = 12,
    UNHEARD_MAX = 1000,
    EVENT_TEXT_MAX = 64 * 1024,
    QUEUE_MAX = 100000,
    /* A journal is never cut. Health of a host is some 100 bytes a second; the burst is for what it kept
     * while it could not be heard, two days of it at least. */
    TOLD_BURST = 16 << 20,
    TOLD_PER_S = 4096,
    LOOK_MS = 1000
};

typedef struct Queued Queued;
struct Queued {
    Queued *next;
    HostReport report;
};

typedef struct Box {
    const char *host;
    Order order;
    bool waiting;       /* the order has no answer yet */
    bool cancelled;     /* and should end early */
    int64_t taken;      /* number of the last report that was taken */
    int64_t heard;      /* and of the last that stands in the journal */
    int64_t contact_ms; /* steady: when its order was given, or it came since */
    bool silent;        /* that it does not come was said */
    int64_t told_bytes; /* what it has told beyond its rate, as of told_ms (steady) */
    int64_t told_ms;
    bool throttled; /* that it tells too much was said */
} Box;

typedef struct Remote {
    HostLink link;
    Arena *arena;
    HostLinkRemoteSpec spec;
    Box *boxes;
    TextIndex *index;     /* of the boxes by their hosts' names */
    pthread_mutex_t lock; /* of what follows, and of the boxes */
    pthread_cond_t reported;
    Queued *first, **last;
    size_t queued;
    size_t count;      /* of the boxes */
    int64_t looked_ms; /* steady: at who is silent */
} Remote;

static Box *find(const Remote *remote, const char *host) {
    size_t index = host ? text_index_find(remote->index, host) : TEXT_INDEX_NONE;
    return index == TEXT_INDEX_NONE ? NULL : &remote->boxes[index];
}

static int64_t steady_ms(const Remote *remote) { return clock_steady_ms(remote->spec.clock); }

static void note_contact(const Remote *remote, Box *box) {
    box->contact_ms = steady_ms(remote);
    box->silent = false;
}

static void put(Remote *remote, const Box *box, json_t *event) {
    Queued *queued = calloc(1, sizeof *queued);
    if (!queued) abort();
    queued->report = (HostReport){.host = box->host, .event = event};
    *remote->last = queued;
    remote->last = &queued->next;
    remote->queued++;
    pthread_cond_signal(&remote->reported);
}

/* Who has an order and does not come is said so, once: what that means is for the rollout to decide. */
static void look_who_is_silent(Remote *remote) {
    int64_t now_ms = steady_ms(remote);
    char time[CLOCK_TEXT_SIZE];
    if (remote->spec.lost_after_ms <= 0 || now_ms - remote->looked_ms < LOOK_MS) return;
    remote->looked_ms = now_ms;
    for (size_t i = 0; i < remote->count; i++) {
        Box *box = &remote->boxes[i];
        if (!box->waiting || box->silent || now_ms - box->contact_ms < remote->spec.lost_after_ms) continue;
        box->silent = true;
        json_t *event = json_object();
        clock_to_text(clock_wall_ms(remote->spec.clock), time);
        json_set_text(event, "type", "host.silent");
        json_set_text(event, "time", time);
        json_set_integer(event, "silent_ms", now_ms - box->contact_ms);
        put(remote, box, event);
    }
}

/* ---- for the engine */

static int remote_submit(HostLink *link, const char *host, const Order *order, Error *error) {
    Remote *remote = (Remote *)link;
    Box *box = find(remote, host);
    if (!box) return error_set(error, ERROR_INVALID, "there is no host %s in the plan", host);
    pthread_mutex_lock(&remote->lock);
    box->order = *order;
    box->waiting = true;
    box->cancelled = false;
    note_contact(remote, box);
    pthread_mutex_unlock(&remote->lock);
    if (remote->spec.wake) remote->spec.wake(remote->spec.context, box->host);
    return 0;
}

static void remote_cancel(HostLink *link, const char *host) {
    Remote *remote = (Remote *)link;
    Box *box = find(remote, host);
    if (!box) return;
    pthread_mutex_lock(&remote->lock);
    box->cancelled = box->waiting;
    pthread_mutex_unlock(&remote->lock);
    if (remote->spec.wake) remote->spec.wake(remote->spec.context, box->host);
}

static void remote_withdraw(HostLink *link, const char *host) {
    Remote *remote = (Remote *)link;
    Box *box = find(remote, host);
    if (!box) return;
    pthread_mutex_lock(&remote->lock);
    box->waiting = box->cancelled = false;
    pthread_mutex_unlock(&remote->lock);
}

static void remote_heard(HostLink *link, const char *host, int64_t number) {
    Remote *remote = (Remote *)link;
    Box *box = find(remote, host);
    if (!box) return;
    pthread_mutex_lock(&remote->lock);
    if (number > box->heard) box->heard = number;
    pthread_mutex_unlock(&remote->lock);
    if (remote->spec.heard) remote->spec.heard(remote->spec.context, box->host, number);
}

static struct timespec in_ms(int64_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    return until;
}

static int remote_receive(HostLink *link, int64_t timeout_ms, HostReport *out) {
    Remote *remote = (Remote *)link;
    struct timespec until = in_ms(timeout_ms);
    pthread_mutex_lock(&remote->lock);
    while (!remote->first && timeout_ms > 0)
        if (pthread_cond_timedwait(&remote->reported, &remote->lock, &until) != 0) break;
    look_who_is_silent(remote);
    Queued *queued = remote->first;
    if (queued) {
        remote->first = queued->next;
        if (!remote->first) remote->last = &remote->first;
        remote->queued--;
    }
    pthread_mutex_unlock(&remote->lock);
    if (!queued) return 0;
    *out = queued->report;
    free(queued);
    return 1;
}

static void remote_close(HostLink *link) {
    Remote *remote = (Remote *)link;
    HostReport report;
    while (remote_receive(link, 0, &report)) json_decref(report.event);
    pthread_cond_destroy(&remote->reported);
    pthread_mutex_destroy(&remote->lock);
    arena_free(remote->arena);
    free(remote);
}

int host_link_remote_open(const HostLinkRemoteSpec *spec, HostLink **out, Error *error) {
    (void)error;
    Remote *remote = calloc(1, sizeof *remote);
    if (!remote) abort();
    *remote = (Remote){
        .link = {remote_submit, remote_cancel, remote_withdraw, remote_receive, remote_heard, remote_close},
        .arena = arena_new(),
        .spec = *spec,
        .count = spec->rollout->host_count};
    remote->spec.rollout = NULL;
    remote->last = &remote->first;
    remote->boxes = ARENA_ARRAY(remote->arena, remote->count, Box);
    remote->index = text_index_new(remote->arena, remote->count);
    for (size_t i = 0; i < remote->count; i++) {
        remote->boxes[i] = (Box){.host = arena_strdup(remote->arena, spec->rollout->hosts[i].name),
                                 .order = spec->rollout->hosts[i].order,
                                 .taken = spec->rollout->hosts[i].report_number,
                                 .heard = spec->rollout->hosts[i].report_number};
        text_index_add(remote->index, remote->boxes[i].host, i);
    }
    pthread_mutex_init(&remote->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&remote->reported, &attributes);
    pthread_condattr_destroy(&attributes);
    *out = &remote->link;
    return 0;
}

/* ---- for the hosts */

json_t *host_link_remote_poll(HostLink *link, const char *host) {
    Remote *remote = (Remote *)link;
    Box *box = find(remote, host);
    json_t *message = NULL;
    if (!box) return NULL;
    pthread_mutex_lock(&remote->lock);
    note_contact(remote, box);
    if (box->waiting) {
        json_t *order = json_object();
        json_set_text(order, "id", box->order.id);
        json_set_text(order, "kind", order_kind_text(box->order.kind));
        json_set_bool(order, "restore_data", box->order.restore_data);
        message = json_object();
        json_object_set_new(message, "order", order);
        json_set_bool(message, "cancel", box->cancelled);
    }
    pthread_mutex_unlock(&remote->lock);
    return message;
}

/* What a host may say, and of which of it the order must be its own. */
static const struct {
    const char *type;
    bool of_order;
} types[] = {{"step.started", true}, {"step.done", true},    {"step.failed", true},      {"order.done", true},
             {"order.failed", true}, {"host.health", false}, {"host.rolled_back", false}};

/* This order of the host, or one before it: "<change>/<host>/<number>". */
static bool was_given(const Box *box, const char *id) {
    const char *last = strrchr(box->order.id, '/');
    size_t before = last ? (size_t)(last - box->order.id) + 1 : 0;
    if (!last || strncmp(id, box->order.id, before) != 0 || id[before] < '1' || id[before] > '9')
        return false;
    char *end;
    long number = strtol(id + before, &end, 10);
    return *end == '\0' && number <= strtol(last + 1, NULL, 10);
}

/* NULL: it is the host's to say. */
static const char *objection(const Box *box, const json_t *event) {
    const char *type = json_get_text(event, "type", ""), *id = json_get_text(event, "order_id", "");
    size_t i = 0;
    while (i < sizeof types / sizeof *types && strcmp(types[i].type, type) != 0) i++;
    if (i == sizeof types / sizeof *types) return "no host may say that";
    if (types[i].of_order && !was_given(box, id) && !order_is_by_itself(id))
        return "it was not given that order";
    return json_dumpb(event, NULL, 0, JSON_COMPACT) > EVENT_TEXT_MAX ? "it is too long" : NULL;
}

static json_t *heard_event(const Remote *remote, const Box *box, const json_t *report, int64_t number) {
    const json_t *said = json_object_get(report, "event");
    char time[CLOCK_TEXT_SIZE];
    const char *why = objection(box, said);
    json_t *event = why ? json_object() : json_deep_copy(said);
    if (!why && json_disarm(event, EVENT_DEPTH_MAX) < 0) {
        json_decref(event);
        event = json_object();
        why = "it is nested too deep";
    }
    if (why) {
        json_set_text(event, "type", "host.report_refused");
        json_set_text(event, "why", why);
    } else {
        json_set_text(event, "host_time", json_get_text(said, "time", NULL));
        json_object_del(event, "age_ms");
        int64_t age_ms = json_get_integer(report, "age_ms", 0);
        if (age_ms > 0) json_set_integer(event, "age_ms", age_ms);
    }
    clock_to_text(clock_wall_ms(remote->spec.clock), time);
    json_set_text(event, "time", time);
    json_set_integer(event, "report", number);
    return event;
}

static void say_throttled(Remote *remote, Box *box) {
    char time[CLOCK_TEXT_SIZE];
    if (box->throttled) return;
    box->throttled = true;
    json_t *event = json_object();
    clock_to_text(clock_wall_ms(remote->spec.clock), time);
    json_set_text(event, "type", "host.throttled");
    json_set_text(event, "time", time);
    put(remote, box, event);
}

/* A bucket that leaks TOLD_PER_S. */
static int make_room(Remote *remote, Box *box, const json_t *said, Error *error) {
    int64_t now_ms = steady_ms(remote), leaked = (now_ms - box->told_ms) * TOLD_PER_S / 1000;
    box->told_bytes = leaked < box->told_bytes ? box->told_bytes - leaked : 0;
    box->told_ms = now_ms;
    if (box->told_bytes < TOLD_BURST) {
        box->told_bytes += (int64_t)json_dumpb(said, NULL, 0, JSON_COMPACT);
        return 0;
    }
    say_throttled(remote, box);
    error_set(error, ERROR_REFUSED,
              "the host %s tells more than the journal takes of one; it may again later", box->host);
    if (error) error->number = EDQUOT;
    return -1;
}

/* Its order is answered: nothing waits for it any more. */
static void note_answer(Box *box, const json_t *event) {
    const char *type = json_get_text(event, "type", "");
    if (strncmp(type, "order.", strlen("order.")) != 0) return;
    if (strcmp(json_get_text(event, "order_id", ""), box->order.id) == 0) box->waiting = false;
}

static int take(Remote *remote, Box *box, const json_t *report, Error *error) {
    int64_t number = json_get_integer(report, "number", 0);
    const json_t *said = json_object_get(report, "event");
    if (number < 1 || !json_is_object(said))
        return error_set(error, ERROR_REFUSED, "that is no report of a host");
    if (number <= box->taken) return 0;
    if (number > box->taken + 1)
        return error_set(error, ERROR_REFUSED, "the report %" PRId64 " is missing", box->taken + 1);
    if (remote->queued >= QUEUE_MAX || box->taken - box->heard >= UNHEARD_MAX)
        return error_set(error, ERROR_REFUSED, "too many reports wait to be heard");
    if (make_room(remote, box, said, error) < 0) return -1;
    json_t *event = heard_event(remote, box, report, number);
    note_answer(box, event);
    put(remote, box, event);
    box->taken = number;
    return 0;
}

int host_link_remote_report(HostLink *link, const char *host, const json_t *reports, int64_t *heard,
                            Error *error) {
    Remote *remote = (Remote *)link;
    Box *box = find(remote, host);
    size_t index;
    const json_t *report;
    int result = 0;
    if (!box) return error_set(error, ERROR_INVALID, "there is no host %s in the plan", host);
    if (!json_is_array(reports)) return error_set(error, ERROR_REFUSED, "that is no report of a host");
    pthread_mutex_lock(&remote->lock);
    note_contact(remote, box);
    for (index = 0; result == 0 && index < json_array_size(reports); index++) {
        report = json_array_get(reports, index);
        result = take(remote, box, report, error);
    }
    *heard = box->heard;
    pthread_mutex_unlock(&remote->lock);
    return result;
}
