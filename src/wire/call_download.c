#include "base/cleanup.h"
#include "wire/call_room.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* What is known of the answer while it comes. */
typedef struct Arrival {
    CallClient *client;
    CallDownload *download;
    uint64_t had;  /* bytes in fd before, which the range asked for begins behind */
    uint64_t size; /* bytes in fd now */
    char etag[CALL_ETAG_SIZE];
    bool has_range;
    uint64_t range_start, whole_size;
    bool begun;   /* the first byte came, and the answer fits what we have */
    bool written; /* `error` says why writing ended */
    size_t header_bytes;
    Error error;
} Arrival;

static const char *value_of(const char *line, const char *name) {
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':') return NULL;
    line += length + 1;
    return line + strspn(line, " \t");
}

static void content_range_read(Arrival *arrival, const char *value) {
    unsigned long long start, last, whole;
    if (sscanf(value, "bytes %llu-%llu/%llu", &start, &last, &whole) == 3 && start <= last && last < whole) {
        arrival->has_range = true;
        arrival->range_start = start;
        arrival->whole_size = whole;
    } else if (sscanf(value, "bytes */%llu", &whole) == 1) {
        arrival->whole_size = whole;
    }
}

static size_t on_header(char *bytes, size_t one, size_t size, void *context) {
    (void)one;
    Arrival *arrival = context;
    char line[512];
    const char *value;
    arrival->header_bytes += size;
    if (arrival->header_bytes > 64 << 10) return 0; /* CURLE_WRITE_ERROR */
    if (size >= sizeof line) return size;
    memcpy(line, bytes, size);
    line[size] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    if ((value = value_of(line, "ETag")) && strlen(value) < sizeof arrival->etag && value[0] == '"')
        memcpy(arrival->etag, value, strlen(value) + 1); /* weak ones are of no use here */
    else if ((value = value_of(line, "Content-Range")))
        content_range_read(arrival, value);
    return size;
}

static int start_over(Arrival *arrival) {
    arrival->size = 0;
    if (ftruncate(arrival->download->fd, 0) < 0)
        return error_errno(&arrival->error, ERROR_SYSTEM, errno, "cannot empty the file");
    return 0;
}

/* Does what comes belong behind what we have? Decided once, before the first byte is written. */
static int arrival_begin(Arrival *arrival) {
    CallDownload *download = arrival->download;
    long status = 0;
    curl_easy_getinfo(arrival->client->handle, CURLINFO_RESPONSE_CODE, &status);
    arrival->begun = true;
    download->status = (int)status;
    if (status == 200) {
        if (start_over(arrival) < 0) return -1;
    } else if (status == 206) {
        if (!arrival->has_range || arrival->range_start != arrival->had ||
            strcmp(arrival->etag, download->etag) != 0)
            return error_set(&arrival->error, ERROR_SYSTEM,
                             "the server sends another part than was asked for");
        download->resumed_at = arrival->had;
    } else {
        return error_set(&arrival->error, ERROR_SYSTEM, "the server answered with status %ld", status);
    }
    memcpy(download->etag, arrival->etag, sizeof download->etag);
    return 0;
}

static int arrival_write(Arrival *arrival, const char *bytes, size_t size) {
    const CallDownload *download = arrival->download;
    if (!arrival->begun && arrival_begin(arrival) < 0) return -1;
    if (size > download->size_max || arrival->size > download->size_max - size)
        return error_set(&arrival->error, ERROR_SYSTEM, "it is larger than the %" PRIu64 " bytes allowed",
                         download->size_max);
    for (size_t done = 0; done < size;) {
        ssize_t part = pwrite(download->fd, bytes + done, size - done, (off_t)arrival->size);
        if (part < 0 && errno == EINTR) continue;
        if (part < 0) return error_errno(&arrival->error, ERROR_SYSTEM, errno, "cannot write the file");
        done += (size_t)part;
        arrival->size += (uint64_t)part;
    }
    return 0;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *context) {
    (void)one;
    Arrival *arrival = context;
    if (arrival_write(arrival, bytes, size) == 0) return size;
    arrival->written = true;
    return 0;
}

static void range_ask(CURL *handle, const Arrival *arrival, struct curl_slist **headers) {
    char line[CALL_ETAG_SIZE + 32];
    if (!arrival->had) return;
    snprintf(line, sizeof line, "%" PRIu64 "-", arrival->had);
    curl_easy_setopt(handle, CURLOPT_RANGE, line);
    snprintf(line, sizeof line, "If-Range: %s", arrival->download->etag);
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (!longer) abort();
    *headers = longer;
}

static CURLcode arrival_perform(Arrival *arrival, int64_t stall_ms) {
    CallDownload *download = arrival->download;
    CURL *handle = arrival->client->handle;
    CALL_HEADERS_AUTO headers = NULL;
    call_prepare(arrival->client, download->path, stall_ms, download->cancel, &headers);
    range_ask(handle, arrival, &headers);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, 0L); /* the whole may take as long as it goes on */
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, (long)((stall_ms + 999) / 1000));
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, arrival);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, arrival);
    return curl_easy_perform(handle);
}

/* 0: whole. 1: the server's file ends before what we have, so begin anew. */
static int download_once(CallClient *client, CallDownload *download, uint64_t had, Error *error) {
    Arrival arrival = {.client = client, .download = download, .had = had, .size = had};
    int64_t stall_ms = download->stall_ms > 0 ? download->stall_ms : CALL_TIMEOUT_MS;
    CURLcode code = arrival_perform(&arrival, stall_ms);
    long status = 0;
    curl_easy_getinfo(client->handle, CURLINFO_RESPONSE_CODE, &status);
    download->status = (int)status;
    if (status == 416 && had) { /* nothing is behind what we have: is that because it is all? */
        if (code == CURLE_OK && arrival.whole_size == had && strcmp(arrival.etag, download->etag) == 0) {
            download->resumed_at = had;
            return 0;
        }
        return 1;
    }
    if (arrival.written) {
        if (error) *error = arrival.error;
        return call_error_place(client, "GET", download->path, error);
    }
    if (code != CURLE_OK) return call_error(client, code, "GET", download->path, stall_ms, error);
    if (!arrival.begun && arrival_begin(&arrival) < 0) { /* an empty one */
        if (error) *error = arrival.error;
        return call_error_place(client, "GET", download->path, error);
    }
    if (arrival.has_range && arrival.whole_size != arrival.size) {
        error_set(error, ERROR_SYSTEM, "the answer broke off");
        return call_error_place(client, "GET", download->path, error);
    }
    return 0;
}

int call_download(CallClient *client, CallDownload *download, Error *error) {
    struct stat file;
    if (fstat(download->fd, &file) < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot look at the file that is being downloaded");
    uint64_t had = download->etag[0] ? (uint64_t)file.st_size : 0;
    download->status = 0;
    download->resumed_at = 0;
    int result = download_once(client, download, had, error);
    if (result == 1) result = download_once(client, download, 0, error);
    return result;
}
