/* Secret: a word that nobody else may see — read from a file or standard input, never from the command line.
 *
 * On a terminal it is asked for and not echoed. The caller wipes it with secret_wipe().
 */
#pragma once
#include "cli/cli.h"

enum { SECRET_MAX = 1024 /* bytes, with NUL */ };

/* From the file `path`, or (NULL) standard input: its first line without the end. ERROR_INVALID when it is
 * empty or too long. `prompt` is a message id. */
int secret_read(const Cli *cli, const char *path, const char *prompt, char out[static SECRET_MAX],
                Error *error);
void secret_wipe(char text[static SECRET_MAX]);
