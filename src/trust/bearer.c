#include "trust/bearer.h"

#include "base/random.h"
#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz234567" /* random_name()'s */

void bearer_new_id(Bearer *bearer) { random_name(bearer->id, sizeof bearer->id); }
void bearer_new_secret(Bearer *bearer) { random_name(bearer->secret, sizeof bearer->secret); }
void bearer_wipe(Bearer *bearer) { OPENSSL_cleanse(bearer, sizeof *bearer); }

void bearer_to_text(const Bearer *bearer, const char *prefix, char text[static BEARER_TEXT_SIZE]) {
    int length = snprintf(text, BEARER_TEXT_SIZE, "%s%s-%s", prefix, bearer->id, bearer->secret);
    assert(length == BEARER_TEXT_SIZE - 1);
}

/* `size`-1 letters and `end` behind them; what follows, or NULL. */
static const char *take_letters(const char *at, char *out, size_t size, char end) {
    if (strspn(at, LETTERS) != size - 1 || at[size - 1] != end) return NULL;
    memcpy(out, at, size - 1);
    out[size - 1] = '\0';
    return at + size;
}

const char *bearer_take(const char *text, const char *prefix, char end, Bearer *out) {
    if (strncmp(text, prefix, strlen(prefix)) != 0) return NULL;
    const char *at = take_letters(text + strlen(prefix), out->id, sizeof out->id, '-');
    return at ? take_letters(at, out->secret, sizeof out->secret, end) : NULL;
}

bool bearer_is_id(const char *text) {
    return strnlen(text, BEARER_ID_SIZE) == BEARER_ID_SIZE - 1 && strspn(text, LETTERS) == BEARER_ID_SIZE - 1;
}

Digest bearer_hash(const Bearer *bearer) {
    char text[BEARER_ID_SIZE + BEARER_SECRET_SIZE];
    int length = snprintf(text, sizeof text, "%s-%s", bearer->id, bearer->secret);
    Digest digest = digest_of(text, (size_t)length);
    OPENSSL_cleanse(text, sizeof text);
    return digest;
}

bool bearer_fits(const Bearer *bearer, const Digest *hash) {
    static const Digest none;
    Digest own = bearer_hash(bearer);
    bool is_same = CRYPTO_memcmp(own.bytes, hash ? hash->bytes : none.bytes, DIGEST_SIZE) == 0;
    return hash && is_same;
}

bool bearer_is_label(const char *text, size_t size) {
    size_t length = strnlen(text, size);
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~') return false;
    return length > 0 && length < size;
}
