/* Error: what was being done, on what, why it failed, and what to do next — for people, in both languages.
 *
 * Every fallible function returns 0 on success and -1 on failure, takes `Error *` as its last parameter and,
 * on failure, has filled it and left its out-parameters untouched. NULL is allowed where the caller
 * does not care. An Error owns no memory: it may be copied, stored and dropped freely.
 *
 * Calling order: the innermost function calls error_set() or error_errno(); each caller on the way up may
 * add what it was doing with error_prefix(); whoever knows a way out adds it with error_hint():
 *
 *     return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", path);
 *     …
 *     return error_prefix(error, "cannot stage %s %s on %s", service, version, host);
 *
 * Formats are message ids: their Chinese text stands in po/zh.po under the very same format string.
 */
#pragma once
#include <stdbool.h>

typedef enum ErrorKind {
    ERROR_NONE = 0,
    ERROR_SYSTEM,      /* the machine or a peer failed us: exit 1 */
    ERROR_INVALID,     /* the command, plan or package is wrong; nothing was touched: exit 2 */
    ERROR_REFUSED,     /* a check, an approval, a window or a lock said no: exit 3 */
    ERROR_FAILED,      /* the upgrade failed and was rolled back: exit 4 */
    ERROR_ATTENTION,   /* a person is needed: exit 5 */
    ERROR_INTERRUPTED, /* stopped on request; goes on later: exit 130 */
} ErrorKind;

enum { ERROR_TEXT_MAX = 1024 };

typedef struct Error {
    ErrorKind kind;
    int number; /* the errno behind it, or 0 */
    char en[ERROR_TEXT_MAX];
    char zh[ERROR_TEXT_MAX];
} Error;

/* Both return -1, so that `return error_set(…)` reads well. Texts longer than ERROR_TEXT_MAX are cut. */
int error_set(Error *error, ErrorKind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
int error_errno(Error *error, ErrorKind kind, int number, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Put "<text>: " before what stands there; return -1. */
int error_prefix(Error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Put "; <text>" behind it: what the reader can do; return -1. */
int error_hint(Error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The exit status that interface.md gives this kind. */
int error_exit_status(ErrorKind kind);
