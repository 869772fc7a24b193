#include "people.h"
#include "base/cleanup.h"
#include "controller.h"
#include "witness.h"
#include <string.h>

enum { THINKING_MS = 5 * MINUTE_MS };

typedef enum Verb { VERB_PAUSE, VERB_RESUME, VERB_ABORT, VERB_ROLLBACK, VERB_SKIP, VERB_RETRY } Verb;

static const struct {
    const char *text;
    Hit hit;
} verbs[] = {[VERB_PAUSE] = {"pause", HIT_PAUSE}, [VERB_RESUME] = {"resume", HIT_RESUME},
             [VERB_ABORT] = {"abort", HIT_ABORT}, [VERB_ROLLBACK] = {"rollback", HIT_ROLLBACK},
             [VERB_SKIP] = {"skip", HIT_SKIP},    [VERB_RETRY] = {"retry", HIT_RETRY}};

/* Mostly one with which something is wrong. */
static const char *any_host(Fleet *fleet) {
    size_t index = (size_t)fleet_up_to(fleet, (int64_t)fleet->host_count);
    for (size_t i = 0; i < fleet->host_count && fleet_one_in(fleet, 2); i++)
        if (witness_is_wrong(fleet, i)) index = i;
    return fleet->plan->hosts.items[index].name;
}

static void ask(Fleet *fleet, Verb verb) {
    People *people = fleet->people;
    Error error = {0};
    JSON_AUTO fields = json_object();
    if (verb == VERB_ROLLBACK) json_set_bool(fields, "restore_data", fleet_one_in(fleet, 2));
    if (verb == VERB_SKIP || verb == VERB_RETRY) json_set_text(fields, "host", any_host(fleet));
    fleet_hit(fleet, verbs[verb].hit);
    fleet_trace(fleet, "a person asks: %s", verbs[verb].text);
    if (engine_control(people->journal, &people->bare, verbs[verb].text, "eve@desk", "imagined", fields,
                       &fleet->controller->clock, &error) < 0)
        fleet_broken(fleet, "I5: a person cannot write: %s", error.en);
}

/* Whoever sees that something is wrong mostly has that in mind. */
static Verb any_verb(Fleet *fleet) {
    static const Verb likely[] = {VERB_PAUSE,  VERB_PAUSE, VERB_PAUSE,   VERB_RESUME, VERB_RESUME,
                                  VERB_RESUME, VERB_SKIP,  VERB_SKIP,    VERB_RETRY,  VERB_RETRY,
                                  VERB_RETRY,  VERB_ABORT, VERB_ROLLBACK};
    bool trouble = false;
    for (size_t i = 0; i < fleet->host_count; i++) trouble |= witness_is_wrong(fleet, i);
    if (trouble && fleet_one_in(fleet, 2)) return fleet_one_in(fleet, 3) ? VERB_SKIP : VERB_RETRY;
    return likely[fleet_up_to(fleet, sizeof likely / sizeof *likely)];
}

static void steer(Fleet *fleet, const Due *due) {
    if (fleet_is_calm(fleet) || witness_has_ended(fleet)) return;
    ask(fleet, any_verb(fleet));
    fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, (int64_t)fleet->trouble.people * SECOND_MS), steer,
               due->host, 0, NULL);
}

/* Whoever is waited for comes, sooner or later. */
static void care(Fleet *fleet, const Due *due) {
    if (witness_has_ended(fleet)) return;
    if (witness_is_paused(fleet)) ask(fleet, fleet_one_in(fleet, 5) ? VERB_ABORT : VERB_RESUME);
    fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, THINKING_MS), care, due->host, 0, NULL);
}

void people_decide(Fleet *fleet) {
    static const Verb choices[] = {VERB_RESUME, VERB_SKIP, VERB_RETRY, VERB_ABORT, VERB_ROLLBACK};
    fleet_run_until(fleet, fleet->now_ms + fleet_about(fleet, THINKING_MS));
    ask(fleet, choices[fleet_up_to(fleet, sizeof choices / sizeof *choices)]);
}

void people_meddle(Fleet *fleet) {
    People *people = fleet->people;
    if (people->meddles || fleet_is_calm(fleet) || witness_has_ended(fleet)) return;
    if (!fleet_one_in(fleet, people->meddling)) return;
    people->meddles = true;
    fleet_hit(fleet, HIT_BETWEEN);
    ask(fleet, any_verb(fleet));
    people->meddles = false;
}

void people_roll_back(Fleet *fleet) {
    fleet_hit(fleet, HIT_AFTER_END);
    ask(fleet, VERB_ROLLBACK);
}

void people_begin(Fleet *fleet, People *people) {
    *people = (People){.fleet = fleet, .journal = book_open(&fleet->controller->book, NULL)};
    people->bare = (Rollout){.plan = fleet->plan, .change = fleet->controller->change};
    if (fleet->trouble.people) {
        people->meddling = 60;
        fleet_plan(fleet, fleet->now_ms + fleet_about(fleet, (int64_t)fleet->trouble.people * SECOND_MS),
                   steer, 0, 0, NULL);
    }
    fleet_plan(fleet, fleet->now_ms + THINKING_MS, care, 0, 0, NULL);
}

void people_end(People *people) { journal_close(people->journal); }
