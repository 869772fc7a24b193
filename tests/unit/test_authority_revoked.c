#include "support/authority.h"
#include "trust/authority_revoked.h"

/* ---- Who is let in ---- */

static void test_knows_a_host_by_pem_and_der(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    FREE_AUTO char *pem = play_host(authority, "web1");
    CertificateHost host, again;
    assert_int_equal(play_verify(authority, pem, PLAY_NOW_MS, &host).kind, ERROR_NONE);
    CERTIFICATE_AUTO certificate = play_parse(pem);
    unsigned char *der = NULL;
    int size = i2d_X509(certificate, &der);
    assert_true(size > 0);
    assert_done(authority_verify(authority, der, (size_t)size, PLAY_NOW_MS, &again, error));
    assert_string_equal(host.name, again.name);
    assert_string_equal(host.serial, again.serial);
    assert_refused(authority_verify(authority, der, (size_t)size - 1, PLAY_NOW_MS, &again, error),
                   ERROR_INVALID, "no certificate");
    unsigned char *longer = calloc(1, (size_t)size + 1);
    memcpy(longer, der, (size_t)size);
    assert_refused(authority_verify(authority, longer, (size_t)size + 1, PLAY_NOW_MS, &again, error),
                   ERROR_INVALID, "no certificate");
    free(longer);
    OPENSSL_free(der);
}

static void test_refuses_what_is_no_certificate(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CertificateHost host;
    char large[CERTIFICATE_PEM_MAX + 1];
    memset(large, '0', sizeof large);
    assert_refused(authority_verify(authority, "", 0, PLAY_NOW_MS, &host, error), ERROR_INVALID, "no certif");
    assert_refused(authority_verify(authority, "0", 1, PLAY_NOW_MS, &host, error), ERROR_INVALID,
                   "no certif");
    assert_refused(authority_verify(authority, large, sizeof large, PLAY_NOW_MS, &host, error), ERROR_INVALID,
                   "larger than 16384 bytes");
}

static void test_refuses_a_host_before_and_after_its_time(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    FREE_AUTO char *pem = play_host(authority, "web1");
    CertificateHost host;
    assert_int_equal(play_verify(authority, pem, PLAY_NOW_MS, &host).kind, ERROR_NONE);
    assert_int_equal(play_verify(authority, pem, host.not_before_ms, NULL).kind, ERROR_NONE);
    assert_int_equal(play_verify(authority, pem, host.not_after_ms - 1, NULL).kind, ERROR_NONE);
    Error late = play_verify(authority, pem, host.not_after_ms, NULL);
    assert_int_equal(late.kind, ERROR_REFUSED);
    assert_non_null(strstr(late.en, "the certificate has expired"));
    AuthorityRequest asked = {.host = "web1", .valid_ms = PLAY_DAY_MS};
    CERTIFICATE_KEY_AUTO key = play_key();
    FREE_AUTO char *request = play_request(key);
    FREE_AUTO char *future = NULL;
    asked.pem = request;
    asked.size = strlen(request);
    assert_done(authority_sign_host(authority, &asked, PLAY_NOW_MS + 7 * PLAY_DAY_MS, &future, NULL, error));
    assert_not_a_host(authority, future, "the certificate is not valid yet");
}

static void test_refuses_a_host_of_another_authority(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    AUTHORITY_AUTO other = play_authority(folder, "other");
    FREE_AUTO char *pem = play_host(other, "web1");
    assert_not_a_host(authority, pem, "not signed by this authority");
}

static PlayForgery forgery_of(X509 *issuer, EVP_PKEY *key, EVP_PKEY *signer) {
    return (PlayForgery){.issuer = issuer,
                         .key = key,
                         .signer = signer,
                         .common_name = "web1",
                         .names = "DNS:web1,URI:upkeep://host/web1",
                         .usage = "clientAuth",
                         .basic = "critical,CA:FALSE"};
}

static void test_refuses_an_issuer_of_the_same_name(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_AUTO root = play_parse(authority_certificate(authority));
    CERTIFICATE_KEY_AUTO key = play_key();
    PlayForgery forgery = forgery_of(root, key, key);
    FREE_AUTO char *pem = play_forge(&forgery);
    assert_not_a_host(authority, pem, "not signed by this authority");
}

static void test_refuses_what_a_host_signs(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_KEY_AUTO host_key = play_key();
    FREE_AUTO char *request = play_request(host_key);
    FREE_AUTO char *host_pem = play_sign(authority, request, "web1");
    CERTIFICATE_AUTO host = play_parse(host_pem);
    CERTIFICATE_KEY_AUTO key = play_key();
    PlayForgery forgery = forgery_of(host, key, host_key);
    FREE_AUTO char *pem = play_forge(&forgery);
    BUFFER_AUTO chain = {0};
    buffer_printf(&chain, "%s%s", pem, host_pem);
    assert_not_a_host(authority, chain.data, "not signed by this authority");
}

static void test_refuses_every_use_but_a_clients(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_AUTO root = play_parse(authority_certificate(authority));
    CERTIFICATE_KEY_AUTO signer = play_private_key(folder, "ca/ca.key");
    CERTIFICATE_KEY_AUTO key = play_key();
    PlayForgery forgery = forgery_of(root, key, signer);
    FREE_AUTO char *good = play_forge(&forgery);
    assert_int_equal(play_verify(authority, good, PLAY_NOW_MS, NULL).kind, ERROR_NONE);
    static const char *const usages[] = {"serverAuth", "clientAuth,serverAuth", "emailProtection", NULL};
    for (size_t i = 0; i < 4; i++) {
        forgery.usage = usages[i];
        FREE_AUTO char *pem = play_forge(&forgery);
        assert_not_a_host(authority, pem, "the certificate is not");
    }
}

static void test_refuses_names_that_do_not_agree(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_AUTO root = play_parse(authority_certificate(authority));
    CERTIFICATE_KEY_AUTO signer = play_private_key(folder, "ca/ca.key");
    CERTIFICATE_KEY_AUTO key = play_key();
    static const char *const names[] = {"DNS:web2,URI:upkeep://host/web1",
                                        "DNS:web1,URI:upkeep://host/web2",
                                        "DNS:web1,URI:upkeep://host/",
                                        "DNS:web1,URI:other://host/web1",
                                        "DNS:web1",
                                        "DNS:web1,URI:upkeep://host/web1,DNS:web2",
                                        "URI:upkeep://host/web1,DNS:web1",
                                        NULL};
    for (size_t i = 0; i < 8; i++) {
        PlayForgery forgery = forgery_of(root, key, signer);
        forgery.names = names[i];
        FREE_AUTO char *pem = play_forge(&forgery);
        assert_not_a_host(authority, pem, "not one of a host");
    }
}

static void test_the_authority_is_no_host(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    assert_not_a_host(authority, authority_certificate(authority), "the certificate is not");
    CERTIFICATE_AUTO root = play_parse(authority_certificate(authority));
    CERTIFICATE_KEY_AUTO signer = play_private_key(folder, "ca/ca.key");
    CERTIFICATE_KEY_AUTO key = play_key();
    PlayForgery forgery = forgery_of(root, key, signer);
    forgery.basic = "critical,CA:TRUE";
    FREE_AUTO char *pem = play_forge(&forgery);
    assert_not_a_host(authority, pem, "not one of a host");
}

static void test_refuses_a_weak_key_though_it_is_signed(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    CERTIFICATE_AUTO root = play_parse(authority_certificate(authority));
    CERTIFICATE_KEY_AUTO signer = play_private_key(folder, "ca/ca.key");
    CERTIFICATE_KEY_AUTO weak = EVP_RSA_gen(1024);
    PlayForgery forgery = forgery_of(root, weak, signer);
    FREE_AUTO char *pem = play_forge(&forgery);
    assert_not_a_host(authority, pem, "another kind than ECDSA P-256");
}

static void test_a_flipped_bit_makes_no_other_host(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    FREE_AUTO char *pem = play_host(authority, "web1");
    CertificateHost host, found;
    assert_int_equal(play_verify(authority, pem, PLAY_NOW_MS, &host).kind, ERROR_NONE);
    size_t size = strlen(pem), accepted = 0;
    for (size_t i = 0; i < size; i++) {
        FREE_AUTO char *flipped = strdup(pem);
        flipped[i] = (char)(flipped[i] ^ 1 << i % 7);
        if (authority_verify(authority, flipped, size, PLAY_NOW_MS, &found, NULL) < 0) continue;
        accepted++; /* white space was hit */
        assert_string_equal(found.name, "web1");
        assert_string_equal(found.serial, host.serial);
    }
    assert_true(accepted < size / 20);
}

/* ---- Who was taken back ---- */

static void test_a_revoked_host_stays_out(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    FREE_AUTO char *web1 = play_host(authority, "web1");
    FREE_AUTO char *web2 = play_host(authority, "web2");
    CertificateHost host;
    assert_int_equal(play_verify(authority, web1, PLAY_NOW_MS, &host).kind, ERROR_NONE);
    assert_false(authority_is_revoked(authority, host.serial));
    assert_done(authority_revoke(authority, host.serial, error));
    assert_done(authority_revoke(authority, host.serial, error));
    assert_int_equal(authority_revoked_count(authority), 1);
    assert_not_a_host(authority, web1, "of web1 is revoked");
    assert_int_equal(play_verify(authority, web2, PLAY_NOW_MS, NULL).kind, ERROR_NONE);
    char path[128];
    play_path(folder, "ca", path);
    AUTHORITY_AUTO again = NULL;
    assert_done(authority_open(path, PLAY_NOW_MS, &again, error));
    assert_not_a_host(again, web1, "of web1 is revoked");
}

static void serial_of(unsigned number, char out[static CERTIFICATE_SERIAL_SIZE]) {
    snprintf(out, CERTIFICATE_SERIAL_SIZE, "%08x%024x", number * 2654435761U, number);
}

static void test_two_programs_revoke_and_lose_nothing(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO one = play_authority(folder, "ca");
    char path[128], serial[CERTIFICATE_SERIAL_SIZE];
    play_path(folder, "ca", path);
    AUTHORITY_AUTO two = NULL;
    assert_done(authority_open(path, PLAY_NOW_MS, &two, error));
    for (unsigned i = 0; i < 40; i++) {
        serial_of(i, serial);
        assert_done(authority_revoke(i % 2 ? one : two, serial, error));
    }
    assert_done(authority_reload(one, error));
    assert_done(authority_reload(two, error));
    assert_int_equal(authority_revoked_count(one), 40);
    for (unsigned i = 0; i < 41; i++) {
        serial_of(i, serial);
        assert_int_equal(authority_is_revoked(one, serial), i < 40);
        assert_int_equal(authority_is_revoked(two, serial), i < 40);
    }
}

static int add_one(int dir, AuthorityRevoked *list, const char *serial, Error *error) {
    return authority_revoked_add(dir, list, &serial, 1, error);
}

static void test_many_are_revoked_at_once_or_none(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    char texts[50][CERTIFICATE_SERIAL_SIZE];
    const char *serials[51];
    for (unsigned i = 0; i < 50; i++) {
        serial_of(i / 2, texts[i]); /* each twice */
        serials[i] = texts[i];
    }
    serials[50] = "no serial";
    assert_refused(authority_revoke_all(authority, serials, 51, error), ERROR_INVALID, "no serial");
    assert_int_equal(authority_revoked_count(authority), 0);
    assert_done(authority_revoke_all(authority, serials, 50, error));
    assert_int_equal(authority_revoked_count(authority), 25);
    assert_done(authority_revoke_all(authority, serials, 50, error));
    assert_done(authority_revoke_all(authority, NULL, 0, error));
    assert_done(authority_reload(authority, error));
    assert_int_equal(authority_revoked_count(authority), 25);
    for (unsigned i = 0; i < 50; i++) assert_true(authority_is_revoked(authority, serials[i]));
}

static void test_the_list_is_plain_sorted_text(void **state) {
    TestFolder *folder = *state;
    AuthorityRevoked list = {0};
    assert_done(authority_revoked_create(folder->fd, error));
    sample_text(folder->fd, ".revoked.abcdefgh~", "half");
    assert_done(add_one(folder->fd, &list, "ffffffffffffffffffffffffffffffff", error));
    assert_done(add_one(folder->fd, &list, "00000000000000000000000000000001", error));
    FREE_AUTO char *text = play_file(folder, "revoked");
    assert_string_equal(text, "00000000000000000000000000000001\nffffffffffffffffffffffffffffffff\n");
    assert_int_equal(faccessat(folder->fd, ".revoked.abcdefgh~", F_OK, 0), -1);
    authority_revoked_free(&list);
}

static void test_refuses_a_damaged_list(void **state) {
    TestFolder *folder = *state;
    authority_close(play_authority(folder, "ca"));
    static const char *const bad[] = {
        "ffffffffffffffffffffffffffffffff",                                     /* cut off */
        "fffffffffffffffffffffffffffffff\n",                                    /* too short */
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\n",                                   /* capitals */
        "ffffffffffffffffffffffffffffffff\n00000000000000000000000000000001\n", /* not sorted */
        "00000000000000000000000000000001\n00000000000000000000000000000001\n", /* twice */
        "00000000000000000000000000000001\r\n",
        "\n"};
    char path[128];
    Authority *none = NULL;
    play_path(folder, "ca", path);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sample_text(folder->fd, "ca/revoked", bad[i]);
        assert_refused(authority_open(path, PLAY_NOW_MS, &none, error), ERROR_INVALID, "is damaged");
    }
    assert_int_equal(unlinkat(folder->fd, "ca/revoked", 0), 0);
    assert_refused(authority_open(path, PLAY_NOW_MS, &none, error), ERROR_SYSTEM,
                   "cannot tell which certificates are revoked");
}

static void test_revokes_only_serials(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    static const char *const bad[] = {"", "1", "0000000000000000000000000000000g",
                                      "000000000000000000000000000000001", "../revoked"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(authority_revoke(authority, bad[i], error), ERROR_INVALID, "no serial");
    assert_int_equal(authority_revoked_count(authority), 0);
}

static void test_the_list_is_bounded(void **state) {
    TestFolder *folder = *state;
    BUFFER_AUTO text = {0};
    for (unsigned i = 0; i < AUTHORITY_REVOKED_MAX; i++) buffer_printf(&text, "%032x\n", i);
    sample_write(folder->fd, "revoked", text.data, text.size);
    AuthorityRevoked list = {0};
    assert_done(authority_revoked_load(folder->fd, &list, error));
    assert_int_equal(list.count, AUTHORITY_REVOKED_MAX);
    assert_refused(add_one(folder->fd, &list, "ffffffffffffffffffffffffffffffff", error), ERROR_REFUSED,
                   "make a new authority");
    assert_true(authority_revoked_has(&list, "0000000000000000000000000000ffff"));
    authority_revoked_free(&list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_knows_a_host_by_pem_and_der),
        test_in_folder(test_refuses_what_is_no_certificate),
        test_in_folder(test_refuses_a_host_before_and_after_its_time),
        test_in_folder(test_refuses_a_host_of_another_authority),
        test_in_folder(test_refuses_an_issuer_of_the_same_name),
        test_in_folder(test_refuses_what_a_host_signs),
        test_in_folder(test_refuses_every_use_but_a_clients),
        test_in_folder(test_refuses_names_that_do_not_agree),
        test_in_folder(test_the_authority_is_no_host),
        test_in_folder(test_refuses_a_weak_key_though_it_is_signed),
        test_in_folder(test_a_flipped_bit_makes_no_other_host),
        test_in_folder(test_a_revoked_host_stays_out),
        test_in_folder(test_two_programs_revoke_and_lose_nothing),
        test_in_folder(test_many_are_revoked_at_once_or_none),
        test_in_folder(test_the_list_is_plain_sorted_text),
        test_in_folder(test_refuses_a_damaged_list),
        test_in_folder(test_revokes_only_serials),
        test_in_folder(test_the_list_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
