#include "server/depot.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "model/schema.h"
#include "package/package.h"
#include "trust/keyring.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PART  ".part"
#define WHOLE ".whole"
enum { PART_NAME_SIZE = DIGEST_TEXT_SIZE + 8 };

struct Depot {
    char *path, *trust;
    int dir;
    pthread_mutex_t lock;       /* of the list */
    json_t *published;          /* events, oldest first */
    pthread_mutex_t parts_lock; /* of the names below packages/, and held while a piece is written */
};

/* What was being verified when a controller died waits for more, or to be published, again. */
static void tidy_parts(Depot *depot) {
    int copy = openat(depot->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (!stream) abort();
    for (struct dirent *entry; (entry = readdir(stream));) {
        char part[PART_NAME_SIZE];
        if (strlen(entry->d_name) != DIGEST_TEXT_SIZE - 1 + strlen(WHOLE)) continue;
        if (strcmp(entry->d_name + DIGEST_TEXT_SIZE - 1, WHOLE) != 0) continue;
        snprintf(part, sizeof part, "%.64s" PART, entry->d_name);
        renameat(depot->dir, entry->d_name, depot->dir, part);
    }
    closedir(stream);
}

int depot_open(const char *state, Depot **out, Error *error) {
    Depot *depot = calloc(1, sizeof *depot);
    if (!depot) abort();
    depot->path = file_join(state, "packages");
    depot->trust = file_join(state, "trust");
    depot->published = json_array();
    pthread_mutex_init(&depot->lock, NULL);
    pthread_mutex_init(&depot->parts_lock, NULL);
    if (file_open_dir(depot->path, &depot->dir, error) < 0) {
        depot->dir = -1;
        depot_close(depot);
        return -1;
    }
    fchmod(depot->dir, 0700);
    tidy_parts(depot);
    *out = depot;
    return 0;
}

void depot_close(Depot *depot) {
    if (!depot) return;
    if (depot->dir >= 0) close(depot->dir);
    json_decref(depot->published);
    pthread_mutex_destroy(&depot->lock);
    pthread_mutex_destroy(&depot->parts_lock);
    free(depot->path);
    free(depot->trust);
    free(depot);
}

/* ---- the list */

void depot_fold(Depot *depot, const json_t *event) {
    if (strcmp(json_get_text(event, "type", ""), "package.published") != 0) return;
    pthread_mutex_lock(&depot->lock);
    json_array_append(depot->published, (json_t *)event);
    pthread_mutex_unlock(&depot->lock);
}

static DepotPackage describe(const json_t *event, Arena *arena) {
    return (DepotPackage){.sha256 = arena_strdup(arena, json_get_text(event, "sha256", "")),
                          .name = arena_strdup(arena, json_get_text(event, "name", "")),
                          .service = arena_strdup(arena, json_get_text(event, "service", "")),
                          .version = arena_strdup(arena, json_get_text(event, "version", "")),
                          .digest = arena_strdup(arena, json_get_text(event, "digest", "")),
                          .published = arena_strdup(arena, json_get_text(event, "time", "")),
                          .size = (uint64_t)json_get_integer(event, "size", 0)};
}

DepotList depot_list(Depot *depot, Arena *arena) {
    size_t index;
    json_t *event;
    pthread_mutex_lock(&depot->lock);
    DepotList list = {.items = ARENA_ARRAY(arena, json_array_size(depot->published) + 1, DepotPackage)};
    json_array_foreach(depot->published, index, event) list.items[list.count++] = describe(event, arena);
    pthread_mutex_unlock(&depot->lock);
    return list;
}

static bool is_package_file(const char *name) {
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".upk") == 0;
}

static bool has_sha256(const DepotPackage *package, const char *what) {
    return strcmp(package->sha256, what) == 0;
}

static bool has_digest(const DepotPackage *package, const char *what) {
    return strcmp(package->digest, what) == 0;
}

static bool has_version(const DepotPackage *package, const char *what) {
    size_t length = strlen(package->service);
    return strncmp(what, package->service, length) == 0 && what[length] == ' ' &&
           strcmp(what + length + 1, package->version) == 0;
}

static bool has_name(const DepotPackage *package, const char *what) {
    return strcmp(package->name, what) == 0;
}

typedef bool (*Meaning)(const DepotPackage *package, const char *what);

/* The newest one; NULL: none. */
static const DepotPackage *newest(const DepotList *list, Meaning meaning, const char *what) {
    for (size_t i = list->count; i-- > 0;)
        if (meaning(&list->items[i], what)) return &list->items[i];
    return NULL;
}

int depot_find(Depot *depot, Arena *arena, const char *what, DepotPackage *out, Error *error) {
    static const Meaning meanings[] = {has_sha256, has_digest, has_version, has_name};
    DepotList list = depot_list(depot, arena);
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        const DepotPackage *found = newest(&list, meanings[i], what);
        if (!found) continue;
        *out = *found;
        return 0;
    }
    error_set(error, ERROR_INVALID, "no package %s was published", what);
    return error_hint(error, "“upkeep publish FILE.upk” does that");
}

/* ---- uploads */

static int part_name(const char *sha256, char out[static PART_NAME_SIZE], Error *error) {
    Digest digest;
    if (!digest_from_text(sha256, &digest))
        return error_set(error, ERROR_INVALID, "%s is no SHA-256 in lower-case hexadecimal digits", sha256);
    snprintf(out, PART_NAME_SIZE, "%.64s" PART, sha256);
    return 0;
}

int depot_upload_size(Depot *depot, const char *sha256, uint64_t *out, Error *error) {
    char part[PART_NAME_SIZE];
    struct stat status;
    if (part_name(sha256, part, error) < 0) return -1;
    *out = fstatat(depot->dir, part, &status, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)status.st_size : 0;
    return 0;
}

static int write_piece(Depot *depot, const char *part, uint64_t offset, const void *bytes, size_t size,
                       Error *error) {
    struct stat status;
    FD_AUTO fd = file_open_no_links(depot->dir, part, O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || fstat(fd, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot keep the upload");
    if ((uint64_t)status.st_size != offset)
        return error_set(error, ERROR_REFUSED, "the next byte expected is number %llu",
                         (unsigned long long)status.st_size);
    if (offset + size > DEPOT_PACKAGE_MAX)
        return error_set(error, ERROR_REFUSED, "a package has at most %llu bytes",
                         (unsigned long long)DEPOT_PACKAGE_MAX);
    if (file_pwrite_all(fd, bytes, size, offset) == 0) return 0;
    int number = errno;
    if (ftruncate(fd, (off_t)offset) != 0) abort(); /* half a piece would be gone on with */
    return error_errno(error, ERROR_SYSTEM, number, "cannot keep the upload");
}

int depot_upload(Depot *depot, const char *sha256, uint64_t offset, const void *bytes, size_t size,
                 Error *error) {
    char part[PART_NAME_SIZE];
    if (part_name(sha256, part, error) < 0) return -1;
    if (size > DEPOT_PIECE_MAX)
        return error_set(error, ERROR_REFUSED, "a piece has at most %d bytes", (int)DEPOT_PIECE_MAX);
    pthread_mutex_lock(&depot->parts_lock);
    int result = write_piece(depot, part, offset, bytes, size, error);
    pthread_mutex_unlock(&depot->parts_lock);
    return result;
}

/* ---- publishing */

static int verify(Depot *depot, const char *part, const char *sha256, Package **out, Error *error) {
    ARENA_AUTO arena = arena_new();
    TRUST_AUTO trust = NULL;
    PACKAGE_AUTO package = NULL;
    StringList keys;
    Digest digest;
    char text[DIGEST_TEXT_SIZE];
    if (keyring_list(depot->trust, arena, &keys, error) < 0) return -1;
    if (keys.count == 0) {
        error_set(error, ERROR_REFUSED, "this controller trusts no key: no package may be published");
        return error_hint(error, "trust one there with “upkeepd trust add NAME.pub”");
    }
    if (trust_load(keys.items, keys.count, 1, &trust, error) < 0) return -1;
    const char *path = arena_printf(arena, "%s/%s", depot->path, part);
    if (package_open(path, trust, &package, error) < 0 || digest_of_fd(package->fd, &digest, NULL, error) < 0)
        return -1;
    digest_to_text(&digest, text);
    if (strcmp(text, sha256) != 0)
        return error_set(error, ERROR_INVALID, "what came has another SHA-256 than %.16s…", sha256);
    if (package_verify(package, NULL, error) < 0) return -1;
    if (fsync(package->fd) != 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot keep the package");
    *out = pointer_take(&package);
    return 0;
}

int depot_check_name(const char *name, Error *error) {
    Digest digest;
    if (!*name || strlen(name) >= DEPOT_NAME_SIZE || strchr(name, '/'))
        return error_set(error, ERROR_INVALID, "“name” must be the package's file name");
    if (!digest_from_text(name, &digest) && (!strchr(name, ' ') || is_package_file(name))) return 0;
    error_set(error, ERROR_INVALID, "“%s” could be taken for a digest or a version, and is no name", name);
    return error_hint(error, "give the file a name that ends in “.upk”");
}

/* What the name means until now: *before is "" when nothing, or the same. */
static int check_taken(Depot *depot, const Package *package, const char *sha256, const char *name,
                       char before[static DIGEST_TEXT_SIZE], Error *error) {
    ARENA_AUTO arena = arena_new();
    DepotList list = depot_list(depot, arena);
    const DepotPackage *found = newest(&list, has_name, name);
    before[0] = '\0';
    if (!found || strcmp(found->sha256, sha256) == 0) return 0;
    snprintf(before, DIGEST_TEXT_SIZE, "%s", found->sha256);
    if (strcmp(found->service, package->manifest->head.service) == 0) return 0;
    error_set(error, ERROR_REFUSED, "%s is the name of a package of the service %s already", name,
              found->service);
    return error_hint(error, "publish it under another name");
}

static int describe_published(Depot *depot, const Package *package, const char *sha256, const char *name,
                              json_t **out, Error *error) {
    char digest[DIGEST_TEXT_SIZE], before[DIGEST_TEXT_SIZE];
    if (check_taken(depot, package, sha256, name, before, error) < 0) return -1;
    json_t *event = json_object();
    digest_to_text(&package->digest, digest);
    json_set_text(event, "type", "package.published");
    json_set_text(event, "sha256", sha256);
    json_set_integer(event, "size", (int64_t)package->size);
    json_set_text(event, "name", name);
    json_set_text(event, "service", package->manifest->head.service);
    json_set_text(event, "version", package->manifest->head.version);
    json_set_text(event, "digest", digest);
    json_set_text(event, "replaces", *before ? before : NULL);
    *out = event;
    return 0;
}

/* From here on nobody writes to it: who wants to finds no part, or another. */
static int set_aside(Depot *depot, const char *part, const char *whole, Error *error) {
    pthread_mutex_lock(&depot->parts_lock);
    int result = file_exists(depot->dir, whole, NULL)                 ? EBUSY
                 : renameat(depot->dir, part, depot->dir, whole) == 0 ? 0
                                                                      : errno;
    pthread_mutex_unlock(&depot->parts_lock);
    if (result == 0) return 0;
    if (result == EBUSY) return error_set(error, ERROR_REFUSED, "it is being verified already");
    if (result == ENOENT) return error_set(error, ERROR_INVALID, "nothing of it has come");
    return error_errno(error, ERROR_SYSTEM, result, "cannot keep the package");
}

/* What is no good package goes; else it waits, unless it has begun to come anew. */
static void put_back(Depot *depot, const char *part, const char *whole, const Error *problem) {
    pthread_mutex_lock(&depot->parts_lock);
    if (problem->kind == ERROR_INVALID ||
        renameat2(depot->dir, whole, depot->dir, part, RENAME_NOREPLACE) != 0)
        unlinkat(depot->dir, whole, 0);
    pthread_mutex_unlock(&depot->parts_lock);
}

/* One that was published before is verified once more, where it stands. */
static int publish_again(Depot *depot, const char *sha256, const char *name, json_t **event, Error *error) {
    PACKAGE_AUTO package = NULL;
    if (verify(depot, sha256, sha256, &package, error) < 0) return -1;
    return describe_published(depot, package, sha256, name, event, error);
}

int depot_publish(Depot *depot, const char *sha256, const char *name, json_t **event, Error *error) {
    char part[PART_NAME_SIZE], whole[PART_NAME_SIZE];
    PACKAGE_AUTO package = NULL;
    Error problem = {0};
    if (part_name(sha256, part, error) < 0 || depot_check_name(name, error) < 0) return -1;
    snprintf(whole, sizeof whole, "%.64s" WHOLE, sha256);
    if (file_exists(depot->dir, part, NULL) == 0 && file_exists(depot->dir, sha256, NULL) > 0)
        return publish_again(depot, sha256, name, event, error);
    if (set_aside(depot, part, whole, error) < 0) return -1;
    JSON_AUTO described = NULL;
    if (verify(depot, whole, sha256, &package, &problem) < 0 ||
        describe_published(depot, package, sha256, name, &described, &problem) < 0) {
        put_back(depot, part, whole, &problem);
        if (error) *error = problem;
        return -1;
    }
    if (renameat(depot->dir, whole, depot->dir, sha256) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot keep the package");
    if (file_sync_dir(depot->dir, error) < 0) return -1;
    *event = pointer_take(&described);
    return 0;
}

int depot_open_file(Depot *depot, const char *sha256, int *fd, uint64_t *size, Error *error) {
    Digest digest;
    struct stat status;
    if (!digest_from_text(sha256, &digest))
        return error_set(error, ERROR_INVALID, "%s is no SHA-256 in lower-case hexadecimal digits", sha256);
    FD_AUTO file = file_open_no_links(depot->dir, sha256, O_RDONLY, 0);
    if (file < 0 || fstat(file, &status) != 0 || !S_ISREG(status.st_mode))
        return error_set(error, ERROR_INVALID, "no package %s was published", sha256);
    *size = (uint64_t)status.st_size;
    *fd = fd_take(&file);
    return 0;
}
