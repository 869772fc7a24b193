#include "support/test.h"
#include "wire/transfer.h"
#include <errno.h>
#include <string.h>

static void check_said(CURLcode code, ErrorKind kind, const char *text) {
    Error error = {0};
    TRANSFER_AUTO handle = transfer_new(1500, NULL);
    assert_int_equal(transfer_error(handle, code, 1500, &error), -1);
    assert_int_equal(error.kind, kind);
    assert_string_equal(error.en, text);
}

static void test_says_in_its_own_words_what_went_wrong(void **state) {
    (void)state;
    check_said(CURLE_COULDNT_RESOLVE_HOST, ERROR_SYSTEM, "the host name is not known");
    check_said(CURLE_OPERATION_TIMEDOUT, ERROR_SYSTEM, "no complete answer within 1.5 s");
    check_said(CURLE_PEER_FAILED_VERIFICATION, ERROR_SYSTEM,
               "the server's certificate is not trusted (X.509 code 0)");
    check_said(CURLE_COULDNT_CONNECT, ERROR_SYSTEM, "cannot connect: Connection refused");
    check_said(CURLE_ABORTED_BY_CALLBACK, ERROR_INTERRUPTED, "stopped on request");
}

static void test_other_codes_are_said_in_the_words_of_the_library(void **state) {
    (void)state;
    check_said(CURLE_HTTP2, ERROR_SYSTEM, curl_easy_strerror(CURLE_HTTP2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_in_its_own_words_what_went_wrong),
        cmocka_unit_test(test_other_codes_are_said_in_the_words_of_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
