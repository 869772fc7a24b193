#include "model/role.h"

#include "base/text.h"
#include <assert.h>
#include <string.h>

typedef struct Row {
    const char *name, *text;
    bool rights[RIGHT_COUNT];
} Row;

static const Row rows[ROLE_COUNT] = {
    [ROLE_VIEWER] = {"viewer", TEXT("viewer"), {[RIGHT_READ] = true}},
    [ROLE_OPERATOR] = {"operator", TEXT("operator"), {[RIGHT_READ] = true, [RIGHT_OPERATE] = true}},
    [ROLE_APPROVER] = {"approver", TEXT("approver"), {[RIGHT_READ] = true, [RIGHT_APPROVE] = true}},
    [ROLE_ADMIN] = {"admin", TEXT("administrator"), {true, true, true, true}},
};

/* An enum read from outside may be anything. */
static bool is_role(Role role) { return (unsigned)role < ROLE_COUNT; }

bool role_may(Role role, Right right) {
    return is_role(role) && (unsigned)right < RIGHT_COUNT && rows[role].rights[right];
}

const char *role_name(Role role) {
    assert(is_role(role));
    return rows[role].name;
}

const char *role_text(Role role) {
    assert(is_role(role));
    return rows[role].text;
}

bool role_from_name(const char *name, Role *out) {
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        if (strcmp(rows[i].name, name) != 0) continue;
        *out = (Role)i;
        return true;
    }
    return false;
}
