/* Character: the one way renderers read untrusted text, so that nothing in it can pass for markup, steer a
 * terminal, or turn the direction of writing. */
#pragma once
#include "base/buffer.h"
#include <stdint.h>

/* The next character of the UTF-8 text at *at, which moves on; 0 at the end. Bad bytes, control characters
 * (but "\n") and those that turn the direction of writing are U+FFFD. */
uint32_t character_next(const char **at);
/* A character as UTF-8. */
void character_put(Buffer *out, uint32_t character);
/* The whole text for HTML, XML and their attributes. */
void character_put_markup(Buffer *out, const char *text);
