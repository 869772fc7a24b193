/* Analyser: what a reader of one file at a time cannot know, told to clang-tidy by tools/check.py (all but
 * error.c get this file first). These functions return -1, whatever happens: so the caller's out-parameters
 * are not used. */
#pragma once
#include "base/error.h"
#define error_set(...)    (error_set(__VA_ARGS__), -1)
#define error_errno(...)  (error_errno(__VA_ARGS__), -1)
#define error_prefix(...) (error_prefix(__VA_ARGS__), -1)
#define error_hint(...)   (error_hint(__VA_ARGS__), -1)
