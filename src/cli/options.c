#include "cli/options.h"
#include <string.h>

bool arguments_has(const Arguments *arguments, const char *name) {
    return arguments_get_nth(arguments, name, 0) != NULL;
}

const char *arguments_get(const Arguments *arguments, const char *name, const char *fallback) {
    for (size_t i = arguments->given_count; i-- > 0;)
        if (strcmp(arguments->given[i].option->name, name) == 0) return arguments->given[i].value;
    return fallback;
}

const char *arguments_get_nth(const Arguments *arguments, const char *name, size_t n) {
    for (size_t i = 0; i < arguments->given_count; i++)
        if (strcmp(arguments->given[i].option->name, name) == 0 && n-- == 0) return arguments->given[i].value;
    return NULL;
}

typedef struct Parser {
    const Option *const *tables;
    Arguments *out;
    Error *error;
} Parser;

/* By long name of `length` characters, or by one letter. */
static const Option *find(const Parser *parser, const char *name, size_t length, char letter) {
    for (size_t t = 0; parser->tables[t]; t++)
        for (const Option *option = parser->tables[t]; option->name; option++) {
            if (letter && option->short_name == letter) return option;
            if (!letter && strlen(option->name) == length && strncmp(option->name, name, length) == 0)
                return option;
        }
    return NULL;
}

static int give(Parser *parser, const Option *option, const char *value) {
    if (!option->repeats && arguments_has(parser->out, option->name))
        return error_set(parser->error, ERROR_INVALID, "--%s is given twice", option->name);
    parser->out->given[parser->out->given_count++] = (Given){option, value ? value : ""};
    return 0;
}

/* One argument that begins with "-"; *used says how many more were taken as its value. */
static int parse_option(Parser *parser, const char *argument, const char *next, int *used) {
    bool is_long = argument[1] == '-';
    const char *name = argument + 1 + is_long, *equals = is_long ? strchr(name, '=') : NULL;
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const Option *option = find(parser, name, length, is_long ? '\0' : name[0]);
    *used = 0;
    if (!option) {
        error_set(parser->error, ERROR_INVALID, "unknown option %s", argument);
        return error_hint(parser->error, "--help shows those there are");
    }
    const char *value = equals ? equals + 1 : !is_long && name[1] ? name + 1 : NULL;
    if (!option->argument) {
        if (value) return error_set(parser->error, ERROR_INVALID, "--%s takes no value", option->name);
        return give(parser, option, NULL);
    }
    if (!value && !next)
        return error_set(parser->error, ERROR_INVALID, "--%s needs a value: %s", option->name,
                         option->argument);
    if (!value) {
        value = next;
        *used = 1;
    }
    return give(parser, option, value);
}

int arguments_parse(Arena *arena, const Option *const *tables, int count, char *const *words, Arguments *out,
                    Error *error) {
    Arguments arguments = {.positional = ARENA_ARRAY(arena, (size_t)count + 1, const char *),
                           .given = ARENA_ARRAY(arena, (size_t)count + 1, Given)};
    Parser parser = {tables, &arguments, error};
    bool only_positional = false;
    for (int i = 0; i < count; i++) {
        int used = 0;
        if (!only_positional && strcmp(words[i], "--") == 0) {
            only_positional = true;
        } else if (!only_positional && words[i][0] == '-' && words[i][1]) {
            if (parse_option(&parser, words[i], i + 1 < count ? words[i + 1] : NULL, &used) < 0) return -1;
            i += used;
        } else {
            arguments.positional[arguments.positional_count++] = words[i];
        }
    }
    *out = arguments;
    return 0;
}
