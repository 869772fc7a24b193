/* Quantity: durations and sizes as people write them, both ways. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* "500ms 30s 10m 2h 1d": one unit, whole numbers. 0, or -1 when it is not one. */
int quantity_duration_parse(const char *text, int64_t *out_ms);
/* "512MiB 2GiB 10KiB 1TiB 4096B", also MB/GB/KB/TB as powers of ten. 0, or -1. */
int quantity_size_parse(const char *text, uint64_t *out_bytes);

enum { QUANTITY_TEXT_SIZE = 32 };
/* Short and exact enough to read: "1.2 GiB", "950 ms", "2 min 5 s". */
char *quantity_size_text(uint64_t bytes, char text[static QUANTITY_TEXT_SIZE]);
char *quantity_duration_text(int64_t ms, char text[static QUANTITY_TEXT_SIZE]);
/* The notation that quantity_duration_parse reads, largest unit that divides: "10m", "1500ms". */
char *quantity_duration_notation(int64_t ms, char text[static QUANTITY_TEXT_SIZE]);
