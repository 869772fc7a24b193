/* TrafficDriver: what each driver of the traffic seam provides; the operations are those of traffic.h. */
#pragma once
#include "host/traffic/traffic.h"

typedef struct TrafficDriver {
    bool (*drives)(const PlanTraffic *traffic);
    int (*check)(const TrafficContext *context, Error *error);
    int (*is_in)(const TrafficContext *context, bool *out, Error *error);       /* NULL: it cannot tell */
    int (*drain)(const TrafficContext *context, TrafficEnd *out, Error *error); /* out is never NULL */
    int (*readmit)(const TrafficContext *context, Error *error);
    int (*weight)(const TrafficContext *context, int percent, Error *error);
    const char *(*describe)(const TrafficContext *context, TrafficAction action, Arena *arena);
} TrafficDriver;

/* How long a host that was put back may take to get traffic. */
enum { TRAFFIC_READMIT_MS = 10000 };

/* Look again and again until `look` gives 0 (done: 0 is returned), or a number above it for `limit_ms` (1 is
 * returned). -1 when `look` fails, or with ERROR_INTERRUPTED when cancelled. What `look` gave last stands in
 * *last. */
typedef int64_t (*TrafficLook)(void *looker, Error *error);
int traffic_wait(const TrafficContext *context, int64_t limit_ms, TrafficLook look, void *looker,
                 int64_t *last, Error *error);
/* For whoever cannot see whether anything is left: always 1, so that the limit is waited for. */
int64_t traffic_look_nothing(void *looker, Error *error);

/* ERROR_REFUSED: nobody would serve. */
int traffic_refuse_last(Error *error);
/* ERROR_INVALID when `percent` of the normal weight `whole` is less than 1. */
int traffic_check_share(int64_t whole, int percent, Error *error);

/* Run it to its end, with UPKEEP_HOST, UPKEEP_SERVICE and `extra` ("KEY=value", or NULL) in its environment.
 * ERROR_SYSTEM when it does not exit with 0 within `timeout_ms`. `first_line` (may be NULL) gets the first
 * line that it prints. */
enum { TRAFFIC_LINE_SIZE = 256 };
int traffic_run(const TrafficContext *context, const StringList *command, const char *extra,
                int64_t timeout_ms, char *first_line, Error *error);

extern const TrafficDriver traffic_driver_haproxy;
extern const TrafficDriver traffic_driver_nginx;
extern const TrafficDriver traffic_driver_commands;
