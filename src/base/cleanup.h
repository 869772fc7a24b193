/* Cleanup attributes for handles: released when the variable leaves its scope.
 *
 *     FD_AUTO fd = open(…);            closed at the end of the scope unless handed over with fd_take(&fd)
 *     FREE_AUTO char *text = …;        free()d likewise; hand over with pointer_take(&text)
 */
#pragma once
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_fd(const int *fd) {
    if (*fd >= 0) close(*fd);
}
static inline void cleanup_pointer(void *pointer) { free(*(void **)pointer); }

static inline int fd_take(int *fd) {
    int taken = *fd;
    *fd = -1;
    return taken;
}

#define FD_AUTO   __attribute__((cleanup(cleanup_fd))) int
#define FREE_AUTO __attribute__((cleanup(cleanup_pointer)))
#define pointer_take(pointer)                                                                                \
    ({                                                                                                       \
        __typeof__(*(pointer)) taken_ = *(pointer);                                                          \
        *(pointer) = NULL;                                                                                   \
        taken_;                                                                                              \
    })
