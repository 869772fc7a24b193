#include "base/cleanup.h"
#include "base/file.h"
#include "base/parallel.h"
#include "package/install.h"
#include "support/sample_package.h"
#include <errno.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void check_same(int dir, const Tree *tree) {
    size_t count = 1;
    assert_done(tree_compare(dir, tree, false, NULL, NULL, &count, error));
    assert_int_equal(count, 0);
}

/* Pack "from", install it as "to", and compare the two by scanning both. */
static void round_trip(const TestFolder *folder) {
    sample_pack(folder, "from", "p.upk");
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    assert_done(package_verify(package, NULL, error));
    FD_AUTO to = sample_folder(folder, "to");
    assert_done(install_tree(package, to, NULL, error));
    FD_AUTO from = openat(folder->fd, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    TREE_AUTO original = NULL;
    TREE_AUTO installed = NULL;
    assert_done(tree_scan(from, NULL, &original, error));
    assert_done(tree_scan(to, NULL, &installed, error));
    Digest one = tree_digest(original), two = tree_digest(installed);
    assert_true(digest_equal(&one, &two));
    check_same(to, package->manifest->tree);
}

static void test_installs_one_of_everything(void **state) {
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    sample_make(from);
    sample_noise(from, "crosses", 9 << 20, 5); /* two frame boundaries */
    sample_noise(from, "crosses too", 9 << 20, 5);
    round_trip(folder);
    struct stat status;
    assert_int_equal(fstatat(folder->fd, "to/bin/tool", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 04755);
    assert_int_equal(status.st_nlink, 3);
    if (geteuid() != 0) return;
    assert_int_equal(status.st_uid, 12345);
    char capability[64], path[SAMPLE_PATH_SIZE];
    sample_path(folder, "to/lib/noise", path);
    assert_int_equal(getxattr(path, "security.capability", capability, sizeof capability),
                     sizeof sample_capability);
    assert_memory_equal(capability, sample_capability, sizeof sample_capability);
}

static void test_installs_files_over_4_gib_without_filling_the_disk(void **state) {
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    sample_sparse(from, "large", ((uint64_t)4 << 30) + 5, "the end");
    sample_pack(folder, "from", "p.upk");
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    FD_AUTO to = sample_folder(folder, "to");
    assert_done(install_tree(package, to, NULL, error)); /* which reads every byte back */
    struct stat status;
    assert_int_equal(fstatat(folder->fd, "to/large", &status, 0), 0);
    assert_int_equal(status.st_size, ((uint64_t)4 << 30) + 5);
    assert_true(status.st_blocks * 512 < 1 << 20);
    assert_int_equal(fstatat(folder->fd, "p.upk", &status, 0), 0);
    assert_true(status.st_size < 4 << 20);
}

/* In memory where there is such a file system: 100,000 files take a while on a busy disk. */
static int many_setup(void **state) {
    if (test_folder_setup(state) != 0) return -1;
    TestFolder *folder = *state;
    char path[sizeof folder->path] = "/dev/shm/upkeep-test-XXXXXX";
    if (access("/dev/shm", W_OK) != 0 || !mkdtemp(path)) return 0;
    close(folder->fd);
    if (rmdir(folder->path) != 0) return -1;
    memcpy(folder->path, path, sizeof path);
    folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder->fd < 0 ? -1 : 0;
}

static void make_many(int dir) {
    char path[32];
    for (int i = 0; i < 250; i++) {
        snprintf(path, sizeof path, "d%03d", i);
        assert_int_equal(mkdirat(dir, path, 0755), 0);
        for (int j = 0; j < 200; j++) {
            snprintf(path, sizeof path, "d%03d/file%03d", i, j);
            sample_text(dir, path, path);
        }
    }
}

/* In a child of its own, so that its peak of memory is its own; KiB. */
static long peak_of(const TestFolder *folder, void (*function)(const TestFolder *)) {
    pid_t child = fork();
    if (child == 0) {
        function(folder);
        _exit(0);
    }
    struct rusage usage;
    int status;
    assert_int_equal(wait4(child, &status, 0, &usage), child);
    assert_int_equal(status, 0);
    return usage.ru_maxrss;
}

static void pack_many(const TestFolder *folder) { sample_pack(folder, "from", "p.upk"); }

static void install_many(const TestFolder *folder) {
    Package *package = NULL;
    Error error = {0};
    int to = openat(folder->fd, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sample_open(folder, "p.upk", &package, &error) < 0 || install_tree(package, to, NULL, &error) < 0)
        _exit(1);
}

#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
enum { SANITIZED = __has_feature(address_sanitizer) };
#else
enum { SANITIZED = 0 };
#endif

static void test_50000_files_fit_in_64_mib(void **state) {
    if (SANITIZED) TEST_SKIP("the address sanitizer takes memory of its own");
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    FD_AUTO to = sample_folder(folder, "to");
    make_many(from);
    sample_noise(from, "noise", 40 << 20, 5); /* every worker is busy */
    assert_in_range(peak_of(folder, pack_many), 1, 64 << 10);
    assert_in_range(peak_of(folder, install_many), 1, 64 << 10);
    TREE_AUTO tree = NULL;
    assert_done(tree_scan(to, NULL, &tree, error));
    assert_int_equal(tree->count, 50251);
}

static void test_refuses_a_folder_that_is_not_empty(void **state) {
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    FD_AUTO to = sample_folder(folder, "to");
    sample_text(from, "a", "new");
    sample_text(folder->fd, "victim", "old");
    assert_int_equal(symlinkat("../victim", to, "a"), 0);
    sample_pack(folder, "from", "p.upk");
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    assert_refused(install_tree(package, to, NULL, error), ERROR_SYSTEM, "cannot write a");
    char text[4];
    FD_AUTO victim = openat(folder->fd, "victim", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(victim, text, sizeof text), 3);
    assert_memory_equal(text, "old", 3);
}

static void test_stops_when_cancelled(void **state) {
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    FD_AUTO to = sample_folder(folder, "to");
    sample_noise(from, "noise", 10 << 20, 5);
    sample_pack(folder, "from", "p.upk");
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    atomic_bool cancel = true;
    ProgressWish wish = {.cancel = &cancel};
    assert_refused(install_tree(package, to, &wish, error), ERROR_INTERRUPTED, "stopped");
}

static void test_a_full_disk_is_an_error_that_says_so(void **state) {
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    sample_noise(from, "noise", 10 << 20, 5);
    sample_pack(folder, "from", "p.upk");
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    assert_int_equal(mkdirat(folder->fd, "to", 0755), 0);
    char path[SAMPLE_PATH_SIZE];
    sample_path(folder, "to", path);
    if (mount("tmpfs", path, "tmpfs", 0, "size=4m") != 0) TEST_SKIP("cannot mount a small file system here");
    int to = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Error said = {0};
    int result = install_tree(package, to, NULL, &said);
    close(to);
    assert_int_equal(umount(path), 0);
    assert_int_equal(result, -1);
    assert_int_equal(said.number, ENOSPC);
    assert_non_null(strstr(said.en, "cannot write noise: No space left on device"));
}

static void test_finds_what_the_disk_did_not_keep(void **state) {
    TestFolder *folder = *state;
    FD_AUTO from = sample_folder(folder, "from");
    FD_AUTO to = sample_folder(folder, "to");
    sample_text(from, "a", "right");
    sample_pack(folder, "from", "p.upk");
    PACKAGE_AUTO package = NULL;
    assert_done(sample_open(folder, "p.upk", &package, error));
    package->manifest->tree->entries[0].digest.bytes[0] ^=
        1; /* as if what is on the disk were another thing */
    assert_refused(install_tree(package, to, NULL, error), ERROR_SYSTEM, "a is not what was written");
}

static void test_space_counts_blocks_and_inodes(void **state) {
    (void)state;
    TREE_AUTO tree = tree_new();
    static const struct {
        const char *path;
        TreeType type;
        uint64_t size;
    } entries[] = {{"a", TREE_FILE, 1},
                   {"b", TREE_FILE, 4097},
                   {"c", TREE_DIRECTORY, 0},
                   {"d", TREE_HARDLINK, 0},
                   {"e", TREE_FILE, 0}};
    for (size_t i = 0; i < 5; i++)
        *tree_add(tree) =
            (TreeEntry){.path = entries[i].path, .type = (uint8_t)entries[i].type, .size = entries[i].size};
    InstallSpace space = install_space(tree, 4096);
    assert_int_equal(space.inodes, 5); /* with the folder itself */
    assert_int_equal(space.bytes, 4096 * (1 + 1 + 2 + 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        /* first, while this process is small */
        cmocka_unit_test_setup_teardown(test_50000_files_fit_in_64_mib, many_setup, test_folder_teardown),
        test_in_folder(test_installs_one_of_everything),
        test_in_folder(test_installs_files_over_4_gib_without_filling_the_disk),
        test_in_folder(test_refuses_a_folder_that_is_not_empty),
        test_in_folder(test_stops_when_cancelled),
        test_in_folder(test_a_full_disk_is_an_error_that_says_so),
        test_in_folder(test_finds_what_the_disk_did_not_keep),
        cmocka_unit_test(test_space_counts_blocks_and_inodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
