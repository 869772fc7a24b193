/* Installed: the service of the release that `current` names, started and stopped outside of any change —
 * after a reboot, or for maintenance. As the release was installed to be run, under the host's lock.
 */
#pragma once
#include "base/error.h"
#include "host/release.h"
#include "host/service/service.h"

typedef struct Installed {
    char version[RELEASE_VERSION_SIZE];
    ServiceStatus status; /* afterwards */
} Installed;

typedef enum InstalledAction { INSTALLED_LOOK, INSTALLED_START, INSTALLED_STOP } InstalledAction;

/* ERROR_INVALID when nothing is installed at `root`; ERROR_REFUSED while an upgrade is at work there, or has
 * begun a switch that is not over. INSTALLED_LOOK changes nothing and waits for nobody. `out` may be NULL. */
int installed_act(const char *root, InstalledAction action, Installed *out, Error *error);
