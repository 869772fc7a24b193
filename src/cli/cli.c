#include "cli/cli.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/help.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

const Option cli_options[] = {
    {"state", 0, "DIR", TEXT("state folder (default: as root, the one of that name beneath /var/lib)"),
     false},
    {"server", 0, "URL", TEXT("ask this controller instead (default: UPKEEP_SERVER)"), false},
    {"json", 0, NULL, TEXT("one JSON object a line on standard output"), false},
    {"lang", 0, "zh|en", TEXT("language of texts (default: from the locale)"), false},
    {"color", 0, "auto|never", TEXT("colours on a terminal (NO_COLOR holds as well)"), false},
    {"quiet", 'q', NULL, TEXT("errors only"), false},
    {"help", 'h', NULL, TEXT("what this command does, with an example"), false},
    {0},
};

const char *cli_text(const Cli *cli, const char *id) { return text_in(cli->language, id); }

void cli_print(const Cli *cli, const char *format, ...) {
    if (cli->json || cli->quiet) return;
    va_list arguments;
    va_start(arguments, format);
    vprintf(cli_text(cli, format), arguments);
    va_end(arguments);
}

static const char *outcome_of(ErrorKind kind) {
    if (kind == ERROR_REFUSED || kind == ERROR_INVALID) return "refused";
    return kind == ERROR_INTERRUPTED ? "paused" : "failed";
}

int cli_result(const Cli *cli, const char *change, const char *outcome, int exit_status, const Error *error) {
    if (!cli->json) return exit_status;
    JSON_AUTO result = json_object();
    json_set_text(result, "type", "result");
    json_set_text(result, "change", change);
    json_set_text(result, "outcome", outcome);
    json_set_integer(result, "exit", exit_status);
    if (error) json_set_text(result, "error", error->en);
    FREE_AUTO char *text = json_text(result);
    printf("%s\n", text);
    return exit_status;
}

int cli_fail(Cli *cli, const Error *error) {
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", cli->program->name, cli->language == LANGUAGE_ZH ? error->zh : error->en);
    return cli_result(cli, NULL, outcome_of(error->kind), error_exit_status(error->kind), error);
}

const CliVerb *cli_verb_find(const Cli *cli, const char *name) {
    for (size_t t = 0; cli->program->verbs[t]; t++)
        for (const CliVerb *verb = cli->program->verbs[t]; verb->name; verb++)
            if (strcmp(verb->name, name) == 0) return verb;
    return NULL;
}

/* The verb of one or two words ("key new") that `words` begin with; *used of them. */
static const CliVerb *find_verb(const Cli *cli, int count, char **words, int *used) {
    char two[64];
    if (count >= 2) {
        snprintf(two, sizeof two, "%.30s %.30s", words[0], words[1]);
        const CliVerb *verb = cli_verb_find(cli, two);
        *used = 2;
        if (verb) return verb;
    }
    *used = 1;
    return count >= 1 ? cli_verb_find(cli, words[0]) : NULL;
}

/* A daemon's user, who is not root, is asked for its own folder. */
static bool is_own_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid();
}

static const char *default_state(const CliProgram *program, Arena *arena) {
    const char *home = getenv("HOME"), *state = getenv("XDG_STATE_HOME");
    const char *name = strrchr(program->state, '/') + 1;
    if (geteuid() == 0 || is_own_folder(program->state)) return program->state;
    if (state && *state) return arena_printf(arena, "%s/%s", state, name);
    return arena_printf(arena, "%s/.local/state/%s", home ? home : "", name);
}

/* A child's working directory is not ours: keep what people gave as they meant it. */
static const char *absolute(Arena *arena, const char *path) {
    if (path[0] == '/') return path;
    FREE_AUTO char *here = getcwd(NULL, 0);
    return here ? arena_printf(arena, "%s/%s", here, path) : path;
}

static int read_common(Cli *cli, Arena *arena, const Arguments *arguments, Error *error) {
    const char *language = arguments_get(arguments, "lang", NULL);
    const char *color = arguments_get(arguments, "color", "auto"), *no_color = getenv("NO_COLOR");
    if (language && strcmp(language, "zh") != 0 && strcmp(language, "en") != 0)
        return error_set(error, ERROR_INVALID, "--lang must be zh or en, not %s", language);
    if (strcmp(color, "auto") != 0 && strcmp(color, "never") != 0)
        return error_set(error, ERROR_INVALID, "--color must be auto or never, not %s", color);
    if (language) cli->language = strcmp(language, "zh") == 0 ? LANGUAGE_ZH : LANGUAGE_EN;
    cli->json = arguments_has(arguments, "json");
    cli->quiet = arguments_has(arguments, "quiet");
    cli->terminal = isatty(STDOUT_FILENO) && !cli->json;
    cli->color = cli->terminal && strcmp(color, "auto") == 0 && !(no_color && *no_color);
    cli->state = absolute(arena, arguments_get(arguments, "state", default_state(cli->program, arena)));
    return 0;
}

/* A controller that was named is meant; one that the environment names only where it can be. */
static int read_server(Cli *cli, const CliVerb *verb, const Arguments *arguments, Error *error) {
    const char *named = arguments_get(arguments, "server", NULL), *usual = getenv("UPKEEP_SERVER");
    bool remote = cli->program->remote && verb->remote;
    if (named && !remote)
        return error_set(error, ERROR_INVALID, "“%s” is done here, without a controller: leave --server away",
                         verb->name);
    cli->server = named ? named : remote && usual && *usual ? usual : NULL;
    return 0;
}

static int check_positional(const Cli *cli, const CliVerb *verb, const Arguments *arguments, Error *error) {
    int count = (int)arguments->positional_count;
    if (count >= verb->positional_min && count <= verb->positional_max) return 0;
    if (count < verb->positional_min)
        error_set(error, ERROR_INVALID, "“%s” needs: %s", verb->name, verb->arguments);
    else
        error_set(error, ERROR_INVALID, "“%s”: one argument too many: %s", verb->name,
                  arguments->positional[verb->positional_max]);
    return error_hint(error, "“%s %s --help” shows an example", cli->program->name, verb->name);
}

static int run_verb(Cli *cli, Arena *arena, const CliVerb *verb, int count, char **words) {
    static const Option none[] = {{0}};
    const Option *const tables[] = {verb->options ? verb->options : none, cli_options, NULL};
    Arguments arguments = {0};
    Error error = {0};
    if (arguments_parse(arena, tables, count, words, &arguments, &error) < 0) return cli_fail(cli, &error);
    if (read_common(cli, arena, &arguments, &error) < 0 || read_server(cli, verb, &arguments, &error) < 0)
        return cli_fail(cli, &error);
    if (arguments_has(&arguments, "help")) {
        help_verb(cli, verb);
        return 0;
    }
    if (check_positional(cli, verb, &arguments, &error) < 0) return cli_fail(cli, &error);
    return verb->run(cli, &arguments);
}

int cli_main(const CliProgram *program, int count, char **words) {
    ARENA_AUTO arena = arena_new();
    Cli cli = {.program = program,
               .language = text_language_of_environment(),
               .state = default_state(program, arena)};
    int used = 0;
    const CliVerb *verb = find_verb(&cli, count - 1, words + 1, &used);
    if (verb) return run_verb(&cli, arena, verb, count - 1 - used, words + 1 + used);
    if (count < 2 || strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0) {
        help_all(&cli);
        return count < 2 ? 2 : 0;
    }
    if (strcmp(words[1], "--version") == 0)
        return run_verb(&cli, arena, cli_verb_find(&cli, "version"), 0, NULL);
    if (help_family(&cli, words[1])) return count > 2 && strcmp(words[2], "--help") == 0 ? 0 : 2;
    Error error = {0};
    error_set(&error, ERROR_INVALID, "unknown command “%s”", words[1]);
    error_hint(&error, "“%s help” shows those there are", program->name);
    return cli_fail(&cli, &error);
}
