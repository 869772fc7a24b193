#include "base/cleanup.h"
#include "base/file.h"
#include "package/tree.h"
#include "support/sample.h"
#include <signal.h>
#include <sys/wait.h>

static Tree *scan(int dir) {
    Tree *tree = NULL;
    assert_done(tree_scan(dir, NULL, &tree, error));
    return tree;
}

static Tree *parse(const char *lines) {
    Tree *tree = tree_new();
    for (const char *at = lines; *at;) {
        size_t length = strcspn(at, "\n");
        assert_done(tree_parse_line(tree, at, length, error));
        at += length + (at[length] == '\n');
    }
    return tree;
}

/* ---- Scanning ---- */

static void test_describes_everything_a_folder_holds(void **state) {
    TestFolder *folder = *state;
    sample_make(folder->fd);
    TREE_AUTO tree = scan(folder->fd);
    assert_int_equal(tree->count, SAMPLE_ENTRIES);
    for (size_t i = 1; i < tree->count; i++)
        assert_true(strcmp(tree->entries[i - 1].path, tree->entries[i].path) < 0);
    const TreeEntry *first = tree_find(tree, "another-tool");
    assert_int_equal(first->type, TREE_FILE);
    assert_int_equal(first->mode, 04755);
    assert_string_equal(tree_find(tree, "bin/tool2")->target, "another-tool");
    assert_int_equal(tree_find(tree, "bin/tool")->type, TREE_HARDLINK);
    assert_string_equal(tree_find(tree, "bin/link")->target, "../lib/deep/a.txt");
    assert_int_equal(tree_find(tree, "empty")->mode, 0700);
    const TreeEntry *sparse = tree_find(tree, "lib/sparse");
    assert_int_equal(sparse->size, 20 << 20);
    assert_true(sparse->sparse);
    const TreeEntry *same = tree_find(tree, "lib/same.txt");
    assert_int_equal(same->xattr_count, 1);
    assert_string_equal(same->xattrs[0].name, "user.note");
    assert_memory_equal(same->xattrs[0].value, "n\0t", 3);
    Digest digest = digest_of("the same content\n", 17);
    assert_true(digest_equal(&same->digest, &digest));
    assert_non_null(tree_find(tree, SAMPLE_ODD_NAME));
    assert_null(tree_find(tree, "lib/dee"));
    assert_null(tree_find(tree, ""));
}

static void test_hashes_holes_as_the_zeros_they_stand_for(void **state) {
    TestFolder *folder = *state;
    sample_sparse(folder->fd, "sparse", 1 << 20, "x");
    uint8_t *bytes = calloc(1, 1 << 20);
    bytes[(1 << 20) - 1] = 'x';
    Digest expected = digest_of(bytes, 1 << 20);
    free(bytes);
    TREE_AUTO tree = scan(folder->fd);
    assert_true(digest_equal(&tree->entries[0].digest, &expected));
}

static void test_refuses_or_passes_over_special_files(void **state) {
    TestFolder *folder = *state;
    assert_int_equal(mkfifoat(folder->fd, "pipe", 0600), 0);
    Tree *none = NULL;
    assert_refused(tree_scan(folder->fd, NULL, &none, error), ERROR_INVALID, "pipe");
    TreeScan options = {.skip_special = true};
    TREE_AUTO tree = NULL;
    assert_done(tree_scan(folder->fd, &options, &tree, error));
    assert_int_equal(tree->count, 0);
}

static void test_refuses_links_that_leave_the_tree_unless_it_is_live(void **state) {
    TestFolder *folder = *state;
    assert_int_equal(symlinkat("/etc/passwd", folder->fd, "away"), 0);
    Tree *none = NULL;
    assert_refused(tree_scan(folder->fd, NULL, &none, error), ERROR_INVALID, "/etc/passwd");
    TreeScan options = {.foreign_links = true};
    TREE_AUTO tree = NULL;
    assert_done(tree_scan(folder->fd, &options, &tree, error));
    assert_string_equal(tree->entries[0].target, "/etc/passwd");
}

static void test_scans_one_entry_of_a_folder(void **state) {
    TestFolder *folder = *state;
    sample_make(folder->fd);
    TreeScan options = {.prefix = "lib/deep", .foreign_links = true};
    TREE_AUTO deep = NULL;
    assert_done(tree_scan(folder->fd, &options, &deep, error));
    assert_int_equal(deep->count, 2);
    assert_string_equal(deep->entries[0].path, "lib/deep");
    assert_string_equal(deep->entries[1].path, "lib/deep/a.txt");
    options.prefix = "bin/link";
    TREE_AUTO link = NULL;
    assert_done(tree_scan(folder->fd, &options, &link, error));
    assert_int_equal(link->entries[0].type, TREE_SYMLINK);
    options.prefix = "lib/nowhere/at/all";
    TREE_AUTO none = NULL;
    assert_done(tree_scan(folder->fd, &options, &none, error));
    assert_int_equal(none->count, 0);
}

/* What is taken over from the prior scan is not read: the false digest planted there survives. */
static void test_does_not_read_again_what_has_not_changed(void **state) {
    TestFolder *folder = *state;
    sample_make(folder->fd);
    TreeScan options = {.stamps = true};
    TREE_AUTO prior = NULL;
    TREE_AUTO again = NULL;
    assert_done(tree_scan(folder->fd, &options, &prior, error));
    Digest planted = digest_of("planted", 7);
    tree_find(prior, "lib/noise")->digest = planted;
    tree_find(prior, "lib/same.txt")->digest = planted;
    sample_text(folder->fd, "lib/same.txt", "new content here\n"); /* same size, same name */
    options.prior = prior;
    assert_done(tree_scan(folder->fd, &options, &again, error));
    assert_true(digest_equal(&tree_find(again, "lib/noise")->digest, &planted));
    Digest fresh = digest_of("new content here\n", 17);
    assert_true(digest_equal(&tree_find(again, "lib/same.txt")->digest, &fresh));
    assert_string_equal(tree_find(again, "bin/link")->target, "../lib/deep/a.txt");
    assert_int_equal(tree_find(again, "lib/same.txt")->xattr_count, 1);
}

static void test_leaves_files_unread_when_told_to(void **state) {
    TestFolder *folder = *state;
    sample_make(folder->fd);
    TreeScan options = {.unread = true};
    TREE_AUTO tree = NULL;
    assert_done(tree_scan(folder->fd, &options, &tree, error));
    const TreeEntry *same = tree_find(tree, "lib/same.txt");
    Digest zero = {{0}};
    assert_true(digest_equal(&same->digest, &zero));
    assert_int_equal(same->xattr_count, 1);
    assert_int_equal(same->size, 17);
}

static void test_stops_when_cancelled(void **state) {
    TestFolder *folder = *state;
    sample_make(folder->fd);
    atomic_bool cancel = true;
    TreeScan options = {.cancel = &cancel};
    Tree *none = NULL;
    assert_refused(tree_scan(folder->fd, &options, &none, error), ERROR_INTERRUPTED, "stopped");
}

/* A child writes to the file without pause. */
static void test_refuses_a_file_that_goes_on_changing(void **state) {
    TestFolder *folder = *state;
    sample_noise(folder->fd, "busy", 32 << 20, 3);
    int fd = openat(folder->fd, "busy", O_WRONLY | O_CLOEXEC);
    pid_t child = fork();
    if (child == 0)
        for (;;) (void)!pwrite(fd, "x", 1, 5);
    Tree *none = NULL;
    assert_refused(tree_scan(folder->fd, NULL, &none, error), ERROR_REFUSED, "busy changes while it is read");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(fd);
}

/* ---- Text ---- */

static void test_text_reads_back_to_the_same_tree(void **state) {
    TestFolder *folder = *state;
    sample_make(folder->fd);
    TREE_AUTO tree = scan(folder->fd);
    BUFFER_AUTO text = {0};
    for (size_t i = 0; i < tree->count; i++) {
        tree_write_line(&tree->entries[i], &text);
        buffer_append(&text, "\n", 1);
    }
    TREE_AUTO read = parse(text.data);
    assert_done(tree_finish(read, error));
    BUFFER_AUTO again = {0};
    for (size_t i = 0; i < read->count; i++) {
        tree_write_line(&read->entries[i], &again);
        buffer_append(&again, "\n", 1);
    }
    assert_string_equal(text.data, again.data);
    Digest one = tree_digest(tree), two = tree_digest(read);
    assert_true(digest_equal(&one, &two));
    assert_int_equal(read->total_size, tree->total_size);
}

static void test_text_is_what_the_header_says(void **state) {
    (void)state;
    static const char lines[] =
        "{\"mode\":\"0755\",\"owner\":\"0:0\",\"path\":\"a\",\"type\":\"directory\"}\n"
        "{\"mode\":\"4755\",\"owner\":\"1:2\",\"path\":\"a/b\",\"sha256\":"
        "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":0,\"type\":\"file\","
        "\"xattrs\":{\"user.x\":\"AAE=\"}}\n"
        "{\"path\":\"c\",\"target\":\"a/b\",\"type\":\"hardlink\"}\n"
        "{\"owner\":\"0:4294967294\",\"path_base64\":\"/w==\",\"target\":\"a\",\"type\":\"symlink\"}\n";
    TREE_AUTO tree = parse(lines);
    assert_done(tree_finish(tree, error));
    BUFFER_AUTO again = {0};
    for (size_t i = 0; i < tree->count; i++) {
        tree_write_line(&tree->entries[i], &again);
        buffer_append(&again, "\n", 1);
    }
    assert_string_equal(again.data, lines);
    Digest digest = digest_of(lines, sizeof lines - 1), said = tree_digest(tree);
    assert_true(digest_equal(&digest, &said));
}

#define FILE_REST                                                                                            \
    "\"mode\":\"0644\",\"owner\":\"0:0\",\"sha256\":"                                                        \
    "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":0,\"type\":\"file\"}"
#define LINK_REST "\"owner\":\"0:0\",\"type\":\"symlink\"}"

static void refuse_line(const char *line) {
    TREE_AUTO tree = tree_new();
    Error error = {0};
    if (tree_parse_line(tree, line, strlen(line), &error) == 0) fail_msg("accepts %s", line);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_int_equal(tree->count, 0);
}

static void test_refuses_paths_that_are_not_inside(void **state) {
    (void)state;
    static const char *const paths[] = {"",    "/etc/x", "../x", "a/../x", "a/..", "..", ".",
                                        "./x", "a/./x",  "a//x", "a/",     "/",    "//", "a/b/../../../x"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char line[512];
        snprintf(line, sizeof line, "{\"path\":\"%s\"," FILE_REST, paths[i]);
        refuse_line(line);
    }
    refuse_line("{\"path\":\"a\\u0000b\"," FILE_REST);
    refuse_line("{\"path_base64\":\"YQBi\"," FILE_REST); /* a NUL inside */
    refuse_line("{\"path_base64\":\"Li4veA==\"," FILE_REST);
    refuse_line("{\"path\":\"a\",\"path_base64\":\"YQ==\"," FILE_REST);
    static char line[8192];
    memset(line, 'a', sizeof line);
    memcpy(line, "{\"path\":\"", 9);
    memcpy(line + 9 + 256, "\"," FILE_REST, sizeof "\"," FILE_REST); /* one part of 256 bytes */
    refuse_line(line);
    memset(line + 9, 'a', 6000);
    for (size_t i = 9 + 100; i < 9 + 4096; i += 101) line[i] = '/';
    memcpy(line + 9 + 4096, "\"," FILE_REST, sizeof "\"," FILE_REST); /* 4,096 bytes in all */
    refuse_line(line);
}

static void test_refuses_entries_that_are_not_whole(void **state) {
    (void)state;
    static const char *const lines[] = {
        "",
        "[]",
        "nonsense",
        "{}",
        "{\"path\":\"a\"}",
        "{\"path\":\"a\"," LINK_REST,                                    /* no target */
        "{\"path\":\"a\",\"target\":\"\"," LINK_REST,                    /* an empty one */
        "{\"path\":\"a\",\"target\":\"b\"," FILE_REST,                   /* of a file */
        "{\"path\":\"a\",\"mode\":\"0644\",\"target\":\"b\"," LINK_REST, /* a mode of a link */
        "{\"path\":\"a\",\"unknown\":1," FILE_REST,                      /* unknown key */
        "{\"path\":\"a\",\"path\":\"b\"," FILE_REST,                     /* twice */
        "{\"path\":\"a\",\"sparse\":false," FILE_REST,                   /* said in one way only */
        "{\"path\":\"a\",\"xattrs\":{}," FILE_REST,
        "{\"path\":\"a\",\"xattrs\":{\"trusted.x\":\"\"}," FILE_REST,
        "{\"path\":\"a\",\"xattrs\":{\"user.\":\"\"}," FILE_REST,
        "{\"path\":\"a\",\"xattrs\":{\"user.x\":\"A\"}," FILE_REST,
        "{\"path\":\"a\",\"type\":\"hardlink\"}",
        "{\"mode\":\"0644\",\"owner\":\"0:0\",\"path\":\"a\",\"type\":\"device\"}",
        "{\"mode\":\"0644\",\"owner\":\"0:0\",\"path\":\"a\",\"type\":\"special\"}",
        "{\"mode\":\"644\",\"owner\":\"0:0\",\"path\":\"a\",\"type\":\"directory\"}",
        "{\"mode\":\"0844\",\"owner\":\"0:0\",\"path\":\"a\",\"type\":\"directory\"}",
        "{\"mode\":\"10644\",\"owner\":\"0:0\",\"path\":\"a\",\"type\":\"directory\"}",
        "{\"mode\":\"0644\",\"owner\":\"0\",\"path\":\"a\",\"type\":\"directory\"}",
        "{\"mode\":\"0644\",\"owner\":\"0:0 \",\"path\":\"a\",\"type\":\"directory\"}",
        "{\"mode\":\"0644\",\"owner\":\"-1:0\",\"path\":\"a\",\"type\":\"directory\"}",
        "{\"mode\":\"0644\",\"owner\":\"0:4294967295\",\"path\":\"a\",\"type\":\"directory\"}",
        "{\"mode\":\"0644\",\"owner\":\"root:root\",\"path\":\"a\",\"type\":\"directory\"}",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) refuse_line(lines[i]);
}

static void test_refuses_a_file_of_a_tebibyte(void **state) {
    (void)state;
    refuse_line("{\"mode\":\"0644\",\"owner\":\"0:0\",\"path\":\"a\",\"sha256\":"
                "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":1099511627776,"
                "\"sparse\":true,\"type\":\"file\"}");
    refuse_line("{\"mode\":\"0644\",\"owner\":\"0:0\",\"path\":\"a\",\"sha256\":"
                "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":-1,\"type\":"
                "\"file\"}");
}

static void test_refuses_one_path_twice_and_disorder(void **state) {
    (void)state;
    TREE_AUTO tree = parse("{\"path\":\"b\"," FILE_REST);
    static const char *const lines[] = {"{\"path\":\"b\"," FILE_REST, "{\"path\":\"a\"," FILE_REST};
    for (size_t i = 0; i < 2; i++)
        assert_refused(tree_parse_line(tree, lines[i], strlen(lines[i]), error), ERROR_INVALID,
                       "twice or out of");
    TREE_AUTO added = tree_new();
    for (int i = 0; i < 2; i++) tree_add(added)->path = "same";
    assert_refused(tree_finish(added, error), ERROR_INVALID, "same is in the tree twice");
}

static void test_refuses_sums_over_the_limit(void **state) {
    (void)state;
    TREE_AUTO tree = tree_new();
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++) {
        TreeEntry *entry = tree_add(tree);
        entry->path = names[i];
        entry->type = TREE_FILE;
        entry->size = TREE_FILE_SIZE_MAX;
    }
    assert_refused(tree_finish(tree, error), ERROR_INVALID, "e makes the tree too large");
}

/* ---- What entries say of each other ---- */

static void add(Tree *tree, TreeType type, const char *path, const char *target) {
    TreeEntry *entry = tree_add(tree);
    entry->type = (uint8_t)type;
    entry->path = path;
    entry->target = target;
}

static void test_refuses_an_entry_below_what_is_no_folder(void **state) {
    (void)state;
    for (TreeType type = TREE_FILE; type <= TREE_HARDLINK; type++) {
        TREE_AUTO tree = tree_new();
        add(tree, TREE_FILE, "0", NULL);
        add(tree, type, "a", type == TREE_FILE ? NULL : "0");
        add(tree, TREE_FILE, "a/b", NULL);
        assert_refused(tree_finish(tree, error), ERROR_INVALID, "a/b stands in a, which is no folder");
    }
    TREE_AUTO tree = tree_new();
    add(tree, TREE_FILE, "a/b", NULL);
    assert_refused(tree_finish(tree, error), ERROR_INVALID, "a/b stands in a, which is no folder");
}

static void test_refuses_hard_links_to_anything_but_an_earlier_file(void **state) {
    (void)state;
    static const struct {
        TreeType type;
        const char *path, *target;
    } others[] = {{TREE_DIRECTORY, "a", NULL},
                  {TREE_SYMLINK, "a", "x"},
                  {TREE_FILE, "z", NULL},
                  {TREE_FILE, "x", NULL}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        TREE_AUTO tree = tree_new();
        add(tree, others[i].type, others[i].path, others[i].target);
        add(tree, TREE_HARDLINK, "m", i == 3 ? "../x" : others[i].path);
        assert_refused(tree_finish(tree, error), ERROR_INVALID, "m is a hard link to");
    }
    TREE_AUTO chain = tree_new();
    add(chain, TREE_FILE, "a", NULL);
    add(chain, TREE_HARDLINK, "b", "a");
    add(chain, TREE_HARDLINK, "c", "b");
    assert_refused(tree_finish(chain, error), ERROR_INVALID, "c is a hard link to b");
}

/* d -> . and up -> a/b, where a/b -> .. : only a walk through the tree sees where these lead. */
static Tree *linked_tree(const char *target) {
    Tree *tree = tree_new();
    add(tree, TREE_DIRECTORY, "a", NULL);
    add(tree, TREE_DIRECTORY, "a/sub", NULL);
    add(tree, TREE_SYMLINK, "a/up", "..");
    add(tree, TREE_SYMLINK, "deep", "a/sub");
    add(tree, TREE_SYMLINK, "here", ".");
    add(tree, TREE_SYMLINK, "link", target);
    return tree;
}

static void test_refuses_links_that_lead_out(void **state) {
    (void)state;
    static const char *const out[] = {"/",
                                      "/etc/x",
                                      "..",
                                      "../x",
                                      "a/../../x",
                                      "here/../x",
                                      "deep/../../../x",
                                      "a/up/../x",
                                      "a/up/a/up/..",
                                      "missing/../../x",
                                      "here/here/here/..",
                                      "deep/../up/.."};
    for (size_t i = 0; i < sizeof out / sizeof *out; i++) {
        TREE_AUTO tree = linked_tree(out[i]);
        Error error = {0};
        if (tree_finish(tree, &error) == 0) fail_msg("accepts a link to %s", out[i]);
        assert_non_null(strstr(error.en, "leads out of the tree"));
    }
}

static void test_allows_links_that_stay_inside(void **state) {
    (void)state;
    static const char *const in[] = {"a",      "a/..",      "deep/..",   "deep/../..",     "a/up/deep",
                                     "here/a", "missing/x", "a/./sub//", "a/up/here/a/sub"};
    for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
        TREE_AUTO tree = linked_tree(in[i]);
        Error error = {0};
        if (tree_finish(tree, &error) != 0) fail_msg("%s: %s", in[i], error.en);
    }
}

static void test_refuses_links_that_never_end(void **state) {
    (void)state;
    TREE_AUTO loop = tree_new();
    add(loop, TREE_SYMLINK, "a", "b/x");
    add(loop, TREE_SYMLINK, "b", "a/y");
    assert_refused(tree_finish(loop, error), ERROR_INVALID, "or nowhere");
}

/* ---- Making and comparing ---- */

static void copy_files(int from, int to, const Tree *tree) {
    for (size_t i = 0; i < tree->count; i++) {
        const TreeEntry *entry = &tree->entries[i];
        if (entry->type != TREE_FILE) continue;
        FD_AUTO in = openat(from, entry->path, O_RDONLY | O_CLOEXEC);
        FD_AUTO out = openat(to, entry->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(in >= 0 && out >= 0);
        for (uint64_t left = entry->size; left > 0;) {
            ssize_t copied = copy_file_range(in, NULL, out, NULL, left, 0);
            assert_true(copied > 0);
            left -= (uint64_t)copied;
        }
    }
}

/* The sample at "from", made again at "to". */
static Tree *make_copy(const TestFolder *folder, int *to) {
    assert_int_equal(mkdirat(folder->fd, "from", 0755), 0);
    assert_int_equal(mkdirat(folder->fd, "to", 0755), 0);
    FD_AUTO from = openat(folder->fd, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *to = openat(folder->fd, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sample_make(from);
    Tree *tree = scan(from);
    assert_done(tree_make_folders(*to, tree, error));
    copy_files(from, *to, tree);
    assert_done(tree_make_links(*to, tree, error));
    assert_done(tree_set_metadata(*to, tree, error));
    return tree;
}

static void note(void *context, const char *path, const char *what) {
    buffer_printf(context, "%s: %s\n", what, path);
}

static void check_differences(int dir, const Tree *tree, bool quick, const char *expected) {
    BUFFER_AUTO differences = {0};
    size_t count = 99;
    assert_done(tree_compare(dir, tree, quick, note, &differences, &count, error));
    assert_string_equal(buffer_text(&differences), expected);
}

static void test_makes_what_it_describes(void **state) {
    FD_AUTO to = -1;
    TREE_AUTO tree = make_copy(*state, &to);
    check_differences(to, tree, false, "");
    check_differences(to, tree, true, "");
    TREE_AUTO made = scan(to);
    Digest one = tree_digest(tree), two = tree_digest(made);
    assert_true(digest_equal(&one, &two));
    struct stat status;
    assert_int_equal(fstatat(to, "bin/link", &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(status.st_mtim.tv_sec, TREE_TIME_S);
    assert_int_equal(fstatat(to, "lib", &status, 0), 0);
    assert_int_equal(status.st_mtim.tv_sec, TREE_TIME_S);
}

static void test_tells_every_difference(void **state) {
    FD_AUTO to = -1;
    TREE_AUTO tree = make_copy(*state, &to);
    assert_int_equal(unlinkat(to, "bin/link", 0), 0);
    assert_int_equal(symlinkat("tool", to, "bin/link"), 0);
    assert_int_equal(unlinkat(to, "dangling", 0), 0);
    assert_int_equal(fchmodat(to, "empty", 0755, 0), 0);
    sample_text(to, "lib/deep/a.txt", "the SAME content\n");
    sample_text(to, "lib/nothing", "something");
    assert_int_equal(mkfifoat(to, "pipe", 0600), 0);
    sample_xattr(to, "lib/same.txt", "user.more", "m", 1);
    assert_int_equal(unlinkat(to, "bin/tool2", 0), 0);
    sample_text(to, "bin/tool2", "no link");
    check_differences(
        to, tree, false,
        "target: bin/link\ntype: bin/tool2\nmissing: dangling\nmode: empty\ncontent: lib/deep/a.txt\n"
        "size: lib/nothing\nattributes: lib/same.txt\nunexpected: pipe\n");
    check_differences(to, tree, true,
                      "target: bin/link\ntype: bin/tool2\nmissing: dangling\nmode: empty\n"
                      "size: lib/nothing\nunexpected: pipe\n");
}

static void test_compares_owners_as_root(void **state) {
    if (geteuid() != 0) TEST_SKIP("needs root to give files away");
    FD_AUTO to = -1;
    TREE_AUTO tree = make_copy(*state, &to);
    assert_int_equal(fchownat(to, "lib-a", 33, 33, 0), 0);
    check_differences(to, tree, true, "owner: lib-a\n");
}

static void test_sets_given_times(void **state) {
    TestFolder *folder = *state;
    sample_text(folder->fd, "a", "a");
    TREE_AUTO tree = scan(folder->fd);
    tree->entries[0].stamp.modified_ns = -1500000000; /* 1969-12-31T23:59:58.5 */
    assert_done(tree_set_metadata(folder->fd, tree, error));
    struct stat status;
    assert_int_equal(fstatat(folder->fd, "a", &status, 0), 0);
    assert_int_equal(status.st_mtim.tv_sec, -2);
    assert_int_equal(status.st_mtim.tv_nsec, 500000000);
}

static void test_changes_nothing_through_a_link_put_in_the_place_of_a_file(void **state) {
    TestFolder *folder = *state;
    struct stat status;
    assert_int_equal(mkdirat(folder->fd, "tree", 0755), 0);
    FD_AUTO dir = openat(folder->fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sample_text(dir, "program", "mine");
    assert_int_equal(fchmodat(dir, "program", 04777, 0), 0);
    TREE_AUTO tree = scan(dir);
    sample_text(folder->fd, "victim", "theirs");
    assert_int_equal(fchmodat(folder->fd, "victim", 0600, 0), 0);
    assert_int_equal(unlinkat(dir, "program", 0), 0);
    assert_int_equal(symlinkat("../victim", dir, "program"), 0);
    assert_refused(tree_set_metadata(dir, tree, error), ERROR_SYSTEM, "cannot open program");
    assert_int_equal(fstatat(folder->fd, "victim", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_describes_everything_a_folder_holds),
        test_in_folder(test_hashes_holes_as_the_zeros_they_stand_for),
        test_in_folder(test_refuses_or_passes_over_special_files),
        test_in_folder(test_refuses_links_that_leave_the_tree_unless_it_is_live),
        test_in_folder(test_scans_one_entry_of_a_folder),
        test_in_folder(test_does_not_read_again_what_has_not_changed),
        test_in_folder(test_leaves_files_unread_when_told_to),
        test_in_folder(test_stops_when_cancelled),
        test_in_folder(test_refuses_a_file_that_goes_on_changing),
        test_in_folder(test_text_reads_back_to_the_same_tree),
        cmocka_unit_test(test_text_is_what_the_header_says),
        cmocka_unit_test(test_refuses_paths_that_are_not_inside),
        cmocka_unit_test(test_refuses_entries_that_are_not_whole),
        cmocka_unit_test(test_refuses_a_file_of_a_tebibyte),
        cmocka_unit_test(test_refuses_one_path_twice_and_disorder),
        cmocka_unit_test(test_refuses_sums_over_the_limit),
        cmocka_unit_test(test_refuses_an_entry_below_what_is_no_folder),
        cmocka_unit_test(test_refuses_hard_links_to_anything_but_an_earlier_file),
        cmocka_unit_test(test_refuses_links_that_lead_out),
        cmocka_unit_test(test_allows_links_that_stay_inside),
        cmocka_unit_test(test_refuses_links_that_never_end),
        test_in_folder(test_makes_what_it_describes),
        test_in_folder(test_tells_every_difference),
        test_in_folder(test_compares_owners_as_root),
        test_in_folder(test_sets_given_times),
        test_in_folder(test_changes_nothing_through_a_link_put_in_the_place_of_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
