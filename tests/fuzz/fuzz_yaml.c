/* Any bytes as a YAML document: refused with a place, or a tree that keeps every promise of base/node.h. */
#include "base/node.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const Node *node, int depth) {
    assert(depth <= 32);
    assert(node->line > 0 && node->column > 0);
    if (node->kind == NODE_SCALAR) {
        assert(node->text && node->count == 0);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const NodeEntry *entry = &node->entries[i];
        assert((node->kind == NODE_MAP) == (entry->key != NULL));
        if (node->kind == NODE_MAP)
            assert(node_find(node, entry->key) == entry->value); /* so no key is there twice */
        check(entry->value, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ARENA_AUTO arena = arena_new();
    Node *root = NULL;
    Error error = {0};
    if (node_from_yaml(arena, "f", (const char *)data, size, &root, &error) == 0) {
        check(root, 0);
    } else {
        assert(!root && error.kind == ERROR_INVALID);
        assert(strncmp(error.en, "f", 1) == 0);
    }
    return 0;
}
