#include "model/plan_traffic.h"
#include <string.h>

enum { SOCKETS_MAX = 8, SOCKET_PATH_MAX = 107, SERVER_TEXT_MAX = 255 };

static StringList list_of(Arena *arena, const char *const *words, size_t count) {
    StringList list = {ARENA_ARRAY(arena, count, const char *), count};
    memcpy(list.items, words, count * sizeof *words);
    return list;
}

void plan_traffic_complete(Arena *arena, PlanTraffic *traffic) {
    static const char *const test[] = {"nginx", "-t"}, *const reload[] = {"nginx", "-s", "reload"};
    PlanNginx *nginx = traffic ? traffic->nginx : NULL;
    if (nginx && !nginx->test.count) nginx->test = list_of(arena, test, 2);
    if (nginx && !nginx->reload.count) nginx->reload = list_of(arena, reload, 3);
}

int plan_host_weight(const Plan *own) {
    return own->traffic && own->rollout.stages.count && own->rollout.stages.items[0].weight.set
               ? (int)own->rollout.stages.items[0].weight.value
               : 0;
}

/* ---- weights of stages */

static int check_weight(const Plan *plan, const PlanStage *stage, Error *error) {
    if (!stage->weight.set) return 0;
    if (strcmp(plan->rollout.strategy, "canary") != 0)
        return error_set(error, ERROR_INVALID, "rollout.stages.%s.weight: needs “strategy: canary”",
                         stage->name);
    if (!plan->traffic)
        return error_set(error, ERROR_INVALID,
                         "rollout.stages.%s.weight: “traffic” must say which balancer gives that weight",
                         stage->name);
    if (plan->traffic->commands && !plan->traffic->commands->weight.count)
        return error_set(
            error, ERROR_INVALID,
            "rollout.stages.%s.weight: traffic.commands needs “weight”, the command that sets it",
            stage->name);
    return 0;
}

static int check_live(const Plan *plan, Error *error) {
    if (plan->rollout.live.count && !plan_is_blue_green(plan))
        return error_set(error, ERROR_INVALID, "rollout.live: needs “strategy: blue-green”");
    if (plan_is_blue_green(plan) && !plan->traffic)
        return error_set(error, ERROR_INVALID,
                         "rollout.strategy: blue-green needs “traffic”, which says who sends the requests");
    return 0;
}

int plan_traffic_check(const Plan *plan, Error *error) {
    const PlanTraffic *traffic = plan->traffic;
    if (check_live(plan, error) < 0) return -1;
    for (size_t i = 0; i < plan->rollout.stages.count; i++)
        if (check_weight(plan, &plan->rollout.stages.items[i], error) < 0) return -1;
    if (!traffic) return 0;
    if (!traffic->haproxy && !traffic->nginx && !traffic->commands)
        return error_set(error, ERROR_INVALID, "traffic: exactly one is needed of: %s",
                         "haproxy, nginx, commands");
    if (traffic->haproxy && traffic->haproxy->sockets.count > SOCKETS_MAX)
        return error_set(error, ERROR_INVALID, "traffic.haproxy.sockets: at most %d balancers can be served",
                         SOCKETS_MAX);
    return 0;
}

/* ---- one host's, variables replaced */

/* What HAProxy lets names be made of; a blank or a “;” in one would begin another command. */
static int check_name(const char *where, const char *name, Error *error) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:";
    size_t length = strlen(name);
    if (length > 0 && length <= SERVER_TEXT_MAX && strspn(name, letters) == length) return 0;
    return error_set(error, ERROR_INVALID, "%s: “%s” cannot be a name in HAProxy", where, name);
}

static int check_socket(const char *socket, Error *error) {
    const char *colon = strrchr(socket, ':');
    bool is_path = socket[0] == '/' && strlen(socket) <= SOCKET_PATH_MAX;
    bool is_address = !strchr(socket, '/') && colon && colon != socket && colon[1] &&
                      strspn(colon + 1, "0123456789") == strlen(colon + 1);
    if (is_path || is_address) return 0;
    return error_set(error, ERROR_INVALID,
                     "traffic.haproxy.sockets: “%s” is neither a path of at most %d bytes nor HOST:PORT",
                     socket, SOCKET_PATH_MAX);
}

static int check_haproxy(const PlanHaproxy *haproxy, Error *error) {
    for (size_t i = 0; i < haproxy->sockets.count; i++)
        if (check_socket(haproxy->sockets.items[i], error) < 0) return -1;
    if (check_name("traffic.haproxy.backend", haproxy->backend, error) < 0) return -1;
    return check_name("traffic.haproxy.server", haproxy->server, error);
}

static int check_nginx(const PlanNginx *nginx, Error *error) {
    size_t length = strlen(nginx->server);
    if (length == 0 || length > SERVER_TEXT_MAX || strcspn(nginx->server, " \t\r\n;{}#\"'\\") != length)
        return error_set(error, ERROR_INVALID, "traffic.nginx.server: “%s” cannot be a server of nginx",
                         nginx->server);
    if (nginx->file[0] != '/' || nginx->file[strlen(nginx->file) - 1] == '/')
        return error_set(error, ERROR_INVALID, "traffic.nginx.file: “%s” is not the path of a file",
                         nginx->file);
    return 0;
}

int plan_traffic_check_host(const Plan *own, Error *error) {
    const PlanTraffic *traffic = own->traffic;
    if (traffic && traffic->haproxy) return check_haproxy(traffic->haproxy, error);
    if (traffic && traffic->nginx) return check_nginx(traffic->nginx, error);
    return 0;
}
