/* Http: one GET, bounded in time and bytes.
 *
 * http and https only; certificates are verified; redirects are not followed; proxies of the environment are
 * not used (what is asked is whether *this* machine reaches the address); no connection is kept. Answers that
 * are not HTTP/1.x or 2, that break off, or that come too late are errors of kind ERROR_SYSTEM; URLs that
 * cannot be used are ERROR_INVALID. User names, passwords and query strings of a URL do not appear in errors.
 * From the first use on the process ignores SIGPIPE.
 */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct HttpRequest {
    const char *url;
    int64_t timeout_ms;        /* for the whole exchange, name lookup included; 0: HTTP_TIMEOUT_MS */
    size_t body_max;           /* bytes of the body that are read; 0: HTTP_BODY_MAX */
    const atomic_bool *cancel; /* may be NULL; when it turns true the exchange ends with ERROR_INTERRUPTED */
} HttpRequest;

enum { HTTP_TIMEOUT_MS = 10000, HTTP_BODY_MAX = 1 << 20, HTTP_HEADERS_MAX = 256 << 10 };

typedef struct HttpResponse {
    int status; /* 100–599 */
    Buffer body;
    bool cut; /* the body was longer than body_max; what is here is its beginning */
    int64_t latency_ms;
} HttpResponse;

/* Any status is a success here. Free with http_response_free. */
int http_get(const HttpRequest *request, HttpResponse *out, Error *error);
void http_response_free(HttpResponse *response);
#define HTTP_RESPONSE_AUTO __attribute__((cleanup(http_response_free))) HttpResponse
