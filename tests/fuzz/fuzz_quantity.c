/* Any text as a duration and as a size: refused, or within range and written back to the same value. */
#include "base/clock.h"
#include "base/digest.h"
#include "base/quantity.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char input[128], text[QUANTITY_TEXT_SIZE], time[CLOCK_TEXT_SIZE], digits[DIGEST_TEXT_SIZE];
    if (size >= sizeof input) return 0;
    if (size) memcpy(input, data, size);
    input[size] = '\0';
    int64_t ms = -1, back = -1;
    uint64_t bytes = UINT64_MAX;
    Digest digest;
    if (quantity_duration_parse(input, &ms) == 0) {
        assert(ms >= 0);
        assert(strlen(quantity_duration_text(ms, text)) < sizeof text);
        assert(quantity_duration_parse(quantity_duration_notation(ms, text), &back) == 0 && back == ms);
    }
    if (quantity_size_parse(input, &bytes) == 0) {
        assert(bytes <= INT64_MAX);
        assert(strlen(quantity_size_text(bytes, text)) < sizeof text);
    }
    if (clock_from_text(input, &ms) == 0) {
        clock_to_text(ms, time);
        assert(clock_from_text(time, &back) == 0 && back == ms);
    }
    if (digest_from_text(input, &digest)) {
        digest_to_text(&digest, digits);
        assert(strcmp(digits, input) == 0);
    }
    return 0;
}
