#include "base/text.h"
#include "base/text_catalogue.h"
#include <stdlib.h>
#include <string.h>

static int compare_pair(const void *key, const void *row) { return strcmp(key, ((const TextPair *)row)->en); }

const char *text_in(Language language, const char *id) {
    if (language == LANGUAGE_EN) return id;
    const TextPair *pair = bsearch(id, text_catalogue, text_catalogue_count, sizeof *pair, compare_pair);
    return pair ? pair->zh : id;
}

Language text_language_of_environment(void) {
    static const char *const variables[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = getenv(variables[i]);
        if (value && *value) return strncmp(value, "zh", 2) == 0 ? LANGUAGE_ZH : LANGUAGE_EN;
    }
    return LANGUAGE_EN;
}
