#include "trust/keyring.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_FILE_MAX = 16 << 10 };

static bool is_key_name(const char *name) {
    size_t length = strlen(name);
    return name[0] != '.' && length > 4 && length < 128 && strcmp(name + length - 4, ".pub") == 0;
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int too_many(const char *folder, Error *error) {
    error_set(error, ERROR_REFUSED, "%s may hold at most %d keys", folder, (int)KEYRING_MAX);
    return error_hint(error, "remove those that are needed no longer");
}

int keyring_list(const char *folder, Arena *arena, StringList *out, Error *error) {
    StringList list = {.items = ARENA_ARRAY(arena, KEYRING_MAX, const char *)};
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 && errno == ENOENT) {
        *out = list;
        return 0;
    }
    if (dir < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", folder);
    if (file_check_private(dir, folder, error) < 0) {
        close(dir);
        return -1;
    }
    DIR *stream = fdopendir(dir);
    size_t count = 0;
    if (!stream) abort();
    for (struct dirent *entry; (entry = readdir(stream));)
        if (is_key_name(entry->d_name) && count++ < KEYRING_MAX)
            list.items[list.count++] = arena_printf(arena, "%s/%s", folder, entry->d_name);
    closedir(stream);
    if (count > KEYRING_MAX) return too_many(folder, error);
    qsort(list.items, list.count, sizeof *list.items, compare_texts);
    *out = list;
    return 0;
}

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int keyring_add(const char *folder, const char *path, char id[static KEY_ID_SIZE], Error *error) {
    ARENA_AUTO arena = arena_new();
    KEY_AUTO key = NULL;
    KEY_AUTO there = NULL;
    BUFFER_AUTO text = {0};
    FD_AUTO dir = -1;
    const char *name = name_of(path);
    if (!is_key_name(name))
        return error_set(error, ERROR_INVALID, "%s is not named like a public key: NAME.pub", path);
    if (key_load_public(path, &key, error) < 0 || file_read(AT_FDCWD, path, KEY_FILE_MAX, &text, error) < 0 ||
        file_open_dir(folder, &dir, error) < 0 || file_check_private(dir, folder, error) < 0)
        return -1;
    StringList keys;
    if (keyring_list(folder, arena, &keys, error) < 0) return -1;
    bool fresh = file_exists(dir, name, NULL) == 0;
    if (fresh && keys.count == KEYRING_MAX) return too_many(folder, error);
    const char *place = arena_printf(arena, "%s/%s", folder, name);
    if (key_load_public(place, &there, NULL) == 0 && !key_equal(key, there)) {
        error_set(error, ERROR_REFUSED, "another key is trusted here as %s already", name);
        return error_hint(error, "remove it first, or give this one's file another name");
    }
    snprintf(id, KEY_ID_SIZE, "%s", key_id(key));
    return file_replace(dir, name, text.data, text.size, 0644, error);
}

static bool is_meant(const char *path, const char *name) {
    KEY_AUTO key = NULL;
    const char *file = name_of(path);
    size_t length = strlen(name);
    if (strcmp(file, name) == 0) return true;
    if (strncmp(file, name, length) == 0 && strcmp(file + length, ".pub") == 0) return true;
    return key_load_public(path, &key, NULL) == 0 && strcmp(key_id(key), name) == 0;
}

int keyring_remove(const char *folder, const char *name, Error *error) {
    ARENA_AUTO arena = arena_new();
    StringList keys;
    FD_AUTO dir = -1;
    if (keyring_list(folder, arena, &keys, error) < 0) return -1;
    for (size_t i = 0; i < keys.count; i++) {
        if (!is_meant(keys.items[i], name)) continue;
        if (dir < 0 && file_open_dir(folder, &dir, error) < 0) return -1;
        if (unlinkat(dir, name_of(keys.items[i]), 0) != 0)
            return error_errno(error, ERROR_SYSTEM, errno, "cannot remove %s", keys.items[i]);
    }
    if (dir >= 0) return file_sync_dir(dir, error);
    return error_set(error, ERROR_INVALID, "no key “%s” is trusted here", name);
}
