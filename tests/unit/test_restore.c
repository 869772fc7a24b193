/* Restoring a tree from a store, step by step: plan, verify, execute. Restore points are tested with their
 * own. */
#include "base/cleanup.h"
#include "base/file.h"
#include "host/restore_point/restore.h"
#include "support/sample.h"

typedef struct Room {
    TestFolder *folder;
    Store *store;
    int source, target;
    Tree *tree; /* of source, stored */
    Progress progress;
} Room;

static void store_files(Room *room) {
    StoreRoom *hands = store_room_new();
    for (size_t i = 0; i < room->tree->count; i++) {
        const TreeEntry *entry = &room->tree->entries[i];
        if (entry->type != TREE_FILE) continue;
        StorePut put;
        FD_AUTO fd = openat(room->source, entry->path, O_RDONLY | O_CLOEXEC);
        assert_done(store_put(room->store, hands, fd, NULL, &put, error));
        assert_true(digest_equal(&put.digest, &entry->digest));
    }
    store_room_free(hands);
}

static int setup(void **state) {
    Room *room = calloc(1, sizeof *room);
    char path[128];
    if (!room || test_folder_setup(state) < 0) return -1;
    room->folder = *state;
    snprintf(path, sizeof path, "%s/store", room->folder->path);
    assert_done(store_open(path, &room->store, error));
    assert_done(file_open_dir_beneath(room->folder->fd, "source", 0755, &room->source, error));
    assert_done(file_open_dir_beneath(room->folder->fd, "target", 0755, &room->target, error));
    FD_AUTO all = -1;
    assert_done(file_open_dir_beneath(room->source, "all", 0755, &all, error));
    sample_make(all);
    TreeScan options = {.stamps = true, .foreign_links = true};
    assert_done(tree_scan(room->source, &options, &room->tree, error));
    store_files(room);
    progress_begin(&room->progress, NULL, 0);
    *state = room;
    return 0;
}

static int teardown(void **state) {
    Room *room = *state;
    TestFolder *folder = room->folder;
    close(room->source);
    close(room->target);
    tree_free(room->tree);
    store_close(room->store);
    free(room);
    *state = folder;
    return test_folder_teardown(state);
}

#define in_room(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static const char *const paths[] = {"all"};

static RestoreSpec spec_of(Room *room) {
    return (RestoreSpec){
        .store = room->store, .tree = room->tree, .scope = {paths, 1}, .progress = &room->progress};
}

static void assert_target_is_right(Room *room) {
    size_t differences = 0;
    assert_done(tree_compare(room->target, room->tree, false, NULL, NULL, &differences, error));
    assert_int_equal(differences, 0);
}

static void run(Room *room, const RestoreSpec *spec, RestoreCounts *counts) {
    RESTORE_AUTO restore = NULL;
    assert_done(restore_plan(room->target, spec, &restore, error));
    assert_done(restore_verify(restore, error));
    assert_done(restore_execute(restore, error));
    *counts = *restore_counts(restore);
}

static void test_fills_an_empty_folder_and_then_has_nothing_to_do(void **state) {
    Room *room = *state;
    RestoreSpec spec = spec_of(room);
    RestoreCounts counts;
    run(room, &spec, &counts);
    assert_target_is_right(room);
    assert_int_equal(counts.unchanged, 0);
    run(room, &spec, &counts);
    assert_int_equal(counts.unchanged, SAMPLE_ENTRIES + 1);
    assert_int_equal(counts.written_files + counts.other + counts.removed, 0);
}

static void test_fills_a_scratch_folder_without_temporary_names(void **state) {
    Room *room = *state;
    RestoreSpec spec = spec_of(room);
    RestoreCounts counts;
    spec.scratch = true;
    run(room, &spec, &counts);
    assert_target_is_right(room);
}

static void test_planning_and_verifying_touch_nothing(void **state) {
    Room *room = *state;
    RestoreSpec spec = spec_of(room);
    RESTORE_AUTO restore = NULL;
    assert_int_equal(mkdirat(room->target, "all", 0755), 0);
    sample_text(room->target, "all/lib-a", "something else");
    sample_text(room->target, "untouched", "out of scope");
    TREE_AUTO before = NULL;
    assert_done(tree_scan(room->target, NULL, &before, error));
    assert_done(restore_plan(room->target, &spec, &restore, error));
    assert_done(restore_verify(restore, error));
    size_t differences = 0;
    assert_done(tree_compare(room->target, before, false, NULL, NULL, &differences, error));
    assert_int_equal(differences, 0);
    assert_int_equal(restore_counts(restore)->replaced_bytes, strlen("something else"));
}

static void test_verifying_finds_a_missing_object_and_names_a_file(void **state) {
    Room *room = *state;
    RestoreSpec spec = spec_of(room);
    RESTORE_AUTO restore = NULL;
    char text[DIGEST_TEXT_SIZE], path[128];
    digest_to_text(&tree_find(room->tree, "all/lib-a")->digest, text);
    snprintf(path, sizeof path, "store/objects/%.2s/%s", text, text + 2);
    assert_int_equal(unlinkat(room->folder->fd, path, 0), 0);
    assert_done(restore_plan(room->target, &spec, &restore, error));
    assert_refused(restore_verify(restore, error), ERROR_REFUSED, "cannot restore all/lib-a");
}

static void test_a_default_acl_of_a_folder_does_not_stay_on_its_files(void **state) {
    /* u::rwx g::r-x o::r-x m::rwx u:1::rwx, as the kernel keeps it (struct posix_acl_xattr_header). */
    static const uint8_t acl[] = {2,    0,    0,    0,    1,    0,    7,    0,    0xff, 0xff, 0xff,
                                  0xff, 2,    0,    7,    0,    1,    0,    0,    0,    4,    0,
                                  5,    0,    0xff, 0xff, 0xff, 0xff, 0x10, 0,    7,    0,    0xff,
                                  0xff, 0xff, 0xff, 0x20, 0,    5,    0,    0xff, 0xff, 0xff, 0xff};
    Room *room = *state;
    RestoreSpec spec = spec_of(room);
    RestoreCounts counts;
    run(room, &spec, &counts);
    int fd = openat(room->target, "all/lib", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fsetxattr(fd, "system.posix_acl_default", acl, sizeof acl, 0);
    close(fd);
    if (result != 0) TEST_SKIP("this file system has no ACLs");
    assert_int_equal(unlinkat(room->target, "all/lib/same.txt", 0), 0);
    run(room, &spec, &counts);
    assert_target_is_right(room);
}

static void test_linked_names_follow_a_file_that_is_written_anew(void **state) {
    Room *room = *state;
    RestoreSpec spec = spec_of(room);
    RestoreCounts counts;
    struct stat one, two;
    run(room, &spec, &counts);
    sample_text(room->target, "all/another-tool", "changed through every name\n");
    run(room, &spec, &counts);
    assert_target_is_right(room);
    assert_int_equal(fstatat(room->target, "all/another-tool", &one, 0), 0);
    assert_int_equal(fstatat(room->target, "all/bin/tool2", &two, 0), 0);
    assert_int_equal(one.st_ino, two.st_ino);
    assert_int_equal(one.st_nlink, 3);
}

/* Once `all/lib-a` is written, its name leads to `victim`. */
static void swap_in_victim(void *context, uint64_t done, uint64_t total) {
    Room *room = context;
    (void)done, (void)total;
    if (faccessat(room->target, "all/lib-a", F_OK, 0) != 0) return;
    assert_int_equal(unlinkat(room->target, "all/lib-a", 0), 0);
    assert_int_equal(linkat(room->folder->fd, "victim", room->target, "all/lib-a", 0), 0);
}

static void assert_victim_is_untouched(const Room *room) {
    struct stat status;
    assert_int_equal(fstatat(room->folder->fd, "victim", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_uid, geteuid());
}

static void test_leaves_a_file_alone_that_took_the_place_of_a_written_one(void **state) {
    Room *room = *state;
    RestoreSpec spec = spec_of(room);
    ProgressWish wish = {.progress = swap_in_victim, .context = room};
    sample_text(room->folder->fd, "victim", "somebody else's");
    assert_int_equal(fchmodat(room->folder->fd, "victim", 0600, 0), 0);
    progress_begin(&room->progress, &wish, 0);
    RESTORE_AUTO restore = NULL;
    assert_done(restore_plan(room->target, &spec, &restore, error));
    restore_execute(restore, NULL);
    assert_victim_is_untouched(room);
}

static void test_does_not_give_away_a_file_that_was_linked_in(void **state) {
    if (geteuid() != 0) TEST_SKIP("needs root to give files away");
    Room *room = *state;
    RestoreSpec spec = spec_of(room);
    RestoreCounts counts;
    TreeEntry *entry = tree_find(room->tree, "all/lib-a");
    entry->uid = entry->gid = 33;
    run(room, &spec, &counts);
    sample_text(room->folder->fd, "victim", "sorts between lib and lib/deep\n"); /* the same content */
    assert_int_equal(fchmodat(room->folder->fd, "victim", 0600, 0), 0);
    assert_int_equal(unlinkat(room->target, "all/lib-a", 0), 0);
    assert_int_equal(linkat(room->folder->fd, "victim", room->target, "all/lib-a", 0), 0);
    run(room, &spec, &counts);
    assert_target_is_right(room);
    assert_victim_is_untouched(room);
}

static void test_stops_when_cancelled(void **state) {
    Room *room = *state;
    RestoreSpec spec = spec_of(room);
    atomic_bool cancel = false;
    ProgressWish wish = {.cancel = &cancel};
    progress_begin(&room->progress, &wish, 0);
    RESTORE_AUTO restore = NULL;
    assert_done(restore_plan(room->target, &spec, &restore, error));
    atomic_store(&cancel, true);
    assert_refused(restore_verify(restore, error), ERROR_INTERRUPTED, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        in_room(test_fills_an_empty_folder_and_then_has_nothing_to_do),
        in_room(test_fills_a_scratch_folder_without_temporary_names),
        in_room(test_planning_and_verifying_touch_nothing),
        in_room(test_verifying_finds_a_missing_object_and_names_a_file),
        in_room(test_a_default_acl_of_a_folder_does_not_stay_on_its_files),
        in_room(test_linked_names_follow_a_file_that_is_written_anew),
        in_room(test_leaves_a_file_alone_that_took_the_place_of_a_written_one),
        in_room(test_does_not_give_away_a_file_that_was_linked_in),
        in_room(test_stops_when_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
