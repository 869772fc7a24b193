#include "journal/journal.h"
#include "base/cleanup.h"
#include "base/json.h"
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct Journal {
    const JournalDriver *driver;
    void *self;
};

Journal *journal_new(const JournalDriver *driver, void *self) {
    Journal *journal = calloc(1, sizeof *journal);
    if (!journal) abort();
    *journal = (Journal){driver, self};
    return journal;
}

void journal_close(Journal *journal) {
    if (!journal) return;
    journal->driver->close(journal->self);
    free(journal);
}

static Digest chain(const Digest *before, const char *text, size_t size) {
    char hex[DIGEST_TEXT_SIZE];
    digest_to_text(before, hex);
    DigestStream *stream = digest_stream_new();
    digest_stream_begin(stream);
    digest_stream_add(stream, hex, DIGEST_TEXT_SIZE - 1);
    digest_stream_add(stream, "\n", 1);
    digest_stream_add(stream, text, size);
    Digest hash = digest_stream_end(stream);
    digest_stream_free(stream);
    return hash;
}

/* What is to be appended. */
typedef struct Batch {
    json_t *const *events;
    size_t count;
    const char *change; /* that must have nothing new after `after`; NULL: whatever it has */
    int64_t after;
    bool late; /* it has */
} Batch;

static int note_newer(void *context, const JournalRow *row, Error *error) {
    (void)row, (void)error;
    ((Batch *)context)->late = true;
    return -1; /* no need to read on */
}

static int append_all(Journal *journal, const Batch *batch, Error *error) {
    int64_t sequence = 0;
    Digest hash = {{0}};
    if (journal->driver->last(journal->self, &sequence, &hash, error) < 0) return -1;
    for (size_t i = 0; i < batch->count; i++) {
        json_t *event = batch->events[i];
        assert(json_get_text(event, "type", NULL) && json_get_text(event, "time", NULL));
        FREE_AUTO char *text = json_text(event);
        size_t size = strlen(text);
        hash = chain(&hash, text, size);
        JournalRow row = {++sequence, json_get_text(event, "change", ""), text, size, hash};
        if (journal->driver->insert(journal->self, &row, error) < 0) return -1;
    }
    return journal->driver->commit(journal->self, error);
}

/* Looked at while nobody else can write. */
static int append_once(Journal *journal, Batch *batch, Error *error) {
    const JournalDriver *driver = journal->driver;
    int result = 0;
    if (driver->begin(journal->self, error) < 0) return -1;
    if (batch->change)
        result = driver->read(journal->self, batch->after, batch->change, note_newer, batch, error);
    if (result == 0) result = append_all(journal, batch, error);
    if (result < 0) driver->cancel(journal->self);
    return batch->late ? 0 : result;
}

static int append(Journal *journal, Batch *batch, Error *error) {
    if (batch->count == 0) return 0;
    Error failure = {0};
    const JournalDriver *driver = journal->driver;
    int result = append_once(journal, batch, &failure);
    if (result < 0 && driver->make_room && driver->make_room(journal->self, &failure))
        result = append_once(journal, batch, &failure);
    if (result == 0) return 0;
    if (error) *error = failure;
    return error_prefix(error, "cannot write to the journal");
}

int journal_append(Journal *journal, json_t *const *events, size_t count, Error *error) {
    Batch batch = {.events = events, .count = count};
    return append(journal, &batch, error);
}

int journal_append_unless(Journal *journal, int64_t after, const char *change, json_t *const *events,
                          size_t count, bool *written, Error *error) {
    Batch batch = {.events = events, .count = count, .change = change, .after = after};
    if (append(journal, &batch, error) < 0) return -1;
    *written = !batch.late;
    return 0;
}

typedef struct Visitor {
    JournalVisit visit;
    void *context;
} Visitor;

static int visit_row(void *context, const JournalRow *row, Error *error) {
    Visitor *visitor = context;
    JSON_AUTO event = NULL;
    if (json_parse(row->text, row->size, "journal event", &event, error) < 0)
        return error_prefix(error, "event %" PRId64, row->sequence);
    return visitor->visit(visitor->context, row->sequence, event, error);
}

int journal_read(Journal *journal, int64_t after, const char *change, JournalVisit visit, void *context,
                 Error *error) {
    Visitor visitor = {visit, context};
    return journal->driver->read(journal->self, after, change, visit_row, &visitor, error) < 0 ? -1 : 0;
}

int journal_rows(Journal *journal, int64_t after, const char *change, JournalRowVisit visit, void *context,
                 Error *error) {
    return journal->driver->read(journal->self, after, change, visit, context, error) < 0 ? -1 : 0;
}

int journal_head(Journal *journal, int64_t *sequence, Digest *hash, Error *error) {
    return journal->driver->last(journal->self, sequence, hash, error);
}

typedef struct Verification {
    int64_t sequence;
    Digest hash;
} Verification;

static int verify_row(void *context, const JournalRow *row, Error *error) {
    Verification *seen = context;
    if (row->sequence != seen->sequence + 1)
        return error_set(error, ERROR_ATTENTION,
                         "the journal was tampered with: event %" PRId64
                         " is missing (the next one is %" PRId64 ")",
                         seen->sequence + 1, row->sequence);
    Digest hash = chain(&seen->hash, row->text, row->size);
    if (!digest_equal(&hash, &row->hash))
        return error_set(error, ERROR_ATTENTION,
                         "the journal was tampered with: event %" PRId64 " is not what was written",
                         row->sequence);
    JSON_AUTO event = NULL;
    if (json_parse(row->text, row->size, "journal event", &event, error) < 0) return -1;
    if (strcmp(json_get_text(event, "change", ""), row->change) != 0)
        return error_set(error, ERROR_ATTENTION,
                         "the journal was tampered with: event %" PRId64 " is filed under another change",
                         row->sequence);
    seen->sequence = row->sequence;
    seen->hash = hash;
    return 0;
}

int journal_verify(Journal *journal, int64_t *count, Error *error) {
    Verification seen = {0};
    if (journal->driver->read(journal->self, 0, NULL, verify_row, &seen, error) < 0) return -1;
    *count = seen.sequence;
    return 0;
}
