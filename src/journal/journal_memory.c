#include "journal/journal_memory.h"
#include <stdlib.h>
#include <string.h>

typedef struct Memory {
    JournalRow *rows;
    size_t count, capacity;
    size_t committed; /* rows before it are; those after it belong to the batch under way */
    size_t forgotten; /* rows that stood before rows[0] */
    bool brief;
} Memory;

static int memory_begin(void *context, Error *error) {
    (void)context, (void)error;
    return 0;
}

static int memory_commit(void *context, Error *error) {
    (void)error;
    Memory *self = context;
    self->committed = self->count;
    return 0;
}

static void row_free(JournalRow *row) {
    free((char *)row->change);
    free((char *)row->text);
}

static void memory_cancel(void *context) {
    Memory *self = context;
    while (self->count > self->committed) row_free(&self->rows[--self->count]);
}

static int memory_last(void *context, int64_t *sequence, Digest *hash, Error *error) {
    (void)error;
    const Memory *self = context;
    *sequence = (int64_t)(self->forgotten + self->count);
    *hash = self->count ? self->rows[self->count - 1].hash : (Digest){{0}};
    return 0;
}

static int memory_insert(void *context, const JournalRow *row, Error *error) {
    (void)error;
    Memory *self = context;
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? self->capacity * 2 : 64;
        self->rows = realloc(self->rows, self->capacity * sizeof *self->rows);
        if (!self->rows) abort();
    }
    JournalRow *copy = &self->rows[self->count++];
    *copy = *row;
    copy->change = strdup(row->change);
    copy->text = strndup(row->text, row->size);
    if (!copy->change || !copy->text) abort();
    return 0;
}

/* All up to the one with the sequence number `read`, but never the last: the chain goes on from it. */
static void forget(Memory *self, size_t read) {
    size_t gone = read > self->forgotten ? read - self->forgotten : 0;
    if (self->committed != self->count || self->count == 0) return;
    if (gone >= self->count) gone = self->count - 1;
    for (size_t i = 0; i < gone; i++) row_free(&self->rows[i]);
    self->count -= gone;
    self->committed -= gone;
    self->forgotten += gone;
    memmove(self->rows, self->rows + gone, self->count * sizeof *self->rows);
}

static int memory_read(void *context, int64_t after, const char *change, JournalRowVisit visit,
                       void *visit_context, Error *error) {
    Memory *self = context;
    size_t read = after < 0 ? 0 : (size_t)after;
    if (self->brief) forget(self, read);
    for (size_t i = read < self->forgotten ? 0 : read - self->forgotten; i < self->committed; i++) {
        if (change && strcmp(change, self->rows[i].change) != 0) continue;
        int result = visit(visit_context, &self->rows[i], error);
        if (result != 0) return result;
    }
    return 0;
}

static void memory_close(void *context) {
    Memory *self = context;
    for (size_t i = 0; i < self->count; i++) row_free(&self->rows[i]);
    free(self->rows);
    free(self);
}

static const JournalDriver memory_driver = {
    .begin = memory_begin,
    .commit = memory_commit,
    .cancel = memory_cancel,
    .last = memory_last,
    .insert = memory_insert,
    .read = memory_read,
    .close = memory_close,
};

static Journal *memory_new(bool brief) {
    Memory *self = calloc(1, sizeof *self);
    if (!self) abort();
    self->brief = brief;
    return journal_new(&memory_driver, self);
}

Journal *journal_memory_new(void) { return memory_new(false); }

Journal *journal_memory_new_brief(void) { return memory_new(true); }
