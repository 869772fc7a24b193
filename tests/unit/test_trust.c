#include "base/cleanup.h"
#include "support/sample.h"
#include "trust/signature.h"
#include "trust/trust.h"

enum { KEYS = 3 };

/* Three pairs in a folder, and a document signed by some of them. */
typedef struct Signed {
    char private[KEYS][128], public[KEYS][128], id[KEYS][KEY_ID_SIZE];
    SignatureList list;
} Signed;

static const char document[] = "{\"a document\":true}\n";

static void prepare(const TestFolder *folder, Signed *out) {
    *out = (Signed){.list.count = 0};
    for (int i = 0; i < KEYS; i++) {
        char base[100];
        snprintf(base, sizeof base, "%s/k%d", folder->path, i);
        assert_done(key_create(base, out->id[i], error));
        snprintf(out->private[i], sizeof out->private[i], "%s.key", base);
        snprintf(out->public[i], sizeof out->public[i], "%s.pub", base);
    }
}

static void sign(Signed *is, int key) {
    KEY_AUTO private = NULL;
    assert_done(key_load_private(is->private[key], &private, error));
    assert_done(signature_list_add(&is->list, private, document, sizeof document - 1, error));
}

/* A Trust of the first `count` keys. */
static Trust *trust_of(const Signed *is, size_t count, int64_t threshold) {
    const char *paths[KEYS] = {is->public[0], is -> public[1], is -> public[2]};
    Trust *trust = NULL;
    assert_done(trust_load(paths, count, threshold, &trust, error));
    return trust;
}

static void test_accepts_enough_trusted_signatures(void **state) {
    Signed is;
    prepare(*state, &is);
    sign(&is, 0);
    sign(&is, 2);
    TRUST_AUTO trust = trust_of(&is, 3, 2);
    TrustReport report;
    assert_done(trust_verify(trust, &is.list, document, sizeof document - 1, &report, error));
    assert_int_equal(report.valid_count, 2);
}

static void test_reports_strangers_beside_enough_trusted(void **state) {
    Signed is;
    prepare(*state, &is);
    sign(&is, 0);
    sign(&is, 2);
    TRUST_AUTO trust = trust_of(&is, 1, 1);
    TrustReport report;
    assert_done(trust_verify(trust, &is.list, document, sizeof document - 1, &report, error));
    assert_int_equal(report.valid_count, 1);
    for (size_t i = 0; i < is.list.count; i++)
        assert_int_equal(report.valid[i], strcmp(is.list.items[i].key_id, is.id[0]) == 0);
}

static void test_refuses_the_unsigned(void **state) {
    Signed is;
    prepare(*state, &is);
    TRUST_AUTO trust = trust_of(&is, 1, 1);
    assert_refused(trust_verify(trust, &is.list, document, sizeof document - 1, NULL, error), ERROR_INVALID,
                   "not signed");
}

static void test_refuses_strangers_by_name(void **state) {
    Signed is;
    prepare(*state, &is);
    sign(&is, 2);
    TRUST_AUTO trust = trust_of(&is, 2, 1);
    assert_refused(trust_verify(trust, &is.list, document, sizeof document - 1, NULL, error), ERROR_INVALID,
                   is.id[2]);
}

static void test_refuses_too_few(void **state) {
    Signed is;
    prepare(*state, &is);
    sign(&is, 1);
    sign(&is, 1); /* the same key twice is one */
    TRUST_AUTO trust = trust_of(&is, 3, 2);
    assert_refused(trust_verify(trust, &is.list, document, sizeof document - 1, NULL, error), ERROR_INVALID,
                   "1 of the 2 signatures");
}

static void test_refuses_what_was_altered(void **state) {
    Signed is;
    prepare(*state, &is);
    sign(&is, 0);
    TRUST_AUTO trust = trust_of(&is, 1, 1);
    assert_refused(trust_verify(trust, &is.list, document, sizeof document - 2, NULL, error), ERROR_INVALID,
                   "does not fit");
    Signed other;
    TestFolder *folder = NULL;
    assert_int_equal(test_folder_setup((void **)&folder), 0);
    prepare(folder, &other);
    sign(&other, 0);
    memcpy(other.list.items[0].key_id, is.id[0], KEY_ID_SIZE); /* a stranger under a trusted name */
    assert_refused(trust_verify(trust, &other.list, document, sizeof document - 1, NULL, error),
                   ERROR_INVALID, "does not fit");
    assert_int_equal(test_folder_teardown((void **)&folder), 0);
}

static void test_refuses_thresholds_that_mean_nothing(void **state) {
    Signed is;
    prepare(*state, &is);
    const char *paths[] = {is.public[0], is.public[1], is.public[1]}; /* two different keys */
    Trust *none = NULL;
    static const int64_t thresholds[] = {0, -1, 3, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i++)
        assert_refused(trust_load(paths, 3, thresholds[i], &none, error), ERROR_INVALID, "with 2 different");
    assert_refused(trust_load(NULL, 0, 1, &none, error), ERROR_INVALID, "with 0 different");
}

static void test_the_list_is_the_same_in_whatever_order_they_sign(void **state) {
    Signed one, two;
    prepare(*state, &one);
    two = one;
    sign(&one, 0), sign(&one, 1), sign(&one, 2);
    sign(&two, 2), sign(&two, 0), sign(&two, 1), sign(&two, 0);
    FREE_AUTO char *first = signature_list_text(&one.list);
    FREE_AUTO char *second = signature_list_text(&two.list);
    assert_string_equal(first, second);
    SignatureList read;
    assert_done(signature_list_parse(first, strlen(first), &read, error));
    FREE_AUTO char *third = signature_list_text(&read);
    assert_string_equal(first, third);
    assert_int_equal(read.count, 3);
}

#define SIG "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
#define ONE "{\"algorithm\":\"ed25519\",\"key\":\"0123456789abcdef\",\"signature\":\"" SIG "\"}"

static void test_refuses_malformed_lists(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"signatures\":{}}",
        "{\"signatures\":[],\"more\":1}",
        "{\"signatures\":[1]}",
        "{\"signatures\":[{}]}",
        "{\"signatures\":[" ONE "," ONE "]}",
        "{\"signatures\":[{\"algorithm\":\"none\",\"key\":\"0123456789abcdef\",\"signature\":\"" SIG "\"}]}",
        "{\"signatures\":[{\"algorithm\":\"ed25519\",\"key\":\"0123456789ABCDEF\",\"signature\":\"" SIG
        "\"}]}",
        "{\"signatures\":[{\"algorithm\":\"ed25519\",\"key\":\"0123\",\"signature\":\"" SIG "\"}]}",
        "{\"signatures\":[{\"algorithm\":\"ed25519\",\"key\":\"0123456789abcdef\",\"signature\":\"AA==\"}]}",
        "{\"signatures\":[{\"algorithm\":\"ed25519\",\"key\":\"0123456789abcdef\",\"signature\":\"" SIG
        "\",\"x\":1}]}",
    };
    SignatureList list;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        Error error = {0};
        if (signature_list_parse(texts[i], strlen(texts[i]), &list, &error) == 0)
            fail_msg("accepts %s", texts[i]);
        assert_int_equal(error.kind, ERROR_INVALID);
    }
    static const char good[] = "{\"signatures\":[" ONE "]}";
    assert_done(signature_list_parse(good, sizeof good - 1, &list, error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_accepts_enough_trusted_signatures),
        test_in_folder(test_reports_strangers_beside_enough_trusted),
        test_in_folder(test_refuses_the_unsigned),
        test_in_folder(test_refuses_strangers_by_name),
        test_in_folder(test_refuses_too_few),
        test_in_folder(test_refuses_what_was_altered),
        test_in_folder(test_refuses_thresholds_that_mean_nothing),
        test_in_folder(test_the_list_is_the_same_in_whatever_order_they_sign),
        cmocka_unit_test(test_refuses_malformed_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
