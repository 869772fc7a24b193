/* SampleRun: a change of a small service in a TestFolder — real packages, folders and probes; the service is
 * three commands around a file. */
#pragma once
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "engine/change.h"
#include "engine/engine.h"
#include "engine/host_link_local.h"
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

static inline void sample_pack_version(const TestFolder *folder, const char *version, bool healthy) {
    char directory[SAMPLE_PATH_SIZE], output[SAMPLE_PATH_SIZE], file[32];
    snprintf(directory, sizeof directory, "%s/tree-%s", folder->path, version);
    snprintf(output, sizeof output, "%s/%s.upk", folder->path, version);
    snprintf(file, sizeof file, "tree-%s/%s", version, healthy ? "healthy" : "sick");
    assert_int_equal(mkdir(directory, 0755), 0);
    sample_write_at(folder, file, version);
    KEY_AUTO key = sample_key(folder, "k");
    ManifestHead head = {.service = "sample", .version = version};
    PackSpec spec = {
        .directory = directory, .output = output, .head = &head, .keys = &key, .key_count = 1, .level = 1};
    assert_done(pack_write(&spec, NULL, error));
}

typedef struct SampleRun {
    Arena *arena;
    const TestFolder *folder;
    Journal *journal;
    Plan *plan;
    char change[CHANGE_ID_SIZE];
    Rollout *rollout;
    EngineEnd end;
} SampleRun;

static inline SampleRun sample_run_open(const TestFolder *folder, Journal *journal, const char *version,
                                        const char *more) {
    SampleRun run = {.arena = arena_new(), .folder = folder, .journal = journal};
    BUFFER_AUTO text = {0};
    PACKAGE_AUTO package = NULL;
    char file[32];
    sample_write_plan(folder, version, more, &text);
    snprintf(file, sizeof file, "%s.upk", version);
    assert_done(plan_compile(run.arena, "p", "/", buffer_text(&text), text.size, &run.plan, error));
    assert_done(sample_open(folder, file, &package, error));
    ChangeOpening opening = {.plan = run.plan,
                             .plan_file = "p",
                             .version = version,
                             .package = &package->digest,
                             .by = "test",
                             .clock = clock_system()};
    assert_done(change_open(journal, &opening, run.change, error));
    return run;
}

static inline HostLinkLocalSpec sample_run_local(const SampleRun *run) {
    HostLinkLocalSpec spec;
    assert_done(host_link_local_spec(run->arena, run->rollout, run->folder->path, &spec, error));
    spec.clock = clock_system();
    return spec;
}

static inline void sample_run_close(SampleRun *run) { arena_free(run->arena); }
