/* Order: what the engine asks of one host. Delivered at least once, carried out once: the id names it for
 * good. */
#pragma once
#include <stdbool.h>

typedef enum OrderKind {
    ORDER_PREPARE,
    ORDER_SWITCH,
    ORDER_CONFIRM,
    ORDER_COMMIT,
    ORDER_ROLLBACK,
    ORDER_ADMIT,  /* into traffic */
    ORDER_RETIRE, /* out of traffic, once its connections have ended; the service runs on */
} OrderKind;

enum { ORDER_KINDS = 7, ORDER_ID_SIZE = 128 };

typedef struct Order {
    char id[ORDER_ID_SIZE]; /* "<change>/<host>/<number>" */
    OrderKind kind;
    bool restore_data; /* ROLLBACK: data and configuration go back to the exact copy */
} Order;

/* Did the host give it to itself: "<change>/by-itself/<number>"? */
#define ORDER_BY_ITSELF "/by-itself/"
bool order_is_by_itself(const char *id);

/* "prepare", "switch" …: as the journal writes it. */
const char *order_kind_text(OrderKind kind);
/* False when `text` is none (or NULL). */
bool order_kind_from_text(const char *text, OrderKind *out);
