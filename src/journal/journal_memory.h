/* JournalMemory: a journal in memory, for simulations and tests. Gone when it is closed.
 *
 * The brief one forgets: reading what came after an event gives back the room of that event and of those
 * before it. It serves one engine, from its first event to its last; it can be neither verified nor exported.
 */
#pragma once
#include "journal/journal.h"

Journal *journal_memory_new(void);
Journal *journal_memory_new_brief(void);
