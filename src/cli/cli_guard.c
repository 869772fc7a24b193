/* guard: the dead man's switch of one host, started by “run” itself. */
#include "cli/cli.h"
#include "host/guard_keep.h"
#include <signal.h>

static int run_guard(Cli *cli, const Arguments *arguments) {
    Error error = {0};
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    return guard_keep(arguments->positional[0], &error) < 0 ? cli_fail(cli, &error) : 0;
}

const CliVerb cli_verbs_guard[] = {
    {"guard", "ROOT", TEXT("roll a host back by itself when nobody confirms it in time (“run” starts it)"),
     TEXT("“run” starts one for each host before it stops the service, and it ends by itself once the host "
          "is confirmed or "
          "rolled back. Start one by hand after a reboot in the middle of an upgrade, or simply go on with "
          "“run”."),
     "upkeep guard /srv/node-red", NULL, 1, 1, run_guard, false},
    {0},
};
