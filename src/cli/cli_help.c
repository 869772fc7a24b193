/* help, version, completion, manual: the table of verbs, told in four ways. */
#include "cli/help.h"
#include <stdio.h>
#include <string.h>

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
    printf("%s %s %s%s%s%s\n\n", cli_text(cli, "Usage:"), cli->program->name, verb->name,
           *verb->arguments ? " " : "", verb->arguments, verb->options ? cli_text(cli, " [options]") : "");
    printf("%s\n", cli_text(cli, verb->summary));
    if (*verb->help) printf("\n%s\n", cli_text(cli, verb->help));
    if (verb->options) printf("\n%s\n", cli_text(cli, "Options:"));
    print_options(cli, verb->options);
    printf("\n%s\n", cli_text(cli, "Every command takes:"));
    print_options(cli, cli_options);
    printf("\n%s\n  %s\n", cli_text(cli, "Example:"), verb->example);
}

void help_all(const Cli *cli) {
    printf("%s\n\n%s %s %s\n\n", cli_text(cli, cli->program->about), cli_text(cli, "Usage:"),
           cli->program->name, cli_text(cli, "COMMAND [arguments] [options]"));
    for (size_t t = 0; cli->program->verbs[t]; t++)
        for (const CliVerb *verb = cli->program->verbs[t]; verb->name; verb++)
            printf("  %-16s %s\n", verb->name, cli_text(cli, verb->summary));
    printf("\n");
    printf(cli_text(cli, "“%s COMMAND --help” says more, with an example.\n"), cli->program->name);
    printf("%s\n",
           cli_text(cli,
                    "Exit status: 0 done, 1 system error, 2 invalid, 3 refused, 4 failed and rolled back, "
                    "5 a person is needed, 130 interrupted or paused."));
}

bool help_family(const Cli *cli, const char *first) {
    size_t length = strlen(first), found = 0;
    for (size_t t = 0; cli->program->verbs[t]; t++)
        for (const CliVerb *verb = cli->program->verbs[t]; verb->name; verb++) {
            if (strncmp(verb->name, first, length) != 0 || verb->name[length] != ' ') continue;
            if (found++ == 0) printf("%s %s %s …\n\n", cli_text(cli, "Usage:"), cli->program->name, first);
            printf("  %-16s %s\n", verb->name, cli_text(cli, verb->summary));
        }
    return found > 0;
}

/* The verb that one or two arguments name; NULL, and said why, when there is none. */
static const CliVerb *named_verb(Cli *cli, const Arguments *arguments, int *status) {
    char name[64];
    Error error = {0};
    snprintf(name, sizeof name, "%.30s%s%.30s", arguments->positional[0],
             arguments->positional_count > 1 ? " " : "",
             arguments->positional_count > 1 ? arguments->positional[1] : "");
    const CliVerb *verb = cli_verb_find(cli, name);
    if (verb) return verb;
    error_set(&error, ERROR_INVALID, "unknown command “%s”", name);
    error_hint(&error, "“%s help” shows those there are", cli->program->name);
    *status = cli_fail(cli, &error);
    return NULL;
}

static int run_help(Cli *cli, const Arguments *arguments) {
    int status = 0;
    const CliVerb *verb = NULL;
    if (arguments->positional_count > 0 && !(verb = named_verb(cli, arguments, &status))) return status;
    if (verb)
        help_verb(cli, verb);
    else
        help_all(cli);
    return 0;
}

static int run_version(Cli *cli, const Arguments *arguments) {
    (void)arguments;
    if (cli->json)
        printf("{\"type\":\"version\",\"version\":\"%s\"}\n", UPKEEP_VERSION);
    else
        printf("%s %s\n", cli->program->name, UPKEEP_VERSION);
    return 0;
}

static void complete_options(const Option *options) {
    for (const Option *option = options; option && option->name; option++) printf(" --%s", option->name);
}

/* What can follow a verb; of verbs of two words also the second after the first. */
static void complete_verb(const CliVerb *verb) {
    const char *blank = strchr(verb->name, ' ');
    int first = blank ? (int)(blank - verb->name) : (int)strlen(verb->name);
    printf("    case \"$line\" in\n    \"\") words+=\" %.*s\" ;;\n", first, verb->name);
    if (blank) printf("    \"%.*s \") words+=\" %s\" ;;\n", first, verb->name, blank + 1);
    printf("    \"%s \"*) words=\"", verb->name);
    complete_options(verb->options);
    complete_options(cli_options);
    printf("\" ;;\n    esac\n");
}

static int run_completion(Cli *cli, const Arguments *arguments) {
    (void)arguments;
    const char *name = cli->program->name;
    printf("# bash completion of %s: source <(%s completion)\n_%s() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} line= words= i\n"
           "    for ((i = 1; i < COMP_CWORD; i++)); do line+=\"${COMP_WORDS[i]} \"; done\n",
           name, name, name);
    for (size_t t = 0; cli->program->verbs[t]; t++)
        for (const CliVerb *verb = cli->program->verbs[t]; verb->name; verb++) complete_verb(verb);
    printf("    case \"$word$words\" in [^-]*\" --\"*) words= ;; esac # a file is meant\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "    [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$word\"))\n}\n"
           "complete -o filenames -F _%s %s\n",
           name, name);
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

static void roff_option(const Cli *cli, const Option *option) {
    printf(".TP\n.B ");
    if (option->short_name) printf("\\-%c, ", option->short_name);
    printf("\\-\\-");
    roff(option->name);
    if (option->argument) printf(" \\fI%s\\fR", option->argument);
    printf("\n");
    roff(cli_text(cli, option->summary));
    printf("\n");
}

static void roff_options(const Cli *cli, const Option *options) {
    for (const Option *option = options; option && option->name; option++) roff_option(cli, option);
}

static void roff_section(const Cli *cli, const char *id) { printf("\n.SH %s\n", cli_text(cli, id)); }

static void roff_end(const Cli *cli) {
    roff_section(cli, TEXT("EXIT STATUS"));
    roff(cli_text(cli, "Exit status: 0 done, 1 system error, 2 invalid, 3 refused, 4 failed and rolled back, "
                       "5 a person is needed, 130 interrupted or paused."));
    printf("\n");
}

/* "key new" → "upkeep\-key\-new" */
static void roff_page_name(const Cli *cli, const char *verb) {
    roff(cli->program->name);
    printf("\\-");
    for (; *verb; verb++) {
        if (*verb == ' ' || *verb == '-') putchar('\\');
        putchar(*verb == ' ' ? '-' : *verb);
    }
}

static void manual_page(const Cli *cli, const CliVerb *verb) {
    printf(".TH \"");
    roff_page_name(cli, verb->name);
    printf("\" 1 \"\" \"%s %s\"\n.ad l", cli->program->name, UPKEEP_VERSION);
    roff_section(cli, TEXT("NAME"));
    roff_page_name(cli, verb->name);
    printf(" \\- ");
    roff(cli_text(cli, verb->summary));
    roff_section(cli, TEXT("SYNOPSIS"));
    printf(".B %s %s\n", cli->program->name, verb->name);
    roff(verb->arguments);
    if (verb->options) roff(cli_text(cli, " [options]"));
    if (*verb->help) {
        roff_section(cli, TEXT("DESCRIPTION"));
        roff(cli_text(cli, verb->help));
    }
    roff_section(cli, TEXT("OPTIONS"));
    roff_options(cli, verb->options);
    roff_options(cli, cli_options);
    roff_section(cli, TEXT("EXAMPLE"));
    printf(".nf\n");
    roff(verb->example);
    printf("\n.fi");
    roff_end(cli);
}

/* The page that leads to the others. */
static void manual_index(const Cli *cli) {
    printf(".TH \"%s\" 1 \"\" \"%s %s\"\n.ad l", cli->program->name, cli->program->name, UPKEEP_VERSION);
    roff_section(cli, TEXT("NAME"));
    roff(cli->program->name);
    printf(" \\- ");
    roff(cli_text(cli, cli->program->about));
    roff_section(cli, TEXT("SYNOPSIS"));
    printf(".B %s\n", cli->program->name);
    roff(cli_text(cli, "COMMAND [arguments] [options]"));
    roff_section(cli, TEXT("COMMANDS"));
    for (size_t t = 0; cli->program->verbs[t]; t++)
        for (const CliVerb *verb = cli->program->verbs[t]; verb->name; verb++) {
            printf(".TP\n.BR ");
            roff_page_name(cli, verb->name);
            printf(" (1)\n");
            roff(cli_text(cli, verb->summary));
            printf("\n");
        }
    roff_section(cli, TEXT("OPTIONS"));
    roff_options(cli, cli_options);
    roff_end(cli);
}

static int run_manual(Cli *cli, const Arguments *arguments) {
    int status = 0;
    const CliVerb *verb = NULL;
    if (arguments->positional_count > 0 && !(verb = named_verb(cli, arguments, &status))) return status;
    if (verb)
        manual_page(cli, verb);
    else
        manual_index(cli);
    return 0;
}

const CliVerb cli_verbs_help[] = {
    {"help", "[COMMAND]", TEXT("show what there is, or what a command does"), "", "upkeep help run", NULL, 0,
     2, run_help, false},
    {"version", "", TEXT("show the version"), "", "upkeep version", NULL, 0, 0, run_version, false},
    {"completion", "", TEXT("print a completion script for bash"), "", "source <(upkeep completion)", NULL, 0,
     0, run_completion, false},
    {"manual", "[COMMAND]", TEXT("print a command's manual page"), "", "upkeep manual run | man -l -", NULL,
     0, 2, run_manual, false},
    {0},
};
