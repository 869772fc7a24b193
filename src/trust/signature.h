/* Signature: the list of signatures that stands beside a signed document.
 *
 *   {"signatures":[{"algorithm":"ed25519","key":"<key id>","signature":"<base64 of 64 bytes>"}, …]}
 *
 * Each is Ed25519 over the document's exact bytes. The list is sorted by key id, one signature a key, so that
 * the same signers give the same bytes in whatever order they signed.
 */
#pragma once
#include "base/arena.h"
#include "trust/key.h"

enum { SIGNATURES_MAX = 64, SIGNATURES_SIZE_MAX = 64 << 10 /* bytes of the text */ };

typedef struct Signature {
    char key_id[KEY_ID_SIZE];
    uint8_t bytes[KEY_SIGNATURE_SIZE];
} Signature;

typedef struct SignatureList {
    Signature items[SIGNATURES_MAX];
    size_t count;
} SignatureList;

/* Strict: unknown keys, another algorithm, too many, or two by one key are ERROR_INVALID. */
int signature_list_parse(const char *text, size_t size, SignatureList *out, Error *error);
/* Canonical text with a newline; caller frees. */
char *signature_list_text(const SignatureList *list);
/* Sign `bytes` with `key`; a signature by the same key is replaced. */
int signature_list_add(SignatureList *list, const Key *key, const void *bytes, size_t size, Error *error);
