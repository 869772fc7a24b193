#include "agent/outbox.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTBOX_FILE "outbox"
enum { FORMAT = 1, SIZE_MAX_BYTES = 64 << 20, REWRITE_BYTES = 64 << 10 };

struct Outbox {
    int dir;
    char *change;
    int fd;          /* for appending */
    json_t *waiting; /* reports, oldest first */
    json_t
        *put_ms;   /* of each of them: when it was put, by the steady clock; 0: by an agent before this one */
    int64_t heard; /* number of the last that was heard */
    int64_t last;  /* of the last that was put */
    size_t forgotten; /* bytes in the file, more or less, that need not stand there */
};

/* ---- the file */

static void append_line(Buffer *text, const json_t *value) {
    FREE_AUTO char *line = json_text(value);
    buffer_text_append(text, line);
    buffer_text_append(text, "\n");
}

/* The file anew, with what still waits. */
static int rewrite(Outbox *outbox, Error *error) {
    BUFFER_AUTO text = {0};
    JSON_AUTO head = json_object();
    size_t index;
    json_t *report;
    json_set_integer(head, "outbox", FORMAT);
    json_set_text(head, "change", outbox->change);
    json_set_integer(head, "heard", outbox->heard);
    append_line(&text, head);
    json_array_foreach(outbox->waiting, index, report) append_line(&text, report);
    if (file_replace(outbox->dir, OUTBOX_FILE, buffer_text(&text), text.size, 0600, error) < 0) return -1;
    int fd = file_open_no_links(outbox->dir, OUTBOX_FILE, O_WRONLY | O_APPEND, 0);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", OUTBOX_FILE);
    if (outbox->fd >= 0) close(outbox->fd);
    outbox->fd = fd;
    outbox->forgotten = 0;
    return 0;
}

static int not_readable(Error *error) {
    error_set(error, ERROR_ATTENTION, "the outbox of this host is damaged");
    return error_hint(error, "look at it, then remove it: what stands there has not been reported");
}

/* 1: it is of this change; 0: of another. */
static int read_head(Outbox *outbox, const json_t *head, Error *error) {
    if (json_get_integer(head, "outbox", 0) != FORMAT || !json_get_text(head, "change", NULL))
        return not_readable(error);
    if (strcmp(json_get_text(head, "change", ""), outbox->change) != 0) return 0;
    outbox->heard = outbox->last = json_get_integer(head, "heard", 0);
    return 1;
}

static int read_report(Outbox *outbox, json_t *report, Error *error) {
    int64_t number = json_get_integer(report, "number", 0);
    if (number != outbox->last + 1 || !json_is_object(json_object_get(report, "event")))
        return not_readable(error);
    outbox->last = number;
    json_array_append(outbox->waiting, report);
    json_array_append_new(outbox->put_ms, json_integer(0));
    return 0;
}

/* 0 also when there is nothing of this change. */
static int read_lines(Outbox *outbox, char *text, Error *error) {
    bool head = true;
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        JSON_AUTO value = NULL;
        *end = '\0';
        if (json_parse(line, (size_t)(end - line), OUTBOX_FILE, &value, NULL) < 0) return not_readable(error);
        int result = head ? read_head(outbox, value, error) : read_report(outbox, value, error);
        if (result < 0 || (head && result == 0)) return result;
        head = false;
    }
    return 0;
}

static int load(Outbox *outbox, Error *error) {
    BUFFER_AUTO text = {0};
    Error reading = {0};
    int result = file_read(outbox->dir, OUTBOX_FILE, SIZE_MAX_BYTES, &text, &reading);
    if (result < 0 && reading.number == ENOENT) return 0;
    if (result < 0) {
        if (error) *error = reading;
        return -1;
    }
    FREE_AUTO char *lines = strdup(buffer_text(&text));
    return read_lines(outbox, lines, error);
}

int outbox_open(int dir, const char *change, int64_t heard, Outbox **out, Error *error) {
    Outbox *outbox = calloc(1, sizeof *outbox);
    if (!outbox) abort();
    *outbox = (Outbox){.dir = dir,
                       .change = strdup(change),
                       .fd = -1,
                       .waiting = json_array(),
                       .put_ms = json_array(),
                       .heard = heard,
                       .last = heard};
    if (file_replace_tidy(dir, OUTBOX_FILE, error) < 0 || load(outbox, error) < 0 ||
        rewrite(outbox, error) < 0) {
        outbox_close(outbox);
        return -1;
    }
    *out = outbox;
    return 0;
}

void outbox_close(Outbox *outbox) {
    if (!outbox) return;
    if (outbox->fd >= 0) close(outbox->fd);
    json_decref(outbox->waiting);
    json_decref(outbox->put_ms);
    free(outbox->change);
    free(outbox);
}

/* ---- reports */

/* What was written of a line that could not be written whole goes again; else nothing more may be appended.
 */
static int append(Outbox *outbox, const json_t *report, Error *error) {
    BUFFER_AUTO line = {0};
    append_line(&line, report);
    off_t end = lseek(outbox->fd, 0, SEEK_END);
    if (end < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", OUTBOX_FILE);
    if (file_write_all(outbox->fd, buffer_text(&line), line.size, error) == 0) {
        if (fdatasync(outbox->fd) == 0) return 0;
        error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", OUTBOX_FILE);
    }
    if (ftruncate(outbox->fd, end) != 0)
        abort(); /* a half line in the middle would end it all; start again */
    return -1;
}

int outbox_put(Outbox *outbox, json_t *event, Error *error) {
    JSON_AUTO report = json_object();
    json_set_integer(report, "number", outbox->last + 1);
    json_object_set_new(report, "event", event);
    if (append(outbox, report, error) < 0) return error_prefix(error, "cannot keep a report");
    outbox->last++;
    json_array_append(outbox->waiting, report);
    json_array_append_new(outbox->put_ms, json_integer(clock_steady_ms(clock_system())));
    return 0;
}

static int64_t age_ms(const Outbox *outbox, size_t index, int64_t now_ms) {
    int64_t put_ms = json_integer_value(json_array_get(outbox->put_ms, index));
    return put_ms ? now_ms - put_ms : OUTBOX_AGE_UNKNOWN_MS;
}

json_t *outbox_reports(const Outbox *outbox, size_t max) {
    json_t *reports = json_array();
    int64_t now_ms = clock_steady_ms(clock_system());
    for (size_t i = 0; i < json_array_size(outbox->waiting) && i < max; i++) {
        json_t *report = json_copy(json_array_get(outbox->waiting, i));
        json_set_integer(report, "age_ms", age_ms(outbox, i, now_ms));
        json_array_append_new(reports, report);
    }
    return reports;
}

size_t outbox_count(const Outbox *outbox) { return json_array_size(outbox->waiting); }

int outbox_heard(Outbox *outbox, int64_t number, Error *error) {
    if (number > outbox->last)
        return error_set(error, ERROR_REFUSED, "the controller has heard of more than was said");
    while (outbox->heard < number && json_array_size(outbox->waiting) > 0) {
        outbox->forgotten += json_dumpb(json_array_get(outbox->waiting, 0), NULL, 0, JSON_COMPACT);
        json_array_remove(outbox->waiting, 0);
        json_array_remove(outbox->put_ms, 0);
        outbox->heard++;
    }
    return outbox->forgotten > REWRITE_BYTES ? rewrite(outbox, error) : 0;
}
