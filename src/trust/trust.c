#include "trust/trust.h"

#include "base/buffer.h"
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 64 };

struct Trust {
    Key *keys[KEYS_MAX]; /* distinct */
    size_t count;
    size_t threshold;
};

static bool is_known(const Trust *trust, const Key *key) {
    for (size_t i = 0; i < trust->count; i++)
        if (key_equal(trust->keys[i], key)) return true;
    return false;
}

int trust_load(const char *const *paths, size_t count, int64_t threshold, Trust **out, Error *error) {
    TRUST_AUTO trust = calloc(1, sizeof *trust);
    if (!trust) abort();
    if (count > KEYS_MAX) return error_set(error, ERROR_INVALID, "more than %d trusted keys", (int)KEYS_MAX);
    for (size_t i = 0; i < count; i++) {
        Key *key = NULL;
        if (key_load_public(paths[i], &key, error) < 0) return -1;
        if (is_known(trust, key))
            key_free(key);
        else
            trust->keys[trust->count++] = key;
    }
    if (threshold < 1 || (uint64_t)threshold > trust->count)
        return error_set(
            error, ERROR_INVALID,
            "%lld signatures are asked for with %zu different trusted keys; ask for 1 to as many "
            "as there are keys",
            (long long)threshold, trust->count);
    trust->threshold = (size_t)threshold;
    *out = trust;
    trust = NULL;
    return 0;
}

void trust_free(Trust *trust) {
    if (!trust) return;
    for (size_t i = 0; i < trust->count; i++) key_free(trust->keys[i]);
    free(trust);
}

typedef enum Verdict { VERDICT_STRANGER, VERDICT_WRONG, VERDICT_VALID } Verdict;

static Verdict judge(const Trust *trust, const Signature *signature, const void *bytes, size_t size) {
    Verdict verdict = VERDICT_STRANGER;
    for (size_t i = 0; i < trust->count; i++) {
        if (strcmp(key_id(trust->keys[i]), signature->key_id) != 0) continue;
        if (key_verifies(trust->keys[i], bytes, size, signature->bytes)) return VERDICT_VALID;
        verdict = VERDICT_WRONG;
    }
    return verdict;
}

/* Why there are not enough, worst reason first. */
static int refuse(const Trust *trust, const SignatureList *list, const Verdict *verdicts, size_t valid,
                  Error *error) {
    BUFFER_AUTO strangers = {0};
    for (size_t i = 0; i < list->count; i++) {
        if (verdicts[i] == VERDICT_WRONG)
            return error_set(error, ERROR_INVALID,
                             "the signature by the trusted key %s does not fit: what it signed was altered",
                             list->items[i].key_id);
        if (verdicts[i] == VERDICT_STRANGER)
            buffer_printf(&strangers, "%s%s", strangers.size ? ", " : "", list->items[i].key_id);
    }
    if (list->count == 0)
        return error_set(error, ERROR_INVALID,
                         "it is not signed; have it signed with a key that is trusted here");
    if (valid == 0)
        return error_set(error, ERROR_INVALID,
                         "it is signed by a stranger, the key %s; trust that key or use another "
                         "package",
                         buffer_text(&strangers));
    return error_set(error, ERROR_INVALID,
                     "it has %zu of the %zu signatures needed by trusted keys; have it signed by "
                     "another of them",
                     valid, trust->threshold);
}

int trust_verify(const Trust *trust, const SignatureList *list, const void *bytes, size_t size,
                 TrustReport *report, Error *error) {
    Verdict verdicts[SIGNATURES_MAX] = {0};
    TrustReport found = {.valid_count = 0};
    for (size_t i = 0; i < list->count; i++) { /* one a key: parsed lists have no second */
        verdicts[i] = judge(trust, &list->items[i], bytes, size);
        found.valid[i] = verdicts[i] == VERDICT_VALID;
        found.valid_count += found.valid[i];
    }
    if (found.valid_count < trust->threshold) return refuse(trust, list, verdicts, found.valid_count, error);
    if (report) *report = found;
    return 0;
}
