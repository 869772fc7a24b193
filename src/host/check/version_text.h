/* VersionText: the version in what a program printed. */
#pragma once
#include "base/error.h"
#include <stddef.h>

enum { VERSION_TEXT_SIZE = 128 };

/* With `regex` (POSIX extended, line by line: ^ and $ are those of a line): its first group, or the whole
 * match where it has none. NULL: the first thing that looks like a version. ERROR_INVALID for a regex that is
 * none, ERROR_FAILED where nothing was found or what was found is no version (over 127 bytes, or with blanks
 * or control characters in it). */
int version_text_find(const char *output, const char *regex, char version[static VERSION_TEXT_SIZE],
                      Error *error);
/* The checks alone, for a version that came another way; surrounding blanks are left out. */
int version_text_take(const char *text, size_t size, char version[static VERSION_TEXT_SIZE], Error *error);
