/* Access: who is asking, and may they?
 *
 * A host shows its certificate. It is verified once a connection (trust/authority.h) and looked at again with
 * each request: expired, revoked, or no longer in the inventory, and the host is nobody. A person shows a
 * token
 * ("Authorization: Bearer upkp-…", or "upks-…" after signing in); whoever comes with wrong ones is made to
 * wait, by address. Why somebody was refused stands in the journal and is told no further than that it was
 * so.
 */
#pragma once
#include "server/controller_room.h"

enum {
    ACCESS_BURST = 2000,     /* requests of one address at once … */
    ACCESS_INTERVAL_MS = 5,  /* … and then one in so long */
    ACCESS_WRONG_COST = 200, /* what a wrong token or password costs: ten at once, then one a second */
};

typedef enum AccessNeed { /* of a route */
                          ACCESS_ANYONE,
                          ACCESS_HOST,
                          ACCESS_READ,
                          ACCESS_OPERATE,
                          ACCESS_APPROVE,
                          ACCESS_ADMINISTER,
} AccessNeed;

typedef struct Access {
    char host[CERTIFICATE_HOST_SIZE]; /* "" when it is none */
    char serial[CERTIFICATE_SERIAL_SIZE];
    int64_t not_before_ms, not_after_ms; /* of its certificate */
    Person person;                       /* its name is "" when it is none */
    int status;                          /* where it was refused: 401, 403 or 429 */
    int64_t retry_ms;                    /* with 429 */
} Access;

/* What a request shows for a person; NULL: nothing. */
const char *access_bearer(const ServerRequest *request);
/* May whoever shows that look on still? Removed, taken back, ended, or of a role that may not: no. */
bool access_may_look(Controller *controller, const char *bearer);

/* 0: they may. ERROR_REFUSED otherwise, with out->status. */
int access_check(Controller *controller, ServerRequest *request, AccessNeed need, Access *out, Error *error);
