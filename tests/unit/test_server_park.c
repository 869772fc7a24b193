/* Requests that wait, and streams. */
#include "support/served.h"
#include "wire/call.h"

enum { TICKETS = 64 };

/* What the handler did, for the test's own thread. */
typedef struct Lot {
    ServerTicket tickets[TICKETS];
    atomic_int count, refused;
    int64_t wait_ms;
} Lot;

enum { LONG_MS = 600000 };

static int park(void *context, ServerRequest *request) {
    Lot *lot = context;
    ServerTicket ticket;
    if (server_park(request, lot->wait_ms, 204, &ticket, NULL) < 0) {
        atomic_fetch_add(&lot->refused, 1);
        server_answer(request, 503, NULL, NULL);
        return 0;
    }
    lot->tickets[atomic_load(&lot->count) % TICKETS] = ticket; /* one at a time: see ask_and_park() */
    atomic_fetch_add(&lot->count, 1);
    return 0;
}

static int stream(void *context, ServerRequest *request) {
    Lot *lot = context;
    if (server_stream_open(request, &lot->tickets[0], NULL) < 0) return -1;
    atomic_fetch_add(&lot->count, 1);
    return 0;
}

/* A new connection whose request was handled. */
static int ask_and_park(const Served *served, Lot *lot) {
    int before = atomic_load(&lot->count) + atomic_load(&lot->refused);
    int fd = raw_connect(served_port(served));
    assert_true(raw_send(fd, "GET /poll HTTP/1.1\r\nHost: h\r\n\r\n"));
    EVENTUALLY(atomic_load(&lot->count) + atomic_load(&lot->refused) > before);
    return fd;
}

static Buffer text_buffer(const char *text) {
    Buffer buffer = {0};
    buffer_text_append(&buffer, text);
    return buffer;
}

static bool answer(const Served *served, ServerTicket ticket, const char *text) {
    Buffer body = text_buffer(text);
    return server_answer_parked(served->server, ticket, 200, "text/plain", &body);
}

static void test_a_parked_request_is_answered_from_another_thread(void **state) {
    (void)state;
    Served served;
    Lot lot = {.wait_ms = LONG_MS};
    BUFFER_AUTO got = {0};
    served_start(&served, park, &lot, (ServerLimits){0});
    int fd = ask_and_park(&served, &lot);
    assert_int_equal(server_counts(served.server).parked, 1);
    bool there = answer(&served, lot.tickets[0], "an order");
    int came = raw_read(fd, &got, "an order");
    unsigned parked = server_counts(served.server).parked;
    close(fd);
    served_end(&served);
    assert_true(there);
    assert_int_equal(came, 1);
    assert_int_equal(raw_status(&got), 200);
    assert_int_equal(parked, 0);
}

static void test_a_parked_request_ends_at_its_deadline(void **state) {
    (void)state;
    Served served;
    Lot lot = {.wait_ms = 50};
    BUFFER_AUTO got = {0};
    served_start(&served, park, &lot, (ServerLimits){0});
    int fd = ask_and_park(&served, &lot);
    int came = raw_read(fd, &got, "\r\n\r\n");
    bool there = answer(&served, lot.tickets[0], "too late");
    close(fd);
    served_end(&served);
    assert_int_equal(came, 1);
    assert_int_equal(raw_status(&got), 204);
    assert_false(there);
}

static void test_deadlines_come_in_their_own_order(void **state) {
    (void)state;
    static const int waits_ms[] = {LONG_MS, 300, LONG_MS, 50, LONG_MS, 100, 200};
    enum { MANY = sizeof waits_ms / sizeof *waits_ms };
    Served served;
    Lot lot = {0};
    int fds[MANY], ended = 0;
    served_start(&served, park, &lot, (ServerLimits){0});
    for (int i = 0; i < MANY; i++) {
        lot.wait_ms = waits_ms[i];
        fds[i] = ask_and_park(&served, &lot);
    }
    EVENTUALLY(server_counts(served.server).parked == 3);
    for (int i = 0; i < MANY; i++) {
        BUFFER_AUTO got = {0};
        if (waits_ms[i] != LONG_MS && raw_read(fds[i], &got, "\r\n\r\n") == 1) ended++;
        close(fds[i]);
    }
    EVENTUALLY(server_counts(served.server).parked == 0);
    served_end(&served);
    assert_int_equal(ended, 4);
}

static void test_the_connection_of_a_parked_request_goes_on(void **state) {
    (void)state;
    Served served;
    Lot lot = {.wait_ms = LONG_MS};
    BUFFER_AUTO got = {0};
    served_start(&served, park, &lot, (ServerLimits){0});
    int fd = ask_and_park(&served, &lot);
    answer(&served, lot.tickets[0], "first");
    raw_read(fd, &got, "first");
    raw_send(fd, "GET /poll HTTP/1.1\r\nHost: h\r\n\r\n");
    EVENTUALLY(lot.count == 2);
    answer(&served, lot.tickets[1], "second");
    int came = raw_read(fd, &got, "second");
    close(fd);
    served_end(&served);
    assert_int_equal(came, 1);
}

static void test_what_is_sent_ahead_does_not_end_the_waiting(void **state) {
    (void)state;
    Served served;
    Lot lot = {.wait_ms = LONG_MS};
    BUFFER_AUTO got = {0};
    served_start(&served, park, &lot, (ServerLimits){0});
    int fd = ask_and_park(&served, &lot);
    raw_send(fd, "GET /poll HTTP/1.1\r\nHost: h\r\n\r\n");
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int early = poll(&ready, 1, 100);
    bool there = answer(&served, lot.tickets[0], "first");
    raw_read(fd, &got, "first");
    EVENTUALLY(lot.count == 2);
    close(fd);
    served_end(&served);
    assert_int_equal(early, 0);
    assert_true(there);
}

static void test_a_client_that_leaves_frees_its_place(void **state) {
    (void)state;
    Served served;
    Lot lot = {.wait_ms = LONG_MS};
    served_start(&served, park, &lot, (ServerLimits){.parked = 1});
    for (int i = 0; i < 3; i++) {
        close(ask_and_park(&served, &lot));
        EVENTUALLY(server_counts(served.server).connections == 0);
    }
    unsigned parked = server_counts(served.server).parked;
    bool there = answer(&served, lot.tickets[2], "nobody hears");
    served_end(&served);
    assert_int_equal(parked, 0);
    assert_int_equal(lot.refused, 0);
    assert_false(there);
}

static void test_no_more_are_parked_than_allowed(void **state) {
    (void)state;
    Served served;
    Lot lot = {.wait_ms = LONG_MS};
    BUFFER_AUTO got = {0};
    served_start(&served, park, &lot, (ServerLimits){.parked = 2});
    int fds[3];
    for (int i = 0; i < 3; i++) fds[i] = ask_and_park(&served, &lot);
    int came = raw_read(fds[2], &got, "\r\n\r\n");
    for (int i = 0; i < 3; i++) close(fds[i]);
    served_end(&served);
    assert_int_equal(came, 1);
    assert_int_equal(raw_status(&got), 503);
}

static void test_a_ticket_is_answered_once(void **state) {
    (void)state;
    Served served;
    Lot lot = {.wait_ms = LONG_MS};
    served_start(&served, park, &lot, (ServerLimits){.parked = 1});
    int first = ask_and_park(&served, &lot);
    bool once = answer(&served, lot.tickets[0], "once");
    int second = ask_and_park(&served, &lot); /* in the same place */
    bool twice = answer(&served, lot.tickets[0], "twice");
    bool its_own = answer(&served, lot.tickets[1], "its own");
    close(first);
    close(second);
    served_end(&served);
    assert_true(once);
    assert_false(twice);
    assert_true(its_own);
}

static void test_a_ticket_of_a_server_that_was_stopped_is_nobodys_at_the_next(void **state) {
    (void)state;
    Served served;
    Lot lot = {.wait_ms = LONG_MS};
    served_start(&served, park, &lot, (ServerLimits){.parked = 1});
    close(ask_and_park(&served, &lot));
    served_end(&served);
    served_start(&served, park, &lot, (ServerLimits){.parked = 1});
    int fd = ask_and_park(&served, &lot); /* in the same place */
    bool there = answer(&served, lot.tickets[0], "of somebody else");
    close(fd);
    served_end(&served);
    assert_false(there);
}

static void test_a_ticket_nobody_gave_out_is_nobodys(void **state) {
    (void)state;
    Served served;
    Lot lot = {.wait_ms = LONG_MS};
    served_start(&served, park, &lot, (ServerLimits){.parked = 1});
    bool none = answer(&served, 0, "x"), beyond = answer(&served, UINT64_MAX, "x"),
         made_up = answer(&served, 1, "x");
    served_end(&served);
    assert_false(none || beyond || made_up);
}

static int answer_at_once(void *context, ServerRequest *request) {
    ServerTicket ticket;
    Buffer body = text_buffer("at once");
    server_park(request, LONG_MS, 204, &ticket, NULL);
    server_answer_parked(*(Server **)context, ticket, 200, "text/plain", &body);
    return 0;
}

static void test_an_answer_may_come_before_the_handler_returns(void **state) {
    (void)state;
    Served served;
    Server *server = NULL;
    BUFFER_AUTO got = {0};
    served_start(&served, answer_at_once, &server, (ServerLimits){0});
    server = served.server;
    raw_ask(served_port(&served), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", &got);
    served_end(&served);
    assert_string_equal(raw_body(&got), "at once");
}

static void test_stop_answers_all_that_are_parked(void **state) {
    (void)state;
    enum { MANY = 50 };
    Served served;
    Lot lot = {.wait_ms = LONG_MS};
    int fds[MANY], answered = 0;
    served_start(&served, park, &lot, (ServerLimits){0});
    for (int i = 0; i < MANY; i++) fds[i] = ask_and_park(&served, &lot);
    served_end(&served);
    for (int i = 0; i < MANY; i++) {
        BUFFER_AUTO got = {0};
        raw_read(fds[i], &got, NULL);
        answered += raw_status(&got) == 204;
        close(fds[i]);
    }
    assert_int_equal(answered, MANY);
}

typedef struct Poll {
    pthread_t thread;
    CallClient *client;
    int result, status;
    json_t *answer;
} Poll;

static void *poll_main(void *context) {
    Poll *poll = context;
    poll->result = call(poll->client, "GET", "/poll", NULL, 60000, NULL, &poll->status, &poll->answer, NULL);
    return NULL;
}

static void test_parking_works_over_tls(void **state) {
    (void)state;
    Served served;
    Lot lot = {.wait_ms = LONG_MS};
    Identity identity;
    Poll poll = {0};
    char url[64];
    served_start_tls(&served, park, &lot, (ServerLimits){0});
    identity_make(&identity, &served.authority, (IdentityWish){0});
    snprintf(url, sizeof url, "https://127.0.0.1:%d", served_port(&served));
    CallSettings settings = {.base_url = url,
                             .ca_pem = served.authority.pem,
                             .certificate_pem = identity.pem,
                             .key_pem = identity.key_pem};
    assert_int_equal(call_client_new(&settings, &poll.client, NULL), 0);
    assert_int_equal(pthread_create(&poll.thread, NULL, poll_main, &poll), 0);
    EVENTUALLY(lot.count == 1);
    Buffer body = text_buffer("{\"order\":7}");
    bool there = server_answer_parked(served.server, lot.tickets[0], 200, "application/json", &body);
    pthread_join(poll.thread, NULL);
    call_client_free(poll.client);
    EVENTUALLY(server_counts(served.server).connections == 0);
    served_end(&served);
    identity_free(&identity);
    assert_true(there);
    assert_int_equal(poll.result, 0);
    assert_int_equal(json_get_integer(poll.answer, "order", 0), 7);
    json_decref(poll.answer);
}

/* --- all at once --- */

typedef struct Crowd {
    int port;
    atomic_uint count; /* so that deadlines differ */
    _Atomic ServerTicket last;
    atomic_bool end;
    Server *server;
} Crowd;

static int park_shortly(void *context, ServerRequest *request) {
    Crowd *crowd = context;
    ServerTicket ticket;
    unsigned number = atomic_fetch_add(&crowd->count, 1);
    if (server_park(request, number % 4, 204, &ticket, NULL) < 0) return -1;
    atomic_store(&crowd->last, ticket);
    return 0;
}

static void *crowd_ask(void *context) {
    Crowd *crowd = context;
    for (int i = 0; i < 150; i++) {
        BUFFER_AUTO got = {0};
        int fd = raw_connect(crowd->port);
        raw_send(fd, "GET /poll HTTP/1.1\r\nHost: h\r\n\r\n");
        if (i % 3 == 0) raw_read(fd, &got, "\r\n\r\n");
        if (i % 3 == 1) usleep(1000);
        close(fd);
    }
    return NULL;
}

static void *crowd_answer(void *context) {
    Crowd *crowd = context;
    while (!atomic_load(&crowd->end)) {
        Buffer body = text_buffer("x");
        server_answer_parked(crowd->server, atomic_load(&crowd->last), 200, "text/plain", &body);
        usleep(100);
    }
    return NULL;
}

static void test_answers_deadlines_and_leaving_clients_may_meet(void **state) {
    (void)state;
    enum { ASKING = 4 };
    Served served;
    Crowd crowd = {0};
    pthread_t asking[ASKING], answering;
    served_start(&served, park_shortly, &crowd, (ServerLimits){0});
    crowd.port = served_port(&served);
    crowd.server = served.server;
    assert_int_equal(pthread_create(&answering, NULL, crowd_answer, &crowd), 0);
    for (int i = 0; i < ASKING; i++) assert_int_equal(pthread_create(&asking[i], NULL, crowd_ask, &crowd), 0);
    for (int i = 0; i < ASKING; i++) pthread_join(asking[i], NULL);
    EVENTUALLY(server_counts(served.server).connections == 0);
    atomic_store(&crowd.end, true);
    pthread_join(answering, NULL);
    unsigned parked = server_counts(served.server).parked;
    served_end(&served);
    assert_int_equal(parked, 0);
}

/* --- streams --- */

static void test_what_is_pushed_comes_at_once(void **state) {
    (void)state;
    Served served;
    Lot lot = {0};
    BUFFER_AUTO got = {0};
    served_start(&served, stream, &lot, (ServerLimits){0});
    int fd = ask_and_park(&served, &lot);
    int head = raw_read(fd, &got, "text/event-stream");
    bool first = server_stream_push(served.server, lot.tickets[0], "data: one\n\n");
    int one = raw_read(fd, &got, "data: one\n\n");
    bool second = server_stream_push(served.server, lot.tickets[0], "data: two\n\n");
    int two = raw_read(fd, &got, "data: two\n\n");
    close(fd);
    served_end(&served);
    assert_true(first && second);
    assert_int_equal(head, 1);
    assert_int_equal(one, 1);
    assert_int_equal(two, 1);
}

static void test_a_stream_ends_when_told(void **state) {
    (void)state;
    Served served;
    Lot lot = {0};
    BUFFER_AUTO got = {0};
    served_start(&served, stream, &lot, (ServerLimits){0});
    int fd = ask_and_park(&served, &lot);
    server_stream_push(served.server, lot.tickets[0], "data: last\n\n");
    server_stream_end(served.server, lot.tickets[0]);
    int came = raw_read(fd, &got, "data: last\n\n\r\n0\r\n\r\n");
    bool more = server_stream_push(served.server, lot.tickets[0], "data: more\n\n");
    close(fd);
    served_end(&served);
    assert_int_equal(came, 1);
    assert_false(more);
}

static void test_a_stream_ends_when_its_client_goes(void **state) {
    (void)state;
    Served served;
    Lot lot = {0};
    served_start(&served, stream, &lot, (ServerLimits){0});
    close(ask_and_park(&served, &lot));
    EVENTUALLY(server_counts(served.server).connections == 0);
    unsigned parked = server_counts(served.server).parked;
    bool there = server_stream_push(served.server, lot.tickets[0], "data: x\n\n");
    served_end(&served);
    assert_int_equal(parked, 0);
    assert_false(there);
}

static void test_a_stream_ends_when_the_server_stops(void **state) {
    (void)state;
    Served served;
    Lot lot = {0};
    BUFFER_AUTO got = {0};
    served_start(&served, stream, &lot, (ServerLimits){0});
    int fd = ask_and_park(&served, &lot);
    served_end(&served);
    int ended = raw_read(fd, &got, NULL);
    close(fd);
    assert_int_equal(ended, 0);
    assert_non_null(strstr(got.data, "\r\n0\r\n\r\n"));
}

static void test_a_silent_stream_beats(void **state) {
    (void)state;
    Served served;
    Lot lot = {0};
    BUFFER_AUTO got = {0};
    served_start(&served, stream, &lot, (ServerLimits){.heartbeat_ms = 20});
    int fd = ask_and_park(&served, &lot);
    int beats = raw_read(fd, &got, ":\n\n\r\n3\r\n:\n\n\r\n3\r\n:\n\n");
    close(fd);
    served_end(&served);
    assert_int_equal(beats, 1);
}

static void test_a_client_too_slow_for_its_stream_is_cut_off(void **state) {
    (void)state;
    Served served;
    Lot lot = {0};
    static char line[65536];
    memset(line, 'x', sizeof line - 1);
    served_start(&served, stream, &lot, (ServerLimits){0});
    int fd = ask_and_park(&served, &lot), pushes = 0;
    while (pushes < 10000 && server_stream_push(served.server, lot.tickets[0], line)) pushes++;
    EVENTUALLY(server_counts(served.server).connections == 0);
    close(fd);
    served_end(&served);
    assert_true(pushes < 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_parked_request_is_answered_from_another_thread),
        cmocka_unit_test(test_a_parked_request_ends_at_its_deadline),
        cmocka_unit_test(test_deadlines_come_in_their_own_order),
        cmocka_unit_test(test_the_connection_of_a_parked_request_goes_on),
        cmocka_unit_test(test_what_is_sent_ahead_does_not_end_the_waiting),
        cmocka_unit_test(test_a_client_that_leaves_frees_its_place),
        cmocka_unit_test(test_no_more_are_parked_than_allowed),
        cmocka_unit_test(test_a_ticket_is_answered_once),
        cmocka_unit_test(test_a_ticket_of_a_server_that_was_stopped_is_nobodys_at_the_next),
        cmocka_unit_test(test_a_ticket_nobody_gave_out_is_nobodys),
        cmocka_unit_test(test_an_answer_may_come_before_the_handler_returns),
        cmocka_unit_test(test_stop_answers_all_that_are_parked),
        cmocka_unit_test(test_parking_works_over_tls),
        cmocka_unit_test(test_answers_deadlines_and_leaving_clients_may_meet),
        cmocka_unit_test(test_what_is_pushed_comes_at_once),
        cmocka_unit_test(test_a_stream_ends_when_told),
        cmocka_unit_test(test_a_stream_ends_when_its_client_goes),
        cmocka_unit_test(test_a_stream_ends_when_the_server_stops),
        cmocka_unit_test(test_a_silent_stream_beats),
        cmocka_unit_test(test_a_client_too_slow_for_its_stream_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
