/* Simulation of the rollout: the real fold and the real decision under a false clock, with imagined hosts
 * that do well or badly by chance, people who steer at random, and crashes of the engine between any two
 * events — all from one seed.
 *
 *     simulate_rollout [SEEDS [FIRST_SEED]]
 *
 * Every event goes past the auditor, who holds the invariants of the design (auditor.h). Beside those:
 *   I5   every rollout ends, or waits for a named person
 *   I7   whoever reads the journal after a crash decides the same
 *   I7   what nobody may have written cannot be folded
 *
 * test_mutation.py takes each guard of these out of the model and holds this program to noticing it.
 */
#include "auditor.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "chance.h"
#include "script.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HOSTS_MAX = AUDITED_HOSTS_MAX,
    STARTS_MAX = 8,
    RETRIES_MAX = 6,
    EVENTS_MAX = 60000,
    STEPS_MAX = 200000,
    START_MS = 1000000000,
    HOUR_MS = 3600 * 1000
};

typedef struct Imagined { /* one host: what will become of it */
    bool admit_fails, retire_fails;
    bool prepare_fails, switch_fails, sick_in_soak, silent, falls_silent, rollback_fails, never_answers;
    bool dead;            /* like one that never answers, but it does not roll back by itself either */
    int64_t answer_at_ms; /* 0: no order under way */
    int64_t probe_at_ms;
    int64_t report_at_ms;
} Imagined;

typedef struct World {
    uint64_t seed;
    Chance chance;
    Arena *arena;
    json_t *journal;
    Auditor auditor;
    Rollout *rollout; /* the auditor's */
    Imagined hosts[HOSTS_MAX];
    int64_t now_ms;
    int starts_left; /* each gives orders their time again: for ever would be too often */
    int retries_left;
    bool steered; /* people interfere in this one */
} World;

/* Says the seed, why and the journal, and ends the program. */
__attribute__((noreturn)) static void broken(const World *world, const char *why) {
    printf("seed %llu: %s\n", (unsigned long long)world->seed, why);
    for (size_t i = 0; i < json_array_size(world->journal); i++) {
        FREE_AUTO char *text = json_text(json_array_get(world->journal, i));
        printf("  %zu %.300s\n", i + 1, text);
    }
    exit(1);
}

__attribute__((noreturn)) static void audit_broken(void *context, const char *why) { broken(context, why); }

static int64_t up_to(World *world, int64_t limit) { return chance_up_to(&world->chance, limit); }
static bool one_in(World *world, int64_t n) { return chance_one_in(&world->chance, n); }

/* ---- the journal, and a crash that forgets everything else */

static void fold(World *world, json_t *event) {
    if (json_array_size(world->journal) > EVENTS_MAX) broken(world, "I5: it does not end");
    json_array_append(world->journal, event);
    auditor_read(&world->auditor, event);
}

static Rollout *replay(const World *world, Arena *arena) {
    Rollout *rollout = NULL;
    Error error;
    if (rollout_open(arena, 1, json_array_get(world->journal, 0), &rollout, &error) < 0)
        broken(world, error.en);
    for (size_t i = 1; i < json_array_size(world->journal); i++)
        if (rollout_fold(rollout, (int64_t)i + 1, json_array_get(world->journal, i), &error) < 0)
            broken(world, error.en);
    return rollout;
}

static void forge_order(const World *world, Rollout *copy, const RolloutHost *host, const char *type,
                        const char *order, const char *id, const char *what) {
    Error error;
    JSON_AUTO event = rollout_event(copy, type, world->now_ms);
    json_set_text(event, "host", host->name);
    json_set_text(event, "order", order);
    json_set_text(event, "order_id", id);
    if (rollout_fold(copy, copy->sequence + 1, event, &error) == 0) broken(world, what);
}

static void forge(const World *world, Rollout *copy, const RolloutHost *host, const char *type,
                  const char *id, const char *what) {
    forge_order(world, copy, host, type, "switch", id, what);
}

/* People in other processes write when they like: also between what was decided and its being written. */
static void race(World *world, Rollout *copy, json_t *decided) {
    static const char *const verbs[] = {"control.skip",   "control.retry", "control.pause",
                                        "control.resume", "control.abort", "control.rollback",
                                        "control.skip",   "control.retry"};
    Error error;
    int64_t sequence = copy->sequence;
    JSON_AUTO control = rollout_event(copy, verbs[up_to(world, 8)], world->now_ms);
    json_set_text(control, "host", copy->hosts[up_to(world, (int64_t)copy->host_count)].name);
    if (rollout_fold(copy, ++sequence, control, &error) < 0)
        broken(world, "I7: what a person asked for could not be folded");
    for (size_t i = 0; i < json_array_size(decided); i++)
        if (rollout_fold(copy, ++sequence, json_array_get(decided, i), &error) < 0)
            broken(world, "I7: what a person wrote in between has made the journal unreadable");
}

/* Events that nobody may have written: what cannot be folded cannot have happened. */
static void forge_some(World *world, Rollout *copy) {
    size_t index = (size_t)up_to(world, (int64_t)copy->host_count);
    const RolloutHost *host = &copy->hosts[index];
    const Seen *seen = &world->auditor.hosts[index];
    if (seen->order_open) {
        forge(world, copy, host, "order.given", "C/h/99", "I7: a second order was taken beside an open one");
        forge(world, copy, host, "order.done", "C/h/99", "I7: an answer to another order was taken");
        return;
    }
    forge(world, copy, host, "order.done", host->order.id, "I7: an answer was taken twice");
    if (seen->live && !auditor_all_admitted(&world->auditor))
        forge_order(world, copy, host, "order.given", "retire", "C/h/99",
                    "I4: a live host was retired too early");
    if (!seen->proved)
        forge(world, copy, host, "order.given", "C/h/99", "I1: a switch was taken without a proof");
}

static void start_again(World *world) {
    world->starts_left--;
    JSON_AUTO event = rollout_event(world->rollout, "engine.started", world->now_ms);
    fold(world, event);
}

static void crash(World *world) {
    ARENA_AUTO arena = arena_new();
    JSON_AUTO before = rollout_decide(world->rollout, world->now_ms);
    Rollout *again = replay(world, arena);
    JSON_AUTO after = rollout_decide(again, world->now_ms);
    if (!json_equal(before, after)) broken(world, "I7: after a crash something else was decided");
    if (one_in(world, 2))
        forge_some(world, again);
    else
        race(world, again, after);
    if (world->starts_left > 0 && one_in(world, 5)) start_again(world);
}

/* ---- what is decided */

static bool is_answered(World *world, const Imagined *host, bool live, OrderKind kind) {
    bool moves = kind == ORDER_ADMIT || kind == ORDER_RETIRE;
    bool first = world->rollout->switch_count == 0; /* later the others' reports would fill the journal */
    if (live) return !host->dead && !(host->never_answers && kind == ORDER_RETIRE);
    if (kind == ORDER_SWITCH) return !host->never_answers && !host->dead;
    if (!host->dead) return true;
    return !moves && kind != ORDER_ROLLBACK && !(kind == ORDER_PREPARE && first && one_in(world, 3));
}

static void take_order(World *world, const json_t *event) {
    const RolloutHost *known = rollout_host(world->rollout, json_get_text(event, "host", NULL));
    Imagined *host = &world->hosts[known - world->rollout->hosts];
    if (!is_answered(world, host, known->live, known->order.kind)) return;
    host->answer_at_ms = world->now_ms + 1 + up_to(world, 20000);
    if (known->order.kind == ORDER_SWITCH) host->probe_at_ms = world->now_ms + 1 + up_to(world, 20000);
}

static void decide(World *world) {
    for (;;) {
        /* The longer the journal, the dearer: seldom enough for the whole to stay linear. */
        if (one_in(world, 20 + (int64_t)json_array_size(world->journal) / 10)) crash(world);
        JSON_AUTO events = rollout_decide(world->rollout, world->now_ms);
        if (json_array_size(events) == 0) return;
        for (size_t i = 0; i < json_array_size(events); i++) {
            json_t *event = json_array_get(events, i);
            fold(world, event);
            if (strcmp(json_get_text(event, "type", ""), "order.given") == 0) take_order(world, event);
        }
    }
}

/* ---- what the hosts do */

static bool fails(const Imagined *imagined, OrderKind kind) {
    return (kind == ORDER_PREPARE && imagined->prepare_fails) ||
           (kind == ORDER_SWITCH && imagined->switch_fails) ||
           (kind == ORDER_ROLLBACK && imagined->rollback_fails) ||
           (kind == ORDER_ADMIT && imagined->admit_fails) || (kind == ORDER_RETIRE && imagined->retire_fails);
}

static void answer(World *world, size_t index) {
    const RolloutHost *host = &world->rollout->hosts[index];
    Imagined *imagined = &world->hosts[index];
    OrderKind kind = host->order.kind;
    imagined->answer_at_ms = imagined->probe_at_ms = 0;
    if (!world->auditor.hosts[index].order_open) return;
    bool failed = host->order_cancelled || fails(imagined, kind);
    JSON_AUTO event = rollout_event(world->rollout, failed ? "order.failed" : "order.done", world->now_ms);
    json_set_text(event, "host", host->name);
    json_set_text(event, "order_id", host->order.id);
    if (failed) json_set_text(event, "error", "imagined");
    if (!failed && kind == ORDER_SWITCH) imagined->report_at_ms = world->now_ms + 1;
    if (one_in(world, 3) && kind == ORDER_SWITCH) imagined->switch_fails = false; /* mended meanwhile */
    fold(world, event);
}

/* It is being probed: still out of service. */
static void probe(World *world, size_t index) {
    Imagined *imagined = &world->hosts[index];
    const Seen *seen = &world->auditor.hosts[index];
    imagined->probe_at_ms = 0;
    if (!seen->order_open || seen->order.kind != ORDER_SWITCH) return;
    JSON_AUTO event = rollout_event(world->rollout, "step.started", world->now_ms);
    json_set_text(event, "host", world->rollout->hosts[index].name);
    json_set_text(event, "step", "probe");
    fold(world, event);
}

static void report(World *world, size_t index) {
    RolloutHost *host = &world->rollout->hosts[index];
    Imagined *imagined = &world->hosts[index];
    imagined->report_at_ms = world->now_ms + 2000;
    if (imagined->silent || (host->state != HOST_HEALTHY && host->state != HOST_CONFIRMED)) return;
    if (imagined->falls_silent && host->state == HOST_CONFIRMED) return;
    bool sick = imagined->sick_in_soak && one_in(world, 5);
    JSON_AUTO event = rollout_event(world->rollout, "host.health", world->now_ms);
    json_set_text(event, "host", host->name);
    json_set_text(event, "verdict", sick ? "fail" : one_in(world, 20) ? "inconclusive" : "pass");
    if (sick) imagined->sick_in_soak = one_in(world, 2);
    fold(world, event);
}

/* Its guard: nobody confirmed it in time. */
static void roll_back_by_itself(World *world, size_t index) {
    RolloutHost *host = &world->rollout->hosts[index];
    if (world->hosts[index].dead || !host->confirm_by_ms || world->now_ms < host->confirm_by_ms + 5000 ||
        host->state == HOST_ROLLING_BACK)
        return;
    JSON_AUTO event = rollout_event(world->rollout, "host.rolled_back", world->now_ms);
    json_set_text(event, "host", host->name);
    fold(world, event);
}

/* One host, and mostly one with which something is wrong. */
static void steer_host(World *world) {
    size_t index = (size_t)up_to(world, (int64_t)world->rollout->host_count);
    for (size_t i = 0; i < world->rollout->host_count && one_in(world, 2); i++)
        if (seen_is_wrong(&world->auditor.hosts[i])) index = i;
    bool skip = one_in(world, 2);
    if (!skip && world->retries_left-- <= 0) return;
    JSON_AUTO event = rollout_event(world->rollout, skip ? "control.skip" : "control.retry", world->now_ms);
    json_set_text(event, "host", world->rollout->hosts[index].name);
    fold(world, event);
}

static void steer(World *world) {
    static const char *const verbs[] = {"control.pause",  "control.resume", "control.resume",
                                        "control.resume", "control.abort",  "control.rollback"};
    bool waits = world->rollout->state == ROLLOUT_PAUSED; /* for a person: one comes, sooner or later */
    if (!(waits && one_in(world, 20)) && !(world->steered && one_in(world, 60))) return;
    const char *verb = verbs[waits && !world->rollout->held ? 1 : up_to(world, 6)];
    if (rollout_ended(world->rollout)) return;
    if (one_in(world, 2)) {
        steer_host(world);
        return;
    }
    JSON_AUTO event = rollout_event(world->rollout, verb, world->now_ms);
    json_set_bool(event, "restore_data", one_in(world, 2));
    fold(world, event);
}

static void step(World *world) {
    world->now_ms += one_in(world, 200) ? up_to(world, HOUR_MS) : 1 + up_to(world, 2000);
    for (size_t i = 0; i < world->rollout->host_count; i++) {
        Imagined *host = &world->hosts[i];
        if (host->probe_at_ms && world->now_ms >= host->probe_at_ms) probe(world, i);
        if (host->answer_at_ms && world->now_ms >= host->answer_at_ms) answer(world, i);
        if (host->report_at_ms && world->now_ms >= host->report_at_ms) report(world, i);
        roll_back_by_itself(world, i);
    }
    steer(world);
    decide(world);
}

/* ---- one seed */

static void imagine(World *world, size_t count) {
    for (size_t i = 0; i < count; i++)
        world->hosts[i] = (Imagined){.prepare_fails = one_in(world, 20),
                                     .switch_fails = one_in(world, 10),
                                     .sick_in_soak = one_in(world, 10),
                                     .silent = one_in(world, 25),
                                     .falls_silent = one_in(world, 25),
                                     .rollback_fails = one_in(world, 15),
                                     .admit_fails = one_in(world, 20),
                                     .retire_fails = one_in(world, 20),
                                     .never_answers = one_in(world, 40),
                                     .dead = one_in(world, 100)};
}

static const Plan *compile(World *world, size_t hosts) {
    BUFFER_AUTO text = {0};
    Error error;
    Plan *plan = NULL;
    script_write(&world->chance, hosts, &text);
    if (plan_compile(world->arena, "plan", "/", buffer_text(&text), text.size, &plan, &error) < 0)
        broken(world, error.en);
    return plan;
}

static void open_change(World *world, const Plan *plan) {
    Rollout bare = {.plan = plan, .change = "CHG-1"};
    json_t *opened = rollout_event(&bare, "change.opened", world->now_ms);
    json_object_set_new(opened, "plan", plan_to_json(plan));
    json_array_append_new(world->journal, opened);
    world->auditor = (Auditor){.broken = audit_broken, .context = world};
    auditor_open(&world->auditor, world->arena, opened);
    world->rollout = world->auditor.rollout;
}

static RolloutOutcome simulate(uint64_t seed) {
    ARENA_AUTO arena = arena_new();
    JSON_AUTO journal = json_array();
    World world = {.seed = seed, .chance = {seed}, .arena = arena, .now_ms = START_MS, .journal = journal};
    size_t hosts = 1 + (size_t)up_to(&world, HOSTS_MAX);
    const Plan *plan = compile(&world, hosts);
    world.steered = one_in(&world, 3);
    world.retries_left = (int)up_to(&world, RETRIES_MAX + 1);
    world.starts_left = (int)up_to(&world, STARTS_MAX + 1);
    imagine(&world, hosts);
    open_change(&world, plan);
    decide(&world);
    for (long steps = 0; !rollout_ended(world.rollout); steps++) {
        if (steps > STEPS_MAX) broken(&world, "I5: it is stuck");
        step(&world);
    }
    auditor_close(&world.auditor);
    return world.rollout->outcome;
}

int main(int count, char **words) {
    unsigned long seeds = count > 1                     ? strtoul(words[1], NULL, 10)
                          : getenv("UPKEEP_CHECK_LONG") ? 1000000
                                                        : 3000,
                  first = count > 2 ? strtoul(words[2], NULL, 10) : 1;
    unsigned long ends[OUTCOME_ABORTED + 1] = {0};
    printf("TAP version 13\n1..1\n");
    for (unsigned long seed = first; seed < first + seeds; seed++) ends[simulate(seed)]++;
    for (int i = OUTCOME_SUCCEEDED; i <= OUTCOME_ABORTED; i++) {
        printf("# %s: %lu\n", rollout_outcome_text((RolloutOutcome)i), ends[i]);
        if (seeds >= 1000 && ends[i] == 0) {
            printf("not ok 1 - the simulation never ended as %s: it does not try enough\n",
                   rollout_outcome_text((RolloutOutcome)i));
            return 1;
        }
    }
    printf("ok 1 - %lu rollouts keep their invariants and end\n", seeds);
    return 0;
}
