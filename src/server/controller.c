#include "server/controller.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/reserve.h"
#include "server/route.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DAY_MS INT64_C(86400000)
enum {
    LOOK_MS = 200,
    REVIEW_LOOKS = 5, /* a second: so long at most does somebody who may no longer go on looking */
    AUTHORITY_DAYS = 10 * 365,
    SERVER_DAYS = 90,
    SERVER_RENEW_DAYS = 60,
    BODY_MAX = 4 << 20,
    ADDRESSES_MAX = 4096, /* that are remembered for having been wrong */
};

/* ---- open and close */

static int take_lock(Controller *controller, Error *error) {
    FD_AUTO lock =
        openat(controller->dir, "controller.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s/controller.lock",
                           controller->spec.state);
    if (file_lock(lock) < 0) {
        error_set(error, ERROR_REFUSED, "another controller runs on %s", controller->spec.state);
        return error_hint(error, "stop that one first, or choose another folder with --state");
    }
    controller->lock = fd_take(&lock);
    return 0;
}

static int open_authority(Controller *controller, Error *error) {
    FREE_AUTO char *path = file_join(controller->spec.state, "authority");
    Error missing = {0};
    int64_t now_ms = clock_wall_ms(controller->clock);
    if (file_exists(controller->dir, "authority/ca.crt", NULL) == 0 &&
        authority_create(path, AUTHORITY_DAYS * DAY_MS, now_ms, &missing) < 0) {
        if (error) *error = missing;
        return -1;
    }
    return authority_open(path, now_ms, &controller->authority, error);
}

static int open_parts(Controller *controller, Error *error) {
    FREE_AUTO char *people = file_join(controller->spec.state, "people");
    if (file_open_dir(controller->spec.state, &controller->dir, error) < 0 ||
        file_check_private(controller->dir, controller->spec.state, error) < 0)
        return -1;
    fchmod(controller->dir, 0700);
    reserve_keep(controller->dir, NULL); /* without it a full disk stops us sooner, and that is all */
    if (take_lock(controller, error) < 0 || open_authority(controller, error) < 0 ||
        file_open_dir_beneath(controller->dir, "tokens", 0700, &controller->tokens, error) < 0 ||
        people_open(people, &controller->people, error) < 0)
        return -1;
    controller->sign_ins = sign_in_new(controller->people);
    controller->strangers = throttle_new(&(ThrottleRule){ACCESS_BURST, ACCESS_INTERVAL_MS, ADDRESSES_MAX});
    controller->hub = hub_new();
    if (fleet_open(controller->spec.state, controller->clock, &controller->fleet, error) < 0) return -1;
    fleet_number_changes_from(controller->fleet, controller->spec.first_change);
    return fleet_listen(controller->fleet, hub_hear, controller->hub, error);
}

int controller_open(const ControllerSpec *spec, Controller **out, Error *error) {
    Controller *controller = calloc(1, sizeof *controller);
    if (!controller) abort();
    *controller = (Controller){.spec = *spec, .clock = clock_anchored(), .dir = -1, .lock = -1, .tokens = -1};
    pthread_rwlock_init(&controller->authority_lock, NULL);
    pthread_mutex_init(&controller->busy_lock, NULL);
    pthread_cond_init(&controller->calm, NULL);
    if (open_parts(controller, error) < 0) {
        controller_close(controller);
        return -1;
    }
    *out = controller;
    return 0;
}

bool controller_enter(Controller *controller) {
    pthread_mutex_lock(&controller->busy_lock);
    bool may = !controller->stopping;
    controller->busy += may;
    pthread_mutex_unlock(&controller->busy_lock);
    return may;
}

void controller_leave(Controller *controller) {
    pthread_mutex_lock(&controller->busy_lock);
    if (--controller->busy == 0) pthread_cond_broadcast(&controller->calm);
    pthread_mutex_unlock(&controller->busy_lock);
}

static void wait_calm(Controller *controller) {
    pthread_mutex_lock(&controller->busy_lock);
    controller->stopping = true;
    while (controller->busy > 0) pthread_cond_wait(&controller->calm, &controller->busy_lock);
    pthread_mutex_unlock(&controller->busy_lock);
}

void controller_close(Controller *controller) {
    if (!controller) return;
    fleet_close(controller->fleet);
    hub_free(controller->hub);
    throttle_free(controller->strangers);
    sign_in_free(controller->sign_ins);
    people_close(controller->people);
    authority_close(controller->authority);
    if (controller->tokens >= 0) close(controller->tokens);
    if (controller->lock >= 0) close(controller->lock);
    if (controller->dir >= 0) close(controller->dir);
    pthread_rwlock_destroy(&controller->authority_lock);
    pthread_mutex_destroy(&controller->busy_lock);
    pthread_cond_destroy(&controller->calm);
    free(controller);
}

/* ---- serving */

static int start_server(Controller *controller, int port, Error *error) {
    AUTHORITY_SERVER_AUTO certificate = {0};
    const ControllerSpec *spec = &controller->spec;
    int64_t now_ms = clock_wall_ms(controller->clock);
    if (authority_issue_server(controller->authority, spec->names, spec->name_count, SERVER_DAYS * DAY_MS,
                               now_ms, &certificate, error) < 0)
        return -1;
    ServerSettings settings = {.address = spec->address,
                               .port = port,
                               .certificate_pem = certificate.certificate_pem,
                               .key_pem = certificate.key_pem,
                               .ca_pem = authority_certificate(controller->authority),
                               .limits = {.body_max = BODY_MAX, .stream_max = HUB_STREAM_BYTES},
                               .handle = route_handle,
                               .context = controller};
    if (server_start(&settings, &controller->server, error) < 0) return -1;
    pthread_mutex_lock(&controller->busy_lock);
    controller->stopping = false;
    pthread_mutex_unlock(&controller->busy_lock);
    controller->server_until_ms = now_ms + SERVER_RENEW_DAYS * DAY_MS;
    hub_set_server(controller->hub, controller->server);
    fleet_set_server(controller->fleet, controller->server);
    return 0;
}

static void stop_server(Controller *controller) {
    fleet_set_server(controller->fleet, NULL);
    hub_set_server(controller->hub, NULL);
    wait_calm(controller);
    server_stop(controller->server);
    controller->server = NULL;
}

static int write_port(const Controller *controller, Error *error) {
    BUFFER_AUTO text = {0};
    if (!controller->spec.port_file) return 0;
    FD_AUTO fd = open(controller->spec.port_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    buffer_printf(&text, "%d\n", server_port(controller->server));
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", controller->spec.port_file);
    return file_write_all(fd, text.data, text.size, error);
}

/* Its certificate is not kept, and ends: once in two months everybody connects anew. */
static int renew_server(Controller *controller, Error *error) {
    if (clock_wall_ms(controller->clock) < controller->server_until_ms) return 0;
    int port = server_port(controller->server);
    stop_server(controller);
    log_event(LOG_LEVEL_INFO, "certificate.renewed", NULL);
    return start_server(controller, port, error);
}

static bool may_look(void *context, const char *bearer) { return access_may_look(context, bearer); }

int controller_serve(Controller *controller, const atomic_bool *stop, Error *error) {
    controller->started_ms = clock_wall_ms(controller->clock);
    int result = start_server(controller, controller->spec.port, error);
    if (result < 0) return -1;
    result = write_port(controller, error);
    json_t *fields = json_object();
    json_set_text(fields, "address", controller->spec.address);
    json_set_integer(fields, "port", server_port(controller->server));
    log_event(LOG_LEVEL_INFO, "controller.started", fields);
    fleet_begin(controller->fleet);
    for (int looks = 0; result == 0 && !atomic_load(stop); looks++) {
        clock_sleep_ms(LOOK_MS);
        if (looks % REVIEW_LOOKS == 0) hub_review(controller->hub, may_look, controller);
        result = renew_server(controller, error);
    }
    /* Nobody may ask when the engines have gone: a host would hear that none of its changes is under way. */
    if (controller->server) stop_server(controller);
    fleet_stop(controller->fleet);
    log_event(LOG_LEVEL_INFO, "controller.stopped", NULL);
    return result;
}
