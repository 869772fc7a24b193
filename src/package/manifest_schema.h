/* The tables of a manifest's head (model/schema.h says what they do). Besides manifest.c, whoever
 * remembers a release keeps its hooks by them. */
#pragma once
#include "model/schema.h"

/* Of a ManifestHead: all of it, and the part that people write. */
extern const Schema manifest_head_schema, manifest_details_schema_table;
extern const Schema manifest_hooks_schema; /* of ManifestHooks */
