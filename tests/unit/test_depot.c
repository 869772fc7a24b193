#include "server/depot.h"
#include "support/depot_play.h"
#include <errno.h>
#include <pthread.h>

typedef struct Room {
    const TestFolder *folder;
    Depot *depot;
    DepotPiece file; /* 1.0.upk */
} Room;

static Room room_open(const TestFolder *folder) {
    Room room = {.folder = folder};
    sample_pack_version(folder, "1.0", true);
    depot_play_trust(folder, "trust", "k");
    room.file = depot_play_file(folder, "1.0.upk");
    assert_done(depot_open(folder->path, &room.depot, error));
    return room;
}

static void room_close(Room *room) {
    depot_close(room->depot);
    buffer_free(&room->file.bytes);
}

static uint64_t arrived(const Room *room) {
    uint64_t size = 77;
    assert_done(depot_upload_size(room->depot, room->file.sha256, &size, error));
    return size;
}

static bool stands(const Room *room, const char *suffix) {
    char name[DIGEST_TEXT_SIZE + 32];
    snprintf(name, sizeof name, "packages/%s%s", room->file.sha256, suffix);
    return faccessat(room->folder->fd, name, F_OK, 0) == 0;
}

/* All of it, and its event folded. */
static void publish(Room *room, const char *name) {
    JSON_AUTO event = NULL;
    depot_play_upload(room->depot, room->file.sha256, &room->file.bytes);
    assert_done(depot_publish(room->depot, room->file.sha256, name, &event, error));
    json_set_text(event, "time", "2026-11-25T00:00:00Z");
    depot_fold(room->depot, event);
}

static void test_a_package_is_published_and_found(void **state) {
    Room room = room_open(*state);
    ARENA_AUTO arena = arena_new();
    DepotPackage found;
    FD_AUTO fd = -1;
    uint64_t size = 0;
    assert_int_equal(depot_list(room.depot, arena).count, 0);
    publish(&room, "sample-1.0.upk");
    assert_done(depot_find(room.depot, arena, room.file.sha256, &found, error));
    assert_string_equal(found.service, "sample");
    assert_string_equal(found.version, "1.0");
    assert_string_equal(found.published, "2026-11-25T00:00:00Z");
    assert_int_equal(found.size, room.file.bytes.size);
    assert_done(depot_find(room.depot, arena, found.digest, &found, error));
    assert_done(depot_find(room.depot, arena, "sample-1.0.upk", &found, error));
    assert_done(depot_find(room.depot, arena, "sample 1.0", &found, error));
    assert_done(depot_open_file(room.depot, room.file.sha256, &fd, &size, error));
    assert_int_equal(size, room.file.bytes.size);
    assert_false(stands(&room, ".part"));
    room_close(&room);
}

static void test_what_is_not_there_is_not_found(void **state) {
    static const char *const names[] = {"",      "sample",      "sample ",        "sample 1",
                                        " 1.0",  "sample 1.00", "../trust/k.pub", "/etc/passwd",
                                        "sampl", "sample-1.0"};
    Room room = room_open(*state);
    ARENA_AUTO arena = arena_new();
    DepotPackage found;
    int fd = -1;
    uint64_t size;
    publish(&room, "sample-1.0.upk");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_refused(depot_find(room.depot, arena, names[i], &found, error), ERROR_INVALID, "no package");
        assert_refused(depot_open_file(room.depot, names[i], &fd, &size, error), ERROR_INVALID, "SHA-256");
    }
    room_close(&room);
}

static void test_the_newest_of_a_name_is_found(void **state) {
    Room room = room_open(*state);
    ARENA_AUTO arena = arena_new();
    DepotPackage found;
    publish(&room, "same.upk");
    JSON_AUTO event = json_pack("{s:s,s:s,s:s,s:s}", "type", "package.published", "name", "same.upk",
                                "sha256", "later", "service", "sample");
    JSON_AUTO other = json_pack("{s:s,s:s,s:s}", "type", "host.joined", "name", "same.upk", "sha256", "no");
    depot_fold(room.depot, event);
    depot_fold(room.depot, other);
    assert_done(depot_find(room.depot, arena, "same.upk", &found, error));
    assert_string_equal(found.sha256, "later");
    assert_int_equal(depot_list(room.depot, arena).count, 2);
    room_close(&room);
}

static json_t *event_of(const char *sha256, const char *name, const char *service) {
    return json_pack("{s:s,s:s,s:s,s:s,s:s}", "type", "package.published", "name", name, "sha256", sha256,
                     "service", service, "version", "9");
}

static void fold(const Room *room, const char *sha256, const char *name, const char *service) {
    JSON_AUTO event = event_of(sha256, name, service);
    depot_fold(room->depot, event);
}

/* Older journals may have such names. */
static void test_what_a_package_is_comes_before_what_others_are_called(void **state) {
    Room room = room_open(*state);
    ARENA_AUTO arena = arena_new();
    DepotPackage found, meant;
    publish(&room, "sample-1.0.upk");
    assert_done(depot_find(room.depot, arena, room.file.sha256, &meant, error));
    fold(&room, "another", meant.sha256, "other");
    fold(&room, "another", meant.digest, "other");
    fold(&room, "another", "sample 1.0", "other");
    assert_done(depot_find(room.depot, arena, meant.sha256, &found, error));
    assert_string_equal(found.sha256, meant.sha256);
    assert_done(depot_find(room.depot, arena, meant.digest, &found, error));
    assert_string_equal(found.sha256, meant.sha256);
    assert_done(depot_find(room.depot, arena, "sample 1.0", &found, error));
    assert_string_equal(found.sha256, meant.sha256);
    room_close(&room);
}

static void test_names_that_could_be_something_else_are_refused(void **state) {
    Room room = room_open(*state);
    JSON_AUTO event = NULL;
    depot_play_upload(room.depot, room.file.sha256, &room.file.bytes);
    assert_refused(depot_publish(room.depot, room.file.sha256, room.file.sha256, &event, error),
                   ERROR_INVALID, "digest");
    assert_refused(depot_publish(room.depot, room.file.sha256, "sample 1.0", &event, error), ERROR_INVALID,
                   "version");
    assert_refused(depot_publish(room.depot, room.file.sha256, "a/b.upk", &event, error), ERROR_INVALID,
                   "name");
    assert_refused(depot_publish(room.depot, room.file.sha256, "", &event, error), ERROR_INVALID, "name");
    assert_done(depot_publish(room.depot, room.file.sha256, "sample 1.0.upk", &event, error));
    room_close(&room);
}

static void test_a_name_used_again_says_what_it_meant(void **state) {
    Room room = room_open(*state);
    JSON_AUTO event = NULL;
    fold(&room, "before", "latest.upk", "sample");
    depot_play_upload(room.depot, room.file.sha256, &room.file.bytes);
    assert_done(depot_publish(room.depot, room.file.sha256, "latest.upk", &event, error));
    assert_string_equal(json_get_text(event, "replaces", ""), "before");
    depot_fold(room.depot, event);
    JSON_AUTO again = NULL;
    assert_done(depot_publish(room.depot, room.file.sha256, "latest.upk", &again, error));
    assert_null(json_get_text(again, "replaces", NULL)); /* it is the same */
    room_close(&room);
}

static void test_the_name_of_another_services_package_is_refused(void **state) {
    Room room = room_open(*state);
    JSON_AUTO event = NULL;
    fold(&room, "before", "shop.upk", "shop");
    depot_play_upload(room.depot, room.file.sha256, &room.file.bytes);
    assert_refused(depot_publish(room.depot, room.file.sha256, "shop.upk", &event, error), ERROR_REFUSED,
                   "shop");
    assert_true(stands(&room, ".part")); /* it is a good one, and may have another name */
    assert_done(depot_publish(room.depot, room.file.sha256, "sample.upk", &event, error));
    room_close(&room);
}

static void test_pieces_come_one_after_another(void **state) {
    Room room = room_open(*state);
    const char *sha256 = room.file.sha256, *bytes = room.file.bytes.data;
    assert_int_equal(arrived(&room), 0);
    assert_refused(depot_upload(room.depot, sha256, 10, bytes + 10, 5, error), ERROR_REFUSED, "number 0");
    assert_done(depot_upload(room.depot, sha256, 0, bytes, 10, error));
    assert_int_equal(arrived(&room), 10);
    assert_refused(depot_upload(room.depot, sha256, 0, bytes, 10, error), ERROR_REFUSED, "number 10");
    assert_refused(depot_upload(room.depot, sha256, 11, bytes, 1, error), ERROR_REFUSED, "number 10");
    assert_int_equal(arrived(&room), 10);
    room_close(&room);
}

static void test_an_upload_goes_on_after_a_restart(void **state) {
    Room room = room_open(*state);
    JSON_AUTO event = NULL;
    size_t half = room.file.bytes.size / 2;
    assert_done(depot_upload(room.depot, room.file.sha256, 0, room.file.bytes.data, half, error));
    depot_close(room.depot);
    assert_done(depot_open(room.folder->path, &room.depot, error));
    assert_int_equal(arrived(&room), half);
    assert_done(depot_upload(room.depot, room.file.sha256, half, room.file.bytes.data + half,
                             room.file.bytes.size - half, error));
    assert_done(depot_publish(room.depot, room.file.sha256, "p.upk", &event, error));
    room_close(&room);
}

static void test_pieces_and_packages_have_a_greatest_size(void **state) {
    Room room = room_open(*state);
    char *piece = calloc(1, DEPOT_PIECE_MAX + 1), name[128];
    assert_non_null(piece);
    assert_refused(depot_upload(room.depot, room.file.sha256, 0, piece, DEPOT_PIECE_MAX + 1, error),
                   ERROR_REFUSED, "piece");
    snprintf(name, sizeof name, "packages/%s.part", room.file.sha256);
    sample_sparse(room.folder->fd, name, DEPOT_PACKAGE_MAX - 1, "x");
    assert_refused(depot_upload(room.depot, room.file.sha256, DEPOT_PACKAGE_MAX - 1, piece, 2, error),
                   ERROR_REFUSED, "at most");
    free(piece);
    room_close(&room);
}

static void test_names_that_are_no_digests_are_refused(void **state) {
    static const char *const names[] = {"", "..", "../../etc/passwd", "ABCDEF", "0123"};
    Room room = room_open(*state);
    uint64_t size;
    json_t *event = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_refused(depot_upload_size(room.depot, names[i], &size, error), ERROR_INVALID, "SHA-256");
        assert_refused(depot_upload(room.depot, names[i], 0, "x", 1, error), ERROR_INVALID, "SHA-256");
        assert_refused(depot_publish(room.depot, names[i], "n", &event, error), ERROR_INVALID, "SHA-256");
    }
    room_close(&room);
}

static void test_other_bytes_than_promised_are_thrown_away(void **state) {
    Room room = room_open(*state);
    json_t *event = NULL;
    char other[DIGEST_TEXT_SIZE];
    Digest digest = digest_of("other", 5);
    digest_to_text(&digest, other);
    depot_play_upload(room.depot, other, &room.file.bytes); /* a good package, under another name */
    assert_refused(depot_publish(room.depot, other, "p.upk", &event, error), ERROR_INVALID,
                   "another SHA-256");
    memcpy(room.file.sha256, other, sizeof other);
    assert_int_equal(arrived(&room), 0);
    assert_false(stands(&room, ""));
    room_close(&room);
}

static void test_what_is_no_package_is_thrown_away(void **state) {
    Room room = room_open(*state);
    json_t *event = NULL;
    buffer_clear(&room.file.bytes);
    buffer_text_append(&room.file.bytes, "no package at all");
    Digest digest = digest_of(room.file.bytes.data, room.file.bytes.size);
    digest_to_text(&digest, room.file.sha256);
    depot_play_upload(room.depot, room.file.sha256, &room.file.bytes);
    Error problem = {0};
    assert_int_equal(depot_publish(room.depot, room.file.sha256, "p.upk", &event, &problem), -1);
    assert_int_equal(problem.kind, ERROR_INVALID);
    assert_int_equal(arrived(&room), 0);
    assert_false(stands(&room, ""));
    room_close(&room);
}

static void test_a_package_of_a_strange_key_is_not_published(void **state) {
    Room room = room_open(*state);
    json_t *event = NULL;
    assert_int_equal(unlinkat(room.folder->fd, "trust/k.pub", 0), 0);
    depot_play_trust(room.folder, "trust", "other");
    depot_play_upload(room.depot, room.file.sha256, &room.file.bytes);
    Error problem = {0};
    assert_int_equal(depot_publish(room.depot, room.file.sha256, "p.upk", &event, &problem), -1);
    assert_false(stands(&room, ""));
    room_close(&room);
}

static void test_without_trusted_keys_the_upload_waits_for_one(void **state) {
    Room room = room_open(*state);
    JSON_AUTO event = NULL;
    assert_int_equal(unlinkat(room.folder->fd, "trust/k.pub", 0), 0);
    depot_play_upload(room.depot, room.file.sha256, &room.file.bytes);
    assert_refused(depot_publish(room.depot, room.file.sha256, "p.upk", &event, error), ERROR_REFUSED,
                   "trusts no key");
    assert_int_equal(arrived(&room), room.file.bytes.size);
    depot_play_trust(room.folder, "trust", "k");
    assert_done(depot_publish(room.depot, room.file.sha256, "p.upk", &event, error));
    room_close(&room);
}

static void test_nothing_uploaded_cannot_be_published(void **state) {
    Room room = room_open(*state);
    json_t *event = NULL;
    assert_refused(depot_publish(room.depot, room.file.sha256, "p.upk", &event, error), ERROR_INVALID,
                   "nothing of it has come");
    room_close(&room);
}

/* The answer to the first request was lost, say. */
static void test_publishing_again_is_no_harm(void **state) {
    Room room = room_open(*state);
    ARENA_AUTO arena = arena_new();
    JSON_AUTO again = NULL;
    DepotPackage found;
    publish(&room, "p.upk");
    assert_done(depot_publish(room.depot, room.file.sha256, "p.upk", &again, error));
    depot_fold(room.depot, again);
    assert_done(depot_find(room.depot, arena, "p.upk", &found, error));
    assert_string_equal(found.sha256, room.file.sha256);
    room_close(&room);
}

static void test_what_was_being_verified_in_a_crash_can_be_gone_on_with(void **state) {
    Room room = room_open(*state);
    JSON_AUTO event = NULL;
    char part[DIGEST_TEXT_SIZE + 32], whole[DIGEST_TEXT_SIZE + 32];
    depot_play_upload(room.depot, room.file.sha256, &room.file.bytes);
    depot_close(room.depot);
    snprintf(part, sizeof part, "packages/%s.part", room.file.sha256);
    snprintf(whole, sizeof whole, "packages/%s.whole", room.file.sha256);
    assert_int_equal(renameat(room.folder->fd, part, room.folder->fd, whole), 0);
    assert_done(depot_open(room.folder->path, &room.depot, error));
    assert_int_equal(arrived(&room), room.file.bytes.size);
    assert_done(depot_publish(room.depot, room.file.sha256, "p.upk", &event, error));
    room_close(&room);
}

typedef struct Meddler {
    Room *room;
    atomic_bool end;
} Meddler;

static void *meddle(void *context) {
    Meddler *meddler = context;
    Room *room = meddler->room;
    while (!atomic_load(&meddler->end))
        depot_upload(room->depot, room->file.sha256, room->file.bytes.size, "more", 4, NULL);
    return NULL;
}

/* Whatever is uploaded while it is being verified, the bytes under the name are those that were verified. */
static void test_nothing_slips_in_between_verifying_and_keeping(void **state) {
    Room room = room_open(*state);
    Meddler meddler = {.room = &room};
    pthread_t thread;
    int kept = 0;
    assert_int_equal(pthread_create(&thread, NULL, meddle, &meddler), 0);
    for (int i = 0; i < 200; i++) {
        json_t *event = NULL;
        uint64_t size = 0;
        int fd = -1;
        if (arrived(&room) == 0)
            depot_upload(room.depot, room.file.sha256, 0, room.file.bytes.data, room.file.bytes.size, NULL);
        if (depot_publish(room.depot, room.file.sha256, "p.upk", &event, NULL) == 0) kept++;
        json_decref(event);
        if (depot_open_file(room.depot, room.file.sha256, &fd, &size, NULL) == 0) {
            close(fd);
            if (size != room.file.bytes.size) fail_msg("published with %llu bytes", (unsigned long long)size);
        }
    }
    atomic_store(&meddler.end, true);
    pthread_join(thread, NULL);
    (void)kept;
    room_close(&room);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_package_is_published_and_found),
        test_in_folder(test_what_is_not_there_is_not_found),
        test_in_folder(test_the_newest_of_a_name_is_found),
        test_in_folder(test_what_a_package_is_comes_before_what_others_are_called),
        test_in_folder(test_names_that_could_be_something_else_are_refused),
        test_in_folder(test_a_name_used_again_says_what_it_meant),
        test_in_folder(test_the_name_of_another_services_package_is_refused),
        test_in_folder(test_pieces_come_one_after_another),
        test_in_folder(test_an_upload_goes_on_after_a_restart),
        test_in_folder(test_pieces_and_packages_have_a_greatest_size),
        test_in_folder(test_names_that_are_no_digests_are_refused),
        test_in_folder(test_other_bytes_than_promised_are_thrown_away),
        test_in_folder(test_what_is_no_package_is_thrown_away),
        test_in_folder(test_a_package_of_a_strange_key_is_not_published),
        test_in_folder(test_without_trusted_keys_the_upload_waits_for_one),
        test_in_folder(test_nothing_uploaded_cannot_be_published),
        test_in_folder(test_publishing_again_is_no_harm),
        test_in_folder(test_what_was_being_verified_in_a_crash_can_be_gone_on_with),
        test_in_folder(test_nothing_slips_in_between_verifying_and_keeping),
    };
    return cmocka_run_group_tests_name("depot", tests, NULL, NULL);
}
