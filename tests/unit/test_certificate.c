#include "support/authority.h"
#include "trust/certificate.h"
#include <errno.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static void test_a_file_is_made_once(void **state) {
    TestFolder *folder = *state;
    assert_done(certificate_file_create(folder->fd, "x", "mine", 4, 0600, error));
    assert_refused(certificate_file_create(folder->fd, "x", "other", 5, 0644, error), ERROR_REFUSED,
                   "x exists already");
    FREE_AUTO char *text = play_file(folder, "x");
    assert_string_equal(text, "mine");
    assert_int_equal(unlinkat(folder->fd, "x", 0), 0);
    assert_int_equal(rmdir(folder->path), 0); /* nothing else is left */
    assert_int_equal(mkdir(folder->path, 0700), 0);
}

static void test_a_link_in_its_place_is_not_followed(void **state) {
    TestFolder *folder = *state;
    CertificateText text;
    sample_text(folder->fd, "elsewhere", "other");
    assert_int_equal(symlinkat("elsewhere", folder->fd, "x"), 0);
    assert_refused(certificate_file_create(folder->fd, "x", "mine", 4, 0600, error), ERROR_REFUSED,
                   "x exists already");
    assert_refused(certificate_file_read(folder->fd, "x", false, &text, error), ERROR_SYSTEM,
                   "cannot open x");
}

static void test_reads_regular_files_within_limits(void **state) {
    TestFolder *folder = *state;
    CertificateText text;
    sample_noise(folder->fd, "fits", CERTIFICATE_PEM_MAX, 1);
    assert_done(certificate_file_read(folder->fd, "fits", false, &text, error));
    assert_int_equal(text.size, CERTIFICATE_PEM_MAX);
    sample_noise(folder->fd, "large", CERTIFICATE_PEM_MAX + 1, 1);
    assert_refused(certificate_file_read(folder->fd, "large", false, &text, error), ERROR_SYSTEM,
                   "cannot read large");
    assert_int_equal(mkfifoat(folder->fd, "pipe", 0600), 0); /* nobody will ever write into it */
    assert_refused(certificate_file_read(folder->fd, "pipe", false, &text, error), ERROR_SYSTEM,
                   "cannot read pipe");
    Error problem = {0};
    assert_int_equal(certificate_file_read(folder->fd, "missing", false, &text, &problem), -1);
    assert_int_equal(problem.number, ENOENT);
}

static void test_refuses_a_private_key_of_somebody_else(void **state) {
    TestFolder *folder = *state;
    CertificateText text;
    if (geteuid() != 0) TEST_SKIP("needs root to give a file away");
    assert_done(certificate_file_create(folder->fd, "k", "k", 1, 0600, error));
    assert_int_equal(fchownat(folder->fd, "k", 12345, 12345, 0), 0);
    assert_refused(certificate_file_read(folder->fd, "k", true, &text, error), ERROR_REFUSED,
                   "belongs to another user");
}

static void test_knows_the_names_of_hosts(void **state) {
    (void)state;
    static const char *const good[] = {"a", "0", "web1", "web1.east.example", "A_b+c-d.e"};
    static const char *const bad[] = {"", "-a", ".a", "_a", "+a", "a b", "a/b", "a\t", "a:b", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_true(certificate_is_host_name(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(certificate_is_host_name(bad[i]));
}

static void test_nothing_is_neither_key_nor_certificate(void **state) {
    (void)state;
    EVP_PKEY *key = NULL;
    X509 *certificate = NULL;
    assert_refused(certificate_key_parse(NULL, 0, &key, error), ERROR_INVALID, "no private key");
    assert_refused(certificate_request_key(NULL, 0, &key, error), ERROR_INVALID, "no request");
    assert_refused(certificate_parse(NULL, 0, &certificate, error), ERROR_INVALID, "no certificate");
}

static void test_a_serial_always_has_32_digits(void **state) {
    (void)state;
    char text[CERTIFICATE_SERIAL_SIZE];
    X509 *certificate = X509_new();
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 0xabc), 1);
    assert_int_equal(certificate_serial(certificate, text), 0);
    assert_string_equal(text, "00000000000000000000000000000abc");
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), -1), 1);
    assert_int_equal(certificate_serial(certificate, text), -1);
    BIGNUM *large = NULL;
    assert_true(BN_hex2bn(&large, "0100000000000000000000000000000000") > 0);
    assert_non_null(BN_to_ASN1_INTEGER(large, X509_get_serialNumber(certificate)));
    assert_int_equal(certificate_serial(certificate, text), -1);
    BN_free(large);
    X509_free(certificate);
}

/* PEM that cannot be read without a passphrase. */
static void locked_key(char *pem, size_t size) {
    CERTIFICATE_KEY_AUTO key = play_key();
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL), 1);
    memset(pem, 0, size);
    assert_true(BIO_read(bio, pem, (int)size - 1) > 0);
    BIO_free(bio);
}

static const char locked_request[] =
    "-----BEGIN CERTIFICATE REQUEST-----\nProc-Type: 4,ENCRYPTED\n"
    "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAAAAAAAAAAAAAAAAAAAA==\n"
    "-----END CERTIFICATE REQUEST-----\n";
static const char locked_certificate[] =
    "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n"
    "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAAAAAAAAAAAAAAAAAAAA==\n"
    "-----END CERTIFICATE-----\n";

/* OpenSSL would ask at the terminal; so give it one, and see that it stays silent. */
static void test_asks_nobody_for_a_passphrase(void **state) {
    (void)state;
    char key_pem[4096], said[256];
    int terminal;
    locked_key(key_pem, sizeof key_pem);
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    if (child < 0) TEST_SKIP("there is no pseudo-terminal to be had here");
    if (child == 0) {
        EVP_PKEY *key = NULL;
        X509 *certificate = NULL;
        bool refused =
            certificate_key_parse(key_pem, strlen(key_pem), &key, NULL) < 0 &&
            certificate_request_key(locked_request, strlen(locked_request), &key, NULL) < 0 &&
            certificate_parse(locked_certificate, strlen(locked_certificate), &certificate, NULL) < 0;
        _exit(refused ? 0 : 1);
    }
    ssize_t size = read(terminal, said, sizeof said); /* until the child ends, or speaks */
    kill(child, SIGKILL);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(terminal);
    assert_true(size <= 0);
    if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_file_is_made_once),
        test_in_folder(test_a_link_in_its_place_is_not_followed),
        test_in_folder(test_reads_regular_files_within_limits),
        test_in_folder(test_refuses_a_private_key_of_somebody_else),
        cmocka_unit_test(test_knows_the_names_of_hosts),
        cmocka_unit_test(test_nothing_is_neither_key_nor_certificate),
        cmocka_unit_test(test_a_serial_always_has_32_digits),
        cmocka_unit_test(test_asks_nobody_for_a_passphrase),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
