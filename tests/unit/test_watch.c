/* A false clock, a service of three commands around the file `running`, and a probe that passes while the
 * file `healthy` stands. */
#include "base/json.h"
#include "host/watch.h"
#include "support/sample.h"
#include <string.h>

typedef struct Scene {
    Clock clock; /* first: the clock is the scene */
    int64_t now_ms;
    const TestFolder *folder;
    Arena *arena;
    Plan *plan;
    atomic_bool cancel;
    Watch *watch;
} Scene;

static int64_t scene_now_ms(Clock *clock) { return ((Scene *)clock)->now_ms; }
/* For waits: each look takes a while. */
static int64_t scene_passing_ms(Clock *clock) { return ((Scene *)clock)->now_ms += 5; }

static const char plan_text[] =
    "upkeep: 1\n"
    "service:\n"
    "  name: sample\n"
    "  root: %s\n"
    "  run: {commands: {start: [touch, running], stop: [rm, -f, running], status: [test, -e, running]}}\n"
    "  version: {command: [cat, version], regex: \"^(.+)$\"}\n"
    "package: {file: a.upk, trust: [a.pub]}\n"
    "hosts: [{name: h}]\n"
    "health:\n"
    "  - name: front\n"
    "    command: {run: [test, -e, healthy]}\n"
    "    every: 1s\n"
    "    healthy_after: 2\n"
    "    fail_after: 3\n"
    "    deadline: 10s\n";

static void touch(const Scene *scene, const char *name, const char *text) {
    int fd = openat(scene->folder->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void take_away(const Scene *scene, const char *name) {
    assert_int_equal(unlinkat(scene->folder->fd, name, 0), 0);
}

static bool stands(const Scene *scene, const char *name) {
    return faccessat(scene->folder->fd, name, F_OK, 0) == 0;
}

/* Running, and healthy. */
static void scene_open(Scene *scene, const TestFolder *folder, bool restart) {
    memset(scene, 0, sizeof *scene);
    scene->clock = (Clock){scene_now_ms, scene_now_ms};
    scene->now_ms = 1000;
    scene->folder = folder;
    scene->arena = arena_new();
    const char *text = arena_printf(scene->arena, plan_text, folder->path);
    assert_done(plan_compile(scene->arena, "p", "/", text, strlen(text), &scene->plan, error));
    touch(scene, "running", "");
    touch(scene, "healthy", "");
    WatchSpec spec = {.plan = scene->plan,
                      .version = "2.0",
                      .restart = restart,
                      .clock = &scene->clock,
                      .cancel = &scene->cancel};
    scene->watch = watch_new(&spec);
}

static void scene_close(Scene *scene) {
    watch_free(scene->watch);
    arena_free(scene->arena);
}

/* Look `count` times, a second apart. */
static void look(Scene *scene, int count) {
    for (int i = 0; i < count; i++) {
        watch_look(scene->watch);
        scene->now_ms += 1000;
    }
}

static void test_nothing_seen_is_inconclusive(void **state) {
    Scene scene;
    scene_open(&scene, *state, false);
    assert_int_equal(watch_verdict(scene.watch), VERDICT_INCONCLUSIVE);
    JSON_AUTO summary = watch_summary(scene.watch);
    assert_string_equal(json_get_text(summary, "verdict", ""), "inconclusive");
    scene_close(&scene);
}

static void test_looks_only_when_a_look_is_due(void **state) {
    Scene scene;
    scene_open(&scene, *state, false);
    assert_int_equal(watch_look(scene.watch), 1000);
    scene.now_ms += 400;
    assert_int_equal(watch_look(scene.watch), 600);
    JSON_AUTO summary = watch_summary(scene.watch);
    assert_int_equal(json_get_integer(summary, "passes", -1), 1);
    scene_close(&scene);
}

static void test_failures_in_a_row_make_it_sick(void **state) {
    Scene scene;
    scene_open(&scene, *state, false);
    take_away(&scene, "healthy");
    look(&scene, 2);
    assert_int_equal(watch_verdict(scene.watch), VERDICT_PASS);
    look(&scene, 1);
    assert_int_equal(watch_verdict(scene.watch), VERDICT_FAIL);
    scene_close(&scene);
}

static void test_a_pass_in_between_begins_the_count_anew(void **state) {
    Scene scene;
    scene_open(&scene, *state, false);
    take_away(&scene, "healthy");
    look(&scene, 2);
    touch(&scene, "healthy", "");
    look(&scene, 1);
    take_away(&scene, "healthy");
    look(&scene, 2);
    assert_int_equal(watch_verdict(scene.watch), VERDICT_PASS);
    scene_close(&scene);
}

static void test_a_dead_service_is_started_again(void **state) {
    Scene scene;
    scene_open(&scene, *state, true);
    take_away(&scene, "running");
    look(&scene, 1);
    assert_true(stands(&scene, "running"));
    JSON_AUTO summary = watch_summary(scene.watch);
    assert_int_equal(json_get_integer(summary, "deaths", 0), 1);
    scene_close(&scene);
}

static void test_deaths_end_the_watch_whatever_the_probes_say(void **state) {
    Scene scene;
    scene_open(&scene, *state, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(watch_verdict(scene.watch), i ? VERDICT_PASS : VERDICT_INCONCLUSIVE);
        take_away(&scene, "running");
        look(&scene, 1);
    }
    assert_int_equal(watch_verdict(scene.watch), VERDICT_FAIL);
    assert_false(stands(&scene, "running")); /* no more attempts */
    scene_close(&scene);
}

static void test_a_summary_tells_what_was_seen_since_the_last(void **state) {
    Scene scene;
    scene_open(&scene, *state, false);
    look(&scene, 2);
    json_decref(watch_summary(scene.watch));
    take_away(&scene, "healthy");
    look(&scene, 1);
    JSON_AUTO summary = watch_summary(scene.watch);
    assert_int_equal(json_get_integer(summary, "passes", -1), 0);
    assert_int_equal(json_get_integer(summary, "failures", -1), 1);
    assert_non_null(strstr(json_get_text(summary, "error", ""), "front"));
    assert_true(*json_get_text(summary, "error_zh", ""));
    scene_close(&scene);
}

static void note_percent(void *context, int percent) { *(int *)context = percent; }

static void test_enough_passes_and_the_right_version_are_healthy(void **state) {
    Scene scene;
    int percent = 0;
    scene_open(&scene, *state, true);
    scene.clock.steady_ms = scene_passing_ms;
    scene.plan->health.items[0].every_ms = 5;
    touch(&scene, "version", "2.0\n");
    assert_done(watch_until_healthy(scene.watch, note_percent, &percent, error));
    assert_int_equal(percent, 100);
    scene_close(&scene);
}

static void test_a_healthy_service_of_another_version_is_a_failure(void **state) {
    Scene scene;
    Error error = {0};
    scene_open(&scene, *state, true);
    scene.clock.steady_ms = scene_passing_ms;
    scene.plan->health.items[0].every_ms = 5;
    touch(&scene, "version", "1.9\n");
    assert_int_equal(watch_until_healthy(scene.watch, NULL, NULL, &error), -1);
    assert_int_equal(error.kind, ERROR_FAILED);
    assert_non_null(strstr(error.en, "1.9"));
    scene_close(&scene);
}

static void test_a_service_that_does_not_say_its_version_is_a_failure(void **state) {
    Scene scene;
    Error error = {0};
    scene_open(&scene, *state, true);
    scene.clock.steady_ms = scene_passing_ms;
    scene.plan->health.items[0].every_ms = 5;
    assert_int_equal(watch_until_healthy(scene.watch, NULL, NULL, &error), -1);
    assert_int_equal(error.kind, ERROR_FAILED);
    scene_close(&scene);
}

static void test_the_deadline_names_the_row_and_what_it_saw(void **state) {
    Scene scene;
    Error error = {0};
    scene_open(&scene, *state, true);
    scene.clock.steady_ms = scene_passing_ms;
    scene.plan->health.items[0].every_ms = 5;
    scene.plan->health.items[0].deadline_ms = 100;
    take_away(&scene, "healthy");
    assert_int_equal(watch_until_healthy(scene.watch, NULL, NULL, &error), -1);
    assert_int_equal(error.kind, ERROR_FAILED);
    assert_non_null(strstr(error.en, "front"));
    assert_non_null(strstr(error.en, "100 ms"));
    scene_close(&scene);
}

static void test_cancelling_ends_the_wait(void **state) {
    Scene scene;
    Error error = {0};
    scene_open(&scene, *state, true);
    atomic_store(&scene.cancel, true);
    assert_int_equal(watch_until_healthy(scene.watch, NULL, NULL, &error), -1);
    assert_int_equal(error.kind, ERROR_INTERRUPTED);
    scene_close(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_nothing_seen_is_inconclusive),
        test_in_folder(test_looks_only_when_a_look_is_due),
        test_in_folder(test_failures_in_a_row_make_it_sick),
        test_in_folder(test_a_pass_in_between_begins_the_count_anew),
        test_in_folder(test_a_dead_service_is_started_again),
        test_in_folder(test_deaths_end_the_watch_whatever_the_probes_say),
        test_in_folder(test_a_summary_tells_what_was_seen_since_the_last),
        test_in_folder(test_enough_passes_and_the_right_version_are_healthy),
        test_in_folder(test_a_healthy_service_of_another_version_is_a_failure),
        test_in_folder(test_a_service_that_does_not_say_its_version_is_a_failure),
        test_in_folder(test_the_deadline_names_the_row_and_what_it_saw),
        test_in_folder(test_cancelling_ends_the_wait),
    };
    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
