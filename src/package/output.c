#include "package/output.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/random.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FREE_AUTO char *folder = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!folder) abort();
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int output_begin(Output *output, const char *path, Error *error) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char suffix[9];
    random_name(suffix, sizeof suffix);
    *output = (Output){.dir = -1, .fd = -1};
    if (!*name || strlen(name) > 200)
        return error_set(error, ERROR_INVALID, "%s cannot be the name of a file to write", path);
    snprintf(output->name, sizeof output->name, "%s", name);
    snprintf(output->temporary, sizeof output->temporary, ".%s.%s~", name, suffix);
    output->dir = open_folder(path);
    if (output->dir < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder of %s", path);
    output->fd =
        openat(output->dir, output->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (output->fd >= 0) return 0;
    error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", path);
    close(output->dir);
    return -1;
}

int output_commit(Output *output, Error *error) {
    bool is_durable = fsync(output->fd) == 0 && close(fd_take(&output->fd)) == 0 &&
                      renameat(output->dir, output->temporary, output->dir, output->name) == 0;
    if (!is_durable) {
        error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", output->name);
        return output_abort(output);
    }
    int result = file_sync_dir(output->dir, error);
    close(output->dir);
    return result;
}

int output_abort(Output *output) {
    if (output->fd >= 0) close(output->fd);
    unlinkat(output->dir, output->temporary, 0);
    close(output->dir);
    return -1;
}
