#include "package/content.h"
#include "support/sample.h"

static void add(Tree *tree, const char *path, uint64_t size, char content) {
    TreeEntry *entry = tree_add(tree);
    *entry = (TreeEntry){.path = path, .type = TREE_FILE, .size = size, .digest = digest_of(&content, 1)};
}

static void test_each_content_stands_once_where_it_is_first_needed(void **state) {
    (void)state;
    TREE_AUTO tree = tree_new();
    add(tree, "a", 10, 'x');
    add(tree, "b", 0, '0');
    add(tree, "c", 20, 'y');
    add(tree, "d", 10, 'x');
    add(tree, "e", 5, 'a');
    add(tree, "f", 10, 'x');
    CONTENT_AUTO content = NULL;
    assert_done(content_new(tree, &content, error));
    assert_int_equal(content->size, 35);
    assert_int_equal(content->count, 3);
    static const ContentPiece expected[] = {{0, 10, 0}, {10, 20, 2}, {30, 5, 4}};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(content->pieces[i].offset, expected[i].offset);
        assert_int_equal(content->pieces[i].size, expected[i].size);
        assert_int_equal(content->pieces[i].entry, expected[i].entry);
    }
    static const uint32_t next[] = {3, CONTENT_NONE, CONTENT_NONE, 5, CONTENT_NONE, CONTENT_NONE};
    for (size_t i = 0; i < 6; i++) assert_int_equal(content->next[i], next[i]);
    static const size_t piece_at[] = {0, 0, 1, 1, 2, 2};
    static const uint64_t offsets[] = {0, 9, 10, 29, 30, 34};
    for (size_t i = 0; i < 6; i++) assert_int_equal(content_piece_at(content, offsets[i]), piece_at[i]);
}

static void test_an_empty_tree_has_no_content(void **state) {
    (void)state;
    TREE_AUTO tree = tree_new();
    add(tree, "a", 0, '0');
    CONTENT_AUTO content = NULL;
    assert_done(content_new(tree, &content, error));
    assert_int_equal(content->size, 0);
    assert_int_equal(content->count, 0);
    assert_int_equal(content_frame_count(0), 0);
}

static void test_refuses_one_digest_of_two_sizes(void **state) {
    (void)state;
    TREE_AUTO tree = tree_new();
    add(tree, "a", 10, 'x');
    add(tree, "b", 11, 'x');
    Content *none = NULL;
    assert_refused(content_new(tree, &none, error), ERROR_INVALID, "one content and two sizes");
}

static void test_frames_cover_the_content(void **state) {
    (void)state;
    static const struct {
        uint64_t size, count;
        uint32_t last;
    } cases[] = {{1, 1, 1},
                 {FRAME_SIZE - 1, 1, FRAME_SIZE - 1},
                 {FRAME_SIZE, 1, FRAME_SIZE},
                 {(uint64_t)FRAME_SIZE + 1, 2, 1},
                 {(uint64_t)1 << 40, 262144, FRAME_SIZE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(content_frame_count(cases[i].size), cases[i].count);
        assert_int_equal(content_frame_size(cases[i].size, cases[i].count - 1), cases[i].last);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_content_stands_once_where_it_is_first_needed),
        cmocka_unit_test(test_an_empty_tree_has_no_content),
        cmocka_unit_test(test_refuses_one_digest_of_two_sizes),
        cmocka_unit_test(test_frames_cover_the_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
