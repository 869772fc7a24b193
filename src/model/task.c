#include "model/task.h"
#include "base/json.h"
#include <stddef.h>
#include <string.h>

static const char *const kinds[TASK_KINDS] = {"restore_points", "prove",   "fsck",
                                              "restore",        "service", "loss"};

const char *task_kind_text(TaskKind kind) { return kinds[kind]; }

bool task_changes(const Task *task) {
    if (task->kind == TASK_SERVICE) return strcmp(task->action, "status") != 0;
    return task->kind == TASK_RESTORE && !task->look;
}

/* Which kinds know a text, and which cannot do without it. */
typedef struct Field {
    const char *key;
    size_t offset;
    unsigned known, needed; /* bits of kinds */
} Field;

#define BIT(kind) (1U << (kind))
static const Field fields[] = {
    {"id", offsetof(Task, id), BIT(TASK_PROVE) | BIT(TASK_RESTORE), BIT(TASK_PROVE) | BIT(TASK_RESTORE)},
    {"only", offsetof(Task, only), BIT(TASK_RESTORE), 0},
    {"to", offsetof(Task, to), BIT(TASK_RESTORE), 0},
    {"seen", offsetof(Task, seen), BIT(TASK_RESTORE), 0},
    {"service", offsetof(Task, service), BIT(TASK_RESTORE_POINTS), 0},
    {"host", offsetof(Task, host), BIT(TASK_RESTORE_POINTS), 0},
    {"root", offsetof(Task, root), BIT(TASK_SERVICE) | BIT(TASK_LOSS), BIT(TASK_SERVICE) | BIT(TASK_LOSS)},
    {"action", offsetof(Task, action), BIT(TASK_SERVICE), BIT(TASK_SERVICE)},
    {"change", offsetof(Task, change), BIT(TASK_LOSS), BIT(TASK_LOSS)},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static const char **text_of(Task *task, const Field *field) {
    return (const char **)((char *)task + field->offset);
}

json_t *task_to_json(const Task *task) {
    Task copy = *task;
    json_t *json = json_object();
    json_set_text(json, "kind", kinds[task->kind]);
    for (size_t i = 0; i < FIELDS; i++) json_set_text(json, fields[i].key, *text_of(&copy, &fields[i]));
    if (task->look) json_set_bool(json, "look", true);
    return json;
}

static int read_kind(const json_t *json, TaskKind *out, Error *error) {
    const char *text = json_get_text(json, "kind", "");
    for (size_t i = 0; i < TASK_KINDS; i++) {
        if (strcmp(kinds[i], text) != 0) continue;
        *out = (TaskKind)i;
        return 0;
    }
    return error_set(error, ERROR_INVALID, "“kind” is none that a host knows: %.64s", text);
}

static const Field *find_field(const char *key) {
    for (size_t i = 0; i < FIELDS; i++)
        if (strcmp(fields[i].key, key) == 0) return &fields[i];
    return NULL;
}

/* It will be read on terminals. U+0080 to U+009F are written C2 80 to C2 9F. */
static bool has_controls(const char *text) {
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        if (*at < ' ' || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0)) return true;
    return false;
}

static int read_member(Task *task, const char *key, const json_t *value, Error *error) {
    const Field *field = find_field(key);
    if (strcmp(key, "kind") == 0) return 0;
    if (strcmp(key, "look") == 0 && task->kind == TASK_RESTORE && json_is_boolean(value)) {
        task->look = json_is_true(value);
        return 0;
    }
    if (!field || !(field->known & BIT(task->kind)))
        return error_set(error, ERROR_INVALID, "“%s” knows no “%.64s”", kinds[task->kind], key);
    size_t length = json_is_string(value) ? json_string_length(value) : 0;
    if (length == 0 || length > TASK_TEXT_MAX)
        return error_set(error, ERROR_INVALID, "“%s” must be a text of 1 to %d bytes", key, TASK_TEXT_MAX);
    if (has_controls(json_string_value(value)))
        return error_set(error, ERROR_INVALID, "“%s” must have no control characters", key);
    *text_of(task, field) = json_string_value(value);
    return 0;
}

static bool is_action(const char *text) {
    return strcmp(text, "status") == 0 || strcmp(text, "start") == 0 || strcmp(text, "stop") == 0;
}

int task_from_json(const json_t *json, Task *out, Error *error) {
    Task task = {0};
    const char *key;
    json_t *value;
    if (read_kind(json, &task.kind, error) < 0) return -1;
    json_object_foreach((json_t *)json, key, value) {
        if (read_member(&task, key, value, error) < 0) return -1;
    }
    for (size_t i = 0; i < FIELDS; i++)
        if ((fields[i].needed & BIT(task.kind)) && !*text_of(&task, &fields[i]))
            return error_set(error, ERROR_INVALID, "“%s” is missing", fields[i].key);
    if (task.action && !is_action(task.action))
        return error_set(error, ERROR_INVALID, "“action” must be status, start or stop, not %.64s",
                         task.action);
    *out = task;
    return 0;
}
