#include "support/served.h"
#include "wire/call.h"
#include <sys/resource.h>

/* "METHOD path x=<parameter> h=<header> <body>" */
static int describe(void *context, ServerRequest *request) {
    (void)context;
    Buffer body = {0};
    const char *x = server_request_parameter(request, "x"),
               *header = server_request_header(request, "X-Test");
    buffer_printf(&body, "%s %s x=%s h=%s %s", server_request_method(request), server_request_path(request),
                  x ? x : "-", header ? header : "-", buffer_text(server_request_body(request)));
    server_answer(request, 200, "text/plain", &body);
    return 0;
}

static int count(void *context, ServerRequest *request) {
    atomic_fetch_add((atomic_int *)context, 1);
    server_answer(request, 204, NULL, NULL);
    return 0;
}

/* One request on a new connection; the status. */
static int ask(const Served *served, const char *request, Buffer *answer) {
    raw_ask(served_port(served), request, answer);
    return raw_status(answer);
}

static int ask_status(const Served *served, const char *request) {
    BUFFER_AUTO answer = {0};
    return ask(served, request, &answer);
}

#define REST " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"

static void test_gives_method_path_parameters_headers_and_body(void **state) {
    (void)state;
    Served served;
    BUFFER_AUTO answer = {0};
    served_start(&served, describe, NULL, (ServerLimits){0});
    int status = ask(
        &served, "POST /a%20b/c?y=1&x=1+2%263" REST "X-Test: yes\r\nContent-Length: 5\r\n\r\nhello", &answer);
    served_end(&served);
    assert_int_equal(status, 200);
    assert_string_equal(raw_body(&answer), "POST /a b/c x=1 2&3 h=yes hello");
}

static void test_gives_a_chunked_body_whole(void **state) {
    (void)state;
    Served served;
    BUFFER_AUTO answer = {0};
    served_start(&served, describe, NULL, (ServerLimits){0});
    ask(&served, "PUT /a" REST "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", &answer);
    served_end(&served);
    assert_string_equal(raw_body(&answer), "PUT /a x=- h=- hello");
}

static void test_answers_bear_the_house_headers(void **state) {
    (void)state;
    Served served;
    BUFFER_AUTO answer = {0};
    served_start(&served, describe, NULL, (ServerLimits){0});
    ask(&served, "GET /" REST "\r\n", &answer);
    served_end(&served);
    assert_non_null(strstr(answer.data, "\r\nCache-Control: no-store\r\n"));
    assert_non_null(strstr(answer.data, "\r\nX-Content-Type-Options: nosniff\r\n"));
    assert_null(strcasestr(answer.data, "\r\nServer:"));
    assert_null(strcasestr(answer.data, "microhttpd"));
}

static void test_dangerous_paths_are_refused(void **state) {
    (void)state;
    static const char *const targets[] = {
        "/../x",    "/a/..",    "/a/%2e%2e/b", "/a/%2E./b", "/./a",    "/a%00b",  "/a%0d%0aX:%20y",
        "/a%7f",    "//a",      "/a//b",       "/a%2fb",    "/a%2Fb",  "/a\\b",   "/a%5cb",
        "/a%zz",    "/a%4",     "*",           "http://h",  "a",       "/a\001b", "/a\tb",
        "/a?x=%00", "/a?x=%0a", "/a?%",        "/a b",      "/a%1b[2J"};
    Served served;
    atomic_int calls = 0;
    served_start(&served, count, &calls, (ServerLimits){0});
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        char request[256];
        snprintf(request, sizeof request, "GET %s" REST "\r\n", targets[i]);
        int status = ask_status(&served, request);
        if (status != 400 && !(status == 0 && strchr(targets[i], ' ')))
            fail_msg("%s: status %d", targets[i], status);
    }
    served_end(&served);
    assert_int_equal(calls, 0);
}

static void test_a_nul_in_the_path_is_refused(void **state) {
    (void)state;
    static const char request[] = "GET /a\0b" REST "\r\n";
    Served served;
    atomic_int calls = 0;
    BUFFER_AUTO answer = {0};
    served_start(&served, count, &calls, (ServerLimits){0});
    raw_ask_bytes(served_port(&served), request, sizeof request - 1, &answer);
    served_end(&served);
    assert_int_not_equal(raw_status(&answer), 204);
    assert_int_equal(calls, 0);
}

static void test_a_long_path_is_refused(void **state) {
    (void)state;
    Served served;
    BUFFER_AUTO request = {0};
    served_start(&served, describe, NULL, (ServerLimits){0});
    buffer_printf(&request, "GET /%0*d" REST "\r\n", SERVER_TARGET_MAX, 0);
    int status = ask_status(&served, request.data);
    served_end(&served);
    assert_int_equal(status, 414);
}

static void test_too_many_parameters_are_refused(void **state) {
    (void)state;
    Served served;
    BUFFER_AUTO request = {0};
    served_start(&served, describe, NULL, (ServerLimits){0});
    buffer_text_append(&request, "GET /?");
    for (int i = 0; i <= SERVER_PARAMETERS_MAX; i++) buffer_printf(&request, "a%d=1&", i);
    buffer_text_append(&request, REST "\r\n");
    int status = ask_status(&served, request.data);
    served_end(&served);
    assert_int_equal(status, 400);
}

static void test_a_length_that_can_be_read_two_ways_is_refused(void **state) {
    (void)state;
    static const char *const headers[] = {
        "Content-Length: 3\r\nContent-Length: 5\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Content-Length: 3x\r\n",
        "Content-Length: -3\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Host: other\r\nContent-Length: 3\r\n",
    };
    Served served;
    atomic_int calls = 0;
    served_start(&served, count, &calls, (ServerLimits){0});
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        char request[256];
        snprintf(request, sizeof request, "POST /a" REST "%s\r\n0\r\n\r\nGET /evil" REST "\r\n", headers[i]);
        int status = ask_status(&served, request);
        if (status / 100 != 4) fail_msg("%s: status %d", headers[i], status);
    }
    served_end(&served);
    assert_int_equal(calls, 0);
}

static void test_a_body_too_large_gets_413(void **state) {
    (void)state;
    Served served;
    served_start(&served, describe, NULL, (ServerLimits){.body_max = 4});
    int status = ask_status(&served, "POST /" REST "Content-Length: 5\r\n\r\nhello");
    served_end(&served);
    assert_int_equal(status, 413);
}

static void test_a_body_as_large_as_allowed_is_taken(void **state) {
    (void)state;
    Served served;
    served_start(&served, describe, NULL, (ServerLimits){.body_max = 5});
    int status = ask_status(&served, "POST /" REST "Content-Length: 5\r\n\r\nhello");
    served_end(&served);
    assert_int_equal(status, 200);
}

static void test_a_chunked_body_too_large_gets_413(void **state) {
    (void)state;
    Served served;
    served_start(&served, describe, NULL, (ServerLimits){.body_max = 4});
    int status =
        ask_status(&served, "POST /" REST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    served_end(&served);
    assert_int_equal(status, 413);
}

static void test_an_enormous_body_is_refused_before_it_comes(void **state) {
    (void)state;
    Served served;
    served_start(&served, describe, NULL, (ServerLimits){0});
    int status = ask_status(&served, "POST /" REST "Content-Length: 999999999999\r\n\r\n");
    served_end(&served);
    assert_int_equal(status, 413);
}

static void test_headers_too_large_are_refused(void **state) {
    (void)state;
    Served served;
    atomic_int calls = 0;
    BUFFER_AUTO request = {0};
    served_start(&served, count, &calls, (ServerLimits){.headers_max = 4096});
    buffer_printf(&request, "GET /" REST "X-Test: %05000d\r\n\r\n", 0);
    int status = ask_status(&served, request.data);
    served_end(&served);
    assert_true(status == 431 || status == 0); /* 0: reset while we were still sending */
    assert_int_equal(calls, 0);
}

/* Send `start`, then a byte every now and then, until the server has had enough. */
static void check_slowness_ends(const char *start, const char *byte) {
    Served served;
    atomic_int calls = 0;
    served_start(&served, count, &calls, (ServerLimits){.request_timeout_ms = 300});
    int fd = raw_connect(served_port(&served));
    raw_send(fd, start);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int tries = 0;
    for (; tries < 600 && poll(&ready, 1, 50) == 0; tries++) raw_send(fd, byte);
    close(fd);
    served_end(&served);
    assert_true(tries < 600);
    assert_int_equal(calls, 0);
}

static void test_a_slow_body_ends_at_the_deadline(void **state) {
    (void)state;
    check_slowness_ends("POST /" REST "Content-Length: 100000\r\n\r\n", "a");
}

static void test_slow_headers_end_at_the_deadline(void **state) {
    (void)state;
    check_slowness_ends("GET /" REST "X-Test: ", "a");
}

static void test_a_silent_connection_ends_at_the_deadline(void **state) {
    (void)state;
    check_slowness_ends("", "");
}

static void test_a_handshake_that_is_not_made_ends_at_the_deadline(void **state) {
    (void)state;
    Served served;
    atomic_int calls = 0;
    BUFFER_AUTO got = {0};
    served_start_tls(&served, count, &calls, (ServerLimits){.request_timeout_ms = 200});
    int fd = raw_connect(served_port(&served));
    raw_send(fd, "\x16\x03\x01\x02");
    int ended = raw_read(fd, &got, NULL);
    close(fd);
    served_end(&served);
    assert_int_equal(ended, 0);
}

/* Processor time of this process. */
static double cpu_s(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void test_half_a_handshake_keeps_no_thread_busy(void **state) {
    (void)state;
    Served served;
    atomic_int calls = 0;
    served_start_tls(&served, count, &calls, (ServerLimits){0});
    int fd = raw_connect(served_port(&served));
    raw_send(fd, "\x16\x03\x01\x02");
    EVENTUALLY(server_counts(served.server).connections == 1);
    double before = cpu_s();
    sleep(1);
    double used = cpu_s() - before;
    served_end(&served); /* with the connection as it is */
    close(fd);
    assert_true(used < 0.2);
}

static void test_an_address_has_no_more_connections_than_allowed(void **state) {
    (void)state;
    Served served;
    atomic_int calls = 0;
    BUFFER_AUTO got = {0};
    int fds[3];
    served_start(&served, count, &calls, (ServerLimits){.per_address = 2});
    for (int i = 0; i < 2; i++) fds[i] = raw_connect(served_port(&served));
    EVENTUALLY(server_counts(served.server).connections == 2);
    fds[2] = raw_connect(served_port(&served));
    int ended = raw_read(fds[2], &got, NULL);
    for (int i = 0; i < 3; i++) close(fds[i]);
    served_end(&served);
    assert_int_equal(ended, 0);
}

static int know(void *context, ServerRequest *request) {
    if (strcmp(server_request_path(request), "/known") == 0) server_request_is_known(request);
    return count(context, request);
}

#define STAY " HTTP/1.1\r\nHost: h\r\n\r\n"

static void test_strangers_of_one_address_leave_places_for_others(void **state) {
    (void)state;
    Served served;
    atomic_int calls = 0;
    BUFFER_AUTO got = {0};
    int fds[4];
    served_start(&served, know, &calls, (ServerLimits){.strangers = 2});
    for (int i = 0; i < 2; i++) fds[i] = raw_connect(served_port(&served));
    EVENTUALLY(server_counts(served.server).connections == 2);
    fds[2] = raw_connect(served_port(&served));
    int ended = raw_read(fds[2], &got, NULL);
    uint64_t refused = server_counts(served.server).refused;
    raw_send(fds[0], "GET /known" STAY); /* who is known makes room for the next one */
    raw_read(fds[0], &got, "\r\n\r\n");
    raw_send(fds[0], "GET /known" STAY); /* and only once */
    EVENTUALLY(atomic_load(&calls) == 2);
    fds[3] = raw_connect(served_port(&served));
    raw_send(fds[3], "GET /" STAY);
    EVENTUALLY(atomic_load(&calls) == 3);
    int more = raw_connect(served_port(&served));
    int ended_too = raw_read(more, &got, NULL);
    close(more);
    for (int i = 0; i < 4; i++) close(fds[i]);
    EVENTUALLY(server_counts(served.server).connections == 0);
    int again = ask_status(&served, "GET /" REST "\r\n"); /* those who have gone do not count */
    served_end(&served);
    assert_int_equal(ended, 0);
    assert_int_equal(ended_too, 0);
    assert_int_equal(refused, 1);
    assert_int_equal(again, 204);
}

static void test_a_request_cut_in_the_middle_is_dropped(void **state) {
    (void)state;
    static const char *const starts[] = {"PO", "POST / HTTP/1.1\r\nHo",
                                         "POST /" REST "Content-Length: 9\r\n\r\n1234"};
    Served served;
    atomic_int calls = 0;
    served_start(&served, count, &calls, (ServerLimits){0});
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        int fd = raw_connect(served_port(&served));
        raw_send(fd, starts[i]);
        close(fd);
    }
    int status = ask_status(&served, "GET /" REST "\r\n");
    EVENTUALLY(server_counts(served.server).connections == 0);
    served_end(&served);
    assert_int_equal(status, 204);
    assert_int_equal(calls, 1);
}

static int fails(void *context, ServerRequest *request) {
    if (context) server_answer(request, 200, NULL, NULL); /* and then */
    return -1;
}

static void test_a_handler_that_fails_gives_500(void **state) {
    (void)state;
    int answered = 1;
    for (int i = 0; i < 2; i++) {
        Served served;
        served_start(&served, fails, i ? &answered : NULL, (ServerLimits){0});
        int status = ask_status(&served, "GET /" REST "\r\n");
        served_end(&served);
        assert_int_equal(status, 500);
    }
}

static void test_one_connection_carries_many_requests(void **state) {
    (void)state;
    Served served;
    BUFFER_AUTO answer = {0};
    served_start(&served, describe, NULL, (ServerLimits){0});
    int fd = raw_connect(served_port(&served));
    raw_send(fd, "GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
    int first = raw_read(fd, &answer, "GET /one");
    raw_send(fd, "GET /two HTTP/1.1\r\nHost: h\r\n\r\n");
    int second = raw_read(fd, &answer, "GET /two");
    close(fd);
    served_end(&served);
    assert_int_equal(first, 1);
    assert_int_equal(second, 1);
}

enum { IDLE = 1500 };

static void test_many_idle_connections_keep_nobody_out(void **state) {
    (void)state;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    struct rlimit wanted = {.rlim_cur = 2 * IDLE + 300, .rlim_max = files.rlim_max};
    if (files.rlim_cur < wanted.rlim_cur && setrlimit(RLIMIT_NOFILE, &wanted) < 0)
        TEST_SKIP("needs 3,300 open files (ulimit -n)");
    Served served;
    static int idle[IDLE];
    atomic_int calls = 0;
    served_start(&served, count, &calls, (ServerLimits){0});
    for (int i = 0; i < IDLE; i++) idle[i] = raw_connect(served_port(&served));
    EVENTUALLY(server_counts(served.server).connections == IDLE);
    int status = ask_status(&served, "GET /" REST "\r\n");
    for (int i = 0; i < IDLE; i++) close(idle[i]);
    served_end(&served);
    assert_int_equal(status, 204);
}

/* --- files --- */

static int give_file(void *context, ServerRequest *request) {
    server_answer_file(request, dup(((TestFolder *)context)->fd), 10, "application/octet-stream", "\"v1\"");
    return 0;
}

typedef struct RangeCase {
    const char *headers;
    int status;
    const char *range, *body;
} RangeCase;

static const RangeCase range_cases[] = {
    {"", 200, NULL, "0123456789"},
    {"Range: bytes=0-\r\n", 206, "bytes 0-9/10", "0123456789"},
    {"Range: bytes=3-5\r\n", 206, "bytes 3-5/10", "345"},
    {"Range: bytes=9-\r\n", 206, "bytes 9-9/10", "9"},
    {"Range: bytes=7-99\r\n", 206, "bytes 7-9/10", "789"},
    {"Range: bytes=-4\r\n", 206, "bytes 6-9/10", "6789"},
    {"Range: bytes=-40\r\n", 206, "bytes 0-9/10", "0123456789"},
    {"Range: bytes=10-\r\n", 416, "bytes */10", ""},
    {"Range: bytes=99-100\r\n", 416, "bytes */10", ""},
    {"Range: bytes=-0\r\n", 416, "bytes */10", ""},
    {"Range: bytes=5-3\r\n", 200, NULL, "0123456789"},
    {"Range: bytes=1-2,4-5\r\n", 200, NULL, "0123456789"},
    {"Range: bytes=99999999999999999999-\r\n", 200, NULL, "0123456789"},
    {"Range: lines=1-2\r\n", 200, NULL, "0123456789"},
    {"Range: bytes=3-5\r\nIf-Range: \"v1\"\r\n", 206, "bytes 3-5/10", "345"},
    {"Range: bytes=3-5\r\nIf-Range: \"v2\"\r\n", 200, NULL, "0123456789"},
    {"Range: bytes=3-5\r\nIf-Range: W/\"v1\"\r\n", 200, NULL, "0123456789"},
    {"Range: bytes=30-\r\nIf-Range: \"v2\"\r\n", 200, NULL, "0123456789"},
};

/* A TestFolder whose descriptor is that of a file of ten bytes. */
static TestFolder ten_bytes(const TestFolder *folder) {
    TestFolder file = {.fd = openat(folder->fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    assert_int_equal(write(file.fd, "0123456789", 10), 10);
    return file;
}

static void test_files_are_given_whole_and_in_ranges(void **state) {
    TestFolder file = ten_bytes(*state);
    Served served;
    served_start(&served, give_file, &file, (ServerLimits){0});
    for (size_t i = 0; i < sizeof range_cases / sizeof *range_cases; i++) {
        const RangeCase *row = &range_cases[i];
        BUFFER_AUTO answer = {0};
        char request[256], range[64] = "Content-Range:";
        snprintf(request, sizeof request, "GET /f" REST "%s\r\n", row->headers);
        if (row->range) snprintf(range, sizeof range, "\r\nContent-Range: %s\r\n", row->range);
        int status = ask(&served, request, &answer);
        if (status != row->status || strcmp(raw_body(&answer), row->body) != 0 ||
            !strstr(answer.data, range) != !row->range || !strstr(answer.data, "\r\nETag: \"v1\"\r\n") ||
            !strstr(answer.data, "\r\nAccept-Ranges: bytes\r\n"))
            fail_msg("%s: %s", row->headers, answer.data);
    }
    served_end(&served);
    close(file.fd);
}

static void test_a_file_that_became_shorter_breaks_off(void **state) {
    TestFolder file = ten_bytes(*state);
    Served served;
    BUFFER_AUTO answer = {0};
    assert_int_equal(ftruncate(file.fd, 4), 0);
    served_start(&served, give_file, &file, (ServerLimits){0});
    ask(&served, "GET /f" REST "\r\n", &answer);
    served_end(&served);
    close(file.fd);
    assert_string_equal(raw_body(&answer), "0123");
}

/* --- certificates --- */

/* {"verified": …, "problem": …, "same": is it the certificate in `context`} */
static int tell_peer(void *context, ServerRequest *request) {
    const ServerPeer *peer = server_request_peer(request);
    JSON_AUTO json = json_object();
    unsigned char *bytes = NULL;
    int size = *(X509 **)context ? i2d_X509(*(X509 **)context, &bytes) : 0;
    json_set_bool(json, "verified", peer->verified);
    json_set_text(json, "problem", peer->problem);
    json_set_text(json, "address", peer->address);
    json_set_bool(json, "same",
                  peer->certificate && peer->certificate_size == (size_t)size &&
                      memcmp(peer->certificate, bytes, (size_t)size) == 0);
    OPENSSL_free(bytes);
    server_answer_json(request, 200, json);
    return 0;
}

/* What the server says of a client with this certificate, by an authority of the same name or the very one.
 */
static json_t *told_of(IdentityWish wish, bool other_authority, bool without) {
    Served served;
    Authority other;
    Identity identity;
    X509 *shown = NULL;
    CALL_CLIENT_AUTO client = NULL;
    char url[64];
    Error error = {0};
    int status = 0;
    json_t *answer = NULL;
    served_start_tls(&served, tell_peer, &shown, (ServerLimits){0});
    authority_make(&other, "served");
    identity_make(&identity, other_authority ? &other : &served.authority, wish);
    shown = identity.certificate;
    snprintf(url, sizeof url, "https://127.0.0.1:%d", served_port(&served));
    CallSettings settings = {.base_url = url, .ca_pem = served.authority.pem};
    if (!without) settings.certificate_pem = identity.pem, settings.key_pem = identity.key_pem;
    int result = call_client_new(&settings, &client, &error);
    if (result == 0) result = call(client, "GET", "/", NULL, 0, NULL, &status, &answer, &error);
    served_end(&served);
    authority_free(&other);
    identity_free(&identity);
    if (result < 0) fail_msg("%s", error.en);
    return answer;
}

static void check_unverified(json_t *told, const char *problem) {
    assert_false(json_get_bool(told, "verified", true));
    assert_false(json_get_bool(told, "same", true));
    assert_string_equal(json_get_text(told, "problem", "?"), problem);
}

static void test_a_client_of_the_ca_is_verified(void **state) {
    (void)state;
    JSON_AUTO told = told_of((IdentityWish){0}, false, false);
    assert_true(json_get_bool(told, "verified", false));
    assert_true(json_get_bool(told, "same", false));
    assert_null(json_object_get(told, "problem"));
    assert_string_equal(json_get_text(told, "address", "?"), "127.0.0.1");
}

static void test_a_client_without_certificate_is_not_verified(void **state) {
    (void)state;
    JSON_AUTO told = told_of((IdentityWish){0}, false, true);
    check_unverified(told, "none");
}

static void test_a_certificate_of_another_ca_is_not_verified(void **state) {
    (void)state;
    JSON_AUTO told = told_of((IdentityWish){0}, true, false);
    check_unverified(told, "unknown_issuer");
}

static void test_an_expired_certificate_is_not_verified(void **state) {
    (void)state;
    JSON_AUTO told = told_of((IdentityWish){.from_s = -7200, .to_s = -3600}, false, false);
    check_unverified(told, "expired");
}

static void test_a_certificate_of_the_future_is_not_verified(void **state) {
    (void)state;
    JSON_AUTO told = told_of((IdentityWish){.from_s = 3600, .to_s = 7200}, false, false);
    check_unverified(told, "not_yet_valid");
}

static void test_a_servers_certificate_makes_no_client(void **state) {
    (void)state;
    JSON_AUTO told = told_of((IdentityWish){.purpose = "serverAuth"}, false, false);
    check_unverified(told, "invalid");
}

/* --- settings --- */

static void check_start_fails(ServerSettings settings, ErrorKind kind, const char *part) {
    Server *server = NULL;
    Error error = {0};
    settings.handle = describe;
    assert_int_equal(server_start(&settings, &server, &error), -1);
    assert_null(server);
    if (error.kind != kind || !strstr(error.en, part)) fail_msg("%d: %s", (int)error.kind, error.en);
}

static void test_a_taken_port_fails(void **state) {
    (void)state;
    Served served;
    served_start(&served, describe, NULL, (ServerLimits){0});
    check_start_fails((ServerSettings){.address = "127.0.0.1", .port = served_port(&served)}, ERROR_SYSTEM,
                      "Address already in use");
    served_end(&served);
}

static void test_a_name_is_no_address(void **state) {
    (void)state;
    check_start_fails((ServerSettings){.address = "localhost"}, ERROR_INVALID, "no numeric address");
}

static void test_the_world_gets_nothing_in_plain_text(void **state) {
    (void)state;
    check_start_fails((ServerSettings){.address = "0.0.0.0"}, ERROR_INVALID, "only loopback");
}

static void test_a_certificate_that_is_none_fails(void **state) {
    (void)state;
    check_start_fails((ServerSettings){.address = "127.0.0.1", .certificate_pem = "x", .key_pem = "y"},
                      ERROR_INVALID, "cannot serve on 127.0.0.1");
}

static void test_a_ca_that_is_none_fails(void **state) {
    (void)state;
    Authority authority;
    Identity identity;
    authority_make(&authority, "ca");
    identity_make(&identity, &authority, (IdentityWish){.purpose = "serverAuth"});
    check_start_fails((ServerSettings){.address = "127.0.0.1",
                                       .certificate_pem = identity.pem,
                                       .key_pem = identity.key_pem,
                                       .ca_pem = "no PEM"},
                      ERROR_INVALID, "the CA's certificate cannot be read");
    identity_free(&identity);
    authority_free(&authority);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_method_path_parameters_headers_and_body),
        cmocka_unit_test(test_gives_a_chunked_body_whole),
        cmocka_unit_test(test_answers_bear_the_house_headers),
        cmocka_unit_test(test_dangerous_paths_are_refused),
        cmocka_unit_test(test_a_nul_in_the_path_is_refused),
        cmocka_unit_test(test_a_long_path_is_refused),
        cmocka_unit_test(test_too_many_parameters_are_refused),
        cmocka_unit_test(test_a_length_that_can_be_read_two_ways_is_refused),
        cmocka_unit_test(test_a_body_too_large_gets_413),
        cmocka_unit_test(test_a_body_as_large_as_allowed_is_taken),
        cmocka_unit_test(test_a_chunked_body_too_large_gets_413),
        cmocka_unit_test(test_an_enormous_body_is_refused_before_it_comes),
        cmocka_unit_test(test_headers_too_large_are_refused),
        cmocka_unit_test(test_a_slow_body_ends_at_the_deadline),
        cmocka_unit_test(test_slow_headers_end_at_the_deadline),
        cmocka_unit_test(test_a_silent_connection_ends_at_the_deadline),
        cmocka_unit_test(test_a_handshake_that_is_not_made_ends_at_the_deadline),
        cmocka_unit_test(test_half_a_handshake_keeps_no_thread_busy),
        cmocka_unit_test(test_an_address_has_no_more_connections_than_allowed),
        cmocka_unit_test(test_strangers_of_one_address_leave_places_for_others),
        cmocka_unit_test(test_a_request_cut_in_the_middle_is_dropped),
        cmocka_unit_test(test_a_handler_that_fails_gives_500),
        cmocka_unit_test(test_one_connection_carries_many_requests),
        cmocka_unit_test(test_many_idle_connections_keep_nobody_out),
        test_in_folder(test_files_are_given_whole_and_in_ranges),
        test_in_folder(test_a_file_that_became_shorter_breaks_off),
        cmocka_unit_test(test_a_client_of_the_ca_is_verified),
        cmocka_unit_test(test_a_client_without_certificate_is_not_verified),
        cmocka_unit_test(test_a_certificate_of_another_ca_is_not_verified),
        cmocka_unit_test(test_an_expired_certificate_is_not_verified),
        cmocka_unit_test(test_a_certificate_of_the_future_is_not_verified),
        cmocka_unit_test(test_a_servers_certificate_makes_no_client),
        cmocka_unit_test(test_a_taken_port_fails),
        cmocka_unit_test(test_a_name_is_no_address),
        cmocka_unit_test(test_the_world_gets_nothing_in_plain_text),
        cmocka_unit_test(test_a_certificate_that_is_none_fails),
        cmocka_unit_test(test_a_ca_that_is_none_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
