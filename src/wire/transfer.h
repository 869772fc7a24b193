/* Transfer: what all uses of libcurl here have in common. Private to wire/. */
#pragma once
#include "base/error.h"
#include <curl/curl.h>
#include <stdatomic.h>
#include <stdint.h>

/* A handle with our defaults: http and https only, no signals, no proxy, no redirects, `timeout_ms`
 * for everything. Caller calls curl_easy_cleanup. `cancel` may be NULL. */
CURL *transfer_new(int64_t timeout_ms, const atomic_bool *cancel);
/* Forget what was set and begin anew with our defaults; open connections are kept for reuse. */
void transfer_reset(CURL *handle, int64_t timeout_ms, const atomic_bool *cancel);

/* Why it failed: "<reason>", to be prefixed by who knows what was being done. Returns -1. */
int transfer_error(CURL *handle, CURLcode code, int64_t timeout_ms, Error *error);

static inline void transfer_cleanup(CURL **handle) { curl_easy_cleanup(*handle); }
#define TRANSFER_AUTO __attribute__((cleanup(transfer_cleanup))) CURL *
