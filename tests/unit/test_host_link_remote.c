#include "base/cleanup.h"
#include "base/json.h"
#include "engine/host_link_remote.h"
#include "support/test.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>

/* A rollout of two hosts, as the link sees it when it is opened; "b" was heard up to 5. */
typedef struct Room {
    RolloutHost hosts[2];
    Rollout rollout;
    HostLink *link;
    ClockFalse clock;
    int woken;
} Room;

static void wake(void *context, const char *host) {
    Room *room = context;
    if (strcmp(host, "a") == 0) room->woken++;
}

static int setup(void **state) {
    Room *room = calloc(1, sizeof *room);
    if (!room) return -1;
    room->hosts[0] = (RolloutHost){.name = "a"};
    room->hosts[1] = (RolloutHost){.name = "b", .report_number = 5};
    room->clock = clock_false(1000000000000);
    room->rollout = (Rollout){.hosts = room->hosts, .host_count = 2};
    HostLinkRemoteSpec spec = {.rollout = &room->rollout,
                               .clock = &room->clock.clock,
                               .lost_after_ms = 60000,
                               .wake = wake,
                               .context = room};
    *state = room;
    return host_link_remote_open(&spec, &room->link, NULL);
}

static int teardown(void **state) {
    Room *room = *state;
    room->link->close(room->link);
    free(room);
    return 0;
}

#define in_room(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static void give(Room *room, const char *id) {
    Order order = {.kind = ORDER_PREPARE};
    snprintf(order.id, sizeof order.id, "%s", id);
    assert_int_equal(room->link->submit(room->link, "a", &order, NULL), 0);
}

static json_t *report(int64_t number, const char *type, const char *order_id) {
    json_t *said = json_pack("{s:I, s:{s:s, s:s}}", "number", (json_int_t)number, "event", "type", type,
                             "time", "2001-01-01T00:00:00.000Z");
    if (order_id) json_set_text(json_object_get(said, "event"), "order_id", order_id);
    return said;
}

/* One report; what host_link_remote_report() answers. */
static int bring(Room *room, const char *host, json_t *said, Error *error) {
    JSON_AUTO reports = json_array();
    int64_t heard;
    json_array_append_new(reports, said);
    return host_link_remote_report(room->link, host, reports, &heard, error);
}

/* The type of the next event, or "" when there is none. */
static const char *next(Room *room, json_t **event) {
    HostReport received = {0};
    *event = NULL;
    if (!room->link->receive(room->link, 0, &received)) return "";
    *event = received.event;
    return json_get_text(received.event, "type", "?");
}

static void test_an_order_waits_until_it_is_answered(void **state) {
    Room *room = *state;
    assert_null(host_link_remote_poll(room->link, "a"));
    give(room, "C/a/1");
    assert_int_equal(room->woken, 1);
    for (int i = 0; i < 3; i++) { /* as often as it asks: an answer may be lost on the way */
        JSON_AUTO message = host_link_remote_poll(room->link, "a");
        assert_string_equal(json_get_text(json_object_get(message, "order"), "id", ""), "C/a/1");
    }
    assert_null(host_link_remote_poll(room->link, "b"));
    assert_int_equal(bring(room, "a", report(1, "order.done", "C/a/1"), NULL), 0);
    assert_null(host_link_remote_poll(room->link, "a"));
}

static void test_an_order_that_is_cancelled_says_so_until_the_next(void **state) {
    Room *room = *state;
    room->link->cancel(room->link, "a");
    assert_null(host_link_remote_poll(room->link, "a"));
    give(room, "C/a/1");
    room->link->cancel(room->link, "a");
    JSON_AUTO message = host_link_remote_poll(room->link, "a");
    assert_true(json_get_bool(message, "cancel", false));
    give(room, "C/a/2");
    JSON_AUTO after = host_link_remote_poll(room->link, "a");
    assert_false(json_get_bool(after, "cancel", true));
}

static void test_an_order_that_is_withdrawn_is_handed_out_no_more(void **state) {
    Room *room = *state;
    give(room, "C/a/1");
    room->link->withdraw(room->link, "a");
    assert_null(host_link_remote_poll(room->link, "a"));
    room->link->cancel(room->link, "a");
    give(room, "C/a/2");
    JSON_AUTO after = host_link_remote_poll(room->link, "a");
    assert_string_equal(json_get_text(json_object_get(after, "order"), "id", ""), "C/a/2");
    assert_false(json_get_bool(after, "cancel", true));
}

static void test_a_report_that_comes_twice_is_heard_once(void **state) {
    Room *room = *state;
    JSON_AUTO event = NULL;
    give(room, "C/a/1");
    for (int i = 0; i < 2; i++)
        assert_int_equal(bring(room, "a", report(1, "step.started", "C/a/1"), NULL), 0);
    assert_string_equal(next(room, &event), "step.started");
    json_t *none;
    assert_string_equal(next(room, &none), "");
}

static void test_a_report_that_leaves_a_gap_is_refused_and_names_the_missing_one(void **state) {
    Room *room = *state;
    Error error = {0};
    json_t *none;
    assert_int_equal(bring(room, "a", report(2, "host.health", NULL), &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_non_null(strstr(error.en, "report 1 is missing"));
    assert_string_equal(next(room, &none), "");
}

static void test_counting_goes_on_where_the_journal_ends(void **state) {
    Room *room = *state;
    JSON_AUTO event = NULL;
    assert_int_equal(bring(room, "b", report(5, "host.health", NULL), NULL), 0);
    assert_int_equal(bring(room, "b", report(6, "host.health", NULL), NULL), 0);
    assert_string_equal(next(room, &event), "host.health");
    assert_int_equal(json_get_integer(event, "report", 0), 6);
}

static void test_only_what_stands_in_the_journal_is_acknowledged(void **state) {
    Room *room = *state;
    int64_t heard = -1;
    JSON_AUTO reports = json_array();
    json_array_append_new(reports, report(1, "host.health", NULL));
    assert_int_equal(host_link_remote_report(room->link, "a", reports, &heard, NULL), 0);
    assert_int_equal(heard, 0);
    room->link->heard(room->link, "a", 1);
    assert_int_equal(host_link_remote_report(room->link, "a", reports, &heard, NULL), 0);
    assert_int_equal(heard, 1);
}

static void test_time_is_ours_and_the_host_s_own_stands_beside_it(void **state) {
    Room *room = *state;
    JSON_AUTO event = NULL;
    int64_t heard_ms = 0;
    assert_int_equal(bring(room, "a", report(1, "host.health", NULL), NULL), 0);
    next(room, &event);
    assert_string_equal(json_get_text(event, "host_time", ""), "2001-01-01T00:00:00.000Z");
    assert_int_equal(clock_from_text(json_get_text(event, "time", ""), &heard_ms), 0);
    assert_true(heard_ms == room->clock.now_ms);
}

static void test_what_is_none_of_its_business_is_refused_and_becomes_evidence(void **state) {
    static const struct {
        const char *type, *order_id;
    } odd[] = {{"change.closed", NULL},  {"control.abort", NULL}, {"order.done", "C/a/3"},
               {"step.done", "C/b/1"},   {"step.done", "C/a/x"},  {"step.done", "C/a/-1"},
               {"order.given", "C/a/2"}, {"step.done", NULL},     {"order.done", "C/a/2x"}};
    Room *room = *state;
    give(room, "C/a/2");
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        JSON_AUTO event = NULL;
        assert_int_equal(bring(room, "a", report((int64_t)i + 1, odd[i].type, odd[i].order_id), NULL), 0);
        if (strcmp(next(room, &event), "host.report_refused") != 0)
            fail_msg("%zu: %s was heard", i, odd[i].type);
    }
    JSON_AUTO message = host_link_remote_poll(room->link, "a");
    assert_non_null(message); /* none of these answered it */
}

static void test_steps_of_an_earlier_order_and_of_the_host_s_own_are_heard(void **state) {
    Room *room = *state;
    JSON_AUTO one = NULL;
    JSON_AUTO two = NULL;
    give(room, "C/a/12");
    assert_int_equal(bring(room, "a", report(1, "step.done", "C/a/9"), NULL), 0);
    assert_int_equal(bring(room, "a", report(2, "step.done", "C/by-itself/3"), NULL), 0);
    assert_string_equal(next(room, &one), "step.done");
    assert_string_equal(next(room, &two), "step.done");
}

static void test_a_stranger_has_no_box(void **state) {
    Room *room = *state;
    Error error = {0};
    assert_null(host_link_remote_poll(room->link, "c"));
    assert_int_equal(bring(room, "c", report(1, "host.health", NULL), &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
}

static void test_what_is_no_report_is_refused(void **state) {
    static const char *const texts[] = {"{}",
                                        "[1]",
                                        "[{}]",
                                        "[{\"number\": 1}]",
                                        "[{\"number\": 0, \"event\": {}}]",
                                        "[{\"number\": 1, \"event\": []}]"};
    Room *room = *state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        JSON_AUTO reports = NULL;
        int64_t heard;
        assert_int_equal(json_parse(texts[i], strlen(texts[i]), "t", &reports, NULL), 0);
        if (host_link_remote_report(room->link, "a", reports, &heard, NULL) == 0)
            fail_msg("taken: %s", texts[i]);
    }
}

static void *bring_later(void *context) {
    usleep(20000);
    bring(context, "a", report(1, "host.health", NULL), NULL);
    return NULL;
}

static void test_the_engine_wakes_when_a_report_comes(void **state) {
    Room *room = *state;
    pthread_t thread;
    HostReport received;
    assert_int_equal(pthread_create(&thread, NULL, bring_later, room), 0);
    assert_int_equal(room->link->receive(room->link, 10000, &received), 1);
    json_decref(received.event);
    pthread_join(thread, NULL);
}

/* What the link says without being told anything: "type host", or "". */
static const char *says(Room *room, int64_t later_ms) {
    static char text[64];
    HostReport said;
    room->clock.now_ms += later_ms;
    text[0] = '\0';
    if (!room->link->receive(room->link, 0, &said)) return text;
    snprintf(text, sizeof text, "%s %s", json_get_text(said.event, "type", ""), said.host);
    json_decref(said.event);
    return text;
}

static void test_a_host_that_has_an_order_and_does_not_come_is_said_to_be_silent_once(void **state) {
    Room *room = *state;
    give(room, "C/a/1");
    assert_string_equal(says(room, 59000), "");
    assert_string_equal(says(room, 1000), "host.silent a");
    assert_string_equal(says(room, 600000), "");
}

static void test_a_host_that_asks_is_not_silent_and_may_fall_silent_again(void **state) {
    Room *room = *state;
    give(room, "C/a/1");
    room->clock.now_ms += 59000;
    json_decref(host_link_remote_poll(room->link, "a"));
    assert_string_equal(says(room, 59000), "");
    assert_string_equal(says(room, 1000), "host.silent a");
    json_decref(host_link_remote_poll(room->link, "a"));
    assert_string_equal(says(room, 60000), "host.silent a");
}

static void test_a_host_without_an_order_may_be_silent(void **state) {
    Room *room = *state;
    give(room, "C/a/1");
    assert_int_equal(bring(room, "a", report(1, "order.done", "C/a/1"), NULL), 0);
    assert_string_equal(says(room, 0), "order.done a");
    assert_string_equal(says(room, 600000), "");
}

/* How many more of 60,000 bytes it may bring; `*number` is the last one taken. */
static int bring_all(Room *room, int64_t *number, Error *error) {
    char text[60000] = "";
    memset(text, 'x', sizeof text - 1);
    for (int taken = 0;; taken++, ++*number) {
        json_t *said = report(*number + 1, "host.health", NULL);
        json_set_text(json_object_get(said, "event"), "error", text);
        if (bring(room, "a", said, error) < 0) return taken;
        if (taken > 900) fail_msg("without end");
    }
}

static void test_a_host_that_tells_without_end_is_made_to_wait(void **state) {
    Room *room = *state;
    Error error = {0};
    int64_t number = 0;
    int first = bring_all(room, &number, &error), throttled = 0;
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_int_equal(error.number, EDQUOT);
    assert_int_equal(bring_all(room, &number, NULL), 0);
    assert_int_equal(bring(room, "b", report(6, "host.health", NULL), NULL), 0); /* nobody else pays for it */
    room->clock.now_ms += 60000;
    int later = bring_all(room, &number, NULL);
    for (json_t *event = NULL; *next(room, &event); json_decref(event))
        throttled += strcmp(json_get_text(event, "type", ""), "host.throttled") == 0;
    assert_in_range(first, 250, 300);
    assert_in_range(later, 3, 6);
    assert_int_equal(throttled, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        in_room(test_an_order_waits_until_it_is_answered),
        in_room(test_an_order_that_is_cancelled_says_so_until_the_next),
        in_room(test_an_order_that_is_withdrawn_is_handed_out_no_more),
        in_room(test_a_report_that_comes_twice_is_heard_once),
        in_room(test_a_report_that_leaves_a_gap_is_refused_and_names_the_missing_one),
        in_room(test_counting_goes_on_where_the_journal_ends),
        in_room(test_only_what_stands_in_the_journal_is_acknowledged),
        in_room(test_time_is_ours_and_the_host_s_own_stands_beside_it),
        in_room(test_what_is_none_of_its_business_is_refused_and_becomes_evidence),
        in_room(test_steps_of_an_earlier_order_and_of_the_host_s_own_are_heard),
        in_room(test_a_stranger_has_no_box),
        in_room(test_what_is_no_report_is_refused),
        in_room(test_the_engine_wakes_when_a_report_comes),
        in_room(test_a_host_that_has_an_order_and_does_not_come_is_said_to_be_silent_once),
        in_room(test_a_host_that_asks_is_not_silent_and_may_fall_silent_again),
        in_room(test_a_host_without_an_order_may_be_silent),
        in_room(test_a_host_that_tells_without_end_is_made_to_wait),
    };
    return cmocka_run_group_tests_name("host_link_remote", tests, NULL, NULL);
}
