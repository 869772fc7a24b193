/* Options: a table of long options, and what was given of them. */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct Option {
    const char *name;     /* "state" for --state; "o" with short_name 'o' */
    char short_name;      /* or 0 */
    const char *argument; /* "DIR", or NULL for a switch */
    const char *summary;  /* a message id */
    bool repeats;         /* may be given more than once */
} Option;

typedef struct Given {
    const Option *option;
    const char *value;
} Given;

typedef struct Arguments {
    const char **positional;
    size_t positional_count;
    Given *given;
    size_t given_count;
} Arguments;

/* Read `words` by the rows of `tables` (a NULL-ended list of tables, each ended by a zero row): --name VALUE,
 * --name=VALUE, -n VALUE, -nVALUE; "--" ends the options. Everything points into `words` or lives in the
 * arena. */
int arguments_parse(Arena *arena, const Option *const *tables, int count, char *const *words, Arguments *out,
                    Error *error);

bool arguments_has(const Arguments *arguments, const char *name);
/* The last value given, or `fallback`. */
const char *arguments_get(const Arguments *arguments, const char *name, const char *fallback);
/* The n-th value of an option that repeats, or NULL. */
const char *arguments_get_nth(const Arguments *arguments, const char *name, size_t n);
