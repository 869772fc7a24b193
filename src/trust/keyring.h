/* Keyring: a folder of public keys, one file a key, NAME.pub: whose packages are taken here.
 *
 * Who may write the folder says who is trusted; others than its owner and root are refused. Lists live in the
 * caller's arena. Errors: ERROR_INVALID for what is no key or is not there, ERROR_REFUSED for a name that
 * another key has.
 */
#pragma once
#include "base/arena.h"
#include "model/schema.h"
#include "trust/key.h"

enum { KEYRING_MAX = 64 };

/* Paths of the keys in `folder`, sorted; none when there is no folder. ERROR_REFUSED when there are more than
 * KEYRING_MAX: which of them count shall not be a file system's choice. */
int keyring_list(const char *folder, Arena *arena, StringList *out, Error *error);
/* Take the key in the file `path` under its file's name, durably; the folder is made when missing. */
int keyring_add(const char *folder, const char *path, char id[static KEY_ID_SIZE], Error *error);
/* Remove the key of that name ("release.pub" or "release") or id, under whatever names it stands there. */
int keyring_remove(const char *folder, const char *name, Error *error);
