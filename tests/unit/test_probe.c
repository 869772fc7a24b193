#include "host/check/probe.h"
#include "support/peer.h"

static const ProbeContext here = {.root = "/"};

static void check_seen(const Observation *seen, Verdict verdict, const char *part) {
    if (seen->verdict != verdict || !strstr(seen->detail.en, part))
        fail_msg("%s: %s", verdict_text(seen->verdict), seen->detail.en);
    assert_int_equal(seen->detail.kind == ERROR_NONE, verdict == VERDICT_PASS);
    assert_true(seen->latency_ms >= 0);
}

/* ---- http */

static Observation ask(const char *answer, PlanHttp http) {
    Peer peer;
    char url[256];
    Observation seen;
    peer_start(&peer, (PeerScript){.answer = answer});
    http.url = peer_url(&peer, "/", url);
    if (!http.timeout_ms) http.timeout_ms = 20000;
    probe_run(&(PlanHealth){.http = &http}, &here, &seen);
    peer_end(&peer);
    return seen;
}

static void test_http_passes_with_the_status_and_text_asked_for(void **state) {
    (void)state;
    static const char page[] = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nNode-RED page";
    Observation seen = ask(page, (PlanHttp){.status = 200, .body = "Node-RED"});
    check_seen(&seen, VERDICT_PASS, "status 200");
    seen = ask(page, (PlanHttp){.status = 204});
    check_seen(&seen, VERDICT_FAIL, "status 200 instead of 204");
    seen = ask(page, (PlanHttp){.body = "Grafana"});
    check_seen(&seen, VERDICT_FAIL, "the body does not contain \"Grafana\"");
}

static void test_http_without_a_status_passes_with_2xx_and_3xx(void **state) {
    (void)state;
    static const struct {
        const char *answer;
        Verdict verdict;
    } rows[] = {{"HTTP/1.1 204 X\r\n\r\n", VERDICT_PASS},
                {"HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n", VERDICT_PASS},
                {"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n", VERDICT_FAIL},
                {"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", VERDICT_FAIL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Observation seen = ask(rows[i].answer, (PlanHttp){0});
        check_seen(&seen, rows[i].verdict, "status ");
    }
}

static void test_http_fails_for_late_half_and_garbled_answers(void **state) {
    (void)state;
    Observation seen = ask(NULL, (PlanHttp){0});
    check_seen(&seen, VERDICT_FAIL, "closed without an answer");
    seen = ask("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1", (PlanHttp){0});
    check_seen(&seen, VERDICT_FAIL, "broke off");
    seen = ask("\xff\xfe garbage", (PlanHttp){0});
    check_seen(&seen, VERDICT_FAIL, "not HTTP");
}

static void test_http_says_when_the_text_may_be_further_down(void **state) {
    (void)state;
    Peer peer;
    char url[256];
    Observation seen;
    static char part[4096];
    memset(part, 'x', sizeof part - 1);
    memcpy(part, "HTTP/1.1 200 OK\r\n\r\n", 19);
    peer_start(&peer, (PeerScript){.answer = part, .endless = true});
    PlanHttp http = {.url = peer_url(&peer, "/", url), .body = "end", .timeout_ms = 60000};
    probe_run(&(PlanHealth){.http = &http}, &here, &seen);
    peer_end(&peer);
    check_seen(&seen, VERDICT_FAIL, "only its first 1048576 bytes were read");
}

static void test_what_could_not_be_asked_is_inconclusive(void **state) {
    (void)state;
    atomic_bool cancel = true;
    ProbeContext cancelled = {.root = "/", .cancel = &cancel};
    Peer peer;
    char url[256];
    Observation seen;
    PlanHttp http = {.url = "file:///etc/passwd"};
    probe_run(&(PlanHealth){.http = &http}, &here, &seen);
    check_seen(&seen, VERDICT_INCONCLUSIVE, "only http://");
    peer_start(&peer, (PeerScript){.hold = true});
    http = (PlanHttp){.url = peer_url(&peer, "/", url), .timeout_ms = 60000};
    probe_run(&(PlanHealth){.http = &http}, &cancelled, &seen);
    peer_end(&peer);
    check_seen(&seen, VERDICT_INCONCLUSIVE, "stopped on request");
    probe_run(&(PlanHealth){0}, &here, &seen);
    check_seen(&seen, VERDICT_INCONCLUSIVE, "does not say what to look at");
}

/* ---- tcp */

static void test_tcp_passes_where_somebody_listens(void **state) {
    (void)state;
    Peer peer;
    char address[64];
    Observation seen;
    peer_start(&peer, (PeerScript){0});
    snprintf(address, sizeof address, "127.0.0.1:%d", peer.port);
    PlanTcp tcp = {.address = address, .timeout_ms = 20000};
    probe_run(&(PlanHealth){.tcp = &tcp}, &here, &seen);
    check_seen(&seen, VERDICT_PASS, "accepts connections");
    peer_end(&peer);
    probe_run(&(PlanHealth){.tcp = &tcp}, &here, &seen);
    check_seen(&seen, VERDICT_FAIL, "Connection refused");
}

/* ---- command */

static Observation run(const char *script, PlanCommand command) {
    const char *argv[] = {"sh", "-c", script};
    Observation seen;
    command.run = (StringList){argv, 3};
    if (!command.timeout_ms) command.timeout_ms = 20000;
    probe_run(&(PlanHealth){.command = &command}, &here, &seen);
    return seen;
}

static void test_command_passes_with_status_0_only(void **state) {
    (void)state;
    Observation seen = run("exit 0", (PlanCommand){0});
    check_seen(&seen, VERDICT_PASS, "sh ended with status 0");
    seen = run("echo not well; exit 3", (PlanCommand){0});
    check_seen(&seen, VERDICT_FAIL, "sh ended with status 3: not well");
    seen = run("sleep 1000", (PlanCommand){.timeout_ms = 100});
    check_seen(&seen, VERDICT_FAIL, "sh did not end within 100 ms");
}

static void test_command_holds_the_version_against_the_range(void **state) {
    (void)state;
    Observation seen = run("echo v18.20.4", (PlanCommand){.version = ">=18 <23"});
    check_seen(&seen, VERDICT_PASS, "sh is version 18.20.4");
    seen = run("echo v16.0.0", (PlanCommand){.version = ">=18 <23"});
    check_seen(&seen, VERDICT_FAIL, "sh is version 16.0.0, >=18 <23 needed");
    seen = run("echo api 3 app 2.5", (PlanCommand){.version = "2.5", .regex = "app ([0-9.]+)"});
    check_seen(&seen, VERDICT_PASS, "2.5");
}

static void test_command_without_data_is_never_a_pass(void **state) {
    (void)state;
    Observation seen = run("echo none", (PlanCommand){.version = ">=1"});
    check_seen(&seen, VERDICT_INCONCLUSIVE, "no version in the output");
    const char *argv[] = {"no-such-program"};
    PlanCommand command = {.run = {argv, 1}};
    probe_run(&(PlanHealth){.command = &command}, &here, &seen);
    check_seen(&seen, VERDICT_INCONCLUSIVE, "cannot run no-such-program");
    command.run.count = 0;
    probe_run(&(PlanHealth){.command = &command}, &here, &seen);
    check_seen(&seen, VERDICT_INCONCLUSIVE, "does not give its command");
}

static void test_command_runs_in_the_root(void **state) {
    const TestFolder *folder = *state;
    ProbeContext context = {.root = folder->path};
    char script[128];
    snprintf(script, sizeof script, "test \"$(pwd)\" = %s", folder->path);
    const char *argv[] = {"sh", "-c", script};
    PlanCommand command = {.run = {argv, 3}, .timeout_ms = 20000};
    Observation seen;
    probe_run(&(PlanHealth){.command = &command}, &context, &seen);
    check_seen(&seen, VERDICT_PASS, "");
}

/* Ends with status 0 when it is nobody, can gain no rights, and has the memory of a helper and no more. */
static const char *const as_nobody[] = {
    "sh", "-c",
    ("test $(id -un) = nobody && grep -q 'NoNewPrivs:.1' /proc/self/status && "
     "test $(ulimit -d) = 4194304 && test $(ulimit -c) = 0 && echo 1.2")};

static void test_a_command_has_the_rights_of_the_services_user(void **state) {
    (void)state;
    if (geteuid() != 0) TEST_SKIP("needs root to become another user");
    ProbeContext context = {.root = "/", .user = "nobody"};
    PlanCommand command = {.run = {(const char **)as_nobody, 3}, .timeout_ms = 20000};
    PlanVersionProbe asking = {.command = {(const char **)as_nobody, 3}, .timeout_ms = 20000};
    char version[PROBE_VERSION_SIZE];
    Observation seen;
    Error error = {0};
    probe_run(&(PlanHealth){.command = &command}, &context, &seen);
    check_seen(&seen, VERDICT_PASS, "");
    if (probe_version(&asking, &context, version, &error) < 0) fail_msg("%s", error.en);
    assert_string_equal(version, "1.2");
}

/* ---- version */

static int ask_version(const char *answer, const char *pointer, char version[static PROBE_VERSION_SIZE],
                       Error *error) {
    Peer peer;
    char url[256];
    peer_start(&peer, (PeerScript){.answer = answer});
    PlanVersionProbe probe = {
        .http = peer_url(&peer, "/settings", url), .json = pointer, .timeout_ms = 20000};
    int result = probe_version(&probe, &here, version, error);
    peer_end(&peer);
    return result;
}

static void test_version_comes_from_json(void **state) {
    (void)state;
    char version[PROBE_VERSION_SIZE];
    assert_int_equal(ask_version("HTTP/1.1 200 OK\r\n\r\n{\"app\":{\"version\":\"4.0.9\"},\"major\":4}",
                                 "/app/version", version, NULL),
                     0);
    assert_string_equal(version, "4.0.9");
    assert_int_equal(ask_version("HTTP/1.1 200 OK\r\n\r\n{\"major\":4}", "/major", version, NULL), 0);
    assert_string_equal(version, "4");
}

static void test_version_is_not_guessed(void **state) {
    (void)state;
    static const struct {
        const char *answer, *part;
    } rows[] = {{"HTTP/1.1 200 OK\r\n\r\n{\"other\":1}", "no text at /version"},
                {"HTTP/1.1 200 OK\r\n\r\n{\"version\":null}", "no text at /version"},
                {"HTTP/1.1 200 OK\r\n\r\n{\"version\":1.10}", "no text at /version"},
                {"HTTP/1.1 200 OK\r\n\r\n{\"version\":\"\"}", "is none"},
                {"HTTP/1.1 200 OK\r\n\r\n<html>", "not valid JSON"},
                {"HTTP/1.1 401 No\r\n\r\n{\"version\":\"1\"}", "status 401 instead of 200"},
                {NULL, "closed without an answer"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char version[PROBE_VERSION_SIZE] = "untouched";
        Error error = {0};
        assert_int_equal(ask_version(rows[i].answer, "/version", version, &error), -1);
        assert_string_equal(version, "untouched");
        if (!strstr(error.en, rows[i].part)) fail_msg("%s", error.en);
    }
}

static void test_version_comes_from_a_command(void **state) {
    (void)state;
    const char *argv[] = {"echo", "Node-RED version: v4.0.9"};
    char version[PROBE_VERSION_SIZE];
    PlanVersionProbe probe = {.command = {argv, 2}, .regex = "v([0-9.]+)$", .timeout_ms = 20000};
    Error error = {0};
    assert_int_equal(probe_version(&probe, &here, version, &error), 0);
    assert_string_equal(version, "4.0.9");
    argv[0] = "false";
    assert_int_equal(probe_version(&probe, &here, version, &error), -1);
    assert_non_null(strstr(error.en, "cannot learn which version runs: false ended with status 1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_passes_with_the_status_and_text_asked_for),
        cmocka_unit_test(test_http_without_a_status_passes_with_2xx_and_3xx),
        cmocka_unit_test(test_http_fails_for_late_half_and_garbled_answers),
        cmocka_unit_test(test_http_says_when_the_text_may_be_further_down),
        cmocka_unit_test(test_what_could_not_be_asked_is_inconclusive),
        cmocka_unit_test(test_tcp_passes_where_somebody_listens),
        cmocka_unit_test(test_command_passes_with_status_0_only),
        cmocka_unit_test(test_command_holds_the_version_against_the_range),
        cmocka_unit_test(test_command_without_data_is_never_a_pass),
        test_in_folder(test_command_runs_in_the_root),
        cmocka_unit_test(test_a_command_has_the_rights_of_the_services_user),
        cmocka_unit_test(test_version_comes_from_json),
        cmocka_unit_test(test_version_is_not_guessed),
        cmocka_unit_test(test_version_comes_from_a_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
