#include "trust/password.h"

#include "base/random.h"
#include <argon2.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* The head is what these say. */
enum { MEMORY_KIB = 65536, PASSES = 3, LANES = 1, SALT_BYTES = 16, HASH_BYTES = 32 };
#define HEAD    "$argon2id$v=19$m=65536,t=3,p=1$"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
enum { SALT_LETTERS = 22, HASH_LETTERS = 43 };
_Static_assert(sizeof HEAD - 1 + SALT_LETTERS + 1 + HASH_LETTERS + 1 == PASSWORD_HASH_SIZE,
               "as the header says");

/* Nobody's: checked where there is no hash, so that it takes as long. */
static const char nobodys[PASSWORD_HASH_SIZE] =
    HEAD "AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

static atomic_int running;

static int enter(Error *error) {
    if (atomic_fetch_add(&running, 1) < PASSWORD_AT_ONCE_MAX) return 0;
    atomic_fetch_sub(&running, 1);
    error_set(error, ERROR_REFUSED, "cannot look at a password: others are being looked at");
    if (error) error->number = EBUSY;
    return error_hint(error, "try again in a second");
}

static void leave(void) { atomic_fetch_sub(&running, 1); }

int password_hash(const char *password, char out[static PASSWORD_HASH_SIZE], Error *error) {
    size_t length = strnlen(password, PASSWORD_MAX + 1);
    if (length < PASSWORD_MIN || length > PASSWORD_MAX) {
        error_set(error, ERROR_INVALID, "a password has %d to %d bytes", (int)PASSWORD_MIN,
                  (int)PASSWORD_MAX);
        return error_hint(error, "a few words in a row are long enough and easy to keep in mind");
    }
    unsigned char salt[SALT_BYTES];
    random_bytes(salt, sizeof salt);
    char text[PASSWORD_HASH_SIZE];
    if (enter(error) < 0) return -1;
    int code = argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password, length, salt, sizeof salt,
                                     HASH_BYTES, text, sizeof text);
    leave();
    if (code != ARGON2_OK)
        return error_set(error, ERROR_SYSTEM, "cannot hash a password: %s", argon2_error_message(code));
    memcpy(out, text, sizeof text);
    return 0;
}

int password_check(const char *hash, const char *password, bool *out, Error *error) {
    size_t length = strnlen(password, PASSWORD_MAX + 1);
    if (length == 0 || length > PASSWORD_MAX) {
        *out = false;
        return 0;
    }
    if (enter(error) < 0) return -1;
    int code = argon2id_verify(hash ? hash : nobodys, password, length);
    leave();
    if (code != ARGON2_OK && code != ARGON2_VERIFY_MISMATCH)
        return error_set(error, ERROR_SYSTEM, "cannot check a password: %s", argon2_error_message(code));
    *out = hash && code == ARGON2_OK;
    return 0;
}

/* `count` letters, the last of them with no bit set that the bytes have no room for; what follows, or NULL.
 */
static const char *skip_base64(const char *at, size_t count, unsigned spare_bits) {
    if (strspn(at, LETTERS) != count) return NULL;
    size_t value = (size_t)(strchr(LETTERS, at[count - 1]) - LETTERS);
    return value & ((1U << spare_bits) - 1) ? NULL : at + count;
}

bool password_is_hash(const char *text) {
    if (strncmp(text, HEAD, sizeof HEAD - 1) != 0) return false;
    const char *at = skip_base64(text + sizeof HEAD - 1, SALT_LETTERS, SALT_LETTERS * 6 - SALT_BYTES * 8);
    if (!at || *at != '$') return false;
    at = skip_base64(at + 1, HASH_LETTERS, HASH_LETTERS * 6 - HASH_BYTES * 8);
    return at && *at == '\0';
}
