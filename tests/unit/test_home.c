#include "agent/home.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "support/sample.h"
#include <errno.h>

static Home *open_home(const TestFolder *folder, bool running) {
    char path[128];
    Home *home = NULL;
    snprintf(path, sizeof path, "%s/home", folder->path);
    assert_done(home_open(path, running, &home, error));
    return home;
}

static void test_a_home_is_made_for_its_owner_alone(void **state) {
    const TestFolder *folder = *state;
    struct stat status;
    HOME_AUTO home = open_home(folder, false);
    assert_non_null(home);
    assert_int_equal(fstatat(folder->fd, "home", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
}

static void test_a_home_that_others_may_write_is_refused(void **state) {
    const TestFolder *folder = *state;
    char path[128];
    Home *home = NULL;
    assert_int_equal(mkdirat(folder->fd, "home", 0755), 0);
    assert_int_equal(fchmodat(folder->fd, "home", 0777, 0), 0);
    snprintf(path, sizeof path, "%s/home", folder->path);
    assert_refused(home_open(path, false, &home, error), ERROR_REFUSED, path);
    assert_null(home);
}

static void test_one_agent_runs_in_a_home(void **state) {
    const TestFolder *folder = *state;
    char path[128];
    Home *second = NULL;
    Home *first = open_home(folder, true);
    snprintf(path, sizeof path, "%s/home", folder->path);
    assert_refused(home_open(path, true, &second, error), ERROR_REFUSED, "another agent runs");
    home_close(open_home(folder, false)); /* looking is allowed */
    home_close(first);
    home_close(open_home(folder, true));
}

static void test_the_controller_is_remembered(void **state) {
    HOME_AUTO home = open_home(*state, false);
    ARENA_AUTO arena = arena_new();
    const char *url = NULL;
    Error problem = {0};
    assert_int_equal(home_controller(home, arena, &url, &problem), -1);
    assert_int_equal(problem.number, ENOENT);
    assert_done(home_set_controller(home, "https://a:1", error));
    assert_done(home_set_controller(home, "https://b:2", error));
    assert_done(home_controller(home, arena, &url, error));
    assert_string_equal(url, "https://b:2");
}

static void test_a_damaged_memory_is_an_error(void **state) {
    const TestFolder *folder = *state;
    HOME_AUTO home = open_home(folder, false);
    ARENA_AUTO arena = arena_new();
    const char *url = NULL;
    sample_text(folder->fd, "home/agent.json", "{\"controller\": 7}");
    assert_refused(home_controller(home, arena, &url, error), ERROR_INVALID, "names no controller");
    sample_text(folder->fd, "home/agent.json", "{");
    assert_refused(home_controller(home, arena, &url, error), ERROR_INVALID, "JSON");
}

static void test_names_that_lead_elsewhere_are_no_changes(void **state) {
    static const char *const names[] = {"", ".", "..", "../x", "a/b", "/etc", "-x", "a b", "a\n", "é", NULL};
    const TestFolder *folder = *state;
    HOME_AUTO home = open_home(folder, false);
    JSON_AUTO document = json_object();
    for (size_t i = 0; names[i]; i++) {
        int dir = -1;
        if (home_is_change_name(names[i])) fail_msg("taken: “%s”", names[i]);
        assert_refused(home_change_dir(home, names[i], &dir, error), ERROR_INVALID, "no name of a change");
        assert_refused(home_document_save(home, names[i], document, error), ERROR_INVALID, "no name");
        assert_done(home_forget_change(home, names[i], error));
    }
    assert_false(home_is_change_name(NULL));
    assert_true(home_is_change_name("CHG-2026-0001"));
}

static void test_documents_are_kept_by_change(void **state) {
    HOME_AUTO home = open_home(*state, false);
    ARENA_AUTO arena = arena_new();
    JSON_AUTO one = json_pack("{s:i}", "n", 1);
    JSON_AUTO two = json_pack("{s:i}", "n", 2);
    JSON_AUTO found = NULL;
    StringList changes;
    assert_done(home_changes(home, arena, &changes, error));
    assert_int_equal(changes.count, 0);
    assert_done(home_document_save(home, "CHG-2", two, error));
    assert_done(home_document_save(home, "CHG-1", two, error));
    assert_done(home_document_save(home, "CHG-1", one, error));
    assert_done(home_changes(home, arena, &changes, error));
    assert_int_equal(changes.count, 2);
    assert_string_equal(changes.items[0], "CHG-1");
    assert_done(home_document_load(home, "CHG-1", &found, error));
    assert_true(json_equal(found, one));
}

static void test_a_forgotten_change_is_gone(void **state) {
    HOME_AUTO home = open_home(*state, false);
    ARENA_AUTO arena = arena_new();
    JSON_AUTO document = json_object();
    json_t *found = NULL;
    StringList changes;
    Error problem = {0};
    assert_done(home_document_save(home, "CHG-1", document, error));
    assert_done(home_forget_change(home, "CHG-1", error));
    assert_done(home_forget_change(home, "CHG-1", error));
    assert_done(home_changes(home, arena, &changes, error));
    assert_int_equal(changes.count, 0);
    assert_int_equal(home_document_load(home, "CHG-1", &found, &problem), -1);
    assert_int_equal(problem.number, ENOENT);
}

static void test_a_link_in_place_of_a_change_leads_nowhere(void **state) {
    const TestFolder *folder = *state;
    HOME_AUTO home = open_home(folder, false);
    JSON_AUTO document = json_object();
    Error problem = {0};
    assert_int_equal(mkdirat(folder->fd, "elsewhere", 0755), 0);
    assert_int_equal(mkdirat(folder->fd, "home/changes", 0700), 0);
    assert_int_equal(symlinkat("../../elsewhere", folder->fd, "home/changes/CHG-1"), 0);
    assert_int_equal(home_document_save(home, "CHG-1", document, &problem), -1);
    assert_done(home_forget_change(home, "CHG-1", error));
    assert_int_equal(faccessat(folder->fd, "elsewhere", F_OK, 0), 0);
    assert_true(faccessat(folder->fd, "elsewhere/change.json", F_OK, 0) != 0);
}

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C64 "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static void test_packages_that_nobody_needs_go(void **state) {
    const TestFolder *folder = *state;
    HOME_AUTO home = open_home(folder, false);
    FD_AUTO dir = -1;
    const char *needed[] = {A64, B64};
    StringList list = {needed, 2};
    assert_done(home_tidy_packages(home, &list, error));
    assert_done(home_packages_dir(home, &dir, error));
    sample_text(dir, A64, "needed");
    sample_text(dir, B64 ".part", "coming");
    sample_text(dir, C64, "old");
    sample_text(dir, C64 ".part", "old");
    assert_done(home_tidy_packages(home, &list, error));
    assert_int_equal(faccessat(dir, A64, F_OK, 0), 0);
    assert_int_equal(faccessat(dir, B64 ".part", F_OK, 0), 0);
    assert_true(faccessat(dir, C64, F_OK, 0) != 0);
    assert_true(faccessat(dir, C64 ".part", F_OK, 0) != 0);
}

static void test_paths_are_absolute(void **state) {
    const TestFolder *folder = *state;
    HOME_AUTO home = open_home(folder, false);
    ARENA_AUTO arena = arena_new();
    char expected[256];
    snprintf(expected, sizeof expected, "%s/home/packages/%s", folder->path, A64);
    assert_string_equal(home_package_path(home, arena, A64), expected);
    snprintf(expected, sizeof expected, "%s/home/trust", folder->path);
    assert_string_equal(home_path(home, arena, "trust"), expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_home_is_made_for_its_owner_alone),
        test_in_folder(test_a_home_that_others_may_write_is_refused),
        test_in_folder(test_one_agent_runs_in_a_home),
        test_in_folder(test_the_controller_is_remembered),
        test_in_folder(test_a_damaged_memory_is_an_error),
        test_in_folder(test_names_that_lead_elsewhere_are_no_changes),
        test_in_folder(test_documents_are_kept_by_change),
        test_in_folder(test_a_forgotten_change_is_gone),
        test_in_folder(test_a_link_in_place_of_a_change_leads_nowhere),
        test_in_folder(test_packages_that_nobody_needs_go),
        test_in_folder(test_paths_are_absolute),
    };
    return cmocka_run_group_tests_name("home", tests, NULL, NULL);
}
