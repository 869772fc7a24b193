#include "journal/journal_sqlite.h"
#include "base/cleanup.h"
#include "base/reserve.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT = 1, BUSY_TIMEOUT_MS = 30000 };

typedef struct Sqlite {
    int folder; /* where the room for bad times is set aside */
    sqlite3 *database;
    sqlite3_stmt *insert, *last, *read, *read_change;
} Sqlite;

static int fail(Sqlite *self, const char *doing, Error *error) {
    error_set(error, ERROR_SYSTEM, "%s: %s", doing, sqlite3_errmsg(self->database));
    bool full = sqlite3_errcode(self->database) == SQLITE_FULL;
    if (error) error->number = full ? ENOSPC : sqlite3_system_errno(self->database);
    return -1;
}

static int execute(Sqlite *self, const char *statement, Error *error) {
    if (sqlite3_exec(self->database, statement, NULL, NULL, NULL) == SQLITE_OK) return 0;
    return fail(self, statement, error);
}

static int sqlite_begin(void *context, Error *error) { return execute(context, "BEGIN IMMEDIATE", error); }
static int sqlite_commit(void *context, Error *error) { return execute(context, "COMMIT", error); }
static void sqlite_cancel(void *context) { execute(context, "ROLLBACK", NULL); }

static bool sqlite_make_room(void *context, const Error *error) {
    return reserve_release(((Sqlite *)context)->folder, error);
}

static int sqlite_last(void *context, int64_t *sequence, Digest *hash, Error *error) {
    Sqlite *self = context;
    Digest digest = {{0}};
    int64_t number = 0;
    int step = sqlite3_step(self->last);
    int result = 0;
    if (step == SQLITE_ROW) {
        number = sqlite3_column_int64(self->last, 0);
        const char *text = (const char *)sqlite3_column_text(self->last, 1);
        if (!text || !digest_from_text(text, &digest))
            result = error_set(error, ERROR_ATTENTION, "the journal's last hash is not readable");
    } else if (step != SQLITE_DONE) {
        result = fail(self, "cannot read its end", error);
    }
    sqlite3_reset(self->last);
    if (result < 0) return -1;
    *sequence = number;
    *hash = digest;
    return 0;
}

static int sqlite_insert(void *context, const JournalRow *row, Error *error) {
    Sqlite *self = context;
    char hash[DIGEST_TEXT_SIZE];
    digest_to_text(&row->hash, hash);
    sqlite3_bind_int64(self->insert, 1, row->sequence);
    sqlite3_bind_text(self->insert, 2, row->change, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text64(self->insert, 3, row->text, row->size, SQLITE_TRANSIENT, SQLITE_UTF8);
    sqlite3_bind_text(self->insert, 4, hash, -1, SQLITE_TRANSIENT);
    int result = sqlite3_step(self->insert) == SQLITE_DONE ? 0 : fail(self, "cannot add an event", error);
    sqlite3_reset(self->insert);
    return result;
}

static int read_row(sqlite3_stmt *statement, JournalRow *row, Error *error) {
    row->sequence = sqlite3_column_int64(statement, 0);
    const char *change = (const char *)sqlite3_column_text(statement, 1);
    const char *text = (const char *)sqlite3_column_text(statement, 2);
    row->size = (size_t)sqlite3_column_bytes(statement, 2);
    const char *hash = (const char *)sqlite3_column_text(statement, 3);
    row->change = change ? change : "";
    row->text = text ? text : "";
    if (!hash || !digest_from_text(hash, &row->hash))
        return error_set(error, ERROR_ATTENTION, "the journal was tampered with: event %lld has no hash",
                         (long long)row->sequence);
    return 0;
}

static int sqlite_read(void *context, int64_t after, const char *change, JournalRowVisit visit,
                       void *visit_context, Error *error) {
    Sqlite *self = context;
    sqlite3_stmt *statement = change ? self->read_change : self->read;
    sqlite3_bind_int64(statement, 1, after);
    if (change) sqlite3_bind_text(statement, 2, change, -1, SQLITE_TRANSIENT);
    int result = 0, step;
    while (result == 0 && (step = sqlite3_step(statement)) != SQLITE_DONE) {
        JournalRow row;
        if (step != SQLITE_ROW)
            result = fail(self, "cannot read the journal", error);
        else if ((result = read_row(statement, &row, error)) == 0)
            result = visit(visit_context, &row, error);
    }
    sqlite3_reset(statement);
    return result;
}

static void sqlite_close(void *context) {
    Sqlite *self = context;
    sqlite3_finalize(self->insert);
    sqlite3_finalize(self->last);
    sqlite3_finalize(self->read);
    sqlite3_finalize(self->read_change);
    sqlite3_close(self->database);
    if (self->folder >= 0) close(self->folder);
    free(self);
}

static const JournalDriver sqlite_driver = {
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .cancel = sqlite_cancel,
    .make_room = sqlite_make_room,
    .last = sqlite_last,
    .insert = sqlite_insert,
    .read = sqlite_read,
    .close = sqlite_close,
};

static int check_format(Sqlite *self, Error *error) {
    sqlite3_stmt *statement = NULL;
    int64_t format = -1;
    if (sqlite3_prepare_v2(self->database, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        format = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    if (format < 0) return fail(self, "cannot read it", error);
    if (format > FORMAT)
        return error_set(error, ERROR_REFUSED, "it was written by a newer Upkeep; use that one");
    if (format == FORMAT) return 0;
    return execute(self,
                   "BEGIN IMMEDIATE;"
                   "CREATE TABLE IF NOT EXISTS event (sequence INTEGER PRIMARY KEY, change TEXT NOT NULL,"
                   " text TEXT NOT NULL, hash TEXT NOT NULL) STRICT;"
                   "CREATE INDEX IF NOT EXISTS event_change ON event (change, sequence);"
                   "PRAGMA user_version = 1;"
                   "COMMIT",
                   error);
}

static int prepare(Sqlite *self, const char *text, sqlite3_stmt **out, Error *error) {
    if (sqlite3_prepare_v3(self->database, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK)
        return 0;
    return fail(self, "cannot read it", error);
}

static int set_up(Sqlite *self, Error *error) {
    sqlite3_busy_timeout(self->database, BUSY_TIMEOUT_MS);
    if (execute(self, "PRAGMA journal_mode = WAL", error) < 0 ||
        execute(self, "PRAGMA synchronous = FULL", error) < 0)
        return -1;
    if (check_format(self, error) < 0) return -1;
    if (prepare(self, "INSERT INTO event (sequence, change, text, hash) VALUES (?, ?, ?, ?)", &self->insert,
                error) < 0)
        return -1;
    if (prepare(self, "SELECT sequence, hash FROM event ORDER BY sequence DESC LIMIT 1", &self->last, error) <
        0)
        return -1;
    if (prepare(self, "SELECT sequence, change, text, hash FROM event WHERE sequence > ? ORDER BY sequence",
                &self->read, error) < 0)
        return -1;
    return prepare(self,
                   "SELECT sequence, change, text, hash FROM event WHERE sequence > ? AND change = ?"
                   " ORDER BY sequence",
                   &self->read_change, error);
}

/* Made with the right mode where there is none. One that is there is looked at, never opened: closing any
 * descriptor of the file drops the locks of every connection that this process has to it, and the next
 * program to leave would take the write-ahead log for nobody's, with what stands in it. */
static int make(const char *path, Error *error) {
    struct stat status;
    FD_AUTO fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) return 0;
    int number = errno;
    if (number == EEXIST && lstat(path, &status) == 0) {
        if (S_ISREG(status.st_mode)) return 0;
        number = S_ISLNK(status.st_mode) ? ELOOP : EINVAL;
    }
    return error_errno(error, ERROR_SYSTEM, number, "cannot open the journal %s", path);
}

int journal_sqlite_open(const char *path, Journal **out, Error *error) {
    if (make(path, error) < 0) return -1;
    Sqlite *self = calloc(1, sizeof *self);
    if (!self) abort();
    FREE_AUTO char *copy = strdup(path);
    if (!copy) abort();
    self->folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = 0;
    if (sqlite3_open_v2(path, &self->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        result = fail(self, "cannot open it", error);
    else
        result = set_up(self, error);
    if (result < 0) {
        sqlite_close(self);
        return error_prefix(error, "journal %s", path);
    }
    *out = journal_new(&sqlite_driver, self);
    return 0;
}
