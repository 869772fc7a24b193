/* Log: what a program that runs for long tells whoever runs it, a line an event on standard error.
 *
 * A line has a time (RFC 3339, UTC), a level, the event's name ("order.taken") and fields; as text for eyes
 * and journald, or as one JSON object for ELK and the like. Events have names instead of sentences, so that
 * they can be counted and need no translation; what went wrong stands in the field "error". Secrets never
 * come here. Any thread; a line is written whole.
 */
#pragma once
#include "base/error.h"
#include <jansson.h>

typedef enum LogLevel { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR } LogLevel;

/* At most once, before other threads begin. Without it: text, from LOG_LEVEL_INFO on. */
void log_begin(bool as_json, LogLevel least);

/* `fields`: an object, taken over; NULL: none. */
void log_event(LogLevel level, const char *event, json_t *fields);
/* The same with the field "error", and one more where `key` is given. */
void log_failure(LogLevel level, const char *event, const Error *error, const char *key, const char *value);
/* With one text field. */
void log_text(LogLevel level, const char *event, const char *key, const char *value);
