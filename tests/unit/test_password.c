#include "support/sample.h"
#include "trust/password.h"

#include <argon2.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#define GOOD "correct horse battery staple"

/* ---- The library, with an ear at the door ---- */

static atomic_int verifications;
static char last_verified[PASSWORD_HASH_SIZE];
static atomic_bool is_held; /* then each that enters says so and waits */
static sem_t entered, go_on;

int argon2id_verify(const char *encoded, const void *password, size_t size) {
    int (*real)(const char *, const void *, size_t) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "argon2id_verify");
    assert_non_null(real);
    atomic_fetch_add(&verifications, 1);
    if (atomic_load(&is_held)) {
        sem_post(&entered);
        sem_wait(&go_on);
        return ARGON2_VERIFY_MISMATCH;
    }
    snprintf(last_verified, sizeof last_verified, "%s", encoded);
    return real(encoded, password, size);
}

static bool fits(const char *hash, const char *password) {
    bool is_good = false;
    assert_done(password_check(hash, password, &is_good, error));
    return is_good;
}

/* ---- Tests ---- */

static void test_knows_its_own_password_alone(void **state) {
    (void)state;
    char hash[PASSWORD_HASH_SIZE];
    assert_done(password_hash(GOOD, hash, error));
    assert_true(fits(hash, GOOD));
    assert_false(fits(hash, GOOD "r"));
    assert_false(fits(hash, "correct horse battery stapl"));
    assert_false(fits(hash, "correct horse battery staplf"));
    assert_false(fits(hash, "Correct horse battery staple"));
}

static void test_the_same_password_has_another_hash_each_time(void **state) {
    (void)state;
    char one[PASSWORD_HASH_SIZE], two[PASSWORD_HASH_SIZE];
    assert_done(password_hash(GOOD, one, error));
    assert_done(password_hash(GOOD, two, error));
    assert_string_not_equal(one, two);
    assert_int_equal(strlen(one), PASSWORD_HASH_SIZE - 1);
    assert_true(password_is_hash(one) && password_is_hash(two));
    assert_null(strstr(one, GOOD));
}

/* Computed by the library when asked for the very parameters of the header. */
static void test_is_argon2id_as_the_header_says(void **state) {
    (void)state;
    static const char salt[] = "0123456789abcdef";
    char encoded[PASSWORD_HASH_SIZE];
    assert_int_equal(
        argon2id_hash_encoded(3, 64 << 10, 1, GOOD, strlen(GOOD), salt, 16, 32, encoded, sizeof encoded),
        ARGON2_OK);
    assert_true(password_is_hash(encoded));
    assert_true(fits(encoded, GOOD));
}

static void test_passwords_have_a_length(void **state) {
    (void)state;
    char hash[PASSWORD_HASH_SIZE] = "untouched", text[PASSWORD_MAX + 2];
    memset(text, 'x', sizeof text);
    text[PASSWORD_MAX + 1] = '\0';
    assert_refused(password_hash(text, hash, error), ERROR_INVALID, "12 to 256 bytes");
    text[PASSWORD_MIN - 1] = '\0';
    assert_refused(password_hash(text, hash, error), ERROR_INVALID, "12 to 256 bytes");
    assert_refused(password_hash("", hash, error), ERROR_INVALID, "12 to 256 bytes");
    assert_string_equal(hash, "untouched");
    text[PASSWORD_MIN - 1] = 'x';
    text[PASSWORD_MAX] = '\0';
    assert_done(password_hash(text, hash, error));
    assert_true(fits(hash, text));
    text[PASSWORD_MAX - 1] = 'y'; /* the last byte counts */
    assert_false(fits(hash, text));
    text[PASSWORD_MIN] = '\0';
    assert_done(password_hash(text, hash, error));
}

static void test_any_bytes_will_do(void **state) {
    (void)state;
    static const char text[] = "\xe5\xaf\x86\xe7\xa0\x81 \xff\x01\n%s%n\\\"";
    char hash[PASSWORD_HASH_SIZE];
    assert_done(password_hash(text, hash, error));
    assert_true(fits(hash, text));
}

static void test_past_all_measure_costs_nothing(void **state) {
    (void)state;
    char text[PASSWORD_MAX + 2];
    memset(text, 'x', sizeof text);
    text[PASSWORD_MAX + 1] = '\0';
    int before = atomic_load(&verifications);
    assert_false(fits(NULL, text));
    assert_false(fits(NULL, ""));
    assert_int_equal(atomic_load(&verifications), before);
}

static void test_nobody_costs_as_much_as_somebody(void **state) {
    (void)state;
    char hash[PASSWORD_HASH_SIZE];
    assert_done(password_hash(GOOD, hash, error));
    int before = atomic_load(&verifications);
    assert_false(fits(NULL, GOOD));
    assert_int_equal(atomic_load(&verifications), before + 1);
    assert_true(password_is_hash(last_verified)); /* these parameters and no others */
}

static void test_refuses_other_hashes(void **state) {
    (void)state;
    char good[PASSWORD_HASH_SIZE], bad[PASSWORD_HASH_SIZE + 1];
    assert_done(password_hash(GOOD, good, error));
    static const char *const others[] = {
        "",
        "$argon2id$",
        "$argon2id$v=19$m=4194304,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=16$m=65536,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2i$v=19$m=65536,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=65536,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAB$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=65536,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_false(password_is_hash(others[i]));
    for (size_t i = 0; i < PASSWORD_HASH_SIZE - 1; i++) {
        memcpy(bad, good, PASSWORD_HASH_SIZE);
        bad[i] = '\0';
        assert_false(password_is_hash(bad));
        bad[i] = '!';
        assert_false(password_is_hash(bad));
    }
    snprintf(bad, sizeof bad, "%sA", good);
    assert_false(password_is_hash(bad));
}

static void *check_in_thread(void *nothing) {
    (void)nothing;
    bool is_good = true;
    bool is_no = password_check(NULL, GOOD, &is_good, NULL) == 0 && !is_good;
    return is_no ? (void *)&verifications : NULL;
}

static void test_a_flood_takes_no_more_memory(void **state) {
    (void)state;
    pthread_t threads[PASSWORD_AT_ONCE_MAX];
    assert_int_equal(sem_init(&entered, 0, 0) | sem_init(&go_on, 0, 0), 0);
    atomic_store(&is_held, true);
    for (size_t i = 0; i < PASSWORD_AT_ONCE_MAX; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, check_in_thread, NULL), 0);
    for (size_t i = 0; i < PASSWORD_AT_ONCE_MAX; i++) sem_wait(&entered);
    int before = atomic_load(&verifications);
    bool is_good = true;
    char hash[PASSWORD_HASH_SIZE] = "untouched";
    Error problem = {0};
    for (int i = 0; i < 100; i++) { /* and those refused leave no trace */
        assert_int_equal(password_check(NULL, GOOD, &is_good, &problem), -1);
        assert_int_equal(problem.kind, ERROR_REFUSED);
        assert_int_equal(problem.number, EBUSY);
        assert_true(is_good); /* untouched */
    }
    assert_refused(password_hash(GOOD, hash, error), ERROR_REFUSED, "others are being looked at");
    assert_string_equal(hash, "untouched");
    assert_int_equal(atomic_load(&verifications), before);
    atomic_store(&is_held, false);
    for (size_t i = 0; i < PASSWORD_AT_ONCE_MAX; i++) sem_post(&go_on);
    for (size_t i = 0; i < PASSWORD_AT_ONCE_MAX; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
    assert_false(fits(NULL, GOOD)); /* there is room again */
}

static void test_a_hash_that_cannot_be_read_is_an_error(void **state) {
    (void)state;
    bool is_good = true;
    assert_refused(password_check("$argon2id$v=19$nonsense", GOOD, &is_good, error), ERROR_SYSTEM,
                   "cannot check a password");
    assert_true(is_good); /* untouched */
    Error problem = {0};
    assert_int_equal(password_check("$argon2id$v=19$nonsense", GOOD, &is_good, &problem), -1);
    assert_null(strstr(problem.en, GOOD));
    assert_null(strstr(problem.zh, GOOD));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_knows_its_own_password_alone),
        cmocka_unit_test(test_the_same_password_has_another_hash_each_time),
        cmocka_unit_test(test_is_argon2id_as_the_header_says),
        cmocka_unit_test(test_passwords_have_a_length),
        cmocka_unit_test(test_any_bytes_will_do),
        cmocka_unit_test(test_past_all_measure_costs_nothing),
        cmocka_unit_test(test_nobody_costs_as_much_as_somebody),
        cmocka_unit_test(test_refuses_other_hashes),
        cmocka_unit_test(test_a_flood_takes_no_more_memory),
        cmocka_unit_test(test_a_hash_that_cannot_be_read_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
