/* Simulation of a fleet: the real engine and the real HostLinkRemote over an imagined network, with imagined
 * agents, machines, clocks and people, in bad luck of every kind — all from one seed (fleet.h).
 *
 *     simulate_fleet [SEEDS [FIRST_SEED [trace]]]
 *
 * After every event it holds the invariants of the design against the journal (auditor.h) and against what
 * really happened (witness.h); when all trouble is over, the rollout must end, and reality agree with it. It
 * counts what the seeds have met: one that never meets a kind of trouble does not try enough, and fails.
 * UPKEEP_CHECK_LONG=1: a million seeds, shared out over the processors. test_mutation.py takes each guard of
 * these out of the engine, and holds this program to noticing it.
 */
#include "agent.h"
#include "base/cleanup.h"
#include "controller.h"
#include "engine/change.h"
#include "machine.h"
#include "network.h"
#include "people.h"
#include "script.h"
#include "witness.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
enum { SEEDS = 300 };
#else
enum { SEEDS = 3000 };
#endif
enum {
    SEEDS_LONG = 1000000,
    SEEDS_TELLING = 1000,
    PROCESSES_MAX = 256,
    TROUBLE_MS = HOUR_MS,
    REST_MS = HOUR_MS
};

/* Any time will do, but always the same one. 2026-01-01. */
#define BEGIN_MS INT64_C(1767225600000)

typedef struct Tally {
    unsigned long hits[HIT_COUNT];
    unsigned long outcomes[OUTCOME_ABORTED + 1];
    unsigned long events;
} Tally;

/* ---- one seed */

static int often(Fleet *fleet, int least, int most) {
    return fleet_one_in(fleet, 3) ? 0 : least + (int)fleet_up_to(fleet, most - least);
}

static void choose_trouble(Fleet *fleet) {
    fleet->calm_ms = fleet->now_ms + fleet_up_to(fleet, fleet_one_in(fleet, 20) ? 12 * HOUR_MS : TROUBLE_MS);
    fleet->trouble = (Trouble){.lost = often(fleet, 2, 40),
                               .delayed = often(fleet, 3, 60),
                               .doubled = often(fleet, 3, 60),
                               .parts = often(fleet, 60, 1200),
                               .controller_dies = often(fleet, 10, 600),
                               .agent_dies = often(fleet, 15, 900),
                               .reboots = often(fleet, 120, 3600),
                               .clock_set = often(fleet, 60, 1800),
                               .people = often(fleet, 60, 1800)};
}

static void open_change(Fleet *fleet, Arena *arena) {
    static const Digest package = {{0}};
    BUFFER_AUTO text = {0};
    Plan *plan = NULL;
    Error error = {0};
    script_write(&fleet->chance, fleet->host_count, &text);
    if (plan_compile(arena, "plan", "/", buffer_text(&text), text.size, &plan, &error) < 0)
        fleet_broken(fleet, "the plan: %s", error.en);
    fleet->plan = plan;
    JOURNAL_AUTO journal = book_open(&fleet->controller->book, NULL);
    ChangeOpening opening = {.plan = plan,
                             .plan_file = "plan",
                             .version = "new",
                             .package = &package,
                             .by = "ann@desk",
                             .clock = &fleet->controller->clock};
    if (change_open(journal, &opening, fleet->controller->change, &error) < 0)
        fleet_broken(fleet, "the change: %s", error.en);
}

/* What is still under way arrives; whoever can go back has done so. */
static void rest(Fleet *fleet) {
    int64_t until_ms = fleet->now_ms + REST_MS;
    if (!fleet_is_calm(fleet)) fleet->calm_ms = fleet->now_ms;
    while (fleet->now_ms < until_ms) {
        fleet_step(fleet, until_ms);
        witness_look(fleet);
    }
}

static RolloutOutcome carry_out(Fleet *fleet) {
    RolloutOutcome outcome = controller_carry_out(fleet->controller);
    if (fleet_one_in(fleet, 8) && outcome != OUTCOME_ROLLED_BACK) {
        people_roll_back(fleet);
        outcome = controller_carry_out(fleet->controller);
    }
    rest(fleet);
    witness_close(fleet);
    return outcome;
}

static void simulate(uint64_t seed, bool traced, Tally *tally) {
    ARENA_AUTO arena = arena_new();
    Machine machines[HOSTS_MAX];
    Agent agents[HOSTS_MAX] = {0};
    Network network = {0};
    Controller controller = {0};
    People people = {0};
    Witness witness = {0};
    Fleet fleet = {.seed = seed,
                   .chance = {seed},
                   .traced = traced,
                   .now_ms = BEGIN_MS,
                   .machines = machines,
                   .agents = agents,
                   .network = &network,
                   .controller = &controller,
                   .people = &people,
                   .witness = &witness,
                   .hits = tally->hits};
    fleet.host_count = 1 + (size_t)fleet_up_to(&fleet, HOSTS_MAX);
    choose_trouble(&fleet);
    witness_begin(&fleet, &witness, arena);
    controller_begin(&fleet, &controller);
    open_change(&fleet, arena);
    people_begin(&fleet, &people);
    for (size_t i = 0; i < fleet.host_count; i++)
        machine_begin(&fleet, &machines[i], i, fleet.plan->hosts.items[i].name);
    for (size_t i = 0; i < fleet.host_count; i++) agent_begin(&fleet, &agents[i], i);
    network_begin(&fleet);
    tally->outcomes[carry_out(&fleet)]++;
    tally->events += controller.book.count;
    fleet_forget_agenda(&fleet);
    for (size_t i = 0; i < fleet.host_count; i++) {
        agent_end(&agents[i]);
        machine_end(&machines[i]);
    }
    people_end(&people);
    controller_end(&controller);
}

/* ---- many */

static void add(Tally *tally, const Tally *more) {
    for (size_t i = 0; i < HIT_COUNT; i++) tally->hits[i] += more->hits[i];
    for (size_t i = 0; i <= OUTCOME_ABORTED; i++) tally->outcomes[i] += more->outcomes[i];
    tally->events += more->events;
}

__attribute__((noreturn)) static void be_share(int out, unsigned long first, unsigned long end,
                                               unsigned long stride) {
    Tally tally = {0};
    for (unsigned long seed = first; seed < end; seed += stride) simulate(seed, false, &tally);
    ssize_t written = write(out, &tally, sizeof tally);
    fflush(stdout);
    _exit(written == (ssize_t)sizeof tally ? 0 : 1);
}

/* False: one of them found something, and has said so. */
static bool share_out(unsigned long first, unsigned long seeds, Tally *tally) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned long shares = processors < 1               ? 1
                           : processors > PROCESSES_MAX ? PROCESSES_MAX
                                                        : (unsigned long)processors;
    int ends[2];
    bool good = true;
    fflush(stdout);
    if (pipe(ends) != 0) return false;
    for (unsigned long i = 0; i < shares; i++)
        if (fork() == 0) be_share(ends[1], first + i, first + seeds, shares);
    close(ends[1]);
    for (Tally share; read(ends[0], &share, sizeof share) == (ssize_t)sizeof share;) add(tally, &share);
    close(ends[0]);
    for (int status; wait(&status) > 0;) good &= WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return good;
}

/* False: something was never met. */
static bool tell(const Tally *tally, unsigned long seeds) {
    const char *missing = NULL;
    for (int i = OUTCOME_SUCCEEDED; i <= OUTCOME_ABORTED; i++) {
        printf("# %lu %s\n", tally->outcomes[i], rollout_outcome_text((RolloutOutcome)i));
        if (!tally->outcomes[i]) missing = rollout_outcome_text((RolloutOutcome)i);
    }
    for (size_t i = 0; i < HIT_COUNT; i++) {
        printf("# %lu %s\n", tally->hits[i], hit_texts[i]);
        if (!tally->hits[i]) missing = hit_texts[i];
    }
    printf("# %lu events\n", tally->events);
    if (!missing || seeds < SEEDS_TELLING) return true;
    printf("not ok 1 - the simulation never met: %s\n", missing);
    return false;
}

int main(int count, char **words) {
    bool at_length = count < 2 && getenv("UPKEEP_CHECK_LONG");
    bool traced = count > 3 && strcmp(words[3], "trace") == 0;
    unsigned long seeds = count > 1 ? strtoul(words[1], NULL, 10) : at_length ? SEEDS_LONG : SEEDS;
    unsigned long first = count > 2 ? strtoul(words[2], NULL, 10) : 1;
    Tally tally = {0};
    printf("TAP version 13\n1..1\n");
    if (at_length) {
        if (!share_out(first, seeds, &tally)) {
            printf("not ok 1 - a fleet keeps its invariants\n");
            return 1;
        }
    } else {
        for (unsigned long seed = first; seed < first + seeds; seed++) simulate(seed, traced, &tally);
    }
    if (!tell(&tally, seeds)) return 1;
    printf("ok 1 - %lu fleets keep their invariants and end\n", seeds);
    return 0;
}
