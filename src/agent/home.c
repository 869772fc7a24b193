#include "agent/home.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "trust/certificate.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DOCUMENT_MAX = 16 << 20, NAMES_MAX = 4096 };

/* ---- the folder */

static int take_lock(Home *home, Error *error) {
    FD_AUTO lock = openat(home->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s/lock", home->path);
    if (file_lock(lock) < 0) return error_set(error, ERROR_REFUSED, "another agent runs in %s", home->path);
    home->lock = fd_take(&lock);
    return 0;
}

int home_open(const char *path, bool running, Home **out, Error *error) {
    Home *home = calloc(1, sizeof *home);
    if (!home) abort();
    *home = (Home){.dir = -1, .lock = -1, .path = strdup(path)};
    if (file_open_dir(path, &home->dir, error) < 0 || file_check_private(home->dir, path, error) < 0 ||
        (running && take_lock(home, error) < 0)) {
        home_close(home);
        return -1;
    }
    fchmod(home->dir, 0700); /* whoever may not do that has been refused already */
    *out = home;
    return 0;
}

void home_close(Home *home) {
    if (!home) return;
    if (home->lock >= 0) close(home->lock);
    if (home->dir >= 0) close(home->dir);
    free(home->path);
    free(home);
}

const char *home_path(const Home *home, Arena *arena, const char *name) {
    return arena_printf(arena, "%s/%s", home->path, name);
}

static int replace_json(int dir, const char *name, const json_t *json, Error *error) {
    FREE_AUTO char *text = json_text(json);
    return file_replace(dir, name, text, strlen(text), 0600, error);
}

static int read_json(int dir, const char *name, json_t **out, Error *error) {
    BUFFER_AUTO text = {0};
    if (file_read(dir, name, DOCUMENT_MAX, &text, error) < 0) return -1;
    return json_parse(buffer_text(&text), text.size, name, out, error);
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names in the folder `name` that `wanted` takes, sorted. None where there is no folder. */
static int list_names(const Home *home, const char *name, bool (*wanted)(const char *name), Arena *arena,
                      StringList *out, Error *error) {
    StringList list = {.items = ARENA_ARRAY(arena, NAMES_MAX, const char *)};
    *out = list;
    int dir = file_open_no_links(home->dir, name, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0 && errno == ENOENT) return 0;
    if (dir < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s/%s", home->path, name);
    DIR *stream = fdopendir(dir);
    if (!stream) abort();
    for (struct dirent *entry; (entry = readdir(stream)) && list.count < NAMES_MAX;)
        if (wanted(entry->d_name)) list.items[list.count++] = arena_strdup(arena, entry->d_name);
    closedir(stream);
    qsort(list.items, list.count, sizeof *list.items, compare_texts);
    *out = list;
    return 0;
}

/* ---- the controller */

int home_controller(const Home *home, Arena *arena, const char **url, Error *error) {
    JSON_AUTO json = NULL;
    if (read_json(home->dir, "agent.json", &json, error) < 0) return -1;
    const char *text = json_get_text(json, "controller", NULL);
    if (!text) return error_set(error, ERROR_INVALID, "%s/agent.json names no controller", home->path);
    *url = arena_strdup(arena, text);
    return 0;
}

int home_set_controller(const Home *home, const char *url, Error *error) {
    JSON_AUTO json = json_object();
    json_set_text(json, "controller", url);
    return replace_json(home->dir, "agent.json", json, error);
}

/* ---- places: a file of paths each */

static json_t *load_places(const Home *home, const char *file) {
    json_t *json = NULL;
    if (read_json(home->dir, file, &json, NULL) == 0 && json_is_array(json)) return json;
    json_decref(json);
    return json_array();
}

static StringList list_places(const Home *home, const char *file, Arena *arena) {
    JSON_AUTO places = load_places(home, file);
    StringList list = {.items = ARENA_ARRAY(arena, json_array_size(places) + 1, const char *)};
    size_t index;
    json_t *place;
    json_array_foreach(places, index, place) {
        if (json_is_string(place)) list.items[list.count++] = arena_strdup(arena, json_string_value(place));
    }
    return list;
}

static int add_place(const Home *home, const char *file, const char *path, Error *error) {
    JSON_AUTO places = load_places(home, file);
    size_t index;
    json_t *known;
    json_array_foreach(places, index, known) {
        if (json_is_string(known) && strcmp(json_string_value(known), path) == 0) return 0;
    }
    json_array_append_new(places, json_string(path));
    return replace_json(home->dir, file, places, error);
}

StringList home_roots(const Home *home, Arena *arena) { return list_places(home, "roots.json", arena); }

StringList home_stores(const Home *home, Arena *arena) {
    StringList noted = list_places(home, "stores.json", arena);
    StringList list = {.items = ARENA_ARRAY(arena, noted.count + 1, const char *)};
    list.items[list.count++] = home_path(home, arena, "restore-points");
    for (size_t i = 0; i < noted.count; i++) list.items[list.count++] = noted.items[i];
    return list;
}

int home_note_places(const Home *home, const char *root, const char *store, Error *error) {
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&one_at_a_time);
    int result = add_place(home, "roots.json", root, error);
    if (result == 0 && store) result = add_place(home, "stores.json", store, error);
    pthread_mutex_unlock(&one_at_a_time);
    return result;
}

/* ---- the task begun last */

const char *home_task(const Home *home, Arena *arena) {
    JSON_AUTO json = NULL;
    if (read_json(home->dir, "task.json", &json, NULL) < 0) return "";
    return arena_strdup(arena, json_get_text(json, "begun", ""));
}

int home_note_task(const Home *home, const char *id, Error *error) {
    JSON_AUTO json = json_object();
    json_set_text(json, "begun", id);
    return replace_json(home->dir, "task.json", json, error);
}

/* ---- changes */

bool home_is_change_name(const char *name) { return name && certificate_is_host_name(name); }

static const char *change_folder(Arena *arena, const char *change) {
    return arena_printf(arena, "changes/%s", change);
}

int home_change_dir(const Home *home, const char *change, int *out, Error *error) {
    ARENA_AUTO arena = arena_new();
    if (!home_is_change_name(change))
        return error_set(error, ERROR_INVALID, "%s is no name of a change", change);
    return file_open_dir_beneath(home->dir, change_folder(arena, change), 0700, out, error);
}

int home_changes(const Home *home, Arena *arena, StringList *out, Error *error) {
    return list_names(home, "changes", home_is_change_name, arena, out, error);
}

int home_document_save(const Home *home, const char *change, const json_t *document, Error *error) {
    FD_AUTO dir = -1;
    if (home_change_dir(home, change, &dir, error) < 0) return -1;
    return replace_json(dir, "change.json", document, error);
}

int home_document_load(const Home *home, const char *change, json_t **out, Error *error) {
    FD_AUTO dir = -1;
    if (home_change_dir(home, change, &dir, error) < 0) return -1;
    return read_json(dir, "change.json", out, error);
}

int home_forget_change(const Home *home, const char *change, Error *error) {
    FD_AUTO dir = -1;
    if (!home_is_change_name(change)) return 0;
    if (file_open_dir_beneath(home->dir, "changes", 0700, &dir, error) < 0) return -1;
    /* The document first: where a crash cuts this off, nobody takes the rest for a change. */
    int folder = file_open_no_links(dir, change, O_RDONLY | O_DIRECTORY, 0);
    if (folder >= 0) {
        unlinkat(folder, "change.json", 0);
        close(folder);
    }
    return file_remove_tree(dir, change, error);
}

/* ---- packages */

const char *home_package_path(const Home *home, Arena *arena, const char *sha256) {
    return arena_printf(arena, "%s/packages/%s", home->path, sha256);
}

int home_packages_dir(const Home *home, int *out, Error *error) {
    return file_open_dir_beneath(home->dir, "packages", 0700, out, error);
}

static bool is_any_name(const char *name) { return name[0] != '.'; }

static bool is_needed(const StringList *needed, const char *name) {
    for (size_t i = 0; i < needed->count; i++)
        if (strncmp(name, needed->items[i], strlen(needed->items[i])) == 0) return true; /* or its ".part" */
    return false;
}

int home_tidy_packages(const Home *home, const StringList *needed, Error *error) {
    ARENA_AUTO arena = arena_new();
    StringList names;
    FD_AUTO dir = -1;
    if (list_names(home, "packages", is_any_name, arena, &names, error) < 0) return -1;
    if (home_packages_dir(home, &dir, error) < 0) return -1;
    for (size_t i = 0; i < names.count; i++)
        if (!is_needed(needed, names.items[i]) && file_remove_tree(dir, names.items[i], error) < 0) return -1;
    return 0;
}
