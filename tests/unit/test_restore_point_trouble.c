/* Restore points in trouble: damage, the dead, full disks, files that will not stand still; and what is kept.
 */
#include "support/restore_room.h"
#include <errno.h>
#include <pthread.h>
#include <sys/mount.h>

static void assert_nothing_temporary(Room *room) {
    TREE_AUTO tree = NULL;
    assert_done(tree_scan(store_temporary_dir(room->store), NULL, &tree, error));
    assert_int_equal(tree->count, 0);
}

/* ---- damage ---- */

static void test_a_damaged_object_does_not_prove(void **state) {
    Room *room = *state;
    char path[128];
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_PREPARE);
    object_of(point, "shared/data/lib-a", path);
    flip_byte(room->folder->fd, path);
    assert_refused(prove(room, point, false, error), ERROR_REFUSED, "is damaged");
    assert_refused(prove(room, point, false, error), ERROR_REFUSED, path);
    assert_refused(prove(room, point, false, error), ERROR_REFUSED, "shared/data/lib-a");
    assert_int_equal(point->proof.time_ms, 0);
    /* Nothing of the failed proof is left. */
    assert_nothing_temporary(room);
}

static void test_damage_after_a_proof_is_found_by_the_next(void **state) {
    Room *room = *state;
    char path[128];
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_PREPARE);
    assert_done(prove(room, point, false, error));
    object_of(point, "shared/data/lib-a", path);
    flip_byte(room->folder->fd, path);
    assert_refused(prove(room, point, false, error), ERROR_REFUSED, "is damaged");
}

static void test_damage_behind_forged_stamps_is_found_by_a_full_proof(void **state) {
    Room *room = *state;
    char path[128];
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_PREPARE);
    assert_done(prove(room, point, false, error));
    object_of(point, "shared/data/lib-a", path);
    flip_byte(room->folder->fd, path);
    forge_proof(room, &tree_find(restore_point_part(point, "data")->tree, "shared/data/lib-a")->digest);
    assert_done(prove(room, point, false, error));
    assert_refused(prove(room, point, true, error), ERROR_REFUSED, "is damaged");
    /* It says proved no more. */
    assert_int_equal(point->proof.time_ms, 0);
    RESTORE_POINT_AUTO loaded = NULL;
    assert_done(restore_point_load(room->store, "one", &loaded, error));
    assert_int_equal(loaded->proof.time_ms, 0);
}

static void test_damage_behind_forged_stamps_is_found_before_the_target_is_touched(void **state) {
    Room *room = *state;
    char path[128];
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_PREPARE);
    assert_done(prove(room, point, false, error));
    object_of(point, "shared/data/lib-a", path);
    flip_byte(room->folder->fd, path);
    forge_proof(room, &tree_find(restore_point_part(point, "data")->tree, "shared/data/lib-a")->digest);
    sample_text(room->root, "shared/data/lib-a", "changed\n");
    sample_text(room->root, "shared/data/another-change", "new\n");
    sample_text(room->root, "shared/settings.js", "changed\n");
    TREE_AUTO before = scan_data(room->root);
    assert_refused(apply(room, point, NULL, NULL, error), ERROR_REFUSED, path);
    assert_refused(apply(room, point, NULL, NULL, error), ERROR_REFUSED, "shared/data/lib-a");
    assert_refused(apply(room, point, NULL, NULL, error), ERROR_REFUSED, "restore point one");
    assert_data_is(room->root, before);
    BUFFER_AUTO settings = {0};
    assert_done(file_read(room->root, "shared/settings.js", 100, &settings, error));
    assert_string_equal(buffer_text(&settings), "changed\n");
}

static void test_a_missing_object_is_found_by_proof_and_before_use(void **state) {
    Room *room = *state;
    char path[128];
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_PREPARE);
    assert_done(prove(room, point, false, error));
    object_of(point, "shared/data/lib-a", path);
    assert_int_equal(unlinkat(room->folder->fd, path, 0), 0);
    assert_refused(prove(room, point, false, error), ERROR_REFUSED, "is missing");
    sample_text(room->root, "shared/data/lib-a", "changed\n");
    TREE_AUTO before = scan_data(room->root);
    assert_refused(apply(room, point, NULL, NULL, error), ERROR_REFUSED, "is missing");
    assert_data_is(room->root, before);
}

static void test_a_damaged_store_heals_with_the_next_point(void **state) {
    Room *room = *state;
    char damaged[128], missing[128];
    usleep(20000);
    RESTORE_POINT_AUTO first = take(room, "one", RESTORE_POINT_PREPARE);
    assert_done(prove(room, first, false, error));
    object_of(first, "shared/data/lib-a", damaged);
    object_of(first, "shared/data/lib/same.txt", missing);
    flip_byte(room->folder->fd, damaged);
    assert_int_equal(unlinkat(room->folder->fd, missing, 0), 0);
    room->prior = first;
    RESTORE_POINT_AUTO second = take(room, "two", RESTORE_POINT_PREPARE);
    assert_int_equal(second->stored_objects, 2);
    assert_done(prove(room, second, false, error));
    assert_done(prove(room, first, true, error));
}

static void test_a_damaged_point_is_found_when_it_is_read(void **state) {
    static const char *const files[] = {"data.tree", "data.stamps", "point.json"};
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_PREPARE);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        snprintf(path, sizeof path, "store/points/one/%s", files[i]);
        RESTORE_POINT_AUTO loaded = NULL;
        flip_byte(room->folder->fd, path);
        assert_true(restore_point_load(room->store, "one", &loaded, NULL) < 0 ||
                    restore_point_read_trees(room->store, loaded, NULL) < 0);
        flip_byte(room->folder->fd, path);
    }
    RESTORE_POINT_AUTO loaded = NULL;
    assert_done(restore_point_load(room->store, "one", &loaded, error));
}

static void note_problem(void *context, const Error *problem) { buffer_printf(context, "%s\n", problem->en); }

static void test_fsck_names_what_is_damaged_and_what_is_missing(void **state) {
    Room *room = *state;
    char damaged[128], missing[128];
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_PREPARE);
    RestorePointCheck counts;
    assert_done(restore_point_fsck(room->store, NULL, NULL, &counts, error));
    assert_int_equal(counts.problems, 0);
    assert_int_equal(counts.points, 1);
    assert_int_equal(counts.objects, point->stored_objects);
    object_of(point, "shared/data/lib-a", damaged);
    object_of(point, "shared/data/lib/same.txt", missing);
    flip_byte(room->folder->fd, damaged);
    assert_int_equal(unlinkat(room->folder->fd, missing, 0), 0);
    BUFFER_AUTO told = {0};
    assert_done(restore_point_fsck(room->store, note_problem, &told, &counts, error));
    assert_int_equal(counts.problems, 4); /* the object, and three files */
    assert_non_null(strstr(buffer_text(&told), "shared/data/lib-a: its object"));
    assert_non_null(strstr(buffer_text(&told), "shared/data/lib/same.txt: its object"));
    assert_non_null(strstr(buffer_text(&told), "shared/data/lib/deep/a.txt: its object"));
}

/* ---- bad luck ---- */

static void test_leftovers_of_the_dead_disturb_nobody_and_are_collected(void **state) {
    Room *room = *state;
    /* As if killed while writing an object, while publishing, while proving, and before fsync of an object.
     */
    sample_text(room->folder->fd, "store/temporary/abcdefgh-0", "half");
    assert_int_equal(mkdirat(room->folder->fd, "store/temporary/abcdefgh-1", 0700), 0);
    sample_text(room->folder->fd, "store/temporary/abcdefgh-1/data.tree", "half");
    assert_int_equal(mkdirat(room->folder->fd, "store/temporary/upkeep-proof-one", 0700), 0);
    sample_text(room->folder->fd, "store/temporary/upkeep-proof-one/x", "half");
    char torn[128];
    Digest digest = digest_of("sorts between lib and lib/deep\n", strlen("sorts between lib and lib/deep\n"));
    object_path(&digest, "", torn);
    sample_text(room->folder->fd, torn, "");
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_PREPARE);
    assert_done(prove(room, point, false, error));
    assert_done(restore_point_collect(room->store, NULL, error));
    assert_nothing_temporary(room);
    assert_done(prove(room, point, true, error));
}

static void test_collecting_keeps_what_points_need_and_frees_the_rest(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO first = take(room, "one", RESTORE_POINT_FINAL);
    sample_text(room->root, "shared/data/lib-a", "changed\n");
    RESTORE_POINT_AUTO second = take(room, "two", RESTORE_POINT_FINAL);
    assert_done(restore_point_remove(room->store, "one", error));
    assert_done(restore_point_remove(room->store, "one", error));
    uint64_t freed = 0;
    assert_done(restore_point_collect(room->store, &freed, error));
    assert_int_equal(freed, strlen("sorts between lib and lib/deep\n"));
    assert_done(prove(room, second, true, error));
}

static void test_collecting_is_refused_while_the_store_is_used_or_a_point_cannot_be_read(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_FINAL);
    int lock = -1;
    assert_done(store_lock(room->store, STORE_SHARED, &lock, error));
    assert_refused(restore_point_collect(room->store, NULL, error), ERROR_REFUSED, "in use");
    close(lock);
    assert_int_equal(unlinkat(room->folder->fd, "store/points/one/data.tree", 0), 0);
    assert_int_equal(restore_point_collect(room->store, NULL, NULL), -1);
    char path[128];
    object_of(point, "shared/data/lib-a", path);
    assert_int_equal(file_exists(room->folder->fd, path, NULL), 1);
}

static bool is_named_keep(void *context, const RestorePoint *point) {
    (void)context;
    return strcmp(point->id, "keep-me") == 0;
}

static void take_for(Room *room, const char *id, const char *change, const char *host) {
    RestorePointSpec spec = spec_of(room, id, RESTORE_POINT_FINAL);
    RESTORE_POINT_AUTO point = NULL;
    spec.change = change;
    spec.host = host;
    assert_done(restore_point_take(room->store, &spec, &point, error));
}

static void test_pruning_keeps_the_newest_changes_of_a_host_and_what_is_protected(void **state) {
    Room *room = *state;
    take_for(room, "keep-me", "CHG-1", "h1");
    take_for(room, "old", "CHG-1", "h1");
    take_for(room, "other-host", "CHG-1", "h2");
    take_for(room, "b-prepare", "CHG-2", "h1");
    take_for(room, "b-final", "CHG-2", "h1");
    take_for(room, "c-prepare", "CHG-3", "h1");
    size_t removed = 0;
    assert_done(restore_point_prune(room->store, "svc", "h1", 2, is_named_keep, NULL, &removed, error));
    assert_int_equal(removed, 1);
    RESTORE_POINT_LIST_AUTO list = {0};
    assert_done(restore_point_list(room->store, NULL, NULL, &list, error));
    assert_int_equal(list.count, 5);
    assert_string_equal(list.points[0]->id, "keep-me");
    assert_string_equal(list.points[1]->id, "other-host");
    assert_string_equal(list.points[4]->id, "c-prepare");
}

static void test_space_is_told_without_reading(void **state) {
    Room *room = *state;
    usleep(20000);
    RestorePointSpec spec = spec_of(room, NULL, RESTORE_POINT_PREPARE);
    RestorePointSpace space, second;
    assert_done(restore_point_space(&spec, &space, error));
    assert_true(space.store_bytes > 300000);
    assert_true(space.store_inodes >= 8);
    assert_true(space.scratch_bytes > 300000);
    assert_true(space.scratch_bytes < 1 << 20); /* the hole is not counted */
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_PREPARE);
    spec.prior = point;
    assert_done(restore_point_space(&spec, &second, error));
    assert_int_equal(second.store_inodes, 0);
}

/* Append to a file as fast as possible. */
typedef struct Writer {
    int fd;
    atomic_bool stop;
} Writer;

static void *keep_writing(void *context) {
    Writer *writer = context;
    while (!atomic_load(&writer->stop)) {
        char bytes[4096] = {1};
        if (pwrite(writer->fd, bytes, sizeof bytes, 0) < 0) break;
    }
    return NULL;
}

static void test_a_file_that_changes_while_it_is_read(void **state) {
    Room *room = *state;
    sample_noise(room->root, "shared/data/busy", 8 << 20, 5);
    Writer writer = {.fd = openat(room->root, "shared/data/busy", O_RDWR | O_CLOEXEC)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, keep_writing, &writer), 0);
    RestorePointSpec spec = spec_of(room, "exact", RESTORE_POINT_FINAL);
    RestorePoint *exact = NULL;
    Error refusal = {0};
    int result = restore_point_take(room->store, &spec, &exact, &refusal);
    RestorePoint *fuzzy = take(room, "fuzzy", RESTORE_POINT_PREPARE);
    atomic_store(&writer.stop, true);
    pthread_join(thread, NULL);
    close(writer.fd);
    assert_int_equal(result, -1);
    assert_int_equal(refusal.kind, ERROR_REFUSED);
    assert_non_null(strstr(refusal.en, "shared/data/busy changes while it is read"));
    assert_done(prove(room, fuzzy, false, error));
    /* It is read again next time, whatever its stamp. */
    assert_int_equal(tree_find(restore_point_part(fuzzy, "data")->tree, "shared/data/busy")->stamp.changed_ns,
                     0);
    restore_point_free(fuzzy);
}

static void test_stops_when_cancelled_and_leaves_nothing_visible(void **state) {
    Room *room = *state;
    atomic_bool cancel = true;
    RestorePointSpec spec = spec_of(room, "one", RESTORE_POINT_PREPARE);
    RestorePoint *point = NULL;
    spec.wish.cancel = &cancel;
    assert_refused(restore_point_take(room->store, &spec, &point, error), ERROR_INTERRUPTED, "");
    RESTORE_POINT_LIST_AUTO list = {0};
    assert_done(restore_point_list(room->store, NULL, NULL, &list, error));
    assert_int_equal(list.count, 0);
}

static bool mount_small(const char *path) {
    return mkdir(path, 0755) == 0 &&
           mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=3m,nr_inodes=400") == 0;
}

static void test_a_full_disk_leaves_no_visible_point_and_the_next_take_works(void **state) {
    Room *room = *state;
    char small[128], path[160];
    snprintf(small, sizeof small, "%s/small", room->folder->path);
    if (!mount_small(small)) TEST_SKIP("cannot mount a small tmpfs");
    snprintf(path, sizeof path, "%s/store", small);
    Store *store = NULL, *large = room->store;
    assert_done(store_open(path, &store, error));
    sample_noise(room->root, "shared/data/big", 5 << 20, 9);
    RestorePointSpec spec = spec_of(room, "one", RESTORE_POINT_FINAL);
    RestorePoint *point = NULL;
    Error error = {0};
    int result = restore_point_take(store, &spec, &point, &error);
    RestorePointList list = {0};
    int listed = restore_point_list(store, NULL, NULL, &list, NULL);
    assert_int_equal(unlinkat(room->root, "shared/data/big", 0), 0);
    Error again = {0};
    int second = restore_point_take(store, &spec, &point, &again);
    RestorePointProve options = {.now_ms = 1};
    int proved = second == 0 ? restore_point_prove(store, point, &options, &again) : -1;
    restore_point_free(point);
    store_close(store);
    umount(small);
    assert_ptr_equal(large, room->store);
    assert_int_equal(result, -1);
    assert_int_equal(error.number, ENOSPC);
    assert_int_equal(listed, 0);
    assert_int_equal(list.count, 0);
    if (proved < 0) fail_msg("%s", again.en);
}

static void test_a_full_scratch_folder_says_nothing_about_the_point(void **state) {
    Room *room = *state;
    char small[128];
    snprintf(small, sizeof small, "%s/small", room->folder->path);
    sample_noise(room->root, "shared/data/big", 5 << 20, 9);
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_FINAL);
    assert_done(prove(room, point, false, error));
    if (!mount_small(small)) TEST_SKIP("cannot mount a small tmpfs");
    RestorePointProve options = {.scratch = small, .full = true, .now_ms = 1};
    Error error = {0};
    int result = restore_point_prove(room->store, point, &options, &error);
    umount(small);
    assert_int_equal(result, -1);
    assert_int_equal(error.kind, ERROR_SYSTEM);
    assert_true(point->proof.time_ms != 0);
}

static void test_too_little_space_to_restore_is_said_before_anything_is_touched(void **state) {
    Room *room = *state;
    char small[128];
    snprintf(small, sizeof small, "%s/small", room->folder->path);
    sample_noise(room->root, "shared/data/big", 5 << 20, 9);
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_FINAL);
    if (!mount_small(small)) TEST_SKIP("cannot mount a small tmpfs");
    FD_AUTO dir = open(small, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Error error = {0};
    int result = apply(room, point, small, NULL, &error);
    int exists = file_exists(dir, "shared", NULL);
    close(fd_take(&dir));
    umount(small);
    assert_int_equal(result, -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_non_null(strstr(error.en, "are needed to restore"));
    assert_int_equal(exists, 0);
}

static void test_a_restore_cut_off_anywhere_ends_the_same_when_run_again(void **state) {
    Room *room = *state;
    TREE_AUTO before = scan_data(room->root);
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_FINAL);
    /* What a killed restore leaves: a half temporary file, a folder not yet dressed, a file not yet dressed.
     */
    FD_AUTO data = openat(room->root, "shared/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sample_text(data, "lib/.upkeep-0123456789abcdef~", "half");
    assert_int_equal(fchmodat(data, "empty", 0700, 0), 0);
    assert_int_equal(fchownat(data, "empty", 0, 0, 0), geteuid() == 0 ? 0 : -1);
    sample_text(data, "copy", "the same content\n");
    assert_int_equal(fchmodat(data, "copy", 0600, 0), 0);
    assert_int_equal(renameat(data, "copy", data, "lib/same.txt"), 0);
    assert_done(apply(room, point, NULL, NULL, error));
    assert_data_is(room->root, before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        in_room(test_a_damaged_object_does_not_prove),
        in_room(test_damage_after_a_proof_is_found_by_the_next),
        in_room(test_damage_behind_forged_stamps_is_found_by_a_full_proof),
        in_room(test_damage_behind_forged_stamps_is_found_before_the_target_is_touched),
        in_room(test_a_missing_object_is_found_by_proof_and_before_use),
        in_room(test_a_damaged_store_heals_with_the_next_point),
        in_room(test_a_damaged_point_is_found_when_it_is_read),
        in_room(test_fsck_names_what_is_damaged_and_what_is_missing),
        in_room(test_leftovers_of_the_dead_disturb_nobody_and_are_collected),
        in_room(test_collecting_keeps_what_points_need_and_frees_the_rest),
        in_room(test_collecting_is_refused_while_the_store_is_used_or_a_point_cannot_be_read),
        in_room(test_pruning_keeps_the_newest_changes_of_a_host_and_what_is_protected),
        in_room(test_space_is_told_without_reading),
        in_room(test_a_file_that_changes_while_it_is_read),
        in_room(test_stops_when_cancelled_and_leaves_nothing_visible),
        in_room(test_a_full_disk_leaves_no_visible_point_and_the_next_take_works),
        in_room(test_a_full_scratch_folder_says_nothing_about_the_point),
        in_room(test_too_little_space_to_restore_is_said_before_anything_is_touched),
        in_room(test_a_restore_cut_off_anywhere_ends_the_same_when_run_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
