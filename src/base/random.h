/* Random: unpredictable bytes from the kernel, for names nobody should guess. Never used where deciding
 * happens. */
#pragma once
#include <stddef.h>

void random_bytes(void *out, size_t size);
/* `size`-1 lower-case letters and digits, and NUL. */
void random_name(char *out, size_t size);
