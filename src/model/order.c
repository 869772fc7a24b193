#include "model/order.h"
#include <stddef.h>
#include <string.h>

static const char *const texts[ORDER_KINDS] = {"prepare",  "switch", "confirm", "commit",
                                               "rollback", "admit",  "retire"};

const char *order_kind_text(OrderKind kind) { return texts[kind]; }

bool order_kind_from_text(const char *text, OrderKind *out) {
    for (size_t i = 0; text && i < ORDER_KINDS; i++) {
        if (strcmp(text, texts[i]) != 0) continue;
        *out = (OrderKind)i;
        return true;
    }
    return false;
}

bool order_is_by_itself(const char *id) { return strstr(id, ORDER_BY_ITSELF) != NULL; }
