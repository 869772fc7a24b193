/* login, logout: this user at a controller. */
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/remote.h"
#include "cli/secret.h"
#include "trust/people.h"
#include <string.h>

static int try_token(const char *url, const char *fingerprint, const char *token, json_t **answer,
                     Error *error) {
    CALL_CLIENT_AUTO client = NULL;
    CallSettings settings = {.base_url = url, .ca_fingerprint = fingerprint, .token = token};
    int status;
    if (call_client_new(&settings, &client, error) < 0 ||
        call(client, "GET", "/api/v1/whoami", NULL, 0, NULL, &status, answer, error) < 0)
        return -1;
    if (status == 200) return 0;
    return error_set(error, ERROR_REFUSED, "the controller refuses: %s",
                     json_get_text(*answer, "error", "without a reason"));
}

/* A password becomes a token of a working day. */
static int sign_in(const char *url, const char *fingerprint, const char *name, char secret[static SECRET_MAX],
                   Error *error) {
    CALL_CLIENT_AUTO client = NULL;
    CallSettings settings = {.base_url = url, .ca_fingerprint = fingerprint};
    JSON_AUTO body = json_object();
    JSON_AUTO answer = NULL;
    int status;
    json_set_text(body, "name", name);
    json_set_text(body, "password", secret);
    if (call_client_new(&settings, &client, error) < 0 ||
        call(client, "POST", "/api/v1/sign-in", body, 0, NULL, &status, &answer, error) < 0)
        return -1;
    if (status != 201)
        return error_set(error, ERROR_REFUSED, "the controller refuses: %s",
                         json_get_text(answer, "error", "without a reason"));
    snprintf(secret, SECRET_MAX, "%s", json_get_text(answer, "token", ""));
    return 0;
}

static int login(const Cli *cli, const Arguments *arguments, char secret[static SECRET_MAX], json_t **who,
                 Error *error) {
    const char *url = arguments->positional[0], *name = arguments_get(arguments, "name", NULL);
    const char *fingerprint = arguments_get(arguments, "fingerprint", NULL);
    if (!fingerprint) {
        error_set(error, ERROR_INVALID,
                  "“login” needs --fingerprint: how else would we know this controller");
        return error_hint(error, "“upkeepd fingerprint” shows it, on the controller's machine");
    }
    if (secret_read(cli, NULL, name ? TEXT("Password") : TEXT("Token"), secret, error) < 0) return -1;
    if (name && sign_in(url, fingerprint, name, secret, error) < 0) return -1;
    if (try_token(url, fingerprint, secret, who, error) < 0) return -1;
    return remote_remember(url, fingerprint, secret, error);
}

static int run_login(Cli *cli, const Arguments *arguments) {
    char secret[SECRET_MAX];
    JSON_AUTO who = NULL;
    Error error = {0};
    int result = login(cli, arguments, secret, &who, &error);
    secret_wipe(secret);
    if (result < 0) return cli_fail(cli, &error);
    cli_print(cli, "Signed in at %s as %s (%s).\n", arguments->positional[0], json_get_text(who, "name", ""),
              json_get_text(who, "role", ""));
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static int run_logout(Cli *cli, const Arguments *arguments) {
    Error error = {0};
    if (remote_remember(arguments->positional[0], NULL, NULL, &error) < 0) return cli_fail(cli, &error);
    cli_print(cli,
              "Nothing is remembered of %s here. The token itself is good until it is taken back there.\n",
              arguments->positional[0]);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static const Option login_options[] = {
    {"fingerprint", 0, "SHA-256", TEXT("by what the controller's authority is known"), false},
    {"name", 0, "NAME", TEXT("sign in with this name and a password instead of a token"), false},
    {0},
};

const CliVerb cli_verbs_login[] = {
    {"login", "URL", TEXT("sign in at a controller, and remember it for --server"),
     TEXT("Asks for the token, or reads it from standard input; it is kept in servers.json beneath your "
          "configuration folder, readable by you alone. Programs set UPKEEP_TOKEN and UPKEEP_FINGERPRINT "
          "instead."),
     "upkeep login https://controller.example:7443 --fingerprint 3f…", login_options, 1, 1, run_login, false},
    {"logout", "URL", TEXT("forget the token of a controller"), "",
     "upkeep logout https://controller.example:7443", NULL, 1, 1, run_logout, false},
    {0},
};
