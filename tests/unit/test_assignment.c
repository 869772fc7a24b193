/* The engine at one end, a real host at the other, and between them an agent and messages that get lost, come
 * twice, or cost the agent its life. */
#include "agent/assignment.h"
#include "engine/host_link_remote.h"
#include "journal/journal_memory.h"
#include "support/sample_run.h"
#include <pthread.h>

typedef struct Fleet {
    const TestFolder *folder;
    SampleRun run;
    HostLink *remote;
    HostLinkLocalSpec local;
    uint64_t chance;
    int lost, twice, died;
    int trouble; /* of a hundred exchanges, this many go wrong in each of three ways */
    atomic_bool stop;
} Fleet;

static bool happens(Fleet *fleet, int percent) {
    fleet->chance = fleet->chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int)(fleet->chance >> 33) % 100 < percent;
}

/* What a request does at the controller. */
static int serve(Fleet *fleet, const json_t *reports, json_t **answer, Error *error) {
    int64_t heard = 0;
    if (host_link_remote_report(fleet->remote, "h", reports, &heard, error) < 0) return -1;
    json_t *message = host_link_remote_poll(fleet->remote, "h");
    if (!message) message = json_object();
    json_set_integer(message, "heard", heard);
    *answer = message;
    return 0;
}

static int exchange(void *context, const json_t *reports, json_t **answer, Error *error) {
    Fleet *fleet = context;
    if (happens(fleet, fleet->trouble)) {
        fleet->lost++;
        return error_set(error, ERROR_SYSTEM, "%s", "the request was lost");
    }
    if (serve(fleet, reports, answer, error) < 0) return -1;
    if (happens(fleet, fleet->trouble)) { /* the network delivers it once more */
        JSON_AUTO again = NULL;
        fleet->twice++;
        if (serve(fleet, reports, &again, error) < 0) return -1;
    }
    if (!happens(fleet, fleet->trouble)) return 0;
    json_decref(*answer);
    *answer = NULL;
    fleet->lost++;
    return error_set(error, ERROR_SYSTEM, "%s", "the answer was lost");
}

static Assignment *open_assignment(Fleet *fleet) {
    Assignment *assignment = NULL;
    Error error = {0};
    AssignmentSpec spec = {.host = fleet->local, .dir = fleet->folder->fd, .controller = {exchange, fleet}};
    if (assignment_open(&spec, &assignment, &error) < 0) fail_msg("%s", error.en);
    return assignment;
}

static void *be_agent(void *context) {
    Fleet *fleet = context;
    Assignment *assignment = open_assignment(fleet);
    while (!atomic_load(&fleet->stop)) {
        if (happens(fleet, fleet->trouble)) { /* it is started again, and remembers what stands on the disk */
            assignment_close(assignment);
            assignment = open_assignment(fleet);
            fleet->died++;
        }
        assignment_turn(assignment, 5, NULL);
    }
    assignment_close(assignment);
    return NULL;
}

/* Carry the change out through an agent; its end. */
static RolloutOutcome carry_out(Fleet *fleet, Journal *journal, const char *version, int trouble) {
    pthread_t thread;
    EngineEnd end;
    *fleet = (Fleet){.folder = fleet->folder, .chance = 42, .trouble = trouble};
    fleet->run = sample_run_open(fleet->folder, journal, version, "");
    assert_done(change_load(journal, fleet->run.arena, fleet->run.change, &fleet->run.rollout, error));
    fleet->local = sample_run_local(&fleet->run);
    HostLinkRemoteSpec remote = {.rollout = fleet->run.rollout, .clock = clock_system()};
    assert_done(host_link_remote_open(&remote, &fleet->remote, error));
    assert_int_equal(pthread_create(&thread, NULL, be_agent, fleet), 0);
    EngineSpec spec = {.journal = journal,
                       .link = fleet->remote,
                       .clock = clock_system(),
                       .rollout = fleet->run.rollout,
                       .by = "test"};
    assert_done(engine_run(&spec, &end, error));
    atomic_store(&fleet->stop, true);
    pthread_join(thread, NULL);
    fleet->remote->close(fleet->remote);
    RolloutOutcome outcome = fleet->run.rollout->outcome;
    sample_run_close(&fleet->run);
    return outcome;
}

static void test_an_assignment_carries_a_change_out(void **state) {
    JOURNAL_AUTO journal = journal_memory_new();
    Fleet fleet = {.folder = *state};
    sample_pack_version(*state, "1.0", true);
    sample_pack_version(*state, "2.0", true);
    assert_int_equal(carry_out(&fleet, journal, "1.0", 0), OUTCOME_SUCCEEDED);
    assert_int_equal(carry_out(&fleet, journal, "2.0", 0), OUTCOME_SUCCEEDED);
    assert_true(sample_stands(*state, "root/current/healthy") && sample_stands(*state, "root/running"));
    assert_true(sample_stands(*state, "root/releases/2.0"));
}

static void test_an_agent_puts_a_sick_version_back(void **state) {
    JOURNAL_AUTO journal = journal_memory_new();
    Fleet fleet = {.folder = *state};
    sample_pack_version(*state, "1.0", true);
    sample_pack_version(*state, "2.0", false);
    assert_int_equal(carry_out(&fleet, journal, "1.0", 0), OUTCOME_SUCCEEDED);
    assert_int_equal(carry_out(&fleet, journal, "2.0", 0), OUTCOME_ROLLED_BACK);
    assert_true(sample_stands(*state, "root/current/healthy"));
    assert_false(sample_stands(*state, "root/releases/2.0"));
}

static int count_answers(void *context, int64_t sequence, const json_t *event, Error *error) {
    (void)sequence, (void)error;
    *(int *)context += strcmp(json_get_text(event, "type", ""), "order.done") == 0;
    return 0;
}

static void test_lost_and_repeated_messages_and_dying_agents_change_nothing(void **state) {
    JOURNAL_AUTO journal = journal_memory_new();
    Fleet fleet = {.folder = *state};
    int answers = 0;
    int64_t events = 0;
    sample_pack_version(*state, "1.0", true);
    sample_pack_version(*state, "2.0", true);
    assert_int_equal(carry_out(&fleet, journal, "1.0", 20), OUTCOME_SUCCEEDED);
    assert_int_equal(carry_out(&fleet, journal, "2.0", 20), OUTCOME_SUCCEEDED);
    if (fleet.lost == 0 || fleet.twice == 0 || fleet.died == 0)
        fail_msg("lost %d, twice %d, died %d: that was no trouble", fleet.lost, fleet.twice, fleet.died);
    assert_done(journal_read(journal, 0, NULL, count_answers, &answers, error));
    assert_int_equal(answers, 2 * 4); /* prepare, switch, confirm, commit: each was answered once */
    assert_done(journal_verify(journal, &events, error));
    assert_true(sample_stands(*state, "root/releases/2.0"));
}

static void test_a_change_whose_number_was_given_twice_is_refused(void **state) {
    JOURNAL_AUTO journal = journal_memory_new();
    Fleet fleet = {.folder = *state};
    HostLink *link = NULL;
    Error why = {0};
    sample_pack_version(*state, "1.0", true);
    assert_int_equal(carry_out(&fleet, journal, "1.0", 0), OUTCOME_SUCCEEDED);
    SampleRun run = sample_run_open(*state, journal, "1.0", "");
    assert_done(change_load(journal, run.arena, run.change, &run.rollout, error));
    HostLinkLocalSpec spec = sample_run_local(&run);
    char first[CHANGE_ID_SIZE]; /* as a controller says that has forgotten the first */
    snprintf(first, sizeof first, "%.9s0001", run.change);
    spec.change = first;
    spec.version = "2.0";
    assert_int_equal(host_link_local_open(&spec, &link, &why), -1);
    if (why.kind != ERROR_REFUSED || !strstr(why.en, "given twice")) fail_msg("%s", why.en);
    sample_run_close(&run);
}

static int answer_oddly(void *context, const json_t *reports, json_t **answer, Error *error) {
    (void)reports;
    Error parsing = {0};
    const char *text = context;
    (void)error;
    return json_parse(text, strlen(text), "answer", answer, &parsing);
}

static void test_answers_that_make_no_sense_are_errors_and_order_nothing(void **state) {
    static const char *const texts[] = {
        "[]",
        "{}",
        "{\"heard\": \"1\"}",
        "{\"heard\": 1}",
        "{\"heard\": 0, \"order\": {}}",
        "{\"heard\": 0, \"order\": {\"id\": \"C/h/1\", \"kind\": \"explode\"}}",
        "{\"heard\": 0, \"order\": {\"id\": \"\", \"kind\": \"prepare\"}}",
        "{\"heard\": 0, \"order\": {\"id\": \"C/by-itself/1\", \"kind\": \"rollback\"}}"};
    JOURNAL_AUTO journal = journal_memory_new();
    sample_pack_version(*state, "1.0", true);
    SampleRun run = sample_run_open(*state, journal, "1.0", "");
    assert_done(change_load(journal, run.arena, run.change, &run.rollout, error));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        Assignment *assignment = NULL;
        AssignmentSpec spec = {.host = sample_run_local(&run),
                               .dir = ((TestFolder *)*state)->fd,
                               .controller = {answer_oddly, (void *)texts[i]}};
        assert_done(assignment_open(&spec, &assignment, error));
        if (assignment_turn(assignment, 0, NULL) == 0) fail_msg("taken: %s", texts[i]);
        assignment_close(assignment);
    }
    assert_false(sample_stands(*state, "root/releases/1.0"));
    sample_run_close(&run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_an_assignment_carries_a_change_out),
        test_in_folder(test_an_agent_puts_a_sick_version_back),
        test_in_folder(test_lost_and_repeated_messages_and_dying_agents_change_nothing),
        test_in_folder(test_answers_that_make_no_sense_are_errors_and_order_nothing),
        test_in_folder(test_a_change_whose_number_was_given_twice_is_refused),
    };
    return cmocka_run_group_tests_name("assignment", tests, NULL, NULL);
}
