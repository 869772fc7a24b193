#include "host/check/json_pointer.h"
#include "base/buffer.h"
#include <stdbool.h>
#include <string.h>

/* An array index: digits without leading zeros; -1 when it is none. */
static long index_of(const char *token) {
    size_t length = strlen(token);
    if (length == 0 || length > 9 || strspn(token, "0123456789") != length) return -1;
    if (token[0] == '0' && length > 1) return -1;
    long index = 0;
    for (; *token; token++) index = index * 10 + (*token - '0');
    return index;
}

/* The token up to the next '/', with ~1 and ~0 decoded; false for any other use of '~'. */
static bool decode(const char **at, Buffer *token) {
    buffer_clear(token);
    for (; **at && **at != '/'; (*at)++) {
        char c = **at;
        if (c == '~') {
            (*at)++;
            if (**at != '0' && **at != '1') return false;
            c = **at == '0' ? '~' : '/';
        }
        buffer_append(token, &c, 1);
    }
    return true;
}

const json_t *json_pointer_find(const json_t *document, const char *pointer) {
    BUFFER_AUTO token = {0};
    for (const char *at = pointer; *at && document;) {
        if (*at++ != '/' || !decode(&at, &token)) return NULL;
        const char *key = buffer_text(&token);
        long index = json_is_array(document) ? index_of(key) : -1;
        document = json_is_object(document) ? json_object_get(document, key)
                   : index >= 0             ? json_array_get(document, (size_t)index)
                                            : NULL;
    }
    return document;
}
