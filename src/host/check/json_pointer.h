/* JsonPointer: one value in a JSON document (RFC 6901): "/settings/version", "/0/name", "" for the whole. */
#pragma once
#include <jansson.h>

/* Borrowed from `document`; NULL when the pointer is none or names nothing. */
const json_t *json_pointer_find(const json_t *document, const char *pointer);
