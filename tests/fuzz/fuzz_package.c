/* Any bytes as a package: refused, or opened, and then every frame and file of it verified or refused. */
#include "base/cleanup.h"
#include "package/package.h"
#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    FD_AUTO fd = memfd_create("package", MFD_CLOEXEC);
    char path[32];
    assert(fd >= 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    PACKAGE_AUTO package = NULL;
    Error error = {0};
    if (package_open_untrusted(path, &package, &error) < 0) {
        assert(!package && error.kind == ERROR_INVALID);
        return 0;
    }
    for (size_t i = 0; i < package->manifest->frame_count; i++)
        assert(package->offsets[i] + package->manifest->frames[i].bytes <= size);
    if (package_verify(package, NULL, &error) < 0) assert(error.kind == ERROR_INVALID);
    return 0;
}
