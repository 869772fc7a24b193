#include "host/service/service_record.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "host/service/service.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RECORD_NAME "service.pid"
enum { RECORD_SIZE_MAX = 4096 };

static bool copy_text(const json_t *json, const char *key, char *out, size_t size) {
    const char *text = json_get_text(json, key, "");
    size_t length = strlen(text);
    if (length == 0 || length >= size) return false;
    memcpy(out, text, length + 1);
    return true;
}

static bool decode(const json_t *json, ServiceRecord *out) {
    out->pid = (pid_t)json_get_integer(json, "pid", 0);
    out->start_ticks = (uint64_t)json_get_integer(json, "start_ticks", 0);
    out->started_ms = json_get_integer(json, "started_ms", 0);
    out->ended_ms = json_get_integer(json, "ended_ms", 0);
    out->exit_status = (int)json_get_integer(json, "exit_status", SERVICE_EXIT_UNKNOWN);
    return out->pid > 1 && out->start_ticks > 0 && copy_text(json, "boot", out->boot, sizeof out->boot) &&
           copy_text(json, "token", out->token, sizeof out->token) &&
           copy_text(json, "digest", out->digest, sizeof out->digest);
}

int service_record_load(int folder, ServiceRecord *out, Error *error) {
    BUFFER_AUTO text = {0};
    Error problem = {0};
    if (file_read(folder, RECORD_NAME, RECORD_SIZE_MAX, &text, &problem) < 0) {
        if (problem.number == ENOENT) return 0;
        if (error) *error = problem;
        return -1;
    }
    JSON_AUTO json = NULL;
    ServiceRecord record = {0};
    if (json_parse(buffer_text(&text), text.size, RECORD_NAME, &json, NULL) < 0 || !decode(json, &record)) {
        error_set(error, ERROR_ATTENTION, "the pid file .upkeep/%s is damaged", RECORD_NAME);
        return error_hint(error, "stop the service by hand if it runs, then remove the file");
    }
    *out = record;
    return 1;
}

int service_record_save(int folder, const ServiceRecord *record, Error *error) {
    JSON_AUTO json = json_object();
    json_set_integer(json, "pid", record->pid);
    json_set_integer(json, "start_ticks", (int64_t)record->start_ticks);
    json_set_text(json, "boot", record->boot);
    json_set_text(json, "token", record->token);
    json_set_text(json, "digest", record->digest);
    json_set_integer(json, "started_ms", record->started_ms);
    if (record->ended_ms) json_set_integer(json, "ended_ms", record->ended_ms);
    if (record->exit_status != SERVICE_EXIT_UNKNOWN)
        json_set_integer(json, "exit_status", record->exit_status);
    FREE_AUTO char *text = json_text(json);
    return file_replace(folder, RECORD_NAME, text, strlen(text), 0600, error);
}

int service_record_tidy(int folder, Error *error) { return file_replace_tidy(folder, RECORD_NAME, error); }

int service_record_remove(int folder, Error *error) {
    if (unlinkat(folder, RECORD_NAME, 0) != 0 && errno != ENOENT)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot remove %s", RECORD_NAME);
    return file_sync_dir(folder, error);
}
