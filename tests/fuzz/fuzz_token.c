/* Any bytes as a join token: refused, or of the one form there is. */
#include "base/cleanup.h"
#include "trust/token.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    FREE_AUTO char *text = malloc(size + 1);
    if (!text) abort();
    memcpy(text, data, size);
    text[size] = '\0';
    Digest fingerprint;
    char again[DIGEST_TEXT_SIZE];
    if (token_parse(text, &fingerprint, NULL) < 0) return 0;
    assert(strlen(text) == TOKEN_TEXT_SIZE - 1 && strncmp(text, "upk1-", 5) == 0);
    digest_to_text(&fingerprint, again);
    assert(strcmp(text + TOKEN_TEXT_SIZE - DIGEST_TEXT_SIZE, again) == 0);
    return 0;
}
