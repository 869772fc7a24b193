#include "host/release.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "package/manifest_schema.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORDS  ".upkeep/releases"
#define STAGING  ".upkeep/staging"
#define RELEASES "releases"
enum { FORMAT = 1, RECORD_SIZE_MAX = 4 << 20, DRIFTS_SHOWN = 3 };

int release_current(int root, char version[static RELEASE_VERSION_SIZE], Error *error) {
    char target[PATH_MAX];
    ssize_t length = readlinkat(root, "current", target, sizeof target - 1);
    if (length < 0 && errno == ENOENT) {
        version[0] = '\0';
        return 0;
    }
    if (length < 0 && errno == EINVAL)
        return error_set(error, ERROR_ATTENTION,
                         "“current” is not a link; move it away, or choose another root");
    if (length < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot read the link “current”");
    target[length] = '\0';
    const char *prefix = RELEASES "/", *name = target + strlen(prefix);
    if (strncmp(target, prefix, strlen(prefix)) != 0 || strchr(name, '/') || !*name ||
        strlen(name) >= RELEASE_VERSION_SIZE)
        return error_set(error, ERROR_ATTENTION, "“current” leads to %s, which is no release of Upkeep's",
                         target);
    memcpy(version, name, strlen(name) + 1);
    return 0;
}

/* The folder of a version's record; made when `make`. */
static int open_record(int root, const char *version, bool make, int *out, Error *error) {
    char path[PATH_MAX];
    FD_AUTO upkeep = file_open_no_links(root, ".upkeep", O_RDONLY | O_DIRECTORY, 0);
    if (upkeep >= 0 && file_check_private(upkeep, ".upkeep", error) < 0) return -1;
    snprintf(path, sizeof path, RECORDS "/%s", version);
    if (make) return file_open_dir_beneath(root, path, 0700, out, error);
    int fd = file_open_no_links(root, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 && errno == ENOENT)
        return error_set(error, ERROR_REFUSED, "the release %s was not installed by Upkeep", version);
    if (fd < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the record of release %s", version);
    *out = fd;
    return 0;
}

static int read_record(Arena *arena, const json_t *document, Release *out, Error *error) {
    Release release = {0};
    release.version = arena_strdup(arena, json_get_text(document, "version", ""));
    release.installed_ms = json_get_integer(document, "installed_ms", 0);
    release.change = arena_strdup(arena, json_get_text(document, "change", ""));
    const json_t *hooks = json_object_get(document, "hooks");
    if (json_get_integer(document, "format", 0) != FORMAT ||
        !digest_from_text(json_get_text(document, "package_digest", ""), &release.package))
        return error_set(error, ERROR_ATTENTION, "it is of another format");
    if (plan_from_json(arena, json_object_get(document, "plan"), &release.plan, error) < 0) return -1;
    if (hooks && schema_decode(&manifest_hooks_schema, arena, "hooks", node_from_json(arena, hooks),
                               &release.hooks, error) < 0)
        return -1;
    *out = release;
    return 0;
}

int release_load(int root, const char *version, Arena *arena, Release *out, Error *error) {
    FD_AUTO dir = -1;
    BUFFER_AUTO text = {0};
    JSON_AUTO document = NULL;
    if (open_record(root, version, false, &dir, error) < 0) return -1;
    int result = file_read(dir, "record.json", RECORD_SIZE_MAX, &text, error);
    if (result == 0) result = json_parse(buffer_text(&text), text.size, "record.json", &document, error);
    if (result == 0) result = read_record(arena, document, out, error);
    return result < 0 ? error_prefix(error, "cannot read the record of release %s", version) : 0;
}

int release_installed(const char *path, char version[static RELEASE_VERSION_SIZE], Digest *package,
                      Error *error) {
    ARENA_AUTO arena = arena_new();
    Release release;
    FD_AUTO root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    version[0] = '\0';
    if (root < 0 && errno == ENOENT) return 0;
    if (root < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", path);
    if (release_current(root, version, error) < 0) return -1;
    if (!*version || !package) return 0;
    if (release_load(root, version, arena, &release, error) < 0) return -1;
    *package = release.package;
    return 0;
}

static int write_tree(int dir, const Tree *tree, Error *error) {
    FD_AUTO fd = openat(dir, "tree", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot create");
    BUFFER_AUTO lines = {0};
    for (size_t i = 0; i < tree->count; i++) {
        tree_write_line(&tree->entries[i], &lines);
        buffer_text_append(&lines, "\n");
        if (lines.size < 64 * 1024 && i + 1 < tree->count) continue;
        if (file_write_all(fd, lines.data, lines.size, error) < 0) return -1;
        buffer_clear(&lines);
    }
    if (fsync(fd) != 0 || close(fd_take(&fd)) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot make durable");
    return 0;
}

static json_t *record_document(const Release *release) {
    char digest[DIGEST_TEXT_SIZE];
    digest_to_text(&release->package, digest);
    json_t *document = json_object();
    json_set_integer(document, "format", FORMAT);
    json_set_text(document, "version", release->version);
    json_set_text(document, "package_digest", digest);
    json_set_integer(document, "installed_ms", release->installed_ms);
    json_set_text(document, "change", release->change);
    json_object_set_new(document, "plan", plan_to_json(release->plan));
    json_object_set_new(document, "hooks", schema_encode(&manifest_hooks_schema, &release->hooks));
    return document;
}

int release_remember(int root, const Release *release, const Tree *tree, Error *error) {
    FD_AUTO dir = -1;
    FD_AUTO records = -1;
    JSON_AUTO document = record_document(release);
    FREE_AUTO char *text = json_text(document);
    if (open_record(root, release->version, true, &dir, error) < 0) return -1;
    if (write_tree(dir, tree, error) < 0 || file_replace_tidy(dir, "record.json", error) < 0 ||
        file_replace(dir, "record.json", text, strlen(text), 0600, error) < 0)
        return error_prefix(error, "cannot write the record of release %s", release->version);
    if (file_open_dir_beneath(root, RECORDS, 0700, &records, error) < 0) return -1;
    return file_sync_dir(records, error);
}

/* Read line by line: 50,000 entries never stand in memory as text and as a tree at once. */
static int parse_tree(FILE *file, Tree *tree, Error *error) {
    FREE_AUTO char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    while ((length = getline(&line, &capacity, file)) > 0) {
        if (length > TREE_LINE_MAX) return error_set(error, ERROR_ATTENTION, "a line is too long");
        if (line[length - 1] == '\n') length--;
        if (tree_parse_line(tree, line, (size_t)length, error) < 0) return -1;
    }
    if (ferror(file)) return error_errno(error, ERROR_SYSTEM, errno, "cannot read");
    return tree_finish(tree, error);
}

int release_tree(int root, const char *version, Tree **out, Error *error) {
    FD_AUTO dir = -1;
    if (open_record(root, version, false, &dir, error) < 0) return -1;
    int fd = file_open_no_links(dir, "tree", O_RDONLY, 0);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the record of release %s", version);
    Tree *tree = tree_new();
    int result = parse_tree(file, tree, error);
    fclose(file);
    if (result < 0) {
        tree_free(tree);
        return error_prefix(error, "cannot read the record of release %s", version);
    }
    *out = tree;
    return 0;
}

static int open_release(int root, const char *version, int *out, Error *error) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, RELEASES "/%s", version);
    int fd = file_open_no_links(root, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", path);
    *out = fd;
    return 0;
}

typedef struct Drift {
    Arena *arena;
    const char *shown;
    size_t count;
} Drift;

static void note_difference(void *context, const char *path, const char *what) {
    Drift *drift = context;
    if (drift->count++ >= DRIFTS_SHOWN) return;
    drift->shown = drift->shown ? arena_printf(drift->arena, "%s, %s (%s)", drift->shown, path, what)
                                : arena_printf(drift->arena, "%s (%s)", path, what);
}

int release_drift(int root, const char *version, Arena *arena, size_t *differences, const char **first,
                  Error *error) {
    TREE_AUTO tree = NULL;
    FD_AUTO dir = -1;
    Drift drift = {.arena = arena};
    size_t count = 0;
    if (release_tree(root, version, &tree, error) < 0 || open_release(root, version, &dir, error) < 0)
        return -1;
    if (tree_compare(dir, tree, false, note_difference, &drift, &count, error) < 0) return -1;
    *differences = count;
    *first = drift.shown ? drift.shown : "";
    return 0;
}

int release_exists(int root, const char *version, Error *error) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, RELEASES "/%s", version);
    return file_exists(root, path, error);
}

int release_stage_begin(int root, const char *version, int *out, Error *error) {
    FD_AUTO staging = -1;
    if (file_open_dir_beneath(root, STAGING, 0700, &staging, error) < 0) return -1;
    if (file_remove_tree(staging, version, error) < 0) return -1;
    return file_open_dir_beneath(staging, version, 0755, out, error);
}

int release_stage_end(int root, const char *version, Error *error) {
    FD_AUTO staging = -1;
    FD_AUTO releases = -1;
    if (file_open_dir_beneath(root, STAGING, 0700, &staging, error) < 0) return -1;
    if (file_open_dir_beneath(root, RELEASES, 0755, &releases, error) < 0) return -1;
    if (file_sync_all(staging, error) < 0) return -1;
    if (renameat2(staging, version, releases, version, RENAME_NOREPLACE) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot give the release %s its name", version);
    if (file_sync_dir(releases, error) < 0 || file_sync_dir(staging, error) < 0) return -1;
    return file_sync_dir(root, error);
}

int release_activate(int root, const char *version, Error *error) {
    FD_AUTO upkeep = -1;
    if (!version) {
        if (unlinkat(root, "current", 0) != 0 && errno != ENOENT)
            return error_errno(error, ERROR_SYSTEM, errno, "cannot remove the link “current”");
        return file_sync_dir(root, error);
    }
    char target[PATH_MAX];
    snprintf(target, sizeof target, RELEASES "/%s", version);
    if (release_exists(root, version, error) != 1)
        return error_set(error, ERROR_ATTENTION, "the release %s is not there to be activated", version);
    if (file_open_dir_beneath(root, ".upkeep", 0700, &upkeep, error) < 0) return -1;
    unlinkat(upkeep, "current", 0); /* of an attempt that was cut off */
    if (symlinkat(target, upkeep, "current") != 0 || renameat(upkeep, "current", root, "current") != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot move the link “current” to %s", target);
    return file_sync_dir(root, error);
}

int release_remove(int root, const char *version, Error *error) {
    char current[RELEASE_VERSION_SIZE];
    FD_AUTO releases = -1;
    FD_AUTO staging = -1;
    FD_AUTO records = -1;
    if (release_current(root, current, error) < 0) return -1;
    if (strcmp(current, version) == 0)
        return error_set(error, ERROR_REFUSED, "the release %s is in use", version);
    if (file_open_dir_beneath(root, RELEASES, 0755, &releases, error) < 0 ||
        file_open_dir_beneath(root, STAGING, 0700, &staging, error) < 0 ||
        file_open_dir_beneath(root, RECORDS, 0700, &records, error) < 0)
        return -1;
    /* Out of sight by one rename first: a half-removed tree must never carry a release's name (I10). */
    if (file_remove_tree(staging, version, error) < 0) return -1;
    if (renameat(releases, version, staging, version) != 0 && errno != ENOENT)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot remove the release %s", version);
    if (file_sync_dir(releases, error) < 0) return -1;
    if (file_remove_tree(staging, version, error) < 0) return -1;
    return file_remove_tree(records, version, error);
}

typedef struct Installed {
    const char *version;
    int64_t installed_ms;
} Installed;

static int later_first(const void *a, const void *b) {
    const Installed *one = a, *other = b;
    if (one->installed_ms != other->installed_ms) return one->installed_ms > other->installed_ms ? -1 : 1;
    return strcmp(one->version, other->version);
}

static int read_installed(int root, DIR *listing, Arena *arena, Installed *items, size_t limit,
                          size_t *count) {
    for (struct dirent *entry; *count < limit && (entry = readdir(listing));) {
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= RELEASE_VERSION_SIZE) continue;
        Release release;
        if (release_load(root, entry->d_name, arena, &release, NULL) < 0) continue;
        if (release_exists(root, entry->d_name, NULL) != 1) continue;
        items[(*count)++] = (Installed){arena_strdup(arena, entry->d_name), release.installed_ms};
    }
    return 0;
}

int release_list(int root, Arena *arena, ReleaseList *out, Error *error) {
    enum { LIMIT = 10000 };
    int fd = file_open_no_links(root, RECORDS, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 && errno == ENOENT) {
        *out = (ReleaseList){0};
        return 0;
    }
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    if (!listing) return error_errno(error, ERROR_SYSTEM, errno, "cannot list the releases");
    Installed *items = ARENA_ARRAY(arena, LIMIT, Installed);
    size_t count = 0;
    read_installed(root, listing, arena, items, LIMIT, &count);
    closedir(listing);
    qsort(items, count, sizeof *items, later_first);
    ReleaseList list = {ARENA_ARRAY(arena, count, const char *), count};
    for (size_t i = 0; i < count; i++) list.versions[i] = items[i].version;
    *out = list;
    return 0;
}
