/* The table that tools/po_to_c.py makes of po/zh.po: sorted by English text, bytewise. */
#pragma once
#include <stddef.h>

typedef struct TextPair {
    const char *en, *zh;
} TextPair;

extern const TextPair text_catalogue[];
extern const size_t text_catalogue_count;
