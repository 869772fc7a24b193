/* Book: the journal's rows in memory, which outlive every death of the controller, and a driver that lets it
 * die at any of its operations.
 *
 * Whoever has a fuse dies when that many operations are over: before the write is durable, right after it
 * (and before anybody acted upon it), or half through reading. From then on everything fails until the book
 * is opened anew. The witness reads each row as soon as it is durable.
 */
#pragma once
#include "fleet.h"
#include "journal/journal.h"

enum { NO_FUSE = -1 };

typedef struct Fuse {
    int left; /* operations until the end; NO_FUSE */
    bool dead;
} Fuse;

struct Book {
    Fleet *fleet;
    JournalRow *rows;
    size_t count, capacity;
    size_t committed;
};

void book_begin(Fleet *fleet, Book *book);
void book_end(Book *book);
/* `fuse` (borrowed) may be NULL: people do not die. Close with journal_close(). */
Journal *book_open(Book *book, Fuse *fuse);
/* One operation of whoever has the fuse; true: it did not survive it. */
bool fuse_burns(Fuse *fuse);
