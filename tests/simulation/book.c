#include "book.h"
#include "people.h"
#include "witness.h"
#include <stdlib.h>
#include <string.h>

/* What a journal holds while it is open. */
typedef struct Reader {
    Book *book;
    Fuse *fuse; /* or NULL */
} Reader;

bool fuse_burns(Fuse *fuse) {
    if (!fuse || fuse->dead) return fuse != NULL;
    if (fuse->left == NO_FUSE) return false;
    fuse->dead = fuse->left-- == 0;
    return fuse->dead;
}

static int died(Error *error) {
    return error_set(error, ERROR_SYSTEM, "%s", "imagined: the controller died");
}

static bool dies(const Reader *reader, Hit hit) {
    bool was_dead = reader->fuse && reader->fuse->dead;
    if (!fuse_burns(reader->fuse)) return false;
    if (!was_dead) fleet_hit(reader->book->fleet, hit);
    return true;
}

static int book_driver_begin(void *self, Error *error) {
    const Reader *reader = self;
    if (dies(reader, HIT_DIED_BEFORE)) return died(error);
    if (reader->fuse) people_meddle(reader->book->fleet);
    return 0;
}

static int book_driver_insert(void *self, const JournalRow *row, Error *error) {
    const Reader *reader = self;
    Book *book = reader->book;
    bool reported = strstr(row->text, "\"report\":") != NULL;
    if (dies(reader, reported ? HIT_DIED_TAKING : HIT_DIED_BEFORE)) return died(error);
    if (book->count == book->capacity) {
        book->capacity = book->capacity ? book->capacity * 2 : 256;
        book->rows = realloc(book->rows, book->capacity * sizeof *book->rows);
        if (!book->rows) abort();
    }
    JournalRow *copy = &book->rows[book->count++];
    *copy = *row;
    copy->change = strdup(row->change);
    copy->text = strndup(row->text, row->size);
    return 0;
}

static void row_free(JournalRow *row) {
    free((char *)row->change);
    free((char *)row->text);
}

static void book_driver_cancel(void *self) {
    Book *book = ((const Reader *)self)->book;
    while (book->count > book->committed) row_free(&book->rows[--book->count]);
}

static int book_driver_commit(void *self, Error *error) {
    const Reader *reader = self;
    Book *book = reader->book;
    if (dies(reader, HIT_DIED_BEFORE)) return died(error);
    size_t from = book->committed;
    book->committed = book->count;
    for (size_t i = from; i < book->committed; i++) {
        json_t *event = NULL;
        if (json_parse(book->rows[i].text, book->rows[i].size, "row", &event, error) < 0) return -1;
        witness_read(book->fleet, event);
        json_decref(event);
    }
    return dies(reader, HIT_DIED_AFTER) ? died(error) : 0;
}

static int book_driver_last(void *self, int64_t *sequence, Digest *hash, Error *error) {
    (void)error;
    const Book *book = ((const Reader *)self)->book;
    *sequence = (int64_t)book->count;
    *hash = book->count ? book->rows[book->count - 1].hash : (Digest){{0}};
    return 0;
}

static int book_driver_read(void *self, int64_t after, const char *change, JournalRowVisit visit,
                            void *context, Error *error) {
    const Reader *reader = self;
    const Book *book = reader->book;
    if (reader->fuse && reader->fuse->dead) return died(error);
    for (size_t i = after < 0 ? 0 : (size_t)after; i < book->committed; i++) {
        if (change && strcmp(change, book->rows[i].change) != 0) continue;
        if (dies(reader, HIT_DIED_READING)) return died(error);
        if (visit(context, &book->rows[i], error) < 0) return -1;
    }
    return 0;
}

static void book_driver_close(void *self) { free(self); }

static const JournalDriver driver = {
    .begin = book_driver_begin,
    .commit = book_driver_commit,
    .cancel = book_driver_cancel,
    .last = book_driver_last,
    .insert = book_driver_insert,
    .read = book_driver_read,
    .close = book_driver_close,
};

Journal *book_open(Book *book, Fuse *fuse) {
    Reader *reader = calloc(1, sizeof *reader);
    if (!reader) abort();
    *reader = (Reader){book, fuse};
    return journal_new(&driver, reader);
}

void book_begin(Fleet *fleet, Book *book) { *book = (Book){.fleet = fleet}; }

void book_end(Book *book) {
    for (size_t i = 0; i < book->count; i++) row_free(&book->rows[i]);
    free(book->rows);
}
