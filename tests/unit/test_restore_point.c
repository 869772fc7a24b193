#include "support/restore_room.h"
#include <sys/socket.h>
#include <sys/un.h>

/* ---- round trip ---- */

static void test_gives_back_one_of_everything(void **state) {
    Room *room = *state;
    TREE_AUTO before = scan_data(room->root);
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_PREPARE);
    assert_int_equal(restore_point_part(point, "data")->entry_count, SAMPLE_AND_ABOVE);
    assert_done(prove(room, point, false, error));
    char elsewhere[128];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", room->folder->path);
    RestoreCounts counts;
    assert_done(apply(room, point, elsewhere, &counts, error));
    FD_AUTO root = open(elsewhere, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_data_is(root, before);
    assert_int_equal(file_exists(root, "shared/settings.js", NULL), 1);
    assert_int_equal(counts.removed, 0);
}

static void test_a_loaded_point_is_the_one_that_was_taken(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_FINAL);
    assert_done(prove(room, point, false, error));
    RESTORE_POINT_AUTO loaded = NULL;
    assert_done(restore_point_load(room->store, "one", &loaded, error));
    assert_done(restore_point_read_trees(room->store, loaded, error));
    assert_string_equal(loaded->root, room->root_path);
    assert_string_equal(loaded->version, "1.0");
    assert_string_equal(loaded->change, "");
    assert_int_equal(loaded->kind, RESTORE_POINT_FINAL);
    assert_int_equal(loaded->proof.restored_files, point->proof.restored_files);
    assert_true(loaded->proof.time_ms != 0);
    const Tree *a = restore_point_part(loaded, "data")->tree, *b = restore_point_part(point, "data")->tree;
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_string_equal(a->entries[i].path, b->entries[i].path);
        assert_memory_equal(&a->entries[i].stamp, &b->entries[i].stamp, sizeof(TreeStamp));
    }
}

static void test_only_proving_says_proved(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_PREPARE);
    RESTORE_POINT_AUTO unproved = NULL;
    RESTORE_POINT_AUTO latest = NULL;
    assert_done(restore_point_load(room->store, "one", &unproved, error));
    assert_int_equal(unproved->proof.time_ms, 0);
    assert_done(restore_point_latest(room->store, "svc", "h1", &latest, error));
    assert_null(latest);
    assert_done(prove(room, point, false, error));
    assert_done(restore_point_latest(room->store, "svc", "h1", &latest, error));
    assert_string_equal(latest->id, "one");
    /* A proof of another head is none. */
    RESTORE_POINT_AUTO other = take(room, "two", RESTORE_POINT_PREPARE);
    char from[128], to[128];
    snprintf(from, sizeof from, "%s/points/one/proof.json", room->store_path);
    snprintf(to, sizeof to, "%s/points/two/proof.json", room->store_path);
    assert_int_equal(link(from, to), 0);
    RESTORE_POINT_AUTO impostor = NULL;
    assert_done(restore_point_load(room->store, "two", &impostor, error));
    assert_int_equal(impostor->proof.time_ms, 0);
}

static void test_an_id_is_taken_once(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, "one", RESTORE_POINT_PREPARE);
    RestorePointSpec spec = spec_of(room, "one", RESTORE_POINT_PREPARE);
    RestorePoint *again = NULL;
    assert_refused(restore_point_take(room->store, &spec, &again, error), ERROR_REFUSED, "already");
    assert_null(again);
}

static void test_refuses_bad_ids_names_and_paths(void **state) {
    static const char *const bad_paths[] = {"/etc", "../x", "a/../b", "a//b", "", ".", "a\xff"};
    Room *room = *state;
    RestorePoint *point = NULL;
    RestorePointSpec spec = spec_of(room, "a/b", RESTORE_POINT_PREPARE);
    assert_refused(restore_point_take(room->store, &spec, &point, error), ERROR_INVALID, "no id");
    assert_refused(restore_point_load(room->store, "..", &point, error), ERROR_INVALID, "no id");
    assert_refused(restore_point_load(room->store, "none", &point, error), ERROR_INVALID,
                   "there is no restore point");
    for (size_t i = 0; i < sizeof bad_paths / sizeof *bad_paths; i++) {
        RestorePointPart part = {.name = "data", .paths = &bad_paths[i], .path_count = 1};
        spec = spec_of(room, NULL, RESTORE_POINT_PREPARE);
        spec.parts = &part;
        spec.part_count = 1;
        assert_refused(restore_point_take(room->store, &spec, &point, error), ERROR_INVALID, "no plain path");
    }
    static const char *const nested[] = {"shared", "shared/data"};
    RestorePointPart part = {.name = "data", .paths = nested, .path_count = 2};
    spec.parts = &part;
    assert_refused(restore_point_take(room->store, &spec, &point, error), ERROR_INVALID, "named twice");
    part = (RestorePointPart){.name = "../data", .paths = data_paths, .path_count = 1};
    assert_refused(restore_point_take(room->store, &spec, &point, error), ERROR_INVALID, "no name of a part");
}

static void test_refuses_a_path_that_is_a_link_or_leads_through_one(void **state) {
    static const char *const link_path[] = {"link"}, *const through[] = {"link/data"};
    Room *room = *state;
    RestorePoint *point = NULL;
    assert_int_equal(symlinkat("shared", room->root, "link"), 0);
    RestorePointSpec spec = spec_of(room, NULL, RESTORE_POINT_PREPARE);
    RestorePointPart part = {.name = "data", .paths = link_path, .path_count = 1};
    spec.parts = &part;
    spec.part_count = 1;
    assert_refused(restore_point_take(room->store, &spec, &point, error), ERROR_INVALID,
                   "symbolic link to shared");
    part.paths = through;
    assert_refused(restore_point_take(room->store, &spec, &point, error), ERROR_SYSTEM, "link/data");
}

static void test_keeps_what_links_say_wherever_they_lead(void **state) {
    Room *room = *state;
    assert_int_equal(symlinkat("/usr/bin/python3", room->root, "shared/data/python"), 0);
    assert_int_equal(symlinkat("../../../..", room->root, "shared/data/up"), 0);
    TREE_AUTO before = scan_data(room->root);
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_FINAL);
    assert_done(prove(room, point, false, error));
    assert_int_equal(unlinkat(room->root, "shared/data/up", 0), 0);
    assert_done(apply(room, point, NULL, NULL, error));
    assert_data_is(room->root, before);
}

static void test_passes_over_sockets(void **state) {
    Room *room = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.60s/shared/data/socket", room->root_path);
    FD_AUTO fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_FINAL);
    assert_null(tree_find(restore_point_part(point, "data")->tree, "shared/data/socket"));
    assert_done(apply(room, point, NULL, NULL, error));
    assert_int_equal(file_exists(room->root, "shared/data/socket", NULL), 1);
}

/* ---- applying in place ---- */

/* Content, types, links, modes, attributes, names that come and go. */
static void change_everything(Room *room) {
    FD_AUTO data = openat(room->root, "shared/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sample_text(data, "lib/same.txt", "the changed content, longer\n");
    assert_int_equal(mkdirat(data, "new", 0755), 0);
    sample_text(data, "new/file", "x");
    assert_int_equal(unlinkat(data, "bin/link", 0), 0);
    assert_int_equal(symlinkat("elsewhere", data, "bin/link"), 0);
    assert_int_equal(unlinkat(data, "empty", AT_REMOVEDIR), 0);
    sample_text(data, "empty", "a file where a folder was");
    assert_int_equal(unlinkat(data, "lib/nothing", 0), 0);
    assert_int_equal(mkdirat(data, "lib/nothing", 0755), 0);
    sample_text(data, "lib/nothing/x", "a folder where a file was");
    assert_int_equal(fchmodat(data, "bin/tool", 0600, 0), 0);
    assert_int_equal(unlinkat(data, "another-tool", 0), 0);
    sample_xattr(data, "lib/noise", "user.new", "x", 1);
    sample_xattr(data, "lib", "user.new", "x", 1);
    assert_int_equal(unlinkat(data, "lib/deep/a.txt", 0), 0);
    assert_int_equal(unlinkat(data, "lib/deep", AT_REMOVEDIR), 0);
}

static void test_applying_puts_everything_back(void **state) {
    Room *room = *state;
    TREE_AUTO before = scan_data(room->root);
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_FINAL);
    change_everything(room);
    RestoreCounts counts;
    assert_done(apply(room, point, NULL, &counts, error));
    assert_data_is(room->root, before);
    assert_done(apply(room, point, NULL, &counts, error));
    assert_int_equal(counts.written_files + counts.removed + counts.other, 0);
}

static void test_writes_only_what_differs(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_FINAL);
    struct stat before, after;
    assert_int_equal(fstatat(room->root, "shared/data/lib/noise", &before, 0), 0);
    sample_text(room->root, "shared/data/lib-a", "changed\n");
    RestoreCounts counts;
    assert_done(apply(room, point, NULL, &counts, error));
    assert_int_equal(counts.written_files, 1);
    assert_int_equal(counts.removed, 0);
    assert_int_equal(fstatat(room->root, "shared/data/lib/noise", &after, 0), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

static void test_a_changed_byte_under_the_old_times_is_put_back(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_FINAL);
    flip_byte(room->root, "shared/data/lib/noise");
    RestoreCounts counts;
    assert_done(apply(room, point, NULL, &counts, error));
    assert_int_equal(counts.written_files, 1);
}

static void test_what_was_missing_is_missing_again(void **state) {
    static const char *const paths[] = {"not-there-yet"};
    Room *room = *state;
    RestorePointPart part = {.name = "data", .paths = paths, .path_count = 1};
    RestorePointSpec spec = spec_of(room, NULL, RESTORE_POINT_FINAL);
    spec.parts = &part;
    spec.part_count = 1;
    RESTORE_POINT_AUTO point = NULL;
    assert_done(restore_point_take(room->store, &spec, &point, error));
    assert_done(prove(room, point, false, error));
    assert_int_equal(mkdirat(room->root, "not-there-yet", 0755), 0);
    sample_text(room->root, "not-there-yet/x", "x");
    assert_done(apply(room, point, NULL, NULL, error));
    assert_int_equal(file_exists(room->root, "not-there-yet", NULL), 0);
}

static void test_leaves_alone_what_is_out_of_scope(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_FINAL);
    sample_text(room->root, "shared/other", "not ours");
    assert_int_equal(fchmodat(room->root, "shared", 0700, 0), 0);
    assert_done(apply(room, point, NULL, NULL, error));
    struct stat status;
    assert_int_equal(file_exists(room->root, "shared/other", NULL), 1);
    assert_int_equal(fstatat(room->root, "shared", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
}

static void test_does_not_follow_a_link_out_of_the_root(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_FINAL);
    char moved[128];
    snprintf(moved, sizeof moved, "%s/moved", room->folder->path);
    assert_int_equal(renameat(room->root, "shared/data/lib", AT_FDCWD, moved), 0);
    assert_int_equal(symlinkat(moved, room->root, "shared/data/lib"), 0);
    sample_text(room->folder->fd, "moved/precious", "outside");
    assert_done(apply(room, point, NULL, NULL, error));
    assert_int_equal(file_exists(room->folder->fd, "moved/precious", NULL), 1);
    struct stat status;
    assert_int_equal(fstatat(room->root, "shared/data/lib", &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISDIR(status.st_mode));
}

static void test_a_planted_temporary_file_is_not_written_through(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_FINAL);
    sample_text(room->root, "shared/settings.js", "changed");
    sample_text(room->folder->fd, "victim", "precious");
    char text[DIGEST_TEXT_SIZE], planted[64];
    Digest digest = digest_of("settings.js", strlen("settings.js"));
    digest_to_text(&digest, text);
    snprintf(planted, sizeof planted, "shared/.upkeep-%.16s~", text);
    assert_int_equal(linkat(room->folder->fd, "victim", room->root, planted, 0), 0);
    assert_done(apply(room, point, NULL, NULL, error));
    BUFFER_AUTO victim = {0};
    assert_done(file_read(room->folder->fd, "victim", 100, &victim, error));
    assert_string_equal(buffer_text(&victim), "precious");
    assert_int_equal(file_exists(room->root, planted, NULL), 0);
}

static void note_change(void *context, const char *what, const char *path) {
    buffer_printf(context, "%s %s\n", what, path);
}

static void test_looking_tells_and_touches_nothing(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_FINAL);
    sample_text(room->root, "shared/data/new", "12345");
    sample_text(room->root, "shared/data/lib-a", "changed\n");
    TREE_AUTO before = scan_data(room->root);
    BUFFER_AUTO told = {0};
    RestoreCounts counts;
    RestorePointApply options = {.mode = RESTORE_LOOK, .on_change = note_change, .change_context = &told};
    assert_done(restore_point_apply(room->store, point, &options, &counts, error));
    assert_string_equal(buffer_text(&told),
                        "remove shared/data/new\nmetadata shared/data\nwrite shared/data/lib-a\n");
    assert_int_equal(counts.removed_bytes, 5);
    assert_data_is(room->root, before);
    options.root = "/nonexistent/upkeep";
    assert_done(restore_point_apply(room->store, point, &options, &counts, error));
    assert_int_equal(access("/nonexistent", F_OK), -1);
}

static void test_restores_one_part_or_one_path(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_FINAL);
    sample_text(room->root, "shared/settings.js", "changed\n");
    sample_text(room->root, "shared/data/lib-a", "changed\n");
    sample_text(room->root, "shared/data/lib/same.txt", "changed\n");
    RestoreCounts counts;
    RestorePointApply options = {.part = "config"};
    assert_done(restore_point_apply(room->store, point, &options, &counts, error));
    assert_int_equal(counts.written_files, 1);
    options = (RestorePointApply){.only = "shared/data/lib"};
    assert_done(restore_point_apply(room->store, point, &options, &counts, error));
    assert_int_equal(counts.written_files, 1);
    options = (RestorePointApply){.only = "shared"};
    assert_done(restore_point_apply(room->store, point, &options, &counts, error));
    assert_int_equal(counts.written_files, 1); /* lib-a */
    options = (RestorePointApply){.only = "shared/other"};
    assert_refused(restore_point_apply(room->store, point, &options, &counts, error), ERROR_INVALID,
                   "in none");
    options = (RestorePointApply){.part = "release"};
    assert_refused(restore_point_apply(room->store, point, &options, &counts, error), ERROR_INVALID,
                   "no part");
}

static void test_a_further_name_alone_becomes_a_file(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_FINAL);
    char elsewhere[128];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", room->folder->path);
    RestorePointApply options = {.only = "shared/data/bin/tool2", .root = elsewhere};
    assert_done(restore_point_apply(room->store, point, &options, NULL, error));
    struct stat status;
    assert_int_equal(fstatat(room->folder->fd, "elsewhere/shared/data/bin/tool2", &status, 0), 0);
    assert_int_equal(status.st_nlink, 1);
    assert_int_equal(status.st_mode & 07777, 04755);
}

/* ---- what is unchanged ---- */

static void test_a_second_point_reads_and_proves_only_what_changed(void **state) {
    Room *room = *state;
    usleep(20000); /* let the clock tick of the last change pass */
    RESTORE_POINT_AUTO first = take(room, "one", RESTORE_POINT_PREPARE);
    assert_done(prove(room, first, false, error));
    sample_text(room->root, "shared/data/lib-a", "changed\n");
    room->prior = first;
    RESTORE_POINT_AUTO second = take(room, "two", RESTORE_POINT_FINAL);
    assert_int_equal(second->stored_objects, 1);
    assert_done(prove(room, second, false, error));
    assert_int_equal(second->proof.restored_files, 1);
    assert_done(prove(room, second, true, error));
    assert_true(second->proof.restored_files > 5);
    assert_true(second->proof.full);
}

static void test_an_unchanged_tree_is_linked_to_the_prior_one(void **state) {
    Room *room = *state;
    usleep(20000);
    RESTORE_POINT_AUTO first = take(room, "one", RESTORE_POINT_PREPARE);
    assert_done(prove(room, first, false, error));
    room->prior = first;
    RESTORE_POINT_AUTO second = take(room, "two", RESTORE_POINT_FINAL);
    struct stat one, two;
    assert_int_equal(fstatat(room->folder->fd, "store/points/one/data.tree", &one, 0), 0);
    assert_int_equal(fstatat(room->folder->fd, "store/points/two/data.tree", &two, 0), 0);
    assert_int_equal(one.st_ino, two.st_ino);
    assert_done(prove(room, second, false, error));
    assert_int_equal(second->proof.restored_files, 0);
    RESTORE_POINT_AUTO loaded = NULL;
    assert_done(restore_point_load(room->store, "two", &loaded, error));
    assert_true(loaded->proof.time_ms != 0);
}

static void test_a_recent_change_is_never_believed_unchanged(void **state) {
    Room *room = *state;
    /* Changed within the same tick of the kernel's clock as the scan, or so near that it might be. */
    for (int i = 0; i < 50; i++) {
        sample_text(room->root, "shared/data/lib-a", "aaaa");
        RESTORE_POINT_AUTO first = take(room, NULL, RESTORE_POINT_FINAL);
        sample_text(room->root, "shared/data/lib-a", "bbbb");
        room->prior = first;
        RESTORE_POINT_AUTO second = take(room, NULL, RESTORE_POINT_FINAL);
        Digest digest = digest_of("bbbb", 4);
        const TreeEntry *entry = tree_find(restore_point_part(second, "data")->tree, "shared/data/lib-a");
        assert_true(digest_equal(&entry->digest, &digest));
        room->prior = NULL;
    }
}

static void test_a_metadata_change_is_kept_and_proved(void **state) {
    Room *room = *state;
    usleep(20000);
    RESTORE_POINT_AUTO first = take(room, "one", RESTORE_POINT_PREPARE);
    assert_done(prove(room, first, false, error));
    assert_int_equal(fchmodat(room->root, "shared/data/lib-a", 0640, 0), 0);
    room->prior = first;
    RESTORE_POINT_AUTO second = take(room, "two", RESTORE_POINT_FINAL);
    assert_int_equal(tree_find(restore_point_part(second, "data")->tree, "shared/data/lib-a")->mode, 0640);
    assert_done(prove(room, second, false, error));
    assert_int_equal(second->proof.restored_files, 1);
}

static void test_a_point_that_the_store_lost_is_no_prior(void **state) {
    Room *room = *state;
    usleep(20000);
    RESTORE_POINT_AUTO first = take(room, "one", RESTORE_POINT_PREPARE);
    assert_done(prove(room, first, false, error));
    assert_done(restore_point_remove(room->store, "one", error));
    assert_done(restore_point_collect(room->store, NULL, error));
    room->prior = first;
    RESTORE_POINT_AUTO second = take(room, "two", RESTORE_POINT_FINAL);
    assert_true(second->stored_objects > 5);
    assert_done(prove(room, second, false, error));
    assert_done(apply(room, second, NULL, NULL, error));
}

static void test_where_nothing_differs_from_the_prior_point_none_is_taken(void **state) {
    Room *room = *state;
    size_t differences = 99;
    RESTORE_POINT_AUTO first = take(room, "one", RESTORE_POINT_FINAL);
    RESTORE_POINT_AUTO second = NULL;
    room->prior = first;
    RestorePointSpec spec = spec_of(room, "two", RESTORE_POINT_ASIDE);
    spec.differences = &differences;
    assert_done(restore_point_take(room->store, &spec, &second, error));
    assert_int_equal(differences, 0);
    assert_null(second);
    assert_int_equal(file_exists(room->folder->fd, "store/points/two", NULL), 0);
    assert_int_equal(fchmodat(room->root, "shared/data/lib-a", 0640, 0), 0);
    sample_text(room->root, "shared/data/lib-b", "new\n");
    assert_int_equal(unlinkat(room->root, "shared/settings.js", 0), 0);
    assert_done(restore_point_take(room->store, &spec, &second, error));
    assert_int_equal(differences, 4); /* a mode, a name, its folder's time, a name that is gone */
    assert_non_null(second);
}

static void test_what_was_just_set_aside_tells_what_to_put_back(void **state) {
    Room *room = *state;
    TREE_AUTO before = scan_data(room->root);
    RESTORE_POINT_AUTO final = take(room, "final", RESTORE_POINT_FINAL);
    change_everything(room);
    room->prior = final;
    RESTORE_POINT_AUTO aside = take(room, "aside", RESTORE_POINT_ASIDE);
    RestorePointApply known = {.known = aside};
    RestoreCounts counts;
    assert_done(restore_point_apply(room->store, final, &known, &counts, error));
    assert_true(counts.written_files > 0 && counts.removed > 0);
    assert_data_is(room->root, before);
    assert_done(apply(room, final, NULL, &counts, error));
    assert_int_equal(counts.written_files + counts.removed + counts.other, 0);
}

static void test_folders_above_what_is_known_are_not_removed(void **state) {
    static const char *const paths[] = {"above/data"};
    Room *room = *state;
    RestorePointPart part = {.name = "data", .paths = paths, .path_count = 1};
    RestorePointSpec spec = spec_of(room, "final", RESTORE_POINT_FINAL);
    RESTORE_POINT_AUTO final = NULL;
    RESTORE_POINT_AUTO aside = NULL;
    spec.parts = &part;
    spec.part_count = 1;
    assert_done(restore_point_take(room->store, &spec, &final, error));
    assert_int_equal(mkdirat(room->root, "above", 0755), 0);
    assert_int_equal(mkdirat(room->root, "above/data", 0755), 0);
    sample_text(room->root, "above/other", "not ours");
    spec.id = "aside";
    assert_done(restore_point_take(room->store, &spec, &aside, error));
    RestorePointApply known = {.known = aside};
    assert_done(restore_point_apply(room->store, final, &known, NULL, error));
    assert_int_equal(file_exists(room->root, "above/data", NULL), 0);
    assert_int_equal(file_exists(room->root, "above/other", NULL), 1);
}

static void test_what_is_inherited_from_a_sound_point_is_proved_without_looking_again(void **state) {
    Room *room = *state;
    char inherited[128];
    usleep(20000);
    RESTORE_POINT_AUTO first = take(room, "one", RESTORE_POINT_PREPARE);
    assert_done(prove(room, first, false, error));
    assert_done(restore_point_sound(room->store, first, error));
    assert_true(first->sound);
    room->prior = first;
    sample_text(room->root, "shared/data/lib-a", "changed\n");
    RESTORE_POINT_AUTO second = take(room, "two", RESTORE_POINT_FINAL);
    assert_done(prove(room, second, false, error));
    assert_int_equal(second->proof.restored_files, 1);
    /* Damage that comes later is found before it can do harm. */
    object_of(second, "shared/data/lib/same.txt", inherited);
    flip_byte(room->folder->fd, inherited);
    sample_text(room->root, "shared/data/lib/same.txt", "changed\n");
    assert_refused(apply(room, second, NULL, NULL, error), ERROR_REFUSED, "damaged");
}

static void test_a_point_with_an_object_touched_since_its_proof_is_not_sound(void **state) {
    Room *room = *state;
    char object[128];
    usleep(20000);
    RESTORE_POINT_AUTO first = take(room, "one", RESTORE_POINT_PREPARE);
    assert_done(restore_point_sound(room->store, first, error));
    assert_false(first->sound); /* it is not proved */
    assert_done(prove(room, first, false, error));
    object_of(first, "shared/data/lib/same.txt", object);
    flip_byte(room->folder->fd, object);
    assert_done(restore_point_sound(room->store, first, error));
    assert_false(first->sound);
    room->prior = first;
    RESTORE_POINT_AUTO second = take(room, "two", RESTORE_POINT_FINAL);
    assert_refused(prove(room, second, false, error), ERROR_REFUSED, "damaged");
}

static void test_equal_contents_are_stored_once(void **state) {
    Room *room = *state;
    RESTORE_POINT_AUTO point = take(room, NULL, RESTORE_POINT_PREPARE);
    uint64_t files = restore_point_part(point, "data")->file_count + 1;
    assert_true(point->stored_objects < files); /* a.txt and same.txt */
    RESTORE_POINT_AUTO again = take(room, NULL, RESTORE_POINT_PREPARE);
    assert_int_equal(again->stored_objects, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        in_room(test_gives_back_one_of_everything),
        in_room(test_a_loaded_point_is_the_one_that_was_taken),
        in_room(test_only_proving_says_proved),
        in_room(test_an_id_is_taken_once),
        in_room(test_refuses_bad_ids_names_and_paths),
        in_room(test_refuses_a_path_that_is_a_link_or_leads_through_one),
        in_room(test_keeps_what_links_say_wherever_they_lead),
        in_room(test_passes_over_sockets),
        in_room(test_applying_puts_everything_back),
        in_room(test_writes_only_what_differs),
        in_room(test_a_changed_byte_under_the_old_times_is_put_back),
        in_room(test_what_was_missing_is_missing_again),
        in_room(test_leaves_alone_what_is_out_of_scope),
        in_room(test_does_not_follow_a_link_out_of_the_root),
        in_room(test_a_planted_temporary_file_is_not_written_through),
        in_room(test_looking_tells_and_touches_nothing),
        in_room(test_restores_one_part_or_one_path),
        in_room(test_a_further_name_alone_becomes_a_file),
        in_room(test_a_second_point_reads_and_proves_only_what_changed),
        in_room(test_an_unchanged_tree_is_linked_to_the_prior_one),
        in_room(test_a_recent_change_is_never_believed_unchanged),
        in_room(test_a_metadata_change_is_kept_and_proved),
        in_room(test_a_point_that_the_store_lost_is_no_prior),
        in_room(test_where_nothing_differs_from_the_prior_point_none_is_taken),
        in_room(test_what_was_just_set_aside_tells_what_to_put_back),
        in_room(test_folders_above_what_is_known_are_not_removed),
        in_room(test_what_is_inherited_from_a_sound_point_is_proved_without_looking_again),
        in_room(test_a_point_with_an_object_touched_since_its_proof_is_not_sound),
        in_room(test_equal_contents_are_stored_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
