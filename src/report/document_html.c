/* One self-contained HTML 5 file, which is well-formed XML as well: nothing is fetched, no script runs. */
#include "report/character.h"
#include "report/document.h"
#include "report/document_html_style.h"
#include <string.h>

static void put_lines(Buffer *out, const char *text) {
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        BUFFER_AUTO line = {0};
        buffer_append(&line, text, (size_t)(end - text));
        character_put_markup(out, buffer_text(&line));
        buffer_text_append(out, "<br/>");
    }
    character_put_markup(out, text);
}

static const char *tone_class(DocumentTone tone) {
    static const char *const classes[] = {"plain", "good", "bad", "warn", "quiet"};
    return classes[tone];
}

static void put_element(Buffer *out, const char *element, const char *text) {
    buffer_printf(out, "<%s>", element);
    put_lines(out, text);
    buffer_printf(out, "</%s>", element);
}

static void put_span(Buffer *out, const Span *span) {
    switch (span->style) {
    case SPAN_TEXT:
        if (span->tone == DOCUMENT_PLAIN) {
            put_lines(out, span->text);
            return;
        }
        buffer_printf(out, "<span class=\"%s\">", tone_class(span->tone));
        put_lines(out, span->text);
        buffer_text_append(out, "</span>");
        return;
    case SPAN_STRONG: put_element(out, "strong", span->text); return;
    case SPAN_CODE: put_element(out, "code", span->text); return;
    case SPAN_BADGE:
        buffer_printf(out, "<span class=\"badge %s\">", tone_class(span->tone));
        character_put_markup(out, span->text);
        buffer_text_append(out, "</span>");
        return;
    case SPAN_TIME:
        buffer_printf(out, "<time datetime=\"%s\" title=\"%s\">", span->utc, span->utc);
        character_put_markup(out, span->text);
        buffer_text_append(out, "</time>");
    }
}

static void put_cell(Buffer *out, const DocumentCell *cell, const char *element, const char *attributes) {
    buffer_printf(out, "<%s%s>", element, attributes);
    for (size_t i = 0; cell && i < cell->count; i++) put_span(out, &cell->spans[i]);
    buffer_printf(out, "</%s>", element);
}

static void put_facts(Buffer *out, const DocumentTable *table) {
    buffer_text_append(out, "<dl class=\"facts\">\n");
    for (const DocumentRow *row = table->first; row; row = row->next) {
        buffer_text_append(out, "<div>");
        put_cell(out, row->first, "dt", "");
        put_cell(out, row->first->next, "dd", "");
        buffer_text_append(out, "</div>\n");
    }
    buffer_text_append(out, "</dl>\n");
}

static void put_rows(Buffer *out, const DocumentTable *table) {
    for (const DocumentRow *row = table->first; row; row = row->next) {
        const DocumentCell *cell = row->first;
        buffer_printf(out, "<tr class=\"%s\">", tone_class(row->tone));
        for (size_t i = 0; i < table->column_count; i++, cell = cell ? cell->next : NULL) {
            const char *number = table->columns[i].number ? " class=\"number\"" : "";
            put_cell(out, cell, i ? "td" : "th", i ? number : " scope=\"row\"");
        }
        buffer_text_append(out, "</tr>\n");
    }
}

static void put_table(Buffer *out, const DocumentTable *table, DocumentKind kind) {
    buffer_printf(out, "<div class=\"scroll\"><table%s>\n",
                  kind == DOCUMENT_TIMELINE ? " class=\"timeline\"" : "");
    if (table->caption) put_element(out, "caption", table->caption);
    buffer_text_append(out, "<thead><tr>");
    for (size_t i = 0; i < table->column_count; i++) {
        buffer_printf(out, "<th scope=\"col\"%s>", table->columns[i].number ? " class=\"number\"" : "");
        character_put_markup(out, table->columns[i].title);
        buffer_text_append(out, "</th>");
    }
    buffer_text_append(out, "</tr></thead>\n<tbody>\n");
    put_rows(out, table);
    buffer_text_append(out, "</tbody></table></div>\n");
}

static void put_callout(Buffer *out, const DocumentBlock *block) {
    buffer_printf(out, "<div class=\"callout %s\">", tone_class(block->tone));
    put_element(out, "strong", block->title);
    if (block->text) put_element(out, "p", block->text);
    buffer_text_append(out, "</div>\n");
}

static void put_chart(Buffer *out, const DocumentBlock *block, unsigned number) {
    buffer_text_append(out, "<figure><figcaption>");
    character_put_markup(out, block->title);
    buffer_text_append(out, "</figcaption>");
    chart_svg(block->chart, number, out);
    if (block->text) put_element(out, "p", block->text);
    buffer_text_append(out, "</figure>\n");
}

static void put_command(Buffer *out, const DocumentBlock *block) {
    if (!block->command) return;
    buffer_text_append(out, " ");
    put_element(out, "code", block->command);
}

static void put_item(Buffer *out, const DocumentBlock *block, const DocumentBlock *before) {
    if (!before || before->kind != DOCUMENT_ITEM) buffer_text_append(out, "<ul>\n");
    buffer_printf(out, "<li class=\"%s\">", tone_class(block->tone));
    put_lines(out, block->text);
    put_command(out, block);
    buffer_text_append(out, "</li>\n");
    if (!block->next || block->next->kind != DOCUMENT_ITEM) buffer_text_append(out, "</ul>\n");
}

static void put_block(Buffer *out, const DocumentBlock *block, const DocumentBlock *before, unsigned number) {
    switch (block->kind) {
    case DOCUMENT_SECTION:
        buffer_printf(out, "<section aria-labelledby=\"s%u\">\n<h2 id=\"s%u\">", number, number);
        character_put_markup(out, block->title);
        buffer_text_append(out, "</h2>\n");
        break;
    case DOCUMENT_SUBSECTION: put_element(out, "h3", block->title); break;
    case DOCUMENT_PARAGRAPH:
        buffer_printf(out, "<p class=\"%s\">", tone_class(block->tone));
        put_lines(out, block->text);
        put_command(out, block);
        buffer_text_append(out, "</p>\n");
        break;
    case DOCUMENT_CALLOUT: put_callout(out, block); break;
    case DOCUMENT_ITEM: put_item(out, block, before); break;
    case DOCUMENT_FACTS: put_facts(out, block->table); break;
    case DOCUMENT_TIMELINE:
    case DOCUMENT_TABLE: put_table(out, block->table, block->kind); break;
    case DOCUMENT_CHART: put_chart(out, block, number); break;
    case DOCUMENT_CODE:
        buffer_text_append(out, "<details>");
        put_element(out, "summary", block->title);
        buffer_text_append(out, "<pre><code>");
        character_put_markup(out, block->text);
        buffer_text_append(out, "</code></pre></details>\n");
    }
}

static void put_contents(Buffer *out, const Document *document) {
    unsigned number = 0;
    buffer_printf(out, "<nav aria-label=\"%s\"><ol>\n", text_in(document->language, "Contents"));
    for (const DocumentBlock *block = document->first; block; block = block->next, number++) {
        if (block->kind != DOCUMENT_SECTION) continue;
        buffer_printf(out, "<li><a href=\"#s%u\">", number + 1);
        character_put_markup(out, block->title);
        buffer_text_append(out, "</a></li>\n");
    }
    buffer_text_append(out, "</ol></nav>\n");
}

static void put_head(Buffer *out, const Document *document) {
    const char *language = document->language == LANGUAGE_ZH ? "zh-CN" : "en";
    buffer_printf(
        out,
        "<!DOCTYPE html>\n<html lang=\"%s\" xml:lang=\"%s\" xmlns=\"http://www.w3.org/1999/xhtml\">\n"
        "<head><meta charset=\"utf-8\"/>\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
        "style-src 'unsafe-inline'\"/>\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
        "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
        "<meta name=\"generator\" content=\"Upkeep " UPKEEP_VERSION "\"/>\n",
        language, language);
    put_element(out, "title", document->title);
    buffer_printf(out, "\n<style>%s</style></head>\n<body><main>\n<header>", document_html_style);
    put_element(out, "h1", document->title);
    buffer_text_append(out, "</header>\n");
}

void document_to_html(const Document *document, Buffer *out) {
    const DocumentBlock *before = NULL;
    unsigned number = 0;
    bool section = false;
    put_head(out, document);
    for (const DocumentBlock *block = document->first; block; before = block, block = block->next) {
        if (block->kind == DOCUMENT_SECTION) {
            if (section)
                buffer_text_append(out, "</section>\n");
            else
                put_contents(out, document);
            section = true;
        }
        put_block(out, block, before, ++number);
    }
    if (section) buffer_text_append(out, "</section>\n");
    if (document->footer) put_element(out, "footer", document->footer);
    buffer_text_append(out, "\n</main></body></html>\n");
}
