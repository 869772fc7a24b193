#include "base/random.h"
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *out, size_t size) {
    uint8_t *bytes = out;
    while (size > 0) {
        ssize_t got = getrandom(bytes, size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) abort();
        bytes += got;
        size -= (size_t)got;
    }
}

void random_name(char *out, size_t size) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567"; /* 32: no bias */
    random_bytes(out, size);
    for (size_t i = 0; i + 1 < size; i++) out[i] = letters[(unsigned char)out[i] % 32];
    if (size) out[size - 1] = '\0';
}
