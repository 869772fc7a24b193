/* The Markdown that GitHub and GitLab read: one paragraph a line, tables of one line a row. */
#include "report/character.h"
#include "report/document.h"
#include <string.h>

/* Where a text stands decides how a line break is written. */
typedef enum Place { PLACE_LINE, PLACE_TABLE } Place;

static bool is_special(uint32_t c) { return c < 0x80 && strchr("\\`*_[]|~$", (int)c) != NULL; }

/* How many characters of a line's beginning would begin a list, a heading or a rule; the last of them is what
 * must be escaped. 0: none. */
static size_t beginning(const char *line) {
    size_t digits = strspn(line, "0123456789");
    if (digits && (line[digits] == '.' || line[digits] == ')') && strchr(" \n", line[digits + 1]))
        return digits + 1; /* strchr finds the end as well */
    return *line && strchr("-+=#", *line) ? 1 : 0;
}

static void put_text(Buffer *out, const char *text, Place place) {
    size_t marked = beginning(text);
    for (uint32_t c; (c = character_next(&text)); marked -= marked > 0) {
        if (c == '\n') {
            buffer_text_append(out, place == PLACE_TABLE ? "<br>" : "  \n");
            marked = place == PLACE_TABLE ? 0 : beginning(text) + 1;
        } else if (c == '<') {
            buffer_text_append(out, "&lt;");
        } else if (c == '>') {
            buffer_text_append(out, "&gt;");
        } else if (c == '&') {
            buffer_text_append(out, "&amp;");
        } else {
            if (is_special(c) || marked == 1) buffer_text_append(out, "\\");
            character_put(out, c);
        }
    }
}

static size_t longest_run(const char *text, char wanted) {
    size_t longest = 0, run = 0;
    for (; *text; text++) {
        run = *text == wanted ? run + 1 : 0;
        if (run > longest) longest = run;
    }
    return longest;
}

static void put_fence(Buffer *out, size_t length) {
    for (size_t i = 0; i < length; i++) buffer_text_append(out, "`");
}

/* A code span: fenced by more backticks than stand in it. A pipe ends a table's cell even there. */
static void put_code(Buffer *out, const char *text, Place place) {
    size_t fence = longest_run(text, '`') + 1;
    bool spaced = text[0] == '`' || (text[0] && text[strlen(text) - 1] == '`');
    if (!text[0]) return;
    put_fence(out, fence);
    if (spaced) buffer_text_append(out, " ");
    for (uint32_t c; (c = character_next(&text));) {
        if (c == '|' && place == PLACE_TABLE) buffer_text_append(out, "\\");
        character_put(out, c == '\n' ? ' ' : c);
    }
    if (spaced) buffer_text_append(out, " ");
    put_fence(out, fence);
}

static void put_span(Buffer *out, const Span *span, Place place) {
    bool strong = *span->text && (span->style == SPAN_STRONG || span->style == SPAN_BADGE);
    if (span->style == SPAN_CODE) {
        put_code(out, span->text, place);
        return;
    }
    if (strong) buffer_text_append(out, "**");
    put_text(out, span->text, place);
    if (strong) buffer_text_append(out, "**");
}

static void put_cell(Buffer *out, const DocumentCell *cell, bool strong) {
    buffer_text_append(out, strong ? " **" : " ");
    for (size_t i = 0; cell && i < cell->count; i++) put_span(out, &cell->spans[i], PLACE_TABLE);
    buffer_text_append(out, strong ? "** |" : " |");
}

/* A time among the spans of a row, for the column that gives it in UTC. */
static const char *utc_of(const DocumentRow *row) {
    for (const DocumentCell *cell = row->first; cell; cell = cell->next)
        for (size_t i = 0; i < cell->count; i++)
            if (cell->spans[i].utc) return cell->spans[i].utc;
    return "";
}

static void put_table(Buffer *out, const DocumentTable *table, DocumentKind kind) {
    bool facts = kind == DOCUMENT_FACTS, utc = kind == DOCUMENT_TIMELINE;
    size_t count = facts ? 2 : table->column_count;
    if (table->caption) {
        put_text(out, table->caption, PLACE_LINE);
        buffer_text_append(out, "\n\n");
    }
    buffer_text_append(out, "|");
    for (size_t i = 0; i < count; i++) {
        buffer_text_append(out, " ");
        if (!facts) put_text(out, table->columns[i].title, PLACE_TABLE);
        buffer_text_append(out, " |");
    }
    buffer_text_append(out, utc ? " UTC |\n|" : "\n|");
    for (size_t i = 0; i < count; i++)
        buffer_text_append(out, !facts && table->columns[i].number ? " ---: |" : " --- |");
    buffer_text_append(out, utc ? " --- |\n" : "\n");
    for (const DocumentRow *row = table->first; row; row = row->next) {
        const DocumentCell *cell = row->first;
        buffer_text_append(out, "|");
        for (size_t i = 0; i < count; i++, cell = cell ? cell->next : NULL)
            put_cell(out, cell, facts && i == 0);
        if (utc) buffer_printf(out, " %s |", utc_of(row));
        buffer_text_append(out, "\n");
    }
}

static void put_code_block(Buffer *out, const DocumentBlock *block) {
    size_t fence = longest_run(block->text, '`') + 1;
    const char *at = block->text;
    buffer_text_append(out, "**");
    put_text(out, block->title, PLACE_LINE);
    buffer_text_append(out, "**\n\n");
    put_fence(out, fence < 3 ? 3 : fence);
    buffer_text_append(out, "\n");
    for (uint32_t c; (c = character_next(&at));) character_put(out, c);
    buffer_text_append(out, "\n");
    put_fence(out, fence < 3 ? 3 : fence);
    buffer_text_append(out, "\n");
}

static void put_quote(Buffer *out, const DocumentBlock *block) {
    static const char *const signs[] = {"ℹ️", "✅", "❌", "⚠️", "ℹ️"};
    buffer_printf(out, "> %s **", signs[block->tone]);
    put_text(out, block->title, PLACE_TABLE);
    buffer_text_append(out, "**");
    if (block->text) {
        buffer_text_append(out, "<br>");
        put_text(out, block->text, PLACE_TABLE);
    }
    buffer_text_append(out, "\n");
}

static void put_heading(Buffer *out, const char *sign, const char *title) {
    buffer_text_append(out, sign);
    put_text(out, title, PLACE_TABLE);
    buffer_text_append(out, "\n");
}

static void put_command(Buffer *out, const DocumentBlock *block) {
    if (!block->command) return;
    buffer_text_append(out, " ");
    put_code(out, block->command, PLACE_LINE);
}

static void put_block(Buffer *out, const DocumentBlock *block) {
    switch (block->kind) {
    case DOCUMENT_SECTION: put_heading(out, "## ", block->title); break;
    case DOCUMENT_SUBSECTION: put_heading(out, "### ", block->title); break;
    case DOCUMENT_CALLOUT: put_quote(out, block); break;
    case DOCUMENT_PARAGRAPH:
        put_text(out, block->text, PLACE_LINE);
        put_command(out, block);
        buffer_text_append(out, "\n");
        break;
    case DOCUMENT_ITEM:
        buffer_text_append(out, "- ");
        put_text(out, block->text, PLACE_TABLE);
        put_command(out, block);
        buffer_text_append(out, "\n");
        if (block->next && block->next->kind == DOCUMENT_ITEM) return;
        break;
    case DOCUMENT_FACTS:
    case DOCUMENT_TIMELINE:
    case DOCUMENT_TABLE: put_table(out, block->table, block->kind); break;
    case DOCUMENT_CHART:
        buffer_text_append(out, "*");
        put_text(out, block->title, PLACE_LINE);
        buffer_text_append(out, "* — ");
        put_text(out, block->text, PLACE_LINE);
        buffer_text_append(out, "\n");
        break;
    case DOCUMENT_CODE: put_code_block(out, block); break;
    }
    buffer_text_append(out, "\n");
}

void document_to_markdown(const Document *document, Buffer *out) {
    buffer_text_append(out, "# ");
    put_text(out, document->title, PLACE_TABLE);
    buffer_text_append(out, "\n\n");
    for (const DocumentBlock *block = document->first; block; block = block->next) put_block(out, block);
    if (!document->footer) return;
    buffer_text_append(out, "---\n\n");
    put_text(out, document->footer, PLACE_LINE);
    buffer_text_append(out, "\n");
}
