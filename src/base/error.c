#include "base/error.h"
#include "base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

/* Take a character off the end that was cut in its middle (UTF-8, RFC 3629). */
static void trim(char text[ERROR_TEXT_MAX]) {
    size_t length = strlen(text), start = length;
    while (start > 0 && length - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) start--;
    if (start == 0) return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t whole = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (length - (start - 1) < whole) text[start - 1] = '\0';
}

/* Names in a text may be an attacker's: nothing in it shall command the terminal it is shown on (C0 and C1
 * control characters, the latter as UTF-8). */
static void disarm(char *text) {
    for (unsigned char *at = (unsigned char *)text; *at; at++) {
        bool is_c1 = at[0] == 0xC2 && at[1] >= 0x80 && at[1] <= 0x9F;
        if ((*at < ' ' && *at != '\n' && *at != '\t') || *at == 0x7F || is_c1) *at = '?';
        if (is_c1) *++at = '?';
    }
}

/* Translations take the same arguments in the same order, so one va_list serves each language in turn. */
static void format_both(char en[ERROR_TEXT_MAX], char zh[ERROR_TEXT_MAX], const char *format,
                        va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    vsnprintf(en, ERROR_TEXT_MAX, format, arguments);
    vsnprintf(zh, ERROR_TEXT_MAX, text_in(LANGUAGE_ZH, format), again);
    va_end(again);
    trim(en);
    trim(zh);
    disarm(en);
    disarm(zh);
}

/* target = first + separator + second, cut where it is too long. */
static void join(char target[ERROR_TEXT_MAX], const char *first, const char *separator, const char *second) {
    char joined[ERROR_TEXT_MAX] = "";
    size_t used = 0;
    const char *parts[] = {first, separator, second};
    for (size_t i = 0; i < 3; i++) {
        size_t length = strnlen(parts[i], ERROR_TEXT_MAX - 1 - used);
        memcpy(joined + used, parts[i], length);
        used += length;
    }
    joined[used] = '\0';
    trim(joined);
    memcpy(target, joined, ERROR_TEXT_MAX);
}

int error_set(Error *error, ErrorKind kind, const char *format, ...) {
    if (!error) return -1;
    va_list arguments;
    va_start(arguments, format);
    error->kind = kind;
    error->number = 0;
    format_both(error->en, error->zh, format, arguments);
    va_end(arguments);
    return -1;
}

int error_errno(Error *error, ErrorKind kind, int number, const char *format, ...) {
    if (!error) return -1;
    va_list arguments;
    va_start(arguments, format);
    error->kind = kind;
    error->number = number;
    format_both(error->en, error->zh, format, arguments);
    va_end(arguments);
    const char *reason = strerrordesc_np(number);
    if (!reason) reason = "unknown error";
    join(error->en, error->en, ": ", reason);
    join(error->zh, error->zh, "：", text_in(LANGUAGE_ZH, reason));
    return -1;
}

int error_prefix(Error *error, const char *format, ...) {
    if (!error) return -1;
    char en[ERROR_TEXT_MAX], zh[ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    format_both(en, zh, format, arguments);
    va_end(arguments);
    join(error->en, en, ": ", error->en);
    join(error->zh, zh, "：", error->zh);
    return -1;
}

int error_hint(Error *error, const char *format, ...) {
    if (!error) return -1;
    char en[ERROR_TEXT_MAX], zh[ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    format_both(en, zh, format, arguments);
    va_end(arguments);
    join(error->en, error->en, "; ", en);
    join(error->zh, error->zh, "；", zh);
    return -1;
}

int error_exit_status(ErrorKind kind) {
    switch (kind) {
    case ERROR_NONE: return 0;
    case ERROR_SYSTEM: return 1;
    case ERROR_INVALID: return 2;
    case ERROR_REFUSED: return 3;
    case ERROR_FAILED: return 4;
    case ERROR_ATTENTION: return 5;
    case ERROR_INTERRUPTED: return 130;
    }
    return 1;
}
