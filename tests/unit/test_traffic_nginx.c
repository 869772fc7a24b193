#include "base/process_table.h"
#include "host/traffic/traffic.h"
#include "support/balancer.h"
#include <string.h>

/* A real nginx before two peers. */

enum { WORKERS = 2 };

typedef struct Fixture {
    Balancer balancer;
    Peer peers[2];
    char upstream[100], address[2][32];
    char text[256]; /* of the upstream file when it began */
    const char *test[6], *reload[8];
    PlanNginx nginx;
    PlanTraffic traffic;
    TrafficContext context;
} Fixture;

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

static void write_configuration(const Fixture *fixture, const TestFolder *folder) {
    char text[4096], user[32] = "";
    if (geteuid() == 0) snprintf(user, sizeof user, "user root;\n");
    snprintf(
        text, sizeof text,
        "%sdaemon off;\nworker_processes %d;\npid %s/nginx.pid;\nerror_log %s/error.log;\n"
        "events { worker_connections 64; }\nhttp {\naccess_log off;\nclient_body_temp_path %s/t1;\n"
        "proxy_temp_path %s/t2;\nfastcgi_temp_path %s/t3;\nuwsgi_temp_path %s/t4;\nscgi_temp_path %s/t5;\n"
        "include %s/upstream.conf;\nserver { listen 127.0.0.1:%d; location / { proxy_pass http://web; "
        "proxy_next_upstream off; } }\n}\n",
        user, WORKERS, folder->path, folder->path, folder->path, folder->path, folder->path, folder->path,
        folder->path, folder->path, fixture->balancer.port);
    balancer_write(fixture->balancer.configuration, text);
}

static void set_up_context(Fixture *fixture) {
    const char *program = fixture->balancer.program, *file = fixture->balancer.configuration;
    const char *const test[] = {program, "-t", "-q", "-c", file}, *const reload[] = {program, "-s", "reload",
                                                                                     "-c", file};
    memcpy(fixture->test, test, sizeof test);
    memcpy(fixture->reload, reload, sizeof reload);
    fixture->nginx = (PlanNginx){.file = fixture->upstream,
                                 .server = fixture->address[0],
                                 .test = {fixture->test, 5},
                                 .reload = {fixture->reload, 5},
                                 .timeout_ms = 60000};
    fixture->traffic =
        (PlanTraffic){.nginx = &fixture->nginx, .drain_timeout_ms = 60000, .last_server = "refuse"};
    fixture->context = (TrafficContext){.traffic = &fixture->traffic,
                                        .host = "web1",
                                        .service = "shop",
                                        .root = "/",
                                        .clock = clock_system()};
}

static void wait_for_pid_file(const TestFolder *folder) {
    struct stat status;
    for (int i = 0; fstatat(folder->fd, "nginx.pid", &status, 0) != 0 || status.st_size == 0; i++) {
        if (i == 3000) fail_msg("nginx writes no pid file");
        clock_sleep_ms(10);
    }
}

static bool is_worker_of(const ProcessEntry *process, const Balancer *balancer) {
    char path[40], title[64] = "";
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)process->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool is = read(fd, title, sizeof title - 1) > 0 && strncmp(title, "nginx: worker process", 21) == 0;
    close(fd);
    return is && process->parent == balancer->pid;
}

/* Until all of them work; one of them. */
static ProcessEntry wait_for_workers(const Balancer *balancer) {
    for (int i = 0; i < 3000; i++) {
        PROCESS_TABLE_AUTO table = {0};
        ProcessEntry found = {0};
        int count = 0;
        assert_int_equal(process_table_read(&table, NULL), 0);
        for (size_t k = 0; k < table.count; k++) {
            if (!is_worker_of(&table.items[k], balancer)) continue;
            found = table.items[k];
            count++;
        }
        if (count == WORKERS) return found;
        clock_sleep_ms(10);
    }
    fail_msg("nginx begins no workers");
    return (ProcessEntry){0};
}

/* False when there is no nginx here. */
static bool start(Fixture *fixture, const TestFolder *folder, int delay_ms, const char *options) {
    *fixture = (Fixture){0};
    if (!balancer_find("nginx", fixture->balancer.program)) return false;
    for (size_t i = 0; i < 2; i++) {
        peer_start(&fixture->peers[i], (PeerScript){.answer = ANSWER, .delay_ms = delay_ms});
        snprintf(fixture->address[i], sizeof fixture->address[i], "127.0.0.1:%d", fixture->peers[i].port);
    }
    fixture->balancer.port = peer_free_port();
    snprintf(fixture->upstream, sizeof fixture->upstream, "%s/upstream.conf", folder->path);
    snprintf(fixture->balancer.configuration, sizeof fixture->balancer.configuration, "%s/nginx.conf",
             folder->path);
    snprintf(fixture->text, sizeof fixture->text,
             "upstream web {\n    server %s%s; # one\n    server %s%s;\n}\n", fixture->address[0], options,
             fixture->address[1], options);
    balancer_write(fixture->upstream, fixture->text);
    write_configuration(fixture, folder);
    const char *const argv[] = {fixture->balancer.program, "-c", fixture->balancer.configuration, NULL};
    balancer_start(&fixture->balancer, argv);
    wait_for_pid_file(folder); /* it listens before it writes that, and a reload needs it */
    wait_for_workers(&fixture->balancer);
    set_up_context(fixture);
    return true;
}

static void end(Fixture *fixture) {
    balancer_end(&fixture->balancer);
    for (size_t i = 0; i < 2; i++) peer_end(&fixture->peers[i]);
}

#define START(fixture, state, delay_ms, options)                                                             \
    do {                                                                                                     \
        if (!start((fixture), *(state), (delay_ms), (options))) TEST_SKIP("there is no nginx here");         \
    } while (0)

/* One request through nginx: does it get its whole answer? */
static bool request(const Fixture *fixture) {
    static const char text[] = "GET / HTTP/1.0\r\n\r\n";
    char answer[1024] = "";
    size_t size = 0;
    int fd = balancer_connect(fixture->balancer.port);
    if (fd < 0 || write(fd, text, sizeof text - 1) < 0) return false;
    for (ssize_t got = 0;
         size < sizeof answer - 1 && (got = read(fd, answer + size, sizeof answer - 1 - size)) > 0;)
        size += (size_t)got;
    close(fd);
    return strncmp(answer, "HTTP/1.1 200", 12) == 0 && strcmp(answer + (size > 2 ? size - 2 : 0), "ok") == 0;
}

static void expect_file(const Fixture *fixture, const char *words) {
    char text[512] = "";
    int fd = open(fixture->upstream, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    if (!strstr(text, words)) fail_msg("“%s” is not in\n%s", words, text);
}

static void expect_error(int result, const Error *error, ErrorKind kind, const char *words) {
    assert_int_equal(result, -1);
    if (error->kind != kind || !strstr(error->en, words))
        fail_msg("“%s” (%d) is not in “%s” (%d)", words, (int)kind, error->en, (int)error->kind);
}

static TrafficEnd drain(const Fixture *fixture) {
    TrafficEnd drained;
    Error error = {0};
    if (traffic_drain(&fixture->context, &drained, &error) < 0) fail_msg("%s", error.en);
    return drained;
}

static void readmit(const Fixture *fixture) {
    Error error = {0};
    if (traffic_readmit(&fixture->context, &error) < 0) fail_msg("%s", error.en);
}

static void test_goes_out_and_comes_back(void **state) {
    Fixture fixture;
    struct stat status;
    START(&fixture, state, 0, "");
    assert_int_equal(chmod(fixture.upstream, 0640), 0);
    Error error = {0};
    expect_error(traffic_check_out(&fixture.context, &error), &error, ERROR_REFUSED, "gets requests");
    TrafficEnd drained = drain(&fixture);
    assert_string_equal(drained.unit, "workers");
    assert_int_equal(drained.left, 0);
    expect_file(&fixture, " down; # one\n");
    assert_int_equal(traffic_check_out(&fixture.context, NULL), 0);
    int before = atomic_load(&fixture.peers[0].connections);
    for (int i = 0; i < 6; i++) assert_true(request(&fixture));
    assert_int_equal(atomic_load(&fixture.peers[0].connections), before);
    readmit(&fixture);
    expect_file(&fixture, fixture.text);
    assert_int_equal(stat(fixture.upstream, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    for (int i = 0; i < 6; i++) assert_true(request(&fixture));
    assert_true(atomic_load(&fixture.peers[0].connections) > before);
    end(&fixture);
}

static void *request_slowly(void *context) { return request(context) ? context : NULL; }

static void test_requests_under_way_are_waited_for(void **state) {
    Fixture fixture;
    pthread_t threads[2];
    void *answered = NULL;
    START(&fixture, state, 800, "");
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, request_slowly, &fixture), 0);
    for (int i = 0; i < 500 && atomic_load(&fixture.peers[0].connections) == 0; i++) usleep(10000);
    TrafficEnd drained = drain(&fixture);
    assert_int_equal(drained.left, 0);
    assert_false(drained.timed_out);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], &answered);
        assert_non_null(answered);
    }
    end(&fixture);
}

/* The workers that have them end already when the drain begins. */
static void test_requests_that_an_earlier_reload_left_are_waited_for(void **state) {
    Fixture fixture;
    pthread_t threads[2];
    void *answered = NULL;
    START(&fixture, state, 3000, "");
    int64_t begun_ms = clock_steady_ms(clock_system());
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, request_slowly, &fixture), 0);
    for (int i = 0; i < 500 && atomic_load(&fixture.peers[0].connections) == 0; i++) usleep(10000);
    readmit(&fixture);
    TrafficEnd drained = drain(&fixture);
    assert_int_equal(drained.left, 0);
    assert_true(clock_steady_ms(clock_system()) - begun_ms >= 3000);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], &answered);
        assert_non_null(answered);
    }
    end(&fixture);
}

static void test_the_limit_is_no_error(void **state) {
    Fixture fixture;
    pthread_t thread;
    START(&fixture, state, 3000, "");
    assert_int_equal(pthread_create(&thread, NULL, request_slowly, &fixture), 0);
    for (int i = 0; i < 500 && atomic_load(&fixture.peers[0].connections) == 0; i++) usleep(10000);
    fixture.traffic.drain_timeout_ms = 200;
    TrafficEnd drained = drain(&fixture);
    assert_true(drained.timed_out);
    assert_true(drained.left >= 1);
    pthread_join(thread, NULL);
    end(&fixture);
}

static void test_a_worker_that_has_not_heard_yet_is_waited_for(void **state) {
    Fixture fixture;
    START(&fixture, state, 0, "");
    ProcessEntry deaf = wait_for_workers(&fixture.balancer);
    assert_true(process_entry_signal(&deaf, SIGSTOP));
    fixture.traffic.drain_timeout_ms = fixture.nginx.timeout_ms = 1000;
    TrafficEnd drained = {0};
    int result = traffic_drain(&fixture.context, &drained, NULL);
    assert_true(process_entry_signal(&deaf, SIGCONT));
    assert_int_equal(result, 0);
    assert_true(drained.timed_out);
    assert_int_equal(drained.left, 1);
    end(&fixture);
}

static void test_the_last_one_that_serves_stays(void **state) {
    Fixture fixture;
    Error error = {0};
    START(&fixture, state, 0, "");
    drain(&fixture);
    fixture.nginx.server = fixture.address[1];
    expect_error(traffic_check(&fixture.context, &error), &error, ERROR_REFUSED, "nobody else serves");
    expect_error(traffic_drain(&fixture.context, NULL, &error), &error, ERROR_REFUSED, "nobody else serves");
    assert_true(request(&fixture));
    fixture.nginx.server = fixture.address[0];
    drain(&fixture); /* out already: done again */
    end(&fixture);
}

static void test_weights_are_shares_of_the_normal_one(void **state) {
    Fixture fixture;
    Error error = {0};
    START(&fixture, state, 0, " weight=20");
    fixture.context.percent = 10;
    assert_int_equal(traffic_check(&fixture.context, NULL), 0);
    drain(&fixture);
    readmit(&fixture);
    expect_file(&fixture, " weight=2; # upkeep: weight=20 # one\n");
    assert_int_equal(traffic_weight(&fixture.context, 100, NULL), 0);
    expect_file(&fixture, fixture.text);
    fixture.context.percent = 4;
    expect_error(traffic_check(&fixture.context, &error), &error, ERROR_INVALID, "4% of its weight 20");
    end(&fixture);
}

static void test_what_nginx_refuses_is_put_back(void **state) {
    Fixture fixture;
    Error error = {0};
    START(&fixture, state, 0, "");
    FILE *file = fopen(fixture.balancer.configuration, "a");
    assert_true(file && fputs("nonsense;\n", file) > 0 && fclose(file) == 0);
    expect_error(traffic_drain(&fixture.context, NULL, &error), &error, ERROR_SYSTEM, "unknown directive");
    assert_non_null(strstr(error.en, "was put back as it was"));
    expect_file(&fixture, fixture.text);
    end(&fixture);
}

static void test_a_reload_that_reaches_no_nginx_is_an_error(void **state) {
    Fixture fixture;
    Error error = {0};
    START(&fixture, state, 0, "");
    static const char *const reload[] = {"true"};
    fixture.nginx.reload = (StringList){(const char **)reload, 1};
    fixture.nginx.timeout_ms = 500;
    expect_error(traffic_drain(&fixture.context, NULL, &error), &error, ERROR_SYSTEM,
                 "did not take its configuration up within 500 ms");
    end(&fixture);
}

static void test_links_are_followed_and_stay(void **state) {
    Fixture fixture;
    char link[128];
    struct stat status;
    START(&fixture, state, 0, "");
    snprintf(link, sizeof link, "%s.link", fixture.upstream);
    assert_int_equal(symlink(fixture.upstream, link), 0);
    fixture.nginx.file = link;
    drain(&fixture);
    expect_file(&fixture, " down; # one\n");
    assert_true(lstat(link, &status) == 0 && S_ISLNK(status.st_mode));
    end(&fixture);
}

static void *drain_second(void *context) {
    const Fixture *fixture = context;
    PlanNginx nginx = fixture->nginx;
    PlanTraffic traffic = fixture->traffic;
    TrafficContext own = fixture->context;
    nginx.server = fixture->address[1];
    traffic.nginx = &nginx;
    own.traffic = &traffic;
    return traffic_drain(&own, NULL, NULL) == 0 ? context : NULL;
}

static void test_of_two_at_once_one_stays(void **state) {
    Fixture fixture;
    pthread_t thread;
    void *second = NULL;
    START(&fixture, state, 0, "");
    assert_int_equal(pthread_create(&thread, NULL, drain_second, &fixture), 0);
    bool first = traffic_drain(&fixture.context, NULL, NULL) == 0;
    pthread_join(thread, &second);
    assert_int_equal(first + (second != NULL), 1);
    assert_true(request(&fixture));
    end(&fixture);
}

static void test_of_two_at_once_each_waits_for_its_own_reload(void **state) {
    Fixture fixture;
    pthread_t thread;
    void *second = NULL;
    START(&fixture, state, 0, "");
    fixture.context.last = true;
    for (int round = 0; round < 5; round++) {
        assert_int_equal(pthread_create(&thread, NULL, drain_second, &fixture), 0);
        drain(&fixture);
        int before = atomic_load(&fixture.peers[0].connections);
        for (int i = 0; i < 6; i++) request(&fixture);
        assert_int_equal(atomic_load(&fixture.peers[0].connections), before);
        pthread_join(thread, &second);
        assert_non_null(second);
        readmit(&fixture);
        balancer_write(fixture.upstream, fixture.text);
        readmit(&fixture);
    }
    end(&fixture);
}

static void test_files_that_are_none_are_errors(void **state) {
    Fixture fixture;
    Error error = {0};
    START(&fixture, state, 0, "");
    fixture.nginx.server = "10.0.0.1:1";
    expect_error(traffic_check(&fixture.context, &error), &error, ERROR_INVALID,
                 "upstream.conf: it has no line");
    fixture.nginx.file = "/nowhere/upstream.conf";
    expect_error(traffic_check(&fixture.context, &error), &error, ERROR_SYSTEM,
                 "cannot open /nowhere/upstream.conf");
    end(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_goes_out_and_comes_back),
        test_in_folder(test_requests_under_way_are_waited_for),
        test_in_folder(test_requests_that_an_earlier_reload_left_are_waited_for),
        test_in_folder(test_the_limit_is_no_error),
        test_in_folder(test_a_worker_that_has_not_heard_yet_is_waited_for),
        test_in_folder(test_the_last_one_that_serves_stays),
        test_in_folder(test_weights_are_shares_of_the_normal_one),
        test_in_folder(test_what_nginx_refuses_is_put_back),
        test_in_folder(test_a_reload_that_reaches_no_nginx_is_an_error),
        test_in_folder(test_links_are_followed_and_stay),
        test_in_folder(test_of_two_at_once_one_stays),
        test_in_folder(test_of_two_at_once_each_waits_for_its_own_reload),
        test_in_folder(test_files_that_are_none_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
