/* Probe: one look at a running service — does it answer as the plan says, and which version does it say it
 * is?
 *
 * A probe is bounded in time by its own timeout. It passes only when it saw what it asked for; a refused
 * connection, a late, half or garbled answer, a wrong status, a missing text, an exit status other than 0 or
 * a version outside the range fail; what could not be looked at (a program that does not exist, an output
 * without a version in it, a cancelled probe) is inconclusive.
 */
#pragma once
#include "host/check/observation.h"
#include "host/check/version_text.h"
#include "model/plan.h"
#include <stdatomic.h>

typedef struct ProbeContext {
    const char *root;          /* of the host, absolute: commands run there */
    const char *user;          /* commands run as; NULL: as we are */
    const atomic_bool *cancel; /* may be NULL */
} ProbeContext;

/* The probe of a plan's health row. Never fails; `out` is always filled. The detail does not name the row. */
void probe_run(const PlanHealth *health, const ProbeContext *context, Observation *out);

/* Its three kinds, which preflight checks use as well. */
void probe_http(const PlanHttp *http, const ProbeContext *context, Observation *out);
void probe_tcp(const PlanTcp *tcp, const ProbeContext *context, Observation *out);
void probe_command(const PlanCommand *command, const ProbeContext *context, Observation *out);

/* Ask the running service for its version. 0 and a non-empty text in `version`, or -1: nothing was learnt. */
enum { PROBE_VERSION_SIZE = VERSION_TEXT_SIZE };
int probe_version(const PlanVersionProbe *probe, const ProbeContext *context,
                  char version[static PROBE_VERSION_SIZE], Error *error);
