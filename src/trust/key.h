/* Key: an Ed25519 key (RFC 8032) that signs packages, or the public half that recognises them.
 *
 * On disk: NAME.key, PKCS #8 PEM, mode 0600, not encrypted; NAME.pub, SubjectPublicKeyInfo PEM. Both are what
 * `openssl pkey` reads and writes. The id of a key is the first 16 hexadecimal digits of the SHA-256 of the
 * 32 raw bytes of its public half: it finds a key, it proves nothing.
 */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_ID_SIZE = 17 /* with NUL */, KEY_SIGNATURE_SIZE = 64, KEY_PUBLIC_SIZE = 32 };

typedef struct Key Key; /* the caller's until key_free() */

/* Make a pair and write `base`.key and `base`.pub durably; nothing that exists is overwritten. `id` gets its
 * id. */
int key_create(const char *base, char id[static KEY_ID_SIZE], Error *error);
/* A private key that group or others may read is refused. */
int key_load_private(const char *path, Key **out, Error *error);
int key_load_public(const char *path, Key **out, Error *error);
void key_free(Key *key); /* NULL is allowed; private bytes are wiped */
static inline void key_cleanup(Key **key) { key_free(*key); }
#define KEY_AUTO __attribute__((cleanup(key_cleanup))) Key *

const char *key_id(const Key *key);
/* The same public half? */
bool key_equal(const Key *a, const Key *b);
/* Deterministic: the same bytes give the same signature. */
int key_sign(const Key *key, const void *bytes, size_t size, uint8_t out[static KEY_SIGNATURE_SIZE],
             Error *error);
bool key_verifies(const Key *key, const void *bytes, size_t size,
                  const uint8_t signature[static KEY_SIGNATURE_SIZE]);
