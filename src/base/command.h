/* Command: a program and its arguments, as one line to read. */
#pragma once
#include "base/arena.h"
#include <stddef.h>

/* As a shell would need it written: `node red.js --title 'My flows'`. In the arena. */
const char *command_text(const char *const *words, size_t count, Arena *arena);
