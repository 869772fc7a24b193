/* JournalRemote: the journal of a controller, read over HTTPS. What is read can be verified here: rows come
 * as they are stored, with their hashes. Appending is refused: that is the controller's.
 */
#pragma once
#include "journal/journal.h"
#include "wire/call.h"

/* `client` is borrowed and must outlive the journal; both belong to one thread at a time. */
Journal *journal_remote_new(CallClient *client);

/* One exchange of that API: `answer` (a new reference, may be NULL) of a 2xx, or the error that the
 * controller gave, with its kind and in both languages. */
int journal_remote_call(CallClient *client, const char *method, const char *path, const json_t *body,
                        int64_t timeout_ms, json_t **answer, Error *error);
