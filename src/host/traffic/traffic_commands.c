#include "base/command.h"
#include "host/traffic/traffic_driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The user's own commands. They know the host by UPKEEP_HOST, and the weight by UPKEEP_WEIGHT. */

enum { DIGITS_MAX = 9 };

static bool drives(const PlanTraffic *traffic) { return traffic->commands != NULL; }

static int run(const TrafficContext *context, const StringList *command, char *line, Error *error) {
    return traffic_run(context, command, NULL, context->traffic->commands->timeout_ms, line, error);
}

/* What `connections` prints, which must be a number and nothing else; -1 when it is not. */
static int64_t count_connections(const TrafficContext *context, Error *error) {
    char line[TRAFFIC_LINE_SIZE] = "";
    if (run(context, &context->traffic->commands->connections, line, error) < 0) return -1;
    size_t digits = strspn(line, "0123456789");
    if (digits == 0 || digits > DIGITS_MAX || line[digits + strspn(line + digits, " \t")] != '\0')
        return error_set(error, ERROR_SYSTEM, "the command “connections” printed “%s”, which is no number",
                         line);
    return strtoll(line, NULL, 10);
}

static int64_t look(void *looker, Error *error) { return count_connections(looker, error); }

static int check(const TrafficContext *context, Error *error) {
    if (!context->traffic->commands->connections.count) return 0;
    return count_connections(context, error) < 0 ? -1 : 0;
}

static int drain(const TrafficContext *context, TrafficEnd *out, Error *error) {
    const PlanTrafficCommands *commands = context->traffic->commands;
    if (!commands->connections.count) return run(context, &commands->drain, NULL, error);
    int64_t before = count_connections(context, error), left = 0;
    if (before < 0 || run(context, &commands->drain, NULL, error) < 0) return -1;
    int result =
        traffic_wait(context, context->traffic->drain_timeout_ms, look, (void *)context, &left, error);
    if (result < 0) return -1;
    out->before = before;
    out->left = left;
    out->timed_out = result == 1;
    return 0;
}

static int weight(const TrafficContext *context, int percent, Error *error) {
    const PlanTrafficCommands *commands = context->traffic->commands;
    char extra[32];
    snprintf(extra, sizeof extra, "UPKEEP_WEIGHT=%d", percent);
    return traffic_run(context, &commands->weight, extra, commands->timeout_ms, NULL, error);
}

static int readmit(const TrafficContext *context, Error *error) {
    if (context->percent && weight(context, context->percent, error) < 0) return -1;
    return run(context, &context->traffic->commands->readmit, NULL, error);
}

static const char *describe(const TrafficContext *context, TrafficAction action, Arena *arena) {
    const PlanTrafficCommands *commands = context->traffic->commands;
    const StringList *const lists[] = {[TRAFFIC_DRAIN] = &commands->drain,
                                       [TRAFFIC_READMIT] = &commands->readmit,
                                       [TRAFFIC_WEIGHT] = &commands->weight};
    return command_text(lists[action]->items, lists[action]->count, arena);
}

const TrafficDriver traffic_driver_commands = {drives, check, NULL, drain, readmit, weight, describe};
