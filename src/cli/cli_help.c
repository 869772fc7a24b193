/* help, version, completion, manual: the table of verbs, told in four ways. */
#include "cli/help.h"
#include <stdio.h>
#include <string.h>

#define UPKEEP_VERSION_TEXT UPKEEP_VERSION

static void print_options(const Cli *cli, const Option *options) {
    for (const Option *option = options; option && option->name; option++) {
        char left[64];
        snprintf(left, sizeof left, "%s%c%s --%s%s%s", option->short_name ? "-" : " ",
                 option->short_name ? option->short_name : ' ', option->short_name ? "," : " ", option->name,
                 option->argument ? " " : "", option->argument ? option->argument : "");
        printf("  %-28s %s\n", left, cli_text(cli, option->summary));
    }
}

void help_verb(const Cli *cli, const CliVerb *verb) {
    printf("%s upkeep %s%s%s%s\n\n", cli_text(cli, "Usage:"), verb->name, *verb->arguments ? " " : "",
           verb->arguments, verb->options ? cli_text(cli, " [options]") : "");
    printf("%s\n", cli_text(cli, verb->summary));
    if (*verb->help) printf("\n%s\n", cli_text(cli, verb->help));
    if (verb->options) printf("\n%s\n", cli_text(cli, "Options:"));
    print_options(cli, verb->options);
    printf("\n%s\n", cli_text(cli, "Every command takes:"));
    print_options(cli, cli_options);
    printf("\n%s\n  %s\n", cli_text(cli, "Example:"), verb->example);
}

void help_all(const Cli *cli) {
    printf(
        "%s\n\n%s upkeep %s\n\n",
        cli_text(cli,
                 "Upkeep carries a software upgrade from a signed package to a verified, archived change."),
        cli_text(cli, "Usage:"), cli_text(cli, "COMMAND [arguments] [options]"));
    for (size_t t = 0; cli->verbs[t]; t++)
        for (const CliVerb *verb = cli->verbs[t]; verb->name; verb++)
            if (verb->summary) printf("  %-16s %s\n", verb->name, cli_text(cli, verb->summary));
    printf("\n%s\n", cli_text(cli, "“upkeep COMMAND --help” says more, with an example."));
    printf("%s\n",
           cli_text(cli,
                    "Exit status: 0 done, 1 system error, 2 invalid, 3 refused, 4 failed and rolled back, "
                    "5 a person is needed, 130 interrupted or paused."));
}

static int run_help(Cli *cli, const Arguments *arguments) {
    char name[64];
    Error error;
    if (arguments->positional_count == 0) {
        help_all(cli);
        return 0;
    }
    snprintf(name, sizeof name, "%.30s%s%.30s", arguments->positional[0],
             arguments->positional_count > 1 ? " " : "",
             arguments->positional_count > 1 ? arguments->positional[1] : "");
    const CliVerb *verb = cli_verb_find(cli, name);
    if (verb) {
        help_verb(cli, verb);
        return 0;
    }
    error_set(&error, ERROR_INVALID, "unknown command “%s”", name);
    error_hint(&error, "“upkeep help” shows those there are");
    return cli_fail(cli, &error);
}

static int run_version(Cli *cli, const Arguments *arguments) {
    (void)arguments;
    if (cli->json)
        printf("{\"type\":\"version\",\"version\":\"%s\"}\n", UPKEEP_VERSION_TEXT);
    else
        printf("upkeep %s\n", UPKEEP_VERSION_TEXT);
    return 0;
}

static void complete_options(const Option *options) {
    for (const Option *option = options; option && option->name; option++)
        printf(" %s%s", option->name[1] ? "--" : "-", option->name);
}

static int run_completion(Cli *cli, const Arguments *arguments) {
    (void)arguments;
    printf("# bash completion of upkeep: source <(upkeep completion)\n_upkeep() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]}\n    case \"${COMP_WORDS[1]}\" in\n");
    for (size_t t = 0; cli->verbs[t]; t++)
        for (const CliVerb *verb = cli->verbs[t]; verb->name; verb++) {
            if (!verb->summary || strchr(verb->name, ' ')) continue;
            printf("    %s) local options=\"", verb->name);
            complete_options(verb->options);
            complete_options(cli_options);
            printf("\" ;;\n");
        }
    printf("    *) local options=\"");
    for (size_t t = 0; cli->verbs[t]; t++)
        for (const CliVerb *verb = cli->verbs[t]; verb->name; verb++)
            if (verb->summary) printf(" %s", verb->name);
    printf("\" ;;\n    esac\n    [ \"$COMP_CWORD\" = 1 ] || [ \"${word#-}\" != \"$word\" ] || options=\n"
           "    COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
           "    [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$word\"))\n}\ncomplete -F _upkeep "
           "upkeep\n");
    return 0;
}

/* Text for roff: backslashes doubled, a leading dot or quote guarded. */
static void roff(const char *text) {
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\'')) fputs("\\&", stdout);
        if (*text == '\\' || *text == '-') putchar('\\');
        putchar(*text);
        line_start = *text == '\n';
    }
}

static void roff_options(const Cli *cli, const Option *options) {
    for (const Option *option = options; option && option->name; option++) {
        printf(".TP\n.B \\-\\-%s", option->name);
        if (option->argument) printf(" \\fI%s\\fR", option->argument);
        printf("\n");
        roff(cli_text(cli, option->summary));
        printf("\n");
    }
}

static void manual_page(const Cli *cli, const CliVerb *verb) {
    char title[64];
    snprintf(title, sizeof title, "upkeep-%s", verb->name);
    for (char *at = title; *at; at++)
        if (*at == ' ') *at = '-';
    printf(".TH \"%s\" 1 \"\" \"upkeep %s\"\n.SH %s\n%s \\- ", title, UPKEEP_VERSION_TEXT,
           cli_text(cli, "NAME"), title);
    roff(cli_text(cli, verb->summary));
    printf("\n.SH %s\n.B upkeep %s\n", cli_text(cli, "SYNOPSIS"), verb->name);
    roff(verb->arguments);
    printf("\n.SH %s\n", cli_text(cli, "DESCRIPTION"));
    roff(cli_text(cli, verb->help));
    printf("\n.SH %s\n", cli_text(cli, "OPTIONS"));
    roff_options(cli, verb->options);
    roff_options(cli, cli_options);
    printf(".SH %s\n.nf\n", cli_text(cli, "EXAMPLE"));
    roff(verb->example);
    printf("\n.fi\n.SH %s\n", cli_text(cli, "EXIT STATUS"));
    roff(cli_text(cli, "Exit status: 0 done, 1 system error, 2 invalid, 3 refused, 4 failed and rolled back, "
                       "5 a person is needed, 130 interrupted or paused."));
    printf("\n");
}

static int run_manual(Cli *cli, const Arguments *arguments) {
    const CliVerb *verb = cli_verb_find(cli, arguments->positional[0]);
    Error error;
    if (verb) {
        manual_page(cli, verb);
        return 0;
    }
    error_set(&error, ERROR_INVALID, "unknown command “%s”", arguments->positional[0]);
    return cli_fail(cli, &error);
}

const CliVerb cli_verbs_help[] = {
    {"help", "[COMMAND]", TEXT("show what there is, or what a command does"), "", "upkeep help run", NULL, 0,
     2, run_help},
    {"version", "", TEXT("show the version"), "", "upkeep version", NULL, 0, 0, run_version},
    {"completion", "", TEXT("print a completion script for bash"), "", "source <(upkeep completion)", NULL, 0,
     0, run_completion},
    {"manual", "COMMAND", TEXT("print a command's manual page"), "", "upkeep manual run | man -l -", NULL, 1,
     1, run_manual},
    {0},
};
