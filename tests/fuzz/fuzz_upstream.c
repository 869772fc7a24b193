/* Any text as a configuration of nginx: a server's line that is found can be changed, found again, and
 * changed back to the very same text. */
#include "host/traffic/upstream.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    BUFFER_AUTO text = {0}, changed = {0}, further = {0};
    UpstreamServer before, after;
    buffer_append(&text, data, size);
    if (upstream_find(buffer_text(&text), "a:1", &before, NULL) < 0) return 0;
    upstream_write(buffer_text(&text), &before, true, before.whole, &changed);
    assert(upstream_find(buffer_text(&changed), "a:1", &after, NULL) == 0);
    assert(after.down && after.weight == before.whole && after.whole == before.whole);
    assert(after.others == before.others);
    upstream_write(buffer_text(&changed), &after, false, 1, &further);
    assert(upstream_find(buffer_text(&further), "a:1", &after, NULL) == 0);
    assert(!after.down && after.weight == 1 && after.whole == before.whole);
    return 0;
}
