#include "wire/transfer.h"
#include "base/quantity.h"
#include "base/text.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* Message ids stand in a table; they have no conversions. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

static void initialise(void) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) abort();
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to sockets that the other side may have closed */
}

static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t upload, curl_off_t sent) {
    (void)total, (void)now, (void)upload, (void)sent;
    const atomic_bool *cancel = context;
    return cancel && atomic_load(cancel);
}

CURL *transfer_new(int64_t timeout_ms, const atomic_bool *cancel) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialise);
    CURL *handle = curl_easy_init();
    if (!handle) abort();
    transfer_reset(handle, timeout_ms, cancel);
    return handle;
}

void transfer_reset(CURL *handle, int64_t timeout_ms, const atomic_bool *cancel) {
    curl_easy_reset(handle);
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_PROXY, "");
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(handle, CURLOPT_QUICK_EXIT, 1L); /* a name server that does not answer holds up nobody */
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "upkeep");
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(handle, CURLOPT_XFERINFODATA, (void *)cancel);
    curl_easy_setopt(handle, CURLOPT_NOPROGRESS, cancel ? 0L : 1L);
}

typedef struct Reason {
    CURLcode code;
    ErrorKind kind;
    const char *text;
} Reason;

static const Reason reasons[] = {
    {CURLE_URL_MALFORMAT, ERROR_INVALID, TEXT("this is not a usable URL")},
    {CURLE_COULDNT_RESOLVE_HOST, ERROR_SYSTEM, TEXT("the host name is not known")},
    {CURLE_GOT_NOTHING, ERROR_SYSTEM, TEXT("the connection was closed without an answer")},
    {CURLE_PARTIAL_FILE, ERROR_SYSTEM, TEXT("the answer broke off")},
    {CURLE_RECV_ERROR, ERROR_SYSTEM, TEXT("the answer broke off")},
    {CURLE_SEND_ERROR, ERROR_SYSTEM, TEXT("the connection broke while asking")},
    {CURLE_UNSUPPORTED_PROTOCOL, ERROR_SYSTEM, TEXT("the answer is not HTTP")},
    {CURLE_WEIRD_SERVER_REPLY, ERROR_SYSTEM, TEXT("the answer is not HTTP")},
    {CURLE_WRITE_ERROR, ERROR_SYSTEM, TEXT("the answer's headers are too large")},
    {CURLE_SSL_CONNECT_ERROR, ERROR_SYSTEM, TEXT("the TLS handshake failed")},
    {CURLE_ABORTED_BY_CALLBACK, ERROR_INTERRUPTED, TEXT("stopped on request")},
};

int transfer_error(CURL *handle, CURLcode code, int64_t timeout_ms, Error *error) {
    char limit[QUANTITY_TEXT_SIZE];
    if (code == CURLE_OPERATION_TIMEDOUT)
        return error_set(error, ERROR_SYSTEM, "no complete answer within %s",
                         quantity_duration_text(timeout_ms, limit));
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
        long verified = 0;
        curl_easy_getinfo(handle, CURLINFO_SSL_VERIFYRESULT, &verified);
        return error_set(error, ERROR_SYSTEM, "the server's certificate is not trusted (X.509 code %ld)",
                         verified);
    }
    if (code == CURLE_COULDNT_CONNECT) {
        long number = 0;
        curl_easy_getinfo(handle, CURLINFO_OS_ERRNO, &number);
        return error_errno(error, ERROR_SYSTEM, number ? (int)number : ECONNREFUSED, "cannot connect");
    }
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].code == code) return error_set(error, reasons[i].kind, reasons[i].text);
    return error_set(error, ERROR_SYSTEM, "%s", curl_easy_strerror(code));
}
