/* publish, packages, hosts, host …, drift, import: a controller's packages and inventory. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/quantity.h"
#include "cli/cli.h"
#include "cli/remote.h"
#include "model/ansible.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int need_server(const Cli *cli, Error *error) {
    if (cli->server) return 0;
    error_set(error, ERROR_INVALID, "this is asked of a controller");
    return error_hint(error, "name it with --server URL, or in UPKEEP_SERVER");
}

static void print_row(const char *type, const json_t *row) {
    JSON_AUTO typed = json_deep_copy(row);
    json_set_text(typed, "type", type);
    FREE_AUTO char *text = json_text(typed);
    printf("%s\n", text);
}

/* ---- packages */

static int run_publish(Cli *cli, const Arguments *arguments) {
    char sha256[DIGEST_TEXT_SIZE];
    Error error = {0};
    if (need_server(cli, &error) < 0) return cli_fail(cli, &error);
    for (size_t i = 0; i < arguments->positional_count; i++) {
        const char *file = arguments->positional[i];
        if (remote_publish(cli, file, sha256, &error) < 0) {
            error_prefix(&error, "%s", file);
            return cli_fail(cli, &error);
        }
        cli_print(cli, "%s is published: %.16s…\n", file, sha256);
        if (cli->json) printf("{\"sha256\":\"%s\",\"type\":\"package\"}\n", sha256);
    }
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static int run_packages(Cli *cli, const Arguments *arguments) {
    (void)arguments;
    JSON_AUTO answer = NULL;
    Error error = {0};
    size_t index;
    json_t *row;
    if (need_server(cli, &error) < 0 ||
        remote_call(cli, "GET", "/api/v1/packages", NULL, &answer, &error) < 0)
        return cli_fail(cli, &error);
    json_array_foreach(json_object_get(answer, "packages"), index, row) {
        char size[QUANTITY_TEXT_SIZE];
        if (cli->json) print_row("package", row);
        quantity_size_text((uint64_t)json_get_integer(row, "size", 0), size);
        cli_print(cli, "%-24s %-12s %-10s %.16s…  %s\n", json_get_text(row, "service", ""),
                  json_get_text(row, "version", ""), size, json_get_text(row, "sha256", ""),
                  json_get_text(row, "published", ""));
    }
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

/* ---- looking at hosts */

/* "region=east role=web" */
static const char *pairs_text(Arena *arena, const json_t *pairs) {
    const char *text = "", *key;
    json_t *value;
    json_object_foreach((json_t *)pairs, key, value) {
        text = arena_printf(arena, "%s%s%s=%s", text, *text ? " " : "", key, json_string_value(value));
    }
    return text;
}

static bool is_wanted(const Arguments *arguments, const json_t *host) {
    const char *select;
    for (size_t i = 0; (select = arguments_get_nth(arguments, "select", i)); i++) {
        const char *equals = strchr(select, '=');
        FREE_AUTO char *key = equals ? strndup(select, (size_t)(equals - select)) : strdup(select);
        const char *value = json_get_text(json_object_get(host, "labels"), key, NULL);
        if (!value || (equals && strcmp(value, equals + 1) != 0)) return false;
    }
    return true;
}

static const char *state_word(const Cli *cli, const char *state) {
    static const struct {
        const char *state, *text;
    } words[] = {{"described", TEXT("described")},
                 {"invited", TEXT("invited")},
                 {"joined", TEXT("joined")},
                 {"revoked", TEXT("revoked")}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].state, state) == 0) return cli_text(cli, words[i].text);
    return state;
}

static void print_host(const Cli *cli, Arena *arena, const json_t *host) {
    const json_t *facts = json_object_get(host, "facts"), *os = json_object_get(facts, "os");
    cli_print(
        cli, "%-20s %-10s %-16s %-22s %s\n", json_get_text(host, "name", ""),
        state_word(cli, json_get_text(host, "state", "")), json_get_text(host, "address", "-"),
        os ? arena_printf(arena, "%s %s", json_get_text(os, "id", "?"), json_get_text(os, "version", ""))
           : "-",
        pairs_text(arena, json_object_get(host, "labels")));
}

static int run_hosts(Cli *cli, const Arguments *arguments) {
    ARENA_AUTO arena = arena_new();
    JSON_AUTO answer = NULL;
    Error error = {0};
    size_t index, shown = 0;
    json_t *host;
    if (need_server(cli, &error) < 0 || remote_call(cli, "GET", "/api/v1/hosts", NULL, &answer, &error) < 0)
        return cli_fail(cli, &error);
    json_array_foreach(json_object_get(answer, "hosts"), index, host) {
        if (!is_wanted(arguments, host)) continue;
        if (cli->json) print_row("host", host);
        print_host(cli, arena, host);
        shown++;
    }
    if (shown == 0)
        cli_print(cli, "There is no such host. “upkeep host invite NAME” makes a join token for one.\n");
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static const char *host_path(Arena *arena, const Arguments *arguments, const char *verb) {
    return arena_printf(arena, "/api/v1/hosts/%s%s%s", arguments->positional[0], *verb ? "/" : "", verb);
}

static int run_host_show(Cli *cli, const Arguments *arguments) {
    ARENA_AUTO arena = arena_new();
    JSON_AUTO answer = NULL;
    Error error = {0};
    if (need_server(cli, &error) < 0 ||
        remote_call(cli, "GET", host_path(arena, arguments, ""), NULL, &answer, &error) < 0)
        return cli_fail(cli, &error);
    if (cli->json)
        print_row("host", answer);
    else if (!cli->quiet)
        json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_SORT_KEYS), printf("\n");
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

/* ---- changing hosts */

/* --label region=east, --var port=8080; "key=" removes it. */
static int read_pairs(const Arguments *arguments, const char *option, json_t *body, const char *key,
                      Error *error) {
    const char *text;
    json_t *pairs = json_object();
    for (size_t i = 0; (text = arguments_get_nth(arguments, option, i)); i++) {
        const char *equals = strchr(text, '=');
        if (!equals || equals == text) {
            json_decref(pairs);
            return error_set(error, ERROR_INVALID, "--%s must be KEY=VALUE, not %s", option, text);
        }
        FREE_AUTO char *name = strndup(text, (size_t)(equals - text));
        json_object_set_new(pairs, name, equals[1] ? json_string(equals + 1) : json_null());
    }
    json_object_set_new(body, key, pairs);
    return 0;
}

static int change_host(Cli *cli, const Arguments *arguments, const char *method, const char *verb,
                       json_t **answer, Error *error) {
    ARENA_AUTO arena = arena_new();
    JSON_AUTO body = json_object();
    if (need_server(cli, error) < 0 || read_pairs(arguments, "label", body, "labels", error) < 0 ||
        read_pairs(arguments, "var", body, "vars", error) < 0)
        return -1;
    json_set_text(body, "why", arguments_get(arguments, "why", NULL));
    json_set_text(body, "valid", arguments_get(arguments, "valid", NULL));
    return remote_call(cli, method, host_path(arena, arguments, verb), body, answer, error);
}

static int run_host_invite(Cli *cli, const Arguments *arguments) {
    JSON_AUTO answer = NULL;
    Error error = {0};
    if (change_host(cli, arguments, "POST", "invite", &answer, &error) < 0) return cli_fail(cli, &error);
    if (cli->json)
        print_row("token", answer);
    else
        printf("%s\n", json_get_text(answer, "token", ""));
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static int run_simple(Cli *cli, const Arguments *arguments, const char *method, const char *verb) {
    Error error = {0};
    if (change_host(cli, arguments, method, verb, NULL, &error) < 0) return cli_fail(cli, &error);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static int run_host_describe(Cli *cli, const Arguments *arguments) {
    return run_simple(cli, arguments, "POST", "describe");
}
static int run_host_revoke(Cli *cli, const Arguments *arguments) {
    return run_simple(cli, arguments, "POST", "revoke");
}
static int run_host_remove(Cli *cli, const Arguments *arguments) {
    return run_simple(cli, arguments, "DELETE", "");
}

/* ---- import */

static int describe_all(Cli *cli, const json_t *hosts, Error *error) {
    size_t index;
    json_t *host;
    json_array_foreach(hosts, index, host) {
        FREE_AUTO char *path = NULL;
        if (asprintf(&path, "/api/v1/hosts/%s/describe", json_get_text(host, "name", "")) < 0) abort();
        if (remote_call(cli, "POST", path, host, NULL, error) < 0)
            return error_prefix(error, "%s", json_get_text(host, "name", ""));
    }
    return 0;
}

static int run_import(Cli *cli, const Arguments *arguments) {
    ARENA_AUTO arena = arena_new();
    BUFFER_AUTO text = {0};
    Ansible ansible;
    Error error = {0};
    const char *file = arguments->positional[0];
    if (file_read(AT_FDCWD, file, ANSIBLE_TEXT_MAX, &text, &error) < 0 ||
        ansible_read(arena, file, buffer_text(&text), text.size, &ansible, &error) < 0)
        return cli_fail(cli, &error);
    JSON_AUTO json = ansible_to_json(&ansible);
    const json_t *left = json_object_get(json, "left_out"), *value;
    const char *key;
    if (cli->json) print_row("inventory", json);
    if (!arguments_has(arguments, "dry-run") &&
        (need_server(cli, &error) < 0 || describe_all(cli, json_object_get(json, "hosts"), &error) < 0))
        return cli_fail(cli, &error);
    cli_print(cli, "%zu hosts read from %s.\n", ansible.count, file);
    json_object_foreach((json_t *)left, key, value) {
        if (json_integer_value(value) > 0)
            cli_print(cli, "  left out: %" PRId64 " × %s\n", (int64_t)json_integer_value(value), key);
    }
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

/* ---- drift */

static void print_side(const Cli *cli, const char *environment, const json_t *side) {
    size_t index;
    json_t *value;
    json_array_foreach(side, index, value) {
        cli_print(cli, "  %-16s %s (%" PRId64 ")\n", index ? "" : environment,
                  json_get_text(value, "value", json_get_text(value, "kind", "?")),
                  json_get_integer(value, "hosts", 0));
    }
}

static int run_drift(Cli *cli, const Arguments *arguments) {
    FREE_AUTO char *path = NULL;
    JSON_AUTO answer = NULL;
    Error error = {0};
    size_t index;
    json_t *row;
    const char *one = arguments->positional[0], *other = arguments->positional[1];
    if (asprintf(&path, "/api/v1/drift?one=%s&other=%s", one, other) < 0) abort();
    if (need_server(cli, &error) < 0 || remote_call(cli, "GET", path, NULL, &answer, &error) < 0)
        return cli_fail(cli, &error);
    json_array_foreach(json_object_get(answer, "rows"), index, row) {
        if (cli->json) print_row("drift", row);
        cli_print(cli, "%s\n", json_get_text(row, "key", ""));
        print_side(cli, one, json_array_get(json_object_get(row, "sides"), 0));
        print_side(cli, other, json_array_get(json_object_get(row, "sides"), 1));
    }
    const char *verdict = json_get_text(answer, "verdict", "inconclusive");
    bool same = strcmp(verdict, "same") == 0;
    if (same) cli_print(cli, "%s and %s agree in everything that was compared.\n", one, other);
    if (strcmp(verdict, "inconclusive") == 0)
        cli_print(cli, "Nothing can be said: an environment has no hosts that have told what they are.\n");
    return cli_result(cli, NULL, verdict, same ? 0 : 3, NULL);
}

static const Option hosts_options[] = {
    {"select", 0, "LABEL=VALUE", TEXT("only hosts with this label; may be given often"), true},
    {0},
};

static const Option describe_options[] = {
    {"label", 0, "KEY=VALUE", TEXT("set a label; KEY= removes it; may be given often"), true},
    {"var", 0, "KEY=VALUE", TEXT("set a variable for plans; KEY= removes it; may be given often"), true},
    {0},
};

static const Option invite_options[] = {
    {"label", 0, "KEY=VALUE", TEXT("set a label; KEY= removes it; may be given often"), true},
    {"var", 0, "KEY=VALUE", TEXT("set a variable for plans; KEY= removes it; may be given often"), true},
    {"valid", 0, "DURATION", TEXT("how long the token is good (default: 1d)"), false},
    {0},
};

static const Option why_options[] = {
    {"why", 0, "TEXT", TEXT("the reason, for the journal"), false},
    {0},
};

static const Option import_options[] = {
    {"dry-run", 0, NULL, TEXT("only read it, and say what would be taken"), false},
    {0},
};

const CliVerb cli_verbs_fleet[] = {
    {"publish", "FILE.upk …", TEXT("give a package to a controller, for its hosts to fetch"),
     TEXT("Sends what is not there yet; an upload that was cut off goes on where it was. The controller "
          "verifies "
          "every digest and the signatures against its own trusted keys before it keeps it."),
     "upkeep publish node-red-4.0.9.upk --server https://controller.example:7443", NULL, 1, 64, run_publish,
     true},
    {"packages", "", TEXT("list the packages of a controller"), "", "upkeep packages", NULL, 0, 0,
     run_packages, true},
    {"hosts", "", TEXT("list the hosts of a controller"), "", "upkeep hosts --select region=east",
     hosts_options, 0, 0, run_hosts, true},
    {"host show", "NAME", TEXT("all that is known of a host"), "", "upkeep host show web1", NULL, 1, 1,
     run_host_show, true},
    {"host invite", "NAME", TEXT("make a join token for a host, and show it once"),
     TEXT("The token goes to standard output. It is good for one host, once, until it expires: hand it to "
          "“upkeep-agent join” there."),
     "upkeep host invite web1 --label region=east", invite_options, 1, 1, run_host_invite, true},
    {"host describe", "NAME", TEXT("set labels and variables of a host"), "",
     "upkeep host describe web1 --label environment=production --var port=8080", describe_options, 1, 1,
     run_host_describe, true},
    {"host revoke", "NAME", TEXT("shut a host out: its certificates are no longer good"), "",
     "upkeep host revoke web1 --why \"disk sold\"", why_options, 1, 1, run_host_revoke, true},
    {"host remove", "NAME", TEXT("forget a host that has been revoked"), "", "upkeep host remove web1", NULL,
     1, 1, run_host_remove, true},
    {"import", "FILE", TEXT("take hosts from an Ansible inventory (INI or YAML)"),
     TEXT("Groups become the label “groups”, variables become variables, ansible_host becomes “address”. "
          "Settings "
          "of Ansible itself, templates and what looks like a secret are left out and counted."),
     "upkeep import inventory.ini", import_options, 1, 1, run_import, true},
    {"drift", "ENV1 ENV2", TEXT("in what the hosts of two environments differ"),
     TEXT("Compares what the hosts have told about themselves: system, kernel, processors, memory, tools, "
          "installed "
          "releases. What is not known never agrees. Exit status 3 when they differ or nothing can be said."),
     "upkeep drift test production", NULL, 2, 2, run_drift, true},
    {0},
};
