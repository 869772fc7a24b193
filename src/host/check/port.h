/* Port: who listens on a TCP port of this machine (of this network namespace). */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <sys/types.h>

typedef struct PortHolder {
    bool found;    /* somebody listens, on any address */
    pid_t pid;     /* 0: it could not be seen who */
    char name[64]; /* of the program, or "" */
} PortHolder;

/* Is anything in the way of listening on 0.0.0.0 and [::]? Tried by binding, which changes nothing and says
 * more than any list; who holds it is then looked up in /proc. Holders that are `ours`, in its session or
 * descended from it, do not count (0: none are). */
int port_find_holder(int port, pid_t ours, PortHolder *out, Error *error);
