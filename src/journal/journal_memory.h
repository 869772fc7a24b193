/* Journal in memory: for the simulator and tests. Gone when it is closed. */
#pragma once
#include "journal/journal.h"

Journal *journal_memory_new(void);
