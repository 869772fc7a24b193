/* Text: the languages people read, and the catalogue that turns English message ids into Chinese.
 *
 * The catalogue is compiled in from po/zh.po, so a program needs neither locale files nor an installed
 * system locale. Message ids are English format strings; their translations take the same arguments in the
 * same order (tests/house holds them to it).
 */
#pragma once

typedef enum Language { LANGUAGE_EN, LANGUAGE_ZH } Language;

/* Mark a string for the catalogue where it stands in a table. */
#define TEXT(id) (id)

/* The text of `id` in `language`; `id` itself where the catalogue has no entry. Static storage. */
const char *text_in(Language language, const char *id) __attribute__((format_arg(2)));

/* LANGUAGE_ZH when LC_ALL, LC_MESSAGES or LANG (first one set) begins with "zh", else LANGUAGE_EN. */
Language text_language_of_environment(void);
