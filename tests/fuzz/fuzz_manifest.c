/* Any bytes as a manifest: refused, or a package's description that is written to a text which reads back to
 * the same text, and whose frames are just those of its content. */
#include "package/manifest.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write(const Manifest *manifest, Buffer *out) {
    manifest_write(&manifest->head, manifest->frames, manifest->frame_count, manifest->tree, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    MANIFEST_AUTO manifest = NULL;
    Error error = {0};
    if (manifest_parse((const char *)data, size, &manifest, &error) < 0) {
        assert(!manifest && error.kind == ERROR_INVALID);
        return 0;
    }
    assert(!strchr(manifest->head.service, '/') && manifest->head.service[0] != '.');
    assert(!strchr(manifest->head.version, '/') && manifest->head.version[0] != '.');
    uint64_t sum = 0;
    for (size_t i = 0; i < manifest->frame_count; i++) sum += manifest->frames[i].size;
    assert(sum == (uint64_t)manifest->head.content_size);
    BUFFER_AUTO text = {0};
    BUFFER_AUTO text_again = {0};
    write(manifest, &text);
    MANIFEST_AUTO again = NULL;
    assert(manifest_parse(text.data, text.size, &again, NULL) == 0);
    write(again, &text_again);
    assert(strcmp(text.data, text_again.data) == 0);
    return 0;
}
