#include "support/authority.h"
#include <openssl/rsa.h>

static Error sign(const Authority *authority, const char *request, size_t size, const char *host) {
    Error problem = {.kind = ERROR_NONE};
    AuthorityRequest asked = {.pem = request, .size = size, .host = host, .valid_ms = PLAY_DAY_MS};
    char *pem = NULL;
    if (authority_sign_host(authority, &asked, PLAY_NOW_MS, &pem, NULL, &problem) == 0) free(pem);
    assert_int_equal(ERR_peek_error(), 0);
    return problem;
}

#define assert_unsigned(authority, request, kind_, text)                                                     \
    do {                                                                                                     \
        Error found_ = sign(authority, request, strlen(request), "web1");                                    \
        if (found_.kind != (kind_) || !strstr(found_.en, text))                                              \
            fail_msg("kind %d: %s", (int)found_.kind, found_.en);                                            \
    } while (0)

/* ---- Creating and opening ---- */

static void test_makes_a_key_for_its_owner_alone(void **state) {
    TestFolder *folder = *state;
    mode_t mask = umask(0);
    authority_close(play_authority(folder, "a/ca"));
    umask(mask);
    struct stat status;
    assert_int_equal(fstatat(folder->fd, "a/ca/ca.key", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(fstatat(folder->fd, "a/ca", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    FREE_AUTO char *key = play_file(folder, "a/ca/ca.key");
    assert_non_null(strstr(key, "-----BEGIN PRIVATE KEY-----"));
}

static void test_makes_a_certificate_that_signs_leaves_only(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_AUTO certificate = play_parse(authority_certificate(authority));
    assert_int_equal(X509_check_ca(certificate), 1);
    assert_int_equal(X509_get_pathlen(certificate), 0);
    assert_int_equal(X509_get_key_usage(certificate), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_int_equal(X509_self_signed(certificate, 1), 1);
    Digest digest = certificate_fingerprint(certificate);
    assert_true(digest_equal(authority_fingerprint(authority), &digest));
    assert_int_equal(authority_not_after_ms(authority), PLAY_NOW_MS + 3650 * PLAY_DAY_MS);
}

static void test_never_overwrites_an_authority(void **state) {
    TestFolder *folder = *state;
    authority_close(play_authority(folder, "ca"));
    FREE_AUTO char *key = play_file(folder, "ca/ca.key");
    char path[128];
    play_path(folder, "ca", path);
    assert_refused(authority_create(path, PLAY_DAY_MS, PLAY_NOW_MS, error), ERROR_REFUSED, "already");
    FREE_AUTO char *after = play_file(folder, "ca/ca.key");
    assert_string_equal(key, after);
    assert_int_equal(unlinkat(folder->fd, "ca/ca.key", 0), 0);
    assert_refused(authority_create(path, PLAY_DAY_MS, PLAY_NOW_MS, error), ERROR_REFUSED, "already");
    assert_int_equal(faccessat(folder->fd, "ca/ca.key", F_OK, 0), -1);
}

static void test_takes_up_a_creation_that_was_cut_off(void **state) {
    TestFolder *folder = *state;
    authority_close(play_authority(folder, "ca"));
    FREE_AUTO char *key = play_file(folder, "ca/ca.key");
    assert_int_equal(unlinkat(folder->fd, "ca/ca.crt", 0), 0);
    sample_text(folder->fd, "ca/.ca.crt.abcdefgh~", "half");
    Authority *none = NULL;
    char path[128];
    play_path(folder, "ca", path);
    assert_refused(authority_open(path, PLAY_NOW_MS, &none, error), ERROR_SYSTEM, "ca.crt");
    authority_close(play_authority(folder, "ca"));
    FREE_AUTO char *after = play_file(folder, "ca/ca.key");
    assert_string_equal(key, after);
    assert_int_equal(faccessat(folder->fd, "ca/.ca.crt.abcdefgh~", F_OK, 0), -1);
}

static void test_refuses_a_key_that_others_may_read(void **state) {
    TestFolder *folder = *state;
    authority_close(play_authority(folder, "ca"));
    char path[128];
    Authority *none = NULL;
    play_path(folder, "ca", path);
    assert_int_equal(fchmodat(folder->fd, "ca/ca.key", 0640, 0), 0);
    assert_refused(authority_open(path, PLAY_NOW_MS, &none, error), ERROR_REFUSED, "chmod 600");
}

static void test_refuses_a_folder_that_others_may_write(void **state) {
    TestFolder *folder = *state;
    authority_close(play_authority(folder, "ca"));
    char path[128];
    Authority *none = NULL;
    play_path(folder, "ca", path);
    assert_int_equal(fchmodat(folder->fd, "ca", 0777, 0), 0);
    assert_refused(authority_open(path, PLAY_NOW_MS, &none, error), ERROR_REFUSED, "written by others");
}

static void test_refuses_a_certificate_of_another_key(void **state) {
    TestFolder *folder = *state;
    authority_close(play_authority(folder, "ca"));
    authority_close(play_authority(folder, "other"));
    char path[128];
    Authority *none = NULL;
    play_path(folder, "ca", path);
    assert_int_equal(renameat(folder->fd, "other/ca.key", folder->fd, "ca/ca.key"), 0);
    assert_refused(authority_open(path, PLAY_NOW_MS, &none, error), ERROR_REFUSED,
                   "ca.crt is not the certificate of ca.key");
}

static void test_refuses_to_open_before_and_after_its_time(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    char path[128];
    Authority *none = NULL;
    play_path(folder, "ca", path);
    int64_t end_ms = authority_not_after_ms(authority);
    assert_refused(authority_open(path, end_ms, &none, error), ERROR_REFUSED, "has expired");
    assert_refused(authority_open(path, PLAY_NOW_MS - PLAY_DAY_MS, &none, error), ERROR_REFUSED,
                   "not valid yet");
}

static void test_refuses_what_is_no_authority(void **state) {
    TestFolder *folder = *state;
    authority_close(play_authority(folder, "ca"));
    CERTIFICATE_KEY_AUTO key = play_private_key(folder, "ca/ca.key");
    FREE_AUTO char *leaf = play_forge(
        &(PlayForgery){.key = key, .signer = key, .common_name = "leaf", .basic = "critical,CA:FALSE"});
    sample_text(folder->fd, "ca/ca.crt", leaf);
    char path[128];
    Authority *none = NULL;
    play_path(folder, "ca", path);
    assert_refused(authority_open(path, PLAY_NOW_MS, &none, error), ERROR_REFUSED, "no authority");
    sample_text(folder->fd, "ca/ca.crt", "nonsense");
    assert_refused(authority_open(path, PLAY_NOW_MS, &none, error), ERROR_INVALID, "no certificate");
    sample_noise(folder->fd, "ca/ca.crt", 17 << 10, 1);
    assert_refused(authority_open(path, PLAY_NOW_MS, &none, error), ERROR_SYSTEM, "ca.crt");
}

static void test_refuses_times_that_no_certificate_has(void **state) {
    TestFolder *folder = *state;
    char path[128];
    play_path(folder, "ca", path);
    static const int64_t validities[] = {INT64_MIN, -1, 0, 59999, INT64_MAX};
    for (size_t i = 0; i < sizeof validities / sizeof *validities; i++)
        assert_refused(authority_create(path, validities[i], PLAY_NOW_MS, error), ERROR_INVALID, "valid for");
    static const int64_t times[] = {INT64_MIN, -1, 0, INT64_MAX};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        assert_refused(authority_create(path, PLAY_DAY_MS, times[i], error), ERROR_INVALID, "set the clock");
}

/* ---- Servers ---- */

static void test_issues_a_server_certificate_for_names_and_addresses(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    static const char *const names[] = {"controller.example", "*.fleet.example", "10.1.2.3", "fd00::1"};
    AUTHORITY_SERVER_AUTO server = {0};
    assert_done(authority_issue_server(authority, names, 4, 30 * PLAY_DAY_MS, PLAY_NOW_MS, &server, error));
    CERTIFICATE_AUTO certificate = play_parse(server.certificate_pem);
    assert_int_equal(X509_check_host(certificate, "controller.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(certificate, "a.fleet.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(certificate, "other.example", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(certificate, "10.1.2.3", 0), 1);
    assert_int_equal(X509_check_ip_asc(certificate, "fd00::1", 0), 1);
    assert_int_equal(X509_get_extended_key_usage(certificate), XKU_SSL_SERVER);
    assert_int_equal(X509_check_ca(certificate), 0);
    assert_int_equal(server.not_after_ms, PLAY_NOW_MS + 30 * PLAY_DAY_MS);
}

static void test_a_server_gets_its_key_and_the_chain(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    AUTHORITY_SERVER_AUTO server = {0};
    const char *name = "localhost";
    assert_done(authority_issue_server(authority, &name, 1, PLAY_DAY_MS, PLAY_NOW_MS, &server, error));
    CERTIFICATE_AUTO certificate = play_parse(server.certificate_pem);
    CERTIFICATE_KEY_AUTO key = NULL;
    assert_done(certificate_key_parse(server.key_pem, strlen(server.key_pem), &key, error));
    assert_int_equal(X509_check_private_key(certificate, key), 1);
    assert_non_null(strstr(server.certificate_pem, authority_certificate(authority)));
    CERTIFICATE_AUTO root = play_parse(authority_certificate(authority));
    assert_int_equal(X509_verify(certificate, X509_get0_pubkey(root)), 1);
}

static void test_a_server_is_not_a_host(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    AUTHORITY_SERVER_AUTO server = {0};
    const char *name = "localhost";
    assert_done(authority_issue_server(authority, &name, 1, PLAY_DAY_MS, PLAY_NOW_MS, &server, error));
    assert_not_a_host(authority, server.certificate_pem, "not for a client");
}

static void test_refuses_names_that_no_server_has(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    static const char *const bad[] = {"",          ".",          "a..b",  "-a",          "a-",    "*",
                                      "a.*",       "a b",        "a\n",   "a_b",         "1.2.3", "1.2.3.4.5",
                                      "256.1.1.1", "a.example.", "DNS:x", "x,IP:1.2.3.4"};
    AUTHORITY_SERVER_AUTO server = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(
            authority_issue_server(authority, &bad[i], 1, PLAY_DAY_MS, PLAY_NOW_MS, &server, error),
            ERROR_INVALID, "neither a DNS name nor an IP address");
    assert_refused(authority_issue_server(authority, bad, 0, PLAY_DAY_MS, PLAY_NOW_MS, &server, error),
                   ERROR_INVALID, "1 to 32");
    assert_refused(authority_issue_server(authority, bad, 33, PLAY_DAY_MS, PLAY_NOW_MS, &server, error),
                   ERROR_INVALID, "1 to 32");
    assert_null(server.key_pem);
}

/* ---- Hosts ---- */

static void test_signs_for_the_host_it_is_told(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_KEY_AUTO key = play_key();
    FREE_AUTO char *request = play_request(key);
    FREE_AUTO char *pem = play_sign(authority, request, "web1.east");
    CertificateHost host;
    assert_int_equal(play_verify(authority, pem, PLAY_NOW_MS, &host).kind, ERROR_NONE);
    assert_string_equal(host.name, "web1.east");
    assert_true(certificate_is_serial(host.serial));
    assert_int_equal(host.not_before_ms, PLAY_NOW_MS - AUTHORITY_SKEW_MS);
    assert_int_equal(host.not_after_ms, PLAY_NOW_MS + 90 * PLAY_DAY_MS);
    CERTIFICATE_AUTO certificate = play_parse(pem);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(certificate), key), 1);
    assert_int_equal(X509_get_extended_key_usage(certificate), XKU_SSL_CLIENT);
    assert_int_equal(X509_get_key_usage(certificate), KU_DIGITAL_SIGNATURE);
}

static void test_serials_are_not_given_twice(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CertificateHost hosts[8];
    for (size_t i = 0; i < 8; i++) {
        FREE_AUTO char *pem = play_host(authority, "web1");
        assert_int_equal(play_verify(authority, pem, PLAY_NOW_MS, &hosts[i]).kind, ERROR_NONE);
        for (size_t j = 0; j < i; j++) assert_string_not_equal(hosts[i].serial, hosts[j].serial);
    }
}

/* A request that asks for everything, signed by `signer`. */
static char *greedy_request(EVP_PKEY *key, EVP_PKEY *signer) {
    X509_REQ *request = X509_REQ_new();
    assert_non_null(request);
    X509_REQ_set_pubkey(request, key);
    X509_NAME *subject = X509_REQ_get_subject_name(request);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"controller", -1, -1, 0);
    STACK_OF(X509_EXTENSION) *asked = sk_X509_EXTENSION_new_null();
    sk_X509_EXTENSION_push(asked, X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE"));
    sk_X509_EXTENSION_push(asked, X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, "serverAuth"));
    sk_X509_EXTENSION_push(asked, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:controller"));
    assert_int_equal(X509_REQ_add_extensions(request, asked), 1);
    sk_X509_EXTENSION_pop_free(asked, X509_EXTENSION_free);
    const EVP_MD *digest = EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    assert_true(X509_REQ_sign(request, signer, digest) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509_REQ(bio, request), 1);
    char *pem = calloc(1, CERTIFICATE_PEM_MAX);
    assert_non_null(pem);
    assert_true(BIO_read(bio, pem, CERTIFICATE_PEM_MAX - 1) > 0);
    BIO_free(bio);
    X509_REQ_free(request);
    return pem;
}

static void test_ignores_what_a_request_asks_for(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_KEY_AUTO key = play_key();
    FREE_AUTO char *request = greedy_request(key, key);
    FREE_AUTO char *pem = play_sign(authority, request, "web1");
    CertificateHost host;
    assert_int_equal(play_verify(authority, pem, PLAY_NOW_MS, &host).kind, ERROR_NONE);
    assert_string_equal(host.name, "web1");
    CERTIFICATE_AUTO certificate = play_parse(pem);
    assert_int_equal(X509_check_ca(certificate), 0);
    assert_int_equal(X509_check_host(certificate, "controller", 0, 0, NULL), 0);
    assert_int_equal(X509_get_extended_key_usage(certificate), XKU_SSL_CLIENT);
}

static void test_refuses_a_request_with_a_forged_signature(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_KEY_AUTO victim = play_key();
    CERTIFICATE_KEY_AUTO forger = play_key();
    FREE_AUTO char *request = greedy_request(victim, forger);
    assert_unsigned(authority, request, ERROR_REFUSED, "not signed by the key that is in it");
}

static void test_tells_beforehand_what_it_would_refuse(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_KEY_AUTO key = play_key();
    CERTIFICATE_KEY_AUTO forger = play_key();
    FREE_AUTO char *good = play_request(key);
    FREE_AUTO char *bad = greedy_request(key, forger);
    AuthorityRequest asked = {.pem = good, .size = strlen(good), .host = "web1", .valid_ms = PLAY_DAY_MS};
    assert_done(authority_check_request(authority, &asked, PLAY_NOW_MS, error));
    asked.valid_ms = 0;
    assert_refused(authority_check_request(authority, &asked, PLAY_NOW_MS, error), ERROR_INVALID,
                   "valid for");
    asked.valid_ms = PLAY_DAY_MS;
    assert_refused(authority_check_request(authority, &asked, authority_not_after_ms(authority), error),
                   ERROR_REFUSED, "has expired");
    asked.host = "web 1";
    assert_refused(authority_check_request(authority, &asked, PLAY_NOW_MS, error), ERROR_INVALID,
                   "not a name");
    asked = (AuthorityRequest){.pem = bad, .size = strlen(bad), .host = "web1", .valid_ms = PLAY_DAY_MS};
    assert_refused(authority_check_request(authority, &asked, PLAY_NOW_MS, error), ERROR_REFUSED,
                   "not signed");
}

static void test_refuses_a_request_of_another_kind_of_key(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_KEY_AUTO rsa1024 = EVP_RSA_gen(1024);
    CERTIFICATE_KEY_AUTO rsa2048 = EVP_RSA_gen(2048);
    CERTIFICATE_KEY_AUTO p384 = EVP_EC_gen("P-384");
    CERTIFICATE_KEY_AUTO koblitz = EVP_EC_gen("secp256k1");
    CERTIFICATE_KEY_AUTO edwards = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    EVP_PKEY *const keys[] = {rsa1024, rsa2048, p384, koblitz, edwards};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        FREE_AUTO char *request = greedy_request(keys[i], keys[i]);
        assert_unsigned(authority, request, ERROR_REFUSED, "another kind than ECDSA P-256");
    }
}

static void test_refuses_a_request_with_its_curve_spelled_out(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_KEY_AUTO key = play_key();
    assert_int_equal(EVP_PKEY_set_utf8_string_param(key, "encoding", "explicit"), 1);
    FREE_AUTO char *request = greedy_request(key, key);
    assert_unsigned(authority, request, ERROR_REFUSED, "named curve");
}

static void test_refuses_a_request_for_its_own_key(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_KEY_AUTO key = play_private_key(folder, "ca/ca.key");
    FREE_AUTO char *request = play_request(key);
    assert_unsigned(authority, request, ERROR_REFUSED, "the authority's own key");
}

static void test_refuses_a_truncated_request(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_KEY_AUTO key = play_key();
    FREE_AUTO char *request = play_request(key);
    size_t end = strlen(request) - strlen("\n");
    for (size_t size = 0; size < end; size++)
        assert_int_equal(sign(authority, request, size, "web1").kind, ERROR_INVALID);
    assert_int_equal(sign(authority, request, strlen(request), "web1").kind, ERROR_NONE);
}

static void test_a_flipped_bit_makes_no_other_request(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_KEY_AUTO key = play_key();
    FREE_AUTO char *request = play_request(key);
    for (size_t i = 0; i < strlen(request); i++) {
        FREE_AUTO char *flipped = strdup(request);
        flipped[i] = (char)(flipped[i] ^ 1 << i % 7);
        AuthorityRequest asked = {
            .pem = flipped, .size = strlen(request), .host = "web1", .valid_ms = PLAY_DAY_MS};
        FREE_AUTO char *pem = NULL;
        if (authority_sign_host(authority, &asked, PLAY_NOW_MS, &pem, NULL, NULL) < 0) continue;
        CERTIFICATE_AUTO certificate = play_parse(pem); /* white space was hit: the key is the same */
        assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(certificate), key), 1);
    }
}

static void test_refuses_a_request_past_all_measure(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    FREE_AUTO char *large = calloc(1, CERTIFICATE_PEM_MAX + 2);
    memset(large, 'A', CERTIFICATE_PEM_MAX + 1);
    assert_unsigned(authority, large, ERROR_INVALID, "larger than 16384 bytes");
    large[CERTIFICATE_PEM_MAX] = '\0';
    assert_unsigned(authority, large, ERROR_INVALID, "no request for a certificate");
    assert_unsigned(authority, "", ERROR_INVALID, "no request for a certificate");
}

static void test_refuses_names_that_no_host_has(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_KEY_AUTO key = play_key();
    FREE_AUTO char *request = play_request(key);
    static const char *const bad[] = {
        "",    ".web",    "-web",      "a/b",
        "a b", "a\nb",    "a@b",       "\xe4\xb8\xbb\xe6\x9c\xba",
        "a,b", "a%00.de", "../secret", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sign(authority, request, strlen(request), bad[i]).kind, ERROR_INVALID);
    assert_int_equal(sign(authority, request, strlen(request), bad[11] + 1).kind, ERROR_NONE); /* 64 */
    assert_int_equal(sign(authority, request, strlen(request), "Web_1.e+2-x").kind, ERROR_NONE);
}

static void test_no_certificate_outlives_its_authority(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_KEY_AUTO key = play_key();
    FREE_AUTO char *request = play_request(key);
    int64_t end_ms = authority_not_after_ms(authority);
    AuthorityRequest asked = {
        .pem = request, .size = strlen(request), .host = "web1", .valid_ms = PLAY_DAY_MS};
    FREE_AUTO char *pem = NULL;
    FREE_AUTO char *none = NULL;
    CertificateHost host;
    assert_done(authority_sign_host(authority, &asked, end_ms - 60000, &pem, &host, error));
    assert_int_equal(host.not_after_ms, end_ms);
    assert_refused(authority_sign_host(authority, &asked, end_ms, &none, NULL, error), ERROR_REFUSED,
                   "the authority's own certificate has expired");
    assert_null(none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_makes_a_key_for_its_owner_alone),
        test_in_folder(test_makes_a_certificate_that_signs_leaves_only),
        test_in_folder(test_never_overwrites_an_authority),
        test_in_folder(test_takes_up_a_creation_that_was_cut_off),
        test_in_folder(test_refuses_a_key_that_others_may_read),
        test_in_folder(test_refuses_a_folder_that_others_may_write),
        test_in_folder(test_refuses_a_certificate_of_another_key),
        test_in_folder(test_refuses_to_open_before_and_after_its_time),
        test_in_folder(test_refuses_what_is_no_authority),
        test_in_folder(test_refuses_times_that_no_certificate_has),
        test_in_folder(test_issues_a_server_certificate_for_names_and_addresses),
        test_in_folder(test_a_server_gets_its_key_and_the_chain),
        test_in_folder(test_a_server_is_not_a_host),
        test_in_folder(test_refuses_names_that_no_server_has),
        test_in_folder(test_signs_for_the_host_it_is_told),
        test_in_folder(test_serials_are_not_given_twice),
        test_in_folder(test_ignores_what_a_request_asks_for),
        test_in_folder(test_refuses_a_request_with_a_forged_signature),
        test_in_folder(test_tells_beforehand_what_it_would_refuse),
        test_in_folder(test_refuses_a_request_of_another_kind_of_key),
        test_in_folder(test_refuses_a_request_with_its_curve_spelled_out),
        test_in_folder(test_refuses_a_request_for_its_own_key),
        test_in_folder(test_refuses_a_truncated_request),
        test_in_folder(test_a_flipped_bit_makes_no_other_request),
        test_in_folder(test_refuses_a_request_past_all_measure),
        test_in_folder(test_refuses_names_that_no_host_has),
        test_in_folder(test_no_certificate_outlives_its_authority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
