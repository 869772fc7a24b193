/* Any bytes as a plan: refused, or compiled into a document that reads back to the very same one, for the
 * whole plan and for each host. */
#include "base/cleanup.h"
#include "base/json.h"
#include "model/plan.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(Arena *arena, const Plan *plan) {
    JSON_AUTO json = plan_to_json(plan);
    Plan *again = NULL;
    Error error = {0};
    if (plan_from_json(arena, json, &again, &error) < 0) __builtin_trap();
    JSON_AUTO json_again = plan_to_json(again);
    Digest first = json_digest(json), second = json_digest(json_again);
    assert(digest_equal(&first, &second));
}

/* A plan whose hosts are still open travels as well. */
static void check_open(Arena *arena, const uint8_t *data, size_t size) {
    Plan *plan = NULL, *again = NULL;
    if (plan_read(arena, "f", "/plans", (const char *)data, size, &plan, NULL) < 0) return;
    JSON_AUTO json = plan_to_json(plan);
    if (plan_read_json(arena, json, &again, NULL) < 0) __builtin_trap();
    JSON_AUTO json_again = plan_to_json(again);
    assert(json_equal(json, json_again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ARENA_AUTO arena = arena_new();
    check_open(arena, data, size);
    Plan *plan = NULL;
    Error error = {0};
    if (plan_compile(arena, "f", "/plans", (const char *)data, size, &plan, &error) < 0) {
        assert(!plan && error.kind == ERROR_INVALID);
        return 0;
    }
    check_round_trip(arena, plan);
    size_t *stages = ARENA_ARRAY(arena, plan->hosts.count, size_t);
    int staged = plan_stages(plan, stages, NULL);
    for (size_t i = 0; i < plan->hosts.count && i < 20; i++) {
        assert(staged < 0 || stages[i] < plan->rollout.stages.count);
        Plan *own = NULL;
        if (plan_for_host(arena, plan, plan->hosts.items[i].name, "1.2.3", &own, NULL) == 0)
            assert(own->hosts.count == 1);
    }
    return 0;
}
