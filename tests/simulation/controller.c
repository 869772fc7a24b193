#include "controller.h"
#include "base/cleanup.h"
#include "engine/change.h"
#include "machine.h"
#include "network.h"
#include "people.h"
#include "witness.h"
#include <string.h>

enum {
    PARK_MS = MINUTE_MS,
    LEAP_MIN_MS = 100,
    LEAP_MAX_MS = 20 * SECOND_MS,
    FUSE_MAX = 30,
    DOWN_MS = 20 * SECOND_MS,
    ENDLESS_MS = 96 * HOUR_MS /* after all trouble has ended */
};

static Controller *controller_of_clock(Clock *clock) {
    return (Controller *)((char *)clock - offsetof(Controller, clock));
}

static int64_t clock_ms(Clock *clock) {
    const Controller *controller = controller_of_clock(clock);
    return controller->fleet->now_ms + controller->clock_offset_ms;
}

/* ---- what agents ask */

static void answer(Controller *controller, size_t host, uint64_t question, json_t *message, int64_t heard) {
    if (!message) message = json_object();
    json_set_integer(message, "heard", heard);
    witness_saw_heard(controller->fleet, host, heard);
    network_answer(controller->fleet, host, question, message);
}

static void end_parking(Fleet *fleet, const Due *due) {
    Controller *controller = fleet->controller;
    if (!controller->remote || controller->parked[due->host] != due->turn) return;
    controller->parked[due->host] = 0;
    JSON_AUTO nothing = json_array();
    const char *name = fleet->machines[due->host].name;
    int64_t heard = 0;
    if (host_link_remote_report(controller->remote, name, nothing, &heard, NULL) < 0)
        fleet_broken(fleet, "I7: a box is missing");
    answer(controller, due->host, due->turn, host_link_remote_poll(controller->remote, name), heard);
}

static void wake(void *context, const char *name) {
    Fleet *fleet = context;
    for (size_t i = 0; i < fleet->host_count; i++)
        if (strcmp(fleet->machines[i].name, name) == 0 && fleet->controller->parked[i])
            fleet_plan(fleet, fleet->now_ms, end_parking, i, fleet->controller->parked[i], NULL);
}

static void refuse(Fleet *fleet, size_t host, uint64_t question, const Error *why) {
    if (strstr(why->en, "is missing")) fleet_hit(fleet, HIT_GAP);
    json_t *trouble = json_object();
    json_set_bool(trouble, "trouble", true);
    network_answer(fleet, host, question, trouble);
}

void controller_hear(Fleet *fleet, size_t host, uint64_t question, const json_t *letter) {
    Controller *controller = fleet->controller;
    const json_t *reports = json_object_get(letter, "reports");
    const char *name = fleet->machines[host].name;
    int64_t heard = 0;
    Error error = {0};
    if (!controller->remote || controller->fuse.dead) return;
    JSON_AUTO before = host_link_remote_poll(controller->remote, name);
    witness_saw_box(fleet, host, before);
    if (host_link_remote_report(controller->remote, name, reports, &heard, &error) < 0) {
        refuse(fleet, host, question, &error);
        return;
    }
    json_t *message = host_link_remote_poll(controller->remote, name);
    if (message || json_array_size(reports) > 0 || !controller->parks) {
        answer(controller, host, question, message, heard);
        return;
    }
    controller->parked[host] = question;
    fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, PARK_MS), end_parking, host, question, NULL);
}

/* ---- what the engine sees */

static int link_submit(HostLink *link, const char *host, const Order *order, Error *error) {
    Controller *controller = (Controller *)link;
    if (fuse_burns(&controller->fuse)) return error_set(error, ERROR_SYSTEM, "%s", "imagined: it died");
    witness_saw_submit(controller->fleet, host, order);
    return controller->remote->submit(controller->remote, host, order, error);
}

static void link_cancel(HostLink *link, const char *host) {
    Controller *controller = (Controller *)link;
    controller->remote->cancel(controller->remote, host);
}

static void link_withdraw(HostLink *link, const char *host) {
    Controller *controller = (Controller *)link;
    controller->remote->withdraw(controller->remote, host);
}

static void link_heard(HostLink *link, const char *host, int64_t number) {
    Controller *controller = (Controller *)link;
    controller->remote->heard(controller->remote, host, number);
}

static int link_receive(HostLink *link, int64_t timeout_ms, HostReport *out) {
    Controller *controller = (Controller *)link;
    Fleet *fleet = controller->fleet;
    if (controller->remote->receive(controller->remote, 0, out)) return 1;
    controller->fresh = false;
    if (timeout_ms == 0 || controller->fuse.dead) return 0;
    int64_t before_ms = fleet->now_ms;
    fleet_step(fleet, before_ms + controller->leap_ms);
    witness_look(fleet);
    controller->leap_ms =
        fleet->now_ms - before_ms < controller->leap_ms ? LEAP_MIN_MS : 2 * controller->leap_ms;
    if (controller->leap_ms > LEAP_MAX_MS) controller->leap_ms = LEAP_MAX_MS;
    if (fleet->now_ms > fleet->calm_ms + ENDLESS_MS) fleet_broken(fleet, "I5: it does not end");
    return controller->remote->receive(controller->remote, 0, out);
}

/* ---- one life */

static void light_fuse(Fleet *fleet, const Due *due) {
    Controller *controller = fleet->controller;
    if (fleet_is_calm(fleet)) return;
    if (controller->remote && fleet_one_in(fleet, 5))
        atomic_store(&controller->interrupts, fleet_one_in(fleet, 3) ? 2 : 1);
    else if (controller->remote && controller->fuse.left == NO_FUSE)
        controller->fuse.left = (int)fleet_up_to(fleet, FUSE_MAX);
    fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, (int64_t)fleet->trouble.controller_dies * SECOND_MS),
               light_fuse, due->host, 0, NULL);
}

static void choose_clock(Controller *controller) {
    Fleet *fleet = controller->fleet;
    if (controller->lives == 1 || !fleet->trouble.clock_set || !fleet_one_in(fleet, 3)) return;
    fleet_hit(fleet, HIT_CONTROLLER_CLOCK);
    controller->clock_offset_ms = fleet_up_to(fleet, 2 * HOUR_MS) - HOUR_MS;
}

static void observe(void *context, const Rollout *rollout, const json_t *event) {
    (void)rollout;
    Fleet *fleet = context;
    if (!fleet->traced) return;
    FREE_AUTO char *text = json_text(event);
    fleet_trace(fleet, "journal: %.400s", text);
}

/* ENGINE_INTERRUPTED: it died. */
static EngineEnd live(Controller *controller, Arena *arena, Rollout **rollout) {
    Fleet *fleet = controller->fleet;
    EngineEnd end = ENGINE_INTERRUPTED;
    Error error = {0};
    controller->lives++;
    controller->fresh = true;
    controller->fuse = (Fuse){.left = NO_FUSE};
    atomic_store(&controller->interrupts, 0);
    controller->leap_ms = LEAP_MIN_MS;
    choose_clock(controller);
    JOURNAL_AUTO journal = book_open(&controller->book, &controller->fuse);
    if (change_load(journal, arena, controller->change, rollout, &error) < 0)
        fleet_broken(fleet, "I7: the journal cannot be read: %s", error.en);
    HostLinkRemoteSpec remote = {.rollout = *rollout,
                                 .clock = &controller->clock,
                                 .lost_after_ms = (*rollout)->plan->rollout.lost_after_ms,
                                 .wake = wake,
                                 .context = fleet};
    if (host_link_remote_open(&remote, &controller->remote, &error) < 0)
        fleet_broken(fleet, "I7: no link: %s", error.en);
    witness_saw_start(fleet, *rollout);
    EngineSpec spec = {.journal = journal,
                       .link = &controller->link,
                       .clock = &controller->clock,
                       .rollout = *rollout,
                       .by = "daemon",
                       .interrupts = &controller->interrupts,
                       .observer = {.event = observe, .context = fleet}};
    int result = engine_run(&spec, &end, &error);
    controller->remote->close(controller->remote);
    controller->remote = NULL;
    memset(controller->parked, 0, sizeof controller->parked);
    if (result == 0) {
        witness_saw_leave(fleet, end, atomic_load(&controller->interrupts));
        return end;
    }
    if (!controller->fuse.dead) fleet_broken(fleet, "I7: the engine gave up: %s", error.en);
    fleet_trace(fleet, "the controller dies");
    return ENGINE_INTERRUPTED;
}

static void be_down(Controller *controller) {
    Fleet *fleet = controller->fleet;
    int64_t until_ms = fleet->now_ms + fleet_up_to(fleet, fleet_one_in(fleet, 5) ? HOUR_MS : DOWN_MS);
    while (fleet->now_ms < until_ms) {
        fleet_step(fleet, until_ms);
        witness_look(fleet);
    }
}

RolloutOutcome controller_carry_out(Controller *controller) {
    for (;;) {
        ARENA_AUTO arena = arena_new();
        Rollout *rollout = NULL;
        EngineEnd end = live(controller, arena, &rollout);
        if (end == ENGINE_ENDED) return rollout->outcome;
        if (end == ENGINE_HELD) people_decide(controller->fleet);
        if (end == ENGINE_INTERRUPTED || end == ENGINE_PAUSED) be_down(controller);
    }
}

/* ---- begin and end */

void controller_begin(Fleet *fleet, Controller *controller) {
    *controller = (Controller){
        .link = {link_submit, link_cancel, link_withdraw, link_receive, link_heard, NULL},
        .fleet = fleet,
        .clock = {clock_ms, clock_ms},
        .parks = !fleet_one_in(fleet, 4),
    };
    book_begin(fleet, &controller->book);
    if (fleet->trouble.controller_dies)
        fleet_plan(fleet,
                   fleet->now_ms + fleet_about(fleet, (int64_t)fleet->trouble.controller_dies * SECOND_MS),
                   light_fuse, 0, 0, NULL);
}

void controller_end(Controller *controller) { book_end(&controller->book); }
