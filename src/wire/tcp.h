/* Tcp: a connection to HOST:PORT, name lookup and connecting together bounded in time.
 *
 * HOST is a name, an IPv4 address or an IPv6 address in brackets; all its addresses are tried.
 * From the first use on the process ignores SIGPIPE. */
#pragma once
#include "base/error.h"
#include <stdatomic.h>
#include <stdint.h>

enum { TCP_HOST_SIZE = 256, TCP_TIMEOUT_MS = 10000 };

/* The two parts, without brackets; ERROR_INVALID when it is not of that form. */
int tcp_address_parse(const char *address, char host[static TCP_HOST_SIZE], int *out_port, Error *error);

/* A connected, non-blocking, close-on-exec socket; caller closes. `timeout_ms` 0: TCP_TIMEOUT_MS. */
int tcp_connect(const char *address, int64_t timeout_ms, const atomic_bool *cancel, int *out_fd,
                Error *error);
