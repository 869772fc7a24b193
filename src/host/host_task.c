#include "host/host_task.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "host/host.h"
#include "host/host_lock.h"
#include "host/installed.h"
#include "host/restore_point/restore_point.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- restore points, as they are told */

static json_t *point_to_json(const RestorePoint *point, const char *store) {
    json_t *json = json_object(), *parts = json_array();
    uint64_t files = 0, bytes = 0;
    for (size_t i = 0; i < point->part_count; i++) {
        json_t *part = json_object();
        restore_point_part_describe(&point->parts[i], part);
        json_set_integer(part, "bytes", (int64_t)point->parts[i].size_bytes);
        json_array_append_new(parts, part);
        files += point->parts[i].file_count;
        bytes += point->parts[i].size_bytes;
    }
    restore_point_describe(point, json);
    json_set_text(json, "store", store);
    json_set_integer(json, "files", (int64_t)files);
    json_set_integer(json, "bytes", (int64_t)bytes);
    json_object_set_new(json, "parts", parts);
    if (point->proof.time_ms != 0) json_set_time(json, "proved", point->proof.time_ms);
    return json;
}

/* ---- stores: looking for one must not make it */

static int no_store(const HostTaskSpec *spec, Error *error) {
    error_set(error, ERROR_INVALID, "there is no store of restore points at %s",
              spec->stores.count ? spec->stores.items[0] : "-");
    if (error) error->number = ENOENT;
    return -1;
}

static bool is_there(const char *path) {
    FREE_AUTO char *format = file_join(path, "format");
    return access(format, F_OK) == 0;
}

/* The next store that can be opened, from *i on. False: there is none. What could not be opened is kept. */
static bool next_store(const HostTaskSpec *spec, size_t *i, Store **out, Error *unusable) {
    while (*i < spec->stores.count) {
        const char *path = spec->stores.items[(*i)++];
        if (is_there(path) && store_open(path, out, unusable) == 0) return true;
    }
    return false;
}

/* Not a single one could be opened. */
static int no_store_at_all(const HostTaskSpec *spec, const Error *unusable, Error *error) {
    if (unusable->kind == ERROR_NONE) return no_store(spec, error);
    if (error) *error = *unusable;
    return -1;
}

static void note_unusable(json_t *json, const Error *unusable) {
    if (unusable->kind == ERROR_NONE) return;
    json_t *note = json_object();
    json_set_error(note, unusable);
    json_object_set_new(json, "unusable", note);
}

static int list_points(const HostTaskSpec *spec, const Task *task, json_t **answer, Error *error) {
    JSON_AUTO json = json_object();
    json_t *stores = json_array(), *points = json_array();
    size_t unreadable = 0, i = 0;
    Error unusable = {0};
    json_object_set_new(json, "stores", stores);
    json_object_set_new(json, "points", points);
    for (;;) {
        STORE_AUTO store = NULL;
        RESTORE_POINT_LIST_AUTO list = {0};
        if (!next_store(spec, &i, &store, &unusable)) break;
        if (restore_point_list(store, task->service, task->host, &list, error) < 0) return -1;
        json_array_append_new(stores, json_string(store_path(store)));
        for (size_t j = 0; j < list.count; j++)
            json_array_append_new(points, point_to_json(list.points[j], store_path(store)));
        unreadable += list.unreadable;
    }
    if (json_array_size(stores) == 0) return no_store_at_all(spec, &unusable, error);
    json_set_integer(json, "unreadable", (int64_t)unreadable);
    note_unusable(json, &unusable);
    *answer = pointer_take(&json);
    return 0;
}

/* The point of that id, and the store that has it. The caller frees both. A damaged one is no reason to look
 * on. */
static int find_point(const HostTaskSpec *spec, const char *id, Store **store, RestorePoint **point,
                      Error *error) {
    Error unusable = {0}, missing = {0};
    for (size_t i = 0; missing.kind == ERROR_NONE || missing.kind == ERROR_INVALID;) {
        STORE_AUTO opened = NULL;
        if (!next_store(spec, &i, &opened, &unusable)) break;
        if (restore_point_load(opened, id, point, &missing) < 0) continue;
        *store = pointer_take(&opened);
        return 0;
    }
    if (missing.kind == ERROR_NONE) return no_store_at_all(spec, &unusable, error);
    if (error) *error = missing;
    return -1;
}

static int prove(const HostTaskSpec *spec, const Task *task, json_t **answer, Error *error) {
    STORE_AUTO store = NULL;
    RESTORE_POINT_AUTO point = NULL;
    RestorePointProve options = {.full = true, .now_ms = spec->now_ms, .wish = spec->wish};
    if (find_point(spec, task->id, &store, &point, error) < 0 ||
        restore_point_prove(store, point, &options, error) < 0)
        return -1;
    *answer = point_to_json(point, store_path(store));
    json_set_integer(*answer, "restored_files", (int64_t)point->proof.restored_files);
    json_set_integer(*answer, "restored_bytes", (int64_t)point->proof.restored_bytes);
    return 0;
}

static void keep_example(void *context, const Error *problem) {
    json_t *examples = context, *json = json_object();
    json_set_error(json, problem);
    if (json_array_size(examples) < HOST_TASK_EXAMPLES_MAX)
        json_array_append_new(examples, json);
    else
        json_decref(json);
}

static int check_store(Store *store, json_t *json, json_t *examples, Error *error) {
    RestorePointCheck counts = {0};
    if (restore_point_fsck(store, keep_example, examples, &counts, error) < 0) return -1;
    const struct {
        const char *key;
        uint64_t count;
    } sums[] = {{"objects", counts.objects},
                {"bytes", counts.bytes},
                {"points", counts.points},
                {"problems", counts.problems}};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
        json_set_integer(json, sums[i].key, json_get_integer(json, sums[i].key, 0) + (int64_t)sums[i].count);
    json_array_append_new(json_object_get(json, "stores"), json_string(store_path(store)));
    return 0;
}

static int fsck(const HostTaskSpec *spec, json_t **answer, Error *error) {
    JSON_AUTO json = json_object();
    json_t *stores = json_array(), *examples = json_array();
    size_t i = 0;
    Error unusable = {0};
    json_object_set_new(json, "stores", stores);
    json_object_set_new(json, "examples", examples);
    for (;;) {
        STORE_AUTO store = NULL;
        if (!next_store(spec, &i, &store, &unusable)) break;
        if (check_store(store, json, examples, error) < 0) return -1;
    }
    if (json_array_size(stores) == 0) return no_store_at_all(spec, &unusable, error);
    note_unusable(json, &unusable);
    *answer = pointer_take(&json);
    return 0;
}

/* ---- putting back */

static int check_root(const HostTaskSpec *spec, const char *root, Error *error) {
    if (!spec->roots) return 0;
    for (size_t i = 0; i < spec->roots->count; i++)
        if (strcmp(spec->roots->items[i], root) == 0) return 0;
    return error_set(error, ERROR_REFUSED, "this host knows of no service in %s", root);
}

/* Nobody may upgrade the host while its files are put back. A root that was never upgraded has no lock. */
static int lock_root(const char *path, int *out, Error *error) {
    FD_AUTO root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FD_AUTO upkeep = root < 0 ? -1 : file_open_no_links(root, ".upkeep", O_RDONLY | O_DIRECTORY, 0);
    if (upkeep < 0 && errno == ENOENT) return 0;
    if (upkeep < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", path);
    return host_lock_take(upkeep, path, "upkeep restore", out, error);
}

static json_t *counts_to_json(const RestorePoint *point, const char *root, const RestoreCounts *counts) {
    json_t *json = json_object();
    json_set_text(json, "restore_point", point->id);
    json_set_text(json, "change", point->change[0] ? point->change : NULL);
    json_set_text(json, "root", root);
    json_set_bool(json, "proved", point->proof.time_ms != 0);
    json_set_integer(json, "written_files", (int64_t)counts->written_files);
    json_set_integer(json, "written_bytes", (int64_t)counts->written_bytes);
    json_set_integer(json, "replaced_bytes", (int64_t)counts->replaced_bytes);
    json_set_integer(json, "removed", (int64_t)counts->removed);
    json_set_integer(json, "removed_bytes", (int64_t)counts->removed_bytes);
    json_set_integer(json, "other", (int64_t)counts->other);
    json_set_integer(json, "unchanged", (int64_t)counts->unchanged);
    return json;
}

/* What a look finds, by a name: whoever agreed to one may not mean another. */
static void name_look(json_t *counts) {
    char text[DIGEST_TEXT_SIZE];
    Digest digest = json_digest(counts);
    digest_to_text(&digest, text);
    text[32] = '\0';
    json_set_text(counts, "seen", text);
}

static int look(Store *store, RestorePoint *point, RestorePointApply options, json_t **answer, Error *error) {
    RestoreCounts counts;
    options.mode = RESTORE_LOOK;
    if (restore_point_apply(store, point, &options, &counts, error) < 0) return -1;
    *answer = counts_to_json(point, options.root, &counts);
    name_look(*answer);
    return 0;
}

static int check_seen(const Task *task, const json_t *now, Error *error) {
    if (!task->seen || strcmp(task->seen, json_get_text(now, "seen", "")) == 0) return 0;
    error_set(error, ERROR_REFUSED, "what is there has changed since it was looked at; nothing was touched");
    return error_hint(error, "stop the service, then look once more");
}

static int restore(const HostTaskSpec *spec, const Task *task, json_t **answer, Error *error) {
    STORE_AUTO store = NULL;
    RESTORE_POINT_AUTO point = NULL;
    JSON_AUTO now = NULL;
    FD_AUTO lock = -1;
    RestoreCounts counts;
    if (task->to && spec->roots)
        return error_set(error, ERROR_REFUSED, "restoring elsewhere is done on the host itself");
    if (find_point(spec, task->id, &store, &point, error) < 0) return -1;
    bool is_part = task->only && restore_point_part(point, task->only);
    RestorePointApply options = {.part = is_part ? task->only : NULL,
                                 .only = is_part ? NULL : task->only,
                                 .root = task->to ? task->to : point->root,
                                 .mode = RESTORE_EXACT,
                                 .wish = spec->wish};
    if (!task->to && (check_root(spec, options.root, error) < 0 || lock_root(options.root, &lock, error) < 0))
        return -1;
    if (task->look) return look(store, point, options, answer, error);
    if (task->seen && (look(store, point, options, &now, error) < 0 || check_seen(task, now, error) < 0))
        return -1;
    if (restore_point_apply(store, point, &options, &counts, error) < 0) return -1;
    *answer = counts_to_json(point, options.root, &counts);
    return 0;
}

/* ---- the rest */

static int serve(const HostTaskSpec *spec, const Task *task, json_t **answer, Error *error) {
    Installed found;
    InstalledAction action = strcmp(task->action, "start") == 0  ? INSTALLED_START
                             : strcmp(task->action, "stop") == 0 ? INSTALLED_STOP
                                                                 : INSTALLED_LOOK;
    if (check_root(spec, task->root, error) < 0 || installed_act(task->root, action, &found, error) < 0)
        return -1;
    *answer = json_object();
    json_set_text(*answer, "root", task->root);
    json_set_text(*answer, "version", found.version);
    json_set_text(*answer, "state", service_state_text(found.status.state));
    if (found.status.pid > 0) json_set_integer(*answer, "pid", found.status.pid);
    return 0;
}

static int look_at_loss(const HostTaskSpec *spec, const Task *task, json_t **answer, Error *error) {
    HostLoss loss = {0};
    if (check_root(spec, task->root, error) < 0 || host_loss(task->root, task->change, &loss, error) < 0)
        return -1;
    *answer = json_object();
    json_set_integer(*answer, "files", (int64_t)loss.files);
    json_set_integer(*answer, "bytes", (int64_t)loss.bytes);
    json_set_text(*answer, "since", *loss.since ? loss.since : NULL);
    return 0;
}

int host_task(const HostTaskSpec *spec, const Task *task, json_t **answer, Error *error) {
    switch (task->kind) {
    case TASK_RESTORE_POINTS: return list_points(spec, task, answer, error);
    case TASK_PROVE: return prove(spec, task, answer, error);
    case TASK_FSCK: return fsck(spec, answer, error);
    case TASK_RESTORE: return restore(spec, task, answer, error);
    case TASK_SERVICE: return serve(spec, task, answer, error);
    case TASK_LOSS: return look_at_loss(spec, task, answer, error);
    }
    return error_set(error, ERROR_INVALID, "this host does not know that task");
}
