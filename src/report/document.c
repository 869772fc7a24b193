#include "report/document.h"
#include "base/clock.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

Document *document_new(Arena *arena, Language language, const char *title) {
    Document *document = ARENA_NEW(arena, Document);
    document->arena = arena;
    document->language = language;
    document->title = title;
    return document;
}

static DocumentBlock *add_block(Document *document, DocumentKind kind, const char *title, const char *text) {
    DocumentBlock *block = ARENA_NEW(document->arena, DocumentBlock);
    block->kind = kind;
    block->title = title;
    block->text = text;
    if (document->last)
        document->last->next = block;
    else
        document->first = block;
    document->last = block;
    return block;
}

void document_section(Document *document, const char *title) {
    add_block(document, DOCUMENT_SECTION, title, NULL);
}

void document_subsection(Document *document, const char *title) {
    add_block(document, DOCUMENT_SUBSECTION, title, NULL);
}

void document_paragraph(Document *document, DocumentTone tone, const char *text) {
    add_block(document, DOCUMENT_PARAGRAPH, NULL, text)->tone = tone;
}

void document_callout(Document *document, DocumentTone tone, const char *title, const char *text) {
    add_block(document, DOCUMENT_CALLOUT, title, text)->tone = tone;
}

void document_item(Document *document, DocumentTone tone, const char *text) {
    add_block(document, DOCUMENT_ITEM, NULL, text)->tone = tone;
}

void document_command(Document *document, const char *command) {
    assert(document->last &&
           (document->last->kind == DOCUMENT_PARAGRAPH || document->last->kind == DOCUMENT_ITEM));
    document->last->command = command;
}

void document_chart(Document *document, const Chart *chart) {
    add_block(document, DOCUMENT_CHART, chart->title, chart->alternative)->chart = chart;
}

void document_code(Document *document, const char *title, const char *text) {
    add_block(document, DOCUMENT_CODE, title, text);
}

/* ---- tables */

static DocumentTable *add_table(Document *document, DocumentKind kind, const char *caption) {
    DocumentTable *table = ARENA_NEW(document->arena, DocumentTable);
    table->arena = document->arena;
    table->caption = caption;
    add_block(document, kind, NULL, NULL)->table = table;
    return table;
}

DocumentTable *document_facts(Document *document) { return add_table(document, DOCUMENT_FACTS, NULL); }

DocumentTable *document_timeline(Document *document, const char *caption) {
    return add_table(document, DOCUMENT_TIMELINE, caption);
}

DocumentTable *document_table(Document *document, const char *caption) {
    return add_table(document, DOCUMENT_TABLE, caption);
}

void document_column(DocumentTable *table, const char *title, bool number) {
    assert(table->column_count < DOCUMENT_COLUMNS_MAX && !table->first);
    table->columns[table->column_count++] = (DocumentColumn){title, number};
}

void document_row(DocumentTable *table, DocumentTone tone) {
    DocumentRow *row = ARENA_NEW(table->arena, DocumentRow);
    row->tone = tone;
    if (table->last)
        table->last->next = row;
    else
        table->first = row;
    table->last = row;
}

void document_cell(DocumentTable *table, Span span) {
    assert(table->last);
    DocumentRow *row = table->last;
    DocumentCell *cell = ARENA_NEW(table->arena, DocumentCell);
    if (row->last)
        row->last->next = cell;
    else
        row->first = cell;
    row->last = cell;
    document_add(table, span);
}

void document_add(DocumentTable *table, Span span) {
    assert(table->last && table->last->last);
    DocumentCell *cell = table->last->last;
    if (!span.text || !*span.text) return;
    if (cell->count == cell->capacity) {
        size_t capacity = cell->capacity ? cell->capacity * 2 : 2;
        Span *spans = ARENA_ARRAY(table->arena, capacity, Span);
        if (cell->count) memcpy(spans, cell->spans, cell->count * sizeof *spans);
        cell->spans = spans;
        cell->capacity = capacity;
    }
    cell->spans[cell->count++] = span;
}

void document_fact(DocumentTable *table, const char *name, Span value) {
    document_row(table, DOCUMENT_PLAIN);
    document_cell(table, span_text(name));
    document_cell(table, value);
}

/* ---- times */

static Span time_span(Arena *arena, int64_t time_ms, bool with_day) {
    char day[32], clock[16], zone[8], utc[CLOCK_TEXT_SIZE];
    struct tm parts;
    time_t seconds = (time_t)(time_ms / 1000);
    if (time_ms <= 0 || !localtime_r(&seconds, &parts)) return span_text("–");
    strftime(day, sizeof day, "%Y-%m-%d", &parts);
    strftime(clock, sizeof clock, "%H:%M:%S", &parts);
    strftime(zone, sizeof zone, "%z", &parts); /* +0800 */
    clock_to_text(time_ms, utc);
    Span span = {.style = SPAN_TIME, .utc = arena_strdup(arena, utc)};
    span.text = with_day ? arena_printf(arena, "%s %s %.3s:%s", day, clock, zone, zone + 3)
                         : arena_strdup(arena, clock);
    return span;
}

Span span_time(Arena *arena, int64_t time_ms) { return time_span(arena, time_ms, true); }

Span span_time_of_day(Arena *arena, int64_t time_ms) { return time_span(arena, time_ms, false); }
