#include "base/json.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int json_parse(const char *text, size_t size, const char *what, json_t **out, Error *error) {
    json_error_t problem;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
    if (!json)
        return error_set(error, ERROR_INVALID, "%s is not valid JSON: line %d, column %d: %s", what,
                         problem.line, problem.column, problem.text);
    *out = json;
    return 0;
}

char *json_text(const json_t *json) {
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    if (!text) abort();
    return text;
}

Digest json_digest(const json_t *json) {
    FREE_AUTO char *text = json_text(json);
    return digest_of(text, strlen(text));
}

const char *json_get_text(const json_t *json, const char *key, const char *fallback) {
    const json_t *value = json_object_get(json, key);
    return json_is_string(value) ? json_string_value(value) : fallback;
}

int64_t json_get_integer(const json_t *json, const char *key, int64_t fallback) {
    const json_t *value = json_object_get(json, key);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool json_get_bool(const json_t *json, const char *key, bool fallback) {
    const json_t *value = json_object_get(json, key);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

/* Length of the UTF-8 sequence at `at` (RFC 3629), or 0 when it is none. */
static size_t sequence_length(const unsigned char *at, size_t left) {
    if (at[0] < 0x80) return 1;
    size_t length = at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    if (at[0] < 0xC2 || at[0] > 0xF4 || length > left) return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xC0) != 0x80) return 0;
    if (at[0] == 0xE0 && at[1] < 0xA0) return 0;
    if (at[0] == 0xED && at[1] > 0x9F) return 0; /* surrogates */
    if (at[0] == 0xF0 && at[1] < 0x90) return 0;
    if (at[0] == 0xF4 && at[1] > 0x8F) return 0;
    return length;
}

json_t *json_safe_string(const char *bytes, size_t size) {
    BUFFER_AUTO text = {0};
    json_t *as_it_is = memchr(bytes, '\0', size) ? NULL : json_stringn(bytes, size);
    if (as_it_is) return as_it_is; /* nearly always */
    for (size_t i = 0; i < size;) {
        size_t length = sequence_length((const unsigned char *)bytes + i, size - i);
        if (length && bytes[i])
            buffer_append(&text, bytes + i, length);
        else
            buffer_append(&text, "\xEF\xBF\xBD", 3);
        i += length ? length : 1;
    }
    json_t *string = json_stringn(buffer_text(&text), text.size);
    if (!string) abort();
    return string;
}

static void set_new(json_t *object, const char *key, json_t *value) {
    if (!value || json_object_set_new(object, key, value) != 0) abort();
}

void json_set_text(json_t *object, const char *key, const char *value) {
    if (value) set_new(object, key, json_safe_string(value, strlen(value)));
}

void json_set_integer(json_t *object, const char *key, int64_t value) {
    set_new(object, key, json_integer(value));
}

void json_set_bool(json_t *object, const char *key, bool value) { set_new(object, key, json_boolean(value)); }

/* ASCII's control characters and those of ISO 6429 that UTF-8 begins with 0xC2. */
static bool disarm_text(char *text) {
    bool changed = false;
    for (unsigned char *byte = (unsigned char *)text; *byte; byte++) {
        bool c1 = byte[0] == 0xC2 && byte[1] >= 0x80 && byte[1] < 0xA0;
        if (*byte >= ' ' && *byte != 0x7F && !c1) continue;
        if (c1) *byte++ = '?';
        *byte = '?';
        changed = true;
    }
    return changed;
}

static int disarm_string(json_t *json) {
    FREE_AUTO char *text = strdup(json_string_value(json));
    if (!text) abort();
    return disarm_text(text) ? json_string_set(json, text) : 0;
}

int json_disarm(json_t *json, int depth) {
    const char *key;
    json_t *value;
    size_t index;
    if (json_is_string(json)) return disarm_string(json);
    if (!json_is_object(json) && !json_is_array(json)) return 0;
    if (depth <= 0) return -1;
    json_object_foreach(json, key, value) {
        if (json_disarm(value, depth - 1) < 0) return -1;
    }
    json_array_foreach(json, index, value) {
        if (json_disarm(value, depth - 1) < 0) return -1;
    }
    return 0;
}

void json_set_time(json_t *object, const char *key, int64_t wall_ms) {
    char text[CLOCK_TEXT_SIZE];
    clock_to_text(wall_ms, text);
    json_set_text(object, key, text);
}

/* ---- errors */

static const char *const kinds[] = {"none",   "system",    "invalid",    "refused",
                                    "failed", "attention", "interrupted"};

void json_set_error(json_t *object, const Error *error) {
    json_set_text(object, "error", error->en);
    json_set_text(object, "error_zh", error->zh);
    json_set_text(object, "kind", kinds[error->kind]);
}

bool json_get_error(const json_t *object, Error *out) {
    const char *en = json_get_text(object, "error", NULL), *kind = json_get_text(object, "kind", "");
    ErrorKind found = ERROR_SYSTEM;
    if (!en) return false;
    for (size_t i = ERROR_SYSTEM; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i], kind) == 0) found = (ErrorKind)i;
    error_set(out, found, "%s", en);
    if (out) snprintf(out->zh, sizeof out->zh, "%s", json_get_text(object, "error_zh", en));
    return true;
}
