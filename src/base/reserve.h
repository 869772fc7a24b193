/* Reserve: room set aside on a disk for the moment when it is full, so that what puts things back can still
 * write down what it does.
 *
 * Calling order: reserve_keep() while all is well; when a write fails, reserve_release() with its error, and
 * the write once more when that says true. Who begins the next piece of work keeps a new one.
 */
#pragma once
#include "base/error.h"
#include <stdbool.h>

enum { RESERVE_BYTES = 1024 * 1024 };

/* A file "reserve" in `dir`, really allocated; a no-op when there is one. ERROR_REFUSED when the disk has no
 * room for it. */
int reserve_keep(int dir, Error *error);
/* Give it up: true when `error` was for want of room and there was something to give up. */
bool reserve_release(int dir, const Error *error);
