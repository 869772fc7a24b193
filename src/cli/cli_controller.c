/* serve, user …, fingerprint: a controller on its machine. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/quantity.h"
#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/secret.h"
#include "server/controller.h"
#include "trust/authority.h"
#include "trust/people.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MAX = AUTHORITY_NAMES_MAX, CHANGE_NUMBER_MAX = 1000000 };

/* ---- serve */

/* "127.0.0.1:7443", "[::]:7443", "0.0.0.0" */
static int read_listen(const char *text, char address[static 64], int *port, Error *error) {
    const char *colon = strrchr(text, ':'), *end = text + strlen(text);
    bool brackets = text[0] == '[';
    *port = CONTROLLER_PORT;
    if (colon && (!brackets || colon[-1] == ']')) {
        char *rest;
        long number = strtol(colon + 1, &rest, 10);
        if (*rest || !colon[1] || number < 0 || number > 65535)
            return error_set(error, ERROR_INVALID, "--listen must be ADDRESS:PORT, not %s", text);
        *port = (int)number;
        end = colon;
    }
    if (brackets) {
        text++;
        end--;
    }
    if (end - text < 1 || end - text > 63)
        return error_set(error, ERROR_INVALID, "--listen must be ADDRESS:PORT, not %s", text);
    snprintf(address, 64, "%.*s", (int)(end - text), text);
    return 0;
}

/* What agents and people may call it: what was said, this machine's name, and its own loopback. */
static size_t list_names(const Arguments *arguments, char host[static HOST_NAME_MAX + 1],
                         const char **names) {
    size_t count = 0;
    const char *name;
    for (size_t i = 0; (name = arguments_get_nth(arguments, "name", i)) && count < NAMES_MAX - 4; i++)
        names[count++] = name;
    if (gethostname(host, HOST_NAME_MAX + 1) == 0 && *host) names[count++] = host;
    names[count++] = "localhost";
    names[count++] = "127.0.0.1";
    names[count++] = "::1";
    return count;
}

static int read_number(const char *text, int64_t *out, Error *error) {
    char *rest;
    long number = strtol(text, &rest, 10);
    if (!*text || *rest || number < 0 || number > CHANGE_NUMBER_MAX)
        return error_set(error, ERROR_INVALID, "--first-change must be a number, not %s", text);
    *out = number;
    return 0;
}

static int run_serve(Cli *cli, const Arguments *arguments) {
    Controller *controller = NULL;
    Error error = {0};
    char address[64], host[HOST_NAME_MAX + 1];
    const char *names[NAMES_MAX], *valid = arguments_get(arguments, "certificates", "90d");
    ControllerSpec spec = {.state = cli->state,
                           .address = address,
                           .names = names,
                           .port_file = arguments_get(arguments, "port-file", NULL)};
    spec.name_count = list_names(arguments, host, names);
    if (quantity_duration_parse(valid, &spec.host_valid_ms) < 0) {
        error_set(&error, ERROR_INVALID, "--certificates must be a duration such as 90d, not %s", valid);
        return cli_fail(cli, &error);
    }
    daemon_raise_files(); /* each host keeps a connection */
    if (daemon_log(arguments, &error) < 0 ||
        read_number(arguments_get(arguments, "first-change", "0"), &spec.first_change, &error) < 0 ||
        read_listen(arguments_get(arguments, "listen", "0.0.0.0"), address, &spec.port, &error) < 0 ||
        controller_open(&spec, &controller, &error) < 0)
        return cli_fail(cli, &error);
    int result = controller_serve(controller, daemon_stop(), &error);
    controller_close(controller);
    return result < 0 ? cli_fail(cli, &error) : 0;
}

/* ---- people */

static int open_people(const Cli *cli, People **out, Error *error) {
    FREE_AUTO char *path = file_join(cli->state, "people");
    FD_AUTO state = -1;
    if (file_open_dir(cli->state, &state, error) < 0) return -1;
    return people_open(path, out, error);
}

static int64_t now_ms(void) { return clock_wall_ms(clock_system()); }

static int print_token(const Cli *cli, People *people, const char *name, const Arguments *arguments,
                       Error *error) {
    char text[BEARER_TEXT_SIZE];
    int64_t valid_ms = 0;
    const char *valid = arguments_get(arguments, "valid", NULL);
    if (valid && quantity_duration_parse(valid, &valid_ms) < 0)
        return error_set(error, ERROR_INVALID, "--valid must be a duration such as 90d, not %s", valid);
    PeopleTokenRequest request = {
        .name = name, .label = arguments_get(arguments, "label", "command line"), .valid_ms = valid_ms};
    if (people_token_make(people, &request, now_ms(), text, error) < 0) return -1;
    if (cli->json)
        printf("{\"name\":\"%s\",\"token\":\"%s\",\"type\":\"token\"}\n", name, text);
    else
        printf("%s\n", text);
    explicit_bzero(text, sizeof text);
    return 0;
}

static int run_user_add(Cli *cli, const Arguments *arguments) {
    PEOPLE_AUTO people = NULL;
    Error error = {0};
    Role role;
    const char *text = arguments_get(arguments, "role", "viewer");
    if (!role_from_name(text, &role)) {
        error_set(&error, ERROR_INVALID, "--role must be viewer, operator, approver or admin, not %s", text);
        return cli_fail(cli, &error);
    }
    if (open_people(cli, &people, &error) < 0 ||
        people_add(people, arguments->positional[0], role, now_ms(), &error) < 0 ||
        print_token(cli, people, arguments->positional[0], arguments, &error) < 0)
        return cli_fail(cli, &error);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static int run_user_token(Cli *cli, const Arguments *arguments) {
    PEOPLE_AUTO people = NULL;
    Error error = {0};
    if (open_people(cli, &people, &error) < 0 ||
        print_token(cli, people, arguments->positional[0], arguments, &error) < 0)
        return cli_fail(cli, &error);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static int run_user_password(Cli *cli, const Arguments *arguments) {
    PEOPLE_AUTO people = NULL;
    Error error = {0};
    char password[SECRET_MAX];
    if (open_people(cli, &people, &error) < 0 ||
        secret_read(cli, NULL, TEXT("New password"), password, &error) < 0)
        return cli_fail(cli, &error);
    int result = people_set_password(people, arguments->positional[0], password, &error);
    secret_wipe(password);
    return result < 0 ? cli_fail(cli, &error) : cli_result(cli, NULL, "succeeded", 0, NULL);
}

static int run_user_role(Cli *cli, const Arguments *arguments) {
    PEOPLE_AUTO people = NULL;
    Error error = {0};
    Role role;
    if (!role_from_name(arguments->positional[1], &role))
        error_set(&error, ERROR_INVALID, "a role is viewer, operator, approver or admin, not %s",
                  arguments->positional[1]);
    else if (open_people(cli, &people, &error) == 0 &&
             people_set_role(people, arguments->positional[0], role, &error) == 0)
        return cli_result(cli, NULL, "succeeded", 0, NULL);
    return cli_fail(cli, &error);
}

static int run_user_remove(Cli *cli, const Arguments *arguments) {
    PEOPLE_AUTO people = NULL;
    Error error = {0};
    if (open_people(cli, &people, &error) < 0 || people_remove(people, arguments->positional[0], &error) < 0)
        return cli_fail(cli, &error);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static int run_user_list(Cli *cli, const Arguments *arguments) {
    (void)arguments;
    ARENA_AUTO arena = arena_new();
    PEOPLE_AUTO people = NULL;
    PeopleEntry *entries;
    size_t count;
    Error error = {0};
    if (open_people(cli, &people, &error) < 0 || people_list(people, arena, &entries, &count, &error) < 0)
        return cli_fail(cli, &error);
    for (size_t i = 0; i < count; i++) {
        const Person *person = &entries[i].person;
        if (cli->json)
            printf("{\"disabled\":%s,\"name\":\"%s\",\"role\":\"%s\",\"tokens\":%zu,\"type\":\"person\"}\n",
                   person->is_disabled ? "true" : "false", person->name, role_name(person->role),
                   entries[i].token_count);
        else
            cli_print(cli, "%-20s %-10s %zu tokens\n", person->name, cli_text(cli, role_text(person->role)),
                      entries[i].token_count);
    }
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

/* ---- the authority */

static int run_fingerprint(Cli *cli, const Arguments *arguments) {
    (void)arguments;
    AUTHORITY_AUTO authority = NULL;
    FREE_AUTO char *path = file_join(cli->state, "authority");
    Error error = {0};
    char text[DIGEST_TEXT_SIZE];
    if (authority_open(path, now_ms(), &authority, &error) < 0) return cli_fail(cli, &error);
    digest_to_text(authority_fingerprint(authority), text);
    printf(cli->json ? "{\"fingerprint\":\"%s\",\"type\":\"authority\"}\n" : "%s\n", text);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

/* ---- routes */

static int run_routes(Cli *cli, const Arguments *arguments) {
    (void)arguments;
    ControllerRoute route;
    for (size_t i = 0; controller_route(i, &route); i++) {
        JSON_AUTO row = json_object();
        json_set_text(row, "type", "route");
        json_set_text(row, "method", route.method);
        json_set_text(row, "path", route.path);
        json_set_text(row, "who", route.who);
        json_set_text(row, "summary", route.summary);
        FREE_AUTO char *text = json_text(row);
        printf("%s\n", text);
    }
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static const Option serve_options[] = {
    {"listen", 0, "ADDRESS:PORT", TEXT("where to listen (default: 0.0.0.0:7443)"), false},
    {"name", 0, "NAME", TEXT("a name or address that agents and people know it by; may be given often"),
     true},
    {"certificates", 0, "DURATION", TEXT("how long hosts' certificates are valid (default: 90d)"), false},
    {"first-change", 0, "N", TEXT("number changes from N on: after a restore, beyond those that were lost"),
     false},
    {"port-file", 0, "FILE", TEXT("write the port there once it listens"), false},
    DAEMON_OPTIONS,
    {0},
};

static const Option token_options[] = {
    {"label", 0, "TEXT", TEXT("what the token is for"), false},
    {"valid", 0, "DURATION", TEXT("how long the token is valid (default: 90d)"), false},
    {0},
};

static const Option user_options[] = {
    {"role", 0, "ROLE", TEXT("viewer (default), operator, approver or admin"), false},
    {"label", 0, "TEXT", TEXT("what the token is for"), false},
    {"valid", 0, "DURATION", TEXT("how long the token is valid (default: 90d)"), false},
    {0},
};

const CliVerb cli_verbs_controller[] = {
    {"serve", "", TEXT("be the controller of a fleet, until it is stopped"),
     TEXT("At its first start it makes its own certificate authority. One controller a state folder. It may "
          "be "
          "killed at any moment: the next one goes on from the journal."),
     "upkeepd serve --name controller.example", serve_options, 0, 0, run_serve, false},
    {"user add", "NAME", TEXT("let somebody in, and show the token once"),
     TEXT("The token goes to standard output, for “upkeep login” on that person's machine."),
     "upkeepd user add alice --role operator", user_options, 1, 1, run_user_add, false},
    {"user list", "", TEXT("who may sign in"), "", "upkeepd user list", NULL, 0, 0, run_user_list, false},
    {"user token", "NAME", TEXT("make one more token for somebody, and show it once"), "",
     "upkeepd user token alice --label laptop --valid 30d", token_options, 1, 1, run_user_token, false},
    {"user password", "NAME", TEXT("set somebody's password, read from standard input"), "",
     "upkeepd user password alice", NULL, 1, 1, run_user_password, false},
    {"user role", "NAME ROLE", TEXT("give somebody another role"), "", "upkeepd user role alice approver",
     NULL, 2, 2, run_user_role, false},
    {"user remove", "NAME", TEXT("let somebody in no longer"), "", "upkeepd user remove alice", NULL, 1, 1,
     run_user_remove, false},
    {"routes", "", TEXT("list what can be asked of a controller, one JSON object a line"),
     TEXT(
         "Method, path, who may ask, and a summary. docs/reference/openapi.json describes each of them: what "
         "is sent, and what comes back."),
     "upkeepd routes", NULL, 0, 0, run_routes, false},
    {"fingerprint", "", TEXT("show by what the controller's authority is known"), "", "upkeepd fingerprint",
     NULL, 0, 0, run_fingerprint, false},
    {0},
};
