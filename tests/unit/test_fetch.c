#include "agent/fetch.h"
#include "support/controlled.h"

typedef struct Room {
    Controlled controlled;
    DepotPiece file; /* 1.0.upk */
    Home *home;
    Fetch fetch;
    int packages; /* the home's folder */
} Room;

static void room_open(Room *room, const TestFolder *folder) {
    *room = (Room){0};
    controlled_open(&room->controlled, folder);
    controlled_packages(&room->controlled, true);
    controlled_join(&room->controlled, "h");
    room->file = depot_play_file(folder, "1.0.upk");
    room->home = controlled_home(&room->controlled, "h", true);
    assert_done(home_packages_dir(room->home, &room->packages, error));
    room->fetch = (Fetch){.home = room->home,
                          .url = room->controlled.url,
                          .sha256 = room->file.sha256,
                          .size = room->file.bytes.size};
}

static void room_close(Room *room) {
    close(room->packages);
    home_close(room->home);
    buffer_free(&room->file.bytes);
    controlled_close(&room->controlled);
}

static void check_came(const Room *room) {
    BUFFER_AUTO got = {0};
    assert_done(file_read(room->packages, room->file.sha256, 64 << 20, &got, error));
    assert_int_equal(got.size, room->file.bytes.size);
    assert_memory_equal(got.data, room->file.bytes.data, got.size);
}

static void part(const Room *room, const void *bytes, size_t size) {
    char name[DIGEST_TEXT_SIZE + 8];
    snprintf(name, sizeof name, "%s.part", room->file.sha256);
    sample_write(room->packages, name, bytes, size);
}

static bool has_part(const Room *room) {
    char name[DIGEST_TEXT_SIZE + 8];
    snprintf(name, sizeof name, "%s.part", room->file.sha256);
    return faccessat(room->packages, name, F_OK, 0) == 0;
}

static void test_a_package_is_brought_whole(void **state) {
    Room room;
    ProgressWish wish = {0};
    room_open(&room, *state);
    assert_done(fetch_package(&room.fetch, &wish, error));
    check_came(&room);
    assert_false(has_part(&room));
    room_close(&room);
}

static void test_one_that_is_there_needs_no_controller(void **state) {
    Room room;
    ProgressWish wish = {0};
    room_open(&room, *state);
    sample_write(room.packages, room.file.sha256, room.file.bytes.data, room.file.bytes.size);
    room.fetch.url = "https://127.0.0.1:1";
    assert_done(fetch_package(&room.fetch, &wish, error));
    room_close(&room);
}

static void test_damaged_ones_are_brought_anew(void **state) {
    Room room;
    ProgressWish wish = {0};
    room_open(&room, *state);
    sample_write(room.packages, room.file.sha256, "damaged", 7);
    assert_done(fetch_package(&room.fetch, &wish, error));
    check_came(&room);
    room_close(&room);
}

static void test_what_came_before_is_gone_on_with(void **state) {
    Room room;
    ProgressWish wish = {0};
    room_open(&room, *state);
    part(&room, room.file.bytes.data, room.file.bytes.size / 2);
    assert_done(fetch_package(&room.fetch, &wish, error));
    check_came(&room);
    room_close(&room);
}

/* It died between the last byte and the name. */
static void test_what_came_whole_is_kept(void **state) {
    Room room;
    ProgressWish wish = {0};
    room_open(&room, *state);
    part(&room, room.file.bytes.data, room.file.bytes.size);
    assert_done(fetch_package(&room.fetch, &wish, error));
    check_came(&room);
    room_close(&room);
}

static void test_other_bytes_are_refused_and_come_anew_the_next_time(void **state) {
    Room room;
    ProgressWish wish = {0};
    room_open(&room, *state);
    room.file.bytes.data[0] ^= 1;
    part(&room, room.file.bytes.data, room.file.bytes.size - 1);
    room.file.bytes.data[0] ^= 1;
    assert_refused(fetch_package(&room.fetch, &wish, error), ERROR_REFUSED, "is not the package");
    assert_false(has_part(&room));
    assert_done(fetch_package(&room.fetch, &wish, error));
    check_came(&room);
    room_close(&room);
}

static void *cancel_soon(void *context) {
    usleep(300000);
    atomic_store((atomic_bool *)context, true);
    return NULL;
}

static void test_waiting_for_a_controller_that_is_away_can_be_cancelled(void **state) {
    Room room;
    atomic_bool cancel = false;
    pthread_t thread;
    ProgressWish wish = {.cancel = &cancel};
    room_open(&room, *state);
    room.fetch.url = "https://127.0.0.1:1";
    pthread_create(&thread, NULL, cancel_soon, &cancel);
    assert_refused(fetch_package(&room.fetch, &wish, error), ERROR_INTERRUPTED, "cancelled");
    pthread_join(thread, NULL);
    room_close(&room);
}

static void test_a_host_that_is_not_known_any_more_gives_up(void **state) {
    Room room;
    ProgressWish wish = {0};
    room_open(&room, *state);
    controlled_ask(&room.controlled, ROLE_ADMIN, "POST", "/api/v1/hosts/h/revoke", "{}", NULL);
    Error problem = {0};
    assert_int_equal(fetch_package(&room.fetch, &wish, &problem), -1);
    room_close(&room);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_package_is_brought_whole),
        test_in_folder(test_one_that_is_there_needs_no_controller),
        test_in_folder(test_damaged_ones_are_brought_anew),
        test_in_folder(test_what_came_before_is_gone_on_with),
        test_in_folder(test_what_came_whole_is_kept),
        test_in_folder(test_other_bytes_are_refused_and_come_anew_the_next_time),
        test_in_folder(test_waiting_for_a_controller_that_is_away_can_be_cancelled),
        test_in_folder(test_a_host_that_is_not_known_any_more_gives_up),
    };
    return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
