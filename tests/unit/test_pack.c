#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "support/sample_package.h"

static void read_all(const TestFolder *folder, const char *name, Buffer *out) {
    assert_done(file_read(folder->fd, name, 1 << 30, out, error));
}

static void test_the_same_folder_gives_the_same_bytes(void **state) {
    TestFolder *folder = *state;
    FD_AUTO one = sample_folder(folder, "one");
    FD_AUTO two = sample_folder(folder, "two");
    sample_make(one);
    usleep(20000); /* other times, other inodes */
    sample_make(two);
    sample_noise(one, "more", 9 << 20, 5); /* several frames, made by several workers */
    sample_noise(two, "more", 9 << 20, 5);
    sample_pack(folder, "one", "1.upk");
    sample_pack(folder, "two", "2.upk");
    BUFFER_AUTO first = {0};
    BUFFER_AUTO second = {0};
    read_all(folder, "1.upk", &first);
    read_all(folder, "2.upk", &second);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
}

static void test_standard_tar_opens_it(void **state) {
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    sample_noise(from, "noise", 5 << 20, 5);
    sample_pack(folder, "from", "p.upk");
    const char *const argv[] = {"tar", "-tvf", "p.upk", NULL};
    ProcessSpec spec = {.argv = argv, .directory = folder->path, .timeout_ms = 60000, .output_max = 10000};
    ProcessResult result = {0};
    assert_done(process_run(&spec, &result, error));
    assert_int_equal(result.exit_status, 0);
    const char *text = buffer_text(&result.output);
    static const char *const names[] = {"manifest.json\n", "signatures.json\n", "content/000000.zst\n",
                                        "content/000001.zst\n"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        text = strstr(text, names[i]);
        if (!text) fail_msg("%s is not where it belongs", names[i]);
    }
    assert_non_null(strstr(buffer_text(&result.output), "-rw-r--r-- 0/0"));
    buffer_free(&result.output);
}

static void test_equal_contents_are_stored_once(void **state) {
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    char name[16];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "%d", i);
        sample_noise(from, name, 1 << 20, 5);
    }
    sample_pack(folder, "from", "p.upk");
    struct stat status;
    assert_int_equal(fstatat(folder->fd, "p.upk", &status, 0), 0);
    assert_true(status.st_size < 2 << 20);
}

static void test_refuses_to_write_into_what_it_packs(void **state) {
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    assert_int_equal(mkdirat(from, "deep", 0755), 0);
    assert_refused(sample_try_pack(folder, "from", "from/p.upk", error), ERROR_INVALID, "write it elsewhere");
    assert_refused(sample_try_pack(folder, "from", "from/deep/p.upk", error), ERROR_INVALID,
                   "write it elsewhere");
    TREE_AUTO tree = NULL;
    assert_done(tree_scan(from, NULL, &tree, error));
    assert_int_equal(tree->count, 1); /* nothing was left there */
}

static void test_leaves_nothing_of_what_it_cannot_finish(void **state) {
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    sample_text(from, "a", "a");
    assert_int_equal(symlinkat("/etc/passwd", from, "away"), 0);
    assert_refused(sample_try_pack(folder, "from", "p.upk", error), ERROR_INVALID, "away");
    assert_int_equal(unlinkat(from, "away", 0), 0);
    atomic_bool cancel = true;
    char directory[SAMPLE_PATH_SIZE], output[SAMPLE_PATH_SIZE];
    sample_path(folder, "from", directory);
    sample_path(folder, "p.upk", output);
    KEY_AUTO key = sample_key(folder, "k");
    ManifestHead head = {.service = "sample", .version = "1.0"};
    PackSpec spec = {.directory = directory,
                     .output = output,
                     .head = &head,
                     .keys = &key,
                     .key_count = 1,
                     .level = 3,
                     .wish = {.cancel = &cancel}};
    assert_refused(pack_write(&spec, NULL, error), ERROR_INTERRUPTED, "stopped");
    TREE_AUTO tree = NULL;
    assert_done(tree_scan(folder->fd, NULL, &tree, error));
    assert_int_equal(tree->count, 4); /* from, from/a, k.key, k.pub */
}

static void test_replaces_an_older_package_at_once(void **state) {
    TestFolder *folder = *state;
    close(sample_folder(folder, "from"));
    sample_text(folder->fd, "p.upk", "an older one");
    FD_AUTO old = openat(folder->fd, "p.upk", O_RDONLY | O_CLOEXEC);
    sample_pack(folder, "from", "p.upk");
    char text[16];
    assert_int_equal(read(old, text, sizeof text), 12); /* who had it open still has it */
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    assert_int_equal(package->manifest->tree->count, 0);
}

static void test_writes_one_owner_when_told_to(void **state) {
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    sample_make(from);
    char directory[SAMPLE_PATH_SIZE], output[SAMPLE_PATH_SIZE];
    sample_path(folder, "from", directory);
    sample_path(folder, "p.upk", output);
    KEY_AUTO key = sample_key(folder, "k");
    ManifestHead head = {.service = "sample", .version = "1.0"};
    PackSpec spec = {.directory = directory,
                     .output = output,
                     .head = &head,
                     .keys = &key,
                     .key_count = 1,
                     .level = 3,
                     .set_owner = true,
                     .uid = 3,
                     .gid = 4};
    assert_done(pack_write(&spec, NULL, error));
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    const Tree *tree = package->manifest->tree;
    for (size_t i = 0; i < tree->count; i++)
        if (tree->entries[i].type != TREE_HARDLINK) {
            assert_int_equal(tree->entries[i].uid, 3);
            assert_int_equal(tree->entries[i].gid, 4);
        }
}

static void count_calls(void *context, uint64_t done, uint64_t total) {
    uint64_t *last = context;
    assert_true(done >= *last && done <= total);
    *last = done;
}

static void test_tells_how_far_it_is(void **state) {
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    sample_noise(from, "noise", 20 << 20, 5);
    char directory[SAMPLE_PATH_SIZE], output[SAMPLE_PATH_SIZE];
    sample_path(folder, "from", directory);
    sample_path(folder, "p.upk", output);
    KEY_AUTO key = sample_key(folder, "k");
    ManifestHead head = {.service = "sample", .version = "1.0"};
    uint64_t last = 0;
    PackSpec spec = {.directory = directory,
                     .output = output,
                     .head = &head,
                     .keys = &key,
                     .key_count = 1,
                     .level = 3,
                     .wish = {.progress = count_calls, .context = &last}};
    PackResult result;
    assert_done(pack_write(&spec, &result, error));
    assert_int_equal(last, 20 << 20);
    assert_int_equal(result.content_size, 20 << 20);
    assert_int_equal(result.entries, 1);
    struct stat status;
    assert_int_equal(fstatat(folder->fd, "p.upk", &status, 0), 0);
    assert_int_equal(result.package_size, status.st_size);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_the_same_folder_gives_the_same_bytes),
        test_in_folder(test_standard_tar_opens_it),
        test_in_folder(test_equal_contents_are_stored_once),
        test_in_folder(test_refuses_to_write_into_what_it_packs),
        test_in_folder(test_leaves_nothing_of_what_it_cannot_finish),
        test_in_folder(test_replaces_an_older_package_at_once),
        test_in_folder(test_writes_one_owner_when_told_to),
        test_in_folder(test_tells_how_far_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
