/* Upstream: the line of one server in a configuration file of nginx, found and written anew.
 *
 *     server 10.0.0.11:8080 weight=100 max_fails=3;   # a comment
 *
 * Only "down", the value of "weight" and our own mark change; every other byte of the file stays. While the
 * weight is less than normal, the mark right behind the ";" says what is: "# upkeep: weight=100". Pure: no
 * I/O.
 */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct UpstreamServer {
    size_t start, end; /* of its line in the text, without the newline */
    bool down;
    int64_t weight;
    int64_t whole; /* its normal weight */
    size_t others; /* servers of the same block that are not down */
} UpstreamServer;

/* ERROR_INVALID unless exactly one line, with nothing else on it, is that server's. */
int upstream_find(const char *text, const char *server, UpstreamServer *out, Error *error);

/* The whole text with that line changed, appended to `out`. `weight` is at least 1. */
void upstream_write(const char *text, const UpstreamServer *found, bool down, int64_t weight, Buffer *out);
