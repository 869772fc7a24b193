/* ServiceDriver: what each driver of the service seam provides; the operations are those of service.h. */
#pragma once
#include "host/service/service.h"

typedef struct ServiceDriver {
    bool (*drives)(const PlanRun *run);
    int (*start)(const ServiceContext *context, Error *error);
    int (*stop)(const ServiceContext *context, ServiceEnd *out, Error *error); /* out is never NULL */
    int (*status)(const ServiceContext *context, ServiceStatus *out, Error *error);
    const char *(*describe_start)(const ServiceContext *context, Arena *arena);
    const char *(*describe_stop)(const ServiceContext *context, Arena *arena);
    const char *(*describe_log)(const ServiceContext *context, Arena *arena); /* NULL: it cannot know */
} ServiceDriver;

/* The list as a shell would need it written, to read: `node red.js --title 'My flows'`. In the arena. */
const char *service_command_text(const StringList *command, Arena *arena);
/* NULL-ended, as exec wants it; the strings stay the list's. In the arena. */
const char **service_command_argv(const StringList *command, Arena *arena);

extern const ServiceDriver service_driver_process;
extern const ServiceDriver service_driver_systemd;
extern const ServiceDriver service_driver_commands;
