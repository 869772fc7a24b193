/* Version: comparing version texts, and ranges of them.
 *
 * Order (Semantic Versioning 2.0.0, clause 11, for any number of parts): numeric parts by number, missing
 * ones are 0, other parts by their bytes and after numbers; "-rc.1" comes before the release; "+build" does
 * not count. A leading "v" is passed over. A range is comparisons joined by blanks, all of which must hold:
 * ">=3.1 <4", "=2.0.1", "!=2.0.3"; a bare version means "=". Comparing with ">=18 <23" refuses 23.0.0-rc.1:
 * "<23" means before everything called 23.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

int version_compare(const char *a, const char *b); /* < 0, 0, > 0 */
bool version_range_valid(const char *range);
bool version_in_range(const char *version, const char *range); /* false for an invalid range */
/* The first thing in `text` that looks like a version (digits with a dot in them, else digits). */
bool version_find(const char *text, char *out, size_t size);
