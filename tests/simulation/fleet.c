#include "fleet.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *const hit_texts[HIT_COUNT] = {
    [HIT_LOST] = "messages lost",
    [HIT_DELAYED] = "messages long under way",
    [HIT_DOUBLED] = "messages doubled",
    [HIT_REORDERED] = "messages overtaken",
    [HIT_PARTED] = "messages into a partition",
    [HIT_GAP] = "reports refused for a gap",
    [HIT_STALE] = "answers to a question before the last",
    [HIT_DIED_BEFORE] = "controllers that died before they wrote",
    [HIT_DIED_AFTER] = "controllers that died after they wrote, before they acted",
    [HIT_DIED_TAKING] = "controllers that died with reports taken and not written",
    [HIT_DIED_READING] = "controllers that died while they read",
    [HIT_LEFT] = "controllers that left when they were asked",
    [HIT_THROWN_OUT] = "controllers that left at once",
    [HIT_SENT_AGAIN] = "orders sent again after a restart",
    [HIT_CONTROLLER_CLOCK] = "controllers whose clock was set meanwhile",
    [HIT_AGENT_DIED] = "agents that died",
    [HIT_CUT_OFF] = "orders cut off half-way",
    [HIT_REBOOTED] = "machines that were started again",
    [HIT_GONE] = "machines that never came back",
    [HIT_SELF] = "hosts that rolled back by themselves",
    [HIT_GUARD] = "of these, by the guard of a dead agent",
    [HIT_CLOCK_SET] = "host clocks that were set",
    [HIT_CLOCK_WRONG] = "host clocks that go wrong",
    [HIT_BAD_AT_ONCE] = "switches to a version bad from the start",
    [HIT_BAD_LATER] = "reports of a version that became bad later",
    [HIT_HUNG] = "orders that hang for hours",
    [HIT_STUBBORN] = "hosts that cannot be put back",
    [HIT_PAUSE] = "pauses",
    [HIT_RESUME] = "resumes",
    [HIT_ABORT] = "aborts",
    [HIT_SKIP] = "skips of a host asked for",
    [HIT_RETRY] = "retries of a host asked for",
    [HIT_ROLLBACK] = "rollbacks asked for",
    [HIT_AFTER_END] = "rollbacks asked for after the end",
    [HIT_BETWEEN] = "people who wrote between a decision and its writing",
    [HIT_HELD] = "rollouts held for a person",
    [HIT_KEPT] = "hosts kept by choice",
    [HIT_CANCELLED] = "orders cancelled",
    [HIT_LEFT_OUT] = "hosts left out for failing",
    [HIT_SKIPPED] = "hosts skipped",
    [HIT_RETRIED] = "hosts tried again",
    [HIT_BEGUN_AGAIN] = "machines that began again",
    [HIT_BALANCER] = "balancers that did not do as they were told",
    [HIT_WEIGHED] = "canaries that got their whole weight",
    [HIT_ADMITTED] = "upgraded hosts admitted to traffic",
    [HIT_RETIRED] = "live hosts retired from traffic",
    [HIT_LIVE_BACK] = "live hosts admitted again",
    [HIT_TAKEN_OVER] = "groups that took over",
    [HIT_LOST_HOST] = "hosts declared lost",
    [HIT_RETURNED] = "lost hosts that were heard again",
    [HIT_LIE] = "reports of what is not a host's to say",
    [HIT_REFUSED] = "reports that came too late and were kept as evidence",
};

/* ---- chance */

int64_t fleet_about(Fleet *fleet, int64_t ms) { return ms / 2 + fleet_up_to(fleet, ms + 1); }

bool fleet_is_calm(const Fleet *fleet) { return fleet->now_ms >= fleet->calm_ms; }

/* ---- the agenda */

static bool comes_before(const Due *a, const Due *b) {
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->rank < b->rank;
}

static void swap(Due *a, Due *b) {
    Due kept = *a;
    *a = *b;
    *b = kept;
}

void fleet_plan(Fleet *fleet, int64_t at_ms, Happening happen, size_t host, uint64_t turn, json_t *letter) {
    if (fleet->due_count == fleet->due_capacity) {
        fleet->due_capacity = fleet->due_capacity ? fleet->due_capacity * 2 : 64;
        fleet->agenda = realloc(fleet->agenda, fleet->due_capacity * sizeof *fleet->agenda);
        if (!fleet->agenda) abort();
    }
    size_t at = fleet->due_count++;
    fleet->agenda[at] =
        (Due){at_ms < fleet->now_ms ? fleet->now_ms : at_ms, ++fleet->rank, happen, host, turn, letter};
    for (; at > 0 && comes_before(&fleet->agenda[at], &fleet->agenda[(at - 1) / 2]); at = (at - 1) / 2)
        swap(&fleet->agenda[at], &fleet->agenda[(at - 1) / 2]);
}

static Due take_due(Fleet *fleet) {
    Due first = fleet->agenda[0];
    fleet->agenda[0] = fleet->agenda[--fleet->due_count];
    for (size_t at = 0, least;; at = least) {
        least = at;
        for (size_t child = 2 * at + 1; child < 2 * at + 3 && child < fleet->due_count; child++)
            if (comes_before(&fleet->agenda[child], &fleet->agenda[least])) least = child;
        if (least == at) return first;
        swap(&fleet->agenda[at], &fleet->agenda[least]);
    }
}

void fleet_step(Fleet *fleet, int64_t until_ms) {
    if (fleet->due_count == 0 || fleet->agenda[0].at_ms > until_ms) {
        if (until_ms > fleet->now_ms) fleet->now_ms = until_ms;
        return;
    }
    Due due = take_due(fleet);
    fleet->now_ms = due.at_ms;
    due.happen(fleet, &due);
    json_decref(due.letter);
}

void fleet_run_until(Fleet *fleet, int64_t until_ms) {
    while (fleet->now_ms < until_ms) fleet_step(fleet, until_ms);
}

void fleet_forget_agenda(Fleet *fleet) {
    for (size_t i = 0; i < fleet->due_count; i++) json_decref(fleet->agenda[i].letter);
    free(fleet->agenda);
    fleet->agenda = NULL;
    fleet->due_count = fleet->due_capacity = 0;
}

/* ---- telling */

void fleet_trace(const Fleet *fleet, const char *format, ...) {
    if (!fleet->traced) return;
    va_list arguments;
    va_start(arguments, format);
    printf("# %10.3f ", (double)fleet->now_ms / SECOND_MS);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

__attribute__((noreturn)) void fleet_broken(const Fleet *fleet, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("seed %llu: ", (unsigned long long)fleet->seed);
    vprintf(format, arguments);
    printf("\n# all of it: simulate_fleet 1 %llu trace\n", (unsigned long long)fleet->seed);
    va_end(arguments);
    fflush(stdout);
    exit(1);
}
