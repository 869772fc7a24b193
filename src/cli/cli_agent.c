/* join, run, status: an agent on its host. */
#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/secret.h"
#include "host/host_facts.h"
#include "trust/identity.h"
#include <string.h>

static int run_join(Cli *cli, const Arguments *arguments) {
    ARENA_AUTO arena = arena_new();
    HOME_AUTO home = NULL;
    Error error = {0};
    const char *name = NULL;
    char token[SECRET_MAX];
    if (secret_read(cli, arguments_get(arguments, "token-file", NULL), TEXT("Join token"), token, &error) <
            0 ||
        home_open(cli->state, false, &home, &error) < 0)
        return cli_fail(cli, &error);
    int result = agent_join(home, arguments->positional[0], token, arguments_has(arguments, "again"), arena,
                            &name, &error);
    secret_wipe(token);
    if (result < 0) return cli_fail(cli, &error);
    cli_print(
        cli,
        "This host has joined as %s. Now trust a key with “upkeep-agent trust add”, and run the agent.\n",
        name);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

typedef struct Telling {
    const Home *home;
} Telling;

static json_t *tell_facts(void *context) {
    const Telling *telling = context;
    ARENA_AUTO arena = arena_new();
    StringList roots = {0};
    roots = home_roots(telling->home, arena);
    HostFactsSpec spec = {.roots = roots.items, .root_count = roots.count, .cancel = daemon_stop()};
    return host_facts(&spec);
}

static int run_run(Cli *cli, const Arguments *arguments) {
    HOME_AUTO home = NULL;
    Error error = {0};
    if (daemon_log(arguments, &error) < 0 || home_open(cli->state, true, &home, &error) < 0)
        return cli_fail(cli, &error);
    Telling telling = {home};
    AgentSpec spec = {.home = home,
                      .guard = "/proc/self/exe",
                      .facts = tell_facts,
                      .context = &telling,
                      .stop = daemon_stop()};
    return agent_run(&spec, &error) < 0 ? cli_fail(cli, &error) : 0;
}

static int run_status(Cli *cli, const Arguments *arguments) {
    (void)arguments;
    ARENA_AUTO arena = arena_new();
    HOME_AUTO home = NULL;
    IDENTITY_AUTO identity = NULL;
    StringList changes;
    Error error = {0};
    const char *url = NULL;
    char until[CLOCK_TEXT_SIZE];
    if (home_open(cli->state, false, &home, &error) < 0 ||
        identity_load(home_path(home, arena, "identity"), &identity, &error) < 0 ||
        home_controller(home, arena, &url, &error) < 0 || home_changes(home, arena, &changes, &error) < 0)
        return cli_fail(cli, &error);
    clock_to_text(identity_host(identity)->not_after_ms, until);
    cli_print(cli, "host        %s\ncontroller  %s\ncertificate until %s\n", identity_host(identity)->name,
              url, until);
    for (size_t i = 0; i < changes.count; i++) cli_print(cli, "change      %s\n", changes.items[i]);
    if (cli->json)
        printf("{\"certificate_until\":\"%s\",\"changes\":%zu,\"controller\":\"%s\",\"host\":\"%s\",\"type\":"
               "\"agent\"}\n",
               until, changes.count, url, identity_host(identity)->name);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static const Option join_options[] = {
    {"token-file", 0, "FILE", TEXT("read the token from this file (default: standard input)"), false},
    {"again", 0, NULL, TEXT("also when this host has joined already: it gets a new identity"), false},
    {0},
};

static const Option run_options[] = {DAEMON_OPTIONS, {0}};

const CliVerb cli_verbs_agent[] = {
    {"join", "URL", TEXT("join the fleet of a controller, once, with a token of its own"),
     TEXT("Asks for the token, or reads it from standard input. The key is made here and never leaves this "
          "host; "
          "the token says by which certificate the controller is known."),
     "upkeep-agent join https://controller.example:7443 --token-file token", join_options, 1, 1, run_join,
     false},
    {"run", "", TEXT("be the agent of this host, until it is stopped"),
     TEXT("Asks its controller for work and does it. A host that was switched and hears nothing more goes "
          "back "
          "to its old release by itself, whether or not the agent runs."),
     "upkeep-agent run", run_options, 0, 0, run_run, false},
    {"status", "", TEXT("whose this host is, and what it is at"), "", "upkeep-agent status", NULL, 0, 0,
     run_status, false},
    {0},
};
