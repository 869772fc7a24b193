/* Bearer: an id that may be known, and a secret that makes whoever bears it welcome, in one word.
 *
 *     <prefix><id>-<secret>              join tokens (token.h), sign-in tokens (people.h), sign-ins
 * (sign_in.h)
 *
 * id: 10 letters and digits, public: what journals and lists say. secret: 32 of them, 5 random bits each,
 * told once and never kept. What is kept is SHA-256 of both; without salt or delay, for 160 random bits
 * cannot be guessed. The id goes into the hash, so that a hash moved to another id fits nothing.
 *
 * Ownership: whoever is told a word wipes it; a BEARER_AUTO wipes itself. Safe from any thread.
 */
#pragma once
#include "base/digest.h"
#include <stdbool.h>
#include <stddef.h>

enum {
    BEARER_ID_SIZE = 11,     /* these with NUL */
    BEARER_SECRET_SIZE = 33, /* 5 random bits a character */
    BEARER_PREFIX_SIZE = 6,  /* all have five characters */
    BEARER_TEXT_SIZE = BEARER_PREFIX_SIZE - 1 + BEARER_ID_SIZE + BEARER_SECRET_SIZE,
};

typedef struct Bearer {
    char id[BEARER_ID_SIZE];
    char secret[BEARER_SECRET_SIZE];
} Bearer;

/* Another id: for the maker who finds that one taken. */
void bearer_new_id(Bearer *bearer);
void bearer_new_secret(Bearer *bearer);
void bearer_wipe(Bearer *bearer);
#define BEARER_AUTO __attribute__((cleanup(bearer_wipe))) Bearer

void bearer_to_text(const Bearer *bearer, const char *prefix, char text[static BEARER_TEXT_SIZE]);
/* Read one that begins at `text` and is followed by `end`; what stands behind that, or NULL when it is none.
 * For end '\0' that is behind the text: only to be compared with NULL. Reads no byte past the first wrong
 * one. */
const char *bearer_take(const char *text, const char *prefix, char end, Bearer *out);
bool bearer_is_id(const char *text);

Digest bearer_hash(const Bearer *bearer);
/* Is that the hash of it? Takes the same time for every answer; `hash` NULL (no such id) is a no. */
bool bearer_fits(const Bearer *bearer, const Digest *hash);

/* 1 to `size`-1 printable ASCII characters: what a word is for, safe to show on any terminal. */
bool bearer_is_label(const char *text, size_t size);
