/* What people ask of single hosts, and what these answer. */
#include "base/cleanup.h"
#include "base/json.h"
#include "server/fleet_room.h"
#include <errno.h>

enum { RESULT_MAX = 4096 };

/* Evidence before the deed: what changes a host stands in the journal before the host can know of it. */
static int write_asked(Fleet *fleet, const FleetTask *asked, const char *id, Error *error) {
    Task task;
    if (task_from_json(asked->task, &task, error) < 0) return -1;
    if (!task_changes(&task)) return 0;
    json_t *event = json_object();
    json_set_text(event, "type", "task.asked");
    json_set_text(event, "host", asked->host);
    json_set_text(event, "task", id);
    json_set_text(event, "by", asked->by);
    json_object_set(event, "asked", (json_t *)asked->task);
    return fleet_write(fleet, event, error);
}

/* What a host tells at length is for whoever asked, not for the journal. */
static int write_ended(Fleet *fleet, const char *host, const char *id, const json_t *word, Error *error) {
    json_t *event = json_object(), *result = json_object_get(word, "result");
    json_set_text(event, "type", "task.ended");
    json_set_text(event, "host", host);
    json_set_text(event, "task", id);
    const char *problem = json_get_text(word, "error", NULL);
    if (problem) {
        char text[RESULT_MAX];
        snprintf(text, sizeof text, "%s", problem);
        json_set_text(event, "error", text);
    }
    if (result && json_dumpb(result, NULL, 0, JSON_COMPACT) <= RESULT_MAX)
        json_object_set(event, "result", result);
    return fleet_write(fleet, event, error);
}

int fleet_ask(Fleet *fleet, const FleetTask *asked, char id[static TASK_ID_SIZE], Error *error) {
    if (!fleet_is_joined(fleet, asked->host)) {
        error_set(error, ERROR_INVALID, "there is no host %s", asked->host);
        if (error) error->number = ENOENT;
        return -1;
    }
    if (task_board_add(fleet->tasks, asked->host, asked->task, id, error) < 0) return -1;
    if (write_asked(fleet, asked, id, error) < 0) {
        task_board_remove(fleet->tasks, id);
        return -1;
    }
    task_board_open(fleet->tasks, id);
    fleet_wake(fleet, asked->host);
    return 0;
}

void fleet_tasks_arrived(Fleet *fleet, const char *host) { task_board_arrived(fleet->tasks, host); }

void fleet_tasks_drop(Fleet *fleet, const char *host) { task_board_drop(fleet->tasks, host); }

json_t *fleet_task(Fleet *fleet, const char *host, const char *id) {
    return task_board_look(fleet->tasks, host, id);
}

void fleet_park_task(Fleet *fleet, const char *host, const char *id, int64_t revision, ServerTicket ticket) {
    task_board_park(fleet->tasks, host, id, ticket);
    JSON_AUTO now = task_board_look(fleet->tasks, host, id); /* it may have come while it was being parked */
    if (now && json_get_integer(now, "revision", 0) > revision) fleet_answer(fleet, ticket, now);
}

int fleet_tell_task(Fleet *fleet, const char *host, const char *id, json_t *word, Error *error) {
    bool is_last;
    ServerTicket ticket;
    if (task_board_check(word, &is_last, error) < 0) return -1;
    if (is_last && task_board_expects(fleet->tasks, host, id) &&
        write_ended(fleet, host, id, word, error) < 0)
        return -1;
    if (task_board_tell(fleet->tasks, host, id, json_incref(word), &ticket, error) < 0) return -1;
    JSON_AUTO now = ticket ? task_board_look(fleet->tasks, host, id) : NULL;
    if (now) fleet_answer(fleet, ticket, now);
    return 0;
}
