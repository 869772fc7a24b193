#include "support/peer.h"
#include "support/served.h"
#include "wire/call.h"

static void check_error(const Error *error, ErrorKind kind, const char *part) {
    if (error->kind != kind || !strstr(error->en, part)) fail_msg("%d: %s", (int)error->kind, error->en);
}

/* A server with TLS, and what clients of it need. */
typedef struct Room {
    Served served;
    Identity identity;
    char url[64], fingerprint[DIGEST_TEXT_SIZE];
} Room;

static void room_start(Room *room, ServedHandle handle, void *context) {
    served_start_tls(&room->served, handle, context, (ServerLimits){0});
    identity_make(&room->identity, &room->served.authority, (IdentityWish){0});
    snprintf(room->url, sizeof room->url, "https://127.0.0.1:%d", served_port(&room->served));
    assert_int_equal(call_fingerprint(room->served.authority.pem, room->fingerprint, NULL), 0);
}

static void room_end(Room *room) {
    served_end(&room->served);
    identity_free(&room->identity);
}

static CallSettings room_settings(const Room *room) {
    return (CallSettings){.base_url = room->url,
                          .ca_pem = room->served.authority.pem,
                          .certificate_pem = room->identity.pem,
                          .key_pem = room->identity.key_pem};
}

static CallClient *client_of(CallSettings settings) {
    CallClient *client = NULL;
    Error error = {0};
    if (call_client_new(&settings, &client, &error) < 0) fail_msg("%s", error.en);
    return client;
}

/* One call with settings of one's own. */
static int ask(CallSettings settings, const char *path, int *status, json_t **answer, Error *error) {
    CALL_CLIENT_AUTO client = client_of(settings);
    return call(client, "GET", path, NULL, 20000, NULL, status, answer, error);
}

static void check_refused(CallSettings settings, const char *part) {
    int status = -7;
    json_t *answer = NULL;
    Error error = {0};
    assert_int_equal(ask(settings, "/", &status, &answer, &error), -1);
    assert_int_equal(status, -7);
    assert_null(answer);
    check_error(&error, ERROR_SYSTEM, part);
}

/* {"method", "path", "verified", "token", "body"} with the status that "status" in the query says */
static int mirror(void *context, ServerRequest *request) {
    (void)context;
    const char *status = server_request_parameter(request, "status");
    JSON_AUTO json = json_object();
    json_t *body = NULL;
    json_set_text(json, "method", server_request_method(request));
    json_set_text(json, "path", server_request_path(request));
    json_set_bool(json, "verified", server_request_peer(request)->verified);
    json_set_text(json, "token", server_request_header(request, "Authorization"));
    if (server_request_json(request, &body, NULL) == 0) json_object_set_new(json, "body", body);
    server_answer_json(request, status ? (int)strtol(status, NULL, 10) : 200, json);
    return 0;
}

static int nothing(void *context, ServerRequest *request) {
    (void)context;
    server_answer(request, 204, NULL, NULL);
    return 0;
}

static int page(void *context, ServerRequest *request) {
    Buffer body = {0};
    buffer_text_append(&body, "<html>");
    server_answer(request, *(int *)context, "text/html", &body);
    return 0;
}

static int wait_long(void *context, ServerRequest *request) {
    (void)context;
    ServerTicket ticket;
    return server_park(request, 600000, 204, &ticket, NULL);
}

static void test_json_goes_there_and_comes_back(void **state) {
    (void)state;
    Room room;
    room_start(&room, mirror, NULL);
    CallSettings settings = room_settings(&room);
    settings.token = "t0ken";
    CALL_CLIENT_AUTO client = client_of(settings);
    JSON_AUTO body = json_pack("{s:i}", "n", 7);
    JSON_AUTO answer = NULL;
    int status = 0;
    int result = call(client, "PUT", "/v1/thing?x=1", body, 0, NULL, &status, &answer, NULL);
    room_end(&room);
    assert_int_equal(result, 0);
    assert_int_equal(status, 200);
    assert_string_equal(json_get_text(answer, "method", ""), "PUT");
    assert_string_equal(json_get_text(answer, "path", ""), "/v1/thing");
    assert_string_equal(json_get_text(answer, "token", ""), "Bearer t0ken");
    assert_true(json_get_bool(answer, "verified", false));
    assert_true(json_equal(json_object_get(answer, "body"), body));
}

static void test_calls_share_one_connection(void **state) {
    (void)state;
    Room room;
    room_start(&room, mirror, NULL);
    CALL_CLIENT_AUTO client = client_of(room_settings(&room));
    JSON_AUTO body = json_object();
    int good = 0;
    for (int i = 0; i < 5; i++) {
        json_t *answer = NULL;
        int status = 0;
        good += call(client, i % 2 ? "POST" : "GET", "/", i % 2 ? body : NULL, 0, NULL, &status, &answer,
                     NULL) == 0;
        json_decref(answer);
    }
    ServerCounts counts = server_counts(room.served.server);
    room_end(&room);
    assert_int_equal(good, 5);
    assert_int_equal(counts.requests, 5);
    assert_int_equal(counts.connections, 1);
}

static void test_any_status_is_an_answer(void **state) {
    (void)state;
    Room room;
    JSON_AUTO answer = NULL;
    int status = 0;
    room_start(&room, mirror, NULL);
    int result = ask(room_settings(&room), "/?status=403", &status, &answer, NULL);
    room_end(&room);
    assert_int_equal(result, 0);
    assert_int_equal(status, 403);
    assert_non_null(answer);
}

static void test_an_empty_answer_is_no_json(void **state) {
    (void)state;
    Room room;
    json_t *answer = NULL;
    int status = 0;
    room_start(&room, nothing, NULL);
    int result = ask(room_settings(&room), "/", &status, &answer, NULL);
    room_end(&room);
    assert_int_equal(result, 0);
    assert_int_equal(status, 204);
    assert_null(answer);
}

static void test_a_page_instead_of_json_fails(void **state) {
    (void)state;
    Room room;
    int code = 200;
    room_start(&room, page, &code);
    check_refused(room_settings(&room), "the answer is not JSON");
    room_end(&room);
}

static void test_a_page_with_an_error_gives_its_status(void **state) {
    (void)state;
    Room room;
    json_t *answer = NULL;
    int code = 502, status = 0;
    room_start(&room, page, &code);
    int result = ask(room_settings(&room), "/", &status, &answer, NULL);
    room_end(&room);
    assert_int_equal(result, 0);
    assert_int_equal(status, 502);
    assert_null(answer);
}

static void test_a_large_answer_fails(void **state) {
    (void)state;
    Room room;
    room_start(&room, mirror, NULL);
    CallSettings settings = room_settings(&room);
    settings.answer_max = 10;
    check_refused(settings, "the answer is larger than 10 bytes");
    room_end(&room);
}

static void test_a_late_answer_fails(void **state) {
    (void)state;
    Room room;
    json_t *answer = NULL;
    int status = 0;
    Error error = {0};
    room_start(&room, wait_long, NULL);
    CALL_CLIENT_AUTO client = client_of(room_settings(&room));
    int result = call(client, "GET", "/", NULL, 300, NULL, &status, &answer, &error);
    room_end(&room);
    assert_int_equal(result, -1);
    check_error(&error, ERROR_SYSTEM, "no complete answer within 300 ms");
}

static void test_stops_on_request(void **state) {
    (void)state;
    Room room;
    json_t *answer = NULL;
    int status = 0;
    atomic_bool cancel = true;
    Error error = {0};
    room_start(&room, wait_long, NULL);
    CALL_CLIENT_AUTO client = client_of(room_settings(&room));
    int result = call(client, "GET", "/", NULL, 60000, &cancel, &status, &answer, &error);
    room_end(&room);
    assert_int_equal(result, -1);
    check_error(&error, ERROR_INTERRUPTED, "stopped on request");
}

static void test_errors_keep_secrets(void **state) {
    (void)state;
    char url[64];
    json_t *answer = NULL;
    int status = 0;
    Error error = {0};
    snprintf(url, sizeof url, "http://127.0.0.1:%d", peer_free_port());
    assert_int_equal(ask((CallSettings){.base_url = url, .token = "hunter2"}, "/join?token=hunter3", &status,
                         &answer, &error),
                     -1);
    check_error(&error, ERROR_SYSTEM, "/join: cannot connect");
    assert_null(strstr(error.en, "hunter"));
    assert_null(strstr(error.zh, "hunter"));
}

/* --- whom it trusts --- */

static void test_a_server_of_another_ca_is_refused(void **state) {
    (void)state;
    Room room;
    Authority other;
    room_start(&room, mirror, NULL);
    authority_make(&other, "served");
    CallSettings settings = room_settings(&room);
    settings.ca_pem = other.pem;
    check_refused(settings, "certificate is not trusted");
    authority_free(&other);
    room_end(&room);
}

static void test_while_a_ca_is_replaced_both_are_trusted(void **state) {
    (void)state;
    Room room;
    Authority other;
    BUFFER_AUTO both = {0};
    json_t *answer = NULL;
    int status = 0;
    room_start(&room, nothing, NULL);
    authority_make(&other, "other");
    buffer_printf(&both, "%s%s", other.pem, room.served.authority.pem);
    CallSettings settings = room_settings(&room);
    settings.ca_pem = both.data;
    int result = ask(settings, "/", &status, &answer, NULL);
    authority_free(&other);
    room_end(&room);
    assert_int_equal(result, 0);
}

static CallSettings pinned(const Room *room, const char *fingerprint) {
    return (CallSettings){.base_url = room->url, .ca_fingerprint = fingerprint};
}

static void test_the_fingerprint_of_the_ca_is_enough(void **state) {
    (void)state;
    Room room;
    json_t *answer = NULL;
    int status = 0;
    room_start(&room, nothing, NULL);
    int result = ask(pinned(&room, room.fingerprint), "/", &status, &answer, NULL);
    room_end(&room);
    assert_int_equal(result, 0);
    assert_int_equal(status, 204);
}

static void test_another_fingerprint_is_refused(void **state) {
    (void)state;
    Room room;
    room_start(&room, nothing, NULL);
    char other[DIGEST_TEXT_SIZE];
    memcpy(other, room.fingerprint, sizeof other);
    other[0] = other[0] == '0' ? '1' : '0';
    check_refused(pinned(&room, other), "not from the CA with this fingerprint");
    room_end(&room);
}

static void test_the_fingerprint_of_the_servers_own_certificate_is_refused(void **state) {
    (void)state;
    Room room;
    char own[DIGEST_TEXT_SIZE];
    room_start(&room, nothing, NULL);
    assert_int_equal(call_fingerprint(room.served.identity.pem, own, NULL), 0);
    check_refused(pinned(&room, own), "not from the CA with this fingerprint");
    room_end(&room);
}

/* A server with any certificate; the URL of it. */
static Server *impostor(const char *pem, const char *key_pem, char url[static 64]) {
    Server *server = NULL;
    ServerSettings settings = {
        .address = "127.0.0.1", .certificate_pem = pem, .key_pem = key_pem, .handle = nothing};
    assert_int_equal(server_start(&settings, &server, NULL), 0);
    snprintf(url, 64, "https://127.0.0.1:%d", server_port(server));
    return server;
}

/* What a client of `authority`, known by its PEM or its fingerprint, says of a server with such a chain. */
static void check_chain_refused(const Authority *authority, const Identity *shown, const char *pem,
                                bool by_pem) {
    char url[64], fingerprint[DIGEST_TEXT_SIZE];
    call_fingerprint(authority->pem, fingerprint, NULL);
    Server *server = impostor(pem, shown->key_pem, url);
    CallSettings settings = {.base_url = url};
    if (by_pem)
        settings.ca_pem = authority->pem;
    else
        settings.ca_fingerprint = fingerprint;
    check_refused(settings, by_pem ? "certificate" : "not from the CA with this fingerprint");
    server_stop(server);
}

static void test_an_impostor_that_shows_the_pinned_ca_is_refused(void **state) {
    (void)state;
    Authority real, false_one;
    Identity identity;
    BUFFER_AUTO chain = {0};
    authority_make(&real, "ca");
    authority_make(&false_one, "ca");
    identity_make(
        &identity, &false_one,
        (IdentityWish){.names = "IP:127.0.0.1", .purpose = "serverAuth", .without_authority = true});
    buffer_printf(&chain, "%s%s", identity.pem, real.pem);
    check_chain_refused(&real, &identity, chain.data, false);
    identity_free(&identity);
    authority_free(&false_one);
    authority_free(&real);
}

static void check_wish_refused(IdentityWish wish, bool by_pem) {
    Authority authority;
    Identity identity;
    authority_make(&authority, "ca");
    identity_make(&identity, &authority, wish);
    check_chain_refused(&authority, &identity, identity.pem, by_pem);
    identity_free(&identity);
    authority_free(&authority);
}

static void test_a_chain_without_the_pinned_ca_is_refused(void **state) {
    (void)state;
    check_wish_refused(
        (IdentityWish){.names = "IP:127.0.0.1", .purpose = "serverAuth", .without_authority = true}, false);
}

static void test_an_expired_server_is_refused(void **state) {
    (void)state;
    IdentityWish wish = {.names = "IP:127.0.0.1", .purpose = "serverAuth", .from_s = -7200, .to_s = -3600};
    check_wish_refused(wish, true);
    check_wish_refused(wish, false);
}

static void test_an_agents_certificate_makes_no_server(void **state) {
    (void)state;
    check_wish_refused((IdentityWish){.names = "IP:127.0.0.1"}, true);
    check_wish_refused((IdentityWish){.names = "IP:127.0.0.1"}, false);
}

static void check_other_name_refused(bool by_pem) {
    Authority authority;
    Identity identity;
    char url[64], fingerprint[DIGEST_TEXT_SIZE];
    authority_make(&authority, "ca");
    identity_make(&identity, &authority, (IdentityWish){.names = "DNS:elsewhere", .purpose = "serverAuth"});
    call_fingerprint(authority.pem, fingerprint, NULL);
    Server *server = impostor(identity.pem, identity.key_pem, url);
    check_refused((CallSettings){.base_url = url,
                                 .ca_pem = by_pem ? authority.pem : NULL,
                                 .ca_fingerprint = by_pem ? NULL : fingerprint},
                  "certificate");
    server_stop(server);
    identity_free(&identity);
    authority_free(&authority);
}

static void test_a_server_of_another_name_is_refused(void **state) {
    (void)state;
    check_other_name_refused(true);
    check_other_name_refused(false);
}

static void test_settings_that_cannot_be_used_are_refused(void **state) {
    (void)state;
    static const CallSettings bad[] = {
        {.base_url = "https://h"},
        {.base_url = "https://h", .ca_pem = "x", .ca_fingerprint = "y"},
        {.base_url = "https://h", .ca_pem = "no PEM"},
        {.base_url = "https://h", .ca_fingerprint = "AB"},
        {.base_url = "http://example:80"},
        {.base_url = "http://127.0.0.1:80@example"},
        {.base_url = "https://user@h", .ca_pem = "x"},
        {.base_url = "https://h/path", .ca_pem = "x"},
        {.base_url = "https://", .ca_pem = "x"},
        {.base_url = "ftp://h", .ca_pem = "x"},
        {.base_url = "http://127.0.0.1:80", .certificate_pem = "x"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CallClient *client = NULL;
        Error error = {0};
        if (call_client_new(&bad[i], &client, &error) == 0) fail_msg("%s", bad[i].base_url);
        assert_int_equal(error.kind, ERROR_INVALID);
    }
}

/* --- downloads --- */

/* A file that a server gives under an ETag. */
typedef struct Offer {
    int fd;
    uint64_t size;
    const char *etag;
} Offer;

static int give(void *context, ServerRequest *request) {
    const Offer *offer = context;
    if (!offer->etag)
        server_answer(request, 404, NULL, NULL);
    else
        server_answer_file(request, dup(offer->fd), offer->size, "application/octet-stream", offer->etag);
    return 0;
}

enum { OFFER_SIZE = 300000 };

static char offer_byte(size_t at) { return (char)('a' + at % 23); }

static Offer offer_make(const TestFolder *folder) {
    static char bytes[OFFER_SIZE];
    for (size_t i = 0; i < OFFER_SIZE; i++) bytes[i] = offer_byte(i);
    Offer offer = {.size = OFFER_SIZE, .etag = "\"v1\""};
    offer.fd = openat(folder->fd, "offer", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(offer.fd, bytes, OFFER_SIZE), OFFER_SIZE);
    return offer;
}

/* A file in which `size` bytes have come already: the right ones, or others. */
static CallDownload begun(const TestFolder *folder, size_t size, bool right, const char *etag) {
    CallDownload download = {.path = "/p", .size_max = OFFER_SIZE, .stall_ms = 20000};
    download.fd = openat(folder->fd, "download", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (size_t i = 0; i < size; i++) {
        char byte = right ? offer_byte(i) : '?';
        assert_int_equal(write(download.fd, &byte, 1), 1);
    }
    snprintf(download.etag, sizeof download.etag, "%s", etag);
    return download;
}

static void check_whole(const CallDownload *download) {
    static char bytes[OFFER_SIZE + 1];
    assert_int_equal(pread(download->fd, bytes, sizeof bytes, 0), OFFER_SIZE);
    for (size_t i = 0; i < OFFER_SIZE; i++)
        if (bytes[i] != offer_byte(i)) fail_msg("byte %zu is another", i);
}

static int download_from(const Room *room, CallDownload *download, Error *error) {
    CALL_CLIENT_AUTO client = client_of(room_settings(room));
    return call_download(client, download, error);
}

/* Download with so much already there; the whole must be there at the end, of which so much was kept. */
static void check_download(const TestFolder *folder, CallDownload download, uint64_t resumed_at) {
    Room room;
    Error error = {0};
    Offer offer = offer_make(folder);
    room_start(&room, give, &offer);
    int result = download_from(&room, &download, &error);
    room_end(&room);
    if (result < 0) fail_msg("%s", error.en);
    check_whole(&download);
    assert_int_equal(download.resumed_at, resumed_at);
    assert_string_equal(download.etag, "\"v1\"");
    close(offer.fd);
    close(download.fd);
}

static void test_a_download_comes_whole(void **state) {
    check_download(*state, begun(*state, 0, true, ""), 0);
}

static void test_a_download_goes_on_where_it_was(void **state) {
    check_download(*state, begun(*state, 1234, true, "\"v1\""), 1234);
}

static void test_a_download_of_another_version_begins_anew(void **state) {
    check_download(*state, begun(*state, 1234, false, "\"v0\""), 0);
}

static void test_a_download_of_an_unknown_version_begins_anew(void **state) {
    check_download(*state, begun(*state, 1234, false, ""), 0);
}

static void test_a_whole_download_stays(void **state) {
    check_download(*state, begun(*state, OFFER_SIZE, true, "\"v1\""), OFFER_SIZE);
}

static void test_a_download_longer_than_its_file_begins_anew(void **state) {
    check_download(*state, begun(*state, OFFER_SIZE + 5, false, "\"v1\""), 0);
}

static void check_download_fails(const TestFolder *folder, Offer offer, CallDownload download, int status,
                                 const char *part) {
    Room room;
    Error error = {0};
    (void)folder;
    room_start(&room, give, &offer);
    int result = download_from(&room, &download, &error);
    room_end(&room);
    assert_int_equal(result, -1);
    assert_int_equal(download.status, status);
    check_error(&error, ERROR_SYSTEM, part);
    close(offer.fd);
    close(download.fd);
}

static void test_a_download_larger_than_allowed_fails(void **state) {
    CallDownload download = begun(*state, 0, true, "");
    download.size_max = OFFER_SIZE - 1;
    check_download_fails(*state, offer_make(*state), download, 200, "larger than the 299999 bytes allowed");
}

static void test_a_download_of_nothing_fails(void **state) {
    Offer offer = offer_make(*state);
    offer.etag = NULL;
    check_download_fails(*state, offer, begun(*state, 5, true, "\"v1\""), 404, "status 404");
}

/* Take what a peer that answers so sends; it must fail and say `part`. */
static void download_cut(CallDownload *download, const char *answer, const char *part) {
    Peer peer;
    char url[256];
    Error error = {0};
    peer_start(&peer, (PeerScript){.answer = answer});
    {
        CALL_CLIENT_AUTO client = client_of((CallSettings){.base_url = peer_url(&peer, "", url)});
        assert_int_equal(call_download(client, download, &error), -1);
    }
    peer_end(&peer);
    check_error(&error, ERROR_SYSTEM, part);
}

static void test_a_download_is_resumed_after_the_connection_was_cut(void **state) {
    CallDownload download = begun(*state, 0, true, "");
    download_cut(&download, "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 300000\r\n\r\nabcdefg",
                 "broke off");
    assert_string_equal(download.etag, "\"v1\"");
    check_download(*state, download, 7);
}

static void test_the_wrong_part_is_not_written(void **state) {
    static const char *const answers[] = {
        "HTTP/1.1 206 P\r\nETag: \"v1\"\r\nContent-Range: bytes 3-4/9\r\nContent-Length: 2\r\n\r\nXX",
        "HTTP/1.1 206 P\r\nETag: \"v2\"\r\nContent-Range: bytes 5-6/9\r\nContent-Length: 2\r\n\r\nXX",
        "HTTP/1.1 206 P\r\nETag: W/\"v1\"\r\nContent-Range: bytes 5-6/9\r\nContent-Length: 2\r\n\r\nXX",
        "HTTP/1.1 206 P\r\nETag: \"v1\"\r\nContent-Length: 2\r\n\r\nXX",
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        CallDownload download = begun(*state, 5, true, "\"v1\"");
        char bytes[16] = "";
        download_cut(&download, answers[i], "another part");
        assert_int_equal(pread(download.fd, bytes, sizeof bytes, 0), 5);
        assert_string_equal(bytes, "abcde");
        assert_string_equal(download.etag, "\"v1\"");
        close(download.fd);
    }
}

static void test_a_part_that_ends_early_is_not_the_whole(void **state) {
    CallDownload download = begun(*state, 5, true, "\"v1\"");
    download_cut(
        &download,
        "HTTP/1.1 206 P\r\nETag: \"v1\"\r\nContent-Range: bytes 5-6/9\r\nContent-Length: 2\r\n\r\nfg",
        "broke off");
    close(download.fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_goes_there_and_comes_back),
        cmocka_unit_test(test_calls_share_one_connection),
        cmocka_unit_test(test_any_status_is_an_answer),
        cmocka_unit_test(test_an_empty_answer_is_no_json),
        cmocka_unit_test(test_a_page_instead_of_json_fails),
        cmocka_unit_test(test_a_page_with_an_error_gives_its_status),
        cmocka_unit_test(test_a_large_answer_fails),
        cmocka_unit_test(test_a_late_answer_fails),
        cmocka_unit_test(test_stops_on_request),
        cmocka_unit_test(test_errors_keep_secrets),
        cmocka_unit_test(test_a_server_of_another_ca_is_refused),
        cmocka_unit_test(test_while_a_ca_is_replaced_both_are_trusted),
        cmocka_unit_test(test_the_fingerprint_of_the_ca_is_enough),
        cmocka_unit_test(test_another_fingerprint_is_refused),
        cmocka_unit_test(test_the_fingerprint_of_the_servers_own_certificate_is_refused),
        cmocka_unit_test(test_an_impostor_that_shows_the_pinned_ca_is_refused),
        cmocka_unit_test(test_a_chain_without_the_pinned_ca_is_refused),
        cmocka_unit_test(test_an_expired_server_is_refused),
        cmocka_unit_test(test_an_agents_certificate_makes_no_server),
        cmocka_unit_test(test_a_server_of_another_name_is_refused),
        cmocka_unit_test(test_settings_that_cannot_be_used_are_refused),
        test_in_folder(test_a_download_comes_whole),
        test_in_folder(test_a_download_goes_on_where_it_was),
        test_in_folder(test_a_download_of_another_version_begins_anew),
        test_in_folder(test_a_download_of_an_unknown_version_begins_anew),
        test_in_folder(test_a_whole_download_stays),
        test_in_folder(test_a_download_longer_than_its_file_begins_anew),
        test_in_folder(test_a_download_larger_than_allowed_fails),
        test_in_folder(test_a_download_of_nothing_fails),
        test_in_folder(test_a_download_is_resumed_after_the_connection_was_cut),
        test_in_folder(test_the_wrong_part_is_not_written),
        test_in_folder(test_a_part_that_ends_early_is_not_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
