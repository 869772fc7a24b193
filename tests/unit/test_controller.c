#include "server/controller.h"
#include "support/controlled.h"

static void test_one_controller_runs_on_a_folder(void **state) {
    Controlled controlled;
    Controller *second = NULL;
    controlled_open(&controlled, *state);
    assert_refused(controller_open(&controlled.spec, &second, error), ERROR_REFUSED,
                   "another controller runs on");
    assert_null(second);
    assert_int_equal(controlled_ask(&controlled, ROLE_VIEWER, "GET", "/api/v1/status", NULL, NULL), 200);
    controlled_stop(&controlled);
    controlled_begin(&controlled);
    controlled_close(&controlled);
}

static void test_a_folder_that_others_may_write_is_refused(void **state) {
    const TestFolder *folder = *state;
    Controller *controller = NULL;
    ControllerSpec spec = {.state = folder->path, .address = "127.0.0.1"};
    assert_int_equal(chmod(folder->path, 0777), 0);
    assert_refused(controller_open(&spec, &controller, error), ERROR_REFUSED, folder->path);
    assert_int_equal(chmod(folder->path, 0700), 0);
    assert_null(controller);
}

static void test_its_authority_and_its_people_stay(void **state) {
    Controlled controlled;
    controlled_open(&controlled, *state);
    controlled_join(&controlled, "h");
    Digest before = *authority_fingerprint(controlled.controller->authority);
    controlled_stop(&controlled);
    controlled_begin(&controlled);
    assert_true(digest_equal(&before, authority_fingerprint(controlled.controller->authority)));
    IDENTITY_AUTO identity = controlled_identity(&controlled, "h");
    CALL_CLIENT_AUTO client = controlled_client(&controlled, NULL, identity);
    assert_int_equal(controlled_ask_with(client, "GET", "/agent/v1/work", NULL, NULL), 200);
    assert_int_equal(controlled_ask(&controlled, ROLE_ADMIN, "GET", "/api/v1/whoami", NULL, NULL), 200);
    controlled_close(&controlled);
}

static void test_a_port_that_is_taken_is_an_error(void **state) {
    Controlled controlled;
    Controller *second = NULL;
    static const char *const names[] = {"127.0.0.1"};
    atomic_bool stop = false;
    char other[SAMPLE_PATH_SIZE];
    controlled_open(&controlled, *state);
    sample_path(*state, "other", other);
    ControllerSpec spec = {.state = other,
                           .address = "127.0.0.1",
                           .port = (int)strtol(strrchr(controlled.url, ':') + 1, NULL, 10),
                           .names = names,
                           .name_count = 1,
                           .host_valid_ms = 86400000};
    assert_done(controller_open(&spec, &second, error));
    assert_refused(controller_serve(second, &stop, error), ERROR_SYSTEM, "");
    controller_close(second);
    controlled_close(&controlled);
}

typedef struct Asking {
    Controlled *controlled;
    pthread_t thread;
    atomic_bool end;
    const Identity *identity;
    char seen[64];
    bool forgotten; /* a host was told that none of its changes is under way */
} Asking;

static void *ask_for_work(void *context) {
    Asking *asking = context;
    CALL_CLIENT_AUTO client = controlled_client(asking->controlled, NULL, asking->identity);
    while (!atomic_load(&asking->end)) {
        int status = 0;
        JSON_AUTO answer = NULL;
        if (call(client, "GET", "/agent/v1/work", NULL, 5000, NULL, &status, &answer, NULL) < 0) continue;
        const json_t *changes = json_object_get(answer, "changes");
        if (status == 200 && json_array_size(changes) == 0) asking->forgotten = true;
    }
    return NULL;
}

/* A host that heard an empty list would forget what it is at. */
static void test_while_it_stops_no_host_hears_that_its_change_is_over(void **state) {
    Controlled controlled;
    char id[CHANGE_ID_SIZE];
    controlled_open(&controlled, *state);
    controlled_packages(&controlled, true);
    controlled_join(&controlled, "h");
    IDENTITY_AUTO identity = controlled_identity(&controlled, "h");
    controlled_change(&controlled, "1.0", "", id);
    Asking asking = {.controlled = &controlled, .identity = identity};
    pthread_create(&asking.thread, NULL, ask_for_work, &asking);
    usleep(300000);
    atomic_store(&controlled.stop, true);
    pthread_join(controlled.thread, NULL);
    atomic_store(&asking.end, true);
    pthread_join(asking.thread, NULL);
    controller_close(controlled.controller);
    close(controlled.state.fd);
    assert_int_equal(controlled.result, 0);
    assert_false(asking.forgotten);
}

static void test_its_certificate_is_renewed_while_it_runs(void **state) {
    Controlled controlled;
    char url[64];
    controlled_open(&controlled, *state);
    snprintf(url, sizeof url, "%s", controlled.url);
    size_t good = 0;
    for (int i = 0; i < 3; i++) {
        atomic_store(&controlled.controller->server_until_ms, 0);
        AT_LAST(atomic_load(&controlled.controller->server_until_ms) > 0);
        CALL_CLIENT_AUTO client = controlled_client(&controlled, controlled.tokens[ROLE_VIEWER], NULL);
        int status = 0;
        json_t *answer = NULL;
        for (int tries = 0; tries < 100 && status != 200; tries++) {
            if (call(client, "GET", "/api/v1/status", NULL, 5000, NULL, &status, &answer, NULL) < 0)
                usleep(50000);
            else
                json_decref(answer);
        }
        good += status == 200;
    }
    assert_int_equal(good, 3);
    controlled_close(&controlled);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_one_controller_runs_on_a_folder),
        test_in_folder(test_a_folder_that_others_may_write_is_refused),
        test_in_folder(test_its_authority_and_its_people_stay),
        test_in_folder(test_a_port_that_is_taken_is_an_error),
        test_in_folder(test_while_it_stops_no_host_hears_that_its_change_is_over),
        test_in_folder(test_its_certificate_is_renewed_while_it_runs),
    };
    return cmocka_run_group_tests_name("controller", tests, NULL, NULL);
}
