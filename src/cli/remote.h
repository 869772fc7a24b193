/* Remote: the controller that --server (or UPKEEP_SERVER) names, with what this user may show it.
 *
 * "upkeep login URL" keeps a token and the fingerprint of the controller's authority in
 * $XDG_CONFIG_HOME/upkeep/servers.json, mode 0600; UPKEEP_TOKEN and UPKEEP_FINGERPRINT stand above it, for
 * CI. Nothing is ever sent to a server that does not show a certificate of that authority.
 */
#pragma once
#include "base/arena.h"
#include "cli/cli.h"
#include "engine/change.h"
#include "wire/call.h"
#include <jansson.h>

/* The connection of this process, made when first needed; borrowed. ERROR_INVALID: nobody has signed in. */
int remote_client(const Cli *cli, CallClient **out, Error *error);

/* One exchange: `answer` (a new reference, may be NULL) of a 2xx, or the controller's error. */
int remote_call(const Cli *cli, const char *method, const char *path, const json_t *body, json_t **answer,
                Error *error);
/* Its list of changes; in the arena. */
int remote_changes(const Cli *cli, Arena *arena, ChangeList *out, Error *error);

/* Remember what to show the controller at `url`; `token` NULL: forget it. */
int remote_remember(const char *url, const char *fingerprint, const char *token, Error *error);

/* Verify the package in the file `path`, send it where it is not there yet, and have it published. `sha256`
 * gets its name there. */
int remote_publish(const Cli *cli, const char *path, char sha256[static DIGEST_TEXT_SIZE], Error *error);
