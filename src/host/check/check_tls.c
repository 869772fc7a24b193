#include "host/check/check_tls.h"
#include "base/cleanup.h"
#include "base/quantity.h"
#include "wire/tcp.h"
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <time.h>

enum { TIMEOUT_MS = 10000, STEP_MS = 100 };

static void context_cleanup(SSL_CTX **context) { SSL_CTX_free(*context); }
static void connection_cleanup(SSL **connection) { SSL_free(*connection); }
#define SSL_CTX_AUTO __attribute__((cleanup(context_cleanup))) SSL_CTX
#define SSL_AUTO     __attribute__((cleanup(connection_cleanup))) SSL

/* OpenSSL's own words for what went wrong last. English only, as its documentation is. */
static const char *openssl_reason(void) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason ? reason : "closed by the other side";
}

static int load_trust(SSL_CTX *trust, const char *ca, Error *error) {
    int loaded =
        ca ? SSL_CTX_load_verify_locations(trust, ca, NULL) : SSL_CTX_set_default_verify_paths(trust);
    if (loaded == 1) return 0;
    return error_set(error, ERROR_INVALID, "cannot read the certificates in %s: %s", ca ? ca : "the system",
                     openssl_reason());
}

/* Who is expected there: verified by address where the host is one, else by name, which is also asked for
 * (SNI). */
static int expect_host(SSL *connection, const char *host, Error *error) {
    unsigned char binary[sizeof(struct in6_addr)];
    bool address = inet_pton(AF_INET, host, binary) == 1 || inet_pton(AF_INET6, host, binary) == 1;
    int good = address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection), host)
                       : SSL_set1_host(connection, host) && SSL_set_tlsext_host_name(connection, host);
    return good ? 0 : error_set(error, ERROR_INVALID, "%s cannot be the name of a TLS server", host);
}

/* Drive the handshake over the non-blocking socket. */
static int shake_hands(SSL *connection, int fd, const CheckContext *context, int64_t deadline_ms,
                       Error *error) {
    for (;;) {
        ERR_clear_error();
        int code = SSL_connect(connection);
        int wants = SSL_get_error(connection, code);
        if (code == 1) return 0;
        long verified = SSL_get_verify_result(connection);
        if (verified != X509_V_OK)
            return error_set(error, ERROR_SYSTEM, "the certificate is not trusted: %s",
                             X509_verify_cert_error_string(verified));
        if (wants != SSL_ERROR_WANT_READ && wants != SSL_ERROR_WANT_WRITE) {
            error_set(error, ERROR_SYSTEM, "the TLS handshake failed");
            return error_hint(error, "OpenSSL: %s", openssl_reason());
        }
        if (context->cancel && atomic_load(context->cancel))
            return error_set(error, ERROR_INTERRUPTED, "stopped on request");
        if (clock_steady_ms(clock_system()) >= deadline_ms)
            return error_set(error, ERROR_SYSTEM, "the TLS handshake did not end in time");
        struct pollfd ready = {.fd = fd, .events = wants == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT};
        poll(&ready, 1, STEP_MS);
    }
}

/* When the first certificate of the verified chain ends; 0 where that cannot be told. */
static int64_t chain_end_ms(SSL *connection) {
    STACK_OF(X509) *chain = SSL_get0_verified_chain(connection);
    int64_t first_ms = 0;
    for (int i = 0; chain && i < sk_X509_num(chain); i++) {
        struct tm parts = {0};
        if (!ASN1_TIME_to_tm(X509_get0_notAfter(sk_X509_value(chain, i)), &parts)) return 0;
        int64_t end_ms = (int64_t)timegm(&parts) * 1000;
        if (i == 0 || end_ms < first_ms) first_ms = end_ms;
    }
    return first_ms;
}

static void judge_end(const PlanTls *plan, int64_t end_ms, int64_t now_ms, Observation *out) {
    char date[CLOCK_TEXT_SIZE], wanted[QUANTITY_TEXT_SIZE];
    if (!end_ms) {
        error_set(&out->detail, ERROR_REFUSED, "%s does not say until when its certificate is valid",
                  plan->address);
        return;
    }
    clock_to_text(end_ms, date);
    out->verdict = end_ms - now_ms >= plan->valid_for_ms ? VERDICT_PASS : VERDICT_FAIL;
    error_set(&out->detail, ERROR_REFUSED, "the certificate of %s is valid until %s, %s needed",
              plan->address, date, quantity_duration_notation(plan->valid_for_ms, wanted));
}

static int connect_verified(const PlanTls *plan, const CheckContext *context, int64_t *end_ms, Error *error) {
    int64_t timeout_ms = plan->timeout_ms > 0 ? plan->timeout_ms : TIMEOUT_MS;
    int64_t deadline_ms = clock_steady_ms(clock_system()) + timeout_ms;
    char host[TCP_HOST_SIZE];
    int port;
    FD_AUTO fd = -1;
    if (tcp_address_parse(plan->address, host, &port, error) < 0) return -1;
    if (tcp_connect(plan->address, timeout_ms, context->cancel, &fd, error) < 0) return -1;
    SSL_CTX_AUTO *trust = SSL_CTX_new(TLS_client_method());
    if (!trust) return error_set(error, ERROR_SYSTEM, "cannot set up TLS: %s", openssl_reason());
    if (load_trust(trust, plan->ca, error) < 0) return -1;
    SSL_AUTO *connection = SSL_new(trust);
    if (!connection) return error_set(error, ERROR_SYSTEM, "cannot set up TLS: %s", openssl_reason());
    SSL_set_verify(connection, SSL_VERIFY_PEER, NULL);
    if (expect_host(connection, host, error) < 0) return -1;
    if (SSL_set_fd(connection, fd) != 1)
        return error_set(error, ERROR_SYSTEM, "cannot set up TLS: %s", openssl_reason());
    if (shake_hands(connection, fd, context, deadline_ms, error) < 0)
        return error_prefix(error, "%s", plan->address);
    *end_ms = chain_end_ms(connection);
    return 0;
}

void check_tls_run(const PlanTls *plan, const CheckContext *context, Observation *out) {
    int64_t end_ms = 0;
    if (connect_verified(plan, context, &end_ms, &out->detail) == 0)
        judge_end(plan, end_ms, clock_wall_ms(context->clock), out);
    else if (out->detail.kind == ERROR_SYSTEM)
        out->verdict = VERDICT_FAIL;
}
