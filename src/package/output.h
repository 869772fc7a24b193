/* Output: a file that appears whole under its name, or not at all.
 *
 *     output_begin(&output, path, …)     a temporary file beside `path`
 *     … write to output.fd …
 *     output_commit(&output, …)          fsync, rename over `path`, fsync of the folder
 *     output_abort(&output)              or remove it
 */
#pragma once
#include "base/error.h"

typedef struct Output {
    int dir, fd;
    char name[256];      /* in dir */
    char temporary[256]; /* in dir */
} Output;

int output_begin(Output *output, const char *path, Error *error);
/* On failure nothing is left, as after output_abort(). */
int output_commit(Output *output, Error *error);
/* Gives -1, so that `return output_abort(…)` reads well. */
int output_abort(Output *output);
