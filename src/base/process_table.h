/* ProcessTable: the processes of this machine as /proc shows them.
 *
 * A process is named for good by its pid and its start (ticks since boot) together: pids are used again. */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct ProcessEntry {
    pid_t pid, parent, session;
    char state; /* of proc(5): R S D T Z … */
    uint64_t start_ticks;
} ProcessEntry;

typedef struct ProcessTable {
    ProcessEntry *items;
    size_t count;
} ProcessTable;

/* False when there is no such process. Zombies are still there: ask process_entry_alive(). */
bool process_entry_read(pid_t pid, ProcessEntry *out);
bool process_entry_alive(const ProcessEntry *entry);

/* All that live, zombies left out. Free with process_table_free. */
int process_table_read(ProcessTable *out, Error *error);
void process_table_free(ProcessTable *table);
#define PROCESS_TABLE_AUTO __attribute__((cleanup(process_table_free))) ProcessTable
/* NULL when it is not in the table. */
const ProcessEntry *process_table_find(const ProcessTable *table, pid_t pid);

/* Was the process executed with `entry` ("KEY=value") in its environment? UNKNOWN: we may not look, or the
 * process has written over that memory (as servers do that set their title). */
typedef enum ProcessEnvironment { PROCESS_ENV_NO, PROCESS_ENV_YES, PROCESS_ENV_UNKNOWN } ProcessEnvironment;
ProcessEnvironment process_entry_environment(pid_t pid, const char *entry);

/* Send a signal to that very process and no later one of its pid: true when it was sent. */
bool process_entry_signal(const ProcessEntry *entry, int signal_number);
