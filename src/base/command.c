#include "base/command.h"
#include "base/buffer.h"
#include <string.h>

static void append_quoted(Buffer *out, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-";
    if (*word && strspn(word, plain) == strlen(word)) {
        buffer_text_append(out, word);
        return;
    }
    buffer_text_append(out, "'");
    for (; *word; word++) {
        if (*word == '\'')
            buffer_text_append(out, "'\\''");
        else
            buffer_append(out, word, 1);
    }
    buffer_text_append(out, "'");
}

const char *command_text(const char *const *words, size_t count, Arena *arena) {
    BUFFER_AUTO text = {0};
    for (size_t i = 0; i < count; i++) {
        if (i) buffer_text_append(&text, " ");
        append_quoted(&text, words[i]);
    }
    return arena_strdup(arena, buffer_text(&text));
}
