/* Any bytes as a list of signatures: refused, or a sorted list of one a key that reads back to the same text.
 */
#include "base/cleanup.h"
#include "trust/signature.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    SignatureList list = {.count = 0};
    if (signature_list_parse((const char *)data, size, &list, NULL) < 0) return 0;
    assert(list.count <= SIGNATURES_MAX);
    for (size_t i = 1; i < list.count; i++)
        assert(strcmp(list.items[i - 1].key_id, list.items[i].key_id) < 0);
    FREE_AUTO char *text = signature_list_text(&list);
    SignatureList again = {.count = 0};
    assert(signature_list_parse(text, strlen(text), &again, NULL) == 0);
    FREE_AUTO char *text_again = signature_list_text(&again);
    assert(strcmp(text, text_again) == 0);
    return 0;
}
