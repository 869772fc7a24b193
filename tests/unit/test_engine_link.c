/* What the engine carries to its link, and what it leaves there. */
#include "base/cleanup.h"
#include "base/json.h"
#include "engine/change.h"
#include "engine/engine.h"
#include "journal/journal_memory.h"
#include "support/sample.h"
#include "support/test.h"
#include <string.h>

static const char plan_text[] = "upkeep: 1\nservice: {name: s, root: /srv/s, run: {systemd: s.service}}\n"
                                "package: {file: none.upk, trust: [none.pub]}\nhosts: [{name: a}]\n"
                                "health: [{tcp: {address: \"127.0.0.1:1\"}}]\n";

/* A host that says one thing once it has an order; then the engine is to leave. */
typedef struct Scripted {
    HostLink link;
    const char *says;
    int submitted, said, withdrawn;
    atomic_bool leave;
} Scripted;

static int scripted_submit(HostLink *link, const char *host, const Order *order, Error *error) {
    (void)host, (void)order, (void)error;
    ((Scripted *)link)->submitted++;
    return 0;
}

static void scripted_withdraw(HostLink *link, const char *host) {
    (void)host;
    ((Scripted *)link)->withdrawn++;
}

static int scripted_receive(HostLink *link, int64_t timeout_ms, HostReport *out) {
    Scripted *self = (Scripted *)link;
    if (self->submitted == 0 || timeout_ms == 0) return 0;
    if (self->said++) {
        atomic_store(&self->leave, true);
        return 0;
    }
    char time[CLOCK_TEXT_SIZE];
    clock_to_text(clock_wall_ms(clock_system()), time);
    *out = (HostReport){.host = "a", .event = json_object()};
    json_set_text(out->event, "type", self->says);
    json_set_text(out->event, "time", time);
    return 1;
}

static Scripted scripted_host(const char *says) {
    return (Scripted){
        .link = {.submit = scripted_submit, .withdraw = scripted_withdraw, .receive = scripted_receive},
        .says = says};
}

static Rollout *carry_out(Arena *arena, Journal *journal, Scripted *scripted) {
    static const Digest package = {{0}};
    char change[CHANGE_ID_SIZE];
    Plan *plan = NULL;
    Rollout *rollout = NULL;
    EngineEnd end;
    assert_done(plan_compile(arena, "p", "/", plan_text, strlen(plan_text), &plan, error));
    ChangeOpening opening = {.plan = plan,
                             .plan_file = "p",
                             .version = "2.0",
                             .package = &package,
                             .by = "test",
                             .clock = clock_system()};
    assert_done(change_open(journal, &opening, change, error));
    assert_done(change_load(journal, arena, change, &rollout, error));
    EngineSpec spec = {.journal = journal,
                       .link = &scripted->link,
                       .clock = clock_system(),
                       .rollout = rollout,
                       .by = "test",
                       .leave = &scripted->leave};
    assert_done(engine_run(&spec, &end, error));
    return rollout;
}

/* It was heard already, and another try is under way. */
static void test_a_rollback_that_is_told_twice_takes_no_order_away(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    JOURNAL_AUTO journal = journal_memory_new();
    Scripted scripted = scripted_host("host.rolled_back");
    const Rollout *rollout = carry_out(arena, journal, &scripted);
    assert_true(rollout->hosts[0].order_open);
    assert_int_equal(scripted.withdrawn, 0);
}

static void test_what_is_lost_has_its_order_withdrawn(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    JOURNAL_AUTO journal = journal_memory_new();
    Scripted scripted = scripted_host("host.silent");
    const Rollout *rollout = carry_out(arena, journal, &scripted);
    assert_false(rollout->hosts[0].order_open);
    assert_int_equal(scripted.withdrawn, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rollback_that_is_told_twice_takes_no_order_away),
        cmocka_unit_test(test_what_is_lost_has_its_order_withdrawn),
    };
    return cmocka_run_group_tests_name("engine_link", tests, NULL, NULL);
}
