#include "wire/http.h"
#include "base/cleanup.h"
#include "wire/transfer.h"
#include <stdlib.h>
#include <string.h>

typedef struct Exchange {
    HttpResponse response;
    size_t body_max;
    size_t header_bytes;
} Exchange;

static size_t on_header(char *bytes, size_t one, size_t size, void *context) {
    (void)bytes, (void)one;
    Exchange *exchange = context;
    exchange->header_bytes += size;
    return exchange->header_bytes <= HTTP_HEADERS_MAX ? size : 0; /* 0: CURLE_WRITE_ERROR */
}

static size_t on_body(char *bytes, size_t one, size_t size, void *context) {
    (void)one;
    Exchange *exchange = context;
    size_t room = exchange->body_max - exchange->response.body.size;
    buffer_append(&exchange->response.body, bytes, size < room ? size : room);
    if (size <= room) return size;
    exchange->response.cut = true;
    return 0; /* enough: ends the transfer */
}

/* The URL as errors may show it: no user name, password, query or fragment. Caller frees; NULL when it is
 * none or neither http nor https. */
static char *url_for_people(const char *url) {
    CURLU *parts = curl_url();
    char *scheme = NULL, *text = NULL, *copy = NULL;
    if (!parts) abort();
    if (curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0)) {
        curl_url_set(parts, CURLUPART_USER, NULL, 0);
        curl_url_set(parts, CURLUPART_PASSWORD, NULL, 0);
        curl_url_set(parts, CURLUPART_QUERY, NULL, 0);
        curl_url_set(parts, CURLUPART_FRAGMENT, NULL, 0);
        if (curl_url_get(parts, CURLUPART_URL, &text, 0) == CURLUE_OK) copy = strdup(text);
    }
    curl_free(scheme);
    curl_free(text);
    curl_url_cleanup(parts);
    return copy;
}

static int perform(const HttpRequest *request, const char *shown, Exchange *exchange, Error *error) {
    int64_t timeout_ms = request->timeout_ms ? request->timeout_ms : HTTP_TIMEOUT_MS;
    TRANSFER_AUTO handle = transfer_new(timeout_ms, request->cancel);
    curl_easy_setopt(handle, CURLOPT_URL, request->url);
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, exchange);
    CURLcode code = curl_easy_perform(handle);
    if (code != CURLE_OK && !exchange->response.cut) {
        transfer_error(handle, code, timeout_ms, error);
        return error_prefix(error, "cannot get %s", shown);
    }
    long status = 0;
    curl_off_t total_us = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(handle, CURLINFO_TOTAL_TIME_T, &total_us);
    exchange->response.status = (int)status;
    exchange->response.latency_ms = total_us / 1000;
    return 0;
}

int http_get(const HttpRequest *request, HttpResponse *out, Error *error) {
    FREE_AUTO char *shown = url_for_people(request->url);
    if (!shown)
        return error_set(error, ERROR_INVALID,
                         "only http:// and https:// URLs can be asked, and this is none");
    Exchange exchange = {.body_max = request->body_max ? request->body_max : HTTP_BODY_MAX};
    if (perform(request, shown, &exchange, error) < 0) {
        http_response_free(&exchange.response);
        return -1;
    }
    *out = exchange.response;
    return 0;
}

void http_response_free(HttpResponse *response) { buffer_free(&response->body); }
