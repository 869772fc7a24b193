/* A change carried out in a course, by a real host at its other end. */
#include "agent/assignment.h"
#include "journal/journal_sqlite.h"
#include "server/course.h"
#include "support/sample_run.h"
#include <errno.h>
#include <pthread.h>

typedef struct Play {
    const TestFolder *folder;
    char path[SAMPLE_PATH_SIZE]; /* of the journal */
    Journal *journal;
    SampleRun run;
    Course *course;
    HostLinkLocalSpec local;
    pthread_t host;
    atomic_bool stop, host_runs;
    /* what the course told */
    pthread_mutex_t lock;
    int64_t heard, last_event;
    bool disorder;
    atomic_int wakes, events;
    atomic_bool slow_wake, in_wake, go_on; /* the end is being told while somebody says go */
} Play;

static void on_wake(void *context, const char *host) {
    Play *play = context;
    assert_string_equal(host, "h");
    atomic_fetch_add(&play->wakes, 1);
    if (!atomic_load(&play->slow_wake) || !play->course) return;
    const Rollout *view = course_look(play->course);
    bool ended = rollout_ended(view);
    course_look_end(play->course);
    if (!ended) return;
    atomic_store(&play->in_wake, true);
    while (!atomic_load(&play->go_on)) usleep(1000);
    usleep(50000);
    course_is_over(play->course); /* as a fleet does, to say what waits for the host */
}

static void on_heard(void *context, const char *change, const char *host, int64_t number) {
    Play *play = context;
    (void)change, (void)host;
    pthread_mutex_lock(&play->lock);
    play->disorder |= number <= play->heard;
    play->heard = number;
    pthread_mutex_unlock(&play->lock);
}

static void on_event(void *context, int64_t sequence, const json_t *event) {
    Play *play = context;
    (void)event;
    pthread_mutex_lock(&play->lock);
    play->disorder |= sequence <= play->last_event;
    play->last_event = sequence;
    pthread_mutex_unlock(&play->lock);
    atomic_fetch_add(&play->events, 1);
}

static void open_course(Play *play) {
    CourseSpec spec = {.journal_path = play->path,
                       .change = play->run.change,
                       .clock = clock_system(),
                       .listener = {on_wake, on_heard, on_event, play}};
    Course *course = NULL;
    assert_done(course_open(play->journal, &spec, &course, error));
    play->course = course;
}

/* A change of version 1.0, opened, with its course. */
static void play_open(Play *play, const TestFolder *folder) {
    *play = (Play){.folder = folder};
    pthread_mutex_init(&play->lock, NULL);
    sample_path(folder, "journal.sqlite", play->path);
    assert_done(journal_sqlite_open(play->path, &play->journal, error));
    sample_pack_version(folder, "1.0", true);
    play->run = sample_run_open(folder, play->journal, "1.0", "");
    assert_done(change_load(play->journal, play->run.arena, play->run.change, &play->run.rollout, error));
    play->local = sample_run_local(&play->run);
    open_course(play);
}

static int exchange(void *context, const json_t *reports, json_t **answer, Error *error) {
    Play *play = context;
    int64_t heard = 0;
    if (course_report(play->course, "h", reports, &heard, error) < 0) return -1;
    json_t *message = course_poll(play->course, "h");
    if (!message) message = json_object();
    json_set_integer(message, "heard", heard);
    *answer = message;
    return 0;
}

static void *be_host(void *context) {
    Play *play = context;
    Assignment *assignment = NULL;
    AssignmentSpec spec = {.host = play->local, .dir = play->folder->fd, .controller = {exchange, play}};
    if (assignment_open(&spec, &assignment, NULL) < 0) abort();
    while (!atomic_load(&play->stop)) assignment_turn(assignment, 5, NULL);
    assignment_close(assignment);
    return NULL;
}

static void host_begin(Play *play) {
    atomic_store(&play->stop, false);
    assert_int_equal(pthread_create(&play->host, NULL, be_host, play), 0);
    play->host_runs = true;
}

static void host_end(Play *play) {
    if (!play->host_runs) return;
    atomic_store(&play->stop, true);
    pthread_join(play->host, NULL);
    play->host_runs = false;
}

static void play_close(Play *play) {
    host_end(play);
    course_close(play->course);
    sample_run_close(&play->run);
    journal_close(play->journal);
    pthread_mutex_destroy(&play->lock);
}

static RolloutOutcome outcome_of(Play *play) {
    const Rollout *view = course_look(play->course);
    RolloutOutcome outcome = view->outcome;
    course_look_end(play->course);
    return outcome;
}

static RolloutState state_of(Play *play) {
    const Rollout *view = course_look(play->course);
    RolloutState state = view->state;
    course_look_end(play->course);
    return state;
}

static void control(Play *play, const char *verb) {
    Rollout *rollout = NULL;
    ARENA_AUTO arena = arena_new();
    assert_done(change_load(play->journal, arena, play->run.change, &rollout, error));
    assert_done(engine_control(play->journal, rollout, verb, "test", NULL, NULL, clock_system(), error));
    course_go(play->course, false);
}

static void test_a_course_brings_a_change_to_its_end(void **state) {
    Play play;
    play_open(&play, *state);
    assert_false(course_is_over(play.course));
    host_begin(&play);
    course_go(play.course, false);
    AT_LAST(course_is_over(play.course));
    assert_int_equal(outcome_of(&play), OUTCOME_SUCCEEDED);
    assert_true(sample_stands(*state, "root/releases/1.0"));
    assert_false(play.disorder);
    assert_true(play.heard > 0 && play.events > 0 && play.wakes > 0);
    play_close(&play);
}

static void test_the_view_is_what_the_journal_says(void **state) {
    Play play;
    Rollout *rollout = NULL;
    ARENA_AUTO arena = arena_new();
    play_open(&play, *state);
    host_begin(&play);
    course_go(play.course, false);
    AT_LAST(course_is_over(play.course));
    assert_done(change_load(play.journal, arena, play.run.change, &rollout, error));
    const Rollout *view = course_look(play.course);
    int64_t sequence = view->sequence, number = view->hosts[0].report_number;
    HostState host = view->hosts[0].state;
    course_look_end(play.course);
    assert_int_equal(sequence, rollout->sequence);
    assert_int_equal(number, rollout->hosts[0].report_number);
    assert_int_equal(host, rollout->hosts[0].state);
    play_close(&play);
}

static void test_a_course_knows_its_hosts(void **state) {
    Play play;
    play_open(&play, *state);
    assert_string_equal(course_change(play.course), play.run.change);
    assert_true(course_has_host(play.course, "h"));
    assert_false(course_has_host(play.course, "other"));
    assert_false(course_has_host(play.course, ""));
    play_close(&play);
}

static void test_without_an_engine_nothing_waits_and_nobody_hears(void **state) {
    Play play;
    JSON_AUTO none = json_array();
    int64_t heard = -7;
    play_open(&play, *state);
    assert_null(course_poll(play.course, "h"));
    assert_refused(course_report(play.course, "h", none, &heard, error), ERROR_INTERRUPTED, "nobody hears");
    assert_int_equal(heard, -7);
    play_close(&play);
}

static void test_a_change_that_is_not_there_has_no_course(void **state) {
    Play play;
    Course *course = NULL;
    play_open(&play, *state);
    CourseSpec spec = {.journal_path = play.path, .change = "CHG-1900-0001", .clock = clock_system()};
    assert_refused(course_open(play.journal, &spec, &course, error), ERROR_INVALID, "CHG-1900-0001");
    play_close(&play);
}

static void test_closing_leaves_at_once_and_the_next_course_goes_on(void **state) {
    Play play;
    play_open(&play, *state);
    course_go(play.course, false);
    JSON_AUTO message = NULL;
    AT_LAST((message = course_poll(play.course, "h")) != NULL);
    course_close(play.course);
    play.last_event = 0;
    open_course(&play);
    host_begin(&play);
    course_go(play.course, false);
    AT_LAST(course_is_over(play.course));
    assert_int_equal(outcome_of(&play), OUTCOME_SUCCEEDED);
    play_close(&play);
}

static void test_closing_in_the_middle_of_an_order_loses_nothing(void **state) {
    Play play;
    play_open(&play, *state);
    for (int round = 0; round < 5; round++) {
        course_go(play.course, false);
        host_begin(&play);
        usleep(60000 * (unsigned)round);
        host_end(&play);
        course_close(play.course);
        play.heard = play.last_event = 0;
        open_course(&play);
    }
    host_begin(&play);
    course_go(play.course, false);
    AT_LAST(course_is_over(play.course));
    assert_int_equal(outcome_of(&play), OUTCOME_SUCCEEDED);
    assert_false(play.disorder);
    play_close(&play);
}

static void test_a_change_that_has_ended_is_rolled_back_when_asked(void **state) {
    Play play;
    play_open(&play, *state);
    host_begin(&play);
    course_go(play.course, false);
    AT_LAST(course_is_over(play.course));
    control(&play, "rollback");
    AT_LAST(course_is_over(play.course) && outcome_of(&play) != OUTCOME_SUCCEEDED);
    assert_int_equal(outcome_of(&play), OUTCOME_ROLLED_BACK);
    assert_false(sample_stands(*state, "root/current"));
    play_close(&play);
}

/* The last thread tells the hosts that it is over, and is asked to go on in that very moment. */
static void test_going_on_while_the_end_is_being_told_blocks_nobody(void **state) {
    Play play;
    play_open(&play, *state);
    atomic_store(&play.slow_wake, true);
    host_begin(&play);
    course_go(play.course, false);
    AT_LAST(atomic_load(&play.in_wake));
    atomic_store(&play.slow_wake, false);
    Rollout *rollout = NULL;
    ARENA_AUTO arena = arena_new();
    assert_done(change_load(play.journal, arena, play.run.change, &rollout, error));
    assert_done(engine_control(play.journal, rollout, "rollback", "test", NULL, NULL, clock_system(), error));
    atomic_store(&play.go_on, true);
    course_go(play.course, false);
    AT_LAST(course_is_over(play.course) && outcome_of(&play) == OUTCOME_ROLLED_BACK);
    play_close(&play);
}

static void *go_often(void *context) {
    Play *play = context;
    for (int i = 0; i < 200; i++) {
        course_go(play->course, false);
        if (course_is_over(play->course)) usleep(500);
    }
    return NULL;
}

static void test_many_may_say_go_while_it_ends(void **state) {
    Play play;
    pthread_t threads[3];
    play_open(&play, *state);
    host_begin(&play);
    course_go(play.course, false);
    AT_LAST(course_is_over(play.course));
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, go_often, &play);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    AT_LAST(course_is_over(play.course));
    assert_int_equal(outcome_of(&play), OUTCOME_SUCCEEDED);
    play_close(&play);
}

static void test_preparing_only_waits_and_goes_on_when_resumed(void **state) {
    Play play;
    play_open(&play, *state);
    host_begin(&play);
    course_go(play.course, true);
    AT_LAST(state_of(&play) == ROLLOUT_PAUSED);
    assert_false(course_is_over(play.course));
    assert_false(sample_stands(*state, "root/current"));
    control(&play, "resume");
    AT_LAST(course_is_over(play.course));
    assert_int_equal(outcome_of(&play), OUTCOME_SUCCEEDED);
    play_close(&play);
}

static void test_a_document_says_what_the_host_must_know(void **state) {
    Play play;
    JSON_AUTO before = NULL;
    JSON_AUTO after = NULL;
    json_t *none = NULL;
    play_open(&play, *state);
    assert_done(course_document(play.course, "h", &before, error));
    assert_refused(course_document(play.course, "other", &none, error), ERROR_INVALID, "no host other");
    assert_string_equal(json_get_text(before, "change", ""), play.run.change);
    assert_string_equal(json_get_text(before, "version", ""), "1.0");
    assert_false(json_get_bool(before, "begun", true));
    assert_false(json_get_bool(before, "settled", true));
    assert_int_equal(json_get_integer(before, "heard", -1), 0);
    host_begin(&play);
    course_go(play.course, false);
    AT_LAST(course_is_over(play.course));
    assert_done(course_document(play.course, "h", &after, error));
    assert_true(json_get_bool(after, "begun", false));
    assert_true(json_get_integer(after, "heard", 0) > 0);
    play_close(&play);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_course_brings_a_change_to_its_end),
        test_in_folder(test_the_view_is_what_the_journal_says),
        test_in_folder(test_a_course_knows_its_hosts),
        test_in_folder(test_without_an_engine_nothing_waits_and_nobody_hears),
        test_in_folder(test_a_change_that_is_not_there_has_no_course),
        test_in_folder(test_closing_leaves_at_once_and_the_next_course_goes_on),
        test_in_folder(test_closing_in_the_middle_of_an_order_loses_nothing),
        test_in_folder(test_a_change_that_has_ended_is_rolled_back_when_asked),
        test_in_folder(test_going_on_while_the_end_is_being_told_blocks_nobody),
        test_in_folder(test_many_may_say_go_while_it_ends),
        test_in_folder(test_preparing_only_waits_and_goes_on_when_resumed),
        test_in_folder(test_a_document_says_what_the_host_must_know),
    };
    return cmocka_run_group_tests_name("course", tests, NULL, NULL);
}
