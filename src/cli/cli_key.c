/* key new: a pair of keys that sign packages. */
#include "base/json.h"
#include "cli/cli.h"
#include "trust/key.h"

#include <stdlib.h>

static int run_key_new(Cli *cli, const Arguments *arguments) {
    const char *name = arguments->positional[0];
    char id[KEY_ID_SIZE];
    Error error = {0};
    if (key_create(name, id, &error) < 0) return cli_fail(cli, &error);
    cli_print(cli, "%s.key  the private half: keep it secret, and keep it\n", name);
    cli_print(cli, "%s.pub  the public half: give it to every host that shall trust it\n", name);
    cli_print(cli, "key id  %s\n", id);
    if (cli->json) printf("{\"key\":\"%s\",\"type\":\"key\"}\n", id);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

const CliVerb cli_verbs_key[] = {
    {.name = "key new",
     .arguments = "NAME",
     .summary = TEXT("make a key pair that signs packages"),
     .help = TEXT("Writes NAME.key (Ed25519, mode 0600, without a passphrase) and NAME.pub. Nothing "
                  "that exists is overwritten. Plans name NAME.pub under package.trust."),
     .example = "upkeep key new release",
     .positional_min = 1,
     .positional_max = 1,
     .run = run_key_new},
    {0},
};
