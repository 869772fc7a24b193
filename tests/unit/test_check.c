#include "host/check/check.h"
#include "host/check/facts.h"
#include "support/peer.h"
#include "support/tls_peer.h"
#include <signal.h>
#include <sys/timex.h>

static const CheckContext here = {.root = "/"};

static void check_seen(const Observation *seen, Verdict verdict, const char *part) {
    if (seen->verdict != verdict || !strstr(seen->detail.en, part))
        fail_msg("%s: %s", verdict_text(seen->verdict), seen->detail.en);
    assert_int_equal(seen->detail.kind == ERROR_NONE, verdict == VERDICT_PASS);
}

static void check_is(PlanCheck check, Verdict verdict, const char *part) {
    Observation seen;
    check_run(&check, &here, &seen);
    check_seen(&seen, verdict, part);
}

static void test_a_detail_begins_with_the_name(void **state) {
    (void)state;
    PlanCpu cpu = {.cores = 1};
    PlanCheck check = {.name = "big enough", .cpu = &cpu};
    check_is(check, VERDICT_PASS, "big enough: ");
    check.name = NULL;
    check_is(check, VERDICT_PASS, "cpu: ");
    assert_string_equal(check_kind(&check), "cpu");
    check_is((PlanCheck){.name = "x"}, VERDICT_INCONCLUSIVE, "x: the plan does not say what to look at");
}

static void test_cpu(void **state) {
    (void)state;
    PlanCpu few = {.cores = 1}, many = {.cores = 1000000};
    check_is((PlanCheck){.cpu = &few}, VERDICT_PASS, "processors usable, 1 needed");
    check_is((PlanCheck){.cpu = &many}, VERDICT_FAIL, "processors usable, 1000000 needed");
}

static void test_memory(void **state) {
    (void)state;
    PlanMemory little = {.free = {.value = 1 << 20, .set = true}};
    PlanMemory much = {.free = {.value = INT64_C(1) << 60, .set = true}};
    PlanMemory all = {.free = {.value = 100, .percent = true, .set = true}};
    check_is((PlanCheck){.memory = &little}, VERDICT_PASS, "free, 1.0 MiB needed");
    check_is((PlanCheck){.memory = &much}, VERDICT_FAIL, "free, 1.0 EiB needed");
    check_is((PlanCheck){.memory = &all}, VERDICT_FAIL, " needed");
}

static void test_disk(void **state) {
    const TestFolder *folder = *state;
    CheckContext context = {.root = folder->path};
    Observation seen;
    PlanDisk little = {.path = "not/yet/there", .free = {.value = 4096, .set = true}};
    check_run(&(PlanCheck){.disk = &little}, &context, &seen);
    check_seen(&seen, VERDICT_PASS, "4.0 KiB needed");
    assert_non_null(strstr(seen.detail.en, folder->path));
    PlanDisk much = {.path = folder->path, .free = {.value = INT64_C(1) << 60, .set = true}};
    check_is((PlanCheck){.disk = &much}, VERDICT_FAIL, "1.0 EiB needed");
    PlanDisk all = {.path = "/", .free = {.value = 100, .percent = true, .set = true}};
    check_is((PlanCheck){.disk = &all}, VERDICT_FAIL, "needed");
}

static void test_disk_counts_inodes(void **state) {
    const TestFolder *folder = *state;
    FactsDisk disk;
    assert_int_equal(facts_disk(folder->path, &disk, NULL), 0);
    if (!disk.inodes) TEST_SKIP("the file system of /tmp has no fixed number of inodes");
    PlanDisk few = {.path = folder->path, .inodes = {.value = 1, .set = true}};
    PlanDisk all = {.path = folder->path,
                    .free = {.value = 1, .set = true},
                    .inodes = {.value = 100, .percent = true, .set = true}};
    check_is((PlanCheck){.disk = &few}, VERDICT_PASS, "inodes free");
    check_is((PlanCheck){.disk = &all}, VERDICT_FAIL, "inodes free");
}

static void test_os_and_kernel(void **state) {
    (void)state;
    Facts facts;
    facts_read(&facts);
    if (!*facts.os_id || !*facts.os_version) TEST_SKIP("this machine does not say what it is");
    PlanOs same = {.id = facts.os_id, .version = ">=0"};
    PlanOs newer = {.id = facts.os_id, .version = ">=100000"};
    PlanOs other = {.id = "plan9"};
    check_is((PlanCheck){.os = &same}, VERDICT_PASS, facts.os_id);
    check_is((PlanCheck){.os = &newer}, VERDICT_FAIL, ">=100000 needed");
    check_is((PlanCheck){.os = &other}, VERDICT_FAIL, "plan9");
    char exact[80]; /* "6.1.0-13-amd64" is no pre-release of 6.1.0 */
    snprintf(exact, sizeof exact, ">=%.*s", (int)strcspn(facts.kernel, "-+_"), facts.kernel);
    PlanKernel kernel = {.version = exact}, future = {.version = ">=1000"};
    check_is((PlanCheck){.kernel = &kernel}, VERDICT_PASS, facts.kernel);
    check_is((PlanCheck){.kernel = &future}, VERDICT_FAIL, ">=1000 needed");
}

static void test_command_tcp_and_http_are_the_probes(void **state) {
    (void)state;
    Peer peer;
    char url[256], address[64];
    const char *argv[] = {"echo", "v18.1.0"};
    peer_start(&peer, (PeerScript){.answer = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"});
    snprintf(address, sizeof address, "127.0.0.1:%d", peer.port);
    PlanCommand command = {.run = {argv, 2}, .version = ">=18 <23", .timeout_ms = 20000};
    PlanTcp tcp = {.address = address, .timeout_ms = 20000};
    PlanHttp http = {.url = peer_url(&peer, "/", url), .status = 200, .timeout_ms = 20000};
    check_is((PlanCheck){.command = &command}, VERDICT_PASS, "command: echo is version 18.1.0");
    check_is((PlanCheck){.http = &http}, VERDICT_FAIL, "http: status 503 instead of 200");
    check_is((PlanCheck){.tcp = &tcp}, VERDICT_PASS, "tcp: 127.0.0.1:");
    peer_end(&peer);
    check_is((PlanCheck){.tcp = &tcp}, VERDICT_FAIL, "Connection refused");
}

static void test_port_free(void **state) {
    (void)state;
    char text[16];
    int port, fd = peer_listen(&port);
    snprintf(text, sizeof text, "%d", port);
    PlanPortFree free_port = {.port = text};
    CheckContext ours = {.root = "/", .service_pid = getpid()};
    Observation seen;
    check_is((PlanCheck){.port_free = &free_port}, VERDICT_FAIL, "is taken by test_check (process ");
    check_run(&(PlanCheck){.port_free = &free_port}, &ours, &seen);
    check_seen(&seen, VERDICT_PASS, "is free");
    close(fd);
    check_is((PlanCheck){.port_free = &free_port}, VERDICT_PASS, "is free");
}

static void test_port_free_refuses_what_is_no_port(void **state) {
    (void)state;
    static const char *const texts[] = {"", "0", "65536", "http", "80x", "-1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        PlanPortFree free_port = {.port = texts[i]};
        check_is((PlanCheck){.port_free = &free_port}, VERDICT_INCONCLUSIVE, "is not a port");
    }
}

/* ---- tls */

static void check_tls(const char *names, long valid_s, PlanTls tls, bool trusted, Verdict verdict,
                      const char *part, const TestFolder *folder) {
    TlsPeer peer;
    char ca[128], address[64];
    snprintf(ca, sizeof ca, "%s/ca.pem", folder->path);
    tls_peer_start(&peer, names, valid_s, ca);
    snprintf(address, sizeof address, "127.0.0.1:%d", peer.port);
    tls.address = address;
    tls.ca = trusted ? ca : NULL;
    tls.timeout_ms = 20000;
    Observation seen;
    check_run(&(PlanCheck){.tls = &tls}, &here, &seen);
    tls_peer_end(&peer);
    check_seen(&seen, verdict, part);
}

enum { DAY_S = 86400 };
#define DAYS_MS(days) (INT64_C(1000) * DAY_S * (days))

static void test_tls_wants_a_certificate_valid_long_enough(void **state) {
    check_tls("IP:127.0.0.1", 30 * DAY_S, (PlanTls){.valid_for_ms = DAYS_MS(14)}, true, VERDICT_PASS,
              "14d needed", *state);
    check_tls("IP:127.0.0.1", 13 * DAY_S, (PlanTls){.valid_for_ms = DAYS_MS(14)}, true, VERDICT_FAIL,
              "14d needed", *state);
}

static void test_tls_wants_a_certificate_to_be_trusted(void **state) {
    check_tls("IP:127.0.0.1", 30 * DAY_S, (PlanTls){0}, false, VERDICT_FAIL, "not trusted: self-signed",
              *state);
    check_tls("DNS:elsewhere", 30 * DAY_S, (PlanTls){0}, true, VERDICT_FAIL,
              "not trusted: IP address mismatch", *state);
    check_tls("IP:127.0.0.1", -60, (PlanTls){0}, true, VERDICT_FAIL, "not trusted: certificate has expired",
              *state);
}

static void test_tls_fails_where_no_tls_is_spoken(void **state) {
    (void)state;
    Peer peer;
    char address[64];
    Observation seen;
    peer_start(&peer, (PeerScript){.answer = "HTTP/1.1 400 What\r\n\r\n"});
    snprintf(address, sizeof address, "127.0.0.1:%d", peer.port);
    PlanTls tls = {.address = address, .timeout_ms = 20000};
    check_run(&(PlanCheck){.tls = &tls}, &here, &seen);
    peer_end(&peer);
    check_seen(&seen, VERDICT_FAIL, "the TLS handshake failed");
    peer_start(&peer, (PeerScript){.hold = true});
    snprintf(address, sizeof address, "127.0.0.1:%d", peer.port);
    tls.timeout_ms = 200;
    check_run(&(PlanCheck){.tls = &tls}, &here, &seen);
    peer_end(&peer);
    check_seen(&seen, VERDICT_FAIL, "did not end in time");
}

static void test_tls_that_cannot_be_tried_is_inconclusive(void **state) {
    (void)state;
    PlanTls tls = {.address = "nonsense"};
    check_is((PlanCheck){.tls = &tls}, VERDICT_INCONCLUSIVE, "is not HOST:PORT");
}

/* ---- clock */

static int64_t frozen_ms;
static int64_t frozen(Clock *clock) {
    (void)clock;
    return frozen_ms;
}

static void test_clock_says_what_the_kernel_knows(void **state) {
    (void)state;
    struct timex now = {0};
    PlanClock generous = {.skew_ms = 3600000}, strict = {.skew_ms = -1};
    if (adjtimex(&now) == TIME_ERROR || (now.status & STA_UNSYNC)) {
        check_is((PlanCheck){.clock = &generous}, VERDICT_INCONCLUSIVE,
                 "does not know it to be synchronised");
        return;
    }
    check_is((PlanCheck){.clock = &generous}, VERDICT_PASS, "wrong by at most");
    check_is((PlanCheck){.clock = &strict}, VERDICT_FAIL, "wrong by at most");
}

static void test_a_clock_in_the_past_fails(void **state) {
    (void)state;
    Clock clock = {.wall_ms = frozen, .steady_ms = frozen};
    CheckContext context = {.root = "/", .clock = &clock};
    PlanClock plan = {.skew_ms = 3600000};
    Observation seen;
    frozen_ms = 1000;
    check_run(&(PlanCheck){.clock = &plan}, &context, &seen);
    check_seen(&seen, VERDICT_FAIL, "it says 1970-01-01T00:00:01.000Z");
}

int main(void) {
    signal(SIGPIPE, SIG_IGN); /* the TLS server of the test writes to those who have gone */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_detail_begins_with_the_name),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_memory),
        test_in_folder(test_disk),
        test_in_folder(test_disk_counts_inodes),
        cmocka_unit_test(test_os_and_kernel),
        cmocka_unit_test(test_command_tcp_and_http_are_the_probes),
        cmocka_unit_test(test_port_free),
        cmocka_unit_test(test_port_free_refuses_what_is_no_port),
        test_in_folder(test_tls_wants_a_certificate_valid_long_enough),
        test_in_folder(test_tls_wants_a_certificate_to_be_trusted),
        cmocka_unit_test(test_tls_fails_where_no_tls_is_spoken),
        cmocka_unit_test(test_tls_that_cannot_be_tried_is_inconclusive),
        cmocka_unit_test(test_clock_says_what_the_kernel_knows),
        cmocka_unit_test(test_a_clock_in_the_past_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
