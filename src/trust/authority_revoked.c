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
    char(*serials)[CERTIFICATE_SERIAL_SIZE] = calloc(count + 1, sizeof *serials); /* one more, to add it */
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

int authority_revoked_add(int dir, AuthorityRevoked *list, const char *serial, Error *error) {
    if (!certificate_is_serial(serial))
        return error_set(error, ERROR_INVALID,
                         "“%s” is no serial of a certificate: 32 lower-case hexadecimal digits", serial);
    FD_AUTO lock = file_open_locked(dir, LOCK_NAME);
    if (lock < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot lock the list of revoked certificates");
    AuthorityRevoked changed = {0};
    if (authority_revoked_load(dir, &changed, error) < 0) return -1;
    int result = 0;
    size_t at = place_of(&changed, serial);
    if (authority_revoked_has(&changed, serial)) {
        result = file_sync_dir(dir, error); /* whoever wrote it may have died before this */
    } else if (changed.count == AUTHORITY_REVOKED_MAX) {
        result =
            error_set(error, ERROR_REFUSED, "there are %d revoked certificates already; make a new authority",
                      (int)AUTHORITY_REVOKED_MAX);
    } else {
        memmove(changed.serials + at + 1, changed.serials + at,
                (changed.count - at) * sizeof *changed.serials);
        memcpy(changed.serials[at], serial, CERTIFICATE_SERIAL_SIZE);
        changed.count++;
        result = file_replace_tidy(dir, FILE_NAME, error) < 0 ? -1 : save(dir, &changed, error);
    }
    if (result < 0) {
        authority_revoked_free(&changed);
        return -1;
    }
    authority_revoked_free(list);
    *list = changed;
    return 0;
}
