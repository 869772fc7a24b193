/* SampleService: a small service in a TestFolder — real packages, folders and probes; it is three commands
 * around a file. */
#pragma once
#include "base/buffer.h"
#include "base/cleanup.h"
#include "support/sample_package.h"
#include <string.h>

/* A service that runs while the file `running` stands in its root, and is healthy when the release says so.
 */
static inline void sample_write_plan(const TestFolder *folder, const char *version, const char *more,
                                     Buffer *out) {
    buffer_printf(
        out,
        "upkeep: 1\n"
        "service:\n"
        "  name: sample\n"
        "  root: %s/root\n"
        "  data: [shared]\n"
        "  run: {commands: {start: [touch, running], stop: [rm, -f, running], status: [test, -e, running]}}\n"
        "package: {file: %s/%s.upk, trust: [%s/k.pub]}\n"
        "hosts: [{name: h}]\n"
        "health:\n"
        "  - {command: {run: [test, -e, current/healthy]}, every: 10ms, healthy_after: 2, deadline: 2s}\n"
        "rollout: {stages: [{name: all, soak: 50ms}]}\n%s",
        folder->path, folder->path, version, folder->path, more);
}

static inline void sample_write_at(const TestFolder *folder, const char *path, const char *text) {
    char whole[SAMPLE_PATH_SIZE];
    sample_path(folder, path, whole);
    int fd = open(whole, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static inline bool sample_stands(const TestFolder *folder, const char *path) {
    char whole[SAMPLE_PATH_SIZE];
    sample_path(folder, path, whole);
    return access(whole, F_OK) == 0;
}

/* The folder tree-VERSION as VERSION.upk; `hooks` may be NULL. */
static inline void sample_pack_tree(const TestFolder *folder, const char *version,
                                    const ManifestHooks *hooks) {
    char directory[SAMPLE_PATH_SIZE], output[SAMPLE_PATH_SIZE];
    snprintf(directory, sizeof directory, "%s/tree-%s", folder->path, version);
    snprintf(output, sizeof output, "%s/%s.upk", folder->path, version);
    KEY_AUTO key = sample_key(folder, "k");
    ManifestHead head = {.service = "sample", .version = version};
    if (hooks) head.hooks = *hooks;
    PackSpec spec = {
        .directory = directory, .output = output, .head = &head, .keys = &key, .key_count = 1, .level = 1};
    assert_done(pack_write(&spec, NULL, error));
}

static inline void sample_pack_version(const TestFolder *folder, const char *version, bool healthy) {
    char directory[SAMPLE_PATH_SIZE], file[32];
    snprintf(directory, sizeof directory, "%s/tree-%s", folder->path, version);
    snprintf(file, sizeof file, "tree-%s/%s", version, healthy ? "healthy" : "sick");
    assert_int_equal(mkdir(directory, 0755), 0);
    sample_write_at(folder, file, version);
    sample_pack_tree(folder, version, NULL);
}
