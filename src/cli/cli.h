/* Cli: the table of verbs, and what every verb gets.
 *
 * A verb is one row: names, arguments, options, help with an example, and a function. main() finds the row,
 * parses the options that every verb takes (--state, --json, --lang, --color, -q, --help), and calls it. The
 * function returns the process's exit status (interface.md has the table); errors go through cli_fail().
 */
#pragma once
#include "base/error.h"
#include "base/text.h"
#include "cli/options.h"
#include <stdbool.h>
#include <stdio.h>

typedef struct CliVerb CliVerb;

typedef struct CliProgram {
    const char *name;  /* "upkeep", "upkeepd", "upkeep-agent" */
    const char *about; /* one line; a message id */
    const char *state; /* its folder when run by root; others have $XDG_STATE_HOME/<its last name> */
    const CliVerb *const *verbs; /* NULL-ended list of tables, each ended by a zero row */
    bool remote; /* it may ask a controller: others work where they are, whatever UPKEEP_SERVER says */
} CliProgram;

typedef struct Cli {
    const CliProgram *program;
    Language language;
    bool json;
    bool color;
    bool quiet;
    bool terminal;      /* standard output is one */
    const char *state;  /* folder of journal and restore points; made when first needed */
    const char *server; /* URL of the controller that is meant, or NULL: this machine */
} Cli;

struct CliVerb {
    const char *name;      /* "pack", "key new" */
    const char *arguments; /* "DIR" — for the usage line */
    const char *summary;   /* one line; a message id */
    const char *help;      /* paragraphs; a message id */
    const char *example;   /* one command line */
    const Option *options; /* its own, ended by a zero row; NULL: none */
    int positional_min, positional_max;
    int (*run)(Cli *cli, const Arguments *arguments);
    bool remote; /* it works against a controller: --server */
};

/* Run one command line. The process's exit status. */
int cli_main(const CliProgram *program, int count, char **words);
const CliVerb *cli_verb_find(const Cli *cli, const char *name); /* NULL when there is none */

/* The tables, one a file: cli_<name>.c. main() says which there are. */
extern const CliVerb cli_verbs_key[], cli_verbs_package[], cli_verbs_inspect[], cli_verbs_plan[],
    cli_verbs_change[], cli_verbs_restore[], cli_verbs_report[], cli_verbs_journal[], cli_verbs_help[],
    cli_verbs_guard[], cli_verbs_service[], cli_verbs_simulate[], cli_verbs_agent[], cli_verbs_controller[],
    cli_verbs_trust[], cli_verbs_login[], cli_verbs_fleet[];

/* What every verb takes. */
extern const Option cli_options[];

/* Say why on standard error ("upkeep: …" in the user's language; with --json a result line on standard
 * output) and give back the exit status of its kind. */
int cli_fail(Cli *cli, const Error *error);

/* Text for people on standard output, translated; nothing with --json or -q. */
void cli_print(const Cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text of `id` in the user's language. */
const char *cli_text(const Cli *cli, const char *id) __attribute__((format_arg(2)));

/* The last line of --json: {"type":"result", …}; nothing without --json. `change` and `error` may be NULL.
 * Gives back `exit_status`. */
int cli_result(const Cli *cli, const char *change, const char *outcome, int exit_status, const Error *error);
