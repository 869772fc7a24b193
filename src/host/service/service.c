#include "base/command.h"
#include "host/service/service_driver.h"
#include <string.h>

static const ServiceDriver *const drivers[] = {
    &service_driver_process,
    &service_driver_systemd,
    &service_driver_commands,
};

static const ServiceDriver *driver_of(const PlanRun *run) {
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (drivers[i]->drives(run)) return drivers[i];
    return NULL;
}

/* NULL, and the error filled, when the plan names none. */
static const ServiceDriver *find_driver(const ServiceContext *context, Error *error) {
    const ServiceDriver *driver = driver_of(context->run);
    if (!driver)
        error_set(error, ERROR_INVALID, "the plan does not say how to run the service %s", context->name);
    return driver;
}

int service_start(const ServiceContext *context, Error *error) {
    const ServiceDriver *driver = find_driver(context, error);
    if (driver && driver->start(context, error) == 0) return 0;
    return error_prefix(error, "cannot start the service %s", context->name);
}

int service_stop(const ServiceContext *context, ServiceEnd *out, Error *error) {
    const ServiceDriver *driver = find_driver(context, error);
    ServiceEnd end = {.exit_status = SERVICE_EXIT_UNKNOWN};
    if (!driver || driver->stop(context, &end, error) < 0)
        return error_prefix(error, "cannot stop the service %s", context->name);
    if (out) *out = end;
    return 0;
}

int service_status(const ServiceContext *context, ServiceStatus *out, Error *error) {
    const ServiceDriver *driver = find_driver(context, error);
    ServiceStatus status = {.state = SERVICE_STOPPED, .exit_status = SERVICE_EXIT_UNKNOWN};
    if (!driver || driver->status(context, &status, error) < 0)
        return error_prefix(error, "cannot tell whether the service %s runs", context->name);
    *out = status;
    return 0;
}

const char *service_state_text(ServiceState state) {
    static const char *const texts[] = {"stopped", "running", "dead"};
    return texts[state];
}

const char *service_describe_start(const ServiceContext *context, Arena *arena) {
    const ServiceDriver *driver = driver_of(context->run);
    return driver ? driver->describe_start(context, arena) : "";
}

const char *service_describe_stop(const ServiceContext *context, Arena *arena) {
    const ServiceDriver *driver = driver_of(context->run);
    return driver ? driver->describe_stop(context, arena) : "";
}

const char *service_describe_log(const ServiceContext *context, Arena *arena) {
    const ServiceDriver *driver = driver_of(context->run);
    return driver && driver->describe_log ? driver->describe_log(context, arena) : NULL;
}

const char *service_command_text(const StringList *command, Arena *arena) {
    return command_text(command->items, command->count, arena);
}

const char **service_command_argv(const StringList *command, Arena *arena) {
    const char **argv = ARENA_ARRAY(arena, command->count + 1, const char *);
    for (size_t i = 0; i < command->count; i++) argv[i] = command->items[i];
    return argv;
}
