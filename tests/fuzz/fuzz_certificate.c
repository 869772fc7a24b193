/* Any bytes as a certificate of a host, a request for one, and a private key: refused, or it says what it
 * may. The authority is the certificate itself: so the names and times in it are read as well. */
#include "base/cleanup.h"
#include "trust/certificate.h"
#include <assert.h>
#include <openssl/err.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_certificate(const uint8_t *data, size_t size) {
    CERTIFICATE_AUTO certificate = NULL;
    CERTIFICATE_AUTO again = NULL;
    CertificateHost host;
    char serial[CERTIFICATE_SERIAL_SIZE];
    int64_t before_ms = 0, after_ms = 0;
    if (certificate_parse(data, size, &certificate, NULL) < 0) return;
    if (certificate_serial(certificate, serial) == 0) assert(certificate_is_serial(serial));
    certificate_times(certificate, &before_ms, &after_ms);
    if (certificate_verify_host(certificate, certificate, before_ms, &host, NULL) == 0)
        assert(certificate_is_host_name(host.name));
    FREE_AUTO char *text = certificate_text(certificate);
    if (strlen(text) > CERTIFICATE_PEM_MAX) return; /* a large one in DER */
    assert(certificate_parse(text, strlen(text), &again, NULL) == 0);
    Digest one = certificate_fingerprint(certificate), two = certificate_fingerprint(again);
    assert(digest_equal(&one, &two));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CERTIFICATE_KEY_AUTO private = NULL;
    CERTIFICATE_KEY_AUTO public = NULL;
    as_certificate(data, size);
    if (certificate_request_key((const char *)data, size, &public, NULL) == 0)
        assert(certificate_key_check(public, NULL) == 0);
    /* OpenSSL takes milliseconds to look for a key where there is none. */
    if (memmem(data, size, "PRIVATE KEY", 11) &&
        certificate_key_parse((const char *)data, size, &private, NULL) == 0)
        assert(certificate_key_check(private, NULL) == 0);
    assert(ERR_peek_error() == 0);
    return 0;
}
