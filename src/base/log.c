#include "base/log.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include <string.h>
#include <unistd.h>

static bool json_lines;
static LogLevel least_level = LOG_LEVEL_INFO;

static const char *const level_texts[] = {"debug", "info", "warning", "error"};

void log_begin(bool as_json, LogLevel least) {
    json_lines = as_json;
    least_level = least;
}

/* Could a reader not tell its end, or a terminal be steered by it? */
static bool needs_quotes(const char *text) {
    if (!*text) return true;
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at <= ' ' || strchr("\"\\=", *at)) return true;
    return false;
}

static void append_field(Buffer *line, const char *key, const json_t *value) {
    const char *text = json_string_value(value);
    if (text && !needs_quotes(text)) {
        buffer_printf(line, " %s=%s", key, text);
        return;
    }
    FREE_AUTO char *quoted = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    buffer_printf(line, " %s=%s", key, quoted ? quoted : "null");
}

static void write_text(const char *time, const char *level, const char *event, const json_t *fields) {
    BUFFER_AUTO line = {0};
    const char *key;
    json_t *value;
    buffer_printf(&line, "%s %s %s", time, level, event);
    json_object_foreach((json_t *)fields, key, value) append_field(&line, key, value);
    buffer_text_append(&line, "\n");
    file_write_all(STDERR_FILENO, line.data, line.size, NULL);
}

static void write_json(const char *time, const char *level, const char *event, const json_t *fields) {
    BUFFER_AUTO line = {0};
    JSON_AUTO row = json_object();
    if (fields) json_object_update(row, (json_t *)fields);
    json_set_text(row, "time", time);
    json_set_text(row, "level", level);
    json_set_text(row, "event", event);
    FREE_AUTO char *text = json_text(row);
    buffer_printf(&line, "%s\n", text);
    file_write_all(STDERR_FILENO, line.data, line.size, NULL);
}

void log_event(LogLevel level, const char *event, json_t *fields) {
    JSON_AUTO owned = fields;
    char time[CLOCK_TEXT_SIZE];
    if (level < least_level) return;
    clock_to_text(clock_wall_ms(clock_system()), time);
    (json_lines ? write_json : write_text)(time, level_texts[level], event, owned);
}

void log_text(LogLevel level, const char *event, const char *key, const char *value) {
    json_t *fields = json_object();
    json_set_text(fields, key, value);
    log_event(level, event, fields);
}

void log_failure(LogLevel level, const char *event, const Error *error, const char *key, const char *value) {
    json_t *fields = json_object();
    if (key) json_set_text(fields, key, value);
    json_set_text(fields, "error", error->en);
    log_event(level, event, fields);
}
