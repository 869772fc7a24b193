/* Streams, from a journal that somebody writes to all the time. */
#include "base/json.h"
#include "journal/journal_memory.h"
#include "server/hub.h"
#include "support/sample.h"
#include "support/served.h"
#include <pthread.h>

typedef struct Room {
    Served served;
    Hub *hub;
    pthread_mutex_t lock; /* of the journal */
    Journal *journal;
    const char *change; /* of the streams that are asked for */
    int64_t after;
    atomic_int refused;
} Room;

static int read_past(void *context, int64_t after, const char *change, JournalVisit visit,
                     void *visit_context, Error *error) {
    Room *room = context;
    pthread_mutex_lock(&room->lock);
    int result = journal_read(room->journal, after, change, visit, visit_context, error);
    pthread_mutex_unlock(&room->lock);
    return result;
}

static int handle(void *context, ServerRequest *request) {
    Room *room = context;
    HubPast past = {read_past, room};
    const char *bearer = server_request_header(request, "Authorization");
    HubStream stream = {.change = room->change, .bearer = bearer ? bearer : "", .after = room->after};
    if (hub_add(room->hub, request, &stream, &past, NULL) == 0) return 0;
    atomic_fetch_add(&room->refused, 1);
    server_answer(request, 409, NULL, NULL);
    return 0;
}

static void room_open(Room *room) {
    *room = (Room){.hub = hub_new(), .journal = journal_memory_new()};
    pthread_mutex_init(&room->lock, NULL);
    served_start(&room->served, handle, room, (ServerLimits){.stream_max = HUB_STREAM_BYTES});
    hub_set_server(room->hub, room->served.server);
}

static void room_close(Room *room) {
    hub_set_server(room->hub, NULL);
    served_end(&room->served);
    hub_free(room->hub);
    journal_close(room->journal);
    pthread_mutex_destroy(&room->lock);
}

static int hear(void *context, int64_t sequence, const json_t *event, Error *error) {
    (void)error;
    hub_hear(((Room *)context)->hub, sequence, event);
    return 0;
}

/* As the fleet's teller: written first, told a moment later, in order, by one thread. */
static void write_event(Room *room, const char *change, int64_t told) {
    JSON_AUTO event =
        json_pack("{s:s,s:s,s:s}", "type", "x.y", "time", "2026-11-25T00:00:00Z", "change", change);
    pthread_mutex_lock(&room->lock);
    int64_t sequence = told;
    Digest head;
    assert_done(journal_append(room->journal, &event, 1, error));
    assert_done(journal_head(room->journal, &sequence, &head, error));
    pthread_mutex_unlock(&room->lock);
    if (told >= 0) hear(room, sequence, event, NULL);
}

static int open_stream_of(const Room *room, const char *bearer) {
    char request[128];
    int fd = raw_connect(served_port(&room->served));
    snprintf(request, sizeof request, "GET /stream HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\n\r\n", bearer);
    assert_true(raw_send(fd, request));
    return fd;
}

static int open_stream(const Room *room) { return open_stream_of(room, "somebody"); }

static void test_the_past_comes_first_and_then_what_happens(void **state) {
    (void)state;
    Room room;
    BUFFER_AUTO got = {0};
    room_open(&room);
    write_event(&room, "C1", 0);
    write_event(&room, "C1", 0);
    room.after = 1;
    int fd = open_stream(&room);
    int past = raw_read(fd, &got, "id: 2\nevent: x.y\ndata: {");
    write_event(&room, "C1", 0);
    int live = raw_read(fd, &got, "id: 3\nevent: x.y\n");
    close(fd);
    room_close(&room);
    assert_int_equal(past, 1);
    assert_int_equal(live, 1);
    assert_null(strstr(got.data, "id: 1\n"));
}

static void test_a_stream_of_a_change_has_nothing_of_others(void **state) {
    (void)state;
    Room room;
    BUFFER_AUTO got = {0};
    room_open(&room);
    room.change = "C1";
    write_event(&room, "C2", 0);
    int fd = open_stream(&room);
    raw_read(fd, &got, "text/event-stream");
    write_event(&room, "C2", 0);
    write_event(&room, "C1", 0);
    int came = raw_read(fd, &got, "id: 3\n");
    close(fd);
    room_close(&room);
    assert_int_equal(came, 1);
    assert_null(strstr(got.data, "id: 1\n"));
    assert_null(strstr(got.data, "id: 2\n"));
}

enum { EVENTS = 400, STREAMS = 20 };

static void *write_all(void *context) {
    for (int i = 0; i < EVENTS; i++) {
        write_event(context, "C1", 0);
        usleep(500);
    }
    return NULL;
}

/* How often each number stands in it: once, and in order. */
static bool is_complete(const char *text) {
    int64_t expected = 1;
    for (const char *at = text; (at = strstr(at, "id: ")); at += 4)
        if (strtoll(at + 4, NULL, 10) != expected++) return false;
    return expected == EVENTS + 1;
}

static void test_whoever_joins_in_the_middle_misses_nothing_and_hears_nothing_twice(void **state) {
    (void)state;
    Room room;
    pthread_t writer;
    int fds[STREAMS], complete = 0;
    char last[32];
    room_open(&room);
    pthread_create(&writer, NULL, write_all, &room);
    for (int i = 0; i < STREAMS; i++) {
        fds[i] = open_stream(&room);
        usleep(8000);
    }
    pthread_join(writer, NULL);
    snprintf(last, sizeof last, "id: %d\n", EVENTS);
    for (int i = 0; i < STREAMS; i++) {
        BUFFER_AUTO got = {0};
        raw_read(fds[i], &got, last);
        complete += is_complete(buffer_text(&got));
        close(fds[i]);
    }
    room_close(&room);
    assert_int_equal(complete, STREAMS);
}

static void test_a_client_that_has_gone_makes_room(void **state) {
    (void)state;
    Room room;
    room_open(&room);
    for (int i = 0; i < 50; i++) {
        BUFFER_AUTO got = {0};
        int fd = open_stream(&room);
        raw_read(fd, &got, "text/event-stream");
        close(fd);
    }
    EVENTUALLY(server_counts(room.served.server).parked == 0);
    write_event(&room, "C1", 0);
    int fd = open_stream(&room);
    BUFFER_AUTO got = {0};
    int came = raw_read(fd, &got, "id: 1\n");
    close(fd);
    room_close(&room);
    assert_int_equal(came, 1);
}

static void test_too_much_of_the_past_is_refused(void **state) {
    (void)state;
    Room room;
    BUFFER_AUTO got = {0};
    room_open(&room);
    for (int i = 0; i <= HUB_BACKLOG_MAX; i++) write_event(&room, "C1", -1);
    int fd = open_stream(&room);
    raw_read(fd, &got, "\r\n\r\n");
    close(fd);
    int refused = atomic_load(&room.refused);
    room_close(&room);
    assert_int_equal(raw_status(&got), 409);
    assert_int_equal(refused, 1);
}

/* Less than that many, and yet more than a server keeps for one client. */
static void test_all_of_the_past_that_is_not_refused_comes(void **state) {
    (void)state;
    Room room;
    BUFFER_AUTO got = {0};
    char last[32];
    room_open(&room);
    for (int i = 0; i < HUB_BACKLOG_MAX; i++)
        write_event(&room, "a-change-with-a-name-of-some-length-0001", -1);
    int fd = open_stream(&room);
    snprintf(last, sizeof last, "id: %d\n", HUB_BACKLOG_MAX);
    int came = raw_read(fd, &got, last);
    close(fd);
    int refused = atomic_load(&room.refused);
    room_close(&room);
    if (came != 1 && refused != 1) fail_msg("came %d, refused %d, %zu bytes", came, refused, got.size);
}

static void test_without_its_server_a_hub_still_takes_streams(void **state) {
    (void)state;
    Room room;
    BUFFER_AUTO got = {0};
    room_open(&room);
    hub_set_server(room.hub, NULL); /* it is being started, or about to stop */
    write_event(&room, "C1", 0);
    int fd = open_stream(&room);
    int came = raw_read(fd, &got, "id: 1\n");
    close(fd);
    room_close(&room);
    assert_int_equal(came, 1);
}

static bool is_not_the_first(void *context, const char *bearer) {
    (void)context;
    return strcmp(bearer, "first") != 0;
}

static void test_streams_of_those_who_may_look_no_longer_end(void **state) {
    (void)state;
    Room room;
    BUFFER_AUTO first = {0};
    BUFFER_AUTO second = {0};
    room_open(&room);
    int one = open_stream_of(&room, "first"), other = open_stream_of(&room, "second");
    raw_read(one, &first, ":\n\n");
    raw_read(other, &second, ":\n\n");
    EVENTUALLY(server_counts(room.served.server).parked == 2);
    hub_review(room.hub, is_not_the_first, NULL);
    write_event(&room, "C1", 0);
    int ended = raw_read(one, &first, "\r\n0\r\n\r\n"); /* the last chunk */
    int went_on = raw_read(other, &second, "id: 1\n");
    close(one);
    close(other);
    room_close(&room);
    assert_int_equal(ended, 1);
    assert_null(strstr(buffer_text(&first), "id: 1\n"));
    assert_int_equal(went_on, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_past_comes_first_and_then_what_happens),
        cmocka_unit_test(test_a_stream_of_a_change_has_nothing_of_others),
        cmocka_unit_test(test_whoever_joins_in_the_middle_misses_nothing_and_hears_nothing_twice),
        cmocka_unit_test(test_a_client_that_has_gone_makes_room),
        cmocka_unit_test(test_too_much_of_the_past_is_refused),
        cmocka_unit_test(test_all_of_the_past_that_is_not_refused_comes),
        cmocka_unit_test(test_without_its_server_a_hub_still_takes_streams),
        cmocka_unit_test(test_streams_of_those_who_may_look_no_longer_end),
    };
    return cmocka_run_group_tests_name("hub", tests, NULL, NULL);
}
