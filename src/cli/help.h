/* Help: what the table of verbs says about itself, as text, manual pages and completion. */
#pragma once
#include "cli/cli.h"

void help_verb(const Cli *cli, const CliVerb *verb);
void help_all(const Cli *cli);
/* The verbs of two words that begin with `first`; false when there are none. */
bool help_family(const Cli *cli, const char *first);
