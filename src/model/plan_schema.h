/* The tables of a plan (model/schema.h says what they do). Only plan.c and its tests look at them. */
#pragma once
#include "model/plan.h"
#include "model/schema.h"

extern const Schema plan_schema;
/* The keys of a preflight check that say what is checked; NULL-ended. */
extern const char *const plan_check_kinds[];
