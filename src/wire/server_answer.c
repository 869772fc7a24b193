/* Answers, whole and in ranges (RFC 9110, section 14). */
#include "wire/server_room.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BLOCK = 64 << 10 };

void server_response_header(struct MHD_Response *response, const char *name, const char *value) {
    MHD_add_response_header(response, name, value); /* fails only for what is no header */
}

static struct MHD_Response *with_house_headers(struct MHD_Response *response) {
    if (!response) abort();
    server_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    server_response_header(response, "X-Content-Type-Options", "nosniff");
    return response;
}

struct MHD_Response *server_response(const char *content_type, Buffer *body) {
    Buffer taken = {0};
    if (body) {
        taken = *body;
        *body = (Buffer){0};
    }
    if (taken.size == 0) buffer_free(&taken);
    struct MHD_Response *response = with_house_headers(
        taken.size ? MHD_create_response_from_buffer(taken.size, taken.data, MHD_RESPMEM_MUST_FREE)
                   : MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT));
    if (content_type) server_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    return response;
}

void server_answer_set(ServerRequest *request, int status, struct MHD_Response *response) {
    ServerConnection *connection = request->connection;
    assert(!connection->answer && !connection->waits);
    for (size_t i = 0; i < request->header_count; i++)
        server_response_header(response, request->headers[i].name, request->headers[i].value);
    connection->answer = response;
    connection->answer_status = status;
}

void server_header(ServerRequest *request, const char *name, const char *value) {
    assert(request->header_count < SERVER_HEADERS_EXTRA);
    ServerHeader *header = &request->headers[request->header_count++];
    header->name = strdup(name);
    header->value = strdup(value);
    if (!header->name || !header->value) abort();
}

void server_answer(ServerRequest *request, int status, const char *content_type, Buffer *body) {
    server_answer_set(request, status, server_response(content_type, body));
}

void server_answer_json(ServerRequest *request, int status, const json_t *json) {
    char *text = json_text(json);
    size_t size = strlen(text);
    Buffer body = {.data = text, .size = size, .capacity = size + 1};
    server_answer(request, status, "application/json", &body);
}

typedef struct FilePart {
    int fd;
    uint64_t start, size;
} FilePart;

static ssize_t file_read_part(void *context, uint64_t position, char *out, size_t room) {
    const FilePart *part = context;
    uint64_t left = part->size - position;
    ssize_t got = pread(part->fd, out, left < room ? (size_t)left : room, (off_t)(part->start + position));
    return got > 0 ? got : MHD_CONTENT_READER_END_WITH_ERROR; /* it became shorter: cut, never fill up */
}

static void file_part_free(void *context) {
    FilePart *part = context;
    close(part->fd);
    free(part);
}

/* Digits at *text, which moves behind them; false when there are none or too many. */
static bool number_parse(const char **text, uint64_t *out) {
    size_t digits = strspn(*text, "0123456789");
    if (digits == 0 || digits > 18) return false;
    *out = strtoull(*text, NULL, 10);
    *text += digits;
    return true;
}

typedef enum RangeVerdict { RANGE_NONE, RANGE_GOOD, RANGE_BEYOND } RangeVerdict;

/* "bytes=a-b", "bytes=a-" or "bytes=-n". What cannot be understood is ignored, as the RFC wants it. */
static RangeVerdict range_parse(const char *text, uint64_t size, uint64_t *start, uint64_t *length) {
    uint64_t first = 0, last = 0;
    if (!text || strncmp(text, "bytes=", 6) != 0) return RANGE_NONE;
    text += 6;
    if (*text == '-') {
        text++;
        if (!number_parse(&text, &last) || *text) return RANGE_NONE;
        if (last == 0 || size == 0) return RANGE_BEYOND;
        *length = last < size ? last : size;
        *start = size - *length;
        return RANGE_GOOD;
    }
    if (!number_parse(&text, &first) || *text++ != '-') return RANGE_NONE;
    if (*text && (!number_parse(&text, &last) || *text || last < first)) return RANGE_NONE;
    if (first >= size) return RANGE_BEYOND;
    *start = first;
    *length = (text[-1] != '-' && last < size ? last + 1 : size) - first;
    return RANGE_GOOD;
}

static RangeVerdict range_wanted(const ServerRequest *request, uint64_t size, const char *etag,
                                 uint64_t *start, uint64_t *length) {
    const char *condition = server_request_header(request, MHD_HTTP_HEADER_IF_RANGE);
    if (strcmp(request->method, MHD_HTTP_METHOD_GET) != 0 || (condition && strcmp(condition, etag) != 0))
        return RANGE_NONE;
    return range_parse(server_request_header(request, MHD_HTTP_HEADER_RANGE), size, start, length);
}

void server_answer_file(ServerRequest *request, int fd, uint64_t size, const char *content_type,
                        const char *etag) {
    FilePart *part = malloc(sizeof *part);
    char content_range[80];
    struct MHD_Response *response;
    if (!part) abort();
    *part = (FilePart){.fd = fd, .size = size};
    RangeVerdict verdict = range_wanted(request, size, etag, &part->start, &part->size);
    if (verdict == RANGE_BEYOND || part->size == 0) {
        file_part_free(part);
        response = server_response(verdict == RANGE_BEYOND ? NULL : content_type, NULL);
    } else {
        snprintf(content_range, sizeof content_range, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, part->start,
                 part->start + part->size - 1, size);
        response = with_house_headers(
            MHD_create_response_from_callback(part->size, FILE_BLOCK, file_read_part, part, file_part_free));
        server_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    }
    if (verdict == RANGE_BEYOND) snprintf(content_range, sizeof content_range, "bytes */%" PRIu64, size);
    if (verdict != RANGE_NONE) server_response_header(response, MHD_HTTP_HEADER_CONTENT_RANGE, content_range);
    server_response_header(response, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
    server_response_header(response, MHD_HTTP_HEADER_ETAG, etag);
    server_answer_set(request,
                      verdict == RANGE_NONE   ? MHD_HTTP_OK
                      : verdict == RANGE_GOOD ? MHD_HTTP_PARTIAL_CONTENT
                                              : MHD_HTTP_RANGE_NOT_SATISFIABLE,
                      response);
}
