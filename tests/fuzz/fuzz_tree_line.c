/* Any bytes as a line of a tree: refused, or an entry that is inside the tree and is written to a line that
 * reads back to the same line. */
#include "package/tree.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(const char *path) {
    assert(path[0] && path[0] != '/' && strlen(path) <= TREE_PATH_MAX && !strstr(path, "//"));
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        size_t length = strcspn(part, "/");
        assert(length > 0 && length <= 255 && !(length == 1 && part[0] == '.') &&
               strncmp(part, "../", 3) != 0);
        assert(strcmp(part, "..") != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    TREE_AUTO tree = tree_new();
    if (tree_parse_line(tree, (const char *)data, size, NULL) < 0) {
        assert(tree->count == 0);
        return 0;
    }
    assert(tree->count == 1);
    const TreeEntry *entry = &tree->entries[0];
    check_path(entry->path);
    assert(entry->mode <= 07777 && entry->size <= TREE_FILE_SIZE_MAX && entry->type <= TREE_HARDLINK);
    BUFFER_AUTO line = {0};
    BUFFER_AUTO line_again = {0};
    tree_write_line(entry, &line);
    TREE_AUTO again = tree_new();
    assert(tree_parse_line(again, line.data, line.size, NULL) == 0);
    tree_write_line(&again->entries[0], &line_again);
    assert(strcmp(line.data, line_again.data) == 0);
    return 0;
}
