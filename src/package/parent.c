#include "package/parent.h"

#include "base/file.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void parent_init(Parent *parent, int dir) {
    parent->dir = dir;
    parent->fd = -1;
    parent->length = 0;
    parent->path[0] = '\0';
}

int parent_open(Parent *parent, const char *path, const char **name) {
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash) return parent->dir;
    size_t length = (size_t)(slash - path);
    if (parent->fd >= 0 && parent->length == length && memcmp(parent->path, path, length) == 0)
        return parent->fd;
    parent_close(parent);
    if (length >= sizeof parent->path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(parent->path, path, length);
    parent->path[length] = '\0';
    parent->length = length;
    parent->fd = file_open_no_links(parent->dir, parent->path, O_PATH | O_DIRECTORY, 0);
    return parent->fd;
}

void parent_close(Parent *parent) {
    if (parent->fd >= 0) close(parent->fd);
    parent->fd = -1;
}
