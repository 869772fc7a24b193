#include "trust/key.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "base/file.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_SIZE_MAX = 16 << 10 };

struct Key {
    EVP_PKEY *pair; /* or the public half alone */
    uint8_t public[KEY_PUBLIC_SIZE];
    char id[KEY_ID_SIZE];
};

/* Takes `pair` over. NULL when it is no Ed25519 key. */
static Key *wrap(EVP_PKEY *pair) {
    Key *key = calloc(1, sizeof *key);
    if (!key) abort();
    key->pair = pair;
    size_t size = sizeof key->public;
    if (EVP_PKEY_get_base_id(pair) != EVP_PKEY_ED25519 ||
        EVP_PKEY_get_raw_public_key(pair, key->public, &size) != 1 || size != sizeof key->public) {
        key_free(key);
        return NULL;
    }
    Digest digest = digest_of(key->public, sizeof key->public);
    char text[DIGEST_TEXT_SIZE];
    digest_to_text(&digest, text);
    memcpy(key->id, text, KEY_ID_SIZE - 1);
    return key;
}

void key_free(Key *key) {
    if (!key) return;
    EVP_PKEY_free(key->pair);
    free(key);
}

const char *key_id(const Key *key) { return key->id; }

bool key_equal(const Key *a, const Key *b) { return memcmp(a->public, b->public, sizeof a->public) == 0; }

/* ---- Files ---- */

static int write_new(int dir, const char *name, BIO *content, mode_t mode, Error *error) {
    char *bytes;
    long size = BIO_get_mem_data(content, &bytes);
    FD_AUTO fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0 && errno == EEXIST)
        return error_set(error, ERROR_REFUSED, "%s exists already; choose another name, or remove it", name);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", name);
    bool is_written = file_write_all(fd, bytes, (size_t)size, error) == 0;
    if (is_written && (fsync(fd) != 0 || close(fd_take(&fd)) != 0)) {
        error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", name);
        is_written = false;
    }
    if (!is_written) unlinkat(dir, name, 0);
    return is_written ? 0 : -1;
}

static int write_pair(int dir, const char *name, const Key *key, Error *error) {
    BIO *private = BIO_new(BIO_s_secmem()), *public = BIO_new(BIO_s_mem());
    if (!private || !public ||
        PEM_write_bio_PKCS8PrivateKey(private, key->pair, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_PUBKEY(public, key->pair) != 1)
        abort(); /* only without memory */
    BUFFER_AUTO private_name = {0};
    BUFFER_AUTO public_name = {0};
    buffer_printf(&private_name, "%s.key", name);
    buffer_printf(&public_name, "%s.pub", name);
    int result = write_new(dir, public_name.data, public, 0644, error);
    if (result == 0 && write_new(dir, private_name.data, private, 0600, error) < 0) {
        unlinkat(dir, public_name.data, 0);
        result = -1;
    }
    BIO_free(private);
    BIO_free(public);
    return result < 0 ? -1 : file_sync_dir(dir, error);
}

int key_create(const char *base, char id[static KEY_ID_SIZE], Error *error) {
    EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    KEY_AUTO key = pair ? wrap(pair) : NULL;
    if (!key) return error_set(error, ERROR_SYSTEM, "cannot make an Ed25519 key: OpenSSL refuses");
    FREE_AUTO char *folder = strdup(base);
    FREE_AUTO char *path = strdup(base);
    if (!folder || !path) abort();
    FD_AUTO dir = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder of %s", base);
    if (write_pair(dir, basename(path), key, error) < 0) return -1;
    memcpy(id, key->id, KEY_ID_SIZE);
    return 0;
}

/* A key file is not asked for a passphrase: nobody may be there to answer. */
static int no_passphrase(char *text, int size, int writing, void *context) {
    (void)text, (void)size, (void)writing, (void)context;
    return -1;
}

static int read_bounded(int fd, uint8_t bytes[static FILE_SIZE_MAX], size_t *size_out) {
    size_t size = 0;
    for (;;) {
        ssize_t got = read(fd, bytes + size, FILE_SIZE_MAX - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        size += (size_t)got;
    }
    *size_out = size;
    return 0;
}

static int load(const char *path, bool private, Key **out, Error *error) {
    FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the key %s", path);
    if (private && S_ISREG(status.st_mode) && (status.st_mode & 077) != 0)
        return error_set(
            error, ERROR_REFUSED,
            "the private key %s can be read by others (mode %04o); make it yours alone: chmod 600 %s", path,
            (unsigned)(status.st_mode & 07777), path);
    uint8_t bytes[FILE_SIZE_MAX];
    size_t size = 0;
    if (!S_ISREG(status.st_mode)) errno = EINVAL;
    if (!S_ISREG(status.st_mode) || read_bounded(fd, bytes, &size) < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot read the key %s", path);
    BIO *text = BIO_new_mem_buf(bytes, (int)size);
    if (!text) abort();
    EVP_PKEY *pair = private ? PEM_read_bio_PrivateKey(text, NULL, no_passphrase, NULL)
                             : PEM_read_bio_PUBKEY(text, NULL, no_passphrase, NULL);
    BIO_free(text);
    OPENSSL_cleanse(bytes, sizeof bytes);
    Key *key = pair ? wrap(pair) : NULL;
    if (!key && private)
        return error_set(error, ERROR_INVALID, "%s is no Ed25519 private key in PEM without a passphrase",
                         path);
    if (!key) return error_set(error, ERROR_INVALID, "%s is no Ed25519 public key in PEM (NAME.pub)", path);
    *out = key;
    return 0;
}

int key_load_private(const char *path, Key **out, Error *error) { return load(path, true, out, error); }

int key_load_public(const char *path, Key **out, Error *error) { return load(path, false, out, error); }

/* ---- Signing ---- */

int key_sign(const Key *key, const void *bytes, size_t size, uint8_t out[static KEY_SIGNATURE_SIZE],
             Error *error) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context) abort();
    uint8_t signature[KEY_SIGNATURE_SIZE];
    size_t length = sizeof signature;
    bool is_signed = EVP_DigestSignInit(context, NULL, NULL, NULL, key->pair) == 1 &&
                     EVP_DigestSign(context, signature, &length, bytes, size) == 1 &&
                     length == sizeof signature;
    EVP_MD_CTX_free(context);
    if (!is_signed)
        return error_set(error, ERROR_INVALID, "cannot sign with the key %s: no private half", key->id);
    memcpy(out, signature, sizeof signature);
    return 0;
}

bool key_verifies(const Key *key, const void *bytes, size_t size,
                  const uint8_t signature[static KEY_SIGNATURE_SIZE]) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context) abort();
    bool is_valid = EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->pair) == 1 &&
                    EVP_DigestVerify(context, signature, KEY_SIGNATURE_SIZE, bytes, size) == 1;
    EVP_MD_CTX_free(context);
    return is_valid;
}
