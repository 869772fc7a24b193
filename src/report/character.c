#include "report/character.h"
#include <stdbool.h>

enum { REPLACEMENT = 0xFFFD };

static bool is_unfit(uint32_t c) {
    bool control = (c < 0x20 && c != '\n') || (c >= 0x7F && c < 0xA0);
    bool turns = c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) ||
                 (c >= 0x2066 && c <= 0x2069);
    return control || turns || c == 0xFEFF || c == 0x2028 || c == 0x2029;
}

/* How many bytes follow the first one, and what it contributes; -1 when it begins nothing. */
static int sequence_of(unsigned char first, uint32_t *bits, uint32_t *least) {
    if (first < 0x80) return *bits = first, *least = 0, 0;
    if ((first & 0xE0) == 0xC0) return *bits = first & 0x1F, *least = 0x80, 1;
    if ((first & 0xF0) == 0xE0) return *bits = first & 0x0F, *least = 0x800, 2;
    if ((first & 0xF8) == 0xF0) return *bits = first & 0x07, *least = 0x10000, 3;
    return -1;
}

uint32_t character_next(const char **at) {
    const unsigned char *bytes = (const unsigned char *)*at;
    uint32_t character, least;
    if (!*bytes) return 0;
    int more = sequence_of(*bytes, &character, &least);
    *at += 1;
    if (more < 0) return REPLACEMENT;
    for (int i = 1; i <= more; i++) {
        if ((bytes[i] & 0xC0) != 0x80) return REPLACEMENT;
        character = character << 6 | (bytes[i] & 0x3F);
    }
    *at += more;
    bool valid = character >= least && character <= 0x10FFFF && !(character >= 0xD800 && character <= 0xDFFF);
    return valid && !is_unfit(character) ? character : REPLACEMENT;
}

void character_put(Buffer *out, uint32_t c) {
    char bytes[4];
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (size == 1) {
        bytes[0] = (char)c;
    } else {
        static const unsigned char heads[] = {0, 0, 0xC0, 0xE0, 0xF0};
        for (size_t i = size; i-- > 1; c >>= 6) bytes[i] = (char)(0x80 | (c & 0x3F));
        bytes[0] = (char)(heads[size] | c);
    }
    buffer_append(out, bytes, size);
}

void character_put_markup(Buffer *out, const char *text) {
    for (uint32_t c; (c = character_next(&text));) {
        switch (c) {
        case '&': buffer_text_append(out, "&amp;"); break;
        case '<': buffer_text_append(out, "&lt;"); break;
        case '>': buffer_text_append(out, "&gt;"); break;
        case '"': buffer_text_append(out, "&quot;"); break;
        case '\'': buffer_text_append(out, "&#39;"); break;
        default: character_put(out, c);
        }
    }
}
