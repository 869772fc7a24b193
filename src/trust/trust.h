/* Trust: which keys may sign, and how many of them must have.
 *
 * Only distinct trusted keys count: the same key twice is one, a stranger's signature is none. A threshold of
 * 0, or of more than there are trusted keys, is refused when the Trust is made.
 */
#pragma once
#include "trust/signature.h"

typedef struct Trust Trust; /* the caller's until trust_free() */

/* `paths`: public key files. `threshold`: at least 1. */
int trust_load(const char *const *paths, size_t count, int64_t threshold, Trust **out, Error *error);
void trust_free(Trust *trust); /* NULL is allowed */
static inline void trust_cleanup(Trust **trust) { trust_free(*trust); }
#define TRUST_AUTO __attribute__((cleanup(trust_cleanup))) Trust *

/* Who signed: for each signature of the list, at the same index, whether it is a trusted key's and valid. */
typedef struct TrustReport {
    bool valid[SIGNATURES_MAX];
    size_t valid_count; /* distinct trusted keys */
} TrustReport;

/* ERROR_INVALID when too few trusted keys have signed `bytes`: unsigned, signed by strangers only (named by
 * their key ids), a trusted key's signature that does not fit, or k of n. `report` may be NULL and is filled
 * on success. */
int trust_verify(const Trust *trust, const SignatureList *list, const void *bytes, size_t size,
                 TrustReport *report, Error *error);
