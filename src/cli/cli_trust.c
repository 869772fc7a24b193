/* trust add, list, remove: whose packages are taken — by a controller that publishes, by a host that
 * installs. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "trust/keyring.h"
#include <stdlib.h>
#include <string.h>

static int run_add(Cli *cli, const Arguments *arguments) {
    FREE_AUTO char *folder = file_join(cli->state, "trust");
    char id[KEY_ID_SIZE];
    Error error = {0};
    if (keyring_add(folder, arguments->positional[0], id, &error) < 0) return cli_fail(cli, &error);
    cli_print(cli, "The key %s is trusted: packages that it signed are taken here.\n", id);
    if (cli->json) printf("{\"key\":\"%s\",\"type\":\"key\"}\n", id);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static void print_key(const Cli *cli, const char *path) {
    KEY_AUTO key = NULL;
    Error error = {0};
    bool good = key_load_public(path, &key, &error) == 0;
    const char *file = strrchr(path, '/') + 1;
    if (!cli->json) {
        printf("%-20s %s\n", good ? key_id(key) : "-",
               good ? file : (cli->language == LANGUAGE_ZH ? error.zh : error.en));
        return;
    }
    JSON_AUTO row = json_object();
    json_set_text(row, "type", "key");
    json_set_text(row, "file", file);
    json_set_text(row, "key", good ? key_id(key) : NULL);
    FREE_AUTO char *text = json_text(row);
    printf("%s\n", text);
}

static int run_list(Cli *cli, const Arguments *arguments) {
    (void)arguments;
    ARENA_AUTO arena = arena_new();
    FREE_AUTO char *folder = file_join(cli->state, "trust");
    StringList keys;
    Error error = {0};
    if (keyring_list(folder, arena, &keys, &error) < 0) return cli_fail(cli, &error);
    for (size_t i = 0; i < keys.count; i++) print_key(cli, keys.items[i]);
    if (keys.count == 0) cli_print(cli, "No key is trusted here: no package is taken.\n");
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static int run_remove(Cli *cli, const Arguments *arguments) {
    FREE_AUTO char *folder = file_join(cli->state, "trust");
    Error error = {0};
    if (keyring_remove(folder, arguments->positional[0], &error) < 0) return cli_fail(cli, &error);
    cli_print(cli, "It is no longer trusted here.\n");
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

const CliVerb cli_verbs_trust[] = {
    {"trust add", "NAME.pub", TEXT("take packages that this key has signed"),
     TEXT("The key is copied into the folder trust/. A host's own choice counts for what it installs: no "
          "controller can change it."),
     "upkeep-agent trust add release.pub", NULL, 1, 1, run_add, false},
    {"trust list", "", TEXT("list the keys that are trusted here"), "", "upkeep-agent trust list", NULL, 0, 0,
     run_list, false},
    {"trust remove", "KEY", TEXT("no longer trust a key, by its file's name or its id"), "",
     "upkeep-agent trust remove release", NULL, 1, 1, run_remove, false},
    {0},
};
