/* service start, stop, status: the installed service, outside of any change. */
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"
#include "host/installed.h"
#include "model/words.h"
#include <stdlib.h>
#include <string.h>

static int act(Cli *cli, const Arguments *arguments, InstalledAction action) {
    Error error = {0};
    Installed found;
    FREE_AUTO char *root = realpath(arguments->positional[0], NULL);
    if (!root) root = strdup(arguments->positional[0]);
    if (installed_act(root, action, &found, &error) < 0) return cli_fail(cli, &error);
    const char *state = service_state_text(found.status.state);
    if (cli->json) {
        JSON_AUTO row = json_object();
        json_set_text(row, "type", "service");
        json_set_text(row, "root", root);
        json_set_text(row, "version", found.version);
        json_set_text(row, "state", state);
        if (found.status.pid > 0) json_set_integer(row, "pid", found.status.pid);
        FREE_AUTO char *text = json_text(row);
        printf("%s\n", text);
    }
    if (found.status.pid > 0)
        cli_print(cli, "%s: %s, %s, process %d\n", root, found.version,
                  cli_text(cli, words_service_state(state)), (int)found.status.pid);
    else
        cli_print(cli, "%s: %s, %s\n", root, found.version, cli_text(cli, words_service_state(state)));
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static int run_start(Cli *cli, const Arguments *arguments) { return act(cli, arguments, INSTALLED_START); }
static int run_stop(Cli *cli, const Arguments *arguments) { return act(cli, arguments, INSTALLED_STOP); }
static int run_status(Cli *cli, const Arguments *arguments) { return act(cli, arguments, INSTALLED_LOOK); }

const CliVerb cli_verbs_service[] = {
    {"service start", "ROOT", TEXT("start the installed service, as its release was installed to be run"),
     TEXT("For what an upgrade does not do: after a reboot, where no init system starts a plain process, or "
          "after "
          "maintenance. Does nothing when it runs already."),
     "upkeep service start /srv/node-red", NULL, 1, 1, run_start, false},
    {"service stop", "ROOT", TEXT("stop the installed service"), "", "upkeep service stop /srv/node-red",
     NULL, 1, 1, run_stop, false},
    {"service status", "ROOT", TEXT("does the installed service run, and which version is it"), "",
     "upkeep service status /srv/node-red", NULL, 1, 1, run_status, false},
    {0},
};
