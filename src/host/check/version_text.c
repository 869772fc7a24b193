#include "host/check/version_text.h"
#include "model/version.h"
#include <regex.h>
#include <string.h>

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

int version_text_take(const char *text, size_t size, char version[static VERSION_TEXT_SIZE], Error *error) {
    while (size && blank(*text)) text++, size--;
    while (size && blank(text[size - 1])) size--;
    bool usable = size > 0 && size < VERSION_TEXT_SIZE;
    for (size_t i = 0; usable && i < size; i++) usable = text[i] > ' ' && text[i] < 127;
    if (!usable) return error_set(error, ERROR_FAILED, "what stands where the version should be is none");
    memcpy(version, text, size);
    version[size] = '\0';
    return 0;
}

static int find_by_regex(const char *output, const char *pattern, char version[static VERSION_TEXT_SIZE],
                         Error *error) {
    regex_t regex;
    regmatch_t matches[2];
    int code = regcomp(&regex, pattern, REG_EXTENDED | REG_NEWLINE);
    if (code != 0) {
        char why[128];
        regerror(code, &regex, why, sizeof why);
        return error_set(error, ERROR_INVALID, "%s is not a regular expression: %s", pattern, why);
    }
    code = regexec(&regex, output, 2, matches, 0);
    regfree(&regex);
    if (code != 0)
        return error_set(error, ERROR_FAILED, "there is no version in the output (nothing matches %s)",
                         pattern);
    regmatch_t match = matches[matches[1].rm_so >= 0];
    return version_text_take(output + match.rm_so, (size_t)(match.rm_eo - match.rm_so), version, error);
}

int version_text_find(const char *output, const char *regex, char version[static VERSION_TEXT_SIZE],
                      Error *error) {
    if (regex) return find_by_regex(output, regex, version, error);
    if (!version_find(output, version, VERSION_TEXT_SIZE))
        return error_set(error, ERROR_FAILED, "there is no version in the output");
    return 0;
}
