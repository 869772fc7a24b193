/* Markup: is a text the HTML or Markdown it claims to be? Just enough to see a tag that does not close, a
 * bare ampersand, a table whose rows differ. */
#pragma once
#include "support/test.h"
#include <stdbool.h>
#include <string.h>

enum { MARKUP_DEPTH_MAX = 64, MARKUP_NAME_MAX = 32 };

typedef struct Markup {
    char open[MARKUP_DEPTH_MAX][MARKUP_NAME_MAX];
    int depth;
} Markup;

/* One tag, from behind its "<"; where it ends. */
static inline const char *markup_tag(Markup *markup, const char *at) {
    bool closing = *at == '/';
    at += closing;
    size_t length = strcspn(at, " />\n");
    const char *end = at + length;
    for (bool quoted = false; *end && (quoted || *end != '>'); end++) {
        if (*end == '"') quoted = !quoted;
        if (*end == '<') fail_msg("“<” in a tag: %.60s", at);
    }
    if (!*end || length == 0 || length >= MARKUP_NAME_MAX) fail_msg("not a tag: %.60s", at);
    if (closing) {
        const char *open = markup->depth ? markup->open[--markup->depth] : "";
        if (strlen(open) != length || strncmp(open, at, length) != 0)
            fail_msg("</%.*s> closes <%s>", (int)length, at, open);
    } else if (end[-1] != '/') {
        if (markup->depth == MARKUP_DEPTH_MAX) fail_msg("too deep: %.60s", at);
        memcpy(markup->open[markup->depth], at, length);
        markup->open[markup->depth++][length] = '\0';
    }
    return end + 1;
}

/* Every element closes where it should, and every ampersand begins an entity. */
static inline void assert_well_formed(const char *html) {
    static const char doctype[] = "<!DOCTYPE html>";
    Markup markup = {.depth = 0};
    if (strncmp(html, doctype, strlen(doctype)) == 0) html += strlen(doctype);
    while (*html) {
        if (*html == '<') {
            html = markup_tag(&markup, html + 1);
        } else if (*html++ == '&') {
            size_t length = strspn(html, "abcdefghijklmnopqrstuvwxyz#0123456789");
            if (length == 0 || html[length] != ';') fail_msg("a bare ampersand: %.40s", html - 1);
        } else if (html[-1] == '>') {
            fail_msg("a bare “>”: %.40s", html - 1);
        }
    }
    if (markup.depth) fail_msg("<%s> is not closed", markup.open[markup.depth - 1]);
}

/* Cells of one line of a table: bars that no backslash stands before. */
static inline int markup_bars(const char *line, size_t length) {
    int bars = 0;
    for (size_t i = 0; i < length; i++) {
        if (line[i] == '\\')
            i++;
        else
            bars += line[i] == '|';
    }
    return bars;
}

/* Lines of tables that follow each other have as many cells as the first of them. */
static inline void assert_tables_sound(const char *markdown) {
    int wanted = 0;
    bool code = false;
    for (const char *line = markdown; *line;) {
        size_t length = strcspn(line, "\n");
        if (strncmp(line, "```", 3) == 0) code = !code;
        int bars = !code && line[0] == '|' ? markup_bars(line, length) : 0;
        if (bars && wanted && bars != wanted)
            fail_msg("%d bars instead of %d: %.*s", bars, wanted, (int)length, line);
        wanted = bars;
        line += length + (line[length] == '\n');
    }
}
