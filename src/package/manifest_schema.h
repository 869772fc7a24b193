/* The tables of a manifest's head (model/schema.h says what they do). Only manifest.c looks at them. */
#pragma once
#include "model/schema.h"

/* Of a ManifestHead: all of it, and the part that people write. */
extern const Schema manifest_head_schema, manifest_details_schema_table;
