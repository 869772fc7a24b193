/* Role: what a person may do on a controller.
 *
 *                  read   operate   approve   administer
 *     viewer        x                                     looks at everything, changes nothing
 *     operator      x        x                            runs, pauses and rolls back changes
 *     approver      x                  x                  says yes or no to a change
 *     admin         x        x         x          x       people, hosts, tokens; all of the above
 *
 * Not an order: operators do not approve and approvers do not operate, so that whoever carries a change out
 * is never the one who allowed it. (That an admin, who may do both, does not do both to one change is for the
 * change's policy to hold: invariant I3.) Pure, and safe from any thread.
 */
#pragma once
#include <stdbool.h>

typedef enum Role { ROLE_VIEWER, ROLE_OPERATOR, ROLE_APPROVER, ROLE_ADMIN } Role;
enum { ROLE_COUNT = ROLE_ADMIN + 1 };

typedef enum Right { RIGHT_READ, RIGHT_OPERATE, RIGHT_APPROVE, RIGHT_ADMINISTER } Right;
enum { RIGHT_COUNT = RIGHT_ADMINISTER + 1 };

/* No for any value that is no role or no right. */
bool role_may(Role role, Right right);

/* The word that files, commands and routes use: "viewer", "operator", "approver", "admin". */
const char *role_name(Role role);
/* Exactly one of these words, else false. */
bool role_from_name(const char *name, Role *out);
/* The same for people: a message id for text_in(). */
const char *role_text(Role role);
