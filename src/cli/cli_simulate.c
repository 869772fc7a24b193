/* simulate: what a plan would do, on imagined hosts. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/quantity.h"
#include "cli/cli.h"
#include "cli/plan_remote.h"
#include "cli/session.h"
#include "engine/host_link_imagined.h"
#include "engine/simulation.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS_MAX = 10000, HOSTS_MAX = 1000000, RANGE_SIZE = 3 * QUANTITY_TEXT_SIZE + 32 };

typedef struct Simulating {
    Cli *cli;
    Arena *arena;
    const Plan *plan;
    size_t seeds;
    int64_t prepare_ms, switch_ms;
    SimulationResult *results[SIMULATION_CASES]; /* one a seed */
    unsigned workers;
    Arena *arenas[PARALLEL_WORKERS_MAX]; /* one a worker: what is in the results */
} Simulating;

/* ---- many results as one */

typedef struct Spread {
    int64_t least, median, most; /* all -1: there was nothing to measure */
} Spread;

/* One number of a result, or -1. `index` says which stage. */
typedef int64_t (*Measure)(const SimulationResult *result, size_t index);

static int compare_numbers(const void *a, const void *b) {
    int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;
    return one < other ? -1 : one > other;
}

static Spread spread_of(const Simulating *self, SimulationCase happened, Measure measure, size_t index) {
    FREE_AUTO int64_t *numbers = calloc(self->seeds, sizeof *numbers);
    size_t count = 0;
    if (!numbers) abort();
    for (size_t i = 0; i < self->seeds; i++) {
        int64_t number = measure(&self->results[happened][i], index);
        if (number >= 0) numbers[count++] = number;
    }
    if (count == 0) return (Spread){-1, -1, -1};
    qsort(numbers, count, sizeof *numbers, compare_numbers);
    return (Spread){numbers[0], numbers[count / 2], numbers[count - 1]};
}

static int64_t prepare_time(const SimulationResult *result, size_t index) {
    (void)index;
    return result->stages[0].started_ms;
}

static int64_t stage_time(const SimulationResult *result, size_t index) {
    const SimulationStage *stage = &result->stages[index];
    return stage->passed_ms < 0 ? -1 : stage->passed_ms - stage->started_ms;
}

static int64_t commit_time(const SimulationResult *result, size_t index) {
    (void)index;
    int64_t passed_ms = result->stages[result->stage_count - 1].passed_ms;
    return passed_ms < 0 ? -1 : result->ended_ms - passed_ms;
}

static int64_t whole_time(const SimulationResult *result, size_t index) {
    (void)index;
    return result->outcome == OUTCOME_SUCCEEDED ? result->ended_ms : -1;
}

static int64_t stop_time(const SimulationResult *result, size_t index) {
    (void)index;
    return result->stopped_ms;
}

static int64_t time_in_service(const SimulationResult *result, size_t index) {
    (void)index;
    return result->stopped_ms < 0 || result->first_switch_ms < 0
               ? -1
               : result->stopped_ms - result->first_switch_ms;
}

static int64_t touched_hosts(const SimulationResult *result, size_t index) {
    (void)index;
    return result->stopped_ms < 0 ? -1 : (int64_t)result->touched;
}

static int64_t left_hosts(const SimulationResult *result, size_t index) {
    (void)index;
    return result->stopped_ms < 0 ? -1 : (int64_t)result->left;
}

static int64_t back_time(const SimulationResult *result, size_t index) {
    (void)index;
    return result->stopped_ms < 0 || result->outcome == OUTCOME_NONE ? -1
                                                                     : result->ended_ms - result->stopped_ms;
}

/* The result whose time to the stop is the median; NULL when none stopped. *same: all stopped there. */
static const SimulationResult *typical_stop(const Simulating *self, SimulationCase happened, bool *same) {
    int64_t median_ms = spread_of(self, happened, stop_time, 0).median;
    const SimulationResult *typical = NULL;
    for (size_t i = 0; i < self->seeds && median_ms >= 0; i++)
        if (self->results[happened][i].stopped_ms == median_ms && !typical)
            typical = &self->results[happened][i];
    *same = typical != NULL;
    for (size_t i = 0; i < self->seeds && typical; i++) {
        const char *host = self->results[happened][i].stop_host;
        *same &= host && typical->stop_host && strcmp(host, typical->stop_host) == 0;
    }
    return typical;
}

static size_t unnoticed(const Simulating *self, SimulationCase happened) {
    size_t count = 0;
    for (size_t i = 0; i < self->seeds; i++) {
        const SimulationResult *result = &self->results[happened][i];
        count += result->stopped_ms < 0 && result->left_out == 0;
    }
    return count;
}

/* Rollouts that went on without the bad hosts, as max_failed allows. */
static size_t tolerated(const Simulating *self, SimulationCase happened) {
    size_t count = 0;
    for (size_t i = 0; i < self->seeds; i++) {
        const SimulationResult *result = &self->results[happened][i];
        count += result->stopped_ms < 0 && result->left_out > 0;
    }
    return count;
}

static size_t stage_hosts(const Simulating *self, size_t stage) {
    FREE_AUTO size_t *stages = calloc(self->plan->hosts.count, sizeof *stages);
    size_t count = 0;
    if (!stages) abort();
    if (plan_stages(self->plan, stages, NULL) < 0) return 0;
    for (size_t i = 0; i < self->plan->hosts.count; i++) count += stages[i] == stage;
    return count;
}

/* ---- for people */

static const char *time_range(const Simulating *self, Spread spread, char text[static RANGE_SIZE]) {
    char least[QUANTITY_TEXT_SIZE], median[QUANTITY_TEXT_SIZE], most[QUANTITY_TEXT_SIZE];
    if (spread.median < 0) return cli_text(self->cli, "never");
    quantity_duration_text(spread.least, least);
    quantity_duration_text(spread.median, median);
    quantity_duration_text(spread.most, most);
    if (strcmp(least, most) == 0)
        snprintf(text, RANGE_SIZE, "%s", median);
    else
        snprintf(text, RANGE_SIZE, cli_text(self->cli, "%s (%s to %s)"), median, least, most);
    return text;
}

static const char *count_range(const Simulating *self, Spread spread, char text[static RANGE_SIZE]) {
    if (spread.least == spread.most)
        snprintf(text, RANGE_SIZE, "%lld", (long long)spread.median);
    else
        snprintf(text, RANGE_SIZE, cli_text(self->cli, "%lld (%lld to %lld)"), (long long)spread.median,
                 (long long)spread.least, (long long)spread.most);
    return text;
}

static void print_assumed(const Simulating *self) {
    const Cli *cli = self->cli;
    const Plan *plan = self->plan;
    char prepare[QUANTITY_TEXT_SIZE], change[QUANTITY_TEXT_SIZE], healthy[QUANTITY_TEXT_SIZE],
        deadline[QUANTITY_TEXT_SIZE], notice[QUANTITY_TEXT_SIZE];
    cli_print(cli, "%s → new, imagined; seeds: %zu; nothing is touched\n", plan->service.name, self->seeds);
    cli_print(cli, "hosts: %zu, stages: %zu, out of service at one time: at most %zu\n", plan->hosts.count,
              plan->rollout.stages.count, plan_amount_of(&plan->rollout.max_unavailable, plan->hosts.count));
    cli_print(cli, "\nAssumed\n");
    cli_print(cli, "  all hosts are prepared at the same time, each in about %s\n",
              quantity_duration_text(self->prepare_ms, prepare));
    cli_print(cli, "  switching a host, or rolling it back, takes about %s, and its probes %s more\n",
              quantity_duration_text(self->switch_ms, change),
              quantity_duration_text(host_link_imagined_healthy_ms(plan), healthy));
    cli_print(cli,
              "  a version that does not become healthy is waited for %s; one that becomes bad later is "
              "noticed after %s\n",
              quantity_duration_text(host_link_imagined_deadline_ms(plan), deadline),
              quantity_duration_text(host_link_imagined_notice_ms(plan), notice));
}

static void print_good(const Simulating *self) {
    const Cli *cli = self->cli;
    char range[RANGE_SIZE], soak[QUANTITY_TEXT_SIZE];
    cli_print(cli, "\nIf all goes well\n");
    cli_print(cli, "  prepare: %s\n",
              time_range(self, spread_of(self, SIMULATION_GOOD, prepare_time, 0), range));
    for (size_t i = 0; i < self->plan->rollout.stages.count; i++) {
        const PlanStage *stage = &self->plan->rollout.stages.items[i];
        cli_print(cli, "  stage %s: %s — hosts: %zu, batches: %zu, each watched for %s\n", stage->name,
                  time_range(self, spread_of(self, SIMULATION_GOOD, stage_time, i), range),
                  stage_hosts(self, i), self->results[SIMULATION_GOOD][0].stages[i].batches,
                  quantity_duration_text(stage->soak_ms, soak));
    }
    cli_print(cli, "  commit: %s\n",
              time_range(self, spread_of(self, SIMULATION_GOOD, commit_time, 0), range));
    cli_print(cli, "  in all: %s\n",
              time_range(self, spread_of(self, SIMULATION_GOOD, whole_time, 0), range));
}

static const struct {
    SimulationCase happens;
    const char *key, *text;
} bad_cases[] = {
    {SIMULATION_BAD_AT_ONCE, "from_start", TEXT("from the start")},
    {SIMULATION_BAD_LATER, "later", TEXT("after a while, a few moments into the soak")},
    {SIMULATION_BAD_HOST, "one_host", TEXT("on one host only")},
};
enum { BAD_CASES = sizeof bad_cases / sizeof *bad_cases };

static void print_stop(const Simulating *self, SimulationCase happened) {
    const Cli *cli = self->cli;
    char after[RANGE_SIZE], service[RANGE_SIZE], count[RANGE_SIZE];
    bool same;
    const SimulationResult *typical = typical_stop(self, happened, &same);
    if (unnoticed(self, happened))
        cli_print(cli, "    not noticed in %zu of %zu rollouts: they ended first\n",
                  unnoticed(self, happened), self->seeds);
    if (tolerated(self, happened))
        cli_print(cli, "    left out and put back in %zu of %zu rollouts: the others went on (max_failed)\n",
                  tolerated(self, happened), self->seeds);
    if (!typical) return;
    cli_print(cli,
              same ? "    stops at %s (stage %s) after %s, %s after the first switch\n"
                   : "    stops for example at %s (stage %s) after %s, %s after the first switch\n",
              typical->stop_host ? typical->stop_host : "—", typical->stop_stage ? typical->stop_stage : "—",
              time_range(self, spread_of(self, happened, stop_time, 0), after),
              time_range(self, spread_of(self, happened, time_in_service, 0), service));
    cli_print(cli, "    hosts touched: %s of %zu\n",
              count_range(self, spread_of(self, happened, touched_hosts, 0), count), self->plan->hosts.count);
    if (typical->outcome == OUTCOME_NONE)
        cli_print(cli, "    they stay as they are until a person decides (on_failure: hold)\n");
    else
        cli_print(cli, "    all that go back are back after another %s\n",
                  time_range(self, spread_of(self, happened, back_time, 0), after));
    if (typical->left > 0 && typical->outcome != OUTCOME_NONE)
        cli_print(cli, "    left on the new version, for a person: %s\n",
                  count_range(self, spread_of(self, happened, left_hosts, 0), count));
}

/* ---- for programs */

static json_t *spread_json(Spread spread) {
    if (spread.median < 0) return json_null();
    return json_pack("{s:I, s:I, s:I}", "least", (json_int_t)spread.least, "median",
                     (json_int_t)spread.median, "most", (json_int_t)spread.most);
}

static void print_row(json_t *row) {
    FREE_AUTO char *text = json_text(row);
    printf("%s\n", text);
    json_decref(row);
}

static void write_good(const Simulating *self) {
    json_t *row = json_object(), *stages = json_array(), *assumed = json_object();
    json_set_text(row, "type", "simulation.good");
    json_set_text(row, "service", self->plan->service.name);
    json_set_integer(row, "hosts", (int64_t)self->plan->hosts.count);
    json_set_integer(row, "seeds", (int64_t)self->seeds);
    json_set_integer(assumed, "prepare_ms", self->prepare_ms);
    json_set_integer(assumed, "switch_ms", self->switch_ms);
    json_set_integer(assumed, "healthy_ms", host_link_imagined_healthy_ms(self->plan));
    json_set_integer(assumed, "deadline_ms", host_link_imagined_deadline_ms(self->plan));
    json_set_integer(assumed, "notice_ms", host_link_imagined_notice_ms(self->plan));
    json_object_set_new(row, "assumed", assumed);
    for (size_t i = 0; i < self->plan->rollout.stages.count; i++) {
        json_t *stage = json_object();
        json_set_text(stage, "stage", self->plan->rollout.stages.items[i].name);
        json_set_integer(stage, "hosts", (int64_t)stage_hosts(self, i));
        json_set_integer(stage, "batches", (int64_t)self->results[SIMULATION_GOOD][0].stages[i].batches);
        json_set_integer(stage, "soak_ms", self->plan->rollout.stages.items[i].soak_ms);
        json_object_set_new(stage, "duration_ms",
                            spread_json(spread_of(self, SIMULATION_GOOD, stage_time, i)));
        json_array_append_new(stages, stage);
    }
    json_object_set_new(row, "stages", stages);
    json_object_set_new(row, "prepare_ms", spread_json(spread_of(self, SIMULATION_GOOD, prepare_time, 0)));
    json_object_set_new(row, "commit_ms", spread_json(spread_of(self, SIMULATION_GOOD, commit_time, 0)));
    json_object_set_new(row, "duration_ms", spread_json(spread_of(self, SIMULATION_GOOD, whole_time, 0)));
    print_row(row);
}

static void write_bad(const Simulating *self, size_t index) {
    SimulationCase happened = bad_cases[index].happens;
    bool same;
    const SimulationResult *typical = typical_stop(self, happened, &same);
    json_t *row = json_object();
    json_set_text(row, "type", "simulation.bad");
    json_set_text(row, "bad", bad_cases[index].key);
    json_set_integer(row, "unnoticed", (int64_t)unnoticed(self, happened));
    json_set_integer(row, "left_out", (int64_t)tolerated(self, happened));
    json_set_text(row, "host", typical ? typical->stop_host : NULL);
    json_set_text(row, "stage", typical ? typical->stop_stage : NULL);
    json_set_text(row, "outcome",
                  !typical                           ? NULL
                  : typical->outcome == OUTCOME_NONE ? "held"
                                                     : rollout_outcome_text(typical->outcome));
    json_object_set_new(row, "stopped_ms", spread_json(spread_of(self, happened, stop_time, 0)));
    json_object_set_new(row, "after_first_switch_ms",
                        spread_json(spread_of(self, happened, time_in_service, 0)));
    json_object_set_new(row, "touched", spread_json(spread_of(self, happened, touched_hosts, 0)));
    json_object_set_new(row, "left", spread_json(spread_of(self, happened, left_hosts, 0)));
    json_object_set_new(row, "back_ms", spread_json(spread_of(self, happened, back_time, 0)));
    print_row(row);
}

/* ---- the verb */

static int read_number(const Arguments *arguments, const char *name, size_t fallback, size_t most,
                       size_t *out, Error *error) {
    const char *text = arguments_get(arguments, name, NULL);
    char *end = NULL;
    errno = 0;
    unsigned long number = text ? strtoul(text, &end, 10) : fallback;
    if (text && (errno || *end || *text < '0' || *text > '9' || number < 1 || number > most))
        return error_set(error, ERROR_INVALID, "--%s must be a number from 1 to %zu, not %s", name, most,
                         text);
    *out = number;
    return 0;
}

static int read_duration(const Arguments *arguments, const char *name, const char *fallback, int64_t *out,
                         Error *error) {
    const char *text = arguments_get(arguments, name, fallback);
    if (quantity_duration_parse(text, out) == 0) return 0;
    return error_set(error, ERROR_INVALID, "--%s must be a duration such as 30s or 5m, not %s", name, text);
}

static int read_plan(Simulating *self, const char *file, Plan **out, Error *error) {
    if (self->cli->server) return plan_remote_compile(self->cli, self->arena, file, out, error);
    return session_plan_only(self->arena, file, out, error);
}

static int prepare(Simulating *self, const Arguments *arguments, Error *error) {
    Plan *plan = NULL;
    size_t hosts = 0;
    if (read_number(arguments, "seeds", 5, SEEDS_MAX, &self->seeds, error) < 0 ||
        read_number(arguments, "hosts", 0, HOSTS_MAX, &hosts, error) < 0 ||
        read_duration(arguments, "prepare", "2m", &self->prepare_ms, error) < 0 ||
        read_duration(arguments, "switch", "10s", &self->switch_ms, error) < 0 ||
        read_plan(self, arguments->positional[0], &plan, error) < 0)
        return -1;
    if (hosts && plan_with_hosts(self->arena, plan, hosts, &plan, error) < 0)
        return error_prefix(error, "%s with %zu hosts", arguments->positional[0], hosts);
    self->plan = plan;
    return 0;
}

/* One rollout. Those that go through all hosts begin first, so that no processor is left with one at the end.
 */
static int simulate_one(size_t index, unsigned worker, void *context, Error *error) {
    static const SimulationCase order[SIMULATION_CASES] = {SIMULATION_BAD_HOST, SIMULATION_GOOD,
                                                           SIMULATION_BAD_AT_ONCE, SIMULATION_BAD_LATER};
    Simulating *self = context;
    SimulationCase happens = order[index / self->seeds];
    size_t seed = index % self->seeds;
    SimulationSpec spec = {.plan = self->plan,
                           .happens = happens,
                           .seed = seed + 1,
                           .prepare_ms = self->prepare_ms,
                           .switch_ms = self->switch_ms};
    return simulation_run(self->arenas[worker], &spec, &self->results[happens][seed], error);
}

static int simulate(Simulating *self, Error *error) {
    for (int i = 0; i < SIMULATION_CASES; i++)
        self->results[i] = ARENA_ARRAY(self->arena, self->seeds, SimulationResult);
    return parallel_for(SIMULATION_CASES * self->seeds, self->workers, simulate_one, self, error);
}

/* A plan whose own deadlines undo it is worth more than a number. */
static int check_good(const Simulating *self, Error *error) {
    for (size_t i = 0; i < self->seeds; i++) {
        const SimulationResult *result = &self->results[SIMULATION_GOOD][i];
        if (result->outcome == OUTCOME_SUCCEEDED && result->left_out == 0) continue;
        bool chinese = self->cli->language == LANGUAGE_ZH && !self->cli->json, out = result->out_host != NULL;
        const char *host = out ? result->out_host : result->stop_host;
        const char *why = chinese ? (out ? result->out_why_zh : result->stop_why_zh)
                                  : (out ? result->out_why : result->stop_why);
        error_set(error, ERROR_REFUSED, "even a good version would not get through: %s: %s", host ? host : "",
                  why ? why : "");
        return error_hint(error, "smaller batches, a higher rollout.max_unavailable or a later "
                                 "rollout.confirm_deadline may help");
    }
    return 0;
}

static void say(const Simulating *self) {
    const Cli *cli = self->cli;
    if (cli->json) {
        write_good(self);
        for (size_t i = 0; i < BAD_CASES; i++) write_bad(self, i);
        return;
    }
    print_assumed(self);
    print_good(self);
    cli_print(cli, "\nIf the new version were bad\n");
    for (size_t i = 0; i < BAD_CASES; i++) {
        cli_print(cli, "  %s\n", cli_text(cli, bad_cases[i].text));
        print_stop(self, bad_cases[i].happens);
    }
}

static int run_simulate(Cli *cli, const Arguments *arguments) {
    ARENA_AUTO arena = arena_new();
    Simulating self = {.cli = cli, .arena = arena, .workers = parallel_workers()};
    Error error = {0};
    if (prepare(&self, arguments, &error) < 0) return cli_fail(cli, &error);
    for (unsigned i = 0; i < self.workers; i++) self.arenas[i] = arena_new();
    int result = simulate(&self, &error);
    if (result == 0) {
        say(&self);
        result = check_good(&self, &error);
    }
    for (unsigned i = 0; i < self.workers; i++) arena_free(self.arenas[i]);
    return result < 0 ? cli_fail(cli, &error) : cli_result(cli, NULL, "succeeded", 0, NULL);
}

static const Option simulate_options[] = {
    {"seeds", 0, "N", TEXT("how many times each case is imagined (default: 5)"), false},
    {"hosts", 0, "N", TEXT("imagine so many hosts instead of the plan's: its first ones, or copies of them"),
     false},
    {"prepare", 0, "DURATION", TEXT("how long preparing a host takes (default: 2m)"), false},
    {"switch", 0, "DURATION",
     TEXT("how long stopping, switching and starting the service takes (default: 10s)"), false},
    {0},
};

const CliVerb cli_verbs_simulate[] = {
    {"simulate", "PLAN", TEXT("how long a plan would take, and where it would stop a bad version"),
     TEXT("Carries the plan out on imagined hosts under a false clock, with the engine of “run”: once with a "
          "good version, once with one that never becomes healthy, once with one that becomes bad after a "
          "while, and once with one that is bad on one host only. The package need not be there, and nothing "
          "is touched. Exit status 3 when even a good version would not get through."),
     "upkeep simulate node-red.yaml --hosts 200 --prepare 5m", simulate_options, 1, 1, run_simulate, true},
    {0},
};
