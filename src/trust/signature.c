#include "trust/signature.h"

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/json.h"
#include <stdlib.h>
#include <string.h>

/* Where `id` stands or belongs: the list is sorted. */
static size_t place_of(const SignatureList *list, const char *id) {
    size_t at = 0;
    while (at < list->count && strcmp(list->items[at].key_id, id) < 0) at++;
    return at;
}

static bool stands_at(const SignatureList *list, size_t at, const char *id) {
    return at < list->count && strcmp(list->items[at].key_id, id) == 0;
}

static Signature *insert(SignatureList *list, size_t at) {
    memmove(&list->items[at + 1], &list->items[at], (list->count - at) * sizeof *list->items);
    list->count++;
    list->items[at] = (Signature){0};
    return &list->items[at];
}

static int parse_one(const json_t *json, SignatureList *list) {
    const char *id = json_get_text(json, "key", ""), *text = json_get_text(json, "signature", "");
    const uint8_t *bytes;
    size_t size;
    if (json_object_size(json) != 3 || strcmp(json_get_text(json, "algorithm", ""), "ed25519") != 0)
        return -1;
    if (strlen(id) != KEY_ID_SIZE - 1 || strspn(id, "0123456789abcdef") != KEY_ID_SIZE - 1) return -1;
    size_t at = place_of(list, id);
    if (list->count == SIGNATURES_MAX || stands_at(list, at, id)) return -1;
    ARENA_AUTO arena = arena_new();
    if (base64_decode(arena, text, &bytes, &size) < 0 || size != KEY_SIGNATURE_SIZE) return -1;
    Signature *signature = insert(list, at);
    memcpy(signature->key_id, id, KEY_ID_SIZE);
    memcpy(signature->bytes, bytes, size);
    return 0;
}

int signature_list_parse(const char *text, size_t size, SignatureList *out, Error *error) {
    if (size > SIGNATURES_SIZE_MAX) return error_set(error, ERROR_INVALID, "signatures.json is too large");
    JSON_AUTO json = NULL;
    if (json_parse(text, size, "signatures.json", &json, error) < 0) return -1;
    const json_t *items = json_object_get(json, "signatures");
    if (json_object_size(json) != 1 || !json_is_array(items))
        return error_set(error, ERROR_INVALID, "signatures.json is no list of signatures");
    SignatureList list = {.count = 0};
    for (size_t i = 0; i < json_array_size(items); i++)
        if (parse_one(json_array_get(items, i), &list) < 0)
            return error_set(error, ERROR_INVALID,
                             "signature %zu in signatures.json is malformed, or a second one by its key",
                             i + 1);
    *out = list;
    return 0;
}

char *signature_list_text(const SignatureList *list) {
    JSON_AUTO json = json_object();
    json_t *items = json_array();
    for (size_t i = 0; i < list->count; i++) {
        BUFFER_AUTO text = {0};
        base64_append(&text, list->items[i].bytes, KEY_SIGNATURE_SIZE);
        json_t *item = json_object();
        json_set_text(item, "algorithm", "ed25519");
        json_set_text(item, "key", list->items[i].key_id);
        json_set_text(item, "signature", text.data);
        if (json_array_append_new(items, item) != 0) abort();
    }
    if (json_object_set_new(json, "signatures", items) != 0) abort();
    FREE_AUTO char *line = json_text(json);
    Buffer text = {0};
    buffer_printf(&text, "%s\n", line);
    return text.data;
}

int signature_list_add(SignatureList *list, const Key *key, const void *bytes, size_t size, Error *error) {
    uint8_t signed_bytes[KEY_SIGNATURE_SIZE];
    size_t at = place_of(list, key_id(key));
    bool is_there = stands_at(list, at, key_id(key));
    if (!is_there && list->count == SIGNATURES_MAX)
        return error_set(error, ERROR_INVALID, "there are %d signatures already", (int)SIGNATURES_MAX);
    if (key_sign(key, bytes, size, signed_bytes, error) < 0) return -1;
    Signature *signature = is_there ? &list->items[at] : insert(list, at);
    memcpy(signature->key_id, key_id(key), KEY_ID_SIZE);
    memcpy(signature->bytes, signed_bytes, sizeof signed_bytes);
    return 0;
}
