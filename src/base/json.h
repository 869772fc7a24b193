/* Json: jansson, used one way everywhere.
 *
 * Text is read strictly (duplicate keys and deep nesting refused, UTF-8 checked) and written canonically:
 * sorted keys, no spaces, so equal documents have equal bytes and digests.
 */
#pragma once
#include "base/arena.h"
#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

static inline void json_cleanup(json_t **json) { json_decref(*json); }
#define JSON_AUTO __attribute__((cleanup(json_cleanup))) json_t *

/* `what` names the document in the error. A new reference in *out. Top level must be an object or array. */
int json_parse(const char *text, size_t size, const char *what, json_t **out, Error *error);
/* Canonical text; caller frees. Never NULL (aborts without memory). */
char *json_text(const json_t *json);
Digest json_digest(const json_t *json);

/* Readers with a default for what is missing or of another type. Strings are borrowed from `json`. */
const char *json_get_text(const json_t *json, const char *key, const char *fallback);
int64_t json_get_integer(const json_t *json, const char *key, int64_t fallback);
bool json_get_bool(const json_t *json, const char *key, bool fallback);
/* Set a string that may be NULL (then the key is left out) or not UTF-8 (then bad bytes become U+FFFD). */
void json_set_text(json_t *object, const char *key, const char *value);
void json_set_integer(json_t *object, const char *key, int64_t value);
void json_set_bool(json_t *object, const char *key, bool value);
/* As RFC 3339 (base/clock.h). */
void json_set_time(json_t *object, const char *key, int64_t wall_ms);
/* {"error", "error_zh", "kind"}: an error on its way to somebody else. */
void json_set_error(json_t *object, const Error *error);
/* And back. False, and `out` untouched: the object has none. `out` may be NULL. */
bool json_get_error(const json_t *object, Error *out);
/* For what strangers say and people will read: control characters in its strings become “?”, so that no
 * terminal obeys them. -1 when it is nested deeper than `depth`; it may be changed in part then. */
int json_disarm(json_t *json, int depth);
/* A string of any bytes, made valid UTF-8. New reference. */
json_t *json_safe_string(const char *bytes, size_t size);
