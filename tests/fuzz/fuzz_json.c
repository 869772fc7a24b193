/* Any bytes as a JSON document: refused, or written canonically, and then read back to the same text. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/node.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    JSON_AUTO safe = json_safe_string((const char *)data, size);
    assert(json_is_string(safe)); /* jansson takes valid UTF-8 only */
    JSON_AUTO json = NULL;
    if (json_parse((const char *)data, size, "f", &json, NULL) < 0) {
        assert(!json);
        return 0;
    }
    FREE_AUTO char *text = json_text(json);
    JSON_AUTO again = NULL;
    assert(json_parse(text, strlen(text), "f", &again, NULL) == 0);
    FREE_AUTO char *text_again = json_text(again);
    assert(strcmp(text, text_again) == 0);
    ARENA_AUTO arena = arena_new();
    assert(node_from_json(arena, json));
    return 0;
}
