/* Three lines of any bytes as versions, each also as a range and as a text to find one in: comparing is a
 * total order, and what was found in a text compares equal to itself. */
#include "model/version.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int sign(int number) { return (number > 0) - (number < 0); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char text[3][256] = {{0}};
    size_t line = 0, used = 0;
    for (size_t i = 0; i < size && line < 3; i++) {
        if (data[i] == '\n') {
            line++;
            used = 0;
        } else if (used + 1 < sizeof text[0]) {
            text[line][used++] = (char)data[i];
        }
    }
    const char *a = text[0], *b = text[1], *c = text[2];
    assert(version_compare(a, a) == 0);
    assert(sign(version_compare(a, b)) == -sign(version_compare(b, a)));
    if (version_compare(a, b) <= 0 && version_compare(b, c) <= 0) assert(version_compare(a, c) <= 0);
    if (version_compare(a, b) == 0) assert(sign(version_compare(a, c)) == sign(version_compare(b, c)));
    assert(version_range_valid(b) || !version_in_range(a, b));
    char found[64];
    memset(found, 'x', sizeof found);
    if (version_find(a, found, sizeof found)) {
        assert(memchr(found, '\0', sizeof found));
        assert(strstr(a, found));
    }
    return 0;
}
