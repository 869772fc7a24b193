/* Controller: upkeepd — one process that knows hosts and people, takes their requests, and carries changes
 * out.
 *
 *   <state>/journal.sqlite   everything that happened (with the state folder of `upkeep`: same format, same
 * tools) <state>/authority/       the CA of the fleet            <state>/tokens/   join tokens that are
 * waiting <state>/people/          who may sign in                <state>/trust/    whose packages are
 * published <state>/packages/        what was published             <state>/controller.lock
 *
 * One controller a folder: the second is refused while the first runs. It may be killed at any instruction:
 * the next one goes on from the journal.
 *
 * Calling order: controller_open → controller_serve, which returns when `stop` turns true → controller_close.
 */
#pragma once
#include "base/error.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Controller Controller;

enum { CONTROLLER_PORT = 7443 };

typedef struct ControllerSpec {
    const char *state;
    const char *address;      /* numeric, to listen on */
    int port;                 /* 0: any free one */
    const char *const *names; /* that its certificate is for: what agents and people call it */
    size_t name_count;
    int64_t host_valid_ms; /* of hosts' certificates */
    int64_t first_change;  /* changes are numbered from there on; 0: from where they were */
    const char *port_file; /* the port is written there once it listens; NULL: nowhere */
} ControllerSpec;

/* Opens everything, makes what is missing. ERROR_REFUSED where another controller runs on that folder. */
int controller_open(const ControllerSpec *spec, Controller **out, Error *error);
int controller_serve(Controller *controller, const atomic_bool *stop, Error *error);
void controller_close(Controller *controller); /* NULL is allowed */

/* What can be asked of any controller, for whoever describes it. */
typedef struct ControllerRoute {
    const char *method, *path; /* "/api/v1/changes/{change}" */
    const char *who;           /* may ask: "anyone", "host", "read", "operate", "approve" or "administer" */
    const char *summary;
} ControllerRoute;
/* The row of that number, from 0; false when there is none. */
bool controller_route(size_t number, ControllerRoute *out);
