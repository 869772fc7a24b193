/* service start, stop, status: the installed service, outside of any change. */
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "model/words.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void print_state(const Cli *cli, const json_t *answer) {
    const char *root = json_get_text(answer, "root", ""), *version = json_get_text(answer, "version", "");
    const char *word = json_get_text(answer, "state", ""), *state = cli_text(cli, words_service_state(word));
    int pid = (int)json_get_integer(answer, "pid", 0);
    if (cli->json) {
        JSON_AUTO row = json_copy((json_t *)answer);
        json_set_text(row, "type", "service");
        FREE_AUTO char *text = json_text(row);
        printf("%s\n", text);
    }
    if (pid > 0)
        cli_print(cli, "%s: %s, %s, process %d\n", root, version, state, pid);
    else
        cli_print(cli, "%s: %s, %s\n", root, version, state);
}

static int act(Cli *cli, const Arguments *arguments, const char *action) {
    Error error = {0};
    const char *given = arguments->positional[0];
    FREE_AUTO char *real = cli->server ? NULL : realpath(given, NULL); /* a host knows its own paths */
    Ask asked = {.host = arguments_get(arguments, "host", NULL),
                 .task = {.kind = TASK_SERVICE, .root = real ? real : given, .action = action}};
    if (ask(cli, &asked, &error) < 0) return cli_fail(cli, &error);
    JSON_AUTO answer = asked.answer;
    print_state(cli, answer);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static int run_start(Cli *cli, const Arguments *arguments) { return act(cli, arguments, "start"); }
static int run_stop(Cli *cli, const Arguments *arguments) { return act(cli, arguments, "stop"); }
static int run_status(Cli *cli, const Arguments *arguments) { return act(cli, arguments, "status"); }

static const Option service_options[] = {
    {"host", 0, "NAME", TEXT("with --server, the host that is meant"), false},
    {0},
};

const CliVerb cli_verbs_service[] = {
    {"service start", "ROOT", TEXT("start the installed service, as its release was installed to be run"),
     TEXT("For what an upgrade does not do: after a reboot, where no init system starts a plain process, or "
          "after "
          "maintenance. Does nothing when it runs already."),
     "upkeep service start /srv/node-red", service_options, 1, 1, run_start, true},
    {"service stop", "ROOT", TEXT("stop the installed service"), "", "upkeep service stop /srv/node-red",
     service_options, 1, 1, run_stop, true},
    {"service status", "ROOT", TEXT("does the installed service run, and which version is it"), "",
     "upkeep service status /srv/node-red", service_options, 1, 1, run_status, true},
    {0},
};
