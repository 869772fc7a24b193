#include "base/cleanup.h"
#include "base/file.h"
#include "host/parts.h"
#include "host/release.h"
#include "support/test.h"
#include <string.h>
#include <sys/stat.h>

static const char plan_text[] =
    "upkeep: 1\n"
    "service: {name: s, root: /srv/s, run: {systemd: s.service}, config: [c], data: [d, e]}\n"
    "package: {file: s.upk, trust: [a.pub]}\n"
    "hosts: [{name: a}]\n"
    "health: [{tcp: {address: \"h:1\"}}]\n";

static Plan *plan(Arena *arena) {
    Plan *compiled = NULL;
    Error error = {0};
    if (plan_compile(arena, "p", "/", plan_text, strlen(plan_text), &compiled, &error) < 0)
        fail_msg("%s", error.en);
    return compiled;
}

static void write_file(int dir, const char *path, const char *text) {
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* As PREPARE does it: staged, remembered, named. */
static void install(const TestFolder *folder, const char *version, int64_t installed_ms) {
    Arena *arena = arena_new();
    TREE_AUTO tree = NULL;
    FD_AUTO dir = -1;
    Error error = {0};
    Release release = {.version = version, .installed_ms = installed_ms, .change = "C", .plan = plan(arena)};
    assert_int_equal(release_stage_begin(folder->fd, version, &dir, &error), 0);
    write_file(dir, "program", version);
    if (tree_scan(dir, NULL, &tree, &error) < 0) fail_msg("%s", error.en);
    if (release_remember(folder->fd, &release, tree, &error) < 0) fail_msg("%s", error.en);
    if (release_stage_end(folder->fd, version, &error) < 0) fail_msg("%s", error.en);
    arena_free(arena);
}

static void test_nothing_is_current_at_first(void **state) {
    const TestFolder *folder = *state;
    char version[RELEASE_VERSION_SIZE];
    assert_int_equal(release_current(folder->fd, version, NULL), 0);
    assert_string_equal(version, "");
}

static void test_activating_moves_current_in_one_step(void **state) {
    const TestFolder *folder = *state;
    char version[RELEASE_VERSION_SIZE];
    install(folder, "1.0", 1);
    install(folder, "2.0", 2);
    assert_int_equal(release_activate(folder->fd, "1.0", NULL), 0);
    assert_int_equal(release_activate(folder->fd, "2.0", NULL), 0);
    assert_int_equal(release_current(folder->fd, version, NULL), 0);
    assert_string_equal(version, "2.0");
    assert_int_equal(release_activate(folder->fd, NULL, NULL), 0);
    assert_int_equal(release_current(folder->fd, version, NULL), 0);
    assert_string_equal(version, "");
}

static void test_what_is_not_there_cannot_be_activated(void **state) {
    const TestFolder *folder = *state;
    Error error = {0};
    assert_int_equal(release_activate(folder->fd, "9.9", &error), -1);
    assert_int_equal(error.kind, ERROR_ATTENTION);
}

static void test_a_foreign_current_is_never_taken_for_ours(void **state) {
    const TestFolder *folder = *state;
    static const char *const targets[] = {"/etc",           "../x",      "releases/",
                                          "releases/1/bin", "somewhere", "released/1.0"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        char version[RELEASE_VERSION_SIZE];
        unlinkat(folder->fd, "current", 0);
        assert_int_equal(symlinkat(targets[i], folder->fd, "current"), 0);
        assert_int_equal(release_current(folder->fd, version, NULL), -1);
    }
    unlinkat(folder->fd, "current", 0);
    assert_int_equal(mkdirat(folder->fd, "current", 0755), 0);
    char version[RELEASE_VERSION_SIZE];
    assert_int_equal(release_current(folder->fd, version, NULL), -1);
}

static void test_remembers_how_it_is_run(void **state) {
    const TestFolder *folder = *state;
    Arena *arena = arena_new();
    Release release;
    Error error = {0};
    install(folder, "1.0", 7);
    if (release_load(folder->fd, "1.0", arena, &release, &error) < 0) fail_msg("%s", error.en);
    assert_string_equal(release.plan->service.run.systemd, "s.service");
    assert_int_equal(release.installed_ms, 7);
    assert_string_equal(release.change, "C");
    arena_free(arena);
}

static void test_a_record_that_others_may_write_is_not_obeyed(void **state) {
    const TestFolder *folder = *state;
    ARENA_AUTO arena = arena_new();
    Release release;
    Error error = {0};
    assert_int_equal(mkdirat(folder->fd, ".upkeep", 0777), 0);
    assert_int_equal(fchmodat(folder->fd, ".upkeep", 0777, 0), 0);
    assert_int_equal(release_load(folder->fd, "1.0", arena, &release, &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_non_null(strstr(error.en, "may be written by others"));
}

static void test_drift_is_seen_and_named(void **state) {
    const TestFolder *folder = *state;
    Arena *arena = arena_new();
    size_t differences = 9;
    const char *first = NULL;
    install(folder, "1.0", 1);
    assert_int_equal(release_drift(folder->fd, "1.0", arena, &differences, &first, NULL), 0);
    assert_int_equal(differences, 0);
    write_file(folder->fd, "releases/1.0/program", "1.x");
    write_file(folder->fd, "releases/1.0/more", "");
    assert_int_equal(release_drift(folder->fd, "1.0", arena, &differences, &first, NULL), 0);
    assert_int_equal(differences, 2);
    assert_non_null(strstr(first, "program"));
    arena_free(arena);
}

static void test_the_one_in_use_is_not_removed(void **state) {
    const TestFolder *folder = *state;
    Error error = {0};
    install(folder, "1.0", 1);
    assert_int_equal(release_activate(folder->fd, "1.0", NULL), 0);
    assert_int_equal(release_remove(folder->fd, "1.0", &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_int_equal(release_exists(folder->fd, "1.0", NULL), 1);
}

static void test_removing_takes_tree_and_record(void **state) {
    const TestFolder *folder = *state;
    Arena *arena = arena_new();
    Release release;
    install(folder, "1.0", 1);
    assert_int_equal(release_remove(folder->fd, "1.0", NULL), 0);
    assert_int_equal(release_exists(folder->fd, "1.0", NULL), 0);
    assert_int_equal(release_load(folder->fd, "1.0", arena, &release, NULL), -1);
    assert_int_equal(release_remove(folder->fd, "1.0", NULL), 0); /* again: nothing to do */
    arena_free(arena);
}

static void test_lists_the_last_installed_first(void **state) {
    const TestFolder *folder = *state;
    Arena *arena = arena_new();
    ReleaseList list;
    install(folder, "1.0", 1);
    install(folder, "3.0", 3);
    install(folder, "2.0", 2);
    assert_int_equal(release_list(folder->fd, arena, &list, NULL), 0);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.versions[0], "3.0");
    assert_string_equal(list.versions[2], "1.0");
    arena_free(arena);
}

static void test_staging_forgets_what_an_earlier_attempt_left(void **state) {
    const TestFolder *folder = *state;
    FD_AUTO dir = -1;
    FD_AUTO again = -1;
    assert_int_equal(release_stage_begin(folder->fd, "1.0", &dir, NULL), 0);
    write_file(dir, "half", "x");
    assert_int_equal(release_stage_begin(folder->fd, "1.0", &again, NULL), 0);
    assert_int_equal(faccessat(again, "half", F_OK, 0), -1);
}

static void test_parts_are_release_configuration_and_data(void **state) {
    (void)state;
    Arena *arena = arena_new();
    RestorePointPart parts[PARTS_MAX];
    Plan *compiled = plan(arena);
    assert_int_equal(parts_of_service(arena, &compiled->service, "1.0", parts), 3);
    assert_string_equal(parts[0].name, "release");
    assert_string_equal(parts[0].paths[1], "releases/1.0");
    assert_int_equal(parts[2].path_count, 2);
    assert_int_equal(parts_of_service(arena, &compiled->service, NULL, parts), 2);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_nothing_is_current_at_first),
        test_in_folder(test_activating_moves_current_in_one_step),
        test_in_folder(test_what_is_not_there_cannot_be_activated),
        test_in_folder(test_a_foreign_current_is_never_taken_for_ours),
        test_in_folder(test_remembers_how_it_is_run),
        test_in_folder(test_a_record_that_others_may_write_is_not_obeyed),
        test_in_folder(test_drift_is_seen_and_named),
        test_in_folder(test_the_one_in_use_is_not_removed),
        test_in_folder(test_removing_takes_tree_and_record),
        test_in_folder(test_lists_the_last_installed_first),
        test_in_folder(test_staging_forgets_what_an_earlier_attempt_left),
        cmocka_unit_test(test_parts_are_release_configuration_and_data),
    };
    return cmocka_run_group_tests_name("release", tests, NULL, NULL);
}
