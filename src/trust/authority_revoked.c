#include "trust/authority_revoked.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "revoked"
#define LOCK_NAME "revoked.lock"
enum { LINE_SIZE = CERTIFICATE_SERIAL_SIZE /* the newline takes the place of the NUL */ };

void authority_revoked_free(AuthorityRevoked *list) {
    free(list->serials);
    *list = (AuthorityRevoked){0};
}

/* Where `serial` stands or belongs. */
static size_t place_of(const AuthorityRevoked *list, const char *serial) {
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(list->serials[middle], serial) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool authority_revoked_has(const AuthorityRevoked *list, const char *serial) {
    size_t at = place_of(list, serial);
    return at < list->count && strcmp(list->serials[at], serial) == 0;
}

static char (*room_for(size_t count))[CERTIFICATE_SERIAL_SIZE] {
    char(*serials)[CERTIFICATE_SERIAL_SIZE] = calloc(count + 1, sizeof *serials); /* also for none */
    if (!serials) abort();
    return serials;
}

/* 0, or the number of the first line that is wrong. */
static size_t parse(const char *text, size_t count, AuthorityRevoked *list) {
    for (size_t i = 0; i < count; i++) {
        const char *line = text + i * LINE_SIZE;
        char *serial = list->serials[i];
        memcpy(serial, line, LINE_SIZE - 1);
        bool is_good = line[LINE_SIZE - 1] == '\n' && certificate_is_serial(serial) &&
                       (i == 0 || strcmp(list->serials[i - 1], serial) < 0);
        if (!is_good) return i + 1;
        list->count = i + 1;
    }
    return 0;
}

int authority_revoked_create(int dir, Error *error) {
    int there = file_exists(dir, FILE_NAME, error);
    return there != 0 ? (there < 0 ? -1 : 0) : certificate_file_create(dir, FILE_NAME, "", 0, 0644, error);
}

int authority_revoked_load(int dir, AuthorityRevoked *list, Error *error) {
    BUFFER_AUTO text = {0};
    if (file_read(dir, FILE_NAME, AUTHORITY_REVOKED_MAX * LINE_SIZE, &text, error) < 0)
        return error_prefix(error, "cannot tell which certificates are revoked");
    size_t count = text.size / LINE_SIZE;
    AuthorityRevoked found = {.serials = room_for(count)};
    size_t wrong = parse(buffer_text(&text), count, &found);
    if (!wrong && text.size % LINE_SIZE) wrong = count + 1;
    if (wrong) {
        authority_revoked_free(&found);
        error_set(error, ERROR_INVALID, "line %zu of the list of revoked certificates is damaged", wrong);
        return error_hint(error, "put the file “revoked” back from a backup, or correct that line");
    }
    authority_revoked_free(list);
    *list = found;
    return 0;
}

static int save(int dir, const AuthorityRevoked *list, Error *error) {
    BUFFER_AUTO text = {0};
    for (size_t i = 0; i < list->count; i++) {
        buffer_append(&text, list->serials[i], LINE_SIZE - 1);
        buffer_append(&text, "\n", 1);
    }
    return file_replace(dir, FILE_NAME, buffer_text(&text), text.size, 0644, error);
}

static int check_serials(const char *const *serials, size_t count, Error *error) {
    for (size_t i = 0; i < count; i++)
        if (!certificate_is_serial(serials[i]))
            return error_set(error, ERROR_INVALID,
                             "“%s” is no serial of a certificate: 32 lower-case hexadecimal digits",
                             serials[i]);
    return 0;
}

static AuthorityRevoked copy_with_room(const AuthorityRevoked *list, size_t more) {
    AuthorityRevoked copy = {.serials = room_for(list->count + more), .count = list->count};
    memcpy(copy.serials, list->serials, list->count * sizeof *list->serials);
    return copy;
}

static void insert(AuthorityRevoked *list, const char *serial) {
    size_t at = place_of(list, serial);
    if (at < list->count && strcmp(list->serials[at], serial) == 0) return;
    memmove(list->serials + at + 1, list->serials + at, (list->count - at) * sizeof *list->serials);
    memcpy(list->serials[at], serial, CERTIFICATE_SERIAL_SIZE);
    list->count++;
}

/* What is to stand in the file, from what does. */
static int keep(int dir, const AuthorityRevoked *before, const AuthorityRevoked *after, Error *error) {
    if (after->count == before->count)
        return file_sync_dir(dir, error); /* whoever wrote it may have died before this */
    if (after->count > AUTHORITY_REVOKED_MAX)
        return error_set(error, ERROR_REFUSED,
                         "there are %d revoked certificates already; make a new authority",
                         (int)AUTHORITY_REVOKED_MAX);
    return file_replace_tidy(dir, FILE_NAME, error) < 0 ? -1 : save(dir, after, error);
}

int authority_revoked_add(int dir, AuthorityRevoked *list, const char *const *serials, size_t count,
                          Error *error) {
    if (check_serials(serials, count, error) < 0) return -1;
    FD_AUTO lock = file_open_locked(dir, LOCK_NAME);
    if (lock < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot lock the list of revoked certificates");
    AuthorityRevoked before = {0};
    if (authority_revoked_load(dir, &before, error) < 0) return -1;
    AuthorityRevoked after = copy_with_room(&before, count);
    for (size_t i = 0; i < count; i++) insert(&after, serials[i]);
    int result = keep(dir, &before, &after, error);
    authority_revoked_free(&before);
    authority_revoked_free(result < 0 ? &after : list);
    if (result == 0) *list = after;
    return result;
}
