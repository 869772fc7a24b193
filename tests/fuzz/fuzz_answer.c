/* What a service answers when its version is asked for: the first line is a JSON pointer, as a plan may have
 * it, the rest the answer — as JSON, and as text that is searched with patterns of plans. Whatever is found
 * is short, ended and printable. */
#include "base/cleanup.h"
#include "base/json.h"
#include "host/check/json_pointer.h"
#include "host/check/version_text.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const patterns[] = {NULL, "v([0-9.]+)", "^version: (.*)$", "(a|b)*c", "[[:alpha:]]+", "("};

static void check_version(const char *version) {
    size_t length = strnlen(version, VERSION_TEXT_SIZE);
    assert(length > 0 && length < VERSION_TEXT_SIZE);
    for (size_t i = 0; i < length; i++) assert((unsigned char)version[i] > ' ' && version[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 4096) return 0;
    FREE_AUTO char *text = calloc(1, size + 1);
    assert(text);
    if (size > 0) memcpy(text, data, size);
    char *answer = strchr(text, '\n');
    if (!answer) return 0;
    *answer++ = '\0';
    char version[VERSION_TEXT_SIZE];
    JSON_AUTO document = NULL;
    if (json_parse(answer, strlen(answer), "answer", &document, NULL) == 0) {
        const json_t *value = json_pointer_find(document, text);
        if (json_is_string(value) &&
            version_text_take(json_string_value(value), json_string_length(value), version, NULL) == 0)
            check_version(version);
    }
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (version_text_find(answer, patterns[i], version, NULL) == 0) check_version(version);
    return 0;
}
