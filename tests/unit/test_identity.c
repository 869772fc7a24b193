#include "support/authority.h"
#include "trust/identity.h"
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

static char *request_in(const TestFolder *folder) {
    char path[128], *pem = NULL;
    play_path(folder, "host", path);
    assert_done(identity_request(path, &pem, error));
    return pem;
}

/* `pinned`: the authority that the host is to trust; NULL: the one it trusts already. */
static int accept_in(const TestFolder *folder, const char *pem, const Authority *pinned, Error *error) {
    char path[128];
    play_path(folder, "host", path);
    IdentityAnswer answer = {.certificate = pem, .certificate_size = strlen(pem)};
    if (pinned) {
        answer.authority = authority_certificate(pinned);
        answer.authority_size = strlen(answer.authority);
        answer.pin = authority_fingerprint(pinned);
    }
    return identity_accept(path, &answer, PLAY_NOW_MS, error);
}

static Identity *load_in(const TestFolder *folder) {
    char path[128];
    Identity *identity = NULL;
    play_path(folder, "host", path);
    assert_done(identity_load(path, &identity, error));
    return identity;
}

/* Ask, be signed as `host`, accept. `pin`: with the authority's certificate. */
static void join(const TestFolder *folder, const Authority *authority, const char *host, bool pin) {
    FREE_AUTO char *request = request_in(folder);
    FREE_AUTO char *pem = play_sign(authority, request, host);
    assert_done(accept_in(folder, pem, pin ? authority : NULL, error));
}

static bool exists(const TestFolder *folder, const char *path) {
    return faccessat(folder->fd, path, F_OK, 0) == 0;
}

static void test_joins_and_loads(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    join(folder, authority, "web1", true);
    IDENTITY_AUTO identity = load_in(folder);
    assert_string_equal(identity_host(identity)->name, "web1");
    assert_int_equal(identity_host(identity)->not_after_ms, PLAY_NOW_MS + 90 * PLAY_DAY_MS);
    assert_string_equal(identity_authority_pem(identity), authority_certificate(authority));
    CERTIFICATE_AUTO certificate = play_parse(identity_certificate_pem(identity));
    CERTIFICATE_KEY_AUTO key = NULL;
    const char *pem = identity_key_pem(identity);
    assert_done(certificate_key_parse(pem, strlen(pem), &key, error));
    assert_int_equal(X509_check_private_key(certificate, key), 1);
    assert_false(exists(folder, "host/pending.key"));
}

static void test_keys_are_for_their_owner_alone(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    mode_t mask = umask(0);
    free(request_in(folder));
    struct stat status;
    assert_int_equal(fstatat(folder->fd, "host/pending.key", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(fstatat(folder->fd, "host", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    join(folder, authority, "web1", true);
    umask(mask);
    assert_int_equal(fstatat(folder->fd, "host/identity.pem", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void test_refuses_keys_that_others_may_read(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    join(folder, authority, "web1", true);
    char path[128], *pem = NULL;
    Identity *none = NULL;
    play_path(folder, "host", path);
    assert_int_equal(fchmodat(folder->fd, "host/identity.pem", 0644, 0), 0);
    assert_refused(identity_load(path, &none, error), ERROR_REFUSED, "chmod 600");
    free(request_in(folder));
    assert_int_equal(fchmodat(folder->fd, "host/pending.key", 0604, 0), 0);
    assert_refused(identity_request(path, &pem, error), ERROR_REFUSED, "chmod 600");
}

static void test_refuses_a_folder_that_others_may_write(void **state) {
    TestFolder *folder = *state;
    char path[128], *pem = NULL;
    Identity *none = NULL;
    play_path(folder, "host", path);
    assert_int_equal(mkdirat(folder->fd, "host", 0700), 0);
    assert_int_equal(fchmodat(folder->fd, "host", 0777, 0), 0);
    assert_refused(identity_request(path, &pem, error), ERROR_REFUSED, "written by others");
    assert_refused(identity_load(path, &none, error), ERROR_REFUSED, "written by others");
}

static void test_says_that_a_host_has_not_joined(void **state) {
    TestFolder *folder = *state;
    char path[128];
    Identity *none = NULL;
    Error problem = {0};
    play_path(folder, "host", path);
    assert_int_equal(identity_load(path, &none, &problem), -1);
    assert_int_equal(problem.number, ENOENT);
    free(request_in(folder));
    assert_int_equal(identity_load(path, &none, &problem), -1);
    assert_int_equal(problem.number, ENOENT);
    assert_non_null(strstr(problem.en, "with a new token"));
}

static void test_asks_again_for_the_same_key(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    FREE_AUTO char *first = request_in(folder);
    FREE_AUTO char *second = request_in(folder);
    FREE_AUTO char *pem = play_sign(authority, first, "web1");
    assert_done(accept_in(folder, pem, authority, error));
    FREE_AUTO char *other = play_sign(authority, second, "web1");
    CERTIFICATE_AUTO a = play_parse(pem);
    CERTIFICATE_AUTO b = play_parse(other);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(a), X509_get0_pubkey(b)), 1);
}

static void test_refuses_a_certificate_of_another_key(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    free(request_in(folder));
    FREE_AUTO char *pem = play_host(authority, "web1");
    assert_refused(accept_in(folder, pem, authority, error), ERROR_REFUSED, "for another key");
    assert_false(exists(folder, "host/identity.pem"));
    assert_true(exists(folder, "host/pending.key"));
}

static void test_refuses_a_certificate_of_another_authority(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    AUTHORITY_AUTO other = play_authority(folder, "other");
    FREE_AUTO char *request = request_in(folder);
    FREE_AUTO char *pem = play_sign(other, request, "web1");
    assert_refused(accept_in(folder, pem, authority, error), ERROR_REFUSED, "not signed by this authority");
    assert_false(exists(folder, "host/identity.pem"));
}

static void test_refuses_an_authority_that_is_not_pinned(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    AUTHORITY_AUTO other = play_authority(folder, "other");
    FREE_AUTO char *request = request_in(folder);
    FREE_AUTO char *pem = play_sign(other, request, "web1");
    char path[128];
    play_path(folder, "host", path);
    IdentityAnswer answer = {.certificate = pem,
                             .certificate_size = strlen(pem),
                             .authority = authority_certificate(other),
                             .authority_size = strlen(authority_certificate(other)),
                             .pin = authority_fingerprint(authority)};
    assert_refused(identity_accept(path, &answer, PLAY_NOW_MS, error), ERROR_REFUSED,
                   "not the one that the join token names");
    answer.authority = "nonsense";
    answer.authority_size = strlen(answer.authority);
    assert_refused(identity_accept(path, &answer, PLAY_NOW_MS, error), ERROR_INVALID, "no certificate");
    assert_false(exists(folder, "host/identity.pem"));
}

static void test_a_renewal_does_not_change_the_authority(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    AUTHORITY_AUTO other = play_authority(folder, "other");
    join(folder, authority, "web1", true);
    FREE_AUTO char *request = request_in(folder);
    FREE_AUTO char *pem = play_sign(other, request, "web1");
    assert_refused(accept_in(folder, pem, NULL, error), ERROR_REFUSED, "not signed by this authority");
    IDENTITY_AUTO identity = load_in(folder);
    assert_string_equal(identity_authority_pem(identity), authority_certificate(authority));
}

static void test_refuses_a_server_certificate_and_nonsense(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    FREE_AUTO char *request = request_in(folder);
    const char *root = authority_certificate(authority);
    assert_refused(accept_in(folder, "nonsense", authority, error), ERROR_INVALID, "no certificate");
    FREE_AUTO char *pem = play_sign(authority, request, "web1");
    assert_refused(accept_in(folder, pem, NULL, error), ERROR_SYSTEM, "identity.pem");
    CERTIFICATE_AUTO issuer = play_parse(root);
    CERTIFICATE_KEY_AUTO signer = play_private_key(folder, "ca/ca.key");
    CERTIFICATE_KEY_AUTO key = play_private_key(folder, "host/pending.key");
    FREE_AUTO char *server = play_forge(&(PlayForgery){.issuer = issuer,
                                                       .key = key,
                                                       .signer = signer,
                                                       .common_name = "web1",
                                                       .names = "DNS:web1,URI:upkeep://host/web1",
                                                       .usage = "serverAuth"});
    assert_refused(accept_in(folder, server, authority, error), ERROR_REFUSED, "not for a client");
    assert_false(exists(folder, "host/identity.pem"));
}

static void test_refuses_an_expired_certificate(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    FREE_AUTO char *request = request_in(folder);
    FREE_AUTO char *pem = play_sign(authority, request, "web1");
    char path[128];
    play_path(folder, "host", path);
    IdentityAnswer answer = {.certificate = pem,
                             .certificate_size = strlen(pem),
                             .authority = authority_certificate(authority),
                             .authority_size = strlen(authority_certificate(authority)),
                             .pin = authority_fingerprint(authority)};
    assert_refused(identity_accept(path, &answer, PLAY_NOW_MS + 91 * PLAY_DAY_MS, error), ERROR_REFUSED,
                   "has expired");
    assert_refused(identity_accept(path, &answer, PLAY_NOW_MS - PLAY_DAY_MS, error), ERROR_REFUSED,
                   "not valid yet");
}

static void test_the_same_answer_again_changes_nothing(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    FREE_AUTO char *request = request_in(folder);
    FREE_AUTO char *pem = play_sign(authority, request, "web1");
    assert_done(accept_in(folder, pem, authority, error));
    FREE_AUTO char *before = play_file(folder, "host/identity.pem");
    assert_int_equal(accept_in(folder, pem, authority, NULL), -1);
    FREE_AUTO char *after = play_file(folder, "host/identity.pem");
    assert_string_equal(before, after);
}

static void test_renews_after_two_thirds_of_its_life(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    join(folder, authority, "web1", true);
    IDENTITY_AUTO identity = load_in(folder);
    const CertificateHost *host = identity_host(identity);
    int64_t due_ms = host->not_before_ms + (host->not_after_ms - host->not_before_ms) / 3 * 2;
    assert_false(identity_should_renew(identity, PLAY_NOW_MS));
    assert_false(identity_should_renew(identity, due_ms - 1));
    assert_true(identity_should_renew(identity, due_ms));
    assert_true(identity_should_renew(identity, host->not_after_ms + PLAY_DAY_MS));
}

static void test_a_renewal_has_a_new_key(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    join(folder, authority, "web1", true);
    IDENTITY_AUTO old = load_in(folder);
    join(folder, authority, "web1", false);
    IDENTITY_AUTO new = load_in(folder);
    assert_string_not_equal(identity_key_pem(old), identity_key_pem(new));
    assert_string_not_equal(identity_host(old)->serial, identity_host(new)->serial);
    assert_string_equal(identity_authority_pem(old), identity_authority_pem(new));
    FREE_AUTO char *file = play_file(folder, "host/identity.pem");
    assert_null(strstr(file, identity_key_pem(old)));
}

static void test_refuses_a_damaged_identity(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    join(folder, authority, "web1", true);
    FREE_AUTO char *good = play_file(folder, "host/identity.pem");
    char path[128];
    play_path(folder, "host", path);
    int fd = openat(folder->fd, "host/identity.pem", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t size = strlen(good) - 2; size < strlen(good); size -= 16) { /* until it wraps around 0 */
        Identity *none = NULL;
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
        assert_int_equal(identity_load(path, &none, NULL), -1);
        assert_null(none);
    }
    assert_int_equal(ERR_peek_error(), 0);
    close(fd);
}

static void test_refuses_parts_that_do_not_fit(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    AUTHORITY_AUTO other = play_authority(folder, "other");
    join(folder, authority, "web1", true);
    IDENTITY_AUTO good = load_in(folder);
    FREE_AUTO char *stranger = play_host(authority, "web1");
    CERTIFICATE_KEY_AUTO key = play_key();
    char *key_pem = certificate_key_text(key), path[128];
    const char *const parts[][3] = {
        {key_pem, identity_certificate_pem(good), identity_authority_pem(good)},
        {identity_key_pem(good), stranger, identity_authority_pem(good)},
        {identity_key_pem(good), identity_certificate_pem(good), authority_certificate(other)},
        {identity_key_pem(good), identity_authority_pem(good), identity_certificate_pem(good)},
        {identity_key_pem(good), identity_certificate_pem(good), ""},
        {"", identity_certificate_pem(good), identity_authority_pem(good)},
    };
    play_path(folder, "host", path);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        BUFFER_AUTO text = {0};
        Identity *none = NULL;
        for (size_t j = 0; j < 3; j++) buffer_text_append(&text, parts[i][j]);
        sample_write(folder->fd, "host/identity.pem", text.data, text.size);
        assert_refused(identity_load(path, &none, error), i < 4 ? ERROR_REFUSED : ERROR_INVALID,
                       "identity.pem");
    }
    certificate_secret_free(key_pem);
}

/* ---- Crashes ---- */

static void test_a_crash_before_the_first_answer_leaves_a_request_to_repeat(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    assert_int_equal(mkdirat(folder->fd, "host", 0700), 0);
    sample_text(folder->fd, "host/.pending.key.abcdefgh~", "half a k"); /* killed while it was written */
    free(request_in(folder));
    assert_false(exists(folder, "host/.pending.key.abcdefgh~"));
    join(folder, authority, "web1", true);
    identity_free(load_in(folder));
}

static void test_a_crash_while_renewing_leaves_the_old_pair(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    join(folder, authority, "web1", true);
    IDENTITY_AUTO old = load_in(folder);
    sample_text(folder->fd, "host/.pending.key.abcdefgh~", "half a k"); /* killed while it was written */
    IDENTITY_AUTO first = load_in(folder);
    assert_string_equal(identity_key_pem(old), identity_key_pem(first));
    free(request_in(folder)); /* killed before the answer */
    IDENTITY_AUTO second = load_in(folder);
    assert_string_equal(identity_key_pem(old), identity_key_pem(second));
    sample_text(folder->fd, "host/.identity.pem.abcdefgh~", "half a p"); /* killed before the switch */
    IDENTITY_AUTO third = load_in(folder);
    assert_string_equal(identity_key_pem(old), identity_key_pem(third));
    join(folder, authority, "web1", false);
    IDENTITY_AUTO new = load_in(folder);
    assert_string_not_equal(identity_key_pem(old), identity_key_pem(new));
    assert_false(exists(folder, "host/.identity.pem.abcdefgh~"));
}

static void test_a_crash_after_the_switch_leaves_the_new_pair(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    join(folder, authority, "web1", true);
    FREE_AUTO char *request = request_in(folder);
    assert_int_equal(linkat(folder->fd, "host/pending.key", folder->fd, "host/kept", 0), 0);
    FREE_AUTO char *pem = play_sign(authority, request, "web1");
    assert_done(accept_in(folder, pem, NULL, error));
    assert_int_equal(renameat(folder->fd, "host/kept", folder->fd, "host/pending.key"), 0);
    IDENTITY_AUTO new = load_in(folder);
    FREE_AUTO char *pending = play_file(folder, "host/pending.key");
    assert_string_equal(pending, identity_key_pem(new));
    join(folder, authority, "web1", false); /* what was left behind is no new key */
    IDENTITY_AUTO newer = load_in(folder);
    assert_string_not_equal(identity_key_pem(new), identity_key_pem(newer));
}

static void test_killed_at_any_moment_it_has_a_pair(void **state) {
    TestFolder *folder = *state;
    AUTHORITY_AUTO authority = play_authority(folder, "ca");
    join(folder, authority, "web1", true);
    for (int i = 0; i < 40; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (;;) join(folder, authority, "web1", false);
        }
        usleep((useconds_t)(i * 397 % 9000)); /* any moment will do */
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        identity_free(load_in(folder));
    }
    join(folder, authority, "web1", false);
    assert_false(exists(folder, "host/pending.key"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_joins_and_loads),
        test_in_folder(test_keys_are_for_their_owner_alone),
        test_in_folder(test_refuses_keys_that_others_may_read),
        test_in_folder(test_refuses_a_folder_that_others_may_write),
        test_in_folder(test_says_that_a_host_has_not_joined),
        test_in_folder(test_asks_again_for_the_same_key),
        test_in_folder(test_refuses_a_certificate_of_another_key),
        test_in_folder(test_refuses_a_certificate_of_another_authority),
        test_in_folder(test_refuses_an_authority_that_is_not_pinned),
        test_in_folder(test_a_renewal_does_not_change_the_authority),
        test_in_folder(test_refuses_a_server_certificate_and_nonsense),
        test_in_folder(test_refuses_an_expired_certificate),
        test_in_folder(test_the_same_answer_again_changes_nothing),
        test_in_folder(test_renews_after_two_thirds_of_its_life),
        test_in_folder(test_a_renewal_has_a_new_key),
        test_in_folder(test_refuses_a_damaged_identity),
        test_in_folder(test_refuses_parts_that_do_not_fit),
        test_in_folder(test_a_crash_before_the_first_answer_leaves_a_request_to_repeat),
        test_in_folder(test_a_crash_while_renewing_leaves_the_old_pair),
        test_in_folder(test_a_crash_after_the_switch_leaves_the_new_pair),
        test_in_folder(test_killed_at_any_moment_it_has_a_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
