#include "host/restore_point/scope.h"
#include "support/sample.h"

#define SCOPE(...)                                                                                           \
    ((Scope){(const char *const[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)})

static const TreeScan plain = {.stamps = true};

static Tree *scan(int dir, Scope scope, bool above) {
    Tree *tree = NULL;
    assert_done(scope_scan(dir, &scope, &plain, above, &tree, error));
    return tree;
}

static void test_covers_its_paths_and_what_is_below(void **state) {
    (void)state;
    Scope scope = SCOPE("shared/data", "config");
    assert_true(scope_covers(&scope, "shared/data"));
    assert_true(scope_covers(&scope, "shared/data/x/y"));
    assert_true(scope_covers(&scope, "config"));
    assert_false(scope_covers(&scope, "shared"));
    assert_false(scope_covers(&scope, "shared/data2"));
    assert_false(scope_covers(&scope, "configuration"));
    assert_false(scope_covers(&(Scope){0}, "x"));
}

static void test_refuses_paths_that_are_not_plain(void **state) {
    (void)state;
    assert_done(scope_check(&SCOPE("a/b", "a/c", "..d", "e/.f"), error));
    assert_refused(scope_check(&SCOPE("/a"), error), ERROR_INVALID, "/a");
    assert_refused(scope_check(&SCOPE("a/"), error), ERROR_INVALID, "a/");
    assert_refused(scope_check(&SCOPE("a/../b"), error), ERROR_INVALID, "a/../b");
    assert_refused(scope_check(&SCOPE("."), error), ERROR_INVALID, ".");
    assert_refused(scope_check(&SCOPE(""), error), ERROR_INVALID, "");
    assert_refused(scope_check(&SCOPE("a", "a/b"), error), ERROR_INVALID, "named twice");
    assert_refused(scope_check(&SCOPE("a", "a"), error), ERROR_INVALID, "named twice");
}

static void test_scans_several_paths_into_one_sorted_tree(void **state) {
    TestFolder *folder = *state;
    sample_make(folder->fd);
    TREE_AUTO tree = scan(folder->fd, SCOPE("lib/deep", "lib-a", "missing", "bin"), false);
    assert_non_null(tree_find(tree, "lib/deep/a.txt"));
    assert_non_null(tree_find(tree, "lib-a"));
    assert_non_null(tree_find(tree, "bin/link"));
    assert_null(tree_find(tree, "lib"));
    assert_null(tree_find(tree, "missing"));
    for (size_t i = 1; i < tree->count; i++)
        assert_true(strcmp(tree->entries[i - 1].path, tree->entries[i].path) < 0);
}

static void test_lists_each_folder_above_once(void **state) {
    TestFolder *folder = *state;
    sample_make(folder->fd);
    TREE_AUTO tree = scan(folder->fd, SCOPE("lib/deep/a.txt", "lib/same.txt", "missing/x"), true);
    assert_int_equal(tree->count, 4);
    assert_int_equal(tree_find(tree, "lib")->type, TREE_DIRECTORY);
    assert_int_equal(tree_find(tree, "lib/deep")->mode, 0755);
}

static void test_keeps_attributes_of_every_path(void **state) {
    TestFolder *folder = *state;
    sample_make(folder->fd);
    TREE_AUTO tree = scan(folder->fd, SCOPE("bin", "lib/same.txt"), false);
    const TreeEntry *entry = tree_find(tree, "lib/same.txt");
    assert_int_equal(entry->xattr_count, 1);
    assert_string_equal(entry->xattrs[0].name, "user.note");
    assert_int_equal(entry->xattrs[0].size, 3);
}

static void test_refuses_a_path_that_is_a_link_and_no_link_below_one(void **state) {
    TestFolder *folder = *state;
    sample_make(folder->fd);
    Scope links = SCOPE("bin", "dangling"), folders = SCOPE("bin");
    TREE_AUTO tree = scan(folder->fd, links, false);
    assert_refused(scope_refuse_links(&links, tree, error), ERROR_INVALID, "dangling");
    assert_done(scope_refuse_links(&folders, tree, error));
}

static void test_stands_on_one_device_and_syncs(void **state) {
    TestFolder *folder = *state;
    sample_make(folder->fd);
    Scope scope = SCOPE("bin", "missing");
    assert_true(scope_is_one_device(folder->fd, &scope));
    assert_done(scope_sync(folder->fd, &scope, error));
    int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Scope other = SCOPE("proc");
    assert_false(scope_is_one_device(root, &other));
    close(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_covers_its_paths_and_what_is_below),
        cmocka_unit_test(test_refuses_paths_that_are_not_plain),
        test_in_folder(test_scans_several_paths_into_one_sorted_tree),
        test_in_folder(test_lists_each_folder_above_once),
        test_in_folder(test_keeps_attributes_of_every_path),
        test_in_folder(test_refuses_a_path_that_is_a_link_and_no_link_below_one),
        test_in_folder(test_stands_on_one_device_and_syncs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
