/* Journal in one SQLite file: durable (synchronous=FULL, write-ahead log), readable while another process
 * writes. */
#pragma once
#include "journal/journal.h"

/* Opened, or made (mode 0600) with its table. A file of a newer format is refused. */
int journal_sqlite_open(const char *path, Journal **out, Error *error);
