/* Document: what a report says, apart from how it looks — headings, paragraphs, tables, charts.
 *
 * A builder (retrospective.h) fills it from top to bottom; a renderer (document_to_markdown,
 * document_to_html) reads it. Another form of paper is another renderer, another report another builder.
 *
 *     Document *document = document_new(arena, language, "Title");
 *     document_section(document, "Hosts");
 *     DocumentTable *table = document_table(document, "One row a host");
 *     document_column(table, "Host", false);
 *     document_row(table, DOCUMENT_GOOD);
 *     document_cell(table, span_text("web1"));
 *
 * Everything lives in the arena given; strings are borrowed and must live as long. All texts are taken as
 * untrusted: renderers escape them (character.h). "\n" in a text is a line break.
 */
#pragma once
#include "base/arena.h"
#include "base/buffer.h"
#include "base/text.h"
#include "report/chart.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum DocumentTone {
    DOCUMENT_PLAIN,
    DOCUMENT_GOOD,
    DOCUMENT_BAD,
    DOCUMENT_WARN,
    DOCUMENT_QUIET
} DocumentTone;

typedef enum SpanStyle { SPAN_TEXT, SPAN_STRONG, SPAN_CODE, SPAN_BADGE, SPAN_TIME } SpanStyle;

typedef struct Span {
    const char *text;
    SpanStyle style;
    DocumentTone tone;
    const char *utc; /* SPAN_TIME: RFC 3339, of which `text` is the local time */
} Span;

static inline Span span_text(const char *text) { return (Span){.text = text}; }
static inline Span span_tone(DocumentTone tone, const char *text) {
    return (Span){.text = text, .tone = tone};
}
static inline Span span_strong(const char *text) { return (Span){.text = text, .style = SPAN_STRONG}; }
static inline Span span_code(const char *text) { return (Span){.text = text, .style = SPAN_CODE}; }
/* A state in one word, set off. */
static inline Span span_badge(DocumentTone tone, const char *text) {
    return (Span){.text = text, .style = SPAN_BADGE, .tone = tone};
}

typedef struct DocumentCell DocumentCell;
struct DocumentCell { /* spans, one behind the other */
    DocumentCell *next;
    Span *spans;
    size_t count, capacity;
};

typedef struct DocumentRow DocumentRow;
struct DocumentRow {
    DocumentRow *next;
    DocumentTone tone;
    DocumentCell *first, *last;
};

typedef struct DocumentColumn {
    const char *title;
    bool number; /* flush right */
} DocumentColumn;

enum { DOCUMENT_COLUMNS_MAX = 12 };

typedef struct DocumentTable {
    Arena *arena;
    const char *caption; /* may be NULL */
    DocumentColumn columns[DOCUMENT_COLUMNS_MAX];
    size_t column_count;
    DocumentRow *first, *last;
} DocumentTable;

typedef enum DocumentKind {
    DOCUMENT_SECTION,
    DOCUMENT_SUBSECTION,
    DOCUMENT_PARAGRAPH,
    DOCUMENT_CALLOUT,
    DOCUMENT_ITEM,     /* of a list; items that follow each other are one */
    DOCUMENT_FACTS,    /* a table of two columns without heads: name and value */
    DOCUMENT_TIMELINE, /* a table whose rows' tones are a line of events */
    DOCUMENT_TABLE,
    DOCUMENT_CHART,
    DOCUMENT_CODE, /* folded where that can be */
} DocumentKind;

typedef struct DocumentBlock DocumentBlock;
struct DocumentBlock {
    DocumentBlock *next;
    DocumentKind kind;
    DocumentTone tone;
    const char *title; /* heading, or what folded code is called */
    const char *text;
    const char *command; /* that a reader may type, behind the text; or NULL */
    DocumentTable *table;
    const Chart *chart;
};

typedef struct Document {
    Arena *arena;
    Language language;
    const char *title;
    const char *footer; /* one line; may be NULL */
    DocumentBlock *first, *last;
} Document;

Document *document_new(Arena *arena, Language language, const char *title);

void document_section(Document *document, const char *title);
void document_subsection(Document *document, const char *title);
void document_paragraph(Document *document, DocumentTone tone, const char *text);
void document_callout(Document *document, DocumentTone tone, const char *title, const char *text);
void document_item(Document *document, DocumentTone tone, const char *text);
/* Put a command that the reader may type behind the last paragraph or item. */
void document_command(Document *document, const char *command);
void document_chart(Document *document, const Chart *chart); /* borrowed */
void document_code(Document *document, const char *title, const char *text);

DocumentTable *document_facts(Document *document);
DocumentTable *document_timeline(Document *document, const char *caption);
DocumentTable *document_table(Document *document, const char *caption);
void document_column(DocumentTable *table, const char *title, bool number);
void document_row(DocumentTable *table, DocumentTone tone);
/* A further cell of the last row; missing ones at its end are empty. */
void document_cell(DocumentTable *table, Span span);
/* More in the last cell; an empty text is nothing. */
void document_add(DocumentTable *table, Span span);
/* A row of document_facts(). */
void document_fact(DocumentTable *table, const char *name, Span value);

/* Local time with its distance from UTC ("2026-11-21 20:15:03 +08:00"), with the UTC behind it; "–" for 0. */
Span span_time(Arena *arena, int64_t time_ms);
/* The same with the time of day alone. */
Span span_time_of_day(Arena *arena, int64_t time_ms);

/* GitHub's Markdown. Charts become their alternative texts. */
void document_to_markdown(const Document *document, Buffer *out);
/* One self-contained file: no scripts, nothing fetched. */
void document_to_html(const Document *document, Buffer *out);
